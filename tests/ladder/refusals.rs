//! What cannot work: a clear reason, the right exit code, nothing attached and nothing left.

use super::*;

#[test]
fn an_interface_that_vanishes_after_the_probe_is_told_as_such() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-gone");
    netns.veth("v0", "v1");
    let bytes = std::fs::read(corpus("counter")).expect("the corpus");
    let object = Object::parse(&bytes).expect("it is an object");
    netns.inside(|| {
        let snapshot = probe::collect_for(&["v0"]).expect("the probe");
        netns.ip("link del v0");
        let mut ladder = Ladder::new(&object, "counter", 0, None).expect("a ladder");
        let facts = snapshot.by_name("v0").expect("it was there");
        let outcome = ladder.climb(
            &snapshot,
            facts,
            Request {
                wanted: Wanted::Best,
                fallback: true,
                replace: false,
            },
            &NicProgram::AsIs,
        );
        assert_eq!(outcome.mode, None);
        assert_eq!(outcome.ending(), Ending::Failed);
        let last = outcome.attempts.last().expect("an attempt");
        assert_eq!(last.result, AttemptResult::Failed);
        assert_eq!(last.errno, Some(Errno::ENODEV));
        let reason = last.reason.as_deref().unwrap_or_default();
        assert!(reason.contains("gone"), "{reason}");
    });
}

#[test]
fn without_privilege_the_missing_capability_is_named() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-nobody");
    netns.veth("v0", "v1");
    let object = corpus("pass");
    let netns_path = format!("/run/netns/{}", netns.name());
    let nobody = |arguments: &[&str]| {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={netns_path}"))
            .args([
                "setpriv",
                "--reuid=65534",
                "--clear-groups",
                "--inh-caps=-all",
                "--bounding-set=-all",
            ])
            .arg(binary("xdp-offload"))
            .args(arguments);
        Output::of(&mut command).unwrap_or_else(|error| panic!("{error}"))
    };
    let refused = nobody(&["attach", path(&object), "v0", "--json"]);
    refused.expect_code(4);
    let report = refused.json();
    assert!(
        report.to_string().contains("CAP_BPF and CAP_NET_ADMIN"),
        "{report}"
    );
    assert!(attached(&netns, "v0").is_empty());

    let (_, _) = attach(&netns, "pass", &["v0"]);
    let refused = nobody(&["detach", "v0"]);
    refused.expect_code(4);
    assert!(refused.stderr.contains("CAP_BPF"), "{}", refused.stderr);
    assert!(attached(&netns, "v0").native.is_some());

    // Looking is free.
    let status = nobody(&["status", "--json"]);
    status.expect_code(0);
    assert_eq!(
        status.json()["interfaces"][0]["attached"][0]["mode"],
        "native"
    );
    let check = nobody(&["check", path(&object), "--json"]);
    check.expect_code(0);
    assert_eq!(check.json()["programs"][0]["verdict"], "accept");
}

#[test]
fn the_verifiers_complaint_comes_with_its_source_line() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-verifier");
    netns.veth("v0", "v1");
    for (program, words, place) in [
        (
            "bad/no_bounds_check",
            "invalid access to packet",
            "no_bounds_check.bpf.c:8",
        ),
        (
            "bad/unchecked_lookup",
            "R0 invalid mem access 'map_value_or_null'",
            "unchecked_lookup.bpf.c:17",
        ),
        ("bad/uninitialised", "R8 !read_ok", "uninitialised.bpf.c:9"),
        (
            "bad/gpl_only",
            "cannot call GPL-restricted function",
            "gpl_only.bpf.c:7",
        ),
    ] {
        let (code, report) = attach(&netns, program, &["v0", "--native"]);
        assert_eq!(code, 3, "{report}");
        assert_eq!(
            rungs(&report),
            "native refused load, generic skipped load",
            "generic mode takes the same program"
        );
        let native = &report["attempts"][0];
        let message = native["kernel_message"]
            .as_str()
            .expect("the verifier's words");
        assert!(message.contains(words), "{message}");
        assert!(message.contains("lines omitted)"), "{message}");
        let reason = native["reason"].as_str().expect("a reason");
        assert!(reason.contains(place), "{reason}");

        let object = corpus(program);
        let check = run(&netns, &["check", path(&object), "--json"]);
        check.expect_code(3);
        let diagnostic = check.json()["programs"][0]["diagnostics"][0].clone();
        let at = format!(
            "{}:{}",
            diagnostic["file"].as_str().unwrap_or_default(),
            diagnostic["line"]
        );
        assert!(at.ends_with(place), "{at}");
        assert!(attached(&netns, "v0").is_empty());
    }
}

#[test]
fn a_map_that_the_kernel_refuses_is_described() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-badmap");
    netns.veth("v0", "v1");
    let (code, report) = attach(&netns, "bad/bad_map", &["v0", "--native"]);
    assert_eq!(code, 3, "{report}");
    let native = &report["attempts"][0];
    assert_eq!(native["errno"], Errno::EINVAL.0);
    let reason = native["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("'prefixes'") && reason.contains("lpm_trie"),
        "{reason}"
    );
}

#[test]
fn a_full_map_says_so() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-full");
    netns.veth("v0", "v1");
    attach(&netns, "firewall", &["v0"]);
    let map = |arguments: &[&str]| {
        let mut all = vec!["map", "rules", "--dev", "v0"];
        all.extend(arguments);
        run(&netns, &all)
    };
    let id = map(&["--json"]).expect_code(0).json()["id"]
        .as_u64()
        .expect("an id");
    let entries = map(&["--json"]).json()["max_entries"]
        .as_u64()
        .expect("a size");
    let full = kernel::bpf::map::Map::from_id(id as u32).expect("the map");
    for number in 0..entries as u32 {
        full.update(&number.to_ne_bytes(), &vec![0; full.value_len()], 0)
            .expect("there is room");
    }
    let refused = map(&[
        "set",
        r#"{"port":65535,"protocol":255}"#,
        r#"{"verdict":1}"#,
    ]);
    refused.expect_code(3);
    assert!(refused.stderr.contains("is full"), "{}", refused.stderr);
    assert!(
        refused.stderr.contains(&entries.to_string()),
        "{}",
        refused.stderr
    );
}

#[test]
fn files_that_are_not_what_they_claim() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-files");
    netns.veth("v0", "v1");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = std::fs::read(corpus("firewall")).expect("the corpus");
    let file = folder.path().join("x.bpf.o");
    for length in [0, 3, 63, 64, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..length]).expect("it can be written");
        for command in ["attach", "check"] {
            let interface: &[&str] = if command == "attach" { &["v0"] } else { &[] };
            let mut arguments = vec![command, path(&file)];
            arguments.extend(interface);
            let refused = run(&netns, &arguments);
            refused.expect_code(2);
            assert!(refused.stderr.starts_with("error: "), "{}", refused.stderr);
        }
    }
    let not_xdp = corpus("bad/not_xdp");
    let several = corpus("several");
    let pass = corpus("pass");
    for arguments in [
        &["attach", path(&not_xdp), "v0"][..],
        &["attach", path(&several), "v0"],
        &["attach", path(&pass), "v0", "--prog", "nosuch"],
        &["attach", path(&pass), "v0", "--section", "nosuch"],
        &["attach", path(&pass), "v0", "--set", "nosuch=1"],
        &["attach", path(&pass), "nosuch0"],
        &["attach", "/nonexistent.o", "v0"],
        &["attach", path(&pass), "v0", "--native", "--generic"],
        &["map", "nosuchmap", "dump"],
    ] {
        run(&netns, arguments).expect_code(2);
    }
    assert!(attached(&netns, "v0").is_empty());
}

#[test]
fn nothing_is_left_after_refusals_and_after_a_detach() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-left");
    netns.veth("v0", "v1");
    netns.ip("link add br0 type bridge");
    let object = Renamed::new("firewall", "rules", "rulld");
    let links_before = link_ids().count();
    let refused: [&[&str]; 3] = [
        &["br0", "--hw", "--no-fallback"],
        &["br0", "--native", "--no-fallback"],
        &["v0", "br0", "--native", "--no-fallback", "--atomic"],
    ];
    for arguments in refused {
        let file = object.path();
        let mut all = vec!["attach", &file];
        all.extend(arguments);
        run(&netns, &all).expect_code(3);
        nothing_is_left(&[&object.name]);
    }
    run(&netns, &["check", &object.path(), "--dev", "v0"]).expect_code(0);
    nothing_is_left(&[&object.name]);
    run(&netns, &["attach", &object.path(), "v0"]).expect_code(0);
    assert_eq!(
        ours(&[&object.name]).len(),
        1,
        "the map lives with the program"
    );
    run(&netns, &["detach", "v0"]).expect_code(0);
    nothing_is_left(&[&object.name]);
    assert!(
        link_ids().count() <= links_before + 2,
        "other tests make a few"
    );
}
