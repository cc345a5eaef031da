//! Fields that were taken apart and put together again.

use super::super::mir::{Binary, Mir, Op, ShiftKind, Value};
use super::{Folded, field};

/// How deep the origin of a byte is looked for.
const DEPTH: u8 = 6;

/// Where a byte of a value comes from: a byte of another value. `None` is 0.
type Byte = Option<(Value, u8)>;

/// Where each byte of a value comes from; the value's own bytes where nothing better is known.
fn bytes(mir: &Mir, value: Value, depth: u8) -> [Byte; 4] {
    let own = std::array::from_fn(|byte| Some((value, byte as u8)));
    if depth == 0 {
        return own;
    }
    let of = |value| bytes(mir, value, depth - 1);
    let rotated = |from: [Byte; 4], rotate: u8| {
        std::array::from_fn(|byte| from[(byte + usize::from(rotate / 8)) % 4])
    };
    let masked = |from: [Byte; 4], mask: u8| {
        std::array::from_fn(|byte| from[byte].filter(|_| mask >> byte & 1 == 1))
    };
    match *mir.op(value) {
        Op::Const(0) => [None; 4],
        Op::Field {
            source,
            rotate,
            mask,
        } if rotate % 8 == 0 => masked(rotated(of(source), rotate), mask),
        Op::Insert {
            old,
            source,
            rotate,
            mask,
        } if rotate % 8 == 0 => {
            let (old, new) = (of(old), rotated(of(source), rotate));
            std::array::from_fn(|byte| {
                if mask >> byte & 1 == 1 {
                    new[byte]
                } else {
                    old[byte]
                }
            })
        }
        Op::Shift(kind, source, amount) if amount % 8 == 0 => {
            let count = usize::from(amount / 8);
            let from = of(source);
            match kind {
                ShiftKind::Left => {
                    std::array::from_fn(|byte| byte.checked_sub(count).and_then(|at| from[at]))
                }
                ShiftKind::Right => {
                    std::array::from_fn(|byte| from.get(byte + count).copied().flatten())
                }
                ShiftKind::Rotate => rotated(from, amount),
                ShiftKind::Arithmetic => own,
            }
        }
        Op::Double(high, low, amount) if amount % 8 == 0 => {
            let count = usize::from(amount / 8);
            let (high, low) = (of(high), of(low));
            std::array::from_fn(|byte| {
                let at = byte + count;
                if at < 4 { low[at] } else { high[at - 4] }
            })
        }
        Op::Binary(Binary::Or, a, b) => {
            let (a_bytes, b_bytes) = (of(a), of(b));
            if a_bytes
                .iter()
                .zip(&b_bytes)
                .all(|(a, b)| a.is_none() || b.is_none())
            {
                std::array::from_fn(|byte| a_bytes[byte].or(b_bytes[byte]))
            } else {
                own
            }
        }
        _ => own,
    }
}

/// One field of one value that is the same as this value, where its operations are more than that.
fn as_field(mir: &Mir, value: Value) -> Option<Op> {
    let origin = bytes(mir, value, DEPTH);
    let mut found: Option<(Value, u8)> = None;
    let mut mask = 0;
    for (byte, from) in origin.iter().enumerate() {
        let Some((source, at)) = *from else { continue };
        let rotate = (at + 4 - byte as u8) % 4 * 8;
        if source == value || found.is_some_and(|found| found != (source, rotate)) {
            return None;
        }
        found = Some((source, rotate));
        mask |= 1 << byte;
    }
    let (source, rotate) = found?;
    Some(Op::Field {
        source,
        rotate,
        mask,
    })
}

/// After an operation has its place: a field instead of several operations on bytes.
pub(in crate::codegen) fn fold_bytes(mir: &Mir, value: Value) -> Option<Folded> {
    let combines = match *mir.op(value) {
        Op::Binary(Binary::Or, ..) | Op::Insert { .. } | Op::Double(..) => true,
        Op::Shift(kind, source, amount) => {
            kind != ShiftKind::Arithmetic
                && amount % 8 == 0
                && matches!(
                    mir.op(source),
                    Op::Field { .. } | Op::Double(..) | Op::Shift(..) | Op::Insert { .. }
                )
        }
        Op::Field { source, .. } => matches!(
            mir.op(source),
            Op::Field { .. }
                | Op::Double(..)
                | Op::Shift(..)
                | Op::Insert { .. }
                | Op::Binary(Binary::Or, ..)
        ),
        _ => false,
    };
    if !combines {
        return None;
    }
    match as_field(mir, value)? {
        Op::Field {
            source,
            rotate,
            mask,
        } => {
            let folded = field(mir, source, rotate, mask);
            match &folded {
                Folded::Op(op) if op == mir.op(value) => None,
                _ => Some(folded),
            }
        }
        _ => None,
    }
}
