//! `probe`: what the prober says of a mode.

use super::nic::{Interface, Support, SupportWord};
use super::{Attempt, Report, Stop, nic};
use crate::spec::{Mode, Outcome};

pub(super) fn run(
    attempt: &mut Attempt<'_>,
    interface: &Interface,
    mode: Mode,
) -> Result<Report, Stop> {
    // Asked by name: the list of all interfaces may leave out what takes long to find out.
    let list = nic::list(attempt, Some(&interface.ifname))?;
    Ok(
        match list.into_iter().find(|row| row.ifname == interface.ifname) {
            Some(row) => judge(row.modes.of(mode)),
            None => Report::failed(format!("xdp-probe does not list {}", interface.ifname)),
        },
    )
}

fn judge(support: Support) -> Report {
    let outcome = match support.word {
        SupportWord::Yes => Outcome::Yes,
        SupportWord::No => Outcome::No,
        SupportWord::Unknown => Outcome::Unknown,
    };
    Report {
        outcome: Some(outcome),
        reason: support.reason,
        remedy: support.remedy,
        ..Report::default()
    }
}
