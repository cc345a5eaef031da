//! Files that are not what they claim to be, names that do not exist.

use std::fs;
use std::path::Path;

use tests::{Netns, Output, corpus, require_root, tool};

use crate::code;

/// `xdp-offload attach OBJECT v0` in a namespace with a veth pair; whatever happens, nothing may be attached.
fn attach(netns: &Netns, object: &Path, options: &[&str]) -> Output {
    let mut arguments = vec!["attach", object.to_str().unwrap(), "v0"];
    arguments.extend(options);
    arguments.extend(["--netns", netns.name()]);
    let output = tool("xdp-offload", &arguments);
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    assert_eq!(attached(netns), "");
    output
}

/// What ip(8) shows of XDP in a namespace.
fn attached(netns: &Netns) -> String {
    let links = netns.ip("link").stdout;
    links
        .lines()
        .filter(|line| line.contains("xdp"))
        .map(str::trim)
        .collect()
}

fn namespace() -> Option<Netns> {
    require_root().then(|| {
        let netns = Netns::new("cli");
        netns.veth("v0", "v1");
        netns
    })
}

#[test]
fn a_file_that_is_no_object() {
    let Some(netns) = namespace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.o");
    let elf_of_another_machine = std::env::current_exe().unwrap();
    for content in [&b""[..], b"\x7fELF", b"#!/bin/sh\n", &[0xff; 4096]] {
        fs::write(&file, content).unwrap();
        let output = attach(&netns, &file, &[]);
        output.expect_code(code::USAGE);
        assert!(output.stderr.contains("file.o"), "{}", output.stderr);
    }
    attach(&netns, &elf_of_another_machine, &[]).expect_code(code::USAGE);
    attach(&netns, folder.path(), &[]).expect_code(code::USAGE);
}

#[test]
fn an_object_cut_off_anywhere() {
    let Some(netns) = namespace() else { return };
    let whole = fs::read(corpus("firewall")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut.o");
    for length in (0..whole.len()).step_by(97) {
        fs::write(&file, &whole[..length]).unwrap();
        let output = attach(&netns, &file, &[]);
        assert_eq!(
            output.code,
            code::USAGE,
            "cut to {length} bytes: {}",
            output.stderr
        );
    }
}

#[test]
fn a_file_that_is_not_there() {
    let Some(netns) = namespace() else { return };
    let output = attach(&netns, Path::new("/nowhere/filter.o"), &[]);
    output.expect_code(code::USAGE);
    assert!(
        output.stderr.contains("/nowhere/filter.o") && output.stderr.contains("No such file"),
        "{}",
        output.stderr
    );
}

#[test]
fn an_object_without_an_xdp_program() {
    let Some(netns) = namespace() else { return };
    let output = attach(&netns, &corpus("bad/not_xdp"), &[]);
    output.expect_code(code::USAGE);
    assert!(
        output.stderr.contains("no XDP program") && output.stderr.contains("classifier"),
        "it names what is there instead: {}",
        output.stderr
    );
}

#[test]
fn several_programs_and_none_chosen() {
    let Some(netns) = namespace() else { return };
    let output = attach(&netns, &corpus("several"), &[]);
    output.expect_code(code::USAGE);
    for name in ["pass_all", "drop_all", "send_back", "--prog"] {
        assert!(
            output.stderr.contains(name),
            "{name} is not in: {}",
            output.stderr
        );
    }
    let output = attach(&netns, &corpus("several"), &["--prog", "pas_all"]);
    output.expect_code(code::USAGE);
    assert!(output.stderr.contains("pass_all"), "{}", output.stderr);
}

#[test]
fn an_interface_that_is_not_there() {
    let Some(netns) = namespace() else { return };
    let pass = corpus("pass");
    let pass = pass.to_str().unwrap();
    for arguments in [
        &["attach", pass, "nosuch0"][..],
        &["detach", "nosuch0"],
        &["status", "nosuch0"],
        &["check", pass, "--dev", "nosuch0"],
        &["attach", pass, "a-name-longer-than-any-interface-has"],
    ] {
        let output = tool(
            "xdp-offload",
            [arguments, &["--netns", netns.name()]].concat(),
        );
        output.expect_code(code::USAGE);
        assert!(
            output.stderr.contains(arguments.last().unwrap()),
            "{}",
            output.stderr
        );
    }
    for subcommand in ["list", "show", "try"] {
        let output = tool(
            "xdp-probe",
            [subcommand, "nosuch0", "--netns", netns.name()],
        );
        output.expect_code(code::USAGE);
        assert!(output.stderr.contains("nosuch0"), "{}", output.stderr);
    }
}

#[test]
fn one_wrong_interface_of_two_leaves_both_alone() {
    let Some(netns) = namespace() else { return };
    let pass = corpus("pass");
    let output = attach(&netns, &pass, &["nosuch0"]);
    output.expect_code(code::USAGE);
}

#[test]
fn a_namespace_that_is_not_there() {
    for (command, arguments) in [("xdp-probe", &["list"][..]), ("xdp-offload", &["status"])] {
        let output = tool(
            command,
            [arguments, &["--netns", "no-such-namespace"]].concat(),
        );
        assert_ne!(output.code, code::DONE);
        assert!(
            output.stderr.contains("no-such-namespace"),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn a_map_that_is_not_there() {
    if !require_root() {
        return;
    }
    let output = tool("xdp-offload", ["map", "no_map_has_this", "dump"]);
    output.expect_code(code::USAGE);
    assert!(
        output.stderr.contains("no_map_has_this"),
        "{}",
        output.stderr
    );
}
