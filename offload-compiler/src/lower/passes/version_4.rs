//! What version 4 of the instruction set brought, and swaps to little-endian order, in older instructions.

use super::replace_steps;
use super::row::Row;
use crate::isa::{AluOp, Instruction, Operand, Reg, Size, Swap, Width};
use crate::lower::program::{Op, Program, Step};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "isa-v4",
    allow: None,
    optimises: false,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    replace_steps(program, context, |_, context, _, step| {
        let forms = context.forms;
        let Op::Plain(instruction) = step.op else {
            return None;
        };
        match instruction {
            Instruction::MoveSigned { .. }
            | Instruction::Load { signed: true, .. }
            | Instruction::Swap {
                swap: Swap::Always, ..
            } if !forms.version_4 => {}
            Instruction::Swap {
                swap: Swap::ToLittle,
                ..
            } if !forms.to_little => {}
            _ => return None,
        }
        rewritten(instruction, step.origin)
    });
}

fn rewritten(instruction: Instruction, origin: Option<usize>) -> Option<Vec<Step>> {
    let mut row = Row::new(origin);
    match instruction {
        Instruction::MoveSigned {
            width,
            from,
            dst,
            src,
        } => {
            if src != dst {
                row.alu(width, AluOp::Mov, dst, src);
            }
            extend(&mut row, width, from, dst);
        }
        Instruction::Load {
            size,
            signed: true,
            dst,
            base,
            off,
        } => {
            row.load(size, dst, base, off);
            extend(&mut row, Width::W64, size, dst);
        }
        Instruction::Swap {
            swap: Swap::Always,
            size,
            dst,
        } => {
            row.push(Instruction::Swap {
                swap: Swap::ToBig,
                size,
                dst,
            });
        }
        Instruction::Swap {
            swap: Swap::ToLittle,
            size,
            dst,
        } => match size {
            Size::B16 => {
                row.alu(Width::W32, AluOp::And, dst, 0xffff);
            }
            Size::B32 => {
                row.copy32(dst, dst);
            }
            // Nothing to do, but a row that is not empty keeps its place.
            _ => {
                row.copy(dst, Operand::Reg(dst));
            }
        },
        _ => return None,
    }
    Some(row.steps)
}

/// Extends the sign of the low bits over the width.
fn extend(row: &mut Row, width: Width, from: Size, dst: Reg) {
    let unused = (width.bits() - from.bits()) as i32;
    row.alu(width, AluOp::Lsh, dst, unused)
        .alu(width, AluOp::Arsh, dst, unused);
}
