//! `bench --json`.

use super::Mode;
use schemars::JsonSchema;
use serde::Serialize;

/// How fast a program is in the modes of an interface.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "xdp-offload/bench/v1")]
pub struct Report {
    /// "xdp-offload/bench/v1"
    pub schema: &'static str,
    /// The interface.
    pub ifname: String,
    /// The program's name.
    pub program: String,
    /// Each mode, best first.
    pub modes: Vec<Measured>,
    /// Packets a second in native mode to those in generic mode, both from a wire; null where either is missing.
    pub ratio: Option<f64>,
}

/// A mode.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Measured {
    /// Which.
    pub mode: Mode,
    /// Whether the program was attached in it.
    pub held: bool,
    /// Why not, or why nothing was measured.
    pub reason: Option<String>,
    /// Packets that the program saw a second.
    pub packets_per_second: Option<f64>,
    /// Nanoseconds: of "wire" the time in the program, of "test-run" all that a packet takes.
    pub ns_per_packet: Option<f64>,
    /// Where packets came from; null where nothing was measured.
    pub how: Option<How>,
}

/// Where packets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// From the peer.
    Wire,
    /// From the kernel's test run with live frames: the same for native and generic mode.
    TestRun,
}
