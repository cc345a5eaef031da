//! Split offload: the card decides what it can, and passes every other packet on untouched; the original program,
//! attached natively, decides the rest.
//!
//! ```text
//! packet --> card part --- DROP, TX, ABORTED: decided, as the program would
//!                 |
//!                PASS, nothing done --> the original program on the host --> its verdict
//! ```
//!
//! The host sees whatever the card passes, so a path of the card's part either does all that the program does and
//! decides as it does, or does nothing at all and passes. What the card cannot do, and what hangs on state that the two
//! do not share, is *cut*: replaced by "pass". So is an action from which a cut or a pass may still be reached, unless it can
//! wait ([`sink`]). What remains is
//! proved path by path in [`prove`], which knows nothing of how the cuts were made.

mod effect;
mod prove;
mod sink;
mod tails;

use std::collections::{BTreeMap, HashSet};

use super::facts::Facts;
use super::passes::load_number;
use super::program::{BlockId, End, Function, FunctionId, Layout, Op, Position, Program, Step};
use super::run::{Effort, State};
use crate::isa::{Callee, Instruction, Reg};
use crate::verify::{Code, Severity, Verdict};
use effect::{Effect, Effects, Written};
pub use prove::Share;

/// Rounds of cutting: a cut may bring to light what was refused behind it.
const ROUNDS: usize = 64;

const XDP_ABORTED: u64 = 0;
const XDP_DROP: u64 = 1;
const XDP_PASS: u64 = 2;
const XDP_TX: u64 = 3;

/// Rounds in which actions may be moved before they are cut.
const SINKING: usize = 32;
/// Slots that actions on several ways may add, beside once the program's own.
const ROOM: usize = 512;

/// What may be left to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Whatever the target refuses.
    Anything,
    /// Redirects and tail calls.
    Redirects,
}

/// The card's part of a program.
pub(super) struct Card {
    pub(super) state: State,
    pub(super) share: Share,
    /// The cuts: slot in the original program, and what stood there.
    pub(super) cuts: Vec<(Option<usize>, Vec<Step>)>,
}

/// Cuts a program down to what a target takes, as `check` tells. `None` where nothing is left that the card could
/// decide.
pub(super) fn split(
    mut state: State,
    left: Left,
    check: &dyn Fn(&Program, &Layout) -> Verdict,
    effort: &Effort,
) -> Option<Card> {
    let written = Written::of(&state.program, &state.facts);
    let most = 2 * state.program.slots() + ROOM;
    state = tails::separate(state, effort);
    let mut cuts = Vec::new();
    for round in 0..ROUNDS {
        let State {
            program,
            layout,
            facts,
        } = &state;
        let verdict = check(program, layout);
        let refused = places(program, facts, layout, &verdict);
        if left == Left::Redirects && !refused.iter().all(|&at| redirects(program, at)) {
            return None;
        }
        let Cuts { found, acts } = cut_places(program, facts, &written, &refused);
        let mut changed = program.clone();
        let effects = Effects::of(program, facts, &written);
        if round < SINKING
            && sink::sink(&mut changed, facts, &effects, &acts, most)
            && let Ok(proved) = State::prove(changed, effort)
        {
            state = proved;
            continue;
        }
        if found.is_empty() {
            let share = prove::prove(program, facts, &written)?;
            let useful = verdict.is_accepted() && share.decided > 0.0;
            return useful.then_some(Card { state, share, cuts });
        }
        let mut program = program.clone();
        for (block, index) in found {
            cuts.push(cut(&mut program, block, index));
        }
        state = State::prove(program, effort).ok()?;
    }
    None
}

/// The verdict at an exit, where it is always the same.
pub(super) fn decided(program: &Program, facts: &Facts, exit: BlockId) -> Option<u64> {
    let index = program[exit].steps.len();
    let verdict = facts.register(Position { block: exit, index }, Reg::R0);
    // The kernel looks at the lower half only (`bpf_prog_run_xdp` gives a u32).
    verdict.constant().map(|verdict| verdict & 0xffff_ffff)
}

/// Whether the card may give this verdict.
pub(super) fn is_final(verdict: Option<u64>) -> bool {
    matches!(verdict, Some(XDP_ABORTED | XDP_DROP | XDP_TX))
}

/// Whether an exit passes the packet on.
pub(super) fn is_pass(verdict: Option<u64>) -> bool {
    verdict == Some(XDP_PASS)
}

/// Where what a target refuses stands. A map is refused wherever it is named, a function wherever it is called, the
/// program as a whole at its first instruction; frames that are too deep, where nothing else is refused, at the calls that need
/// the most.
fn places(
    program: &Program,
    facts: &Facts,
    layout: &Layout,
    verdict: &Verdict,
) -> HashSet<Position> {
    let mut maps = HashSet::new();
    let mut functions = HashSet::new();
    let mut found = HashSet::new();
    let mut too_deep = false;
    for finding in &verdict.findings {
        if finding.severity != Severity::Error {
            continue;
        }
        if finding.code == Code::OffloadStack && finding.insn == 0 {
            too_deep = true;
            continue;
        }
        let position = layout.positions.get(finding.insn).copied().flatten();
        let Some(position) = position else {
            found.extend(
                program.functions[0]
                    .blocks
                    .first()
                    .map(|&block| Position { block, index: 0 }),
            );
            continue;
        };
        let step = program[position.block].steps.get(position.index);
        match step.map(|step| step.op) {
            Some(Op::LoadMap { map, .. }) if finding.code == Code::OffloadMap => {
                maps.insert(map);
            }
            _ => match program.function_of(position.block) {
                Some(FunctionId(0)) | None => {
                    found.insert(position);
                }
                Some(function) => {
                    functions.insert(function);
                }
            },
        }
    }
    if too_deep && found.is_empty() && functions.is_empty() && maps.is_empty() {
        found.extend(deepest_calls(program, facts));
    }
    // Callers of callers, eight frames at most.
    let mut before = usize::MAX;
    while before != functions.len() + found.len() {
        before = functions.len() + found.len();
        for block in program.block_ids() {
            for (index, step) in program[block].steps.iter().enumerate() {
                let refused = match step.op {
                    Op::Call(function) | Op::LoadFunction { function, .. } => {
                        functions.contains(&function)
                    }
                    Op::LoadMap { map, .. } => maps.contains(&map),
                    Op::Plain(_) => false,
                };
                if !refused {
                    continue;
                }
                match program.function_of(block) {
                    Some(FunctionId(0)) | None => {
                        found.insert(Position { block, index });
                    }
                    Some(function) => {
                        functions.insert(function);
                    }
                }
            }
        }
    }
    found
}

/// The program's own calls whose frames need the most stack; its first instruction where it calls nothing.
fn deepest_calls(program: &Program, facts: &Facts) -> Vec<Position> {
    let mut needed = vec![0; program.functions.len()];
    // Eight frames at most.
    for _ in 0..8 {
        for (index, function) in program.functions.iter().enumerate() {
            let entry = function.blocks.first();
            let own = entry.and_then(|entry| facts.stack.get(entry));
            let below = calls(program, function).map(|(_, FunctionId(callee))| {
                needed.get(callee as usize).copied().unwrap_or_default()
            });
            needed[index] = own.copied().unwrap_or(0) + below.max().unwrap_or(0);
        }
    }
    let own = &program.functions[0];
    let need = |FunctionId(callee): FunctionId| needed.get(callee as usize).copied();
    let most = calls(program, own)
        .filter_map(|(_, callee)| need(callee))
        .max();
    let deepest = calls(program, own).filter(|&(_, callee)| need(callee) == most);
    let found: Vec<Position> = deepest.map(|(at, _)| at).collect();
    if found.is_empty() {
        let entry = own.blocks.iter().take(1);
        return entry.map(|&block| Position { block, index: 0 }).collect();
    }
    found
}

/// The calls of subprograms in a function.
fn calls<'a>(
    program: &'a Program,
    function: &'a Function,
) -> impl Iterator<Item = (Position, FunctionId)> + 'a {
    function.blocks.iter().flat_map(|&block| {
        let steps = program[block].steps.iter().enumerate();
        steps.filter_map(move |(index, step)| match step.op {
            Op::Call(callee) => Some((Position { block, index }, callee)),
            _ => None,
        })
    })
}

/// Whether a step is a redirect or a tail call, or names a map for one.
fn redirects(program: &Program, at: Position) -> bool {
    /// `bpf_tail_call`, `bpf_redirect`, `bpf_redirect_map`
    const HELPERS: [i32; 3] = [12, 23, 51];
    /// Kinds of maps: program array, devmap, cpumap, xskmap, devmap with hash.
    const MAPS: [u32; 5] = [3, 14, 16, 17, 25];
    match program[at.block].steps.get(at.index).map(|step| step.op) {
        Some(Op::Plain(Instruction::Call(Callee::Helper(id)))) => HELPERS.contains(&id),
        Some(Op::LoadMap { map, .. }) => {
            let map = program.maps.get(map as usize);
            map.is_some_and(|map| MAPS.contains(&map.shape.kind))
        }
        _ => false,
    }
}

/// Where a program is cut.
struct Cuts {
    /// By block, the index of the first step that is left out.
    found: BTreeMap<BlockId, usize>,
    /// Of these blocks, those in which only an action is in the way.
    acts: Vec<BlockId>,
}

/// The first step of each block of the program itself that has to be cut; the index after the last stands for the end.
fn cut_places(
    program: &Program,
    facts: &Facts,
    written: &Written,
    refused: &HashSet<Position>,
) -> Cuts {
    let effects = Effects::of(program, facts, written);
    let blocks = &program.functions[0].blocks;
    let mut cuts = BTreeMap::new();
    let mut acts = Vec::new();
    for &block in blocks {
        let steps = program[block].steps.len();
        let step = (0..steps).find(|&index| {
            let position = Position { block, index };
            refused.contains(&position) || effects.at(position) == Effect::Depends
        });
        let verdict = decided(program, facts, block);
        let end = (program[block].end == End::Exit && !is_final(verdict) && !is_pass(verdict)
            || matches!(program[block].end, End::MayGoto { .. })
            || refused.contains(&Position {
                block,
                index: steps,
            }))
        .then_some(steps);
        if let Some(index) = step.or(end) {
            cuts.insert(block, index);
        }
    }
    // An action that a cut or a pass may follow is cut itself, and so on.
    loop {
        let passes = passing(program, facts, &cuts);
        let mut more = Vec::new();
        for &block in blocks {
            let end = cuts.get(&block).copied();
            let follows = end.is_some() || leads_to_pass(program, facts, block, &passes);
            let steps = end.unwrap_or(program[block].steps.len());
            let act =
                (0..steps).find(|&index| effects.at(Position { block, index }) == Effect::Acts);
            if let Some(index) = act.filter(|_| follows) {
                more.push((block, index));
            }
        }
        if more.is_empty() {
            return Cuts { found: cuts, acts };
        }
        acts.extend(more.iter().map(|&(block, _)| block));
        cuts.extend(more);
    }
}

fn leads_to_pass(
    program: &Program,
    facts: &Facts,
    block: BlockId,
    passes: &HashSet<BlockId>,
) -> bool {
    match program[block].end {
        End::Exit => is_pass(decided(program, facts, block)),
        end => end.successors().any(|next| passes.contains(&next)),
    }
}

/// The blocks from whose start a cut or a pass may be reached.
fn passing(program: &Program, facts: &Facts, cuts: &BTreeMap<BlockId, usize>) -> HashSet<BlockId> {
    let mut found: HashSet<BlockId> = cuts.keys().copied().collect();
    let mut before = usize::MAX;
    while before != found.len() {
        before = found.len();
        for &block in program.functions[0].blocks.iter().rev() {
            if leads_to_pass(program, facts, block, &found) {
                found.insert(block);
            }
        }
    }
    found
}

/// Puts "pass" in the place of a block's rest.
fn cut(program: &mut Program, block: BlockId, index: usize) -> (Option<usize>, Vec<Step>) {
    let rest = program[block].steps.split_off(index);
    let origin = rest
        .first()
        .map_or(program[block].end_origin, |step| step.origin);
    let pass = Step::new(load_number(Reg::R0, XDP_PASS), origin);
    program[block].steps.push(pass);
    program[block].end = End::Exit;
    program[block].end_origin = origin;
    (origin, rest)
}
