//! Which XDP modes does each interface of this host support, and if not, why not?
//!
//! [`facts`] collects what the kernel says, [`judge`] turns it into verdicts without touching the
//! system, [`trial`] proves the verdicts by attaching, [`caps`] measures what an offload device accepts, [`render`]
//! shows them. [`drivers`] is the shipped table of what is known about drivers that say nothing themselves.

pub mod caps;
pub mod cli;
pub mod commands;
pub mod drivers;
pub mod error;
pub mod facts;
mod feature_names;
pub mod judge;
pub mod kernel_log;
pub mod render;
pub mod settings;
pub mod trial;

pub use error::{Error, Result};
pub use facts::{Facts, Host, Snapshot, collect, collect_for};
pub use judge::explain::{Binding, Explanation, Tried, explain};
pub use judge::{Evidence, EvidenceKind, Needs, Support, Verdicts, judge};
