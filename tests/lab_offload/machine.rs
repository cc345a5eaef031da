//! The machine, with our commands in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hw_matrix::lab::{Lab, Nic, Spec};
use serde_json::Value;
use tests::{Output, binary, corpus, corpus_names, lab, stripped, workspace};

use crate::suite;

/// A machine that runs, with Linux 6.12.
pub(crate) struct Guest {
    machine: lab::Guest,
    /// Where it comes from.
    pub(crate) lab: Lab,
    /// The programs of the corpus that were lowered, by name: `NAME.nic.o` in the folder of the commands.
    pub(crate) lowered: Vec<String>,
}

/// The rewrites that the corpus is lowered with. `split` needs the host beside it.
pub(crate) const ALLOW: &str = "counters,globals,stores,lru,elements,trace,redirect";

/// Where netdevsim's switches are, for the device of this number.
pub(crate) fn switches(device: u32) -> String {
    format!("/sys/kernel/debug/netdevsim/netdevsim{device}")
}

impl Guest {
    /// Boots one with our commands and objects; `None` where there is no lab. `nics`: of QEMU's.
    pub(crate) fn boot(nics: &[&str]) -> Option<Self> {
        let lab = lab::obtain()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (lowered, mut files): (Vec<String>, Vec<PathBuf>) = corpus_names()
            .into_iter()
            .filter_map(|name| {
                let object = folder.path().join(format!("{name}.nic.o"));
                let mut compile = Command::new(binary("xdp-offload"));
                compile.arg("compile").arg(corpus(&name));
                compile.args(["--allow", ALLOW, "-o"]).arg(&object);
                let output = Output::of(&mut compile).unwrap_or_else(|error| panic!("{error}"));
                (output.code == 0).then_some((name, object))
            })
            .unzip();
        let guest = folder.path().join("offload-guest");
        stripped(Path::new(env!("CARGO_BIN_EXE_offload-guest")), &guest);
        files.push(guest);
        files.extend(suite::objects(&lab, folder.path()));
        for object in ["flows", "stack_constant"] {
            files.push(workspace().join(format!("tests/lab_offload/{object}.bpf.o")));
        }
        let spec = Spec {
            kernel: Some("6.12".to_owned()),
            nics: nics
                .iter()
                .map(|nic| Nic::parse(nic).expect("a NIC"))
                .collect(),
            ..Spec::default()
        };
        let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
        let machine = lab::Guest::boot(&lab, &spec, &files)
            .unwrap_or_else(|error| panic!("no machine: {error}"));
        Some(Self {
            machine,
            lab,
            lowered,
        })
    }

    /// Runs a shell command in the machine, with our commands on its path.
    #[track_caller]
    pub(crate) fn run(&self, command: &str) -> Output {
        // Lines that are broken differ with the length of an id.
        let output = self.machine.run(&format!("export COLUMNS=500\n{command}"));
        Output {
            command: command.to_owned(),
            ..output
        }
    }

    /// The same, of a command that takes long.
    #[track_caller]
    pub(crate) fn run_within(&self, command: &str, limit: Duration) -> Output {
        self.machine
            .try_run_within(command, limit)
            .unwrap_or_else(|error| panic!("`{command}`: {error}"))
    }

    /// The same, of a command that works; gives what it wrote.
    #[track_caller]
    pub(crate) fn ok(&self, command: &str) -> String {
        let output = self.run(command);
        output.expect_code(0);
        output.stdout
    }

    /// `xdp-offload`, which ends with this code; all that it wrote.
    #[track_caller]
    pub(crate) fn offload(&self, arguments: &str, code: i32) -> String {
        let output = self.run(&format!("xdp-offload {arguments}"));
        output.expect_code(code);
        output.stdout + &output.stderr
    }

    /// `xdp-offload ... --json`, which works.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &str) -> Value {
        let output = self.run(&format!("xdp-offload {arguments} --json"));
        output.expect_code(0).json()
    }

    /// A netdevsim device with this number and so many ports, called `sim0`, `sim1`, ... . It goes with the guard.
    #[track_caller]
    pub(crate) fn device(&self, number: u32, ports: u32) -> Device<'_> {
        let folder = format!("/sys/bus/netdevsim/devices/netdevsim{number}");
        self.ok(&format!(
            "modprobe netdevsim && echo '{number} {ports}' > /sys/bus/netdevsim/new_device &&
             for port in $(seq 0 $(({ports} - 1))); do
                 for net in {folder}/net/*; do
                     if [ $(cat $net/phys_port_name) = p$((port + 1)) ]; then
                         ip link set ${{net##*/}} name sim{number}p$port && ip link set sim{number}p$port up
                     fi
                 done
             done"
        ));
        Device {
            guest: self,
            number,
        }
    }

    /// The mode and the program's id of each attachment of an interface, in the network namespace `netns` or in ours.
    #[track_caller]
    pub(crate) fn attached(&self, netns: &str, ifname: &str) -> Vec<(String, u64)> {
        let status = self.json(&format!("{netns} status {ifname}"));
        let attached = status["interfaces"][0]["attached"]
            .as_array()
            .expect("a list");
        attached
            .iter()
            .map(|program| {
                let mode = program["mode"].as_str().expect("a mode").to_owned();
                (mode, program["prog_id"].as_u64().expect("an id"))
            })
            .collect()
    }

    /// Asserts that no program, map or link is loaded. They go a moment after their last reference.
    #[track_caller]
    pub(crate) fn nothing_is_left(&self) {
        let wait = "for i in $(seq 50); do left=$(offload-guest left); [ -z \"$left\" ] && break; sleep 0.1; done; echo -n \"$left\"";
        assert_eq!(self.ok(wait), "", "left behind");
    }
}

/// A netdevsim device.
pub(crate) struct Device<'a> {
    guest: &'a Guest,
    number: u32,
}

impl Device<'_> {
    /// Deletes it, whatever is attached.
    pub(crate) fn delete(self) {
        drop(self);
    }
}

impl Drop for Device<'_> {
    fn drop(&mut self) {
        // One that a test has deleted already is fine.
        let number = self.number;
        self.guest.run(&format!(
            "[ ! -e /sys/bus/netdevsim/devices/netdevsim{number} ] || echo {number} > /sys/bus/netdevsim/del_device"
        ));
    }
}

/// Asserts that a command said something; where it broke its lines does not matter.
#[track_caller]
pub(crate) fn says(words: &str, part: &str) {
    let flat: Vec<&str> = words.split_whitespace().collect();
    assert!(flat.join(" ").contains(part), "no '{part}' in:\n{words}");
}

/// Ids differ from run to run.
pub(crate) fn without_ids(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from_digit) = rest.split_at(at);
        let end = from_digit
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(from_digit.len());
        let (number, after) = from_digit.split_at(end);
        out += before;
        let is_id = before.ends_with("program ") || before.ends_with("link ");
        out += if is_id { "N" } else { number };
        rest = after;
    }
    out + rest
}
