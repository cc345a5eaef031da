//! Shifts by a register, word by word as the driver writes them (`shl_reg64`, `shr_reg64`, `ashr_reg64`, Linux 6.12).

use offload_compiler::isa::AluOp;

/// Which of its two forms the driver chose for a 64 bit shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Below32,
    From32,
}

impl Form {
    /// By what the driver knows of the amount; by its bit 5 if that is not enough.
    pub(super) fn of(range: (u64, u64), amount: u32) -> Form {
        match range {
            (_, most) if most < 32 => Form::Below32,
            (least, _) if least >= 32 => Form::From32,
            _ if amount & 32 == 0 => Form::Below32,
            _ => Form::From32,
        }
    }
}

/// To the right, with copies of `sign`.
pub(super) fn arithmetic(value: u32, amount: u32, sign: u32) -> u32 {
    let kept = u32::MAX.wrapping_shr(amount);
    value.wrapping_shr(amount) & kept | if sign >> 31 == 0 { 0 } else { !kept }
}

/// The low word of (high : low) >> amount, six bits of it.
fn double(high: u32, low: u32, amount: u32) -> u32 {
    (u64::from(high) << 32 | u64::from(low)).wrapping_shr(amount) as u32
}

/// The shifted value. `by_self`: the amount is the value's own low word.
pub(super) fn shift64(op: AluOp, form: Form, value: u64, amount: u32, by_self: bool) -> u64 {
    let (high, low) = ((value >> 32) as u32, value as u32);
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    match (op, form) {
        (AluOp::Lsh, Form::Below32) => pair(
            double(high, low, 32_u32.wrapping_sub(amount)),
            low.wrapping_shl(amount),
        ),
        (AluOp::Lsh, Form::From32) => pair(low.wrapping_shl(amount), 0),
        (AluOp::Rsh, Form::From32) => pair(0, high.wrapping_shr(amount)),
        (AluOp::Rsh, Form::Below32) => {
            let low = double(high, low, amount);
            let then = if by_self { low } else { amount };
            pair(high.wrapping_shr(then), low)
        }
        (_, Form::Below32) => {
            let low = double(high, low, amount);
            let then = if by_self { low } else { amount };
            pair(arithmetic(high, then, then | high), low)
        }
        (_, Form::From32) => {
            let low = arithmetic(high, amount, amount | high);
            pair(arithmetic(high, 31, low), low)
        }
    }
}
