//! The virtual lab itself: machines boot with every NIC, run commands, and their deaths are noticed.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hw_matrix::lab::{Lab, LabError, MODELS, Machine, Nic, Spec};
use tests::lab::obtain;
use tests::{Output, binary, tool};

fn spec(kernel: &str, nics: &[&str]) -> Spec {
    let mut nics: Vec<Nic> = nics
        .iter()
        .map(|text| Nic::parse(text).expect(text))
        .collect();
    Nic::number(&mut nics);
    Spec {
        kernel: Some(kernel.to_owned()),
        nics,
        ..Spec::default()
    }
}

fn boot(lab: &Lab, spec: &Spec) -> Machine {
    Machine::boot(lab, spec).unwrap_or_else(|error| panic!("{error}"))
}

const LIMIT: Duration = Duration::from_mins(2);

/// What a command printed; it ends with 0.
fn said(machine: &Machine, command: &str) -> String {
    let output = machine
        .run(command, LIMIT)
        .unwrap_or_else(|error| panic!("{command}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.code, 0, "{command}:\n{text}{errors}");
    text
}

/// Every NIC has its interface, under its name and with its driver, on each kernel.
#[test]
fn all_nics_come_up_on_all_kernels() {
    let Some(lab) = obtain() else { return };
    let models = MODELS.map(|model| model.name);
    let kernels = lab.kernels();
    assert_eq!(kernels.len(), 2, "{kernels:?}");
    for kernel in kernels {
        let machine = boot(&lab, &spec(&kernel, &models));
        let release = said(&machine, "uname -r");
        assert_eq!(
            Some(release.trim_end()),
            lab.release(&kernel).ok().as_deref()
        );
        for model in &MODELS {
            let command = format!("ethtool -i {}", model.name);
            let told = said(&machine, &command);
            // On USB it depends on the kernel which of its drivers comes first.
            let driver = match (model.name, told.contains("cdc_subset")) {
                ("usb-net", true) => "cdc_subset",
                _ => model.driver,
            };
            assert!(
                told.starts_with(&format!("driver: {driver}\n")),
                "{kernel} {}: {told}",
                model.name
            );
        }
    }
}

/// The guest reads the host's files and writes to its own memory, or where it may.
#[test]
fn a_guest_writes_only_where_it_may() {
    let Some(lab) = obtain() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let shared = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("read"), "the host's").expect("written");
    let mut spec = spec("6.12", &["igb,peer", "virtio-net,queues=4"]);
    spec.writable = vec![shared.path().to_owned()];
    let machine = boot(&lab, &spec);
    let command = format!(
        "cat {0}/read; echo mine >{0}/written; cat {0}/written; echo ours >{1}/written",
        folder.path().display(),
        shared.path().display()
    );
    assert_eq!(said(&machine, &command), "the host'smine\n");
    assert!(!folder.path().join("written").exists());
    let written = std::fs::read_to_string(shared.path().join("written"));
    assert_eq!(written.ok().as_deref(), Some("ours\n"));

    // Packets go over the wire to the peer, and there are as many queues as were asked for.
    let wire = "ip address add 10.0.0.1/24 dev igb\n\
                ip -n igb-peer address add 10.0.0.2/24 dev peer\n\
                for try in 1 2 3 4 5 6 7 8 9 10; do /run/busybox ping -c 1 -W 1 10.0.0.2 && exit; done\nexit 1";
    assert!(said(&machine, wire).contains("0% packet loss"));
    let channels = said(&machine, "ethtool -l virtio-net");
    assert!(channels.contains("Combined:\t4\n"), "{channels}");

    // Bytes come through as they are, the exit code too.
    let bytes = machine.run("printf 'a\\000b' >&2; exit 7", LIMIT);
    let bytes = bytes.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((bytes.code, bytes.stderr.as_slice()), (7, &b"a\0b"[..]));
}

/// A command that takes too long is killed, with all that it started, and the machine lives on. A panic ends the machine, and
/// its words are kept.
#[test]
fn time_limits_and_deaths_are_noticed() {
    let Some(lab) = obtain() else { return };
    let machine = boot(&lab, &spec("6.12", &[]));
    let begun = Instant::now();
    let hung = machine.run("sleep 1234 & sleep 1234", Duration::from_secs(1));
    assert!(matches!(hung, Err(LabError::TimeLimit(_))), "{hung:?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "it was killed");
    let left = said(&machine, "ps | grep -c '[s]leep 1234' || true");
    assert_eq!(left, "0\n");
    let dead = machine.run("echo c >/proc/sysrq-trigger", LIMIT);
    let Err(LabError::Died { console, .. }) = dead else {
        panic!("{dead:?}");
    };
    assert!(console.contains("Kernel panic"), "{console}");
    let after = machine.run("true", LIMIT);
    assert!(matches!(after, Err(LabError::Died { .. })), "{after:?}");
}

/// A NIC that QEMU does not take is told in QEMU's words.
#[test]
fn a_nic_that_cannot_be_is_told() {
    let Some(lab) = obtain() else { return };
    let error = Machine::boot(&lab, &spec("6.12", &["igb,no_such=1"])).expect_err("no such NIC");
    let text = error.to_string();
    assert!(text.contains("Property 'igb.no_such' not found"), "{text}");
    let error = Machine::boot(&lab, &spec("6.12", &["nfpsim,abi=x"])).expect_err("no number");
    assert!(
        matches!(&error, LabError::Setup(why) if why.contains("nfpsim")),
        "{error}"
    );
}

/// `lab shell`, on a terminal of 30 lines and 99 columns that script(1) makes.
fn a_shell_on_a_terminal(name: &str) {
    let shell = format!(
        "stty rows 30 cols 99; {} lab shell {name}",
        binary("hw-matrix").display()
    );
    let mut terminal = Command::new("timeout")
        .args(["120", "script", "-qec", &shell, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script starts");
    let mut keys = terminal.stdin.take().expect("stdin is piped");
    let mut screen = terminal.stdout.take().expect("stdout is piped");
    let mut shown = String::new();
    let mut wait_for = |words: &str| {
        let mut bytes = [0; 4096];
        while !shown.contains(words) {
            let count = screen.read(&mut bytes).expect("a terminal");
            assert!(count > 0, "no '{words}' in {shown}");
            shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    };
    wait_for("# ");
    keys.write_all(b"stty size\n").expect("typed");
    wait_for("30 99");
    keys.write_all(b"exit\n").expect("typed");
    assert_eq!(terminal.wait().expect("it ends").code(), Some(0));
}

/// Stops a machine that a failed test leaves.
struct Stop<'a>(&'a str);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        let _ = tool("hw-matrix", ["lab", "stop", self.0]);
    }
}

/// Machines by name, as one uses them by hand.
#[test]
fn machines_that_stay() {
    let Some(_) = obtain() else { return };
    let name = format!("test-{}", std::process::id());
    let lab = |words: &str| -> Output {
        let words: Vec<&str> = words.split(' ').collect();
        tool("hw-matrix", ["lab"].iter().chain(&words))
    };
    let _stop = Stop(&name);
    lab(&format!("start {name} --nic veth")).expect_code(0);
    let again = lab(&format!("start {name}"));
    assert_eq!(again.expect_code(2).stderr.lines().count(), 2);
    let list = lab("list");
    let ours = |line: &&str| line.contains(&name) && line.ends_with(" 6.12 veth");
    let found = list.expect_code(0).stdout.lines().find(ours);
    assert!(found.is_some(), "{}", list.stdout);
    // Our programs are the host's.
    let probe = binary("xdp-probe");
    let table = lab(&format!("run --in {name} -- {} list veth", probe.display()));
    assert!(
        table.expect_code(0).stdout.contains("veth"),
        "{}",
        table.stdout
    );
    lab(&format!("run --in {name} -- false")).expect_code(1);
    lab(&format!("run --in {name} --time 1 -- sleep 99")).expect_code(124);
    a_shell_on_a_terminal(&name);
    lab(&format!("stop {name}")).expect_code(0);
    let gone = lab(&format!("run --in {name} -- true"));
    assert!(
        gone.expect_code(2).stderr.contains("no machine"),
        "{}",
        gone.stderr
    );
}
