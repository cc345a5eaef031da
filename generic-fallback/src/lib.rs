//! The mode ladder offload -> native -> generic: plan, load, attach, replace, detach, status.
//!
//! [`plan`] decides from what the probe judged which rungs are worth a try and is pure; [`ladder`]
//! tries them one by one and keeps what the kernel said at each. Nothing here knows a NIC family.

pub mod occupant;
pub mod outcome;
pub mod plan;
