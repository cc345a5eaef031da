//! Runs that do not come to their end: stopped, killed, without room. Nothing that was found is lost, and each goes on.

mod stand_ins;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hw_matrix::results::{Results, Status, read};
use stand_ins::{hw_matrix, tools};

/// Nine attach cells.
const LAB: &str = r#"
[host.here]
executor = "local"
nic.a.ifname = "sim0"

[program.one]
object = "one.o"
[program.two]
object = "two.o"
[program.three]
object = "three.o"

[check.attach]
modes = ["native"]
[check.again]
kind = "attach"
modes = ["native"]
[check.third]
kind = "attach"
modes = ["native"]
"#;

fn lab(folder: &Path) {
    fs::write(folder.join("lab.toml"), LAB).unwrap();
    tools(folder, "yes");
    // Slow enough to be caught at it.
    let path = folder.join("xdp-offload");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replace("case", "sleep 0.04\ncase")).unwrap();
}

fn start(folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_hw-matrix"))
        .current_dir(folder)
        .args(["run", "lab.toml", "--tools", ".", "--out", "out"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn results(folder: &Path) -> Results {
    read(fs::File::open(folder.join("out/results.jsonl")).unwrap()).unwrap()
}

/// Until the run has this many results.
fn wait_for(folder: &Path, count: usize) {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(folder.join("out/results.jsonl")).unwrap_or_default();
        if text.matches(r#"{"event":"result""#).count() >= count {
            return;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
}

fn attaches(folder: &Path) -> (usize, usize) {
    let log = fs::read_to_string(folder.join("log")).unwrap();
    let count = |word: &str| log.lines().filter(|line| line.starts_with(word)).count();
    (count("attach"), count("detach"))
}

fn goes_on(folder: &Path) {
    let (code, out, err) = hw_matrix(folder, &["run", "--resume", "out", "--tools", "."]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.ends_with("out/results.jsonl: 9 pass\n"), "{out}");
    assert!(results(folder).complete);
}

#[test]
fn a_signal_ends_a_run_after_its_cell_and_it_goes_on() {
    for name in ["-INT", "-TERM", "-HUP"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        lab(folder);
        let child = start(folder);
        wait_for(folder, 2);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {err}");
        assert!(err.contains("help: hw-matrix run --resume out"), "{err}");
        let found = results(folder);
        assert!(!found.complete && found.cells.len() < 9);
        assert!(
            found
                .cells
                .values()
                .all(|result| result.status == Status::Pass),
            "the cell that ran came to its end"
        );
        let (attached, detached) = attaches(folder);
        assert_eq!(attached, detached, "{name}: nothing is left attached");
        goes_on(folder);
        assert_eq!(attaches(folder), (9, 9), "{name}: no cell ran twice");
    }
}

#[test]
fn a_killed_run_keeps_what_it_found_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    lab(folder);
    let mut child = start(folder);
    wait_for(folder, 3);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(results(folder).cells.len() >= 3);
    // The last line as a power cut leaves it.
    let path = folder.join("out/results.jsonl");
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str(r#"{"event":"resu"#);
    fs::write(&path, text).unwrap();
    let (code, out, err) = hw_matrix(folder, &["run", "--resume", "out", "--tools", "."]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("was cut off and is left out"), "{err}");
    assert!(results(folder).complete);
}

#[test]
fn a_run_goes_on_with_the_lab_file_it_began_with_only() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    lab(folder);
    hw_matrix(
        folder,
        &[
            "run",
            "lab.toml",
            "--tools",
            ".",
            "--out",
            "out",
            "--filter",
            "program=one",
        ],
    );
    goes_on_with_nothing(folder);
    fs::write(folder.join("lab.toml"), LAB.replace("sim0", "sim1")).unwrap();
    let (code, _, err) = hw_matrix(folder, &["run", "--resume", "out", "--tools", "."]);
    assert_eq!(code, 2);
    assert!(err.contains("is not what the run began with"), "{err}");
    let (code, _, err) = hw_matrix(folder, &["run", "--resume", "nothing"]);
    assert_eq!(code, 2);
    assert!(err.contains("nothing/results.jsonl: No such file"), "{err}");
}

/// A whole run has nothing left, its filter counts again.
fn goes_on_with_nothing(folder: &Path) {
    let before = attaches(folder);
    let (code, out, err) = hw_matrix(folder, &["run", "--resume", "out", "--tools", "."]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(out, "out/results.jsonl: 3 pass\n");
    assert_eq!(attaches(folder), before);
}

/// On a file system of 16 KiB in a mount namespace of its own.
#[test]
fn a_full_disk_ends_a_run_and_with_room_it_goes_on() {
    let mounts = Command::new("unshare").args(["-m", "true"]).status();
    if !mounts.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI may mount");
        eprintln!("skipped: this user may not mount a file system");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    lab(folder);
    let script = r#"
        mkdir out && mount -t tmpfs -o size=16k tmpfs out && cd "$PWD" || exit 99
        "$0" run lab.toml --tools . --out out
        echo "code $?"
        mount -o remount,size=1m out
        "$0" run --resume out --tools .
        echo "code $?"
    "#;
    // Two pages of reasons: the third result does not fit.
    let path = folder.join("xdp-offload");
    let text = fs::read_to_string(&path).unwrap();
    let long = "x".repeat(3000);
    let refuse = format!(
        r#"*--native*) echo '{{"mode":null,"prog_id":null,"attempts":[{{"kernel_message":"{long}","reason":null,"remedy":null}}]}}'; exit 3 ;; *--none*"#
    );
    fs::write(&path, text.replace("*--native*", &refuse)).unwrap();
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_hw-matrix")])
        .current_dir(folder)
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        out.contains("\ncode 1\n") || out.starts_with("code 1\n"),
        "{out}{err}"
    );
    assert!(err.contains("No space left on device"), "{err}");
    assert!(
        err.contains("help: make room, then hw-matrix run --resume out"),
        "{err}"
    );
    assert!(
        out.ends_with("out/results.jsonl: 9 fail\ncode 5\n"),
        "{out}{err}"
    );
}
