//! `probe`: what the prober says of a mode.

use super::nic::{Interface, Support, SupportWord};
use super::{Attempt, Report, Stop, nic};
use crate::cell::Cell;
use crate::spec::Outcome;

pub(super) fn run(
    attempt: &mut Attempt<'_>,
    interface: &Interface,
    cell: &Cell<'_>,
) -> Result<Report, Stop> {
    // Asked by name: the list of all interfaces may leave out what takes long to find out. A NIC that the lab file names
    // was found that way.
    if cell.nic.ifname.is_some() {
        return Ok(judge(interface.modes.of(cell.mode)));
    }
    let list = nic::list(attempt, Some(&interface.ifname))?;
    Ok(
        match list.into_iter().find(|row| row.ifname == interface.ifname) {
            Some(row) => judge(row.modes.of(cell.mode)),
            None => Report::failed(format!("xdp-probe does not list {}", interface.ifname)),
        },
    )
}

fn judge(support: &Support) -> Report {
    let outcome = match support.word {
        SupportWord::Yes => Outcome::Yes,
        SupportWord::No => Outcome::No,
        SupportWord::Unknown => Outcome::Unknown,
    };
    Report {
        outcome: Some(outcome),
        reason: support.reason.clone(),
        remedy: support.remedy.clone(),
        ..Report::default()
    }
}
