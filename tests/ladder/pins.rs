//! Pins: links, maps, program arrays.

use super::*;

#[test]
fn a_pinned_link_outlives_us_is_updated_and_goes_with_its_pin() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-pin");
    netns.veth("v0", "v1");
    let bpffs = Bpffs::mount();
    let folder = bpffs.path().join("filter");
    let pin = path(&folder);

    let (code, report) = attach(&netns, "firewall", &["v0", "--pin", pin]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["attachment"]["kind"], "link");
    assert_eq!(
        report["attachment"]["pin"],
        format!("{pin}/link-v0").as_str()
    );
    assert!(folder.join("rules").exists(), "its map is pinned");
    let rules = folder.join("rules");
    let key = r#"{"port":53,"protocol":17}"#;
    let value = r#"{"verdict":1,"packets":7}"#;
    run(&netns, &["map", path(&rules), "set", key, value]).expect_code(0);

    let (code, swapped) = attach(&netns, "firewall", &["v0", "--pin", pin, "--replace"]);
    assert_eq!(code, 0, "{swapped}");
    assert_eq!(swapped["replaced"], report["prog_id"]);
    assert_eq!(
        swapped["attachment"]["link_id"], report["attachment"]["link_id"],
        "the same link"
    );
    let got = run(&netns, &["map", path(&rules), "get", key]);
    assert!(
        got.stdout.contains("\"packets\":7"),
        "the map was kept: {}",
        got.stdout
    );

    run(&netns, &["detach", "v0"]).expect_code(0);
    assert!(attached(&netns, "v0").is_empty());
    assert!(
        !folder.join("link-v0").exists(),
        "a link without interface is of no use"
    );
}

#[test]
fn pins_go_where_the_attach_is_refused_and_others_are_not_used() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-pins");
    netns.ip("link add br0 type bridge");
    netns.veth("v0", "v1");
    let bpffs = Bpffs::mount();
    let folder = bpffs.path().join("deep/er");
    let (code, _) = attach(
        &netns,
        "firewall",
        &["br0", "--native", "--no-fallback", "--pin", path(&folder)],
    );
    assert_eq!(code, 3);
    assert!(
        !bpffs.path().join("deep").exists(),
        "nothing is left of the pins"
    );

    // A map of that name that is another one.
    let (code, _) = attach(&netns, "counter", &["v0", "--pin", path(&folder)]);
    assert_eq!(code, 0);
    std::fs::rename(folder.join("traffic"), folder.join("rules")).expect("bpffs renames");
    let (code, report) = attach(&netns, "firewall", &["br0", "--pin", path(&folder)]);
    assert_eq!(code, 3, "{report}");
    let reason = report["attempts"].as_array().and_then(|all| all.last());
    let reason = reason.expect("an attempt")["reason"].to_string();
    assert!(reason.contains("its kind is percpu_array"), "{reason}");
    assert!(attached(&netns, "br0").is_empty());
}

#[test]
fn tail_calls_work_after_we_are_gone_or_are_refused() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-tail");
    netns.veth("v0", "v1");
    let (code, report) = attach(&netns, "tail_call", &["v0"]);
    assert_eq!(code, 3, "{report}");
    assert!(report.to_string().contains("--pin"), "{report}");

    let bpffs = Bpffs::mount();
    let folder = bpffs.path().join("tail");
    let (code, report) = attach(&netns, "tail_call", &["v0", "--pin", path(&folder)]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["program"], "entry", "the others are called by it");
    let array = folder.join("stages");
    let slots = || {
        let dump = run(&netns, &["map", path(&array), "dump", "--json"]).json();
        dump["entries"].clone()
    };
    let before = slots();
    assert_eq!(before.as_array().map(Vec::len), Some(2), "{before}");

    // A refused attach leaves the array as the running program needs it; one that holds fills it anew.
    netns.ip("link add br0 type bridge");
    let strict = ["br0", "--native", "--no-fallback", "--pin", path(&folder)];
    let (code, _) = attach(&netns, "tail_call", &strict);
    assert_eq!(code, 3);
    assert_eq!(slots(), before);
    let again = ["v0", "--replace", "--pin", path(&folder)];
    let (code, report) = attach(&netns, "tail_call", &again);
    assert_eq!(code, 0, "{report}");
    let after = slots();
    assert_eq!(after.as_array().map(Vec::len), Some(2), "{after}");
    assert_ne!(after, before);
}

#[test]
fn a_pin_that_is_taken_is_no_reason_to_fall_back() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-taken");
    netns.veth("v0", "v1");
    let bpffs = Bpffs::mount();
    let taken = bpffs.path().join("link-v0");
    let program = Program::load(&ProgramSpec::pass(None)).expect("it loads");
    program.pin(&taken).expect("it pins");
    let (code, report) = attach(&netns, "pass", &["v0", "--pin", path(bpffs.path())]);
    assert_eq!(code, 3, "{report}");
    let last = report["attempts"].as_array().and_then(|all| all.last());
    assert_eq!(last.expect("an attempt")["mode"], "native");
    assert!(report.to_string().contains("link-v0"), "{report}");
    assert!(attached(&netns, "v0").is_empty());
}
