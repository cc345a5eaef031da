//! The proof of a split: each path of the card's part does all and decides, or does nothing and passes.

use std::collections::{HashMap, HashSet};

use super::effect::{Effect, Effects, Written};
use super::{decided, is_final, is_pass};
use crate::lower::facts::Facts;
use crate::lower::program::{BlockId, End, Position, Program};

/// How much the card decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Paths that end in a verdict of the card's own (`XDP_ABORTED`, `XDP_DROP`, `XDP_TX`). Counted without going
    /// around loops, so a number of ways through the code, not of packets.
    pub decided: f64,
    /// All paths.
    pub paths: f64,
}

impl Share {
    /// The decided paths of all, 0 to 1.
    pub fn ratio(&self) -> f64 {
        if self.paths > 0.0 {
            self.decided / self.paths
        } else {
            0.0
        }
    }
}

/// Proves a card's part, and counts its paths. `None`: some path acts and then passes, or hangs on what the host may
/// see otherwise.
pub(super) fn prove(program: &Program, facts: &Facts, written: &Written) -> Option<Share> {
    let effects = Effects::of(program, facts, written);
    let blocks = &program.functions[0].blocks;
    let entry = *blocks.first()?;
    // Whether something may have been done before a block: forwards, until nothing changes.
    let mut acted: HashMap<BlockId, bool> = HashMap::from([(entry, false)]);
    let mut work = vec![entry];
    while let Some(block) = work.pop() {
        let before = acted.get(&block).copied().unwrap_or(false);
        let here = (0..program[block].steps.len())
            .map(|index| effects.at(Position { block, index }))
            .max()
            .unwrap_or(Effect::None);
        if here == Effect::Depends || matches!(program[block].end, End::MayGoto { .. }) {
            return None;
        }
        let after = before || here == Effect::Acts;
        for next in program[block].end.successors() {
            match acted.get(&next) {
                Some(&known) if known || !after => {}
                _ => {
                    acted.insert(next, after);
                    work.push(next);
                }
            }
        }
        if program[block].end == End::Exit {
            let verdict = decided(program, facts, block);
            if !(is_final(verdict) || is_pass(verdict) && !after) {
                return None;
            }
        }
    }
    let mut counted = HashMap::new();
    let (decided, paths) = count(program, facts, entry, &mut counted)?;
    Some(Share { decided, paths })
}

/// The paths from a block on, decided and all; back edges lead nowhere. Without recursion: programs are long.
fn count(
    program: &Program,
    facts: &Facts,
    entry: BlockId,
    counted: &mut HashMap<BlockId, (f64, f64)>,
) -> Option<(f64, f64)> {
    let mut open = HashSet::new();
    let mut work = vec![(entry, false)];
    while let Some((block, leaving)) = work.pop() {
        if leaving {
            open.remove(&block);
            let own = if program[block].end == End::Exit {
                let verdict = decided(program, facts, block);
                (f64::from(u8::from(is_final(verdict))), 1.0)
            } else {
                let following = program[block].end.successors();
                following
                    .filter_map(|next| counted.get(&next))
                    .fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
            };
            counted.insert(block, own);
        } else if !counted.contains_key(&block) && open.insert(block) {
            work.push((block, true));
            work.extend(
                program[block]
                    .end
                    .successors()
                    .filter(|next| !open.contains(next))
                    .map(|next| (next, false)),
            );
        }
    }
    counted.get(&entry).copied()
}
