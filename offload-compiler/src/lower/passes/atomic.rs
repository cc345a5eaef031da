//! Atomic operations on the stack, which nobody else sees: a load, the operation, a store.

use super::replace_steps;
use super::row::Scratch;
use crate::isa::{AluOp, AtomicOp, Instruction, Size, Width};
use crate::lower::program::{Op, Program};
use crate::lower::run::{Context, Pass};
use crate::verify::Place;

pub(super) const PASS: Pass = Pass {
    name: "stack-atomics",
    allow: None,
    optimises: false,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    if context.forms.atomics {
        return;
    }
    let scratch = Scratch::of(program, context);
    replace_steps(program, context, |_, context, position, step| {
        let on_stack = |base| {
            let place = context.facts.register(position, base).place();
            matches!(place, Some(Place::Stack(_)))
        };
        match step.op {
            Op::Plain(Instruction::Atomic {
                op,
                size,
                base,
                off,
                src,
                fetch,
            }) if on_stack(base) && src != base => scratch.row(
                position,
                step,
                if fetch { 2 } else { 1 },
                |registers, row| {
                    let new = registers[0];
                    row.load(size, new, base, off);
                    if fetch {
                        row.copy(registers[1], new);
                    }
                    row.alu(width(size), operation(op), new, src)
                        .store(size, base, off, new);
                    if fetch {
                        row.copy(src, registers[1]);
                    }
                },
            ),
            Op::Plain(Instruction::Exchange {
                size,
                base,
                off,
                src,
            }) if on_stack(base) && src != base => {
                scratch.row(position, step, 1, |registers, row| {
                    let old = registers[0];
                    row.load(size, old, base, off)
                        .store(size, base, off, src)
                        .copy(src, old);
                })
            }
            _ => None,
        }
    });
}

fn width(size: Size) -> Width {
    match size {
        Size::B64 => Width::W64,
        _ => Width::W32,
    }
}

fn operation(op: AtomicOp) -> AluOp {
    match op {
        AtomicOp::Add => AluOp::Add,
        AtomicOp::Or => AluOp::Or,
        AtomicOp::And => AluOp::And,
        AtomicOp::Xor => AluOp::Xor,
    }
}
