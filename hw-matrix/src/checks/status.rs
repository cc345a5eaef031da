//! What is attached, by `xdp-offload status`.

use std::time::Duration;

use serde::Deserialize;

use super::{Attempt, Stop};
use crate::spec::Mode;

/// What is attached to all interfaces, or to one.
pub(super) fn status(attempt: &mut Attempt<'_>, only: Option<&str>) -> Result<Status, Stop> {
    let left = attempt.left();
    status_within(attempt, left, only)
}

/// [`status`] in a time of its own.
pub(super) fn status_within(
    attempt: &mut Attempt<'_>,
    limit: Duration,
    only: Option<&str>,
) -> Result<Status, Stop> {
    let arguments: Vec<&str> = ["status", "--json"].into_iter().chain(only).collect();
    let output = attempt.command_within(limit, "xdp-offload", &arguments)?;
    if !output.is_success() {
        return Err(Stop::Failed(output.complaint()));
    }
    output.json().map_err(Stop::Failed)
}

/// `xdp-offload status --json`.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    interfaces: Vec<Interface>,
    /// Programs that were offloaded to a NIC that is gone; of all interfaces only.
    #[serde(default)]
    orphaned: Vec<u32>,
}

#[derive(Debug, Deserialize)]
struct Interface {
    attached: Vec<Attached>,
}

#[derive(Debug, Deserialize)]
struct Attached {
    mode: Mode,
    prog_id: u32,
}

impl Status {
    /// Whether a program is attached, or loaded for a NIC that is gone.
    pub(super) fn has(&self, id: u32) -> bool {
        self.attached().any(|attached| attached.prog_id == id) || self.orphaned.contains(&id)
    }

    /// The program in a mode, of the one interface that was asked for.
    pub(super) fn program(&self, mode: Mode) -> Option<u32> {
        let mut attached = self.attached();
        Some(attached.find(|attached| attached.mode == mode)?.prog_id)
    }

    fn attached(&self) -> impl Iterator<Item = &Attached> {
        self.interfaces
            .iter()
            .flat_map(|interface| &interface.attached)
    }
}
