//! Shifts by a register: the amount is made to fit, as cards take it as it is. A known amount becomes a constant.

use super::replace_steps;
use super::row::{Row, Scratch};
use crate::isa::{AluOp, Instruction, Operand, Width};
use crate::lower::program::{Op, Program};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "shift-amounts",
    allow: None,
    optimises: false,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    if context.forms.wide_arithmetic {
        return;
    }
    let scratch = Scratch::of(program, context);
    replace_steps(program, context, |_, context, position, step| {
        let Op::Plain(Instruction::Alu {
            width,
            op: op @ (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh),
            dst,
            src: Operand::Reg(src),
        }) = step.op
        else {
            return None;
        };
        let amount = context.facts.register(position, src).range();
        let most = width.bits() - 1;
        if let Some(amount) = amount.as_constant_of(Width::W32) {
            let mut row = Row::new(step.origin);
            let amount = amount as u32 & most;
            if amount == 0 {
                // In 32 bits the upper half still becomes 0.
                row.alu(width, AluOp::Mov, dst, dst);
            } else {
                row.alu(width, op, dst, amount as i32);
            }
            return Some(row.steps);
        }
        let fits = amount.u64.1 <= u64::from(most);
        // The lower half of the amount would be shifted away before the upper half is.
        let by_itself = src == dst;
        if fits && !by_itself {
            return None;
        }
        scratch.row(position, step, 1, |registers, row| {
            let amount = registers[0];
            row.copy32(amount, src)
                .alu(Width::W32, AluOp::And, amount, most as i32)
                .alu(width, op, dst, amount);
        })
    });
}
