//! Without root: what needs no privilege works, the rest names the capability that is missing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::{Netns, Output, binary, corpus, require_command, require_root};

use crate::code;

/// Copies of what nobody needs, in a folder that nobody may read.
struct Nobody(tempfile::TempDir);

impl Nobody {
    fn new() -> Option<Self> {
        // Only root can become somebody else.
        if !require_root() || !require_command("setpriv") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Some(Self(folder))
    }

    /// A copy that nobody may read and run.
    fn copy(&self, file: &Path) -> PathBuf {
        let copy = self.0.path().join(file.file_name().unwrap());
        if !copy.exists() {
            // By another process: a file that any thread here still has open for writing cannot be run.
            let mut install = Command::new("install");
            install.args(["-m", "755"]).arg(file).arg(&copy);
            Output::of(&mut install).and_then(Output::ok).unwrap();
        }
        copy
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Output {
        self.run_by(Command::new("setpriv"), command, arguments)
    }

    fn run_by(&self, mut setpriv: Command, command: &str, arguments: &[&str]) -> Output {
        setpriv
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--inh-caps=-all",
            ])
            .arg(self.copy(&binary(command)))
            .args(arguments);
        Output::of(&mut setpriv).unwrap()
    }
}

#[test]
fn list_show_and_status_need_no_privilege() {
    let Some(nobody) = Nobody::new() else { return };
    let list = nobody.run("xdp-probe", &["list", "--json"]);
    let names: Vec<_> = list.expect_code(code::DONE).json()["interfaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|interface| interface["ifname"].clone())
        .collect();
    assert!(names.contains(&"lo".into()), "{names:?}");
    nobody
        .run("xdp-probe", &["show", "lo"])
        .expect_code(code::DONE);
    nobody
        .run("xdp-probe", &["drivers"])
        .expect_code(code::DONE);
    nobody
        .run("xdp-offload", &["status"])
        .expect_code(code::DONE);
}

#[test]
fn check_judges_without_privilege() {
    let Some(nobody) = Nobody::new() else { return };
    for (object, options, answer, found) in [
        ("verdicts", &[][..], code::DONE, "takes it"),
        (
            "verdicts",
            &["--target", "kernel:5.4"],
            code::DONE,
            "Linux 5.4 takes it",
        ),
        ("bad/no_bounds_check", &[], code::NO, "error[packet-bounds]"),
        (
            "rate_limit",
            &["--target", "nfp"],
            code::NO,
            "error[offload-",
        ),
        (
            "pass",
            &["--target", "nfp:card64"],
            code::DONE,
            "nfp (card64) takes it",
        ),
        ("verdicts", &["--load"], code::DONE, "not permitted"),
    ] {
        let object = nobody.copy(&corpus(object));
        let arguments = [&["check", object.to_str().unwrap()], options].concat();
        let output = nobody.run("xdp-offload", &arguments);
        let text = &output.expect_code(answer).stdout;
        assert!(text.contains(found), "{arguments:?}: {text}");
    }
}

#[test]
fn what_needs_a_capability_names_it() {
    let Some(nobody) = Nobody::new() else { return };
    let object = nobody.copy(&corpus("pass"));
    let object = object.to_str().unwrap();
    for (command, arguments) in [
        ("xdp-offload", &["attach", object, "lo", "--generic"][..]),
        ("xdp-offload", &["map", "verdicts", "dump"]),
        ("xdp-probe", &["try", "lo"]),
    ] {
        let output = nobody.run(command, arguments);
        output.expect_code(code::NOT_PERMITTED);
        let text = format!("{}{}", output.stdout, output.stderr);
        assert!(text.contains("CAP_"), "{command} {arguments:?}: {text}");
    }
}

#[test]
fn a_program_stays_where_nobody_may_detach_it() {
    let Some(nobody) = Nobody::new() else { return };
    let netns = Netns::new("nobody");
    netns.veth("v0", "v1");
    let copy = nobody.copy(&corpus("pass"));
    let object = copy.to_str().unwrap();
    netns
        .tool("xdp-offload", ["attach", object, "v0"])
        .expect_code(code::DONE);
    for arguments in [
        &["detach", "v0"][..],
        &["attach", object, "v0", "--replace"],
    ] {
        let output = nobody.run_by(netns.command("setpriv"), "xdp-offload", arguments);
        output.expect_code(code::NOT_PERMITTED);
        assert!(netns.ip("link show v0").stdout.contains("xdp"));
    }
}
