//! What the end-to-end tests share.

pub mod netns;
pub mod skip;

pub use netns::Netns;
pub use skip::{require, require_command, require_root};
