//! `run --json`.

use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// What a program did with the packets of a file.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "xdp-offload/run/v1")]
pub struct Report {
    /// "xdp-offload/run/v1"
    pub schema: &'static str,
    /// The program's name.
    pub program: String,
    /// What ran it: "interp", "kernel", "nfp", "wire"; two that were compared and did the same.
    pub engines: Vec<&'static str>,
    /// The packets, in the order of the file.
    pub packets: Vec<Packet>,
    /// How many packets got each verdict.
    pub verdicts: BTreeMap<String, u64>,
}

/// A packet.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Packet {
    /// Its number, from 1.
    pub number: usize,
    /// What the program returned; null where neither XDP_PASS nor XDP_TX showed, and nobody tells which of the others.
    pub verdict: Option<u32>,
    /// The verdict's name: a value that is none has the kernel take it for XDP_ABORTED.
    pub verdict_name: String,
    /// Bytes before.
    pub length: usize,
    /// Bytes after, with metadata that the program put in front; null where nobody saw them.
    pub length_after: Option<usize>,
    /// Whether any byte is another one; null where nobody saw them.
    pub changed: Option<bool>,
    /// Where a redirected packet goes: "interface 3" or "MAP[KEY]"; null where the engine does not tell.
    pub redirect: Option<String>,
    /// Instructions executed, by the interpreter; words, by the simulated NFP.
    pub instructions: Option<u64>,
    /// Cycles of a microengine, as the simulated NFP estimates: no card was measured.
    pub cycles: Option<u64>,
    /// Time taken, by the kernel.
    pub nanoseconds: Option<u64>,
    /// Why a packet that was to be sent back by a real interface did not arrive at the peer.
    pub lost: Option<String>,
}
