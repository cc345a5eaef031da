//! Which rung holds, and what is said of those that did not.

use super::*;

#[test]
fn offload_refused_then_native_holds() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-hw");
    netns.veth("v0", "v1");
    let (code, report) = attach(&netns, "firewall", &["v0", "--hw"]);
    assert_eq!(code, 0, "a fallback is no failure: {report}");
    assert_eq!(rungs(&report), "offload refused load, native ok attach");
    assert_eq!(report["mode"], "native");
    assert_eq!(report["fell_back"], true);
    assert_eq!(report["attempts"][0]["errno"], 22);
    every_rung_is_explained(&report);
    assert_eq!(
        attached(&netns, "v0").native.map(Value::from),
        Some(report["prog_id"].clone())
    );
}

#[test]
fn the_best_mode_says_why_not_a_better_one() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-best");
    netns.veth("v0", "v1");
    let (code, report) = attach(&netns, "pass", &["v0"]);
    assert_eq!(code, 0);
    assert_eq!(rungs(&report), "offload skipped plan, native ok attach");
    assert_eq!(report["requested"], "best");
    assert_eq!(
        report["fell_back"], false,
        "native is the best that veth has"
    );
    every_rung_is_explained(&report);
}

#[test]
fn native_refused_by_a_driver_without_it_then_generic_holds() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-nodrv");
    netns.ip("link add br0 type bridge");
    netns.veth("v0", "v1");
    netns.ip("link add mac0 link v0 type macvlan");
    for ifname in ["br0", "mac0"] {
        let (code, report) = attach(&netns, "pass", &[ifname, "--native"]);
        assert_eq!(code, 0, "{report}");
        assert_eq!(rungs(&report), "native refused attach, generic ok attach");
        assert_eq!(report["attempts"][0]["errno"], Errno::EOPNOTSUPP.0);
        assert_eq!(
            report["attempts"][0]["kernel_message"],
            "Underlying driver does not support XDP in native mode"
        );
        assert_eq!(report["fell_back"], true);
        every_rung_is_explained(&report);
        assert!(attached(&netns, ifname).generic.is_some());
    }
}

#[test]
fn native_refused_for_the_peers_mtu_then_generic_holds() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-mtu");
    netns.veth("v0", "v1");
    netns.ip("link set v1 mtu 9000");
    // By its name, the kernel is asked; else the probe knows beforehand. Either way the MTU is named.
    for (arguments, expected) in [
        (
            &["v0", "--native"][..],
            "native refused attach, generic ok attach",
        ),
        (
            &["v0"][..],
            "offload skipped plan, native skipped plan, generic ok attach",
        ),
    ] {
        let (code, report) = attach(&netns, "pass", arguments);
        assert_eq!(code, 0, "{report}");
        assert_eq!(rungs(&report), expected);
        let native = report["attempts"]
            .as_array()
            .and_then(|all| all.iter().find(|attempt| attempt["mode"] == "native"))
            .expect("native is among the rungs");
        let reason = native["reason"].as_str().expect("a reason");
        assert!(reason.contains("MTU"), "{reason}");
        assert!(native["remedy"].is_string(), "{native}");
        run(&netns, &["detach", "v0"]).expect_code(0);
    }
    // A program that takes packets in pieces has no such limit.
    let (code, report) = attach(&netns, "frags", &["v0", "--native", "--no-fallback"]);
    assert_eq!((code, rungs(&report).as_str()), (0, "native ok attach"));
}

#[test]
fn without_fallback_nothing_is_attached() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-strict");
    netns.ip("link add br0 type bridge");
    let object = Renamed::new("counter", "traffic", "trafld1");
    for mode in ["--native", "--hw"] {
        let output = run(
            &netns,
            &[
                "attach",
                &object.path(),
                "br0",
                mode,
                "--no-fallback",
                "--json",
            ],
        );
        output.expect_code(3);
        let report = output.json();
        assert_eq!(report["mode"], Value::Null);
        assert_eq!(report["attempts"].as_array().map(Vec::len), Some(1));
        every_rung_is_explained(&report);
        assert!(attached(&netns, "br0").is_empty());
    }
    nothing_is_left(&[&object.name]);
}

#[test]
fn a_program_that_asks_the_driver_for_metadata_is_bound_to_its_device() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-bound");
    netns.veth("v0", "v1");
    let (code, report) = attach(&netns, "rx_metadata", &["v0", "--native"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(rungs(&report), "native ok attach");

    let (code, report) = attach(&netns, "rx_metadata", &["v1", "--generic"]);
    assert_eq!(code, 3, "{report}");
    assert_eq!(rungs(&report), "generic skipped plan");
    let reason = report["attempts"][0]["reason"].to_string();
    assert!(
        reason.contains("generic mode has no driver to ask"),
        "{report}"
    );

    let object = corpus("rx_metadata");
    let unknown = run(&netns, &["check", path(&object), "--load", "--json"]);
    unknown.expect_code(0);
    assert_eq!(unknown.json()["programs"][0]["verdict"], Value::Null);
    let known = run(
        &netns,
        &["check", path(&object), "--load", "--dev", "v1", "--json"],
    );
    known.expect_code(0);
    assert_eq!(known.json()["programs"][0]["verdict"], "accept");
}

#[test]
fn an_interface_answers_to_its_alternative_names() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-alt");
    netns.veth("v0", "v1");
    netns.ip("link property add dev v0 altname uplink-of-this-host");
    let (code, report) = attach(&netns, "pass", &["uplink-of-this-host"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["ifname"], "v0");
    run(&netns, &["detach", "uplink-of-this-host"]).expect_code(0);
    assert!(attached(&netns, "v0").is_empty());
}

#[test]
fn settings_reach_the_program() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-set");
    netns.veth("v0", "v1");
    let object = corpus("cpu_spread");
    run(&netns, &["attach", path(&object), "v0", "--set", "cpus=2"]).expect_code(0);
    let maps = run(&netns, &["map", "list", "--dev", "v0", "--json"]).json();
    let rodata = maps["maps"]
        .as_array()
        .and_then(|maps| {
            maps.iter().find(|map| {
                map["name"]
                    .as_str()
                    .is_some_and(|name| name.ends_with(".rodata"))
            })
        })
        .expect("constants live in .rodata");
    let id = rodata["id"].to_string();
    let dump = run(&netns, &["map", &id, "dump", "--json"]).json();
    assert_eq!(dump["entries"][0]["value"]["cpus"], 2, "{dump}");
    // It is frozen.
    run(&netns, &["map", &id, "set", "0", r#"{"cpus":3}"#]).expect_code(4);
}
