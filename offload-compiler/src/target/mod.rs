//! Where a program is to run, and what it may use there.
//!
//! A [`Target`] answers questions: may a program call this helper, use a map of that kind, this instruction. The
//! [`needs`](Need::of) of a program are read from its code; what is not there becomes a finding. A kernel of some
//! version is a target ([`kernel::Kernel`]); a NIC that programs are offloaded to is another (crate `nfp-target`).

pub mod kernel;
mod map;
mod needs;
mod table;

use crate::lower::{Doubt, Forms};
use crate::verify::{Finding, Input, Verdict};
pub use needs::{Feature, Need};

/// The name of a map kind as bpftool prints it, such as "lpm_trie"; `None` for a number without a name.
pub fn map_kind_name(kind: u32) -> Option<&'static str> {
    table::get()
        .map
        .iter()
        .find(|row| row.kind == kind)
        .map(|row| row.name.as_str())
}

/// Whether a target has something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// It has.
    Yes,
    /// It has not.
    No {
        /// Why, in a line: "needs Linux 5.17".
        why: String,
        /// Where that is from: a commit, a file of the driver.
        source: String,
    },
    /// Nobody knows.
    Unknown,
}

/// What a target takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Slots of a program with its subprograms.
    pub instructions: u32,
    /// Instructions that may be followed over all paths.
    pub complexity: u32,
    /// Bytes of stack over a chain of calls.
    pub stack: u32,
}

/// A program as a target sees it.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// Its code and maps.
    pub input: &'a Input<'a>,
    /// It is made for packets in several buffers (`xdp.frags`).
    pub frags: bool,
}

/// A place where programs run.
pub trait Target {
    /// What people call it: "Linux 5.15", "nfp (full)".
    fn name(&self) -> String;

    /// Whether a program may use something.
    fn has(&self, need: Need) -> Availability;

    /// What it takes at most.
    fn limits(&self) -> Limits;

    /// What forms of instructions it takes; what it does not take, [`lower`](crate::lower) rewrites.
    fn forms(&self) -> Forms {
        Forms::ALL
    }

    /// Instructions of a program that it takes and runs otherwise than the instruction set says, as far as something can
    /// be done about it, by slot.
    fn doubts(&self, _program: &Program<'_>) -> Vec<(usize, Doubt)> {
        Vec::new()
    }

    /// Everything that keeps the program from running there, the verifier's findings included.
    fn check(&self, program: &Program<'_>) -> Verdict;

    /// What of the target's limits and offers the program exceeds. Part of [`Target::check`].
    fn lacks(&self, program: &Program<'_>) -> Vec<Finding> {
        Need::of(program)
            .into_iter()
            .filter_map(|(slot, need)| match self.has(need) {
                Availability::Yes | Availability::Unknown => None,
                Availability::No { why, source } => {
                    Some(need.finding(slot, program.input, &why).knowing(source))
                }
            })
            .collect()
    }
}
