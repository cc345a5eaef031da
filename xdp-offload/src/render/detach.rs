//! What was taken off.

use crate::output::{NAME, styled};
use generic_fallback::effects::Effects;
use generic_fallback::occupant::{Holder, Occupant};

/// One interface's report.
pub(crate) fn report(
    ifname: &str,
    detached: &[Occupant],
    effects: &Effects,
    width: usize,
) -> String {
    let name = ifname;
    let ifname = styled(NAME, ifname);
    if detached.is_empty() {
        return format!("{ifname}: nothing was attached\n");
    }
    let programs = detached.iter().map(|occupant| {
        let holder = match &occupant.holder {
            Holder::Interface => String::new(),
            link @ Holder::Link { .. } => format!(", which {link} held"),
        };
        format!(
            "{ifname}: {occupant} taken off {} mode{holder}\n",
            occupant.mode
        )
    });
    programs
        .chain([super::effects::lines(name, effects, width)])
        .collect()
}
