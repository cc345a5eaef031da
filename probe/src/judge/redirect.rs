//! XDP_REDIRECT: from this interface, and to it.

use kernel::netlink::netdev::XdpFeature;

use super::{Case, Evidence, EvidenceKind, Support, veth};
use crate::drivers::Xmit;

const GENERIC_REDIRECTS: &str = "redirect in generic mode, which every interface can";

pub(super) fn judge_source(case: &Case<'_>, native: &Support) -> Support {
    if let Some(support) = without_native(native, GENERIC_REDIRECTS) {
        return support;
    }
    if case.facts.advertises(XdpFeature::Redirect) {
        return Support::yes(case.advertisement(XdpFeature::Redirect));
    }
    match case.row {
        // Nothing is advertised by older kernels, and by drivers that are silent.
        Some(row) if case.facts.advertised.is_none() || row.silent.is_some() => {
            let evidence = Evidence::table(
                row,
                if row.redirect {
                    "redirect"
                } else {
                    "no redirect"
                },
            );
            if row.redirect {
                Support::yes(evidence)
            } else {
                no_source(case, evidence)
            }
        }
        _ if case.facts.advertised.is_some() => {
            no_source(case, case.advertisement(XdpFeature::Redirect))
        }
        _ => Support::Unknown {
            why: format!("{} is not in the driver table", case.driver()),
        },
    }
}

fn no_source(case: &Case<'_>, evidence: Evidence) -> Support {
    Support::no(
        evidence,
        format!("{} does not redirect in native mode", case.driver()),
        Some(GENERIC_REDIRECTS.to_owned()),
    )
}

pub(super) fn judge_target(case: &Case<'_>, native: &Support) -> Support {
    if case.facts.advertises(XdpFeature::NdoXmit) {
        return Support::yes(case.advertisement(XdpFeature::NdoXmit));
    }
    let evidence = || match (case.row, &case.facts.advertised) {
        (Some(row), None) => Evidence::table(
            row,
            format_args!("redirect target: {}", xmit_words(row.xmit)),
        ),
        _ => case.advertisement(XdpFeature::NdoXmit),
    };
    match case.row.map(|row| row.xmit) {
        Some(Xmit::WithProgram) => with_program(case, native, evidence()),
        Some(Xmit::Always) if case.facts.advertised.is_none() => match native {
            Support::Yes { .. } => Support::yes(evidence()),
            _ => without_native(native, GENERIC_TARGET).unwrap_or_else(|| cannot(case, evidence())),
        },
        None if case.facts.advertised.is_none() => Support::Unknown {
            why: format!("{} is not in the driver table", case.driver()),
        },
        _ => cannot(case, evidence()),
    }
}

const GENERIC_TARGET: &str =
    "redirect from a program in generic mode, which reaches every interface";

/// The driver makes itself a target only while a native program is attached.
fn with_program(case: &Case<'_>, native: &Support, evidence: Evidence) -> Support {
    if case.row.is_some_and(|row| row.name == "veth") {
        // veth delivers through the peer's NAPI: a native program on the peer, or GRO there, turns it on.
        let peer = veth::peer_name(case);
        return Support::no(
            evidence,
            format!(
                "packets redirected to {} need a native program, or GRO, on {peer}",
                case.name()
            ),
            Some(format!(
                "attach a native program that passes everything to {peer}, or: ethtool -K {peer} gro on"
            )),
        );
    }
    if case.facts.advertised.is_none() && case.facts.link.xdp.native.is_some() {
        return Support::yes(Evidence::new(
            EvidenceKind::Attached,
            "a native program is attached",
        ));
    }
    match native {
        Support::Yes { .. } => Support::no(
            evidence,
            format!(
                "{} takes redirected packets only while a native program is attached to it",
                case.driver()
            ),
            Some(format!(
                "attach a native program that passes everything to {}",
                case.name()
            )),
        ),
        _ => without_native(native, GENERIC_TARGET).unwrap_or_else(|| cannot(case, evidence)),
    }
}

fn cannot(case: &Case<'_>, evidence: Evidence) -> Support {
    Support::no(
        evidence,
        format!(
            "{} takes no redirected packets from native programs",
            case.driver()
        ),
        Some(GENERIC_TARGET.to_owned()),
    )
}

fn xmit_words(xmit: Xmit) -> &'static str {
    match xmit {
        Xmit::Always => "always",
        Xmit::WithProgram => "with a native program",
        Xmit::Never => "never",
    }
}

/// What follows for an ability of native mode where native mode is not to be had.
pub(super) fn without_native(native: &Support, instead: &str) -> Option<Support> {
    match native {
        Support::Yes { .. } => None,
        Support::No {
            evidence, remedy, ..
        } => Some(Support::No {
            evidence: evidence.clone(),
            reason: "it needs native mode, which is refused (see there)".to_owned(),
            remedy: Some(match remedy {
                Some(remedy) if !remedy.contains("generic") => format!("{remedy}; or {instead}"),
                _ => instead.to_owned(),
            }),
        }),
        Support::Unknown { why } => Some(Support::Unknown { why: why.clone() }),
    }
}
