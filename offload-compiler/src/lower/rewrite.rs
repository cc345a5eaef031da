//! What passes did: values, rendered elsewhere.

use std::fmt;
use std::str::FromStr;

use super::program::{Op, Step};
use crate::verify::MapShape;

/// A change of what user space sees, made only where it is allowed by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Allow {
    /// Per-CPU maps that count become shared ones; read-modify-write becomes an atomic addition.
    Counters,
    /// Writable global variables become an array map.
    Globals,
    /// Stores to map values become updates of the whole value.
    Stores,
    /// LRU hashes become hashes.
    Lru,
    /// Large elements are split over several maps.
    Elements,
    /// Time stamps, traces and statistics are dropped.
    Trace,
    /// A redirect to the same port becomes `XDP_TX`, another one goes to the host.
    Redirect,
    /// The card decides what it can; the host decides the rest.
    Split,
}

impl Allow {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Counters,
        Self::Globals,
        Self::Stores,
        Self::Lru,
        Self::Elements,
        Self::Trace,
        Self::Redirect,
        Self::Split,
    ];

    /// Its name, as `--allow` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counters => "counters",
            Self::Globals => "globals",
            Self::Stores => "stores",
            Self::Lru => "lru",
            Self::Elements => "elements",
            Self::Trace => "trace",
            Self::Redirect => "redirect",
            Self::Split => "split",
        }
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Nothing that can be allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is nothing that can be allowed")]
pub struct NoAllow(String);

impl FromStr for Allow {
    type Err = NoAllow;

    fn from_str(text: &str) -> Result<Self, NoAllow> {
        let found = Self::ALL.into_iter().find(|allow| allow.name() == text);
        found.ok_or_else(|| NoAllow(text.chars().take(40).collect()))
    }
}

/// One change of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// The pass's name.
    pub pass: &'static str,
    /// The slot in the original program.
    pub at: Option<usize>,
    /// What stood there, an instruction a line.
    pub before: Vec<String>,
    /// What stands there now.
    pub after: Vec<String>,
    /// What had to be allowed for it.
    pub needs_allow: Option<Allow>,
}

/// The text of steps, an instruction a line.
pub(super) fn text(steps: &[Step], maps: &[super::program::Map]) -> Vec<String> {
    steps
        .iter()
        .map(|step| match step.op {
            Op::Plain(instruction) => instruction.to_string(),
            Op::LoadMap {
                dst,
                map,
                value_offset,
            } => {
                let shape = maps.get(map as usize).map(|map| &map.shape);
                let name = shape.map_or("?", |shape: &MapShape| shape.name.as_str());
                match value_offset {
                    None => format!("{dst} = map[{name}]"),
                    Some(offset) => format!("{dst} = map[{name}][0]+{offset}"),
                }
            }
            Op::LoadFunction { dst, function } => format!("{dst} = function {}", function.0),
            Op::Call(function) => format!("call function {}", function.0),
        })
        .collect()
}
