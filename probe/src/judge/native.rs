//! Native (driver) mode: whether the driver has it at all, and whether it takes a program today.

use kernel::netlink::link::Mode;
use kernel::netlink::netdev::XdpFeature;

use super::{Case, Evidence, Obstacle, Support, attached, bond, limits, veth, virtio};
use crate::drivers::Driver;

pub(super) fn judge(case: &Case<'_>) -> Support {
    if let Some(yes) = attached::running(case, Mode::Native) {
        return yes;
    }
    // Of a driver that would refuse anyhow, that is the reason to give: detaching helps nobody.
    match judge_driver(case) {
        no @ Support::No { .. } => no,
        driver => attached::obstacle(case, Mode::Native).map_or(driver, Support::from),
    }
}

/// What the driver says, leaving out programs on this interface and above it.
pub(super) fn judge_driver(case: &Case<'_>) -> Support {
    // These drivers' answers hang on more than what they advertise.
    let special = match case.row.map(|row| row.name.as_str()) {
        Some("veth") => veth::judge(case),
        Some("bonding") => bond::judge(case),
        _ => None,
    };
    let base = special.unwrap_or_else(|| base(case));
    let Support::Yes {
        evidence,
        mut notes,
    } = base
    else {
        return base;
    };
    let obstacles: Vec<Obstacle> = virtio::obstacles(case)
        .into_iter()
        .chain(limits::obstacles(case))
        .collect();
    if let Some(all) = Obstacle::together(obstacles) {
        return all;
    }
    notes.extend(limits::notes(case));
    Support::Yes { evidence, notes }
}

/// Whether the driver has native mode in the device's present configuration.
fn base(case: &Case<'_>) -> Support {
    if case.facts.advertised.is_none() {
        return from_table(case);
    }
    if case.facts.advertises(XdpFeature::Basic) {
        return Support::yes(case.advertisement(XdpFeature::Basic));
    }
    let lacking = case.advertisement(XdpFeature::Basic);
    let Some(row) = case.row else {
        return not_here(case, lacking);
    };
    let Some(since) = row.native.filter(|since| since.reached_by(case.release())) else {
        return not_here(case, lacking);
    };
    if let Some(silent) = &row.silent {
        return Support::yes(Evidence::table(row, silent));
    }
    if let Some(depends) = &row.depends {
        return Support::no(
            lacking,
            format!(
                "{} has no native mode as it is set up: {depends}",
                case.name()
            ),
            Some(instead(case)),
        );
    }
    Support::Unknown {
        why: format!(
            "{} has native mode since Linux {since}, but this one does not advertise it: another version of the driver, or a \
             configuration without it; `xdp-probe try {}` finds out",
            case.driver(),
            case.name(),
        ),
    }
}

/// Kernels before 6.3 have no way to advertise.
fn from_table(case: &Case<'_>) -> Support {
    let Some(row) = case.row else {
        return Support::Unknown {
            why: format!(
                "Linux {} lets no driver advertise XDP, and {} is not in the driver table; `xdp-probe try {}` finds out",
                case.release().text,
                case.driver(),
                case.name(),
            ),
        };
    };
    match row.native {
        Some(since) if !since.reached_by(case.release()) => Support::no(
            Evidence::table(row, format_args!("native since Linux {since}")),
            format!(
                "{} has native mode since Linux {since}; this is {}",
                case.driver(),
                case.release().text
            ),
            Some(format!(
                "run Linux {since} or later, or use generic mode (--generic)"
            )),
        ),
        Some(since) => from_row(case, row, &format!("native since Linux {since}")),
        None => not_here(case, Evidence::table(row, "no native mode")),
    }
}

fn from_row(case: &Case<'_>, row: &Driver, what: &str) -> Support {
    match &row.depends {
        Some(depends) if row.name == "tun" => {
            if is_tap(case) {
                Support::yes(Evidence::table(row, what))
            } else {
                Support::no(
                    Evidence::table(row, depends),
                    depends.clone(),
                    Some(instead(case)),
                )
            }
        }
        Some(depends) => Support::Unknown {
            why: format!(
                "{what}, but {depends}; `xdp-probe try {}` finds out",
                case.name()
            ),
        },
        None => Support::yes(Evidence::table(row, what)),
    }
}

/// A tap carries Ethernet frames (ARPHRD_ETHER), a tun does not.
fn is_tap(case: &Case<'_>) -> bool {
    const ARPHRD_ETHER: u16 = 1;
    case.facts.link.hardware_type == ARPHRD_ETHER
}

/// The driver has no native mode: says so, and where to attach instead.
fn not_here(case: &Case<'_>, evidence: Evidence) -> Support {
    let reason = if case.facts.is_loopback() {
        "the loopback device has no native mode".to_owned()
    } else {
        format!("{} has no native mode", case.driver())
    };
    Support::no(evidence, reason, Some(instead(case)))
}

/// The way out where a driver has no native mode: the devices below it, if it has any, or generic mode.
fn instead(case: &Case<'_>) -> String {
    let below = if let Some(lower) = case.snapshot.lower(case.facts) {
        Some(format!("its lower device {}", lower.link.name))
    } else {
        let mut ports: Vec<&str> = case
            .snapshot
            .ports(case.facts)
            .map(|port| port.link.name.as_str())
            .collect();
        let count = ports.len();
        ports.truncate(3);
        let more = if count > 3 {
            format!(" and {} more", count - 3)
        } else {
            String::new()
        };
        (count > 0).then(|| {
            format!(
                "its port{} {}{more}",
                if count == 1 { "" } else { "s" },
                ports.join(", ")
            )
        })
    };
    match below {
        Some(below) => format!("attach to {below} instead, or use generic mode (--generic)"),
        None => "use generic mode (--generic)".to_owned(),
    }
}
