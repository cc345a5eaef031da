//! hw-matrix with a real labgrid: a coordinator and an exporter of the Python Package Index, and runs that compete for a place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tests::{Netns, Output, binary, corpus, require, require_root, workspace};

/// A labgrid in a namespace of its own, with one place, `rack`.
struct Labgrid {
    netns: Netns,
    bin: PathBuf,
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
}

const COORDINATOR: &str = "127.0.0.1:20408";

impl Labgrid {
    fn start() -> Option<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR");
        let target = target.map_or_else(|| workspace().join("target"), PathBuf::from);
        let bin = target.join("python/bin");
        let have = bin.join("labgrid-client").exists();
        if !require_root() || !require(have, "needs labgrid: cargo xtask python") {
            return None;
        }
        let netns = Netns::new("labgrid");
        netns.veth("near0", "far0");
        let folder = tempfile::tempdir().expect("a folder");
        let resources = folder.path().join("resources.yaml");
        fs::write(
            &resources,
            "rack:\n  NetworkService:\n    address: 127.0.0.1\n    username: root\n",
        )
        .expect("written");
        let mut labgrid = Self {
            netns,
            bin,
            folder,
            daemons: Vec::new(),
        };
        labgrid.daemon("labgrid-coordinator", &["-l", COORDINATOR]);
        labgrid.until(&["places"], "", "the coordinator answers");
        let resources = resources.display().to_string();
        labgrid.daemon(
            "labgrid-exporter",
            &["-c", COORDINATOR, "-n", "exporter", &resources],
        );
        labgrid.until(&["resources"], "rack", "the exporter is there");
        labgrid.client(&["-p", "rack", "create"]).expect_code(0);
        labgrid
            .client(&["-p", "rack", "add-match", "exporter/rack/*"])
            .expect_code(0);
        labgrid.write_lab("1m");
        Some(labgrid)
    }

    fn daemon(&mut self, program: &str, arguments: &[&str]) {
        let log = fs::File::create(self.folder.path().join(program)).expect("the folder is ours");
        let daemon = self
            .netns
            .command(self.bin.join(program))
            .args(arguments)
            // Where the coordinator keeps its places.
            .current_dir(self.folder.path())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("it starts");
        self.daemons.push(daemon);
    }

    fn client(&self, arguments: &[&str]) -> Output {
        let mut client = self.netns.command(self.bin.join("labgrid-client"));
        client.env("LG_COORDINATOR", COORDINATOR).args(arguments);
        Output::of(&mut client).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Asks until the answer is good and has `word`.
    fn until(&self, arguments: &[&str], word: &str, what: &str) {
        let begun = Instant::now();
        loop {
            let output = self.client(arguments);
            if output.code == 0 && output.stdout.contains(word) {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "{what}: {}{}",
                output.stdout,
                output.stderr
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Who has the place: "acquired: None" for nobody.
    fn is_free(&self) -> bool {
        let shown = self.client(&["-p", "rack", "show"]);
        shown.expect_code(0).stdout.contains("acquired: None")
    }

    fn write_lab(&self, wait: &str) {
        let programs: String = ["pass", "counter", "firewall", "vlan_pop"]
            .map(|name| {
                format!(
                    "[program.{name}]\nobject = \"{}\"\n",
                    corpus(name).display()
                )
            })
            .concat();
        let text = format!(
            "[reserve]\nengine = \"labgrid\"\ncoordinator = \"{COORDINATOR}\"\nwait = \"{wait}\"\n\
             [host.here]\nexecutor = \"local\"\nplace = \"rack\"\nnic.a.ifname = \"near0\"\n\
             {programs}[check.attach]\nmodes = [\"native\", \"generic\"]\n"
        );
        fs::write(self.folder.path().join("lab.toml"), text).expect("written");
    }

    fn command(&self, out: &str) -> Command {
        let mut command = self.netns.command(binary("hw-matrix"));
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", self.bin.display()))
            .args(["run", "lab.toml", "--out", out]);
        command
    }

    fn results(&self, out: &str) -> String {
        let path: &Path = self.folder.path();
        fs::read_to_string(path.join(out).join("results.jsonl")).unwrap_or_default()
    }
}

impl Drop for Labgrid {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[test]
fn runs_compete_for_a_place_and_a_killed_one_gives_it_back() {
    let Some(labgrid) = Labgrid::start() else {
        return;
    };
    // Two at once: each has the place for itself, one after the other.
    let both = ["one", "two"].map(|out| {
        let mut command = labgrid.command(out);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("it starts")
    });
    for run in both {
        let output = run.wait_with_output().expect("it ends");
        let words = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{words}");
        assert!(words.contains("8 pass"), "{words}");
    }
    assert!(labgrid.is_free());

    // A run that is killed in the middle.
    let mut killed = labgrid
        .command("killed")
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let begun = Instant::now();
    while !labgrid.results("killed").contains("\"event\":\"result\"") {
        assert!(begun.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!labgrid.is_free(), "the run has it");
    // `ip netns exec` became the runner.
    killed.kill().expect("it is ours");
    let _ = killed.wait();
    let begun = Instant::now();
    while !labgrid.is_free() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "the place is released"
        );
    }

    // Somebody who keeps it: the cells are skipped, with the reason.
    let mut keep = labgrid.netns.command(labgrid.bin.join("labgrid-client"));
    keep.env("LG_COORDINATOR", COORDINATOR)
        .env("LG_USERNAME", "ann");
    let kept = Output::of(keep.args(["-p", "rack", "acquire"]));
    kept.expect("labgrid-client").expect_code(0);
    labgrid.write_lab("2s");
    let output = Output::of(&mut labgrid.command("skipped")).expect("it runs");
    assert!(
        output.expect_code(0).stdout.contains("8 skip"),
        "{}",
        output.stdout
    );
    let results = labgrid.results("skipped");
    assert!(
        results.contains("the place rack could not be had within 2 s"),
        "{results}"
    );
    assert!(results.contains("is already acquired by"), "{results}");
}
