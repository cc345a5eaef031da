//! The executable definition of eBPF: an interpreter that everything else is compared with.
//!
//! It models what the kernel's own run of a program shows: registers, frames, packet, context, maps and
//! the helpers that XDP programs call. It is deterministic: time, randomness and the CPU number come
//! from the caller ([`World`]). It trusts nothing: each access is checked against the region that its
//! address belongs to, reads of what was never written are found, and a run has a budget. What a program
//! does wrong is a [`Fault`] at an instruction, never a panic.
//!
//! Known differences from the kernel, on purpose: an LRU map evicts the entry used longest ago (the
//! kernel approximates that, per CPU); `may_goto` counts iterations and watches no clock; packets are
//! linear (no fragments); `bpf_fib_lookup` and socket lookups find nothing.

pub mod arithmetic;
mod card;
mod fault;
mod frame;
mod helper;
mod load;
mod machine;
mod map;
mod memory;
mod packet;
mod run;
mod semantics;
#[cfg(test)]
mod tests;
mod world;

pub use fault::{AccessKind, Fault, FaultKind, Region};
pub use load::{LoadError, Loaded};
pub use machine::{Event, Limits, Machine, Redirect, Uninitialised, XdpRun};
pub use map::{MapError, MapKind, MapSpec};
pub use packet::XdpInput;
pub use semantics::{Act, At, Semantics};
pub use world::{Clock, Fixed, World};
