//! `compile` and `disasm` for the NFP: words, assembly, listing, plain instructions; what the card cannot run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nfp_target::isa::asm;
use nfp_target::words;
use serde_json::Value;
use tests::{Bpffs, Output, corpus, golden, require_command, require_root, tool, workspace};

use crate::code;

fn compile(object: &Path, arguments: &[&str]) -> Output {
    let start = ["compile", object.to_str().unwrap()];
    tool("xdp-offload", start.iter().chain(arguments))
}

/// Compiles to a file, and gives its path.
fn compiled(folder: &Path, object: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let to = ["-o", path.to_str().unwrap()];
    let output = compile(object, &[arguments, &to].concat());
    assert_eq!(output.expect_code(code::DONE).stdout, "");
    path
}

fn check(arguments: &[&str]) -> Value {
    let output = tool("xdp-offload", [&["check"], arguments, &["--json"]].concat());
    serde_json::from_str(&output.stdout).unwrap()
}

#[test]
fn words_and_assembly_are_the_same_program() {
    for (name, level) in [
        ("pass", "-O1"),
        ("vlan_pop", "-O1"),
        ("vlan_pop", "-O0"),
        ("load_balancer", "-O1"),
    ] {
        let object = corpus(name);
        let hex = compile(&object, &["--emit", "nfp", level]);
        let text = compile(&object, &["--emit", "asm", level]);
        let hex = words::read(&hex.expect_code(code::DONE).stdout).unwrap();
        let read = asm::file::read(&text.expect_code(code::DONE).stdout).unwrap();
        assert!(hex.len() > 23);
        assert_eq!(read, hex, "{name} {level}");
    }
}

#[test]
fn optimised_code_is_shorter() {
    let object = corpus("vlan_pop");
    let length = |level| {
        let output = compile(&object, &["--emit", "nfp", level]);
        words::read(&output.expect_code(code::DONE).stdout)
            .unwrap()
            .len()
    };
    assert!(length("-O1") < length("-O0"));
    compile(&object, &["--emit", "nfp", "-O2"]).expect_code(code::USAGE);
}

#[test]
fn the_listing_reads_well() {
    let listing = |object: &str, columns: &str| {
        let object = corpus(object);
        let arguments = ["compile", object.to_str().unwrap(), "--emit", "listing"];
        let mut command = std::process::Command::new(tests::binary("xdp-offload"));
        command.args(arguments).env("COLUMNS", columns);
        let output = Output::of(&mut command).unwrap();
        let text = output.expect_code(code::DONE).stdout.clone();
        let columns: usize = columns.parse().unwrap();
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(
            longest <= Some(columns),
            "{longest:?} of {columns}:\n{text}"
        );
        text
    };
    golden("code/listing", &listing("pass", "80"));
    // All that the program has stands there once, whatever the code generator makes of it.
    let object = corpus("vlan_pop");
    let words = compile(&object, &["--emit", "nfp"]).stdout;
    let words = words::read(&words).unwrap().len();
    for columns in ["80", "100", "160"] {
        let text = listing("vlan_pop", columns);
        for slot in 0..96 {
            let start = format!("{slot:4}: ");
            let count = text.lines().filter(|line| line.starts_with(&start)).count();
            assert_eq!(count, 1, "slot {slot}\n{text}");
        }
        for word in 0..words - 8 {
            let start = format!("| {word:4}: ");
            assert_eq!(text.matches(&start).count(), 1, "word {word}\n{text}");
        }
    }
}

#[test]
fn words_of_a_file_are_told_from_instructions_and_objects() {
    let folder = tempfile::tempdir().unwrap();
    let object = corpus("pass");
    let nfp = compiled(folder.path(), &object, "pass.nfp", &["--emit", "nfp"]);
    let bpf = compiled(folder.path(), &object, "pass.bpf", &["--emit", "ebpf"]);
    let disasm = |arguments: &[&str]| {
        let output = tool("xdp-offload", [&["disasm"], arguments].concat());
        output.expect_code(code::DONE).stdout.clone()
    };
    let words = disasm(&[nfp.to_str().unwrap()]);
    golden("code/disasm-nfp", &words);
    assert_eq!(disasm(&["--nfp", nfp.to_str().unwrap()]), words);
    let instructions = disasm(&[bpf.to_str().unwrap()]);
    assert_eq!(instructions, "pass:\n   0: (b4) w0 = 2\n   1: (95) exit\n");
    assert_eq!(disasm(&["--raw", bpf.to_str().unwrap()]), instructions);
    assert!(disasm(&[object.to_str().unwrap()]).contains("(section xdp)"));
    let bits = disasm(&["--opcodes", nfp.to_str().unwrap()]);
    assert!(
        bits.contains("060000d8029c0118 br[.15000]") || bits.contains(" br[.15000]"),
        "{bits}"
    );
    assert!(!folder.path().join("pass.maps").exists(), "it has no maps");
}

#[test]
fn plain_instructions_come_with_their_maps() {
    let folder = tempfile::tempdir().unwrap();
    let object = corpus("load_balancer");
    let options = ["--emit", "ebpf"];
    let path = compiled(folder.path(), &object, "lb.bpf", &options);
    let maps = fs::read_to_string(folder.path().join("lb.maps")).unwrap();
    assert_eq!(maps, "1 8 8 64 0x0 services\n2 4 32 1024 0x0 backends\n");
    let raw = check(&["--raw", path.to_str().unwrap(), "--target", "nfp"]);
    let whole = check(&[object.to_str().unwrap(), "--target", "nfp"]);
    let of = |report: &Value, field: &str| report["programs"][0][field].clone();
    for field in ["verdict", "helpers", "maps"] {
        assert_eq!(of(&raw, field), of(&whole, field), "{field}");
    }
    // They are lowered, and shorter for it.
    let length = |report| of(report, "insns").as_u64().unwrap();
    assert!(length(&raw) < length(&whole));
    // Binary data is not for the terminal.
    let refused = compile(&object, &options);
    let stderr = &refused.expect_code(code::USAGE).stderr;
    assert!(stderr.contains("-o"), "{stderr}");
    // Again from the plain instructions.
    let again = compiled(
        folder.path(),
        &path,
        "again.x",
        &["--raw", "--emit", "ebpf"],
    );
    assert_eq!(fs::read(again).unwrap(), fs::read(path).unwrap());
    let again = folder.path().join("again.x.maps");
    assert_eq!(fs::read_to_string(again).unwrap(), maps);
}

#[test]
fn what_the_card_cannot_run_is_shown_at_its_source_line() {
    for emit in ["nfp", "asm", "listing"] {
        let refused = compile(&corpus("counter"), &["--emit", emit]);
        let stderr = &refused.expect_code(code::NO).stderr;
        for part in [
            "error[offload-map]: map traffic is of kind percpu_array",
            "counter.bpf.c:",
            "nfp (full) cannot run 'counter'",
        ] {
            assert!(stderr.contains(part), "{part} is not in\n{stderr}");
        }
        assert_eq!(refused.stdout, "");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counter.bpf");
    let to = ["--emit", "ebpf", "-o", path.to_str().unwrap()];
    compile(&corpus("counter"), &to).expect_code(code::NO);
    assert!(!path.exists(), "nothing is written");
}

#[test]
fn a_profile_is_a_name_or_a_file() {
    let object = corpus("load_balancer");
    let profile = |profile: &str| compile(&object, &["--emit", "nfp", "--profile", profile]);
    profile("full").expect_code(code::DONE);
    let refused = profile("nomaps");
    let stderr = &refused.expect_code(code::NO).stderr;
    assert!(stderr.contains("nfp (nomaps) cannot run"), "{stderr}");
    let unknown = profile("huge");
    let stderr = &unknown.expect_code(code::USAGE).stderr;
    assert!(stderr.contains("there is full"), "{stderr}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small.toml");
    fs::write(&file, "name = \"small\"\ncode_words = 64\n").unwrap();
    let small = profile(file.to_str().unwrap());
    let stderr = &small.expect_code(code::NO).stderr;
    assert!(
        stderr.contains("offload-code-size") && stderr.contains("nfp (small)"),
        "{stderr}"
    );
    let missing = profile("no/such.toml");
    let stderr = &missing.expect_code(code::USAGE).stderr;
    assert!(stderr.contains("no/such.toml"), "{stderr}");
}

#[test]
fn check_tells_what_a_packet_costs() {
    let object = corpus("vlan_pop");
    let report = check(&[object.to_str().unwrap(), "--target", "nfp"]);
    let schema = workspace().join("xdp-offload/schemas/check.json");
    let schema: Value = fs::read_to_string(schema).unwrap().parse().unwrap();
    jsonschema::validate(&schema, &report).unwrap();
    let program = &report["programs"][0];
    let listed = compile(&object, &["--emit", "nfp"]);
    let words = words::read(&listed.stdout).unwrap().len();
    assert_eq!(program["nfp_words"], words);
    let (min, max) = (&program["cycles"]["min"], &program["cycles"]["max"]);
    assert!(
        min.as_u64() > Some(5) && max.as_u64() > min.as_u64(),
        "{program:#}"
    );
    // A kernel has no such words.
    let report = check(&[object.to_str().unwrap(), "--target", "kernel:6.12"]);
    assert_eq!(report["programs"][0]["nfp_words"], Value::Null);
    let looping = corpus("bounded_loop");
    let report = check(&[looping.to_str().unwrap(), "--target", "nfp"]);
    assert_eq!(report["programs"][0]["cycles"]["max"], Value::Null);
    assert!(report["programs"][0]["nfp_words"].is_u64());
}

#[test]
fn a_refusal_names_what_would_have_to_be_allowed() {
    let refused = compile(&corpus("counter"), &["--emit", "report"]);
    let said = &refused.expect_code(code::NO).stderr;
    assert!(said.contains("./counter.bpf.c:24:17"), "{said}");
    assert!(
        said.contains("with --allow counters it is rewritten"),
        "{said}"
    );
    // No NIC has redirects, and the program does nothing else.
    let refused = compile(&corpus("redirect"), &["--emit", "report"]);
    let said = &refused.expect_code(code::NO).stderr;
    assert!(!said.contains("with --allow"), "{said}");
}

#[test]
fn a_report_shows_each_rewrite_at_its_source_line() {
    let arguments = ["--emit", "report", "--allow", "counters"];
    let report = compile(&corpus("counter"), &arguments);
    golden("code/report", &report.expect_code(code::DONE).stdout);
}

#[test]
fn a_lowered_object_fits_the_card_and_loads_with_bpftool() {
    let folder = tempfile::tempdir().unwrap();
    let object = corpus("counter");
    let arguments = ["--allow", "counters"];
    let lowered = compiled(folder.path(), &object, "counter.nfp.o", &arguments);
    let lowered = lowered.to_str().unwrap();
    let judged = check(&[lowered, "--target", "nfp"]);
    assert_eq!(judged["programs"][0]["verdict"], "accept");
    // Lowered again there is nothing to do.
    let again = compile(Path::new(lowered), &["--emit", "report"]);
    let last = again.expect_code(code::DONE).stdout.lines().last();
    assert!(
        last.unwrap().starts_with("counter: 0 rewrites;"),
        "{last:?}"
    );

    if !require_root() || !require_command("bpftool") {
        return;
    }
    let bpffs = Bpffs::mount();
    let pin = bpffs.path().join("counter");
    let pin = pin.to_str().unwrap();
    Output::of(Command::new("bpftool").args(["prog", "load", lowered, pin]))
        .and_then(Output::ok)
        .unwrap();
}

#[test]
fn the_host_decides_what_the_card_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flood.o");
    let to = ["-o", path.to_str().unwrap()];
    // All it does is to redirect: nothing is left for the card.
    compile(&corpus("flood"), &[&["--allow", "split"], &to[..]].concat()).expect_code(code::NO);
}

#[test]
fn objects_are_written_to_files_from_objects() {
    compile(&corpus("pass"), &[]).expect_code(code::USAGE);
    let folder = tempfile::tempdir().unwrap();
    let bpf = compiled(
        folder.path(),
        &corpus("pass"),
        "pass.bpf",
        &["--emit", "ebpf"],
    );
    let output = compile(&bpf, &["--raw", "-o", "/dev/null"]);
    assert!(
        output
            .expect_code(code::USAGE)
            .stderr
            .contains("--emit ebpf")
    );
}

#[test]
fn a_report_for_scripts_tells_each_rewrite_and_what_was_not_needed() {
    let object = corpus("counter");
    let allowed = ["--emit", "report", "--allow", "counters,lru"];
    let text = compile(&object, &allowed);
    let said = &text.expect_code(code::DONE).stderr;
    assert!(
        said.contains("--allow lru: there was nothing to do") && !said.contains("counters"),
        "{said}"
    );
    let output = compile(&object, &[&allowed[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&output.expect_code(code::DONE).stdout).unwrap();
    assert_eq!(report["schema"], "xdp-offload/compile/v1");
    assert_eq!(report["verdict"], "accept");
    assert_eq!(report["nothing_to_do"], serde_json::json!(["lru"]));
    assert!(report["lowered_insns"].as_u64() < report["insns"].as_u64());
    let rewrites = report["rewrites"].as_array().unwrap();
    let counter = rewrites
        .iter()
        .find(|rewrite| rewrite["name"] == "atomic-counter")
        .expect("it counts");
    assert_eq!(counter["needs_allow"], "counters");
    assert!(counter["line"].is_u64() && counter["before"] != counter["after"]);

    let refused = compile(&object, &["--emit", "report", "--json"]);
    let report: Value = serde_json::from_str(&refused.expect_code(code::NO).stdout).unwrap();
    assert_eq!(report["verdict"], "refuse");
    assert!(!report["diagnostics"].as_array().unwrap().is_empty());
    compile(&object, &["--json", "-o", "x"]).expect_code(code::USAGE);
}

#[test]
fn a_program_for_an_interface_takes_its_index_and_mtu_for_granted() {
    let object = corpus("verdicts");
    let here = ["--emit", "report", "--allow", "redirect", "--dev", "lo"];
    let output = compile(&object, &here);
    let report = &output.expect_code(code::DONE).stdout;
    assert!(
        report.contains("redirect-to-sender (--allow redirect)"),
        "{report}"
    );
    let output = compile(&corpus("mirror"), &["--emit", "report", "--dev", "lo"]);
    assert!(
        output
            .expect_code(code::DONE)
            .stdout
            .contains("interface-index")
    );
    compile(&object, &["--emit", "report", "--dev", "none0"]).expect_code(code::USAGE);
}

#[test]
fn global_variables_keep_their_size_in_a_lowered_object() {
    let folder = tempfile::tempdir().unwrap();
    let allowed = ["--allow", "counters,globals,stores"];
    let lowered = compiled(folder.path(), &corpus("kconfig"), "kconfig.o", &allowed);
    let report = check(&[lowered.to_str().unwrap(), "--target", "kernel:6.12"]);
    assert_eq!(report["programs"][0]["verdict"], "accept", "{report}");
    let maps = report["maps"].as_array().unwrap();
    assert!(maps.iter().any(|map| map["value_size"] == 40), "{report}");
}
