//! A reasoned No: what the kernel or the tool refuses, and that it leaves everything as it was.

use serde_json::Value;
use tests::{Netns, Output, corpus, require_root, tool};

use crate::code;

fn offload(netns: &Netns, arguments: &[&str]) -> Output {
    tool(
        "xdp-offload",
        [arguments, &["--netns", netns.name()]].concat(),
    )
}

fn attach(netns: &Netns, object: &str, options: &[&str]) -> Output {
    let object = corpus(object);
    offload(
        netns,
        &[&["attach", object.to_str().unwrap(), "v0"], options].concat(),
    )
}

/// The XDP object that ip(8) shows for v0: null where nothing is attached.
fn xdp(netns: &Netns) -> Value {
    netns
        .run(&["ip", "-j", "-d", "link", "show", "v0"])
        .parse::<Value>()
        .unwrap()[0]["xdp"]
        .clone()
}

fn namespace() -> Option<Netns> {
    require_root().then(|| {
        let netns = Netns::new("refused");
        netns.veth("v0", "v1");
        netns
    })
}

#[test]
fn what_the_verifier_refuses_is_shown_with_its_line() {
    let Some(netns) = namespace() else { return };
    for (object, complaint, source) in [
        (
            "bad/no_bounds_check",
            "invalid access to packet",
            "eth->h_proto",
        ),
        ("bad/uninitialised", "!read_ok", "r8"),
        ("bad/infinite_loop", "infinite loop", "ctx->rx_queue_index"),
        ("bad/unchecked_lookup", "map_value_or_null", "*count += 1"),
        ("bad/gpl_only", "GPL", "bpf_get_current_task"),
    ] {
        let output = attach(&netns, object, &[]);
        output.expect_code(code::NO);
        let text = format!("{}{}", output.stdout, output.stderr);
        assert!(text.contains(complaint), "{object}, {complaint}: {text}");
        assert!(text.contains(source), "{object}, {source}: {text}");
        assert!(text.contains(".bpf.c"), "{object}, the file: {text}");
        assert_eq!(xdp(&netns), Value::Null);
    }
}

#[test]
fn a_map_that_the_kernel_does_not_make_is_named() {
    let Some(netns) = namespace() else { return };
    let output = attach(&netns, "bad/bad_map", &[]);
    assert!(
        [code::FAILED, code::NO].contains(&output.code),
        "{output:?}"
    );
    let text = format!("{}{}", output.stdout, output.stderr);
    for word in ["prefixes", "EINVAL", "BPF_F_NO_PREALLOC"] {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
    assert_eq!(xdp(&netns), Value::Null);
}

#[test]
fn somebody_elses_program_stays() {
    let Some(netns) = namespace() else { return };
    attach(&netns, "pass", &[]).expect_code(code::DONE);
    let before = xdp(&netns);
    assert_ne!(before, Value::Null);

    let output = attach(&netns, "drop", &[]);
    output.expect_code(code::NO);
    let text = format!("{}{}", output.stdout, output.stderr);
    assert!(text.contains("--replace"), "{text}");
    assert_eq!(xdp(&netns), before);

    offload(&netns, &["detach", "v0", "--id", "1"]).expect_code(code::NO);
    assert_eq!(xdp(&netns), before);

    attach(&netns, "bad/infinite_loop", &["--replace"]).expect_code(code::NO);
    assert_eq!(
        xdp(&netns),
        before,
        "a refused replacement leaves what was there"
    );
}

#[test]
fn a_full_map_says_so() {
    let Some(netns) = namespace() else { return };
    attach(&netns, "verdicts", &[]).expect_code(code::DONE);
    let id = map_id(&netns);
    let output = offload(&netns, &["map", &id, "set", "5", "1"]);
    assert_ne!(output.code, code::DONE);
    assert!(output.stderr.contains("E2BIG"), "{}", output.stderr);
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
}

#[test]
fn keys_and_values_that_do_not_fit_are_usage_errors() {
    let Some(netns) = namespace() else { return };
    attach(&netns, "verdicts", &[]).expect_code(code::DONE);
    let id = map_id(&netns);
    for arguments in [
        &["set", "5000000000", "1"][..],
        &["set", "words", "1"],
        &["set", "1", "-1"],
    ] {
        let output = offload(&netns, &[&["map", &id], arguments].concat());
        output.expect_code(code::USAGE);
    }
}

/// The id of the only map of the program on v0.
fn map_id(netns: &Netns) -> String {
    let program = xdp(netns)["prog"]["id"].to_string();
    let shown = netns.run(&["bpftool", "-j", "prog", "show", "id", &program]);
    shown.parse::<Value>().unwrap()["map_ids"][0].to_string()
}
