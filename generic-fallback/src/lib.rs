//! The mode ladder offload -> native -> generic: plan, load, attach, replace, detach, status.
//!
//! [`plan`] decides from what the probe judged which rungs are worth a try and is pure; [`ladder`]
//! tries them one by one and keeps what the kernel said at each. Nothing here knows a NIC family.

pub mod attach;
pub mod detach;
pub mod effects;
mod explain;
pub mod ladder;
pub mod load;
mod metadata;
pub mod nic_program;
pub mod occupant;
pub mod outcome;
pub mod permission;
pub mod plan;
pub mod status;
pub mod verifier_log;

pub use ladder::Ladder;
pub use nic_program::NicProgram;
pub use outcome::Outcome;
pub use plan::{Plan, Request, Wanted};
