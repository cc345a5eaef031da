//! How fast a program is, mode by mode.

use crate::json::bench::{How, Measured, Report};
use crate::output::{NAME, styled};

/// The table, and native to generic.
pub(crate) fn report(report: &Report, width: usize) -> String {
    let rows = report.modes.iter().map(row);
    let mut out = format!("{} on {}\n", styled(NAME, &report.program), report.ifname);
    let header = ["MODE", "PACKETS/S", "NS/PACKET", "FROM", ""];
    out += &super::table(&header, rows, width);
    if let Some(ratio) = report.ratio {
        out += &format!("native : generic = {ratio:.2}\n");
    }
    out
}

fn row(measured: &Measured) -> Vec<String> {
    let number = |number: Option<f64>, digits: usize| {
        number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
    };
    let (from, note) = match measured.how {
        None => ("-", ""),
        Some(How::Wire) => ("peer", "ns in the program"),
        Some(How::TestRun) => ("test run", "no traffic: the same for native and generic"),
    };
    let mode = match measured.mode {
        crate::json::Mode::Offload => "offload",
        crate::json::Mode::Native => "native",
        crate::json::Mode::Generic => "generic",
    };
    vec![
        mode.to_owned(),
        number(measured.packets_per_second, 0),
        number(measured.ns_per_packet, 1),
        from.to_owned(),
        measured.reason.clone().unwrap_or_else(|| note.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Mode;
    use crate::render::golden;

    #[test]
    fn modes_stand_beside_each_other() {
        let measured = |mode, rate, ns, how| Measured {
            mode,
            held: true,
            reason: None,
            packets_per_second: Some(rate),
            ns_per_packet: Some(ns),
            how: Some(how),
        };
        let benched = Report {
            schema: "",
            ifname: "eth0".to_owned(),
            program: "firewall".to_owned(),
            modes: vec![
                Measured {
                    mode: Mode::Offload,
                    held: false,
                    reason: Some("veth runs no programs in hardware".to_owned()),
                    packets_per_second: None,
                    ns_per_packet: None,
                    how: None,
                },
                measured(Mode::Native, 1_234_567.8, 45.25, How::Wire),
                measured(Mode::Generic, 617_283.9, 61.0, How::TestRun),
            ],
            ratio: Some(2.0),
        };
        golden::check("bench", &report(&benched, 100));
    }
}
