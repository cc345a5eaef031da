//! A mask and a comparison of what is left with 0: one branch tests the bits.

use crate::isa::{AluOp, CmpOp, Condition, Instruction, Operand};
use crate::lower::liveness::{Liveness, step_effect};
use crate::lower::program::{BlockId, End, Op, Position, Program};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "bit-tests",
    allow: None,
    optimises: true,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    let live = Liveness::of(program);
    for block in program.block_ids() {
        if let Some((index, condition)) = mask(program, &live, block)
            && let End::Branch {
                condition: old,
                taken,
                next,
            } = program[block].end
            && fits(program, block, old.op)
            && context.permits(0)
        {
            let step = program[block].steps.remove(index);
            // There is no test for the opposite.
            let (taken, next) = if old.op == CmpOp::Eq {
                (next, taken)
            } else {
                (taken, next)
            };
            let text = |condition| format!("if {condition}");
            let before = super::super::rewrite::text(&[step], &program.maps);
            context.note_text(
                step.origin,
                before.into_iter().chain([text(old)]).collect(),
                vec![text(condition)],
            );
            program[block].end = End::Branch {
                condition,
                taken,
                next,
            };
        }
    }
}

/// Whether a branch on set bits goes on to the block that follows without a jump: unlike others it cannot be turned round.
fn fits(program: &Program, block: BlockId, op: CmpOp) -> bool {
    let End::Branch { taken, next, .. } = program[block].end else {
        return false;
    };
    let functions = program.functions.iter();
    let follows = functions
        .flat_map(|function| function.blocks.windows(2))
        .find(|pair| pair[0] == block)
        .map(|pair| pair[1]);
    let wanted = if op == CmpOp::Eq { taken } else { next };
    follows == Some(wanted)
}

/// The mask before a branch, and a condition for both.
fn mask(program: &Program, live: &Liveness, block: BlockId) -> Option<(usize, Condition)> {
    let End::Branch { condition, .. } = program[block].end else {
        return None;
    };
    let steps = &program[block].steps;
    if condition.src != Operand::Imm(0) || !matches!(condition.op, CmpOp::Eq | CmpOp::Ne) {
        return None;
    }
    let reg = condition.dst;
    let touches = |op: &Op| {
        let (uses, defines) = step_effect(op);
        uses.contains(reg) || defines.contains(reg)
    };
    let index = steps.iter().rposition(|step| touches(&step.op))?;
    let Op::Plain(Instruction::Alu {
        width,
        op: AluOp::And,
        dst,
        src,
    }) = steps[index].op
    else {
        return None;
    };
    let changed = |op: &Op| match src {
        Operand::Reg(src) => step_effect(op).1.contains(src),
        Operand::Imm(_) => false,
    };
    let end = Position {
        block,
        index: steps.len(),
    };
    // A test of 32 bits looks at fewer bits than a mask of 64 may leave.
    let same = width == condition.width && dst == reg && Operand::Reg(reg) != src;
    let free =
        !live.after(end).contains(reg) && !steps[index + 1..].iter().any(|step| changed(&step.op));
    (same && free).then_some((
        index,
        Condition {
            op: CmpOp::Set,
            src,
            ..condition
        },
    ))
}
