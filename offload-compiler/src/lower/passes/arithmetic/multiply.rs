//! Multiplications, by pieces of 32 bits.

use super::Operation;
use crate::isa::{AluOp, Operand, Reg, Width};
use crate::lower::passes::row::{Row, Scratch};
use crate::lower::program::{Position, Step};
use crate::lower::run::Context;

const HALF: u64 = u32::MAX as u64;

/// The multiplication in a form that the card has; `None` where it is one already.
pub(super) fn row(
    context: &Context<'_>,
    scratch: &Scratch,
    at: Position,
    step: &Step,
    operation: &Operation,
) -> Option<Vec<Step>> {
    let whole = |reg| context.facts.register(at, reg).range().u64.1;
    let left_is_half = whole(operation.dst) <= HALF;
    let right_is_half = match operation.src {
        Operand::Reg(src) => whole(src) <= HALF,
        Operand::Imm(imm) => operation.width == Width::W32 || imm >= 0,
    };
    if left_is_half && right_is_half {
        return None;
    }
    match (operation.width, operation.src) {
        (Width::W32, src) => low(scratch, at, step, operation.dst, src, right_is_half),
        (Width::W64, Operand::Imm(imm)) => by_constant(scratch, at, step, operation, imm),
        (Width::W64, Operand::Reg(src)) => {
            let half = (left_is_half, right_is_half);
            by_register(scratch, at, step, (operation.dst, src), half)
        }
    }
}

/// 32 bits: the upper halves do not count.
fn low(
    scratch: &Scratch,
    at: Position,
    step: &Step,
    dst: Reg,
    src: Operand,
    right_is_half: bool,
) -> Option<Vec<Step>> {
    match src {
        Operand::Reg(src) if !right_is_half && src != dst => {
            scratch.row(at, step, 1, |registers, row| {
                row.copy32(registers[0], src).copy32(dst, dst).alu(
                    Width::W32,
                    AluOp::Mul,
                    dst,
                    registers[0],
                );
            })
        }
        src => {
            let mut row = Row::new(step.origin);
            row.copy32(dst, dst).alu(Width::W32, AluOp::Mul, dst, src);
            Some(row.steps)
        }
    }
}

fn by_constant(
    scratch: &Scratch,
    at: Position,
    step: &Step,
    operation: &Operation,
    imm: i32,
) -> Option<Vec<Step>> {
    let dst = operation.dst;
    let factor = imm.unsigned_abs();
    let negate = |row: &mut Row| {
        if imm < 0 {
            row.push(crate::isa::Instruction::Negate {
                width: Width::W64,
                dst,
            });
        }
    };
    if factor.is_power_of_two() {
        let mut row = Row::new(step.origin);
        match factor.trailing_zeros() {
            0 => {}
            shift => {
                row.op(AluOp::Lsh, dst, shift as i32);
            }
        }
        negate(&mut row);
        return Some(row.steps);
    }
    let factor = factor as i32;
    if operation.left.1 <= HALF {
        let mut row = Row::new(step.origin);
        row.op(AluOp::Mul, dst, factor);
        negate(&mut row);
        return Some(row.steps);
    }
    scratch.row(at, step, 1, |registers, row| {
        let high = registers[0];
        row.copy(high, dst)
            .op(AluOp::Rsh, high, 32)
            .op(AluOp::Mul, high, factor)
            .op(AluOp::Lsh, high, 32)
            .copy32(dst, dst)
            .op(AluOp::Mul, dst, factor)
            .op(AluOp::Add, dst, high);
        negate(row);
    })
}

/// `low * low + ((high * low + low * high) << 32)`
fn by_register(
    scratch: &Scratch,
    at: Position,
    step: &Step,
    (dst, src): (Reg, Reg),
    (left_is_half, right_is_half): (bool, bool),
) -> Option<Vec<Step>> {
    scratch.row(at, step, 3, |registers, row| {
        let (cross, low, high) = (registers[0], registers[1], registers[2]);
        row.copy32(low, src);
        if left_is_half {
            row.copy(cross, 0);
        } else {
            row.copy(cross, dst)
                .op(AluOp::Rsh, cross, 32)
                .op(AluOp::Mul, cross, low);
        }
        if !right_is_half {
            row.copy(high, src).op(AluOp::Rsh, high, 32);
        }
        row.copy32(dst, dst);
        if !right_is_half {
            row.op(AluOp::Mul, high, dst).op(AluOp::Add, cross, high);
        }
        row.op(AluOp::Lsh, cross, 32)
            .op(AluOp::Mul, dst, low)
            .op(AluOp::Add, dst, cross);
    })
}
