//! Measures what an offload device accepts, by programs and maps that are loaded for it and dropped again.
//!
//! ```text
//! catalogue ---> survey ---(Device: trial loads)---> Answers ---> profile ---> TOML | text | JSON
//!                          device.rs (I/O)            plain facts   (pure)
//! ```
//!
//! Nothing is attached, nothing pinned: every program and map is a descriptor of this process, and goes with it
//! whatever happens.

pub mod answers;
mod catalogue;
mod code;
mod device;
mod maps;
pub mod profile;
mod registers;
mod survey;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicBool;

use answers::Answers;
use profile::Entry;

use self::device::Card;
use crate::facts::{Facts, Snapshot};
use crate::judge::permission;
use crate::{Error, Result};

/// What came out.
#[derive(Debug, Clone)]
pub struct Report {
    /// What the device answered.
    pub answers: Answers,
    /// The profile; `None` where it is no NFP.
    pub profile: Option<Vec<Entry>>,
    /// Programs and maps that were tried.
    pub trials: u32,
    /// What is bound to the device now and was not before. Nothing of this process; others may be at work.
    pub left: Vec<String>,
}

/// Measures an interface. Ends early, with nothing left on the device, once `stop` is set.
///
/// # Errors
/// [`Error::NotPermitted`], [`Error::NoOffload`] where it takes no program, [`Error::Vanished`],
/// [`Error::Interrupted`].
pub fn run(snapshot: &Snapshot, facts: &Facts, stop: &AtomicBool) -> Result<Report> {
    let missing = permission::missing_to_measure(&snapshot.host);
    if !missing.is_empty() {
        return Err(Error::NotPermitted {
            missing: missing.join(", "),
        });
    }
    let mut card = Card::open(snapshot, facts, stop)?;
    let answers = match survey::survey(&mut card) {
        Ok(answers) => answers,
        Err(error) => {
            // A trial can fail anywhere when the interface goes; that it is gone says more.
            card.still_there()?;
            return Err(error);
        }
    };
    let left = card.left()?;
    Ok(Report {
        profile: profile::profile(&answers),
        answers,
        trials: card.trials,
        left,
    })
}
