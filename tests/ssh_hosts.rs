//! hw-matrix on hosts that are reached by ssh: two namespaces, each with a real sshd, a NIC, and the runner in a third.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{Netns, Output, binary, corpus, require_command, require_root, stripped};

/// A host: its namespace, and the sshd in it.
struct Host {
    netns: Netns,
    address: String,
    config: PathBuf,
    sshd: Child,
}

impl Host {
    /// A host of the number `number` that the runner's namespace reaches.
    fn start(runner: &Netns, number: u8, folder: &Path) -> Self {
        let netns = Netns::new(&format!("ssh{number}"));
        let cable = format!("up{number}");
        runner.ip(&format!(
            "link add {cable} type veth peer name eth0 netns {}",
            netns.name()
        ));
        let address = format!("10.77.{number}.2");
        runner.ip(&format!("address add 10.77.{number}.1/24 dev {cable}"));
        runner.ip(&format!("link set {cable} up"));
        netns.ip(&format!("address add {address}/24 dev eth0"));
        netns.ip("link set eth0 up");
        netns.veth("near0", "far0");
        let config = folder.join(format!("sshd{number}"));
        let key = folder.join("host_key");
        let text = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
             ListenAddress {address}\nPermitRootLogin yes\n",
            key.display(),
            folder.join("user_key.pub").display()
        );
        fs::write(&config, text).expect("written");
        let sshd = serve(&netns, &config);
        Self {
            netns,
            address,
            config,
            sshd,
        }
    }

    /// The host dies: everything that runs on it ends at once.
    fn kill(&mut self) {
        let pids = Command::new("ip")
            .args(["netns", "pids", self.netns.name()])
            .output()
            .expect("ip");
        for pid in String::from_utf8_lossy(&pids.stdout).split_whitespace() {
            let _ = Command::new("kill").args(["-KILL", pid]).status();
        }
        let _ = self.sshd.wait();
    }

    /// It comes back.
    fn boot(&mut self) {
        self.netns.ip("link set near0 xdpdrv off");
        self.netns.ip("link set near0 xdpgeneric off");
        self.sshd = serve(&self.netns, &self.config);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

fn serve(netns: &Netns, config: &Path) -> Child {
    fs::create_dir_all("/run/sshd").expect("root makes it");
    let log = fs::File::create(config.with_extension("log")).expect("the folder is ours");
    netns
        .command("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(config)
        .stderr(log)
        .spawn()
        .expect("sshd starts")
}

struct Lab {
    runner: Netns,
    hosts: [Host; 2],
    folder: tempfile::TempDir,
}

/// Programs of the corpus; with two modes and two hosts 24 cells.
const PROGRAMS: [&str; 6] = [
    "pass",
    "counter",
    "firewall",
    "vlan_pop",
    "rate_limit",
    "edge",
];

fn lab() -> Option<Lab> {
    if !require_root() || !require_command("ssh-keygen") {
        return None;
    }
    let sshd = Path::new("/usr/sbin/sshd").exists();
    if !tests::require(sshd, "needs sshd, of the package openssh-server") {
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    for name in ["host_key", "user_key", "wrong_key"] {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
        Output::of(keygen.arg(path.join(name)))
            .and_then(Output::ok)
            .unwrap_or_else(|error| panic!("{error}"));
    }
    let runner = Netns::new("runner");
    let hosts = [1, 2].map(|number| Host::start(&runner, number, path));
    let known = |key: &str| -> String {
        let key = fs::read_to_string(path.join(format!("{key}.pub"))).expect("made");
        let line = |host: &Host| format!("{} {key}", host.address);
        hosts.iter().map(line).collect()
    };
    fs::write(path.join("known_hosts"), known("host_key")).expect("written");
    fs::write(path.join("strangers"), known("wrong_key")).expect("written");
    for name in ["xdp-probe", "xdp-offload"] {
        stripped(&binary(name), &path.join(name));
    }
    let mut text = String::new();
    for (host, name) in hosts.iter().zip(["left", "right"]) {
        let _ = write!(
            text,
            "[host.{name}]\nexecutor = \"ssh\"\naddress = \"{}\"\nuser = \"root\"\nkey = \"user_key\"\n\
             known_hosts = \"known_hosts\"\nnic.a.ifname = \"near0\"\n",
            host.address
        );
    }
    for name in PROGRAMS {
        let _ = write!(
            text,
            "[program.{name}]\nobject = \"{}\"\n",
            corpus(name).display()
        );
    }
    text += "[check.attach]\nmodes = [\"native\", \"generic\"]\n";
    fs::write(path.join("lab.toml"), text).expect("written");
    Some(Lab {
        runner,
        hosts,
        folder,
    })
}

impl Lab {
    fn command(&self, words: &str) -> Command {
        let mut command = self.runner.command(binary("hw-matrix"));
        command
            .current_dir(self.folder.path())
            .args(words.split(' '))
            .args(["--tools", "."]);
        command
    }

    fn run(&self, words: &str) -> Output {
        Output::of(&mut self.command(words)).unwrap_or_else(|error| panic!("{error}"))
    }

    fn start(&self, words: &str) -> Child {
        self.command(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts")
    }

    fn results(&self, out: &str) -> String {
        let path = self.folder.path().join(out).join("results.jsonl");
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Waits until a host has this many results.
    fn wait_for(&self, out: &str, host: &str, count: usize) {
        let begun = Instant::now();
        while statuses(&self.results(out))
            .keys()
            .filter(|id| id.starts_with(host))
            .count()
            < count
        {
            let text = self.results(out);
            assert!(begun.elapsed() < Duration::from_mins(2), "{text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The status of each cell that has one.
fn statuses(results: &str) -> BTreeMap<String, String> {
    let lines = results.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["event"] == "result").then_some(())?;
        let text = |key: &str| Some(line[key].as_str()?.to_owned());
        Some((text("cell")?, text("status")?))
    });
    lines.collect()
}

fn folders_on_hosts() -> usize {
    let entries = fs::read_dir("/tmp").expect("there").flatten();
    entries
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("hw-matrix-host.")
        })
        .count()
}

#[test]
fn two_hosts_run_side_by_side_and_one_dies() {
    let Some(mut lab) = lab() else { return };
    let before = folders_on_hosts();
    let first = lab.run("run lab.toml --out first --jobs 2");
    first.expect_code(0);
    assert!(first.stdout.contains("24 pass"), "{}", first.stdout);
    assert_eq!(folders_on_hosts(), before, "nothing is left on the hosts");

    // A host dies in a cell and comes back: its cell is a crash, all others are as before.
    let child = lab.start("run lab.toml --out second --jobs 2");
    lab.wait_for("second", "right/", 3);
    lab.hosts[1].kill();
    std::thread::sleep(Duration::from_secs(1));
    lab.hosts[1].boot();
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(5), "a crash is told");
    let (first, second) = (
        statuses(&lab.results("first")),
        statuses(&lab.results("second")),
    );
    let changed: Vec<_> = second
        .iter()
        .filter(|(id, status)| first.get(*id) != Some(status))
        .collect();
    assert_eq!(second.len(), 24);
    assert!(
        matches!(changed[..], [(id, status)] if id.starts_with("right/") && status == "crash"),
        "{changed:?}"
    );

    // The runner is killed: nothing is left on the hosts, and the run goes on.
    let before = folders_on_hosts();
    let mut child = lab.start("run lab.toml --out third --jobs 2");
    lab.wait_for("third", "left/", 4);
    let _ = Command::new("pkill")
        .args(["-KILL", "-P", &child.id().to_string()])
        .status();
    child.kill().expect("it is ours");
    let _ = child.wait();
    let begun = Instant::now();
    while folders_on_hosts() > before {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "the hosts notice"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let resumed = lab.run("run --resume third");
    // The cells that were cut off may have left a program, which is told, and not a wrong result.
    assert!(matches!(resumed.code, 0 | 5), "{}", resumed.stderr);
    assert_eq!(
        statuses(&lab.results("third")).len(),
        24,
        "{}",
        resumed.stdout
    );
}

#[test]
fn hosts_that_cannot_be_reached_are_told_with_ssh_s_words() {
    let Some(lab) = lab() else { return };
    let path = lab.folder.path().join("lab.toml");
    let text = fs::read_to_string(&path).expect("written");
    // One host has another key than the known one, the other does not answer.
    let text = text.replacen("\"known_hosts\"", "\"strangers\"", 1);
    let text = text.replace(&lab.hosts[1].address, "10.77.2.99");
    fs::write(&path, text).expect("written");
    let output = lab.run("run lab.toml --out out --jobs 2 --filter program=pass");
    output.expect_code(5);
    let results = lab.results("out");
    assert!(
        results.contains("Host key verification failed"),
        "{results}"
    );
    assert!(results.contains("10.77.2.99"), "{results}");
    assert!(
        statuses(&results).values().all(|status| status == "error"),
        "{results}"
    );
}
