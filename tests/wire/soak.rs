//! `soak`: no packet passes by a program that is replaced in one step; one that is taken off for a moment is found out.

use std::process::{Command, Stdio};

use serde_json::Value;
use tests::packets::{capture, udp};
use tests::{Output, binary, corpus, require_root};

use super::{MODES, Wire, checked, text};

const NO: i32 = 3;

fn packets() -> Vec<Vec<u8>> {
    (7000..7005).map(udp).collect()
}

impl Wire {
    /// `xdp-offload soak near0 ... --json`
    fn soak(&self, arguments: &[&str]) -> Command {
        let packets = capture(self.folder.path(), &packets());
        let mut command = Command::new(binary("xdp-offload"));
        command
            .args(["--netns", self.cable.near.name(), "soak", "near0", "--json"])
            .args(["--packets", text(&packets), "--peer", &self.peer])
            .args(arguments);
        command
    }
}

#[test]
fn nothing_passes_by_a_program_that_is_replaced() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("replaced");
    let object = corpus("verdicts");
    for mode in MODES {
        wire.attach("verdicts", mode);
        // Counts that the next one goes on from.
        let set = ["map", "verdicts", "--dev", "near0", "set", "1", "1000000"];
        wire.tool(&set).expect_code(0);
        let replace = ["--replace", text(&object), "--every", "20ms", "--for", "1s"];
        let soaked = Output::of(wire.soak(&replace).args(["--rate", "500"])).unwrap();
        let report = checked(soaked.expect_code(0), "soak");
        let count = |name: &str| report[name].as_u64().unwrap();
        assert_eq!(report["mode"], mode);
        assert_eq!(count("unprotected") + count("lost"), 0, "{report}");
        assert!(count("replaced") > 1 && count("sent") > 5, "{report}");
        // Of five packets one passes, and one is sent back.
        let fifth = count("sent") / 5;
        for (got, wanted) in [("passed", "expected_pass"), ("returned", "expected_return")] {
            assert_eq!(count(got), count(wanted), "{report}");
            assert!((fifth..=fifth + 1).contains(&count(got)), "{report}");
        }
        assert_eq!(report["runs"], report["sent"]);
        let status = wire.tool(&["status", "near0", "--json"]).json();
        let attached = &status["interfaces"][0]["attached"];
        assert_eq!(attached[0]["name"], "verdict_by_port");
        let dropped = wire.tool(&["map", "verdicts", "--dev", "near0", "get", "1", "--json"]);
        let dropped = dropped.json()["entries"][0]["value"].as_u64().unwrap();
        assert!(dropped > 1_000_000, "{dropped}");
        wire.detach();
    }
}

#[test]
fn a_gap_between_two_programs_is_found() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("gap");
    wire.attach("verdicts", "native");
    let mut soak = wire.soak(&["--for", "3s", "--rate", "500"]);
    let soak = soak.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = soak.spawn().unwrap();
    // Each packet alone first: when there are many more, the traffic has begun.
    let came_in = || {
        let file = "/sys/class/net/near0/statistics/rx_packets";
        let count = wire.cable.near.run(&["cat", file]);
        count.trim().parse::<u64>().unwrap()
    };
    while came_in() < 50 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    wire.detach();
    wire.attach("verdicts", "native");
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["unprotected"].as_u64() > Some(0), "{report}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(NO), "{stderr}");
    assert!(
        stderr.contains("packets reached near0's stack that the program keeps from it"),
        "{stderr}"
    );
}

#[test]
fn what_cannot_be_soaked_is_said() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("unsoaked");
    let says = |soak: &mut Command, code: i32, part: &str| {
        let output = Output::of(soak).unwrap();
        let stderr = &output.expect_code(code).stderr;
        assert!(stderr.contains(part), "{part:?} is not in\n{stderr}");
    };
    says(&mut wire.soak(&[]), NO, "no program is attached to near0");
    wire.attach("verdicts", "native");
    let bad = corpus("bad/no_bounds_check");
    let replace = ["--replace", text(&bad), "--for", "1s"];
    says(
        &mut wire.soak(&replace),
        NO,
        "the kernel refuses 'no_bounds_check'",
    );
    says(
        &mut wire.soak(&["--for", "5"]),
        2,
        "a time is a number and ms, s, m or h",
    );
}
