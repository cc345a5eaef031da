//! The mode ladder on the real kernel: what holds, what is said about each rung that did not, and that nothing is left.

mod pins;
mod refusals;
mod replace;
mod reports;
mod rungs;

use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use generic_fallback::outcome::{AttemptResult, Ending};
use generic_fallback::plan::{Request, Wanted};
use generic_fallback::{Ladder, NicProgram};
use kernel::Errno;
use kernel::bpf::link::Link as BpfLink;
use kernel::bpf::program::{Program, ProgramSpec};
use kernel::bpf::{link_ids, map_ids, program_ids};
use kernel::netlink::Route;
use kernel::netlink::link::{AttachedXdp, Expected, Mode, XdpRequest};
use offload_compiler::object::Object;
use serde_json::Value;
use tests::{Bpffs, Netns, Output, binary, corpus, require_root};

/// `xdp-offload` in a namespace.
fn run(netns: &Netns, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary("xdp-offload"));
    command.args(["--netns", netns.name()]).args(arguments);
    Output::of(&mut command).unwrap_or_else(|error| panic!("{error}"))
}

/// `xdp-offload attach` of a corpus program, with `--json`: exit code and report.
fn attach(netns: &Netns, program: &str, arguments: &[&str]) -> (i32, Value) {
    let object = corpus(program);
    let mut all = vec!["attach", path(&object), "--json"];
    all.extend(arguments);
    let output = run(netns, &all);
    (output.code, output.json())
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the workspace's path is UTF-8")
}

/// What the kernel says is attached.
fn attached(netns: &Netns, ifname: &str) -> AttachedXdp {
    netns.inside(|| {
        let mut route = Route::open().expect("a netlink socket");
        route.link_by_name(ifname).expect("the interface").xdp
    })
}

/// "offload refused load, native ok attach"
fn rungs(report: &Value) -> String {
    let attempts = report["attempts"].as_array().expect("attempts");
    let rungs: Vec<String> = attempts
        .iter()
        .map(|attempt| {
            let word = |name: &str| attempt[name].as_str().expect("a word").to_owned();
            format!("{} {} {}", word("mode"), word("result"), word("step"))
        })
        .collect();
    rungs.join(", ")
}

/// Every rung that did not hold has a reason.
#[track_caller]
fn every_rung_is_explained(report: &Value) {
    for attempt in report["attempts"].as_array().expect("attempts") {
        let reason = attempt["reason"].as_str().unwrap_or_default();
        assert!(attempt["result"] == "ok" || reason.len() > 10, "{attempt}");
    }
}

/// The ids of all programs, maps and links whose names are ours to look for; other tests share the kernel.
fn ours(names: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for id in program_ids().flatten() {
        if let Ok(info) = Program::from_id(id).and_then(|program| program.info())
            && names.contains(&info.name.as_str())
        {
            found.push(format!("program {id} {}", info.name));
        }
    }
    for id in map_ids().flatten() {
        if let Ok(info) = kernel::bpf::map::Map::from_id(id).and_then(|map| map.info())
            && names.contains(&info.name.as_str())
        {
            found.push(format!("map {id} {}", info.name));
        }
    }
    found
}

/// An object of the corpus whose program and map bear names of their own, so that [`ours`] finds just them.
struct Renamed {
    folder: tempfile::TempDir,
    name: String,
}

impl Renamed {
    /// `from` and `to` are equally long, so nothing else in the file moves.
    fn new(program: &str, from: &str, to: &str) -> Self {
        assert_eq!(from.len(), to.len());
        let bytes = std::fs::read(corpus(program)).expect("the corpus is committed");
        let mut renamed = bytes.clone();
        for at in 0..bytes.len() - from.len() {
            if &bytes[at..at + from.len()] == from.as_bytes() {
                renamed[at..at + from.len()].copy_from_slice(to.as_bytes());
            }
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("renamed.bpf.o"), renamed).expect("it can be written");
        Self {
            folder,
            name: to.to_owned(),
        }
    }

    fn path(&self) -> String {
        path(&self.folder.path().join("renamed.bpf.o")).to_owned()
    }
}

/// Programs go a moment after their last reference, by RCU.
#[track_caller]
fn nothing_is_left(names: &[&str]) {
    for _ in 0..100 {
        if ours(names).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("left: {:?}", ours(names));
}
