//! What drivers refuse today although they have native mode: the rules of the driver table.

use kernel::netlink::netdev::XdpFeature;

use super::{Case, Obstacle, virtio};
use crate::drivers::{Coalescing, MtuOf, Queues, Version};

/// All of the table's rules that the interface breaks, in the order in which drivers check: whoever mends one
/// wants to know of the next.
pub(super) fn obstacles(case: &Case<'_>) -> Vec<Obstacle> {
    let Some(row) = case.row else {
        return Vec::new();
    };
    let own_mtu = (row.mtu_of == MtuOf::Own).then(|| mtu(case, case.name(), case.facts.link.mtu));
    own_mtu
        .flatten()
        .into_iter()
        .chain(coalescing(case))
        .chain(queues(case))
        .collect()
}

/// What an attach will do besides attaching.
pub(super) fn notes(case: &Case<'_>) -> Vec<String> {
    let Some(row) = case.row else {
        return Vec::new();
    };
    let mut notes = virtio::notes(case);
    let offloads = &case.facts.offloads;
    for (name, rule, state) in [
        ("LRO", row.lro, offloads.lro),
        ("rx-gro-hw", row.gro_hw, offloads.gro_hw),
    ] {
        if rule == Some(Coalescing::TurnedOff) && state.is_some_and(|state| state.active) {
            notes.push(format!("attaching turns {name} off"));
        }
    }
    if row.bounces && case.facts.link.is_up() {
        notes.push("attaching takes the link down for a moment".to_owned());
    }
    notes
}

/// Whether a frags program gets multi-buffer packets here, which lifts the MTU limit.
pub(super) fn frags_lift(case: &Case<'_>) -> bool {
    let by_table = || {
        case.row
            .and_then(|row| row.frags)
            .is_some_and(|since: Version| since.reached_by(case.release()))
    };
    match &case.facts.advertised {
        Some(advertised) => {
            let silent = case.row.is_some_and(|row| row.silent.is_some());
            advertised.has(XdpFeature::RxSg) || silent && by_table()
        }
        None => by_table(),
    }
}

/// The MTU rule for the interface called `name`, which may be a peer.
pub(super) fn mtu(case: &Case<'_>, name: &str, mtu: u32) -> Option<Obstacle> {
    let row = case.row?;
    // Most limits are what is left of a page; those of other page sizes are not known.
    let limit = row.mtu.filter(|_| case.snapshot.host.page_size == 4096)?;
    let lifts = frags_lift(case);
    if mtu <= limit || (case.needs.frags && lifts) {
        return None;
    }
    let driver = case.driver();
    let without = if lifts { " without frags" } else { "" };
    let build = if lifts {
        ", or build the program as xdp.frags"
    } else {
        ""
    };
    let whose = match row.mtu_of {
        MtuOf::Own => String::new(),
        MtuOf::Peer => format!(" of the peer {name}"),
    };
    Some(Obstacle::observed(
        format!("{name} has MTU {mtu}"),
        format!(
            "the MTU {mtu}{whose} is too large: {driver} takes a program{without} up to {limit}"
        ),
        format!("ip link set dev {name} mtu {limit}{build}"),
    ))
}

/// Some drivers check the MTU when a program is attached, and let it be raised afterwards without a word (virtio_net and
/// vmxnet3 on Linux 6.12 and 7.3).
pub(super) fn outgrown(case: &Case<'_>) -> Option<String> {
    let row = case.row.filter(|row| row.mtu_of == MtuOf::Own)?;
    let limit = row.mtu.filter(|_| case.snapshot.host.page_size == 4096)?;
    let mtu = case.facts.link.mtu;
    let unless = if frags_lift(case) {
        ", unless the program is xdp.frags"
    } else {
        ""
    };
    (mtu > limit).then(|| {
        format!(
            "the MTU {mtu} is above the {limit} that {} takes a program with: larger packets may get lost{unless}",
            case.driver()
        )
    })
}

fn coalescing(case: &Case<'_>) -> Option<Obstacle> {
    let row = case.row?;
    let offloads = &case.facts.offloads;
    let rules = [
        ("LRO", "lro", row.lro, offloads.lro),
        ("hardware GRO", "rx-gro-hw", row.gro_hw, offloads.gro_hw),
    ];
    let (what, feature, ..) = rules.into_iter().find(|(_, _, rule, state)| {
        *rule == Some(Coalescing::Refuses) && state.is_some_and(|state| state.active)
    })?;
    Some(Obstacle::observed(
        format!("{feature} is on"),
        format!("{} takes no program while {what} is on", case.driver()),
        format!("ethtool -K {} {feature} off", case.name()),
    ))
}

fn queues(case: &Case<'_>) -> Option<Obstacle> {
    let channels = case.facts.channels?;
    let name = case.name();
    match case.row?.queues? {
        Queues::Half => {
            let (what, (now, max)) = [
                ("combined", channels.combined),
                ("rx", channels.rx),
                ("tx", channels.tx),
            ]
            .into_iter()
            .find(|(_, (now, max))| *max > 0 && now * 2 > *max)?;
            let half = max / 2;
            if half == 0 {
                return Some(Obstacle {
                    remedy: Some(
                        "give the device more queues, or use generic mode (--generic)".to_owned(),
                    ),
                    ..half_obstacle(case, what, now, max, String::new())
                });
            }
            Some(half_obstacle(
                case,
                what,
                now,
                max,
                format!("ethtool -L {name} {what} {half}"),
            ))
        }
        Queues::Combined => (channels.combined.0 == 0 && channels.rx.0 > 0).then(|| {
            Obstacle::observed(
                format!(
                    "channels: combined 0, rx {}, tx {}",
                    channels.rx.0, channels.tx.0
                ),
                format!(
                    "{} takes a program only with combined channels",
                    case.driver()
                ),
                format!(
                    "ethtool -L {name} rx 0 tx 0 combined {}",
                    channels.rx.0.min(channels.combined.1).max(1)
                ),
            )
        }),
        Queues::Free => None, // virtio_net: see virtio.rs
    }
}

fn half_obstacle(case: &Case<'_>, what: &str, now: u32, max: u32, remedy: String) -> Obstacle {
    Obstacle::observed(
        format!("channels: {what} {now} of {max}"),
        format!(
            "{} needs as many queues again for XDP, and {now} of at most {max} {what} channels are in use",
            case.driver()
        ),
        remedy,
    )
}
