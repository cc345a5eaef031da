//! The mode ladder on the real kernel: what holds, what is said about each rung that did not, and that nothing is left.

use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use generic_fallback::Ladder;
use generic_fallback::outcome::{AttemptResult, Ending};
use generic_fallback::plan::{Request, Wanted};
use kernel::bpf::link::Link as BpfLink;
use kernel::bpf::program::{Program, ProgramSpec};
use kernel::bpf::{link_ids, map_ids, program_ids};
use kernel::netlink::Route;
use kernel::netlink::link::{AttachedXdp, Expected, Mode, XdpRequest};
use kernel::{Errno, Operation};
use offload_compiler::object::Object;
use serde_json::Value;
use tests::{Bpffs, Netns, Output, binary, corpus, require_root};

/// `xdp-offload` in a namespace.
fn run(netns: &Netns, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary("xdp-offload"));
    command.args(["--netns", netns.name()]).args(arguments);
    Output::of(&mut command).unwrap_or_else(|error| panic!("{error}"))
}

/// `xdp-offload attach` of a corpus program, with `--json`: exit code and report.
fn attach(netns: &Netns, program: &str, arguments: &[&str]) -> (i32, Value) {
    let object = corpus(program);
    let mut all = vec!["attach", path(&object), "--json"];
    all.extend(arguments);
    let output = run(netns, &all);
    (output.code, output.json())
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the workspace's path is UTF-8")
}

/// What the kernel says is attached.
fn attached(netns: &Netns, ifname: &str) -> AttachedXdp {
    netns.inside(|| {
        let mut route = Route::open().expect("a netlink socket");
        route.link_by_name(ifname).expect("the interface").xdp
    })
}

/// "offload refused load, native ok attach"
fn rungs(report: &Value) -> String {
    let attempts = report["attempts"].as_array().expect("attempts");
    let rungs: Vec<String> = attempts
        .iter()
        .map(|attempt| {
            let word = |name: &str| attempt[name].as_str().expect("a word").to_owned();
            format!("{} {} {}", word("mode"), word("result"), word("step"))
        })
        .collect();
    rungs.join(", ")
}

/// Every rung that did not hold has a reason.
#[track_caller]
fn every_rung_is_explained(report: &Value) {
    for attempt in report["attempts"].as_array().expect("attempts") {
        let reason = attempt["reason"].as_str().unwrap_or_default();
        assert!(attempt["result"] == "ok" || reason.len() > 10, "{attempt}");
    }
}

/// The ids of all programs, maps and links whose names are ours to look for; other tests share the kernel.
fn ours(names: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for id in program_ids().flatten() {
        if let Ok(info) = Program::from_id(id).and_then(|program| program.info())
            && names.contains(&info.name.as_str())
        {
            found.push(format!("program {id} {}", info.name));
        }
    }
    for id in map_ids().flatten() {
        if let Ok(info) = kernel::bpf::map::Map::from_id(id).and_then(|map| map.info())
            && names.contains(&info.name.as_str())
        {
            found.push(format!("map {id} {}", info.name));
        }
    }
    found
}

/// An object of the corpus whose program and map bear names of their own, so that [`ours`] finds just them.
struct Renamed {
    folder: tempfile::TempDir,
    name: String,
}

impl Renamed {
    /// `from` and `to` are equally long, so nothing else in the file moves.
    fn new(program: &str, from: &str, to: &str) -> Self {
        assert_eq!(from.len(), to.len());
        let bytes = std::fs::read(corpus(program)).expect("the corpus is committed");
        let mut renamed = bytes.clone();
        for at in 0..bytes.len() - from.len() {
            if &bytes[at..at + from.len()] == from.as_bytes() {
                renamed[at..at + from.len()].copy_from_slice(to.as_bytes());
            }
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("renamed.bpf.o"), renamed).expect("it can be written");
        Self {
            folder,
            name: to.to_owned(),
        }
    }

    fn path(&self) -> String {
        path(&self.folder.path().join("renamed.bpf.o")).to_owned()
    }
}

/// Programs go a moment after their last reference, by RCU.
#[track_caller]
fn nothing_is_left(names: &[&str]) {
    for _ in 0..100 {
        if ours(names).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("left: {:?}", ours(names));
}

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
    let other = Renamed::new("firewall", "rules\0", "traffic\0".get(..6).expect("six"));
    drop(other);
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
    let array = std::fs::read_dir(&folder)
        .expect("the folder")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| !path.ends_with("link-v0"))
        .expect("the program array is pinned");
    let dump = run(&netns, &["map", path(&array), "dump", "--json"]).json();
    let filled = dump["entries"].as_array().map_or(0, Vec::len);
    assert_eq!(filled, 2, "both slots hold programs: {dump}");
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
        );
        assert_eq!(outcome.ending(), Ending::Refused, "{outcome:?}");
        let now = route.link_by_name("v0").expect("v0").xdp.native;
        assert_eq!(now, Some(other.info().expect("info").id));
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
    assert_eq!(check.json()["programs"][0]["verdict"], Value::Null);
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

#[test]
fn status_shows_what_other_tools_attached() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-status");
    netns.veth("v0", "v1");
    let object = corpus("drop");
    netns.run(&[
        "ip",
        "link",
        "set",
        "v0",
        "xdpgeneric",
        "obj",
        path(&object),
        "sec",
        "xdp",
    ]);
    let status = run(&netns, &["status", "--json"]).expect_code(0).json();
    let attached = &status["interfaces"][0]["attached"][0];
    assert_eq!(attached["mode"], "generic");
    assert_eq!(attached["name"], "drop");
    assert_eq!(attached["attachment"]["kind"], "netlink");
    assert_eq!(attached["uid"], 0);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let loaded = attached["loaded_at"].as_u64().expect("a time");
    assert!(
        now - 60 <= loaded && loaded <= now + 1,
        "{loaded} is not about now, {now}"
    );
    let table = run(&netns, &["status"]);
    assert!(
        table.stdout.contains("v0") && table.stdout.contains("generic"),
        "{}",
        table.stdout
    );
}

#[test]
fn a_program_that_asks_the_driver_for_metadata_is_bound_to_its_device() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-bound");
    netns.veth("v0", "v1");
    let (code, report) = attach(&netns, "rx_hash", &["v0", "--native"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(rungs(&report), "native ok attach");

    let (code, report) = attach(&netns, "rx_hash", &["v1", "--generic"]);
    assert_eq!(code, 3, "generic mode has no driver to ask: {report}");
    assert!(report.to_string().contains("device-bound"), "{report}");

    let object = corpus("rx_hash");
    let unknown = run(&netns, &["check", path(&object), "--json"]);
    unknown.expect_code(0);
    assert_eq!(unknown.json()["programs"][0]["verdict"], Value::Null);
    let known = run(&netns, &["check", path(&object), "--dev", "v1", "--json"]);
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
fn the_programs_behind_a_libxdp_dispatcher_are_shown() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-libxdp");
    netns.veth("v0", "v1");
    let bpffs = Bpffs::mount();
    // What libxdp makes, without the dispatching itself, which not every kernel can load.
    let named = |name| {
        Program::load(&ProgramSpec {
            name,
            ..ProgramSpec::pass(None)
        })
    };
    let dispatcher = named("xdp_dispatcher").expect("it loads");
    let ifindex = netns.inside(|| {
        let mut route = Route::open().expect("a socket");
        let ifindex = route.link_by_name("v0").expect("v0").ifindex;
        route
            .set_xdp(&XdpRequest {
                ifindex,
                program: Some(dispatcher.as_fd()),
                mode: Some(Mode::Native),
                expected: Expected::Nothing,
            })
            .expect("it attaches");
        ifindex
    });
    let id = dispatcher.info().expect("info").id;
    let folder = bpffs.path().join(format!("xdp/dispatch-{ifindex}-{id}"));
    std::fs::create_dir_all(&folder).expect("bpffs has folders");
    for (number, name) in ["first", "second"].into_iter().enumerate() {
        let program = named(name).expect("it loads");
        program
            .pin(&folder.join(format!("prog{number}-prog")))
            .expect("it pins");
    }
    let status = run(&netns, &["status", "v0", "--json"]).json();
    let behind = &status["interfaces"][0]["attached"][0]["behind_dispatcher"];
    let names: Vec<&str> = behind
        .as_array()
        .expect("an array")
        .iter()
        .filter_map(|component| component["name"].as_str())
        .collect();
    assert_eq!(names, ["first", "second"], "{status}");
    assert!(run(&netns, &["status"]).stdout.contains("second"));
}

#[test]
fn every_report_keeps_to_its_schema() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-schema");
    netns.veth("v0", "v1");
    let firewall = corpus("firewall");
    let counter = corpus("counter");
    let bad = corpus("bad/no_bounds_check");
    let firewall = path(&firewall);
    let steps: [(&str, &[&str]); 13] = [
        ("check", &["check", firewall, "--dev", "v0"]),
        ("check", &["check", path(&bad)]),
        ("attach-plan", &["attach", firewall, "v0", "--dry-run"]),
        ("attach", &["attach", firewall, "v0", "--hw"]),
        ("attach", &["attach", path(&bad), "v0", "--replace"]),
        ("attach", &["attach", path(&counter), "v1"]),
        ("status", &["status"]),
        ("map-list", &["map", "list"]),
        ("map", &["map", "rules", "--dev", "v0"]),
        (
            "map",
            &[
                "map",
                "rules",
                "set",
                r#"{"port":1}"#,
                r#"{"verdict":1}"#,
                "--dev",
                "v0",
            ],
        ),
        ("map", &["map", "rules", "dump", "--dev", "v0"]),
        ("map", &["map", "traffic", "dump", "--dev", "v1"]),
        ("detach", &["detach", "v0"]),
    ];
    for (schema, arguments) in steps {
        // `--dev` stands before the action.
        let mut all: Vec<&str> = arguments.to_vec();
        if let Some(at) = all
            .iter()
            .position(|word| *word == "--dev")
            .filter(|_| all[0] == "map")
        {
            let dev: Vec<&str> = all.drain(at..at + 2).collect();
            all.splice(1..1, dev);
        }
        all.push("--json");
        let report = run(&netns, &all).json();
        let file = tests::workspace().join(format!("xdp-offload/schemas/{schema}.json"));
        let schema_text = std::fs::read_to_string(&file).expect("the schema is committed");
        let schema_json: Value = serde_json::from_str(&schema_text).expect("a schema is JSON");
        let validator = jsonschema::validator_for(&schema_json).expect("a valid schema");
        let errors: Vec<String> = validator
            .iter_errors(&report)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{all:?}: {errors:?}\n{report}");
        assert_eq!(report["schema"], format!("xdp-offload/{schema}/v1"));
    }
}

/// [`Operation::Pin`] is what the ladder tells apart from a refused attachment.
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
    assert_ne!(Operation::Pin, Operation::CreateLink);
}
