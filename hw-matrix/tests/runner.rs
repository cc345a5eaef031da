//! The rules of a run, on simulated hosts: what is tried again, what a dying host costs, what a cut-off run keeps.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hw_matrix::cell::matrix;
use hw_matrix::executor::simulated::{Act, Script, Simulated};
use hw_matrix::results::{self, Header, Journal, Results, SCHEMA, Status};
use hw_matrix::runner::{Event, Plan, Summary, run};
use hw_matrix::spec::Lab;

const LAB: &str = r#"
[host.a]
executor = "ssh"
address = "a"
prepare = ["ip link set one mtu 9000"]
nic.one.ifname = "one"
nic.two.ifname = "two"

[host.b]
executor = "ssh"
address = "b"
prepare = ["modprobe sim", "ip link set one up"]
nic.one.ifname = "one"

[program.pass]
object = "pass.o"
[program.drop]
object = "drop.o"

[check.attach]
modes = ["native", "generic"]

[[known-bad]]
cells = "host=b & program=drop"
until = "2030-01-01"
reason = "erratum 7"
"#;

struct Ran {
    summary: Summary,
    results: Results,
    commands: Vec<String>,
}

impl Ran {
    fn status(&self, cell: &str) -> Status {
        self.results.cells[cell].status
    }

    /// How often a program was attached on a NIC in a mode.
    fn attaches(&self, host: &str, what: &str) -> usize {
        let said = |line: &&String| line.starts_with(host) && line.contains(what);
        let attach = |line: &&String| line.contains("xdp-offload attach");
        self.commands.iter().filter(attach).filter(said).count()
    }
}

/// Runs the lab in a folder; goes on with what is there.
fn go(folder: &Path, script: &Script, stop_after: Option<usize>) -> Ran {
    let lab = Lab::parse(LAB, "lab.toml").unwrap();
    let path = folder.join("results.jsonl");
    let (journal, before) = if path.exists() {
        let before = read(&path);
        (Journal::resume(&path, before.length).unwrap(), Some(before))
    } else {
        let header = Header {
            schema: SCHEMA.into(),
            lab: "lab".into(),
            started: 1,
            version: "0".into(),
            kernel: "6".into(),
            lab_file: None,
            filter: None,
            cells: None,
        };
        (Journal::create(&path, header).unwrap(), None)
    };
    let plan = Plan {
        cells: matrix(&lab, jiff::civil::date(2026, 11, 27)).unwrap().cells,
        objects: "".into(),
        jobs: 2,
        frail: Vec::new(),
        before,
    };
    let hosts = Simulated::new(script).watched();
    let stop = AtomicBool::new(false);
    let mut ended = 0;
    let summary = run(&plan, &hosts, journal, &stop, &mut |event| {
        if let Event::Ended(_) = event {
            ended += 1;
            stop.store(
                stop_after.is_some_and(|after| ended >= after),
                Ordering::Relaxed,
            );
        }
    })
    .unwrap();
    Ran {
        summary,
        results: read(&path),
        commands: hosts.commands(),
    }
}

fn read(path: &Path) -> Results {
    results::read(std::fs::File::open(path).unwrap()).unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn what_passes_runs_once_and_everything_is_written_down() {
    let folder = folder();
    let ran = go(folder.path(), &|_, _| None, None);
    assert!(ran.summary.complete && ran.results.complete);
    assert_eq!(ran.summary.counts, BTreeMap::from([(Status::Pass, 12)]));
    assert_eq!(ran.results.cells.len(), 12);
    assert_eq!(ran.attaches("a", ""), 8);
    let kernel = ran.results.hosts["a"].kernel.as_deref();
    assert_eq!(kernel, Some("6.12.0-simulated"));
}

#[test]
fn hosts_are_prepared_and_one_that_cannot_be_runs_no_cell() {
    let folder = folder();
    let script = |host: &str, line: &str| {
        (host == "b" && line.contains("modprobe")).then(|| Act::Refuse(String::new()))
    };
    let ran = go(folder.path(), &script, None);
    let at = |what: &str| ran.commands.iter().position(|line| line.starts_with(what));
    let prepared = at("a: sh -c ip link set one mtu 9000").unwrap();
    assert!(prepared < at("a: xdp-").unwrap(), "{:?}", ran.commands);
    assert_eq!(at("b: xdp-"), None);
    assert_eq!(at("b: sh -c ip"), None, "the first that fails is the last");
    let cell = &ran.results.cells["b/one/pass/native/attach"];
    assert_eq!(cell.status, Status::Error);
    let reason = cell.reason.as_deref().unwrap();
    assert!(
        reason.contains("host b cannot be used: not prepared, by `modprobe sim`: sh: exit code 3"),
        "{reason}"
    );
    assert_eq!(ran.attaches("a", ""), 8);
}

#[test]
fn a_second_attempt_makes_flaky_and_a_known_failure_is_not_tried_again() {
    let folder = folder();
    let times = AtomicUsize::new(0);
    let refuse = || Some(Act::Refuse("no room".into()));
    let script = move |host: &str, line: &str| match (host, line) {
        ("a", "xdp-offload attach pass.o one --native --no-fallback --json") => {
            let first = times.fetch_add(1, Ordering::Relaxed) == 0;
            first.then(refuse).flatten()
        }
        ("a", line) if line.contains("drop.o two --generic") => refuse(),
        ("b", line) if line.contains("drop.o") => refuse(),
        _ => None,
    };
    let ran = go(folder.path(), &script, None);
    let flaky = &ran.results.cells["a/one/pass/native/attach"];
    assert_eq!((flaky.status, flaky.attempts), (Status::Flaky, 2));
    assert_eq!(flaky.reason.as_deref(), Some("no room"));
    let failed = &ran.results.cells["a/two/drop/generic/attach"];
    assert_eq!((failed.status, failed.attempts), (Status::Fail, 2));
    assert!(
        failed
            .log
            .as_ref()
            .unwrap()
            .contains("$ xdp-offload attach")
    );
    let known = &ran.results.cells["b/one/drop/native/attach"];
    assert_eq!((known.status, known.attempts), (Status::KnownBad, 1));
    assert_eq!(known.known_bad.as_deref(), Some("erratum 7"));
    assert_eq!(ran.attaches("b", "drop.o"), 2);
}

#[test]
fn a_cell_that_kills_its_host_is_not_tried_again_and_the_rest_goes_on() {
    let folder = folder();
    let script = |host: &str, line: &str| {
        let here = host == "a" && line.contains("attach drop.o one --native");
        here.then_some(Act::Die)
    };
    let ran = go(folder.path(), &script, None);
    let died = &ran.results.cells["a/one/drop/native/attach"];
    assert_eq!(died.status, Status::Crash);
    assert_eq!(
        died.kernel_log.as_deref(),
        Some("Kernel panic - not syncing: simulated")
    );
    assert_eq!(ran.attaches("a", "drop.o one --native"), 1);
    assert_eq!(ran.summary.counts[&Status::Pass], 11);
}

#[test]
fn a_host_that_dies_three_times_is_stopped_and_another_that_stays_off_is_given_up() {
    let folder = folder();
    let script = |host: &str, line: &str| match host {
        "a" if line.contains("attach drop.o") || line.contains("attach pass.o one --native") => {
            Some(Act::Die)
        }
        "b" if line.contains("attach pass.o one --native") => Some(Act::DieForGood),
        _ => None,
    };
    let ran = go(folder.path(), &script, None);
    assert!(ran.summary.complete);
    assert_eq!(ran.summary.counts[&Status::Crash], 4, "{:?}", ran.summary);
    let skipped: Vec<&str> = (ran.results.cells.values())
        .filter(|result| result.status == Status::Skip)
        .filter_map(|result| result.reason.as_deref())
        .collect();
    assert_eq!(skipped.len(), 5);
    assert!(
        skipped[0].starts_with("host a is not used any more: it died 3 times, last in a/"),
        "{skipped:?}"
    );
    let off = &ran.results.cells["b/one/pass/generic/attach"];
    assert_eq!(off.status, Status::Error);
    assert_eq!(
        off.reason.as_deref(),
        Some(
            "host b cannot be used: it died in b/one/pass/native/attach and did not come back: the simulated host stays off"
        )
    );
}

#[test]
fn a_run_that_was_stopped_goes_on_where_it_was() {
    let folder = folder();
    let ran = go(folder.path(), &|_, _| None, Some(3));
    assert!(!ran.summary.complete && !ran.results.complete);
    let before = ran.results.cells.len();
    assert!((3..6).contains(&before), "{before}");
    let again = go(folder.path(), &|_, _| None, None);
    assert!(again.summary.complete && again.results.complete);
    assert_eq!(again.summary.counts, BTreeMap::from([(Status::Pass, 12)]));
    assert_eq!(again.attaches("", "attach"), 12 - before, "none twice");
}

/// Whatever byte a dying runner wrote last, going on with it gives a whole result.
#[test]
fn a_run_cut_off_at_any_line_goes_on() {
    let whole = folder();
    go(whole.path(), &|_, _| None, None);
    let text = std::fs::read_to_string(whole.path().join("results.jsonl")).unwrap();
    let first = text.find('\n').unwrap() + 1;
    for cut in (first..text.len()).step_by(97) {
        let folder = folder();
        std::fs::write(folder.path().join("results.jsonl"), &text[..cut]).unwrap();
        let ran = go(folder.path(), &|_, _| None, None);
        assert!(ran.summary.complete, "cut at {cut}");
        assert_eq!(
            ran.summary.counts,
            BTreeMap::from([(Status::Pass, 12)]),
            "cut at {cut}"
        );
    }
}

#[test]
fn a_cell_that_ended_two_runs_or_a_host_is_not_run_again() {
    let cell = "a/one/drop/native/attach";
    let lines = |text: &[String]| text.join("\n") + "\n";
    let header = r#"{"event":"run","schema":"hw-matrix/results/v1","lab":"l","started":1,"version":"0","kernel":"6"}"#.to_owned();
    let host = |boot: &str| {
        format!(r#"{{"event":"host","host":"a","kernel":"6","boot_id":"{boot}","error":null}}"#)
    };
    let started = format!(r#"{{"event":"started","cell":"{cell}","attempt":1}}"#);
    let resumed = r#"{"event":"resumed","at":2}"#.to_owned();
    for (text, crashed) in [
        // The simulated host's boot id is its name.
        (vec![header.clone(), host("a"), started.clone()], false),
        (vec![header.clone(), host("other"), started.clone()], true),
        (
            vec![header, host("a"), started.clone(), resumed, started],
            true,
        ),
    ] {
        let folder = folder();
        std::fs::write(folder.path().join("results.jsonl"), lines(&text)).unwrap();
        let ran = go(folder.path(), &|_, _| None, None);
        let status = if crashed { Status::Crash } else { Status::Pass };
        assert_eq!(ran.status(cell), status, "{text:?}");
        assert_eq!(
            ran.attaches("a", "drop.o one --native"),
            usize::from(!crashed)
        );
        assert!(ran.summary.complete);
    }
}

#[test]
fn one_file_has_one_writer() {
    let folder = folder();
    go(folder.path(), &|_, _| None, None);
    let path = folder.path().join("results.jsonl");
    let length = read(&path).length;
    let first = Journal::resume(&path, length).unwrap();
    let second = Journal::resume(&path, 0).unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    assert_eq!(read(&path).length, length, "nothing was cut off");
}
