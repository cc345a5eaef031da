//! Values that are put on the stack only to be taken from there again: they stay in a register, and what nobody reads is not
//! stored.

use super::frame::{LiveBytes, Part, Use, Uses, uses};
use super::row::Row;
use crate::isa::{Instruction, Operand, Reg, Size};
use crate::lower::facts::Content;
use crate::lower::liveness::{Liveness, step_effect};
use crate::lower::program::{BlockId, FunctionId, Op, Position, Program, Step};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "stack-values",
    allow: None,
    optimises: true,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    let Some(uses) = uses(program, context) else {
        return;
    };
    let bytes = LiveBytes::of(program, &uses);
    let live = Liveness::of(program);
    for block in program.functions[0].blocks.clone() {
        // One of a block at a time: what is known of registers that are free does not hold afterwards.
        if !keep(program, context, &uses, &live, block) {
            drop_stores(program, context, &uses, &bytes, block);
        }
    }
}

/// Takes stores away whose bytes nobody reads.
fn drop_stores(
    program: &mut Program,
    context: &mut Context<'_>,
    uses: &Uses,
    bytes: &LiveBytes,
    block: BlockId,
) {
    for index in (0..program[block].steps.len()).rev() {
        let at = Position { block, index };
        let unread = bytes.after.get(&at).is_some_and(|after| {
            let parts = uses.get(&at).into_iter().flatten();
            !parts
                .filter_map(|used| used.access())
                .any(|(part, _)| after.meet(part))
        });
        let step = program[block].steps[index];
        let store = matches!(step.op, Op::Plain(Instruction::Store { .. }));
        if unread && store && context.permits(0) {
            context.note(program, step.origin, &[step], &[]);
            program[block].steps.remove(index);
        }
    }
}

/// What a step reads of the frame by a load, or writes by a store.
fn part(uses: &Uses, at: Position) -> Option<(Part, bool)> {
    match uses.get(&at)?[..] {
        [Use::Direct(part, writes) | Use::Through(_, part, writes)] => Some((part, writes)),
        _ => None,
    }
}

/// Makes the first load of a block that can be a move one; whether there is such.
fn keep(
    program: &mut Program,
    context: &mut Context<'_>,
    uses: &Uses,
    live: &Liveness,
    block: BlockId,
) -> bool {
    for load in 0..program[block].steps.len() {
        let step = program[block].steps[load];
        let Op::Plain(Instruction::Load {
            size,
            signed: false,
            dst,
            ..
        }) = step.op
        else {
            continue;
        };
        let at = |index| Position { block, index };
        let Some((wanted, false)) = part(uses, at(load)) else {
            continue;
        };
        let stores = (0..load).rev().find_map(|index| {
            let (part, writes) = part(uses, at(index))?;
            (writes && part.0 < wanted.1 && wanted.0 < part.1).then_some((index, part))
        });
        let Some((store, _)) = stores.filter(|(_, part)| *part == wanted) else {
            continue;
        };
        let Op::Plain(Instruction::Store {
            src: Operand::Reg(src),
            ..
        }) = program[block].steps[store].op
        else {
            continue;
        };
        if !is_whole(context, at(store), src, size) {
            continue;
        }
        let Some((define, reg)) = register(program, live, block, (store, load), src) else {
            continue;
        };
        if !context.permits(0) {
            continue;
        }
        if let Some(define) = define {
            let old = program[block].steps[define];
            rename(&mut program[block].steps[define].op, reg);
            let new = program[block].steps[define];
            context.note(program, old.origin, &[old], &[new]);
            if let Op::Plain(Instruction::Store { src, .. }) = &mut program[block].steps[store].op {
                *src = Operand::Reg(reg);
            }
        }
        let mut row = Row::new(step.origin);
        row.copy(dst, reg);
        let new: Step = row.steps[0];
        context.note(program, step.origin, &[step], &[new]);
        program[block].steps[load] = new;
        return true;
    }
    false
}

/// Whether what is stored of a register is all of its number.
fn is_whole(context: &Context<'_>, at: Position, reg: Reg, size: Size) -> bool {
    match context.facts.register(at, reg) {
        _ if size == Size::B64 => true,
        Content::Number(range) => range.u64.1 >> size.bits() == 0,
        _ => false,
    }
}

/// A register that has what is stored until it is loaded again: the one that was stored, or a free one, and then the step
/// that has to load into that.
fn register(
    program: &Program,
    live: &Liveness,
    block: BlockId,
    (store, load): (usize, usize),
    src: Reg,
) -> Option<(Option<usize>, Reg)> {
    let steps = &program[block].steps;
    let at = |index| Position { block, index };
    let defines = |index: usize, reg| step_effect(&steps[index].op).1.contains(reg);
    let touches = |index: usize, reg| {
        let (uses, defines) = step_effect(&steps[index].op);
        uses.contains(reg) || defines.contains(reg)
    };
    if !(store + 1..load).any(|index| defines(index, src)) {
        return Some((None, src));
    }
    let define = (0..store).rev().find(|&index| touches(index, src))?;
    let Op::Plain(Instruction::Load { dst, .. }) = steps[define].op else {
        return None;
    };
    if dst != src || live.after(at(store)).contains(src) {
        return None;
    }
    let own = program.function_of(block) == Some(FunctionId(0));
    let most = if own { 10 } else { 6 };
    let free = Reg::ALL[..most].iter().copied().find(|&reg| {
        !live.after(at(load)).contains(reg)
            && !(define + 1..load).any(|index| touches(index, reg))
            && !live.after(at(define)).contains(reg)
    })?;
    Some((Some(define), free))
}

fn rename(op: &mut Op, reg: Reg) {
    if let Op::Plain(Instruction::Load { dst, .. }) = op {
        *dst = reg;
    }
}
