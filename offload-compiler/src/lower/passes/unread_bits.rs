//! Bits that nobody reads: operations and loads of 64 bits of which only the lower half counts are done in 32, and what
//! only changes bits that do not count is left out.

use super::demanded::{Demanded, whole};
use super::replace_steps;
use crate::isa::{AluOp, Instruction, Operand, Size, Width};
use crate::lower::facts::Content;
use crate::lower::program::{Op, Position, Program, Step};
use crate::lower::run::{Context, Pass};
use crate::verify::Place;

pub(super) const PASS: Pass = Pass {
    name: "unread-bits",
    allow: None,
    optimises: true,
    run,
};

const LOW: u64 = u32::MAX as u64;

fn run(program: &mut Program, context: &mut Context<'_>) {
    let demanded = Demanded::of(program);
    let mut made = false;
    replace_steps(program, context, |_, context, position, step| {
        let Op::Plain(instruction) = step.op else {
            return None;
        };
        let read = demanded.after(position, instruction.written()?);
        let new = if changes(instruction, u64::MAX).is_some_and(|bits| bits & read == 0) {
            Vec::new()
        } else if read & !LOW == 0 {
            vec![Step::new(
                narrow(context, position, instruction)?,
                step.origin,
            )]
        } else {
            return None;
        };
        made = true;
        Some(new)
    });
    // What is known of a number's bits holds no more where another step stopped clearing those that are not read: so this is
    // done by itself, and once.
    replace_steps(program, context, |_, context, position, step| {
        let Op::Plain(instruction) = step.op else {
            return None;
        };
        let dst = instruction.written()?;
        let Content::Number(range) = context.facts.register(position, dst) else {
            return None;
        };
        let there = range.bits.value | range.bits.mask;
        let read = demanded.after(position, dst);
        let nothing = !made && changes(instruction, there).is_some_and(|bits| bits & read == 0);
        made |= nothing;
        nothing.then(Vec::new)
    });
}

/// The bits that an operation with a constant may change of a number in which only some may be set; none of another.
fn changes(instruction: Instruction, there: u64) -> Option<u64> {
    let Instruction::Alu {
        width,
        op,
        src: Operand::Imm(imm),
        ..
    } = instruction
    else {
        return None;
    };
    let number = i64::from(imm) as u64;
    let cleared = there & !whole(width);
    match op {
        AluOp::And => Some(cleared | (there & !number & whole(width))),
        AluOp::Or | AluOp::Xor => Some(cleared | (number & whole(width))),
        _ => None,
    }
}

fn narrow(context: &Context<'_>, at: Position, instruction: Instruction) -> Option<Instruction> {
    match instruction {
        Instruction::Alu {
            width: Width::W64,
            op,
            dst,
            src,
        } if lower_by_lower(op, src) => {
            let number = |reg| matches!(context.facts.register(at, reg), Content::Number(_));
            let numbers = (op == AluOp::Mov || number(dst))
                && match src {
                    Operand::Reg(src) => number(src),
                    // Its sign is changed in some drivers.
                    Operand::Imm(imm) => imm != i32::MIN,
                };
            numbers.then_some(Instruction::Alu {
                width: Width::W32,
                op,
                dst,
                src,
            })
        }
        Instruction::Load {
            size: Size::B64,
            signed: false,
            dst,
            base,
            off,
        } if context.facts.register(at, base).place() == Some(Place::Packet) => {
            Some(Instruction::Load {
                size: Size::B32,
                signed: false,
                dst,
                base,
                off,
            })
        }
        _ => None,
    }
}

/// Whether the lower half of the result hangs on the lower halves of both sides only, and 32 bits give the same.
fn lower_by_lower(op: AluOp, src: Operand) -> bool {
    match op {
        AluOp::Add | AluOp::Sub | AluOp::And | AluOp::Or | AluOp::Xor => true,
        // Clearing the upper half costs nothing, and the source's is not read.
        AluOp::Mov => matches!(src, Operand::Reg(_)),
        AluOp::Lsh => matches!(src, Operand::Imm(0..32)),
        _ => false,
    }
}
