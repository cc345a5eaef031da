//! `soak --json`.

use super::Mode;
use schemars::JsonSchema;
use serde::Serialize;

/// What became of many packets, held against what becomes of each when it is alone.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "xdp-offload/soak/v1")]
pub struct Report {
    /// "xdp-offload/soak/v1"
    pub schema: &'static str,
    /// The interface.
    pub ifname: String,
    /// Where the program runs.
    pub mode: Mode,
    /// The attached program's name, at most 15 bytes.
    pub program: String,
    /// Packets sent.
    pub sent: u64,
    /// Those of them that were to reach the network stack.
    pub expected_pass: u64,
    /// Those that did.
    pub passed: u64,
    /// Those that were to come back to the peer.
    pub expected_return: u64,
    /// Those that did.
    pub returned: u64,
    /// Packets that reached the network stack and should not have, or not as they were: the program did not see them.
    pub unprotected: u64,
    /// Packets that should have arrived, at the stack or at the peer, and did not.
    pub lost: u64,
    /// Packets that came and could not be looked at, because this host was too busy: they do not count as lost.
    pub missed: u64,
    /// How often the program was replaced.
    pub replaced: u64,
    /// How often it ran; null where a NIC runs it, or before Linux 5.8.
    pub runs: Option<u64>,
}
