//! What the target would run wrongly as it is, with more instructions after it that put things right.

use std::collections::BTreeMap;

use super::row::Row;
use crate::isa::{Instruction, Operand, Reg};
use crate::lower::forms::Doubt;
use crate::lower::program::{Op, Position, Program, Step};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "target-errors",
    allow: None,
    optimises: false,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    let doubts: BTreeMap<Position, Doubt> = context.doubts().into_iter().collect();
    // From the end, so that positions before stay.
    for (at, doubt) in doubts.into_iter().rev() {
        let Some(step) = program[at.block].steps.get(at.index).copied() else {
            continue;
        };
        let Some(remedy) = remedy(&step, doubt) else {
            continue;
        };
        if program[at.block].steps.get(at.index + 1) != Some(&remedy) && context.permits(1) {
            context.note(program, step.origin, &[step], &[step, remedy]);
            program[at.block].steps.insert(at.index + 1, remedy);
        }
    }
}

fn remedy(step: &Step, doubt: Doubt) -> Option<Step> {
    let mut row = Row::new(step.origin);
    match (doubt, step.op) {
        (
            Doubt::Stored,
            Op::Plain(Instruction::Store {
                size,
                base,
                off,
                src: Operand::Reg(src),
            }),
        ) if src != base && base != Reg::R10 => {
            row.load(size, src, base, off);
        }
        (Doubt::UpperHalf, Op::Plain(Instruction::Alu { dst, .. })) => {
            row.copy32(dst, dst);
        }
        _ => return None,
    }
    row.steps.pop()
}
