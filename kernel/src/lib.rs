//! All that talks to the Linux kernel: rtnetlink, the netdev and ethtool families, bpf(2), AF_XDP, packet sockets, XDP's
//! tracepoints, the kernel's log.
//!
//! Answers are typed and keep the kernel's own words (errno, extended ack, verifier log).
//! Nothing here decides anything; that is the work of `probe` and `generic-fallback`.

#![allow(
    unsafe_code,
    reason = "the one crate that makes raw system calls; each block says why it is sound"
)]

pub mod bpf;
pub mod error;
pub mod host;
pub mod kmsg;
pub mod netlink;
pub mod netns;
pub mod packet;
pub mod trace;
pub mod xsk;

pub use error::{Errno, Error, Operation, Refusal, Result};
