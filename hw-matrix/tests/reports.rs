//! KTAP, JUnit and plain lines of a run with every kind of end: golden files (`BLESS=1` rewrites them), and what public
//! parsers make of them.

mod requires;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hw_matrix::progress;
use hw_matrix::report::{Report, junit, ktap, page};
use hw_matrix::results::{Results, Status, read};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports")
}

fn results(name: &str) -> Results {
    read(fs::File::open(folder().join(name)).unwrap()).unwrap()
}

fn assert_golden(name: &str, text: &str) {
    let path = folder().join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == text,
        "{name} differs; BLESS=1 rewrites it. Now:\n{text}"
    );
}

#[test]
fn the_reports_are_as_they_were_read() {
    let results = results("results.jsonl");
    let statuses = results.cells.values().map(|result| result.status);
    let mut seen: Vec<Status> = statuses.collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, Status::ALL, "every kind of end is here");
    assert_golden("ktap.expected", &ktap(&results));
    assert_golden(
        "junit.expected",
        &String::from_utf8(junit(&results).unwrap()).unwrap(),
    );
    let lines: Vec<String> = results.cells.values().map(progress::line).collect();
    assert_golden("lines.expected", &(lines.join("\n") + "\n"));
}

/// Nothing of a result can end the page's data, start a script of its own, or ask for something outside.
#[test]
fn what_a_result_says_stays_data() {
    let results = results("results.jsonl");
    let report = Report {
        results: &results,
        base: None,
        past: &[],
    };
    let page = page(&report).unwrap();
    assert_eq!(page.matches("</script>").count(), 2);
    assert_eq!(page.matches("<script").count(), 2);
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

/// tap.py and junitparser, from PyPI; `cargo xtask test` installs them.
#[test]
fn public_parsers_read_the_reports_alike() {
    let python = requires::target().join("python/bin/python");
    let reason = "needs target/python, which `cargo xtask test` makes";
    if !requires::require(python.exists(), reason) {
        return;
    }
    let results = results("results.jsonl");
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("results.ktap"), ktap(&results)).unwrap();
    fs::write(out.path().join("junit.xml"), junit(&results).unwrap()).unwrap();
    let output = Command::new(python)
        .arg(folder().join("parse.py"))
        .arg(out.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{err}");
    assert_golden("parsed.expected", &text);
}
