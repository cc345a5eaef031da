//! Multiplications, divisions and remainders of any range by what cards have: multiplications of 32 by 32 bits.
//!
//! A division by a constant is a multiplication by its reciprocal, one by a variable a loop that shifts and subtracts;
//! signed ones work on absolute values.

mod divide;
mod multiply;
mod reciprocal;

use super::row::{Row, Scratch};
use crate::isa::{AluOp, Instruction, Operand, Reg, Width};
use crate::lower::program::{Op, Position, Program, Step};
use crate::lower::run::{Context, Pass};
use crate::verify::range::Range;

pub(super) const PASS: Pass = Pass {
    name: "arithmetic",
    allow: None,
    optimises: false,
    run,
};

/// One operation.
#[derive(Clone, Copy)]
struct Operation {
    width: Width,
    op: AluOp,
    dst: Reg,
    src: Operand,
    /// What the operands may be, as unsigned numbers of the width.
    left: (u64, u64),
    right: (u64, u64),
}

/// The bounds of the number that an operation of this width sees.
fn bounds(range: &Range, width: Width) -> (u64, u64) {
    match width {
        Width::W64 => range.u64,
        Width::W32 => (range.u32.0.into(), range.u32.1.into()),
    }
}

fn run(program: &mut Program, context: &mut Context<'_>) {
    if context.forms.wide_arithmetic {
        return;
    }
    let scratch = Scratch::of(program, context);
    for block in program.block_ids() {
        // From the end: what is before keeps its position where the block is divided.
        for index in (0..program[block].steps.len()).rev() {
            let position = Position { block, index };
            let step = program[block].steps[index];
            if let Some(operation) = operation(context, position, &step) {
                rewrite(program, context, &scratch, position, operation);
            }
        }
    }
}

fn operation(context: &Context<'_>, at: Position, step: &Step) -> Option<Operation> {
    let Op::Plain(Instruction::Alu {
        width,
        op,
        dst,
        src,
    }) = step.op
    else {
        return None;
    };
    if !matches!(
        op,
        AluOp::Mul | AluOp::Div | AluOp::Mod | AluOp::SDiv | AluOp::SMod
    ) {
        return None;
    }
    let right = match src {
        Operand::Imm(imm) => Range::constant(i64::from(imm) as u64),
        Operand::Reg(src) => context.facts.register(at, src).range(),
    };
    Some(Operation {
        width,
        op,
        dst,
        src,
        left: bounds(&context.facts.register(at, dst).range(), width),
        right: bounds(&right, width),
    })
}

impl Operation {
    /// The right operand, where it is always the same.
    fn constant(&self) -> Option<u64> {
        (self.right.0 == self.right.1).then_some(self.right.0)
    }
}

fn rewrite(
    program: &mut Program,
    context: &mut Context<'_>,
    scratch: &Scratch,
    at: Position,
    operation: Operation,
) {
    let step = program[at.block].steps[at.index];
    let row = match operation.op {
        AluOp::Mul => multiply::row(context, scratch, at, &step, &operation),
        AluOp::Div | AluOp::Mod => reciprocal::row(scratch, at, &step, &operation),
        _ => reciprocal::signed(scratch, at, &step, &operation),
    };
    let Some(row) = row else {
        if operation.op != AluOp::Mul {
            divide::rewrite(program, context, scratch, at, &operation);
        }
        return;
    };
    if context.permits(row.len()) {
        context.note(program, step.origin, &[step], &row);
        program[at.block].steps.splice(at.index..=at.index, row);
    }
}

/// `dst = dst`, of the lower half only where the operation has 32 bits.
fn truncate(row: &mut Row, width: Width, dst: Reg) {
    if width == Width::W32 {
        row.copy32(dst, dst);
    }
}
