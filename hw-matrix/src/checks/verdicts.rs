//! `verdicts`: what the program does with each packet on the NIC, in the kernel's test run or in the card's simulator is
//! what the interpreter does: verdict, bytes, and what is in the maps afterwards.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::files::{self, File};
use super::nic::{self, Peer};
use super::program::{self, Subject};
use super::{Attempt, Report, Stop, packets};
use crate::executor::Output;
use crate::spec::{Mode, Outcome, Program};

pub(super) fn run(attempt: &mut Attempt<'_>, subject: &Subject<'_>) -> Result<Report, Stop> {
    let peer = match nic::peer(attempt, subject.cell, subject.interface)? {
        Peer::OutOfReach(reason) => return Ok(Report::skipped(reason)),
        Peer::Interface(peer) => Some(peer),
        Peer::None => None,
    };
    let way = Way::of(peer, subject.cell.mode);
    program::attached(attempt, subject, |attempt, _| {
        let mut files = Vec::from_iter(packets::file(subject));
        files.extend(contents(subject.program).into_iter().map(|(_, file)| file));
        files::with(attempt, files, |attempt, folder| {
            let output = compare(attempt, subject, &way, folder)?;
            Ok(judge(&output, &way))
        })
    })
}

/// What is held against the interpreter.
enum Way {
    /// The NIC, which gets the packets from this interface.
    Wire(String),
    /// The kernel, without a NIC.
    TestRun,
    /// Our model of the card.
    Simulator,
}

impl Way {
    fn of(peer: Option<String>, mode: Mode) -> Way {
        match (peer, mode) {
            (Some(peer), _) => Way::Wire(peer),
            (None, Mode::Offload) => Way::Simulator,
            (None, Mode::Native | Mode::Generic) => Way::TestRun,
        }
    }

    /// The engine's name in `xdp-offload run`.
    fn engine(&self) -> &'static str {
        match self {
            Way::Wire(_) => "wire",
            Way::TestRun => "kernel",
            Way::Simulator => "nfp",
        }
    }

    /// For people.
    fn name(&self) -> &'static str {
        match self {
            Way::Wire(_) => "wire",
            Way::TestRun => "test run",
            Way::Simulator => "simulator",
        }
    }
}

fn compare(
    attempt: &mut Attempt<'_>,
    subject: &Subject<'_>,
    way: &Way,
    folder: &str,
) -> Result<Output, Stop> {
    let packets = packets::path(attempt, subject, folder)?;
    let engines = format!("interp,{}", way.engine());
    let maps: Vec<String> = match way {
        // The interpreter begins with what is in the attached program's maps.
        Way::Wire(_) => Vec::new(),
        Way::TestRun | Way::Simulator => contents(subject.program)
            .iter()
            .map(|(map, file)| format!("{map}={folder}/{}", file.name))
            .collect(),
    };
    let mut run = vec!["run"];
    run.extend(subject.named());
    run.extend(["--packets", &packets, "--compare", &engines]);
    for map in &maps {
        run.extend(["--map", map]);
    }
    if let Way::Wire(peer) = way {
        run.extend(["--dev", subject.ifname(), "--peer", peer]);
    }
    run.push("--json");
    attempt.command("xdp-offload", &run)
}

/// What the maps are filled with, a file for each, as `xdp-offload run --map` takes it.
fn contents(program: &Program) -> Vec<(&str, File)> {
    let mut maps: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for entry in &program.maps {
        let entries = maps.entry(&entry.map).or_default();
        entries.push(format!(
            r#"{{"key":{},"value":{}}}"#,
            entry.key, entry.value
        ));
    }
    let file = |(number, (map, entries)): (usize, (_, Vec<String>))| {
        let name = format!("map{number}.json");
        let bytes = format!("[{}]", entries.join(",")).into_bytes();
        (map, File { name, bytes })
    };
    maps.into_iter().enumerate().map(file).collect()
}

#[derive(Debug, Deserialize)]
struct Ran {
    verdicts: BTreeMap<String, u64>,
}

/// Words of `xdp-offload run` about a program that an engine cannot run: what helpers do that the interpreter does not
/// model, and what our code for the card leaves to the lowering, is nothing that a NIC does wrong.
const UNABLE: [&str; 4] = [
    "not modelled",
    "in a running kernel only",
    "cannot interpret '",
    "cannot run '",
];

/// The verdicts in the order of their numbers.
const VERDICTS: [&str; 5] = ["ABORTED", "DROP", "PASS", "TX", "REDIRECT"];

fn judge(output: &Output, way: &Way) -> Report {
    // `xdp-offload run` ends with this code at the first difference, and where an engine cannot run the program.
    if output.code == Some(3) {
        let reason = output.error_words();
        let says = |words: &str| reason.contains(words);
        let report = if says("do not do the same") || says("other map contents") {
            Report::wrong(reason)
        } else if UNABLE.iter().any(|words| says(words)) {
            Report::skipped(format!("the program cannot be compared: {reason}"))
        } else {
            Report::failed(output.complaint())
        };
        return Report {
            remedy: output.advice(),
            ..report
        };
    }
    if !output.is_success() {
        return Report::failed(output.complaint());
    }
    let ran: Ran = match output.json() {
        Ok(ran) => ran,
        Err(reason) => return Report::failed(reason),
    };
    let mut ran = ran.verdicts;
    let named: Vec<_> = VERDICTS
        .iter()
        .filter_map(|name| ran.remove_entry(&format!("XDP_{name}")))
        .collect();
    let counts: Vec<String> = named
        .into_iter()
        .chain(ran)
        .map(|(name, count)| format!("{} {count}", name.trim_start_matches("XDP_")))
        .collect();
    Report {
        found: Some(format!("{}: {}", way.name(), counts.join(", "))),
        ..Report::of(Outcome::Held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::MapEntry;

    fn output(code: i32, stdout: &str, stderr: &str) -> Output {
        Output {
            program: "xdp-offload".into(),
            code: Some(code),
            stdout: stdout.into(),
            stderr: stderr.into(),
            ..Output::default()
        }
    }

    #[test]
    fn a_difference_is_wrong_and_agreement_counts_verdicts() {
        let json = r#"{"verdicts":{"XDP_TX":2,"XDP_ABORTED":1,"XDP_PASS":28}}"#;
        let held = judge(&output(0, json, ""), &Way::TestRun);
        assert_eq!(held.outcome, Some(Outcome::Held));
        assert_eq!(
            held.found.as_deref(),
            Some("test run: ABORTED 1, PASS 28, TX 2")
        );
        let words = "error: packet 3: interp and wire do not do the same\n  why: the verdicts are XDP_DROP and XDP_PASS\n  do:  see\n";
        let wrong = judge(&output(3, "", words), &Way::Wire("left/b".into()));
        assert_eq!(wrong.outcome, Some(Outcome::Wrong));
        assert_eq!(
            wrong.reason.as_deref(),
            Some(
                "packet 3: interp and wire do not do the same: the verdicts are XDP_DROP and XDP_PASS"
            )
        );
        assert_eq!(wrong.remedy.as_deref(), Some("see"));
        let words = "error: packet 1: 'core' stops at instruction 0: helper 35 is not modelled\n";
        assert!(judge(&output(3, "", words), &Way::TestRun).skipped);
        let words = "error: nfp (full) cannot run 'counter'\n";
        assert!(judge(&output(3, "", words), &Way::Simulator).skipped);
        let failed = judge(&output(3, "", "error: no room\n"), &Way::Simulator);
        assert!(failed.outcome.is_none() && !failed.skipped);
    }

    #[test]
    fn maps_are_filled_from_a_file_each() {
        let entry = |map: &str, key: &str| MapEntry {
            map: map.into(),
            key: key.into(),
            value: "{\"v\":1}".into(),
        };
        let program = Program {
            name: "p".into(),
            object: "p.o".into(),
            prog: None,
            packets: None,
            maps: vec![
                entry("rules", "1"),
                entry("counts", "0"),
                entry("rules", "2"),
            ],
        };
        let files = contents(&program);
        assert_eq!(files.len(), 2);
        let (map, file) = &files[1];
        assert_eq!((*map, file.name.as_str()), ("rules", "map1.json"));
        let text = String::from_utf8_lossy(&file.bytes);
        assert_eq!(
            text,
            r#"[{"key":1,"value":{"v":1}},{"key":2,"value":{"v":1}}]"#
        );
    }
}
