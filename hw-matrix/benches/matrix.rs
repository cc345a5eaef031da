//! The runner and the page at scale: 200 hosts x 4 NICs x 50 programs x 3 modes, simulated. `cargo xtask bench matrix`.

#![allow(clippy::cast_precision_loss)] // counts and sizes of files, printed with a few digits

#[path = "../tests/browser/mod.rs"]
mod browser;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use hw_matrix::baseline;
use hw_matrix::cell::matrix;
use hw_matrix::executor::simulated::{Act, Script, Simulated};
use hw_matrix::report::{self, Report};
use hw_matrix::results::{Header, Journal, Results, SCHEMA, read};
use hw_matrix::runner::{Plan, run};
use hw_matrix::spec::Lab;

const HOSTS: usize = 200;
const NICS: usize = 4;
const PROGRAMS: usize = 50;
/// Milliseconds of our own time a cell, at most.
const AIM_MS: f64 = 1.0;

fn lab() -> String {
    let mut text = String::from("[check.attach]\n");
    for program in 0..PROGRAMS {
        let _ = writeln!(
            text,
            "[program.program-{program:02}]\nobject = \"p{program}.o\""
        );
    }
    for host in 0..HOSTS {
        let _ = writeln!(
            text,
            "[host.rack-{host:03}]\nexecutor = \"ssh\"\naddress = \"rack-{host:03}\""
        );
        for nic in 0..NICS {
            let _ = writeln!(text, "nic.nic{nic}.ifname = \"eth{nic}\"");
        }
    }
    text
}

/// Every 40th attach is refused, by what its words are; each in sentences of its own, as kernels write them.
fn act(host: &str, line: &str) -> Option<Act> {
    if !line.starts_with("xdp-offload attach") {
        return None;
    }
    let hash = host.bytes().chain(line.bytes()).fold(7_u32, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    (hash % 40 == 0).then(|| Act::Refuse(format!("sim: queue {} is in use", hash % 64)))
}

fn simulate(lab: &Lab, path: &Path, script: &Script) -> f64 {
    let cells = matrix(lab, jiff::civil::date(2026, 1, 1))
        .expect("not too many")
        .cells;
    let header = Header {
        schema: SCHEMA.into(),
        lab: "simulated".into(),
        started: 1_764_230_400,
        version: env!("CARGO_PKG_VERSION").into(),
        kernel: "simulated".into(),
        lab_file: None,
        filter: None,
        cells: Some(cells.len()),
    };
    let journal = Journal::create(path, header).expect("the folder is ours");
    let plan = Plan {
        cells,
        objects: "".into(),
        jobs: 2,
        frail: Vec::new(),
        before: None,
    };
    let hosts = Simulated::new(script);
    let begun = Instant::now();
    let summary = run(&plan, &hosts, journal, &AtomicBool::new(false), &mut |_| {});
    assert!(summary.expect("there is room").complete);
    begun.elapsed().as_secs_f64()
}

/// Peak memory of this process so far, in MiB: VmHWM of /proc/self/status.
fn peak() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

fn load(path: &Path) -> Results {
    read(fs::File::open(path).expect("it was written")).expect("it is whole")
}

fn main() {
    let folder = tempfile::tempdir().expect("there is room");
    let folder = folder.path();
    let text = lab();
    let lab = Lab::parse(&text, "lab.toml").expect("it is well formed");
    let cells = HOSTS * NICS * PROGRAMS * 3;
    println!(
        "{HOSTS} hosts x {NICS} NICs x {PROGRAMS} programs x 3 modes = {cells} cells, simulated hosts, 2 at a time"
    );

    let first = folder.join("first.jsonl");
    let seconds = simulate(&lab, &first, &|_, _| None);
    let each = seconds * 1000.0 / cells as f64;
    let verdict = if each < AIM_MS { "met" } else { "MISSED" };
    println!(
        "run: {seconds:.1} s, {each:.3} ms a cell with the answers made and read (aim: under {AIM_MS} ms; {verdict})"
    );
    println!("memory of the runner: {:.0} MiB at most", peak());
    let second = folder.join("second.jsonl");
    simulate(&lab, &second, &act);
    println!(
        "results.jsonl: {:.1} MB; where every 40th attach is refused and tried again: {:.1} MB",
        size(&first),
        size(&second)
    );

    let begun = Instant::now();
    let (base, new) = (load(&first), load(&second));
    println!("reading both: {:.2} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let changes = baseline::diff(&base, &new);
    println!(
        "diff: {:.2} s, {} changes",
        begun.elapsed().as_secs_f64(),
        changes.len()
    );
    let begun = Instant::now();
    let report = Report {
        results: &new,
        base: Some(&base),
        past: &[],
    };
    report::write(folder, &report).expect("there is room");
    println!(
        "reports: {:.2} s; results.ktap {:.1} MB, junit.xml {:.1} MB, report.html {:.1} MB",
        begun.elapsed().as_secs_f64(),
        size(&folder.join("results.ktap")),
        size(&folder.join("junit.xml")),
        size(&folder.join("report.html"))
    );
    println!(
        "memory with both results and all reports: {:.0} MiB at most",
        peak()
    );
    match browser::chromium() {
        None => println!("page: not measured, there is no `chromium`"),
        Some(chromium) => in_browser(&chromium, &folder.join("report.html")),
    }
}

fn size(path: &Path) -> f64 {
    fs::metadata(path).map_or(f64::NAN, |data| data.len() as f64 / 1e6)
}

fn in_browser(chromium: &Path, file: &Path) {
    let mut browser = browser::Browser::start(chromium);
    browser.size(1280, 900, false);
    let begun = Instant::now();
    browser.open(file);
    println!(
        "page: {:.2} s until it is drawn",
        begun.elapsed().as_secs_f64()
    );
    for (what, expression) in [
        (
            "programs x NICs",
            "document.querySelector('#by-program').click()",
        ),
        (
            "one status",
            "document.querySelector('#counts [data-status=fail]').click()",
        ),
        (
            "all cells",
            "document.querySelector('button[type=reset]').click()",
        ),
        ("text in 120,000 ids", "choose({ text: 'rack-17' })"),
        (
            "one host's NICs",
            "document.querySelector('button[type=reset]').click(); toggle(17)",
        ),
        ("100 more cells", "document.querySelector('#more').click()"),
    ] {
        let timed = format!(
            "(async () => {{ const t = performance.now(); {expression}; document.body.offsetHeight; \
             await new Promise(requestAnimationFrame); return performance.now() - t; }})()"
        );
        let milliseconds = browser.ask(&timed).as_f64().unwrap_or(f64::NAN);
        println!("page: {milliseconds:.0} ms for {what}");
    }
    let heap = browser.ask("performance.memory.usedJSHeapSize").as_f64();
    println!(
        "page: {:.0} MB of JavaScript memory",
        heap.unwrap_or(f64::NAN) / 1e6
    );
    browser.text("h1");
    browser.click("#by-mode");
    browser.scheme("light");
    browser.wait_for("document.querySelector('#by-mode').ariaPressed === 'true'");
    browser.type_text("");
    let _ = browser.screenshot();
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
    assert!(
        browser
            .requests
            .iter()
            .all(|url| url.starts_with("file://") || url.starts_with("data:"))
    );
}
