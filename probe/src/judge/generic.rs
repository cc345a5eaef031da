//! Generic (skb) mode: the network stack runs the program, whatever the driver.

use kernel::netlink::link::Mode;

use super::{Case, Evidence, EvidenceKind, Support, attached};
use crate::drivers::Version;

/// First kernel with generic mode.
const SINCE: Version = Version(4, 12);

pub(super) fn judge(case: &Case<'_>) -> Support {
    if let Some(yes) = attached::running(case, Mode::Generic) {
        return yes;
    }
    if !SINCE.reached_by(case.release()) {
        return Support::no(
            Evidence::new(
                EvidenceKind::Table,
                format!("generic mode came with Linux {SINCE}"),
            ),
            format!("Linux {} has no generic mode", case.release().text),
            Some(format!("run Linux {SINCE} or later")),
        );
    }
    if let Some(obstacle) = attached::obstacle(case, Mode::Generic) {
        return obstacle.into();
    }
    let offloads = &case.facts.offloads;
    let mut notes = Vec::new();
    for (name, state) in [("LRO", offloads.lro), ("rx-gro-hw", offloads.gro_hw)] {
        if state.is_some_and(|state| state.active && state.changeable) {
            // generic_xdp_install calls dev_disable_lro and dev_disable_gro_hw.
            notes.push(format!("attaching turns {name} off"));
        }
    }
    Support::Yes {
        evidence: vec![Evidence::new(
            EvidenceKind::Table,
            format!("the network stack runs it on every interface since Linux {SINCE}"),
        )],
        notes,
    }
}
