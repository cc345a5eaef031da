//! Loads before the place that a map value's pointer points to, and the constant -0x80000000: forms that a card's driver
//! translates into something else.

use super::replace_steps;
use super::row::{Row, Scratch};
use crate::isa::{AluOp, Instruction, Operand, Width};
use crate::lower::program::{Op, Program};
use crate::lower::run::{Context, Pass};
use crate::verify::Place;

pub(super) const PASS: Pass = Pass {
    name: "safe-forms",
    allow: None,
    optimises: false,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    if context.forms.negative_offsets {
        return;
    }
    let scratch = Scratch::of(program, context);
    replace_steps(program, context, |_, context, position, step| {
        let in_map = |base| {
            let place = context.facts.register(position, base).place();
            matches!(place, Some(Place::MapValue(_)))
        };
        match step.op {
            Op::Plain(Instruction::Load {
                size,
                signed,
                dst,
                base,
                off: off @ ..0,
            }) if in_map(base) => {
                let mut row = Row::new(step.origin);
                if dst != base {
                    row.copy(dst, base);
                }
                row.op(AluOp::Add, dst, i32::from(off))
                    .push(Instruction::Load {
                        size,
                        signed,
                        dst,
                        base: dst,
                        off: 0,
                    });
                Some(row.steps)
            }
            Op::Plain(Instruction::Atomic {
                op,
                size,
                base,
                off: off @ ..0,
                src,
                fetch,
            }) if in_map(base) => scratch.row(position, step, 1, |registers, row| {
                let place = registers[0];
                row.copy(place, base)
                    .op(AluOp::Add, place, i32::from(off))
                    .push(Instruction::Atomic {
                        op,
                        size,
                        base: place,
                        off: 0,
                        src,
                        fetch,
                    });
            }),
            Op::Plain(Instruction::Alu {
                width: Width::W64,
                op: op @ (AluOp::Add | AluOp::Sub),
                dst,
                src: Operand::Imm(i32::MIN),
            }) => scratch.row(position, step, 1, |registers, row| {
                row.copy(registers[0], i32::MIN).op(op, dst, registers[0]);
            }),
            _ => None,
        }
    });
}
