//! What comparisons say of ranges (`is_scalar_branch_taken`, `regs_refine_cond_op`).

use crate::isa::{CmpOp, Width};

use super::super::tnum::Tnum;
use super::Range;

/// Whether `left OP right` holds for all members (`Some(true)`), for none (`Some(false)`), or for some
/// (`is_scalar_branch_taken`).
pub fn decide(op: CmpOp, width: Width, left: &Range, right: &Range) -> Option<bool> {
    let signed = |r: &Range| match width {
        Width::W64 => r.s64,
        Width::W32 => (i64::from(r.s32.0), i64::from(r.s32.1)),
    };
    let unsigned = |r: &Range| match width {
        Width::W64 => r.u64,
        Width::W32 => (u64::from(r.u32.0), u64::from(r.u32.1)),
    };
    let (lu, ru, ls, rs) = (unsigned(left), unsigned(right), signed(left), signed(right));
    match op {
        CmpOp::Eq => equal(width, left, right, disjoint(lu, ru) || disjoint(ls, rs)),
        CmpOp::Ne => {
            equal(width, left, right, disjoint(lu, ru) || disjoint(ls, rs)).map(|same| !same)
        }
        CmpOp::Set => {
            // One of the two is a constant, on whichever side.
            let (other, value) = match right.as_constant_of(width) {
                Some(value) => (left, value),
                None => (right, left.as_constant_of(width)?),
            };
            let bits = match width {
                Width::W64 => other.bits,
                Width::W32 => other.bits.low32(),
            };
            if bits.value & value != 0 {
                Some(true)
            } else if (bits.value | bits.mask) & value == 0 {
                Some(false)
            } else {
                None
            }
        }
        CmpOp::Gt => less(ru, lu),
        CmpOp::Lt => less(lu, ru),
        CmpOp::Ge => less(lu, ru).map(|below| !below),
        CmpOp::Le => less(ru, lu).map(|below| !below),
        CmpOp::SGt => less(rs, ls),
        CmpOp::SLt => less(ls, rs),
        CmpOp::SGe => less(ls, rs).map(|below| !below),
        CmpOp::SLe => less(rs, ls).map(|below| !below),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "numbers")]
fn disjoint<T: PartialOrd>(a: (T, T), b: (T, T)) -> bool {
    a.0 > b.1 || a.1 < b.0
}

#[allow(clippy::needless_pass_by_value, reason = "numbers")]
fn less<T: PartialOrd>(a: (T, T), b: (T, T)) -> Option<bool> {
    if a.1 < b.0 {
        Some(true)
    } else if a.0 >= b.1 {
        Some(false)
    } else {
        None
    }
}

fn equal(width: Width, left: &Range, right: &Range, apart: bool) -> Option<bool> {
    if let (Some(a), Some(b)) = (left.as_constant_of(width), right.as_constant_of(width)) {
        return Some(a == b);
    }
    let (a, b) = match width {
        Width::W64 => (left.bits, right.bits),
        Width::W32 => (left.bits.low32(), right.bits.low32()),
    };
    if !a.overlaps(b) {
        return Some(false);
    }
    let halves_apart =
        width == Width::W64 && (disjoint(left.u32, right.u32) || disjoint(left.s32, right.s32));
    (apart || halves_apart).then_some(false)
}

/// Both sides, sharpened by the knowledge that `left OP right` is `holds` (`regs_refine_cond_op`).
pub fn refine(
    op: CmpOp,
    holds: bool,
    width: Width,
    mut left: Range,
    mut right: Range,
) -> (Range, Range) {
    refine_bounds(op, holds, width, &mut left, &mut right);
    (
        left.synchronised().or_forgotten(),
        right.synchronised().or_forgotten(),
    )
}

/// One number compared with itself: the kernel refines it as it does two, both at once.
pub(in super::super) fn refine_alone(op: CmpOp, holds: bool, width: Width, number: Range) -> Range {
    let (mut left, mut right) = (number, number);
    refine_bounds(op, holds, width, &mut left, &mut right);
    left.raise_u64(right.u64.0, right.u64.1);
    left.raise_s64(right.s64.0, right.s64.1);
    left.raise_u32(right.u32.0, right.u32.1);
    left.raise_s32(right.s32.0, right.s32.1);
    left.synchronised().or_forgotten()
}

fn refine_bounds(op: CmpOp, holds: bool, width: Width, left: &mut Range, right: &mut Range) {
    match (op, holds) {
        (CmpOp::Eq, true) | (CmpOp::Ne, false) => make_equal(width, left, right),
        (CmpOp::Ne, true) | (CmpOp::Eq, false) => {
            if right.as_constant_of(width).is_some() {
                exclude_edge(width, left, right);
            } else if left.as_constant_of(width).is_some() {
                exclude_edge(width, right, left);
            }
        }
        (CmpOp::Set, _) => {
            if let Some(mask) = right.as_constant_of(width) {
                know_bits(width, left, mask, holds);
            } else if let Some(mask) = left.as_constant_of(width) {
                know_bits(width, right, mask, holds);
            }
        }
        (CmpOp::Le, true) | (CmpOp::Gt, false) => order_unsigned(width, left, right, false),
        (CmpOp::Ge, true) | (CmpOp::Lt, false) => order_unsigned(width, right, left, false),
        (CmpOp::Lt, true) | (CmpOp::Ge, false) => order_unsigned(width, left, right, true),
        (CmpOp::Gt, true) | (CmpOp::Le, false) => order_unsigned(width, right, left, true),
        (CmpOp::SLe, true) | (CmpOp::SGt, false) => order_signed(width, left, right, false),
        (CmpOp::SGe, true) | (CmpOp::SLt, false) => order_signed(width, right, left, false),
        (CmpOp::SLt, true) | (CmpOp::SGe, false) => order_signed(width, left, right, true),
        (CmpOp::SGt, true) | (CmpOp::SLe, false) => order_signed(width, right, left, true),
    }
}

fn make_equal(width: Width, left: &mut Range, right: &mut Range) {
    left.raise_u32(right.u32.0, right.u32.1);
    left.raise_s32(right.s32.0, right.s32.1);
    match width {
        Width::W32 => {
            let low = left.bits.low32().intersect(right.bits.low32());
            left.bits = left.bits.with_low32(low);
            right.bits = right.bits.with_low32(low);
            right.u32 = left.u32;
            right.s32 = left.s32;
        }
        Width::W64 => {
            left.raise_u64(right.u64.0, right.u64.1);
            left.raise_s64(right.s64.0, right.s64.1);
            left.bits = left.bits.intersect(right.bits);
            *right = *left;
        }
    }
}

/// `range` is not the constant: that says something only at its edges.
fn exclude_edge(width: Width, range: &mut Range, constant: &Range) {
    fn shrink<T: Bound>((min, max): &mut (T, T), value: T) {
        if *min == value {
            *min = value.next();
        }
        if *max == value {
            *max = value.previous();
        }
    }
    match width {
        Width::W32 => {
            let value = constant.u32.0;
            shrink(&mut range.u32, value);
            shrink(&mut range.s32, value as i32);
        }
        Width::W64 => {
            let value = constant.u64.0;
            shrink(&mut range.u64, value);
            shrink(&mut range.s64, value as i64);
        }
    }
}

/// `range & mask` is not 0 (`some_set`; says something only of a single bit), or is 0.
fn know_bits(width: Width, range: &mut Range, mask: u64, some_set: bool) {
    if some_set && !mask.is_power_of_two() {
        return;
    }
    let bits = match width {
        Width::W32 => range.bits.low32(),
        Width::W64 => range.bits,
    };
    let known = if some_set {
        bits.or(Tnum::constant(mask))
    } else {
        bits.and(Tnum::constant(!mask))
    };
    if !some_set {
        // The kernel forgets the ranges, lest they contradict the bits where the branch is dead.
        range.forget_64();
        range.forget_32();
    }
    range.bits = match width {
        Width::W32 => range.bits.with_low32(known),
        Width::W64 => known,
    };
}

/// `small` is not above `large`, with `strict` below it. Where the strict form saturates, [`decide`] has already said
/// that the branch cannot be taken.
fn order<T: Bound>(small: &mut (T, T), large: &mut (T, T), strict: bool) {
    let (most, least) = if strict {
        (large.1.previous(), small.0.next())
    } else {
        (large.1, small.0)
    };
    small.1 = small.1.min(most);
    large.0 = large.0.max(least);
}

fn order_unsigned(width: Width, small: &mut Range, large: &mut Range, strict: bool) {
    match width {
        Width::W32 => order(&mut small.u32, &mut large.u32, strict),
        Width::W64 => order(&mut small.u64, &mut large.u64, strict),
    }
}

fn order_signed(width: Width, small: &mut Range, large: &mut Range, strict: bool) {
    match width {
        Width::W32 => order(&mut small.s32, &mut large.s32, strict),
        Width::W64 => order(&mut small.s64, &mut large.s64, strict),
    }
}

/// One end of a range.
trait Bound: Copy + Ord {
    /// The next higher number, or the highest.
    fn next(self) -> Self;
    /// The next lower number, or the lowest.
    fn previous(self) -> Self;
}

macro_rules! bound {
    ($($number:ty)*) => {$(
        impl Bound for $number {
            fn next(self) -> Self {
                self.saturating_add(1)
            }
            fn previous(self) -> Self {
                self.saturating_sub(1)
            }
        }
    )*};
}

bound!(u32 i32 u64 i64);
