//! Divisions and remainders by a constant: a multiplication by the reciprocal (Granlund and Montgomery, "Division by
//! Invariant Integers using Multiplication", PLDI 1994, figure 4.1).

use super::{Operation, truncate};
use crate::isa::{AluOp, Instruction, Reg, Width};
use crate::lower::passes::row::{Row, Scratch};
use crate::lower::program::{Position, Step};

/// Unsigned, of up to 32 bits; `None` for a wider dividend.
pub(super) fn row(
    scratch: &Scratch,
    at: Position,
    step: &Step,
    operation: &Operation,
) -> Option<Vec<Step>> {
    let divisor = operation.constant()?;
    let (width, dst) = (operation.width, operation.dst);
    let remainder = operation.op == AluOp::Mod;
    let mut row = Row::new(step.origin);
    if divisor == 0 {
        // The kernel's divisions do not trap: the quotient is 0, the remainder the dividend.
        if remainder {
            row.alu(width, AluOp::Mov, dst, dst);
        } else {
            row.copy32(dst, 0);
        }
        return Some(row.steps);
    }
    if divisor.is_power_of_two() {
        let shift = divisor.trailing_zeros();
        truncate(&mut row, width, dst);
        match (remainder, shift) {
            (true, 32..) => by_shifts(&mut row, dst, 64 - shift as i32),
            (true, shift) => {
                row.alu(Width::W32, AluOp::And, dst, ((1u64 << shift) - 1) as i32);
            }
            (false, 0) => {
                row.alu(width, AluOp::Mov, dst, dst);
            }
            (false, shift) => {
                row.op(AluOp::Rsh, dst, shift as i32);
            }
        }
        return Some(row.steps);
    }
    if operation.left.1 < divisor {
        if remainder {
            row.alu(width, AluOp::Mov, dst, dst);
        } else {
            row.copy32(dst, 0);
        }
        return Some(row.steps);
    }
    let divisor = u32::try_from(divisor).ok()?;
    if operation.left.1 > u64::from(u32::MAX) {
        return None;
    }
    scratch.row(at, step, if remainder { 3 } else { 2 }, |registers, row| {
        truncate(row, width, dst);
        if remainder {
            let dividend = registers[2];
            row.copy(dividend, dst);
            quotient(row, dst, divisor, (registers[0], registers[1]));
            row.number(registers[0], divisor.into())
                .op(AluOp::Mul, dst, registers[0])
                .op(AluOp::Sub, dividend, dst)
                .copy32(dst, dividend);
        } else {
            quotient(row, dst, divisor, (registers[0], registers[1]));
        }
    })
}

/// The low bits, where a mask does not fit an immediate.
fn by_shifts(row: &mut Row, dst: Reg, unused: i32) {
    if unused > 0 {
        row.op(AluOp::Lsh, dst, unused).op(AluOp::Rsh, dst, unused);
    }
}

/// `dst /= divisor`, where dst has 32 bits and the divisor is no power of two.
fn quotient(row: &mut Row, dst: Reg, divisor: u32, (product, factor): (Reg, Reg)) {
    let (reciprocal, shift) = reciprocal(divisor);
    if let Ok(reciprocal) = u32::try_from(reciprocal) {
        row.number(factor, reciprocal.into())
            .op(AluOp::Mul, dst, factor)
            .op(AluOp::Rsh, dst, shift as i32);
        return;
    }
    // The reciprocal has 33 bits: its highest is added apart, halved so that the sum fits.
    row.number(factor, reciprocal & u64::from(u32::MAX))
        .copy(product, dst)
        .op(AluOp::Mul, product, factor)
        .op(AluOp::Rsh, product, 32)
        .op(AluOp::Sub, dst, product)
        .op(AluOp::Rsh, dst, 1)
        .op(AluOp::Add, dst, product)
        .op(AluOp::Rsh, dst, shift as i32 - 33);
}

/// The least reciprocal and shift with `n / divisor == n * reciprocal >> shift` for all n of 32 bits.
fn reciprocal(divisor: u32) -> (u64, u32) {
    let divisor = u128::from(divisor);
    for shift in 32..=64 {
        let power = 1u128 << shift;
        let reciprocal = power.div_ceil(divisor);
        // The error of the reciprocal must not grow to a whole over 32 bits.
        if reciprocal * divisor - power <= power >> 32 {
            return (reciprocal as u64, shift);
        }
    }
    (0, 64)
}

/// Signed: by absolute values. The quotient's sign is that of both, the remainder's the dividend's.
pub(super) fn signed(
    scratch: &Scratch,
    at: Position,
    step: &Step,
    operation: &Operation,
) -> Option<Vec<Step>> {
    let divisor = match operation.width {
        Width::W32 => i64::from(operation.constant()? as u32 as i32),
        Width::W64 => operation.constant()? as i64,
    };
    let (width, dst) = (operation.width, operation.dst);
    let remainder = operation.op == AluOp::SMod;
    let mut row = Row::new(step.origin);
    match divisor {
        0 if remainder => {
            row.alu(width, AluOp::Mov, dst, dst);
            return Some(row.steps);
        }
        0 => {
            row.copy32(dst, 0);
            return Some(row.steps);
        }
        1 | -1 if remainder => {
            row.copy32(dst, 0);
            return Some(row.steps);
        }
        1 => {
            row.alu(width, AluOp::Mov, dst, dst);
            return Some(row.steps);
        }
        -1 => {
            row.push(Instruction::Negate { width, dst });
            return Some(row.steps);
        }
        _ => {}
    }
    let magnitude = divisor.unsigned_abs();
    let shift = width.bits() as i32 - 1;
    if width == Width::W64 && !magnitude.is_power_of_two() {
        return None;
    }
    scratch.row(at, step, 4, |registers, row| {
        let sign = registers[3];
        row.alu(width, AluOp::Mov, sign, dst)
            .alu(width, AluOp::Arsh, sign, shift)
            .alu(width, AluOp::Xor, dst, sign)
            .alu(width, AluOp::Sub, dst, sign);
        if magnitude.is_power_of_two() {
            let by = magnitude.trailing_zeros() as i32;
            if remainder {
                by_shifts(row, dst, 64 - by);
            } else {
                row.op(AluOp::Rsh, dst, by);
            }
        } else if remainder {
            let dividend = registers[2];
            row.copy(dividend, dst);
            quotient(row, dst, magnitude as u32, (registers[0], registers[1]));
            row.number(registers[0], magnitude)
                .op(AluOp::Mul, dst, registers[0])
                .op(AluOp::Sub, dividend, dst)
                .copy32(dst, dividend);
        } else {
            quotient(row, dst, magnitude as u32, (registers[0], registers[1]));
        }
        if !remainder && divisor < 0 {
            row.alu(width, AluOp::Xor, sign, -1);
            // -(x) where the dividend was not negative.
            row.alu(width, AluOp::Xor, dst, sign)
                .alu(width, AluOp::Sub, dst, sign);
        } else {
            row.alu(width, AluOp::Xor, dst, sign)
                .alu(width, AluOp::Sub, dst, sign);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::reciprocal;

    #[test]
    fn reciprocals_divide_exactly() {
        let divisors = (3..2000).chain([
            641,
            6_700_417,
            0x7fff_ffff,
            0x8000_0001,
            u32::MAX - 1,
            u32::MAX,
        ]);
        for divisor in divisors.filter(|divisor: &u32| !divisor.is_power_of_two()) {
            let (reciprocal, shift) = reciprocal(divisor);
            assert!(reciprocal < 1 << 33, "{divisor}");
            assert!(reciprocal < 1 << 32 || shift >= 33, "{divisor}");
            let multiples = [1, 2, 3, u32::MAX / divisor].map(|times| times.wrapping_mul(divisor));
            for near in multiples.into_iter().chain([0, u32::MAX]) {
                for n in [near.wrapping_sub(1), near, near.wrapping_add(1)] {
                    let quotient = (u128::from(n) * u128::from(reciprocal)) >> shift;
                    assert_eq!(quotient, u128::from(n / divisor), "{n} / {divisor}");
                }
            }
        }
    }
}
