//! `bench`: each mode that holds is measured, and nothing is left.

use serde_json::{Value, json};
use tests::{Output, corpus, require_root};

use super::{Wire, checked, text};

impl Wire {
    fn bench(&self, arguments: &[&str]) -> Output {
        let object = corpus("verdicts");
        let bench = ["bench", text(&object), "near0", "--for", "200ms"];
        self.tool(&[&bench[..], arguments].concat())
    }
}

#[track_caller]
fn is_measured(measured: &Value, mode: &str, how: &str) {
    assert_eq!(measured["mode"], mode, "{measured}");
    assert_eq!(measured["held"], true, "{measured}");
    assert_eq!(measured["how"], how, "{measured}");
    for figure in ["packets_per_second", "ns_per_packet"] {
        assert!(measured[figure].as_f64() > Some(0.0), "{measured}");
    }
}

#[test]
fn both_modes_are_measured_on_a_wire() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("bench");
    let benched = wire.bench(&["--peer", &wire.peer, "--json"]);
    let report = checked(benched.expect_code(0), "bench");
    let modes = &report["modes"];
    assert_eq!(modes[0]["mode"], "offload");
    assert_eq!(modes[0]["held"], false);
    let reason = modes[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("veth runs no programs in hardware"),
        "{reason}"
    );
    is_measured(&modes[1], "native", "wire");
    is_measured(&modes[2], "generic", "wire");
    assert!(report["ratio"].as_f64() > Some(0.0), "{report}");
    let status = wire.tool(&["status", "near0", "--json"]).json();
    assert_eq!(status["interfaces"][0]["attached"], json!([]));

    let shown = wire.bench(&["--peer", &wire.peer]);
    let stdout = &shown.expect_code(0).stdout;
    assert!(stdout.contains("native : generic = "), "{stdout}");
}

#[test]
fn without_a_peer_the_kernel_makes_the_packets() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("live");
    let report = checked(wire.bench(&["--json"]).expect_code(0), "bench");
    is_measured(&report["modes"][1], "native", "test-run");
    is_measured(&report["modes"][2], "generic", "test-run");
    assert_eq!(
        report["ratio"],
        Value::Null,
        "no traffic, nothing to compare"
    );
}

#[test]
fn what_is_attached_is_not_touched() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("occupied");
    wire.attach("pass", "generic");
    let refused = wire.bench(&["--peer", &wire.peer]);
    let stderr = &refused.expect_code(3).stderr;
    for part in ["near0 has a program attached", "(pass), in generic mode"] {
        assert!(stderr.contains(part), "{part:?} is not in\n{stderr}");
    }
    let status = wire.tool(&["status", "near0", "--json"]).json();
    assert_eq!(status["interfaces"][0]["attached"][0]["name"], "pass");
}
