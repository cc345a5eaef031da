//! Stores of constants, through a register: `*(u32 *)(r10 - 4) = 7`.
//!
//! The register is one that is free there; where none is, the store stays.

use super::constant::load_number;
use super::replace_steps;
use crate::isa::{Instruction, Operand};
use crate::lower::liveness::Liveness;
use crate::lower::program::{Op, Program, Step};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "store-immediate",
    allow: None,
    optimises: false,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    if context.forms.store_immediate {
        return;
    }
    let live = Liveness::of(program);
    replace_steps(program, context, |program, _, position, step| {
        let Op::Plain(Instruction::Store {
            size,
            base,
            off,
            src: Operand::Imm(imm),
        }) = step.op
        else {
            return None;
        };
        let scratch = live.scratch(program, position, Some(&step.op))?;
        let number = i64::from(imm) as u64 & (u64::MAX >> (64 - size.bits()));
        Some(vec![
            Step::new(load_number(scratch, number), step.origin),
            Step::new(
                Instruction::Store {
                    size,
                    base,
                    off,
                    src: Operand::Reg(scratch),
                },
                step.origin,
            ),
        ])
    });
}
