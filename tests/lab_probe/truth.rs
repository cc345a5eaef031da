//! Verdicts of `xdp-probe list` beside what the kernel does: trials, and attachments by `xdp-offload attach`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;
use tests::lab::Guest;

use crate::phases::{ATTACHED, ATTACHED_HW, PHASES, Phase, WIRED};

/// JSON objects by the interface that they are about.
type ByName = BTreeMap<String, Value>;

/// Those of a list that the machine has, in the shell variable `names`.
fn present(names: &[&str]) -> String {
    format!(
        "names=$(for nic in {}; do [ ! -e /sys/class/net/$nic ] || echo $nic; done)",
        names.join(" ")
    )
}

/// Waits until the links are what they are going to be. A new MTU takes igb's link down for seconds, and the kernel calls a
/// link operational up to a second after its carrier came (net/core/link_watch.c, Linux 6.12).
fn settle(guest: &Guest) {
    let wired = WIRED.join(" ");
    let output = guest.run(&format!(
        r#"
        for second in $(seq 60); do
            moving=
            for link in /sys/class/net/*/; do
                read carrier 2>/dev/null <$link/carrier || continue # it is down
                read state <$link/operstate
                name=${{link%/}}
                name=${{name##*/}}
                case " {wired} : $carrier $state " in
                    *" $name "*": 0 "* | *": 1 down ") moving="$moving $name" ;;
                esac
            done
            [ -n "$moving" ] || exit 0
            sleep 1
        done
        echo $moving
        exit 1"#
    ));
    assert_eq!(output.code, 0, "no steady link: {output:?}");
}

/// Where two values differ: a line each with the path, the first and the second.
fn differences(path: &str, first: &Value, second: &Value, lines: &mut Vec<String>) {
    match (first, second) {
        (Value::Object(first), Value::Object(second)) => {
            let keys: BTreeSet<_> = first.keys().chain(second.keys()).collect();
            for key in keys {
                let [first, second] =
                    [first, second].map(|object| object.get(key).unwrap_or(&Value::Null));
                differences(&format!("{path}/{key}"), first, second, lines);
            }
        }
        (first, second) if first == second => {}
        _ => lines.push(format!("{path}: {first} -> {second}")),
    }
}

/// The facts and verdicts of every interface.
fn list(guest: &Guest) -> ByName {
    let list = guest.run("xdp-probe list --json");
    let list = list.expect_code(0).json();
    let interfaces = list["interfaces"].as_array().expect("an array");
    interfaces.iter().map(by_name).collect()
}

/// What a command says that prints a JSON object a line, one for each interface. Whether all went well is not asked.
fn reports(guest: &Guest, names: &[&str], command: &str) -> ByName {
    let output = guest.run(&format!("{}; {command}", present(names)));
    let objects = output
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let reports: ByName = objects.map(|object| by_name(&object)).collect();
    assert!(!reports.is_empty(), "{output:?}");
    reports
}

fn by_name(interface: &Value) -> (String, Value) {
    let name = interface["ifname"].as_str().expect("a name");
    (name.to_owned(), interface.clone())
}

/// What was compared.
#[derive(Default)]
pub(crate) struct Truth {
    /// The interfaces about which there is something to say.
    pub(crate) wrong: String,
    pub(crate) compared: usize,
    pub(crate) disagreements: usize,
    pub(crate) unknown: usize,
    pub(crate) interfaces: usize,
}

impl Truth {
    pub(crate) fn of(guest: &Guest) -> Self {
        let mut truth = Self::default();
        for phase in &PHASES {
            truth.phase(guest, phase);
        }
        truth
    }

    fn phase(&mut self, guest: &Guest, phase: &Phase) {
        // Kernels lack this or that: what is not there is not looked at.
        guest.run(&format!(
            "ip -force -batch - <<'END' 2>&1\n{}\nEND\n{}",
            phase.links, phase.settings
        ));
        settle(guest);
        let listed = list(guest);
        let tried = reports(
            guest,
            phase.interfaces,
            "xdp-probe try --force --json $names",
        );
        let again = list(guest);
        let mut attached = Vec::new();
        if phase.name == PHASES[0].name {
            for (option, mode, names) in [
                ("native", "native", &ATTACHED[..]),
                ("generic", "generic", &ATTACHED[..]),
                ("hw", "offload", &ATTACHED_HW[..]),
            ] {
                let command = format!(
                    "xdp-offload attach --{option} --no-fallback --json pass.bpf.o $names; xdp-offload detach $names >/dev/null"
                );
                attached.push((option, mode, reports(guest, names, &command)));
            }
        }
        for name in phase.interfaces {
            let Some(verdicts) = listed.get(*name) else {
                // Not on this kernel.
                continue;
            };
            self.interfaces += 1;
            let mut row = Row::default();
            let tried = tried
                .get(*name)
                .unwrap_or_else(|| panic!("{name} was not tried"));
            for trial in tried["trials"].as_array().expect("trials") {
                row.trial(trial, verdicts);
            }
            for change in tried["lasting"].as_array().expect("changes") {
                row.note("lasting ", change);
            }
            if tried["lasting"].as_array().is_some_and(Vec::is_empty)
                && again.get(*name) != Some(verdicts)
            {
                row.disagreements += 1;
                row.wrong.push("try says that all is as it was".to_owned());
                let now = again.get(*name).unwrap_or(&Value::Null);
                differences("", verdicts, now, &mut row.wrong);
            }
            for (option, mode, reports) in &attached {
                let Some(report) = reports.get(*name) else {
                    continue;
                };
                let verdict = verdicts["modes"][mode]["support"]
                    .as_str()
                    .expect("a verdict");
                let held = !report["mode"].is_null();
                row.compare(
                    &format!("attach --{option}"),
                    verdict,
                    held,
                    &report["attempts"].to_string(),
                );
                for change in report["changes"].as_array().expect("changes") {
                    row.note("attach: ", change);
                }
            }
            let driver = verdicts["driver"].as_str().unwrap_or("-");
            if !row.wrong.is_empty() {
                let wrong = row.wrong.join("\n    ");
                let _ = writeln!(
                    self.wrong,
                    "{name} ({driver}), {}:{}\n    {wrong}",
                    phase.name, row.cells
                );
            }
            self.compared += row.compared;
            self.disagreements += row.disagreements;
            self.unknown += row.unknown;
        }
    }
}

/// What is known of one interface in one phase.
#[derive(Default)]
struct Row {
    cells: String,
    wrong: Vec<String>,
    compared: usize,
    disagreements: usize,
    unknown: usize,
}

impl Row {
    fn trial(&mut self, trial: &Value, verdicts: &Value) {
        let what = trial["what"].as_str().expect("a name");
        let verdict = match what {
            "native" | "generic" | "offload" => &verdicts["modes"][what]["support"],
            "af-xdp-copy" => &verdicts["af_xdp"]["copy"]["support"],
            "af-xdp-zerocopy" => &verdicts["af_xdp"]["zerocopy"]["support"],
            // `list` has no column for it.
            _ => &trial["foreseen"],
        };
        let verdict = verdict.as_str().expect("a verdict");
        match trial["result"].as_str().expect("a result") {
            "skipped" => {
                let _ = write!(self.cells, " {what}=skipped");
            }
            result => self.compare(
                what,
                verdict,
                result == "ok",
                &trial["kernel_message"].to_string(),
            ),
        }
        for change in trial["changes"].as_array().expect("changes") {
            self.note("", change);
        }
    }

    fn note(&mut self, prefix: &str, change: &Value) {
        let text = |key: &str| change[key].as_str().unwrap_or_default();
        let _ = write!(
            self.cells,
            " [{prefix}{}: {} -> {}]",
            text("what"),
            text("from"),
            text("to")
        );
    }

    fn compare(&mut self, what: &str, verdict: &str, held: bool, said: &str) {
        self.compared += 1;
        let _ = write!(self.cells, " {what}={verdict}");
        match (verdict, held) {
            ("yes", true) | ("no", false) => {}
            ("yes" | "no", _) => {
                self.disagreements += 1;
                let kernel = if held { "yes" } else { "no" };
                self.wrong.push(format!(
                    "{what}: verdict {verdict}, the kernel: {kernel} {said}"
                ));
            }
            _ => {
                self.unknown += 1;
                self.wrong
                    .push(format!("{what}: unknown, the kernel: {said}"));
            }
        }
    }
}
