//! virtio_net: what the device and the host agreed on decides (`virtnet_xdp_set` and
//! `virtnet_xsk_pool_enable`, drivers/net/virtio_net.c; feature bits: VIRTIO 1.2, 5.1.3 and 6).

use super::{Case, Obstacle, Support};
use crate::drivers::Version;

/// Guest offloads by bit number, with QEMU's names of them.
const GUEST_OFFLOADS: [(u32, &str); 7] = [
    (1, "guest_csum"),
    (7, "guest_tso4"),
    (8, "guest_tso6"),
    (9, "guest_ecn"),
    (10, "guest_ufo"),
    (54, "guest_uso4"),
    (55, "guest_uso6"),
];
const CTRL_GUEST_OFFLOADS: u32 = 2;
const MRG_RXBUF: u32 = 15;
const ANY_LAYOUT: u32 = 27;
const VERSION_1: u32 = 32;
const ACCESS_PLATFORM: u32 = 33;

/// First kernel that takes a program without free transmit queues (commit 97c2c69e1926).
const SHARES_QUEUES_SINCE: Version = Version(5, 13);

fn applies(case: &Case<'_>) -> bool {
    case.row.is_some_and(|row| row.name == "virtio_net")
}

fn has(features: u64, bit: u32) -> bool {
    features & (1 << bit) != 0
}

/// Everything that makes the driver refuse, in its order.
pub(super) fn obstacles(case: &Case<'_>) -> Vec<Obstacle> {
    if !applies(case) {
        return Vec::new();
    }
    [guest_offloads(case), header_layout(case), free_queues(case)]
        .into_iter()
        .flatten()
        .collect()
}

/// The host merges or checksums packets and does not let the guest turn it off.
fn guest_offloads(case: &Case<'_>) -> Option<Obstacle> {
    let (detail, off) = if let Some(features) = case.facts.virtio_features {
        if has(features, CTRL_GUEST_OFFLOADS) {
            return None;
        }
        let on: Vec<&str> = GUEST_OFFLOADS
            .iter()
            .filter(|(bit, _)| has(features, *bit))
            .map(|(_, name)| *name)
            .collect();
        if on.is_empty() {
            return None;
        }
        (
            format!(
                "virtio features: {} without ctrl_guest_offloads",
                on.join(", ")
            ),
            on.iter()
                .map(|name| format!("{name}=off"))
                .collect::<Vec<_>>()
                .join(","),
        )
    } else {
        // Without sysfs: rx-gro-hw stands for the guest offloads, "fixed" for the lack of a control.
        case.facts
            .offloads
            .gro_hw
            .filter(|state| state.active && !state.changeable)?;
        (
            "rx-gro-hw is on [fixed]".to_owned(),
            "guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,guest_csum=off".to_owned(),
        )
    };
    Some(Obstacle::observed(
        detail,
        "the host merges or checksums packets for this device (GRO_HW/CSUM), and it cannot be turned off from inside".to_owned(),
        format!("use generic mode (--generic), or start the VM with ctrl_guest_offloads=on or with {off} (QEMU's names)"),
    ))
}

fn header_layout(case: &Case<'_>) -> Option<Obstacle> {
    let features = case.facts.virtio_features?;
    if !has(features, MRG_RXBUF) || has(features, ANY_LAYOUT) || has(features, VERSION_1) {
        return None;
    }
    Some(Obstacle::observed(
        "virtio features: mrg_rxbuf without any_layout and version_1",
        "the device puts headers into a buffer of their own (no any_header_sg)".to_owned(),
        "use a newer machine type or disable-legacy=on in QEMU, or mrg_rxbuf=off",
    ))
}

/// One transmit queue more for each CPU, or a lock (before 5.13 a refusal, ENOMEM).
fn missing_queues(case: &Case<'_>) -> Option<(u32, u32)> {
    let (now, max) = case.facts.channels?.combined;
    let wanted = now.saturating_add(case.snapshot.host.possible_cpus);
    (applies(case) && wanted > max).then_some((wanted, max))
}

fn free_queues(case: &Case<'_>) -> Option<Obstacle> {
    let (wanted, max) = missing_queues(case)?;
    if SHARES_QUEUES_SINCE.reached_by(case.release()) {
        return None;
    }
    Some(Obstacle::observed(
        format!("channels: XDP wants {wanted}, the device has {max}"),
        format!(
            "virtio_net wants a transmit queue more for each CPU, {wanted} in all, and the device has {max}"
        ),
        format!(
            "give the device {wanted} queues, lower the combined channels, or run Linux {SHARES_QUEUES_SINCE} or later"
        ),
    ))
}

pub(super) fn notes(case: &Case<'_>) -> Vec<String> {
    missing_queues(case)
        .map(|(wanted, max)| format!("XDP wants {wanted} queues and the device has {max}: XDP_TX and redirects share queues under a lock"))
        .into_iter()
        .collect()
}

/// Zero-copy maps user memory for DMA, which the kernel can do only for a device that uses its DMA API.
pub(super) fn zerocopy(case: &Case<'_>) -> Option<Support> {
    if !applies(case) {
        return None;
    }
    let Some(features) = case.facts.virtio_features else {
        return Some(Support::Unknown {
            why: "it is advertised, but works only for a device with VIRTIO_F_ACCESS_PLATFORM, and its features could not be read"
                .to_owned(),
        });
    };
    if has(features, ACCESS_PLATFORM) {
        return None;
    }
    Some(
        Obstacle::observed(
            "virtio features lack access_platform (bit 33)",
            "it is advertised, but the device does not use the kernel's DMA API, so the bind is refused (EINVAL)".to_owned(),
            "use copy mode, or start the VM with iommu_platform=on,disable-legacy=on for this device (QEMU)",
        )
        .into(),
    )
}
