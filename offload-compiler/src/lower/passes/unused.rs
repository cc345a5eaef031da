//! Instructions whose result nobody reads: above all addresses of maps from which nothing is loaded any more.

use crate::isa::{AluOp, Instruction, Operand, Reg, Width};
use crate::lower::liveness::Liveness;
use crate::lower::program::{Op, Position, Program};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "unused-results",
    allow: None,
    optimises: false,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    let live = Liveness::of(program);
    for block in program.block_ids() {
        let mut dead = Vec::new();
        for (index, step) in program[block].steps.iter().enumerate() {
            let read_later = |reg: Reg| live.after(Position { block, index }).contains(reg);
            let unused = match result(&step.op) {
                Some(reg) => !read_later(reg) || does_nothing(&step.op),
                None => false,
            };
            if unused && context.permits(0) {
                dead.push(index);
            }
        }
        for index in dead.into_iter().rev() {
            let step = program[block].steps.remove(index);
            context.note(program, step.origin, &[step], &[]);
        }
    }
}

/// The register that a step writes, where that is all it does.
pub(super) fn result(op: &Op) -> Option<Reg> {
    match op {
        Op::Plain(
            Instruction::Alu { dst, .. }
            | Instruction::MoveSigned { dst, .. }
            | Instruction::Negate { dst, .. }
            | Instruction::Swap { dst, .. }
            | Instruction::Load { dst, .. }
            | Instruction::LoadImm64 { dst, .. },
        )
        | Op::LoadMap { dst, .. }
        | Op::LoadFunction { dst, .. } => Some(*dst),
        _ => None,
    }
}

/// A move of a whole register to itself.
fn does_nothing(op: &Op) -> bool {
    matches!(*op, Op::Plain(Instruction::Alu {
        op: AluOp::Mov,
        width: Width::W64,
        dst,
        src: Operand::Reg(src),
    }) if src == dst)
}
