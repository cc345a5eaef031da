//! `detach --json`: one object a line for each interface.

use super::attach::{Change, milliseconds};
use super::{Attachment, Mode};
use generic_fallback::effects::Effects;
use generic_fallback::occupant::Occupant;
use schemars::JsonSchema;
use serde::Serialize;

/// What was taken off an interface.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "xdp-offload/detach/v1")]
pub struct Report {
    /// "xdp-offload/detach/v1"
    pub schema: &'static str,
    /// The interface.
    pub ifname: String,
    /// The programs that were taken off.
    pub detached: Vec<Detached>,
    /// Settings of the interface that are not what they were while the program was attached.
    pub changes: Vec<Change>,
    /// For how many milliseconds the detach took the link down; null: it did not.
    pub link_down_ms: Option<u64>,
}

/// A program that was taken off.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Detached {
    /// Where it ran.
    pub mode: Mode,
    /// The kernel's id of the program.
    pub prog_id: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// What had kept it attached.
    pub attachment: Attachment,
}

impl Report {
    /// The report about one interface.
    pub fn new(ifname: &str, detached: &[Occupant], effects: &Effects) -> Self {
        Self {
            schema: "xdp-offload/detach/v1",
            ifname: ifname.to_owned(),
            detached: detached
                .iter()
                .map(|occupant| Detached {
                    mode: occupant.mode.into(),
                    prog_id: occupant.program_id,
                    name: occupant.name.clone(),
                    attachment: (&occupant.holder).into(),
                })
                .collect(),
            changes: effects.changes.iter().map(Change::from).collect(),
            link_down_ms: effects.link_down.map(milliseconds),
        }
    }
}
