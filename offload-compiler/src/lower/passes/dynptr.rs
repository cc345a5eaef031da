//! Dynptrs to the packet where a target has none: a part of one is a comparison with the packet's end and an address in the
//! packet; what is read or written through one is `bpf_xdp_load_bytes` or `bpf_xdp_store_bytes` (see `helper`).
//!
//! The dynptr's place on the stack keeps the context instead. A card has each packet in one piece, so the program's own
//! buffers for parts that lie in several are never used.

use std::collections::{BTreeSet, HashMap};

use super::row::Row;
use crate::isa::{
    AluOp, Callee, CmpOp, Condition, Instruction, Operand, Reg, Size, Width, functions,
};
use crate::lower::facts::Facts;
use crate::lower::liveness::Liveness;
use crate::lower::program::{Block, BlockId, End, FunctionId, Op, Position, Program};
use crate::lower::run::{Context, Pass};
use crate::verify::Place;

pub(super) const PASS: Pass = Pass {
    name: "packet-dynptrs",
    allow: None,
    optimises: false,
    run,
};

/// The farthest part that the verifier follows an address to, in bytes (`MAX_PACKET_OFF`); packets on a card are shorter.
const FAR: u64 = 0xffff;
/// The largest part, in bytes.
const MOST: u64 = 1 << 14;
/// Steps that are copied to tell a part that is there from one that is not.
const COPIED: usize = 4;
const LOAD_BYTES: i32 = 189;
const STORE_BYTES: i32 = 190;
/// Helpers after which the packet is another one than the dynptr was made for.
const ADJUST: [i32; 3] = [
    44, // xdp_adjust_head
    54, // xdp_adjust_meta
    65, // xdp_adjust_tail
];

fn run(program: &mut Program, context: &mut Context<'_>) {
    if !context.forms.offloaded {
        return;
    }
    let Some(uses) = uses(program, context.facts) else {
        return;
    };
    let slots: usize = uses.iter().map(|(_, what)| what.slots()).sum();
    if uses.is_empty() || !context.permits(slots) {
        return;
    }
    // From the end: what is before keeps its position where a block is divided.
    for (at, what) in uses.into_iter().rev() {
        let step = program[at.block].steps[at.index];
        match what {
            Use::Made => {
                let mut row = Row::new(step.origin);
                row.store(Size::B64, Reg::R3, 0, Reg::R1).copy(Reg::R0, 0);
                replace(program, context, at, row);
            }
            Use::Read => {
                let mut row = Row::new(step.origin);
                row.copy(Reg::R0, Reg::R1)
                    .load(Size::B64, Reg::R1, Reg::R3, 0)
                    .copy(Reg::R3, Reg::R0)
                    .copy(Reg::R0, Reg::R2)
                    .copy(Reg::R2, Reg::R4)
                    .copy(Reg::R4, Reg::R0)
                    .push(Instruction::Call(Callee::Helper(LOAD_BYTES)));
                replace(program, context, at, row);
            }
            Use::Written => {
                let mut row = Row::new(step.origin);
                row.load(Size::B64, Reg::R1, Reg::R1, 0)
                    .push(Instruction::Call(Callee::Helper(STORE_BYTES)));
                replace(program, context, at, row);
            }
            Use::Part { most, near } => part(program, context, at, most, near),
        }
    }
}

fn replace(program: &mut Program, context: &mut Context<'_>, at: Position, row: Row) {
    let step = program[at.block].steps[at.index];
    context.note(program, step.origin, &[step], &row.steps);
    program[at.block]
        .steps
        .splice(at.index..=at.index, row.steps);
}

/// What a call does with a dynptr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Makes it, to the packet.
    Made,
    /// Gives the address of so many bytes at most; `near`: the verifier knows that they are not too far.
    Part { most: u64, near: bool },
    /// Copies from it.
    Read,
    /// Copies to it.
    Written,
}

impl Use {
    const fn slots(self) -> usize {
        match self {
            Self::Made | Self::Written => 2,
            Self::Read => 7,
            Self::Part { .. } => 12 + COPIED,
        }
    }
}

/// All calls that have to do with dynptrs; `None`: some use cannot be rewritten, so none is.
fn uses(program: &Program, facts: &Facts) -> Option<Vec<(Position, Use)>> {
    let live = Liveness::of(program);
    let mut found = Vec::new();
    let mut places = HashMap::new();
    for block in program.block_ids() {
        for (index, step) in program[block].steps.iter().enumerate() {
            let at = Position { block, index };
            let Op::Plain(Instruction::Call(callee)) = step.op else {
                continue;
            };
            let name = name(program, callee).unwrap_or_default();
            if !name.contains("dynptr") {
                continue;
            }
            if program.function_of(block) != Some(FunctionId(0)) {
                return None;
            }
            let number = |reg| facts.register(at, reg).constant();
            let (dynptr, what) = match name {
                "bpf_dynptr_from_xdp" => (number(Reg::R2)? == 0).then_some((Reg::R3, Use::Made))?,
                "bpf_dynptr_slice" | "bpf_dynptr_slice_rdwr" => {
                    // Known on each path to here, if not the same on all.
                    let (least, most) = facts.register(at, Reg::R4).range().u64;
                    let reach = facts.register(at, Reg::R2).range().u64.1;
                    let near = (reach.checked_add(most)).is_some_and(|reach| reach <= FAR / 2);
                    let part = Use::Part { most, near };
                    (least > 0 && most <= MOST).then_some((Reg::R1, part))?
                }
                "bpf_dynptr_read" if number(Reg::R5)? == 0 => (Reg::R3, Use::Read),
                "bpf_dynptr_write" if number(Reg::R5)? == 0 => (Reg::R1, Use::Written),
                _ => return None,
            };
            // Their error is another one.
            let copies = matches!(what, Use::Read | Use::Written);
            if copies && !only_success(program, &live, at) {
                return None;
            }
            let content = facts.register(at, dynptr);
            let place = content.distance()?;
            if content.place() != Some(Place::Stack(0)) {
                return None;
            }
            places.insert(at, place);
            found.push((at, what));
        }
    }
    are_of_the_packet_as_it_is(program, &found, &places).then_some(found)
}

fn name(program: &Program, callee: Callee) -> Option<&str> {
    match callee {
        Callee::Helper(id) => functions::name(id),
        Callee::Kernel { btf_id, module } => {
            let function = program.kernel_functions.get(&(btf_id, module))?;
            Some(&function.name)
        }
        _ => None,
    }
}

/// Whether of what a call gives only counts if it is 0.
fn only_success(program: &Program, live: &Liveness, at: Position) -> bool {
    if !live.after(at).contains(Reg::R0) {
        return true;
    }
    let block = &program[at.block];
    let last = at.index + 1 == block.steps.len();
    last && is_compared_with_0(block)
        && block.end.successors().all(|next| {
            let start = Position {
                block: next,
                index: 0,
            };
            !live.before(start).contains(Reg::R0)
        })
}

fn is_compared_with_0(block: &Block) -> bool {
    matches!(
        block.end,
        End::Branch {
            condition: Condition {
                op: CmpOp::Eq | CmpOp::Ne,
                src: Operand::Imm(0),
                ..
            },
            ..
        }
    )
}

/// Whether each dynptr that is used was made since the packet was last moved, on all paths.
fn are_of_the_packet_as_it_is(
    program: &Program,
    uses: &[(Position, Use)],
    places: &HashMap<Position, i64>,
) -> bool {
    let uses: HashMap<Position, Use> = uses.iter().copied().collect();
    let Some(&entry) = program.functions[0].blocks.first() else {
        return false;
    };
    let mut before: HashMap<BlockId, BTreeSet<i64>> = HashMap::from([(entry, BTreeSet::new())]);
    let mut work = vec![entry];
    while let Some(block) = work.pop() {
        let mut fresh = before.get(&block).cloned().unwrap_or_default();
        for (index, step) in program[block].steps.iter().enumerate() {
            let at = Position { block, index };
            match (uses.get(&at), places.get(&at)) {
                (Some(Use::Made), Some(&place)) => {
                    fresh.insert(place);
                }
                (Some(_), Some(place)) if !fresh.contains(place) => return false,
                _ => {}
            }
            match step.op {
                Op::Call(_) => fresh.clear(),
                Op::Plain(Instruction::Call(Callee::Helper(id))) if ADJUST.contains(&id) => {
                    fresh.clear();
                }
                _ => {}
            }
        }
        for next in program[block].end.successors() {
            let joined: BTreeSet<i64> = match before.get(&next) {
                Some(known) => known.intersection(&fresh).copied().collect(),
                None => fresh.clone(),
            };
            if before.get(&next) != Some(&joined) {
                before.insert(next, joined);
                work.push(next);
            }
        }
    }
    true
}

/// `bpf_dynptr_slice(dynptr, offset, buffer, length)`: an address in the packet, or null where it is too short.
fn part(program: &mut Program, context: &mut Context<'_>, at: Position, most: u64, near: bool) {
    let step = program[at.block].steps[at.index];
    let rest = program.split(at.block, at.index);
    program[rest].steps.remove(0);
    // Where it is looked at whether the part is there, both cases are told apart for good.
    let absent = if program[rest].steps.len() <= COPIED && is_compared_with_0(&program[rest]) {
        program.clone_blocks(FunctionId(0), &[rest])[0]
    } else {
        rest
    };
    let row = || Row::new(step.origin);
    let mut first = row();
    first
        .load(Size::B64, Reg::R1, Reg::R1, 0)
        .copy32(Reg::R2, Reg::R2);
    let mut bounds = row();
    bounds
        .load(Size::B32, Reg::R5, Reg::R1, 4)
        .load(Size::B32, Reg::R0, Reg::R1, 0)
        .op(AluOp::Add, Reg::R0, Reg::R2)
        .copy(Reg::R1, Reg::R0)
        .op(AluOp::Add, Reg::R1, Reg::R4);
    let mut null = row();
    null.copy(Reg::R0, 0);
    let mut after = first.steps.clone();
    after.extend(&bounds.steps);
    context.note(program, step.origin, &[step], &after);

    let greater = |dst, src, taken, next| End::Branch {
        condition: Condition {
            width: Width::W64,
            op: CmpOp::Gt,
            dst,
            src,
        },
        taken,
        next,
    };
    let block = |row: Row, end| Block {
        steps: row.steps,
        end,
        end_origin: step.origin,
    };
    let null = program.add_block(at.block, block(null, End::Jump(absent)));
    let outside = greater(Reg::R1, Operand::Reg(Reg::R5), null, rest);
    let bounds = program.add_block(at.block, block(bounds, outside));
    program[at.block].steps.extend(first.steps);
    program[at.block].end = if near {
        End::Jump(bounds)
    } else {
        greater(Reg::R2, Operand::Imm((FAR - most) as i32), null, bounds)
    };
    program[at.block].end_origin = step.origin;
}
