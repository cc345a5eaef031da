//! Multi-buffer packets (frags): native programs that see packets larger than one buffer.

use kernel::netlink::netdev::XdpFeature;

use super::{Case, Evidence, Needs, Support, native, redirect};

/// Multi-buffer packets in generic mode came with commit e6d5dbdd20aa.
const GENERIC: &str = "use an xdp.frags program in generic mode (Linux 6.9 or later)";

pub(super) fn judge(case: &Case<'_>, native: &Support) -> Support {
    // Only xdp.frags programs get such packets, and a native mode that refuses others may take them.
    let needs = Needs {
        frags: true,
        ..*case.needs
    };
    let with_frags = native.is_no().then(|| {
        native::judge(&Case {
            needs: &needs,
            ..*case
        })
    });
    if let Some(support) = redirect::without_native(with_frags.as_ref().unwrap_or(native), GENERIC)
    {
        return support;
    }
    if case.facts.advertised.is_some() {
        let evidence = case.advertisement(XdpFeature::RxSg);
        return if case.facts.advertises(XdpFeature::RxSg) {
            Support::yes(evidence)
        } else {
            cannot(case, evidence)
        };
    }
    let Some(row) = case.row else {
        return Support::Unknown {
            why: format!("{} is not in the driver table", case.driver()),
        };
    };
    match row.frags {
        Some(since) if since.reached_by(case.release()) => Support::yes(Evidence::table(
            row,
            format_args!("frags since Linux {since}"),
        )),
        Some(since) => Support::no(
            Evidence::table(row, format_args!("frags since Linux {since}")),
            format!(
                "{} has multi-buffer packets since Linux {since}; this is {}",
                case.driver(),
                case.release().text
            ),
            Some(format!("run Linux {since} or later")),
        ),
        None => cannot(case, Evidence::table(row, "no frags")),
    }
}

/// Such a driver attaches a frags program all the same; it just never shows it more than one buffer.
fn cannot(case: &Case<'_>, evidence: Evidence) -> Support {
    Support::no(
        evidence,
        format!(
            "{} gives a native program single-buffer packets only, also an xdp.frags one",
            case.driver()
        ),
        Some("keep the MTU within one buffer".to_owned()),
    )
}
