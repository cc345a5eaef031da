//! `xdp-offload attach --hw` on the kernel's own NFP driver, in a virtual machine (hw-matrix/lab/nfpsim): programs are
//! lowered on the way, and where the card takes a part only the program itself runs beside it.

use std::path::PathBuf;

use nfp_target::profile::Profile;
use serde_json::Value;
use tests::nfpsim::Simulator;
use tests::{Output, corpus};

fn json(output: &Output) -> Value {
    serde_json::from_str(output.stdout.trim()).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// "offload:lower:refused native:attach:ok"
fn attempts(report: &Value) -> String {
    let attempts = report["attempts"].as_array().expect("a list");
    let word = |attempt: &Value, key: &str| attempt[key].as_str().unwrap_or_default().to_owned();
    let rung = |attempt: &Value| {
        ["mode", "step", "result"]
            .map(|key| word(attempt, key))
            .join(":")
    };
    attempts.iter().map(rung).collect::<Vec<_>>().join(" ")
}

/// The mode and the program's id of each attachment.
fn attached(status: &Output) -> Vec<(String, u64)> {
    let status = json(status);
    let interfaces = status["interfaces"].as_array().expect("a list");
    let programs = interfaces
        .iter()
        .flat_map(|interface| interface["attached"].as_array().expect("a list"));
    programs
        .map(|program| {
            let mode = program["mode"].as_str().expect("a mode").to_owned();
            (mode, program["prog_id"].as_u64().expect("an id"))
        })
        .collect()
}

#[test]
fn programs_are_lowered_on_their_way_to_the_nic() {
    let Some(simulator) = Simulator::obtain() else {
        return;
    };
    let objects = ["counter", "edge"].map(corpus);
    let outputs = simulator
        .run(
            &Profile::default(),
            &objects.each_ref().map(PathBuf::as_path),
            &[
                "xdp-offload attach counter.bpf.o nfpsim0 --json",
                "xdp-offload attach --hw counter.bpf.o nfpsim0 --allow counters --replace --json",
                "xdp-offload status --json",
                "xdp-offload detach nfpsim0",
                "xdp-offload attach edge.bpf.o nfpsim0 --allow split --dry-run --json",
                "xdp-offload attach edge.bpf.o nfpsim0 --allow split --json",
                "xdp-offload status --json",
                "xdp-offload map blocked set 0x0a000001 7; xdp-offload map blocked dump --json",
                "for id in $(xdp-offload map list | awk '/blocked/ { print $1 }'); do xdp-offload map $id get 0x0a000001; done",
                // What each half has counted, as if packets had passed.
                "for id in $(xdp-offload map list | awk '/dropped/ { print $1 }'); do xdp-offload map $id set 0 2; done",
                "xdp-offload map dropped dump",
                "xdp-offload map dropped set 0 5 && xdp-offload map dropped get 0",
                "xdp-offload map blocked del 0x0a000001 && xdp-offload map blocked dump",
                "xdp-offload attach --hw edge.bpf.o nfpsim0 --allow split --replace",
                "xdp-offload status --json",
                "xdp-offload detach nfpsim0 --all",
                "xdp-offload attach --hw edge.bpf.o nfpsim0 --allow split --pin /sys/fs/bpf/edge",
                "ls /sys/fs/bpf/edge/nic",
            ],
        )
        .expect("the machine runs");
    let [fallback, whole, whole_status, ..] = outputs.as_slice() else {
        panic!("an output each");
    };

    // Without leave to change what user space sees: why not, and what would help; then the next rung.
    let report = json(fallback);
    assert_eq!(attempts(&report), "offload:lower:refused native:attach:ok");
    let rung = &report["attempts"][0];
    let says = |key: &str| rung[key].as_str().expect("text").to_owned();
    assert!(
        says("reason").contains("map traffic is of kind percpu_array"),
        "{report}"
    );
    assert!(says("reason").contains("counter.bpf.c:"), "{report}");
    assert!(says("remedy").starts_with("--allow counters "), "{report}");

    // With it: one program, on the NIC, in place of the one in native mode.
    let report = json(whole);
    assert_eq!(attempts(&report), "offload:attach:ok");
    assert_eq!(report["mode"], "offload");
    assert!(report["beside"].is_null());
    let id = report["prog_id"].as_u64().expect("an id");
    assert_eq!(attached(whole_status), [("offload".to_owned(), id)]);

    // A part on the NIC, and the program itself in native mode beside it.
    let [
        plan,
        split,
        split_status,
        maps @ ..,
        again,
        again_status,
        detached,
        pinned,
        pins,
    ] = &outputs[4..]
    else {
        panic!("an output each");
    };
    let plan = json(plan);
    let tried: Vec<&Value> = plan["rungs"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|rung| rung["tried"] == true)
        .map(|rung| &rung["mode"])
        .collect();
    assert_eq!(tried, ["offload", "native", "generic"], "{plan}");
    let report = json(split);
    assert_eq!(
        attempts(&report),
        "offload:attach:ok native:attach:ok",
        "{report}"
    );
    assert_eq!(report["fell_back"], false);
    let halves = |report: &Value| {
        let id = |half: &Value| half["prog_id"].as_u64().expect("an id");
        [
            ("offload".to_owned(), id(report)),
            ("native".to_owned(), id(&report["beside"])),
        ]
    };
    assert_eq!(attached(split_status), halves(&report));

    // A map that user space fills is filled on both sides; what both count is a sum.
    let [dump, each, _, sum, set, deleted] = maps else {
        panic!("an output each");
    };
    let entries = &json(dump)["entries"];
    assert_eq!(entries[0]["value"], 7, "{dump:?}");
    assert!(entries[0]["nic"].is_null(), "they differ: {dump:?}");
    let values: Vec<&str> = each.stdout.split_whitespace().collect();
    assert_eq!(values.len(), 4, "two maps: {each:?}");
    assert_eq!(sum.stdout, "0: 4\n", "{sum:?}");
    assert_eq!(set.stdout, "0: 5\n", "{set:?}");
    assert_eq!(
        (deleted.code, deleted.stdout.as_str()),
        (0, ""),
        "{deleted:?}"
    );

    // Both halves are replaced, none is left behind.
    assert_eq!(again.code, 0, "{again:?}");
    let now = attached(again_status);
    let modes: Vec<&str> = now.iter().map(|(mode, _)| mode.as_str()).collect();
    assert_eq!(modes, ["offload", "native"]);
    assert!(
        now.iter()
            .all(|(_, id)| !halves(&report).iter().any(|(_, old)| old == id))
    );
    assert!(
        again
            .stdout
            .contains("; what it passes is decided in native mode, program "),
        "{again:?}"
    );
    assert_eq!(detached.code, 0, "{detached:?}");

    // The maps of both halves are pinned, apart.
    assert_eq!(pinned.code, 0, "{pinned:?}");
    assert!(pinned.stdout.contains("runs in offload mode"), "{pinned:?}");
    let pins: Vec<&str> = pins.stdout.split_whitespace().collect();
    assert_eq!(pins, ["blocked", "dropped_sum"]);
}
