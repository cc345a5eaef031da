//! Actions that can wait are done later: past the branch that decides whether the card may do them at all.
//!
//! A counter at a program's start would leave every path to the host on which the packet is passed on in the end, and with
//! it all the others. Moved down its block and into what follows, it stays on the paths that the card decides only.

use std::collections::HashSet;

use super::effect::{Effect, Effects};
use super::{decided, is_final};
use crate::isa::{Instruction, Operand};
use crate::lower::facts::Facts;
use crate::lower::liveness::{Registers, step_effect};
use crate::lower::program::{Block, BlockId, End, Op, Position, Program};
use crate::verify::Place;

/// Moves the last action of each of some blocks into what follows it, where it can wait. Whether any was.
pub(super) fn sink(
    program: &mut Program,
    facts: &Facts,
    effects: &Effects<'_>,
    blocks: &[BlockId],
    most: usize,
) -> bool {
    let mut moved = false;
    for &block in blocks {
        let last = program[block].steps.len();
        let action = (0..last)
            .rev()
            .find(|&index| effects.at(Position { block, index }) == Effect::Acts);
        let Some(index) = action else {
            continue;
        };
        if can_wait(program, facts, Position { block, index })
            && !returns(program, block)
            && may_decide(program, facts, block)
            && program.slots() + 2 <= most
        {
            push_down(program, block, index);
            moved = true;
        }
    }
    moved
}

/// Whether nothing that follows an action in its block has to do with it.
fn can_wait(program: &Program, facts: &Facts, at: Position) -> bool {
    let steps = &program[at.block].steps;
    let (base, source) = match steps[at.index].op {
        Op::Plain(Instruction::Store { base, src, .. }) => (base, src),
        Op::Plain(Instruction::Atomic {
            base,
            src,
            fetch: false,
            ..
        }) => (base, Operand::Reg(src)),
        _ => return false,
    };
    let mut registers = Registers::default().with(base);
    if let Operand::Reg(source) = source {
        registers = registers.with(source);
    }
    let Some(place @ (Place::Packet | Place::MapValue(_))) = facts.register(at, base).place()
    else {
        return false;
    };
    let mut rest = steps.iter().enumerate().skip(at.index + 1);
    rest.all(|(index, step)| {
        let there = Position { index, ..at };
        let (_, defines) = step_effect(&step.op);
        defines.0 & registers.0 == 0 && is_apart(facts, there, &step.op, place)
    })
}

/// Whether a step surely touches other memory than a place.
fn is_apart(facts: &Facts, at: Position, op: &Op, place: Place) -> bool {
    match *op {
        Op::Plain(
            Instruction::Load { base, .. }
            | Instruction::Store { base, .. }
            | Instruction::Atomic { base, .. },
        ) => match facts.register(at, base).place() {
            Some(Place::Stack(_) | Place::Context) => true,
            Some(other @ (Place::Packet | Place::MapValue(_))) => other != place,
            _ => false,
        },
        Op::LoadMap { .. }
        | Op::LoadFunction { .. }
        | Op::Plain(
            Instruction::Alu { .. }
            | Instruction::MoveSigned { .. }
            | Instruction::Negate { .. }
            | Instruction::Swap { .. }
            | Instruction::LoadImm64 { .. },
        ) => true,
        Op::Call(_) | Op::Plain(_) => false,
    }
}

/// Whether control may come to a block again.
fn returns(program: &Program, block: BlockId) -> bool {
    following(program, block).contains(&block)
}

/// Whether a path from a block may end in a verdict of the card's own.
fn may_decide(program: &Program, facts: &Facts, block: BlockId) -> bool {
    let following = following(program, block);
    following
        .into_iter()
        .any(|next| program[next].end == End::Exit && is_final(decided(program, facts, next)))
}

/// All blocks that may follow a block.
fn following(program: &Program, block: BlockId) -> HashSet<BlockId> {
    let mut found = HashSet::new();
    let mut work: Vec<BlockId> = program[block].end.successors().collect();
    while let Some(next) = work.pop() {
        if found.insert(next) {
            work.extend(program[next].end.successors());
        }
    }
    found
}

/// Puts a step of a block on each way out of it.
fn push_down(program: &mut Program, block: BlockId, index: usize) {
    let step = program[block].steps.remove(index);
    let end = program[block].end;
    program[block].end = end.mapped(|to| {
        let way = Block {
            steps: vec![step],
            end: End::Jump(to),
            end_origin: step.origin,
        };
        program.add_block(block, way)
    });
}
