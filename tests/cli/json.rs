//! What `xdp-offload --json` prints is what its committed schemas say.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use tests::{Netns, corpus, require_root, tool, workspace};

use crate::code;

/// Runs `xdp-offload ARGUMENTS --json` and holds each line of its output to a schema; the last line.
#[track_caller]
fn checked(netns: &Netns, schema: &str, arguments: &[&str]) -> Value {
    let path = workspace().join(format!("xdp-offload/schemas/{schema}.json"));
    let text = fs::read_to_string(&path).unwrap();
    let validator = jsonschema::validator_for(&text.parse().unwrap()).unwrap();
    let options = ["--json", "--netns", netns.name()];
    let output = tool("xdp-offload", [arguments, &options].concat());
    output.expect_code(code::DONE);
    let mut last = Value::Null;
    for line in output.stdout.lines() {
        last = line.parse().unwrap();
        if let Err(error) = validator.validate(&last) {
            panic!("{schema}: {error} at {}\n{last:#}", error.instance_path());
        }
    }
    assert_eq!(last["schema"], format!("xdp-offload/{schema}/v1"));
    last
}

#[test]
fn every_output_keeps_to_its_schema() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("json");
    netns.veth("v0", "v1");
    let verdicts = corpus("verdicts");
    let verdicts = verdicts.to_str().unwrap();

    checked(&netns, "check", &["check", verdicts, "--dev", "v0"]);
    checked(
        &netns,
        "attach-plan",
        &["attach", verdicts, "v0", "v1", "--dry-run"],
    );
    let attached = checked(&netns, "attach", &["attach", verdicts, "v0", "v1"]);
    assert_eq!(attached["mode"], "native");
    assert_eq!(attached["fell_back"], false);

    let status = checked(&netns, "status", &["status"]);
    let names: BTreeSet<&str> = status["interfaces"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|interface| interface["ifname"].as_str())
        .collect();
    assert_eq!(names, BTreeSet::from(["v0", "v1"]));

    checked(&netns, "map-list", &["map", "list", "--dev", "v0"]);
    let map = ["map", "verdicts", "--dev", "v0"];
    checked(&netns, "map", &[&map[..], &["set", "1", "77"]].concat());
    let value = checked(&netns, "map", &[&map[..], &["get", "1"]].concat());
    assert_eq!(value["entries"][0]["value"], 77);
    let dump = checked(&netns, "map", &[&map[..], &["dump"]].concat());
    assert_eq!(dump["entries"].as_array().unwrap().len(), 5);

    checked(&netns, "detach", &["detach", "v0", "v1"]);
    let status = checked(&netns, "status", &["status"]);
    assert_eq!(status["interfaces"], Value::Array(Vec::new()));
}
