//! Offload: the NIC itself runs the program.

use kernel::netlink::link::Mode;
use kernel::netlink::netdev::XdpFeature;

use super::{Case, Evidence, EvidenceKind, Support, attached};

pub(super) fn judge(case: &Case<'_>) -> Support {
    let of_driver = of_driver(case);
    if case.needs.frags && !of_driver.is_no() {
        return Support::no(
            Evidence::new(
                EvidenceKind::Table,
                "bpf_prog_dev_bound_init (kernel/bpf/offload.c): BPF_F_XDP_HAS_FRAGS is EINVAL for an offload",
            ),
            "the kernel offloads no program that takes packets in fragments (xdp.frags)",
            Some("build it for section xdp, or use native mode (--native)".to_owned()),
        );
    }
    of_driver
}

fn of_driver(case: &Case<'_>) -> Support {
    if let Some(yes) = attached::running(case, Mode::Offload) {
        return yes;
    }
    if let Some(obstacle) = attached::obstacle(case, Mode::Offload) {
        return obstacle.into();
    }
    let nfp = case.row.is_some_and(|row| row.name == "nfp");
    if case.facts.advertised.is_some() {
        let evidence = case.advertisement(XdpFeature::HwOffload);
        return if case.facts.advertises(XdpFeature::HwOffload) {
            Support::yes(evidence)
        } else if nfp {
            no_bpf_firmware(evidence)
        } else {
            cannot(case, evidence)
        };
    }
    let Some(row) = case.row.filter(|row| row.offload.is_some()) else {
        let evidence = match case.row {
            Some(row) => Evidence::table(row, "no offload"),
            None => Evidence::new(
                EvidenceKind::Table,
                "driver table: of all drivers, only nfp and netdevsim offload",
            ),
        };
        return cannot(case, evidence);
    };
    match row.offload {
        Some(since) if !since.reached_by(case.release()) => Support::no(
            Evidence::table(row, format_args!("offload since Linux {since}")),
            format!(
                "{} offloads since Linux {since}; this is {}",
                case.driver(),
                case.release().text
            ),
            Some(format!("run Linux {since} or later")),
        ),
        _ if !nfp => Support::yes(Evidence::table(row, "offload")),
        _ => match case.facts.firmware.as_deref() {
            // The firmware's version names its application.
            Some(firmware) if firmware.contains("bpf") => Support::yes(Evidence::new(
                EvidenceKind::Observed,
                format!("firmware {firmware}"),
            )),
            Some(firmware) => no_bpf_firmware(Evidence::new(
                EvidenceKind::Observed,
                format!("firmware {firmware}"),
            )),
            None => Support::Unknown {
                why: "nfp offloads with the BPF firmware only, and the firmware could not be read"
                    .to_owned(),
            },
        },
    }
}

fn no_bpf_firmware(evidence: Evidence) -> Support {
    Support::no(
        evidence,
        "the card runs a firmware without BPF",
        Some("install the BPF firmware (agilio-bpf-firmware) and reload nfp".to_owned()),
    )
}

fn cannot(case: &Case<'_>, evidence: Evidence) -> Support {
    let reason = if case.facts.is_loopback() {
        "the loopback device runs no programs in hardware".to_owned()
    } else {
        format!(
            "{} runs no programs in hardware; of the drivers in Linux, nfp does",
            case.driver()
        )
    };
    Support::no(evidence, reason, None)
}
