//! rtnetlink, and the netdev and ethtool generic netlink families, over neli's plain socket.
//!
//! `NlRouter` is not used: it loses extended acks and part of some dumps (the netdev family's dump
//! carries no `NLM_F_MULTI`).

mod attr;
#[cfg(test)]
mod captures;
mod driver_info;
pub mod ethtool;
pub mod events;
mod family;
pub mod link;
mod message;
pub mod netdev;
mod registers;
mod socket;

pub use link::Route;
pub use registers::{Registers, registers};
