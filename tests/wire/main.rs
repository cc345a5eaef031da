//! Programs on an interface that real frames come in on: a veth pair between two namespaces, native and generic.

mod bench;
mod compare;
mod planted;
mod soak;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::packets::capture;
use tests::{Cable, Output, binary, corpus, workspace};

const MODES: [&str; 2] = ["native", "generic"];

/// A cable with a program at its near end; the far end takes what is sent back to it.
struct Wire {
    cable: Cable,
    peer: String,
    folder: tempfile::TempDir,
}

impl Wire {
    fn lay(tag: &str) -> Self {
        let cable = Cable::lay(tag).unwrap_or_else(|error| panic!("{error}"));
        let peer = format!("{}/far0", cable.far.name());
        let wire = Self {
            cable,
            peer,
            folder: tempfile::tempdir().unwrap(),
        };
        // A veth takes frames of XDP_TX where a program makes it poll.
        let pass = corpus("pass");
        let attach = ["attach", text(&pass), "far0", "--native", "--no-fallback"];
        wire.cable.far.tool("xdp-offload", attach).expect_code(0);
        wire
    }

    /// `xdp-offload` at the near end.
    fn tool(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("xdp-offload"));
        command
            .args(["--netns", self.cable.near.name()])
            .args(arguments);
        Output::of(&mut command).unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    fn attach(&self, object: &str, mode: &str) {
        let object = corpus(object);
        let mode = format!("--{mode}");
        let attach = ["attach", text(&object), "near0", &mode, "--no-fallback"];
        self.tool(&[&attach[..], &["--replace"]].concat())
            .expect_code(0);
    }

    fn detach(&self) {
        self.tool(&["detach", "near0"]).expect_code(0);
    }

    /// `xdp-offload run OBJ --packets ... --dev near0 --peer ...`
    fn run(&self, object: &str, packets: &[Vec<u8>], arguments: &[&str]) -> Output {
        let mut command = self.command(object, packets, arguments);
        Output::of(&mut command).unwrap_or_else(|error| panic!("{error}"))
    }

    fn command(&self, object: &str, packets: &[Vec<u8>], arguments: &[&str]) -> Command {
        let packets = capture(self.folder.path(), packets);
        let mut command = Command::new(binary("xdp-offload"));
        command
            .args(["--netns", self.cable.near.name(), "run"])
            .arg(corpus(object))
            .arg("--packets")
            .arg(packets)
            .args(["--dev", "near0", "--peer", &self.peer])
            .args(arguments);
        command
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Standard output as JSON that keeps to a committed schema.
#[track_caller]
fn checked(output: &Output, schema: &str) -> Value {
    let path = workspace().join(format!("xdp-offload/schemas/{schema}.json"));
    let schema: Value = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let report = output.json();
    if let Err(error) = jsonschema::validate(&schema, &report) {
        panic!("{error} at {}\n{report:#}", error.instance_path());
    }
    report
}

/// A frame with a VLAN tag.
fn tagged(mut frame: Vec<u8>) -> Vec<u8> {
    frame.splice(12..12, [0x81, 0, 0, 5]);
    frame
}
