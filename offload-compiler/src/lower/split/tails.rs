//! Ends that several paths share are copied for each, so that a path that the card can decide is not held up by one
//! that it cannot: `return action;` becomes `return XDP_DROP;` and `return XDP_PASS;`.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::decided;
use crate::lower::program::{BlockId, End, FunctionId, Program};
use crate::lower::run::{Effort, State};

/// Slots that copies may add, beside once the program's own.
const ROOM: usize = 512;
/// Ends that are copied at most.
const ROUNDS: usize = 64;

/// Copies ends until each exit's verdict is known, or there is no room for more.
pub(super) fn separate(mut state: State, effort: &Effort) -> State {
    let most = state.program.slots() * 2 + ROOM;
    let mut given_up = HashSet::new();
    for _ in 0..ROUNDS {
        let Some(merge) = merge(&state, &given_up) else {
            break;
        };
        let mut changed = state.program.clone();
        if copy(&mut changed, merge, most) > 0
            && let Ok(proved) = State::prove(changed, effort)
        {
            state = proved;
        } else {
            given_up.insert(merge);
        }
    }
    state
}

/// The place where paths meet before an exit whose verdict is not known.
fn merge(state: &State, given_up: &HashSet<BlockId>) -> Option<BlockId> {
    let State { program, facts, .. } = state;
    let predecessors = program.predecessors();
    let entry = *program.functions[0].blocks.first()?;
    program.functions[0]
        .blocks
        .iter()
        .copied()
        .find_map(|exit| {
            if program[exit].end != End::Exit || decided(program, facts, exit).is_some() {
                return None;
            }
            let mut block = exit;
            let mut seen = HashSet::new();
            while seen.insert(block) && block != entry {
                match predecessors.get(&block).map_or(&[][..], Vec::as_slice) {
                    [one] => block = *one,
                    [] => return None,
                    _ => return Some(block).filter(|block| !given_up.contains(block)),
                }
            }
            None
        })
}

/// Copies what follows a block for each way into it but one. Loops are left alone.
fn copy(program: &mut Program, merge: BlockId, most: usize) -> usize {
    let Some(region) = region(program, merge) else {
        return 0;
    };
    let slots: usize = region
        .iter()
        .map(|&block| {
            let steps = program[block].steps.iter();
            steps.map(|step| step.op.slots()).sum::<usize>() + 1
        })
        .sum();
    let ways: Vec<BlockId> = program.predecessors().remove(&merge).unwrap_or_default();
    let mut copies = 0;
    // A branch that leads there both ways is one way.
    for from in ways.into_iter().skip(1) {
        if program.slots() + slots > most {
            break;
        }
        let new = program.clone_blocks(FunctionId(0), &region);
        let place: HashMap<BlockId, BlockId> = region.iter().copied().zip(new).collect();
        let end = program[from].end;
        program[from].end = end.mapped(|to| if to == merge { place[&merge] } else { to });
        copies += 1;
    }
    copies
}

/// All blocks that may follow, with the first; `None` where there is a loop among them.
fn region(program: &Program, first: BlockId) -> Option<Vec<BlockId>> {
    let mut done = BTreeSet::new();
    let mut open = BTreeSet::new();
    let mut work = vec![(first, false)];
    while let Some((block, leaving)) = work.pop() {
        if leaving {
            open.remove(&block);
            done.insert(block);
            continue;
        }
        if done.contains(&block) {
            continue;
        }
        if !open.insert(block) {
            return None;
        }
        work.push((block, true));
        for next in program[block].end.successors() {
            if open.contains(&next) {
                return None;
            }
            if !done.contains(&next) {
                work.push((next, false));
            }
        }
    }
    Some(done.into_iter().collect())
}
