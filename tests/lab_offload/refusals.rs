//! What refuses at each step: the next rung is tried, and every rung says why it did not hold.

use serde_json::Value;
use tests::corpus;

use crate::machine::{Guest, switches};

/// The modes, steps and results of the rungs that did not hold, and the one that did.
pub(crate) fn rungs(report: &Value) -> String {
    let attempts = report["attempts"].as_array().expect("a list");
    let word = |attempt: &Value, key: &str| attempt[key].as_str().unwrap_or_default().to_owned();
    let rung = |attempt: &Value| {
        ["mode", "step", "result"]
            .map(|key| word(attempt, key))
            .join(":")
    };
    attempts.iter().map(rung).collect::<Vec<_>>().join(" ")
}

/// Every rung that did not hold has a reason, and what was refused a remedy.
#[track_caller]
pub(crate) fn every_rung_is_explained(report: &Value) {
    for attempt in report["attempts"].as_array().expect("a list") {
        let held = attempt["result"] == "ok";
        let text = |key: &str| attempt[key].as_str().unwrap_or_default().len();
        assert!(held || text("reason") > 10, "{attempt}");
        assert!(held || text("remedy") > 10, "{attempt}");
        assert!(
            attempt["result"] != "refused" || attempt["errno"].is_number(),
            "{attempt}"
        );
    }
}

pub(crate) fn each_step_that_refuses_falls_back_with_its_reason(guest: &Guest) {
    let device = guest.device(10, 1);
    let pass = corpus("pass").display().to_string();
    let flows = "flows.bpf.o".to_owned();
    let switches = switches(10);
    let native = "ports/0/bpf_xdpdrv_accept";
    for (switch, object, step) in [
        ("bpf_bind_accept", &pass, "load"),
        ("bpf_bind_verifier_accept", &pass, "load"),
        ("ports/0/bpf_map_accept", &flows, "load"),
        ("ports/0/bpf_xdpoffload_accept", &pass, "attach"),
        // Its maps are on the device by then.
        ("ports/0/bpf_xdpoffload_accept", &flows, "attach"),
    ] {
        let attach = format!("attach --hw {object} sim10p0");
        guest.ok(&format!("echo N > {switches}/{switch}"));
        let report = guest.json(&attach);
        let offload = format!("offload:{step}:refused");
        assert_eq!(rungs(&report), format!("{offload} native:attach:ok"));
        assert_eq!(report["fell_back"], true);
        every_rung_is_explained(&report);
        let name = switch.rsplit('/').next().expect("a name");
        let remedy = report["attempts"][0]["remedy"].as_str().expect("a remedy");
        assert!(remedy.contains(&format!("{switches}/{switch}")), "{remedy}");
        guest.offload("detach sim10p0 --all", 0);

        guest.ok(&format!("echo N > {switches}/{native}"));
        let report = guest.json(&attach);
        assert_eq!(
            rungs(&report),
            format!("{offload} native:attach:refused generic:attach:ok"),
            "{name}"
        );
        every_rung_is_explained(&report);
        guest.offload("detach sim10p0 --all", 0);

        // The remedies are true.
        for attempt in report["attempts"].as_array().expect("a list") {
            if let Some(remedy) = attempt["remedy"].as_str() {
                let command = remedy.split(" (").next().expect("a command");
                guest.ok(command);
            }
        }
        let report = guest.json(&attach);
        assert_eq!(rungs(&report), "offload:attach:ok");
        guest.offload("detach sim10p0", 0);
        guest.nothing_is_left();
    }
    device.delete();
}
