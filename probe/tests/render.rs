//! What people and programs get to see, from facts of machines that this is not.

mod golden;
mod synthetic;

use golden::expect;
use probe::render::{driver, json, show, table};
use probe::{Facts, Needs, Snapshot, Verdicts, drivers, judge};
use synthetic::zoo;

fn judged(snapshot: &Snapshot) -> Vec<(&Facts, Verdicts)> {
    snapshot
        .interfaces()
        .iter()
        .map(|facts| (facts, judge(snapshot, facts, &Needs::default())))
        .collect()
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn list_fits_the_terminal() {
    let snapshot = zoo();
    let rows = judged(&snapshot);
    for (width, file) in [
        (Some(80), "80"),
        (Some(120), "120"),
        (Some(200), "200"),
        (None, "pipe"),
    ] {
        let text = plain(&table::list(&rows, false, width));
        if let Some(width) = width {
            for line in text.lines() {
                assert!(
                    line.chars().count() <= usize::from(width),
                    "{width}: {line}"
                );
            }
        }
        expect(&format!("tests/list-{file}.expected"), &text);
    }
    expect(
        "tests/list-wide.expected",
        &plain(&table::list(&rows, true, Some(80))),
    );
}

#[test]
fn show_tells_everything() {
    let snapshot = zoo();
    for name in ["eth0", "ens5", "enp2s0", "veth0", "br0", "eno1"] {
        let facts = snapshot.by_name(name).expect("it is in the zoo");
        let verdicts = judge(&snapshot, facts, &Needs::default());
        expect(
            &format!("tests/show-{name}.expected"),
            &plain(&show::page(&snapshot, facts, &verdicts, Some(100))),
        );
    }
}

#[test]
fn json_is_one_document_with_an_interface_a_line() {
    let snapshot = zoo();
    let mut out = Vec::new();
    json::write_list(&mut out, &snapshot, Some("blue"), judged(&snapshot))
        .expect("a vector takes all");
    let text = String::from_utf8(out).expect("JSON is text");
    let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(value["netns"], "blue");
    assert_eq!(
        value["interfaces"].as_array().map(Vec::len),
        Some(snapshot.interfaces().len())
    );
    assert_eq!(text.lines().count(), snapshot.interfaces().len() + 2);
    expect("tests/list-json.expected", &text);
}

#[test]
fn an_empty_list_is_json_too() {
    let mut out = Vec::new();
    json::write_list(&mut out, &Snapshot::default(), None, []).expect("a vector takes all");
    let value: serde_json::Value = serde_json::from_slice(&out).expect("it is JSON");
    assert_eq!(value["interfaces"], serde_json::json!([]));
}

#[test]
fn the_driver_table_is_readable() {
    let rows: Vec<_> = drivers::table().iter().collect();
    expect(
        "tests/drivers.expected",
        &plain(&table::drivers(&rows, Some(80))),
    );
    let ena = drivers::by_name("ena").expect("it is in the table");
    expect(
        "tests/drivers-ena.expected",
        &plain(&driver::page(ena, Some(80))),
    );
}
