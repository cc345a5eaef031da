//! rtnetlink, and the netdev and ethtool generic netlink families, over neli's plain socket.
//!
//! `NlRouter` is not used: it loses extended acks and part of some dumps (the netdev family's dump
//! carries no `NLM_F_MULTI`).

pub mod ethtool;
pub mod events;
pub mod link;
pub mod netdev;

pub use link::Route;
