//! What is attached already: left alone, swapped in one step, taken off.

use super::*;

#[test]
fn a_program_is_not_replaced_unasked_and_swapped_when_asked() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-replace");
    netns.veth("v0", "v1");
    let (_, first) = attach(&netns, "pass", &["v0"]);
    let id = first["prog_id"].clone();

    let (code, refused) = attach(&netns, "drop", &["v0"]);
    assert_eq!(code, 3);
    every_rung_is_explained(&refused);
    let text = refused.to_string();
    assert!(text.contains(&format!("program {id} (pass)")), "{text}");
    assert!(text.contains("--replace"), "{text}");
    assert_eq!(
        attached(&netns, "v0").native.map(Value::from),
        Some(id.clone())
    );

    let (code, swapped) = attach(&netns, "drop", &["v0", "--replace"]);
    assert_eq!(code, 0, "{swapped}");
    assert_eq!(swapped["replaced"], id);
    assert_eq!(
        attached(&netns, "v0").native.map(Value::from),
        Some(swapped["prog_id"].clone())
    );
}

#[test]
fn the_mode_is_never_switched_over_a_gap() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-gap");
    netns.veth("v0", "v1");
    let (_, generic) = attach(&netns, "pass", &["v0", "--generic"]);

    let (code, report) = attach(
        &netns,
        "drop",
        &["v0", "--native", "--replace", "--no-fallback"],
    );
    assert_eq!(code, 3, "{report}");
    every_rung_is_explained(&report);
    assert_eq!(
        attached(&netns, "v0").generic.map(Value::from),
        Some(generic["prog_id"].clone())
    );

    let (code, report) = attach(&netns, "drop", &["v0", "--native", "--replace"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(rungs(&report), "native skipped plan, generic ok attach");
    assert_eq!(report["replaced"], generic["prog_id"]);
    assert_eq!(report["fell_back"], true);
}

#[test]
fn no_packet_passes_unseen_while_programs_are_swapped() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-atomic");
    netns.veth("v0", "v1");
    let (_, report) = attach(&netns, "drop", &["v0"]);
    assert_eq!(report["mode"], "native");
    // Every moment of ten swaps finds a program attached.
    let stop = std::sync::atomic::AtomicBool::new(false);
    let looks = netns.inside(|| {
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                kernel::netns::enter(netns.name()).expect("the namespace");
                let mut route = Route::open().expect("a socket");
                let mut looks = 0_u32;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let link = route.link_by_name("v0").expect("v0");
                    assert!(link.xdp.native.is_some(), "a gap after {looks} looks");
                    looks += 1;
                }
                looks
            });
            for program in ["pass", "drop"].into_iter().cycle().take(10) {
                let (code, report) = attach(&netns, program, &["v0", "--replace"]);
                assert_eq!(code, 0, "{report}");
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            watcher.join().expect("the watcher saw no gap")
        })
    });
    assert!(looks > 100, "only {looks} looks");
}

#[test]
fn a_link_of_another_process_is_named_and_left_alone() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-link");
    netns.veth("v0", "v1");
    let program = Program::load(&ProgramSpec {
        expected_attach_type: kernel::bpf::program::ATTACH_XDP,
        ..ProgramSpec::pass(None)
    })
    .expect("it loads");
    let link = netns.inside(|| {
        let ifindex = Route::open().and_then(|mut route| route.link_by_name("v0"));
        BpfLink::create_xdp(&program, ifindex.expect("v0").ifindex, Some(Mode::Native))
            .expect("a link")
    });
    let id = link.info().expect("the link's info").id;
    let before = attached(&netns, "v0");

    for arguments in [&["v0"][..], &["v0", "--replace"]] {
        let (code, report) = attach(&netns, "drop", arguments);
        assert_eq!(code, 3, "{report}");
        assert!(
            report.to_string().contains(&format!("bpf_link {id}")),
            "{report}"
        );
        assert_eq!(attached(&netns, "v0"), before);
    }
    let refused = run(&netns, &["detach", "v0"]);
    refused.expect_code(3);
    assert!(
        refused.stderr.contains(&format!("bpf_link {id}")),
        "{}",
        refused.stderr
    );
    assert_eq!(attached(&netns, "v0"), before);

    let status = run(&netns, &["status", "v0", "--json"]).json();
    assert_eq!(
        status["interfaces"][0]["attached"][0]["attachment"],
        serde_json::json!({"kind": "link", "link_id": id, "pin": null})
    );
    // Named by its id it goes, because that was asked for.
    let program_id = before.native.expect("attached natively").to_string();
    run(&netns, &["detach", "v0", "--id", &program_id]).expect_code(0);
    assert!(attached(&netns, "v0").is_empty());
}

#[test]
fn detach_takes_only_what_was_named() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-detach");
    netns.veth("v0", "v1");
    let (_, report) = attach(&netns, "pass", &["v0"]);
    let id = report["prog_id"].as_u64().expect("an id");

    let other = run(&netns, &["detach", "v0", "--id", "1"]);
    other.expect_code(3);
    assert!(
        other.stderr.contains(&format!("program {id} (pass)")),
        "{}",
        other.stderr
    );
    assert!(attached(&netns, "v0").native.is_some());

    // Nothing is in that mode: nothing to do, and native is left alone.
    run(&netns, &["detach", "v0", "--mode", "generic"]).expect_code(0);
    assert!(attached(&netns, "v0").native.is_some());

    run(&netns, &["detach", "v0", "--id", &id.to_string()]).expect_code(0);
    assert!(attached(&netns, "v0").is_empty());
    run(&netns, &["detach", "v0"]).expect_code(0);
    run(&netns, &["detach", "nosuch0"]).expect_code(2);
}

#[test]
fn atomic_means_all_or_none() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-all");
    netns.veth("v0", "v1");
    netns.veth("w0", "w1");
    netns.ip("link add br0 type bridge");
    let (_, before) = attach(&netns, "pass", &["v0"]);
    let object = corpus("drop");
    let output = run(
        &netns,
        &[
            "attach",
            path(&object),
            "v0",
            "w0",
            "br0",
            "--native",
            "--no-fallback",
            "--replace",
            "--atomic",
            "--json",
        ],
    );
    output.expect_code(3);
    assert_eq!(
        attached(&netns, "v0").native.map(Value::from),
        Some(before["prog_id"].clone()),
        "the program that was there is back"
    );
    assert!(attached(&netns, "w0").is_empty());
    assert!(attached(&netns, "br0").is_empty());
    let reports: Vec<Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON lines"))
        .collect();
    assert_eq!(reports.len(), 3);
    for report in &reports {
        assert_eq!(report["mode"], Value::Null, "{report}");
        every_rung_is_explained(report);
    }
    assert!(
        reports[0].to_string().contains("br0"),
        "the culprit is named: {}",
        reports[0]
    );

    // Without --atomic the others stay.
    let output = run(
        &netns,
        &[
            "attach",
            path(&object),
            "w0",
            "br0",
            "--native",
            "--no-fallback",
        ],
    );
    output.expect_code(3);
    assert!(attached(&netns, "w0").native.is_some());
}

#[test]
fn a_program_attached_meanwhile_is_not_touched() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-race");
    netns.veth("v0", "v1");
    let (_, _) = attach(&netns, "pass", &["v0"]);
    let bytes = std::fs::read(corpus("counter")).expect("the corpus");
    let object = Object::parse(&bytes).expect("it is an object");
    netns.inside(|| {
        let snapshot = probe::collect_for(&["v0"]).expect("the probe");
        let facts = snapshot.by_name("v0").expect("it is there");
        // Somebody else is faster.
        let other = Program::load(&ProgramSpec::pass(None)).expect("it loads");
        let mut route = Route::open().expect("a socket");
        route
            .set_xdp(&XdpRequest {
                ifindex: facts.link.ifindex,
                program: Some(other.as_fd()),
                mode: Some(Mode::Native),
                expected: Expected::Anything,
            })
            .expect("it attaches");
        let mut ladder = Ladder::new(&object, "counter", 0, None).expect("a ladder");
        let outcome = ladder.climb(
            &snapshot,
            facts,
            Request {
                wanted: Wanted::Mode(Mode::Native),
                fallback: true,
                replace: true,
            },
            &NicProgram::AsIs,
        );
        assert_eq!(outcome.ending(), Ending::Refused, "{outcome:?}");
        let now = route.link_by_name("v0").expect("v0").xdp.native;
        assert_eq!(now, Some(other.info().expect("info").id));
    });
}
