//! Programs for the NFP: those that its driver was given and what came of them, random ones, packets for them, and both
//! machines to run them on.

mod feed;
pub mod generate;
mod golden;
mod packets;
mod twins;
mod unlinked;

pub use feed::{Feed, SetElement, seed_of};
pub use golden::{Decision, Translation, decisions, golden_text, map_shape, parse, translations};
pub use packets::{lengths, packet};
pub use twins::{Element, Run, Twins, contents, machine};
pub use unlinked::Unlinked;

/// Words that every image has: the driver's entry and exits, and the empty words after them.
pub const FIXED_WORDS: usize = 23;
