//! Operations that leave their number as it is, by the bits that it can have; and shifts there and back that only clear bits.

use super::demanded::whole;
use super::replace_steps;
use super::row::Row;
use crate::isa::{AluOp, Instruction, Operand, Reg, Width};
use crate::lower::facts::Content;
use crate::lower::program::{Op, Position, Program, Step};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "unchanged-numbers",
    allow: None,
    optimises: true,
    run,
};

const LOW: u64 = u32::MAX as u64;

fn run(program: &mut Program, context: &mut Context<'_>) {
    replace_steps(program, context, |_, context, position, step| {
        let Op::Plain(Instruction::Alu {
            width,
            op,
            dst,
            src,
        }) = step.op
        else {
            return None;
        };
        // The bits that may be set.
        let bits = bits(context, position, dst);
        match src {
            Operand::Imm(imm) => does_nothing(width, op, imm, bits?).then(Vec::new),
            // A number that has no upper half; a move to another register clears it at no cost.
            Operand::Reg(src) if op == AluOp::Mov && width == Width::W32 && src == dst => {
                (bits? <= LOW).then(Vec::new)
            }
            Operand::Reg(_) => None,
        }
    });
    there_and_back(program, context);
}

fn bits(context: &Context<'_>, at: Position, reg: Reg) -> Option<u64> {
    match context.facts.register(at, reg) {
        Content::Number(range) => Some(range.bits.value | range.bits.mask),
        _ => None,
    }
}

fn does_nothing(width: Width, op: AluOp, imm: i32, bits: u64) -> bool {
    // Of 32 bits the upper half becomes 0.
    let whole = whole(width);
    if bits & !whole != 0 {
        return false;
    }
    match op {
        AluOp::And => bits & !(i64::from(imm) as u64) & whole == 0,
        AluOp::Add
        | AluOp::Sub
        | AluOp::Or
        | AluOp::Xor
        | AluOp::Lsh
        | AluOp::Rsh
        | AluOp::Arsh => imm == 0,
        _ => false,
    }
}

/// `r <<= n; r >>= m` with n at least 32.
fn there_and_back(program: &mut Program, context: &mut Context<'_>) {
    for block in program.block_ids() {
        let mut index = 0;
        while let Some(&[first, second]) = program[block].steps.get(index..index + 2) {
            if let Some(row) = back(&first, &second)
                && context.permits(0)
            {
                context.note(program, first.origin, &[first, second], &row);
                program[block].steps.splice(index..index + 2, row);
            }
            index += 1;
        }
    }
}

fn shift(step: &Step, wanted: AluOp) -> Option<(Reg, i32)> {
    match step.op {
        Op::Plain(Instruction::Alu {
            width: Width::W64,
            op,
            dst,
            src: Operand::Imm(amount),
        }) if op == wanted => Some((dst, amount)),
        _ => None,
    }
}

fn back(first: &Step, second: &Step) -> Option<Vec<Step>> {
    let (reg, left) = shift(first, AluOp::Lsh)?;
    let (other, right) = shift(second, AluOp::Rsh)?;
    if reg != other || !(32..64).contains(&left) || right < left || right > 63 {
        return None;
    }
    // What is left of the number.
    let mask = i32::try_from((1i64 << (64 - left)) - 1).unwrap_or(-1);
    let mut row = Row::new(first.origin);
    match (left, right - left) {
        (32, 0) => row.copy32(reg, reg),
        (32, by) => row.alu(Width::W32, AluOp::Rsh, reg, by),
        (_, 0) => row.op(AluOp::And, reg, mask),
        (_, by) => row
            .op(AluOp::And, reg, mask)
            .alu(Width::W32, AluOp::Rsh, reg, by),
    };
    Some(row.steps)
}
