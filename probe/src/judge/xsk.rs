//! AF_XDP sockets: copy mode works on every interface, zero-copy needs the driver.

use kernel::netlink::netdev::XdpFeature;

use super::{Case, Evidence, EvidenceKind, Obstacle, Support, virtio};
use crate::drivers::Version;

/// First kernel with AF_XDP.
const SINCE: Version = Version(4, 18);
/// What headroom, Ethernet header, VLAN tags and checksum leave of a frame of 4096 bytes. Measured on Linux 7.3 with igb and
/// virtio_net.
const FRAME_MTU: u32 = 3814;
/// A kernel that was seen to refuse larger ones. Older ones with a zero-copy driver were not at hand.
const CHECKS_MTU_SINCE: Version = Version(7, 3);

pub(super) fn judge_copy(case: &Case<'_>) -> Support {
    absent(case).unwrap_or_else(|| {
        Support::yes(match case.snapshot.host.af_xdp {
            Some(_) => Evidence::new(
                EvidenceKind::Observed,
                "/proc/net/protocols has XDP; copy mode needs nothing from the driver",
            ),
            None => Evidence::new(
                EvidenceKind::Table,
                format!("every interface since Linux {SINCE}"),
            ),
        })
    })
}

pub(super) fn judge_zerocopy(case: &Case<'_>) -> Support {
    if let Some(no) = absent(case) {
        return no;
    }
    let since = case.row.and_then(|row| row.zero_copy);
    if case.facts.advertised.is_some() {
        let evidence = case.advertisement(XdpFeature::XskZerocopy);
        if case.facts.advertises(XdpFeature::XskZerocopy) {
            return virtio::zerocopy(case)
                .or_else(|| too_large(case))
                .unwrap_or_else(|| Support::yes(evidence));
        }
        return match since.filter(|since| !since.reached_by(case.release())) {
            Some(since) => newer(case, evidence, since),
            None => cannot(case, evidence),
        };
    }
    match (case.row, since) {
        (None, _) => Support::Unknown {
            why: format!(
                "Linux {} lets no driver advertise it, and {} is not in the driver table; `xdp-probe try {}` finds out",
                case.release().text,
                case.driver(),
                case.name(),
            ),
        },
        (Some(row), None) => cannot(case, Evidence::table(row, "no zero-copy")),
        (Some(row), Some(since)) => {
            let evidence = Evidence::table(row, format_args!("zero-copy since Linux {since}"));
            if since.reached_by(case.release()) {
                Support::yes(evidence)
            } else {
                newer(case, evidence, since)
            }
        }
    }
}

/// Zero-copy writes a whole packet into one frame, unless the socket asks for several (XDP_USE_SG): of the 4096 bytes of a
/// frame that the trial's and most sockets have, the MTU may take [`FRAME_MTU`].
fn too_large(case: &Case<'_>) -> Option<Support> {
    let mtu = case.facts.link.mtu;
    if mtu <= FRAME_MTU || !CHECKS_MTU_SINCE.reached_by(case.release()) {
        return None;
    }
    let name = case.name();
    let obstacle = Obstacle::observed(
        format!("{name} has MTU {mtu}"),
        format!(
            "packets of the MTU {mtu} do not fit into a frame of 4096 bytes, which takes up to {FRAME_MTU}"
        ),
        format!("ip link set dev {name} mtu {FRAME_MTU}, bind with XDP_USE_SG, or use copy mode"),
    );
    Some(obstacle.into())
}

fn newer(case: &Case<'_>, evidence: Evidence, since: Version) -> Support {
    Support::no(
        evidence,
        format!(
            "{} has zero-copy since Linux {since}; this is {}",
            case.driver(),
            case.release().text
        ),
        Some(format!("run Linux {since} or later, or use copy mode")),
    )
}

fn cannot(case: &Case<'_>, evidence: Evidence) -> Support {
    let reason = if case.facts.is_loopback() {
        "the loopback device has no zero-copy".to_owned()
    } else {
        format!("{} has no zero-copy", case.driver())
    };
    Support::no(evidence, reason, Some("use copy mode".to_owned()))
}

/// The kernel has no AF_XDP at all.
fn absent(case: &Case<'_>) -> Option<Support> {
    if case.snapshot.host.af_xdp == Some(false) {
        return Some(Support::no(
            Evidence::new(EvidenceKind::Observed, "/proc/net/protocols lacks XDP"),
            "this kernel has no AF_XDP sockets",
            Some(format!(
                "run Linux {SINCE} or later, built with CONFIG_XDP_SOCKETS"
            )),
        ));
    }
    if case.snapshot.host.af_xdp.is_none() && !SINCE.reached_by(case.release()) {
        return Some(Support::no(
            Evidence::new(
                EvidenceKind::Table,
                format!("AF_XDP came with Linux {SINCE}"),
            ),
            format!("Linux {} has no AF_XDP sockets", case.release().text),
            Some(format!("run Linux {SINCE} or later")),
        ));
    }
    None
}
