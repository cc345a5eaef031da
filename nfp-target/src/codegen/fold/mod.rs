//! One operation made simpler, by what is known of its operands.

mod bytes;
mod test;

pub(super) use bytes::fold_bytes;
pub(super) use test::test_of as test;

use super::mir::{Binary, Mir, Op, ShiftKind, Value};

/// What an operation turned out to be.
pub(super) enum Folded {
    /// A value that is there already.
    Is(Value),
    /// A number.
    Number(u32),
    /// This operation.
    Op(Op),
}

/// The bits that a byte mask stands for: bit 0 is the lowest byte.
pub(super) fn bits_of(mask: u8) -> u32 {
    (0..4).fold(0, |bits, byte| {
        if mask >> byte & 1 == 1 {
            bits | 0xff << (8 * byte)
        } else {
            bits
        }
    })
}

/// A field, or what it is where nothing is cut off.
fn field(mir: &Mir, source: Value, rotate: u8, mask: u8) -> Folded {
    let kept = !mir.zeros(source).rotate_right(rotate.into());
    if kept & bits_of(mask) == 0 {
        return Folded::Number(0);
    }
    if kept & !bits_of(mask) == 0 {
        return if rotate == 0 {
            Folded::Is(source)
        } else {
            Folded::Op(Op::Shift(ShiftKind::Rotate, source, rotate))
        };
    }
    Folded::Op(Op::Field {
        source,
        rotate,
        mask,
    })
}

/// The operation, simpler where it can be. Operands are final.
pub(super) fn fold(mir: &Mir, op: Op) -> Folded {
    let number = |value| mir.constant(value);
    match op {
        Op::Binary(operation, a, b) => binary(mir, operation, a, b),
        Op::Shift(_, a, 0) => Folded::Is(a),
        Op::Shift(kind, a, amount) => {
            if let Some(a) = number(a) {
                return Folded::Number(shift(kind, a, amount));
            }
            if kind == ShiftKind::Arithmetic {
                return if mir.zeros(a) >> 31 == 1 {
                    fold(mir, Op::Shift(ShiftKind::Right, a, amount))
                } else {
                    Folded::Op(op)
                };
            }
            if zeros_of_shift(kind, mir.zeros(a), amount) == u32::MAX {
                return Folded::Number(0);
            }
            match (kind, mir.op(a)) {
                (_, &Op::Shift(inner, source, before)) if inner == kind => match kind {
                    ShiftKind::Rotate => fold(mir, Op::Shift(kind, source, (amount + before) % 32)),
                    _ if amount + before > 31 => Folded::Number(0),
                    _ => Folded::Op(Op::Shift(kind, source, amount + before)),
                },
                _ => Folded::Op(op),
            }
        }
        Op::ShiftBy(kind, a, amount) => match number(amount) {
            Some(amount) => fold(mir, Op::Shift(kind, a, (amount & 31) as u8)),
            None if number(a) == Some(0) => Folded::Number(0),
            None => Folded::Op(op),
        },
        Op::Double(high, low, amount) => match (number(high), number(low)) {
            (Some(high), Some(low)) => {
                Folded::Number(((u64::from(high) << 32 | u64::from(low)) >> amount) as u32)
            }
            (Some(0), _) => fold(mir, Op::Shift(ShiftKind::Right, low, amount)),
            (_, Some(0)) => fold(mir, Op::Shift(ShiftKind::Left, high, 32 - amount)),
            _ if high == low => fold(mir, Op::Shift(ShiftKind::Rotate, low, amount)),
            _ => Folded::Op(op),
        },
        Op::AddHigh(low, high) => {
            let most = |value| u64::from(!mir.zeros(value));
            if let [Some(a), Some(b)] = low.map(number) {
                let carry = a.checked_add(b).is_none();
                if !carry {
                    return binary(mir, Binary::Add, high[0], high[1]);
                }
                if let [Some(a), Some(b)] = high.map(number) {
                    return Folded::Number(a.wrapping_add(b).wrapping_add(1));
                }
            }
            if fits(most(low[0]) + most(low[1])) {
                return binary(mir, Binary::Add, high[0], high[1]);
            }
            Folded::Op(op)
        }
        Op::SubHigh(low, high) => {
            if let [Some(a), Some(b)] = low.map(number) {
                if a >= b {
                    return binary(mir, Binary::Sub, high[0], high[1]);
                }
                if let [Some(a), Some(b)] = high.map(number) {
                    return Folded::Number(a.wrapping_sub(b).wrapping_sub(1));
                }
            }
            if number(low[1]) == Some(0) || low[0] == low[1] {
                return binary(mir, Binary::Sub, high[0], high[1]);
            }
            Folded::Op(op)
        }
        Op::Field {
            source,
            rotate,
            mask,
        } => {
            if let Some(source) = number(source) {
                return Folded::Number(source.rotate_right(rotate.into()) & bits_of(mask));
            }
            field(mir, source, rotate, mask)
        }
        Op::Insert {
            old,
            source,
            rotate,
            mask,
        } => {
            let kept = bits_of(!mask & 15);
            if let (Some(old), Some(source)) = (number(old), number(source)) {
                let source = source.rotate_right(rotate.into());
                return Folded::Number(old & kept | source & !kept);
            }
            if !mir.zeros(old) & kept == 0 {
                return fold(
                    mir,
                    Op::Field {
                        source,
                        rotate,
                        mask,
                    },
                );
            }
            Folded::Op(op)
        }
        op => Folded::Op(op),
    }
}

/// Whether a number is one of 32 bits.
fn fits(number: u64) -> bool {
    u32::try_from(number).is_ok()
}

fn shift(kind: ShiftKind, value: u32, amount: u8) -> u32 {
    match kind {
        ShiftKind::Left => value << amount,
        ShiftKind::Right => value >> amount,
        ShiftKind::Arithmetic => (value as i32 >> amount) as u32,
        ShiftKind::Rotate => value.rotate_right(amount.into()),
    }
}

fn binary(mir: &Mir, operation: Binary, a: Value, b: Value) -> Folded {
    use Binary::{Add, And, Mul, MulHigh, Or, Sub, Xor};
    let number = |value| mir.constant(value);
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return Folded::Number(match operation {
            Add => a.wrapping_add(b),
            Sub => a.wrapping_sub(b),
            And => a & b,
            Or => a | b,
            Xor => a ^ b,
            Mul => a.wrapping_mul(b),
            MulHigh => ((u64::from(a) * u64::from(b)) >> 32) as u32,
        });
    }
    // A number stands on the right.
    if operation != Sub && number(a).is_some() {
        return binary(mir, operation, b, a);
    }
    let same = Folded::Op(Op::Binary(operation, a, b));
    let Some(c) = number(b) else {
        return match operation {
            Sub | Xor if a == b => Folded::Number(0),
            And | Or if a == b => Folded::Is(a),
            // x + c - x
            Sub => match *mir.op(a) {
                Op::Binary(Add, x, c) if x == b => Folded::Is(c),
                _ => same,
            },
            Or => rotation(mir, a, b).unwrap_or(same),
            MulHigh => {
                let most = |value| u64::from(!mir.zeros(value));
                if fits(most(a) * most(b)) {
                    Folded::Number(0)
                } else {
                    same
                }
            }
            _ => same,
        };
    };
    match operation {
        Add | Sub | Or | Xor if c == 0 => Folded::Is(a),
        And | Mul | MulHigh if c == 0 => Folded::Number(0),
        MulHigh if fits(u64::from(!mir.zeros(a)) * u64::from(c)) => Folded::Number(0),
        MulHigh if c.is_power_of_two() => fold(
            mir,
            Op::Shift(ShiftKind::Right, a, 32 - c.trailing_zeros() as u8),
        ),
        Mul if c.is_power_of_two() => {
            fold(mir, Op::Shift(ShiftKind::Left, a, c.trailing_zeros() as u8))
        }
        And => {
            if !mir.zeros(a) & !c == 0 {
                return Folded::Is(a);
            }
            if !mir.zeros(a) & c == 0 {
                return Folded::Number(0);
            }
            // Whole bytes are a field, bits that are 0 anyhow may be counted in or out.
            let free = mir.zeros(a);
            match (0..16).find(|&mask| (bits_of(mask) ^ c) & !free == 0) {
                Some(mask) => field(mir, a, 0, mask),
                None => same,
            }
        }
        _ => same,
    }
}

/// `x << n | x >> (32 - n)`
fn rotation(mir: &Mir, a: Value, b: Value) -> Option<Folded> {
    let parts = |left: Value, right: Value| match (mir.op(left), mir.op(right)) {
        (&Op::Shift(ShiftKind::Left, source, up), &Op::Shift(ShiftKind::Right, other, down))
            if source == other && up + down == 32 =>
        {
            Some((source, down))
        }
        _ => None,
    };
    let (source, amount) = parts(a, b).or_else(|| parts(b, a))?;
    Some(Folded::Op(Op::Shift(ShiftKind::Rotate, source, amount)))
}

fn zeros_of_shift(kind: ShiftKind, zeros: u32, amount: u8) -> u32 {
    match kind {
        ShiftKind::Left => !(!zeros << amount),
        ShiftKind::Right => !(!zeros >> amount),
        ShiftKind::Arithmetic if zeros >> 31 == 1 => !(!zeros >> amount),
        ShiftKind::Arithmetic => 0,
        ShiftKind::Rotate => zeros.rotate_right(amount.into()),
    }
}

/// All ones from the highest set bit on downwards.
fn below(most: u64) -> u32 {
    if most > u64::from(u32::MAX) {
        return u32::MAX;
    }
    let most = most as u32;
    if most == 0 {
        0
    } else {
        u32::MAX >> most.leading_zeros()
    }
}

/// The bits that are 0 in whatever the operation gives.
pub(super) fn zeros(mir: &Mir, op: &Op) -> u32 {
    let of = |value: Value| mir.zeros(value);
    let most = |value: Value| u64::from(!mir.zeros(value));
    match *op {
        Op::Const(number) => !number,
        // What the entry makes of the packet vector has 14 bits.
        Op::Length => !0x3fff,
        Op::Binary(operation, a, b) => match operation {
            Binary::And => of(a) | of(b),
            Binary::Or | Binary::Xor => of(a) & of(b),
            Binary::Add => {
                let low = of(a).trailing_ones().min(of(b).trailing_ones());
                !below(most(a) + most(b)) | u32::MAX.checked_shr(32 - low).unwrap_or(0)
            }
            Binary::Mul => !below(most(a).saturating_mul(most(b))),
            Binary::MulHigh => !below((most(a) * most(b)) >> 32),
            Binary::Sub => 0,
        },
        Op::Shift(kind, a, amount) => zeros_of_shift(kind, of(a), amount),
        Op::ShiftBy(ShiftKind::Right, a, _) => !below(most(a)),
        Op::Double(high, low, amount) => !(!of(low) >> amount | !of(high) << (32 - amount)),
        Op::Field {
            source,
            rotate,
            mask,
        } => of(source).rotate_right(rotate.into()) | !bits_of(mask),
        Op::Insert {
            old,
            source,
            rotate,
            mask,
        } => {
            let new = bits_of(mask);
            of(old) & !new | of(source).rotate_right(rotate.into()) & new
        }
        _ => 0,
    }
}
