//! Which bytes of map values a program counts in.

use std::collections::BTreeMap;

use super::accesses::{How, accesses};
use super::facts::Facts;
use super::program::Program;
use crate::verify::Input;

/// The bytes of map values, from and to, that a program adds to atomically, by the map's index. `None` where that is not
/// known: the verifier does not take the program, or an addition may be anywhere.
pub fn additions(input: &Input<'_>) -> Option<BTreeMap<u32, Vec<(u32, u32)>>> {
    let mut program = Program::new(input).ok()?;
    let layout = program.lay_out().ok()?;
    let facts = Facts::gather(&program, &layout);
    if !facts.verdict.is_accepted() {
        return None;
    }
    let mut found: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
    for access in accesses(&program, &facts) {
        if access.how == How::Add {
            found.entry(access.map?).or_default().push(access.part?);
        }
    }
    for parts in found.values_mut() {
        parts.sort_unstable();
        parts.dedup();
    }
    Some(found)
}
