//! Keys and values for map helpers that a card cannot read where they are: they are copied to an aligned place of the
//! stack before the call.

use super::row::{Row, Scratch};
use crate::isa::{AluOp, Callee, Instruction, Operand, Reg, Size};
use crate::lower::facts::Content;
use crate::lower::program::{Op, Position, Program, Step};
use crate::lower::run::{Context, Pass};
use crate::verify::{MapShape, Place};

pub(super) const PASS: Pass = Pass {
    name: "stack-arguments",
    allow: None,
    optimises: false,
    run,
};

const LOOKUP: i32 = 1;
const UPDATE: i32 = 2;
const DELETE: i32 = 3;

fn run(program: &mut Program, context: &mut Context<'_>) {
    if context.forms.any_argument {
        return;
    }
    let scratch = Scratch::of(program, context);
    super::replace_steps(program, context, |program, context, position, step| {
        let Op::Plain(Instruction::Call(Callee::Helper(id @ (LOOKUP | UPDATE | DELETE)))) = step.op
        else {
            return None;
        };
        let Some(Place::Map(map)) = context.facts.register(position, Reg::R1).place() else {
            return None;
        };
        let shape = &program.maps.get(map as usize)?.shape;
        copied(context, &scratch, position, step, (id, shape))
    });
}

fn copied(
    context: &Context<'_>,
    scratch: &Scratch,
    position: Position,
    step: &Step,
    (id, shape): (i32, &MapShape),
) -> Option<Vec<Step>> {
    let mut wanted = Vec::new();
    let mut ask = |reg: Reg, size: u32| {
        let content = context.facts.register(position, reg);
        if is_known_and_aligned(&content) {
            return Some(());
        }
        wanted.push((reg, unit(&content)?, size));
        Some(())
    };
    ask(Reg::R2, shape.key_size)?;
    if id == UPDATE {
        ask(Reg::R3, shape.value_size)?;
    }
    if wanted.is_empty() {
        return None;
    }
    let bytes = |size: u32| size.next_multiple_of(8);
    let total: u32 = wanted.iter().map(|&(_, _, size)| bytes(size)).sum();
    // What the verifier takes for a packet's bytes.
    if total > 128 {
        return None;
    }
    let mut at = i32::from(scratch.stack(position.block, total)?);
    let mut row = Row::new(step.origin);
    for (reg, unit, size) in wanted {
        // r0 is free before a call.
        copy(&mut row, reg, at as i16, unit, size);
        row.copy(reg, Reg::R10).op(AluOp::Add, reg, at);
        at += bytes(size) as i32;
    }
    row.steps.push(*step);
    Some(row.steps)
}

fn is_known_and_aligned(content: &Content) -> bool {
    matches!(content.place(), Some(Place::Stack(_)))
        && content.distance().is_some_and(|at| at % 4 == 0)
}

/// The size in which memory can be read there.
fn unit(content: &Content) -> Option<Size> {
    let Content::Address {
        place,
        nullable: false,
        ..
    } = content
    else {
        return None;
    };
    match place {
        Place::Packet | Place::MapValue(_) | Place::Memory => Some(Size::B32),
        Place::Stack(_) => match content.distance() {
            Some(at) if at % 4 == 0 => Some(Size::B32),
            Some(at) if at % 2 == 0 => Some(Size::B16),
            _ => Some(Size::B8),
        },
        _ => None,
    }
}

fn copy(row: &mut Row, from: Reg, to: i16, unit: Size, size: u32) {
    let mut done = 0;
    while done < size {
        let mut part = unit;
        while part.bytes() > size - done {
            part = match part {
                Size::B64 => Size::B32,
                Size::B32 => Size::B16,
                _ => Size::B8,
            };
        }
        let off = done as i16;
        row.push(Instruction::Load {
            size: part,
            signed: false,
            dst: Reg::R0,
            base: from,
            off,
        })
        .push(Instruction::Store {
            size: part,
            base: Reg::R10,
            off: to + off,
            src: Operand::Reg(Reg::R0),
        });
        done += part.bytes();
    }
}
