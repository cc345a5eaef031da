//! The program as a user runs it, with stand-ins for `xdp-probe` and `xdp-offload` that keep to their JSON contract.

mod stand_ins;

use std::fs;
use std::path::Path;

use serde_json::Value;
use stand_ins::{hw_matrix, tools};

const LAB: &str = r#"
[host.here]
executor = "local"
nic.a.ifname = "sim0"
nic.ghost.ifname = "none0"

[host.far]
executor = "ssh"
address = "127.0.0.1"
port = 1
nic.a.ifname = "eth0"

[program.pass]
object = "pass.o"

[check.probe]
modes = ["native", "offload"]

[check.attach]

[[expect]]
cells = "mode=offload"
outcome = "refused"

[[exclude]]
cells = "nic=ghost & mode!=native"
reason = "one is enough"
"#;

fn assert_fits(schema: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schemas")
        .join(schema);
    let schema = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    if let Err(error) = jsonschema::validator_for(&schema).unwrap().validate(value) {
        panic!("{error}: {value}");
    }
}

#[test]
fn a_run_judges_each_cell_and_undoes_what_it_attached() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("lab.toml"), LAB).unwrap();
    tools(folder, "yes");
    let (code, out, err) = hw_matrix(folder, &["run", "lab.toml", "--tools", ".", "--out", "one"]);
    assert_eq!(code, 5, "{out}{err}");
    for line in [
        "PASS here/a/-/native/probe: yes",
        "PASS here/a/-/offload/probe: no: no ndo_bpf",
        "PASS here/a/pass/native/attach: attached",
        "ERROR here/a/pass/generic/attach: xdp-offload: exit code 2: error: cannot read pass.o",
        "PASS here/a/pass/offload/attach: refused: sim: no offload here",
        "ERROR here/ghost/pass/native/attach: no interface is NIC `ghost` (ifname none0)",
        "SKIP here/ghost/pass/generic/attach: excluded: one is enough",
        "ERROR far/a/pass/native/attach: host far cannot be used: 127.0.0.1 cannot be reached by ssh: ssh: connect to host 127.0.0.1 port 1: Connection refused",
        "one/results.jsonl: 4 pass, 8 error, 3 skip",
    ] {
        assert!(
            out.lines().any(|l| l.ends_with(line)),
            "missing: {line}\n{out}"
        );
    }
    let log = fs::read_to_string(folder.join("log")).unwrap();
    assert!(
        log.contains("attach ./pass.o sim0 --native --no-fallback --json")
            || log.contains("attach pass.o sim0 --native --no-fallback --json"),
        "{log}"
    );
    assert!(log.contains("detach sim0 --mode native --id 7"), "{log}");

    let results = fs::read_to_string(folder.join("one/results.jsonl")).unwrap();
    for line in results.lines() {
        assert_fits("results.v1.json", &serde_json::from_str(line).unwrap());
    }
    let (code, _, err) = hw_matrix(folder, &["run", "lab.toml", "--tools", ".", "--out", "one"]);
    assert_eq!(code, 2);
    assert!(err.contains("is there already"), "{err}");
    assert_eq!(
        fs::read_to_string(folder.join("one/results.jsonl")).unwrap(),
        results,
        "never overwritten"
    );
}

#[test]
fn a_regression_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("lab.toml"), LAB).unwrap();
    tools(folder, "yes");
    hw_matrix(folder, &["run", "lab.toml", "--tools", ".", "--out", "one"]);
    let (code, out, err) = hw_matrix(
        folder,
        &[
            "run",
            "lab.toml",
            "--tools",
            ".",
            "--out",
            "two",
            "--baseline",
            "one/results.jsonl",
        ],
    );
    assert_eq!(code, 0, "the same again is no regression: {out}{err}");
    tools(folder, "no");
    hw_matrix(
        folder,
        &["run", "lab.toml", "--tools", ".", "--out", "three"],
    );
    let (code, out, _) = hw_matrix(
        folder,
        &["diff", "two/results.jsonl", "three/results.jsonl"],
    );
    assert_eq!(code, 5);
    assert!(
        out.contains("changed here/a/-/native/probe: pass (yes) -> pass (no)"),
        "{out}"
    );
    let (code, out, _) = hw_matrix(
        folder,
        &["diff", "two/results.jsonl", "three/results.jsonl", "--json"],
    );
    assert_eq!(code, 5);
    let diff = serde_json::from_str(&out).unwrap();
    assert_fits("diff.v1.json", &diff);
    assert_eq!(diff["changes"].as_array().unwrap().len(), 1);

    // A run that died in a cell: that cell is broken, those after it are gone.
    let text = fs::read_to_string(folder.join("two/results.jsonl")).unwrap();
    let at = text
        .find(r#"{"event":"result","cell":"here/a/pass/offload"#)
        .unwrap();
    fs::write(folder.join("cut.jsonl"), &text[..at + 20]).unwrap();
    let (code, out, _) = hw_matrix(folder, &["diff", "two/results.jsonl", "cut.jsonl"]);
    assert_eq!(code, 5);
    assert!(
        out.contains("broken here/a/pass/offload/attach: pass (refused) -> interrupted"),
        "{out}"
    );
    assert!(
        out.contains("the later run did not come to its end"),
        "{out}"
    );
}

#[test]
fn list_shows_cells_as_text_and_json() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("lab.toml"), LAB).unwrap();
    let (code, out, _) = hw_matrix(
        folder,
        &[
            "list",
            "lab.toml",
            "--filter",
            "host=here & nic=a & check=attach",
        ],
    );
    assert_eq!(code, 0);
    assert_eq!(
        out,
        "\
HOST  NIC  PROGRAM  MODE     CHECK   EXPECTED  NOTE
here  a    pass     native   attach  attached
here  a    pass     generic  attach  attached
here  a    pass     offload  attach  refused
3 cells, 0 of them excluded
"
    );
    let (code, out, _) = hw_matrix(folder, &["list", "lab.toml", "--json"]);
    assert_eq!(code, 0);
    let list = serde_json::from_str(&out).unwrap();
    assert_fits("list.v1.json", &list);
    assert_eq!(list["cells"].as_array().unwrap().len(), 15);
}

#[test]
fn bad_calls_end_with_code_2_and_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("lab.toml"), LAB).unwrap();
    fs::write(
        folder.join("bad.toml"),
        LAB.replacen("executor", "exectuor", 1),
    )
    .unwrap();
    fs::write(folder.join("binary.toml"), b"\x7fELF\xff\xfe").unwrap();
    for (arguments, says) in [
        (&["list", "nothing.toml"][..], "nothing.toml: No such file"),
        (
            &["list", "bad.toml"],
            "bad.toml:3:1: unknown key `exectuor`",
        ),
        (&["list", "binary.toml"], "binary.toml: not text"),
        (&["list", "."], ".: Is a directory"),
        (
            &["list", "lab.toml", "--filter", "mdoe=x"],
            "did you mean `mode`?",
        ),
        (
            &["run", "lab.toml", "--filter", "host=nowhere"],
            "no cell fits the filter",
        ),
        (&["diff", "lab.toml", "lab.toml"], "lab.toml: line 1:"),
    ] {
        let (code, _, err) = hw_matrix(folder, arguments);
        assert_eq!(code, 2, "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
    assert!(
        !folder.join("hw-matrix-results").exists(),
        "nothing was begun"
    );
}

#[test]
fn every_command_helps_with_an_example() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["--help"][..],
        &["list", "--help"],
        &["run", "--help"],
        &["diff", "--help"],
    ] {
        let (code, out, _) = hw_matrix(folder.path(), arguments);
        assert!(code == 0 && out.contains("Example"), "{arguments:?}: {out}");
    }
    let (code, out, _) = hw_matrix(folder.path(), &["completions", "bash"]);
    assert!(code == 0 && out.contains("--baseline"));
}
