//! What words compute, on values alone.

use super::stop::StopKind;
use crate::isa::{AluOperation, Condition, Multiply, MultiplySize, Operand, Shift, ShiftLogic};

/// The condition codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flags {
    /// Bit 31 of the result.
    pub(super) negative: bool,
    /// The result is 0.
    pub(super) zero: bool,
    /// Carry; of a subtraction "no borrow".
    pub(super) carry: bool,
    /// Signed overflow.
    pub(super) overflow: bool,
}

impl Flags {
    /// Whether a branch on this condition is taken.
    pub(super) fn hold(self, condition: Condition) -> bool {
        let less = self.negative != self.overflow;
        match condition {
            Condition::Equal => self.zero,
            Condition::NotEqual => !self.zero,
            Condition::Minus => self.negative,
            Condition::Plus => !self.negative,
            Condition::CarrySet => self.carry,
            Condition::CarryClear => !self.carry,
            Condition::OverflowSet => self.overflow,
            Condition::OverflowClear => !self.overflow,
            Condition::GreaterOrEqual => !less,
            Condition::Less => less,
            Condition::LessOrEqual => self.zero || less,
            Condition::Greater => !self.zero && !less,
            Condition::Always => true,
        }
    }
}

/// left OP right. Logic leaves carry and overflow clear (assumed: nothing depends on it).
pub(super) fn alu(operation: AluOperation, left: u32, right: u32, carry: bool) -> (u32, Flags) {
    let sum = |left: u32, right: u32, carry: bool| {
        let wide = u64::from(left) + u64::from(right) + u64::from(carry);
        let result = wide as u32;
        let overflow = ((left ^ result) & (right ^ result)) >> 31 != 0;
        (result, wide >> 32 != 0, overflow)
    };
    let logic = |result| (result, false, false);
    let (result, carry, overflow) = match operation {
        AluOperation::B => logic(right),
        AluOperation::NotB => logic(!right),
        AluOperation::And => logic(left & right),
        AluOperation::NotAnd => logic(!left & right),
        AluOperation::AndNot => logic(left & !right),
        AluOperation::Or => logic(left | right),
        AluOperation::Xor => logic(left ^ right),
        AluOperation::Add => sum(left, right, false),
        AluOperation::AddCarry => sum(left, right, carry),
        AluOperation::Add16 => sum(left, right & 0xffff, false),
        AluOperation::Add8 => sum(left, right & 0xff, false),
        AluOperation::Subtract => sum(left, !right, true),
        AluOperation::SubtractCarry => sum(left, !right, carry),
        AluOperation::SubtractFrom => sum(right, !left, true),
    };
    let flags = Flags {
        negative: result >> 31 != 0,
        zero: result == 0,
        carry,
        overflow,
    };
    (result, flags)
}

/// What the word before left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Previous {
    /// Its result.
    pub(super) result: Option<u32>,
    /// Its A operand: the amount of an indirect shift.
    pub(super) operand_a: Option<u32>,
}

impl Previous {
    fn amount(self) -> Result<u32, StopKind> {
        self.operand_a.ok_or(StopKind::NoPrevious("the A operand"))
    }

    /// The result, for indirect commands.
    pub(super) fn result(self) -> Result<u32, StopKind> {
        self.result.ok_or(StopKind::NoPrevious("the result"))
    }
}

/// `right` shifted. Amounts of 6 bits shift (left : right); other indirect amounts have 5.
pub(super) fn shifted(
    shift: Shift,
    left: u32,
    right: u32,
    previous: Previous,
) -> Result<u32, StopKind> {
    let both = u64::from(left) << 32 | u64::from(right);
    Ok(match shift {
        Shift::None => right,
        Shift::RotateRight(amount) => right.rotate_right(amount.into()),
        Shift::Right(amount) => right.wrapping_shr(amount.into()),
        Shift::RightIndirect => right.wrapping_shr(previous.amount()?),
        Shift::Left(amount) => right.wrapping_shl(amount.into()),
        Shift::LeftIndirect => right.wrapping_shl(previous.amount()?),
        Shift::Double(amount) => both.wrapping_shr(amount.into()) as u32,
        Shift::DoubleIndirect => both.wrapping_shr(previous.amount()?) as u32,
    })
}

/// left OP (right shifted).
pub(super) fn shift(
    operation: ShiftLogic,
    shift: Shift,
    left: u32,
    right: u32,
    previous: Previous,
) -> Result<u32, StopKind> {
    let value = shifted(shift, left, right, previous)?;
    Ok(match operation {
        ShiftLogic::B => value,
        ShiftLogic::NotB => !value,
        ShiftLogic::And => left & value,
        ShiftLogic::NotAnd => !left & value,
        ShiftLogic::AndNot => left & !value,
        ShiftLogic::Or => left | value,
        ShiftLogic::Arithmetic => {
            let sign = previous.result.ok_or(StopKind::NoPrevious("the sign"))? >> 31;
            let kept = shifted(shift, 0, u32::MAX, previous)?;
            if sign == 0 { value } else { value | !kept }
        }
    })
}

/// A multiplication that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Product {
    operands: (Operand, Operand),
    values: (u32, u32),
    size: Option<MultiplySize>,
    done: u8,
}

/// What a multiplication's word leaves: the multiplication, and the result where it gives one.
pub(super) fn multiply(
    begun: Option<Product>,
    step: Multiply,
    values: (u32, u32),
) -> Result<(Option<Product>, Option<u32>), StopKind> {
    if let Multiply::Start { left, right } = step {
        let product = Product {
            operands: (left, right),
            values,
            size: None,
            done: 0,
        };
        return Ok((Some(product), None));
    }
    let mut product = begun.ok_or(StopKind::Multiply)?;
    let number = match step {
        Multiply::Start { .. } => 0,
        Multiply::Step {
            number,
            left,
            right,
            ..
        } => {
            if product.operands != (left, right) {
                return Err(StopKind::Multiply);
            }
            number
        }
        Multiply::Last { size, .. } => size.steps() + 1,
        Multiply::LastHigh { .. } => MultiplySize::By32.steps() + 2,
    };
    let size = match step {
        Multiply::Step { size, .. } | Multiply::Last { size, .. } => size,
        _ => MultiplySize::By32,
    };
    let same_size = product.size.is_none_or(|begun| begun == size);
    if number != product.done + 1 || !same_size {
        return Err(StopKind::Multiply);
    }
    product.size = Some(size);
    product.done = number;
    let (left, right) = (u64::from(product.values.0), u64::from(product.values.1));
    let all = match size {
        // Larger factors: their low halves (assumed).
        MultiplySize::By16 => (left & 0xffff) * (right & 0xffff),
        MultiplySize::By32 => left * right,
    };
    let result = match step {
        Multiply::Last { .. } => Some(all as u32),
        Multiply::LastHigh { .. } => Some((all >> 32) as u32),
        _ => None,
    };
    Ok((Some(product), result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carry_of_a_subtraction_is_no_borrow() {
        let flags = |left, right| alu(AluOperation::Subtract, left, right, false).1;
        assert!(flags(5, 5).carry && flags(5, 5).zero);
        assert!(!flags(4, 5).carry && flags(4, 5).negative);
        // -2^31 - 1 overflows: less although the result is positive.
        assert!(flags(1 << 31, 1).hold(Condition::Less));
        assert!(flags(1 << 31, 1).hold(Condition::CarrySet));
        // 5 - 4 with a borrow from below is 0.
        assert_eq!(alu(AluOperation::SubtractCarry, 5, 4, false).0, 0);
    }

    #[test]
    fn the_short_addition_adds_to_all_bits() {
        let (sum, _) = alu(AluOperation::Add16, 0xffff_fff0, 0x0001_0020, false);
        assert_eq!(sum, 0x10);
    }

    #[test]
    fn an_arithmetic_shift_takes_its_sign_from_the_word_before() {
        let previous = |result| Previous {
            result: Some(result),
            operand_a: Some(36),
        };
        let asr = |value, result| {
            shift(
                ShiftLogic::Arithmetic,
                Shift::RightIndirect,
                0,
                value,
                previous(result),
            )
        };
        assert_eq!(asr(0x100, 1 << 31), Ok(0xf000_0010));
        assert_eq!(asr(0x8000_0000, 0), Ok(0x0800_0000));
    }

    #[test]
    fn a_double_shift_by_32_gives_the_left_word() {
        let by = |amount| {
            let previous = Previous {
                result: None,
                operand_a: Some(amount),
            };
            shifted(Shift::DoubleIndirect, 7, 9, previous)
        };
        assert_eq!((by(0), by(32)), (Ok(9), Ok(7)));
        assert_eq!(
            shifted(Shift::DoubleIndirect, 7, 9, Previous::default()),
            Err(StopKind::NoPrevious("the A operand"))
        );
    }

    #[test]
    fn a_multiplication_goes_step_by_step() {
        let (left, right) = (Operand::Immediate(1), Operand::Immediate(2));
        let step = |size, number| Multiply::Step {
            size,
            number,
            left,
            right,
        };
        let start = Multiply::Start { left, right };
        let values = (0xffff_ffff, 0xffff_ffff);
        let (mut product, _) = multiply(None, start, values).unwrap();
        for number in 1..=4 {
            (product, _) = multiply(product, step(MultiplySize::By32, number), (0, 0)).unwrap();
        }
        let last = Multiply::Last {
            size: MultiplySize::By32,
            destination: crate::isa::Destination::None,
            write_both: false,
        };
        let (product, low) = multiply(product, last, (0, 0)).unwrap();
        let high = Multiply::LastHigh {
            destination: crate::isa::Destination::None,
            write_both: false,
        };
        let (product, high) = multiply(product, high, (0, 0)).unwrap();
        assert_eq!((low, high), (Some(1), Some(0xffff_fffe)));
        assert_eq!(multiply(product, last, (0, 0)), Err(StopKind::Multiply));
        assert_eq!(
            multiply(None, step(MultiplySize::By16, 1), values),
            Err(StopKind::Multiply)
        );
    }
}
