//! What is known of a number: its bits and its ranges, as 64 and as 32 bits, signed and unsigned.
//!
//! The kernel's domain (kernel/bpf/verifier.c, Linux 6.18: `reg_bounds_sync`, `adjust_scalar_min_max_vals`,
//! `regs_refine_cond_op`), with the kernel's precision and no more: a program that passes because of a
//! sharper bound here would be refused there.

use crate::isa::{AluOp, CmpOp, Size, Width};

use super::tnum::Tnum;

/// A set of 64-bit numbers that contains every value the register can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// What is known of single bits.
    pub bits: Tnum,
    /// As unsigned 64-bit numbers, both ends included.
    pub u64: (u64, u64),
    /// As signed 64-bit numbers.
    pub s64: (i64, i64),
    /// The low half, unsigned.
    pub u32: (u32, u32),
    /// The low half, signed.
    pub s32: (i32, i32),
}

const U64_ALL: (u64, u64) = (0, u64::MAX);
const S64_ALL: (i64, i64) = (i64::MIN, i64::MAX);
const U32_ALL: (u32, u32) = (0, u32::MAX);
const S32_ALL: (i32, i32) = (i32::MIN, i32::MAX);

impl Range {
    /// Any number.
    pub const UNKNOWN: Self = Self {
        bits: Tnum::UNKNOWN,
        u64: U64_ALL,
        s64: S64_ALL,
        u32: U32_ALL,
        s32: S32_ALL,
    };

    /// Just `value`.
    pub const fn constant(value: u64) -> Self {
        Self {
            bits: Tnum::constant(value),
            u64: (value, value),
            s64: (value as i64, value as i64),
            u32: (value as u32, value as u32),
            s32: (value as i32, value as i32),
        }
    }

    /// Any number that fits `size`, zero-extended.
    pub fn of_size(size: Size) -> Self {
        Self::UNKNOWN.zero_extend(size)
    }

    /// Numbers from `min` to `max`, unsigned.
    pub fn between(min: u64, max: u64) -> Self {
        Self {
            u64: (min, max),
            ..Self::UNKNOWN
        }
        .synchronised()
    }

    /// Numbers from `min` to `max`, signed.
    pub fn between_signed(min: i64, max: i64) -> Self {
        Self {
            s64: (min, max),
            ..Self::UNKNOWN
        }
        .synchronised()
    }

    /// The value, where there is only one.
    pub fn as_constant(&self) -> Option<u64> {
        self.bits.is_constant().then_some(self.bits.value)
    }

    /// The low half's value, where there is only one.
    pub fn as_constant32(&self) -> Option<u32> {
        let low = self.bits.low32();
        low.is_constant().then_some(low.value as u32)
    }

    /// The value in `width` bits, zero-extended, where there is only one.
    pub fn as_constant_of(&self, width: Width) -> Option<u64> {
        match width {
            Width::W64 => self.as_constant(),
            Width::W32 => self.as_constant32().map(u64::from),
        }
    }

    /// Whether `value` may be in it.
    pub fn may_be(&self, value: u64) -> bool {
        self.bits.contains(Tnum::constant(value))
            && (self.u64.0..=self.u64.1).contains(&value)
            && (self.s64.0..=self.s64.1).contains(&(value as i64))
            && (self.u32.0..=self.u32.1).contains(&(value as u32))
            && (self.s32.0..=self.s32.1).contains(&(value as i32))
    }

    /// Whether every number of `inner` is in `self` by each bound (`range_within` of the kernel).
    pub fn contains(&self, inner: &Self) -> bool {
        self.bits.contains(inner.bits)
            && self.u64.0 <= inner.u64.0
            && self.u64.1 >= inner.u64.1
            && self.s64.0 <= inner.s64.0
            && self.s64.1 >= inner.s64.1
            && self.u32.0 <= inner.u32.0
            && self.u32.1 >= inner.u32.1
            && self.s32.0 <= inner.s32.0
            && self.s32.1 >= inner.s32.1
    }

    /// All members of both, and perhaps more.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        fn hull<T: Ord>(a: (T, T), b: (T, T)) -> (T, T) {
            (a.0.min(b.0), a.1.max(b.1))
        }
        Self {
            bits: self.bits.union(other.bits),
            u64: hull(self.u64, other.u64),
            s64: hull(self.s64, other.s64),
            u32: hull(self.u32, other.u32),
            s32: hull(self.s32, other.s32),
        }
    }

    /// Whether the bounds contradict each other or the bits: no number is left, the path cannot be taken.
    pub fn is_contradictory(&self) -> bool {
        let whole = self.bits.value;
        let low = whole as u32;
        self.u64.0 > self.u64.1
            || self.s64.0 > self.s64.1
            || self.u32.0 > self.u32.1
            || self.s32.0 > self.s32.1
            || (self.bits.is_constant()
                && (self.u64 != (whole, whole) || self.s64 != (whole as i64, whole as i64)))
            || (self.bits.low32().is_constant()
                && (self.u32 != (low, low) || self.s32 != (low as i32, low as i32)))
    }

    /// As the kernel goes on where bounds contradict each other: it does not leave the dead path, it forgets them
    /// (`reg_bounds_sanity_check`).
    #[must_use]
    pub(super) fn or_forgotten(mut self) -> Self {
        if self.is_contradictory() {
            self.forget_64();
            self.forget_32();
        }
        self
    }

    /// Each bound sharpened by the others (`reg_bounds_sync`).
    #[must_use]
    pub fn synchronised(mut self) -> Self {
        self.bounds_from_bits();
        for _ in 0..3 {
            self.low_half_from_whole();
            self.whole_by_sign();
            self.whole_from_low_half();
        }
        self.bits_from_bounds();
        self.bounds_from_bits();
        self
    }

    fn bounds_from_bits(&mut self) {
        self.bounds32_from_bits();
        let (value, mask) = (self.bits.value, self.bits.mask);
        let sign = 1 << 63;
        self.raise_s64(
            (value | (mask & sign)) as i64,
            (value | (mask & !sign)) as i64,
        );
        self.raise_u64(value, value | mask);
    }

    fn bounds32_from_bits(&mut self) {
        let (value, mask) = (self.bits.value as u32, self.bits.mask as u32);
        let sign = 1 << 31;
        self.raise_s32(
            (value | (mask & sign)) as i32,
            (value | (mask & !sign)) as i32,
        );
        self.raise_u32(value, value | mask);
    }

    fn raise_u64(&mut self, min: u64, max: u64) {
        self.u64 = (self.u64.0.max(min), self.u64.1.min(max));
    }

    fn raise_s64(&mut self, min: i64, max: i64) {
        self.s64 = (self.s64.0.max(min), self.s64.1.min(max));
    }

    fn raise_u32(&mut self, min: u32, max: u32) {
        self.u32 = (self.u32.0.max(min), self.u32.1.min(max));
    }

    fn raise_s32(&mut self, min: i32, max: i32) {
        self.s32 = (self.s32.0.max(min), self.s32.1.min(max));
    }

    /// `__reg32_deduce_bounds`
    fn low_half_from_whole(&mut self) {
        let (umin, umax) = self.u64;
        if umin >> 32 == umax >> 32 {
            self.raise_u32(umin as u32, umax as u32);
            if umin as i32 <= umax as i32 {
                self.raise_s32(umin as i32, umax as i32);
            }
        }
        let (smin, smax) = self.s64;
        if smin >> 32 == smax >> 32 {
            if smin as u32 <= smax as u32 {
                self.raise_u32(smin as u32, smax as u32);
            }
            if smin as i32 <= smax as i32 {
                self.raise_s32(smin as i32, smax as i32);
            }
        }
        // The upper halves are two successive numbers while the lower ones pass zero as signed.
        if ((umin >> 32) as u32).wrapping_add(1) == (umax >> 32) as u32
            && (umin as u32 as i32) < 0
            && umax as u32 as i32 >= 0
        {
            self.raise_s32(umin as i32, umax as i32);
        }
        if ((smin >> 32) as u32).wrapping_add(1) == (smax >> 32) as u32
            && (smin as i32) < 0
            && smax as i32 >= 0
        {
            self.raise_s32(smin as i32, smax as i32);
        }
        let (umin, umax) = self.u32;
        if umin as i32 <= umax as i32 {
            self.raise_s32(umin as i32, umax as i32);
        }
        let (smin, smax) = self.s32;
        if smin as u32 <= smax as u32 {
            self.raise_u32(smin as u32, smax as u32);
        }
    }

    /// `__reg64_deduce_bounds`
    fn whole_by_sign(&mut self) {
        let (umin, umax) = self.u64;
        if umin as i64 <= umax as i64 {
            self.raise_s64(umin as i64, umax as i64);
        }
        let (smin, smax) = self.s64;
        if smin as u64 <= smax as u64 {
            self.raise_u64(smin as u64, smax as u64);
        } else if self.u64.1 < smin as u64 {
            // All unsigned values lie in the non-negative part of the signed range.
            self.s64.0 = self.s64.0.max(0);
            self.u64.1 = self.u64.1.min(smax as u64);
        } else if (smax as u64) < self.u64.0 {
            self.s64.1 = self.s64.1.min(-1);
            self.u64.0 = self.u64.0.max(smin as u64);
        }
    }

    /// `__reg_deduce_mixed_bounds`
    fn whole_from_low_half(&mut self) {
        const HIGH: u64 = !0xffff_ffff;
        let (min, max) = self.u32;
        self.raise_u64(
            (self.u64.0 & HIGH) | u64::from(min),
            (self.u64.1 & HIGH) | u64::from(max),
        );
        self.raise_s64(
            ((self.s64.0 as u64 & HIGH) | u64::from(min)) as i64,
            ((self.s64.1 as u64 & HIGH) | u64::from(max)) as i64,
        );
        // A sign-extended 32-bit number.
        if self.s64.0 >= i64::from(i32::MIN) && self.s64.1 <= i64::from(i32::MAX) {
            self.raise_s64(i64::from(self.s32.0), i64::from(self.s32.1));
        }
    }

    fn bits_from_bounds(&mut self) {
        let whole = self.bits.intersect(Tnum::range(self.u64.0, self.u64.1));
        let low = whole
            .low32()
            .intersect(Tnum::range(self.u32.0.into(), self.u32.1.into()));
        self.bits = whole.without_low32().or(low);
    }

    fn forget_64(&mut self) {
        self.u64 = U64_ALL;
        self.s64 = S64_ALL;
    }

    fn forget_32(&mut self) {
        self.u32 = U32_ALL;
        self.s32 = S32_ALL;
    }

    /// Moved by a constant, as linked registers are (`sync_linked_regs`); with `low_half`, of a 32-bit sum.
    #[must_use]
    pub(super) fn moved(mut self, by: i32, low_half: bool) -> Self {
        self.add(&Self::constant(i64::from(by) as u64));
        if low_half {
            self.low_half()
        } else {
            self.synchronised()
        }
    }

    /// The low half, zero-extended (`zext_32_to_64`).
    #[must_use]
    pub fn low_half(mut self) -> Self {
        self.bits = self.bits.low32();
        self.u64 = (self.u32.0.into(), self.u32.1.into());
        self.s64 = if self.s32.0 >= 0 {
            (self.s32.0.into(), self.s32.1.into())
        } else {
            (0, u32::MAX.into())
        };
        self.synchronised()
    }

    /// The low bytes, zero-extended (`coerce_reg_to_size`).
    #[must_use]
    pub fn zero_extend(mut self, size: Size) -> Self {
        if size == Size::B64 {
            return self;
        }
        let mask = (1u64 << size.bits()) - 1;
        self.bits = self.bits.truncate(size.bytes());
        self.u64 = if self.u64.0 & !mask == self.u64.1 & !mask {
            (self.u64.0 & mask, self.u64.1 & mask)
        } else {
            (0, mask)
        };
        self.s64 = (self.u64.0 as i64, self.u64.1 as i64);
        if size.bytes() < 4 {
            self.forget_32();
        }
        self.synchronised()
    }

    /// The low bytes, sign-extended to `width` and then zero-extended (`coerce_reg_to_size_sx`,
    /// `coerce_subreg_to_size_sx`).
    #[must_use]
    pub fn sign_extend(self, size: Size, width: Width) -> Self {
        let extend = |value: u64| -> i64 {
            match size {
                Size::B8 => i64::from(value as i8),
                Size::B16 => i64::from(value as i16),
                Size::B32 => i64::from(value as i32),
                Size::B64 => value as i64,
            }
        };
        let cut = |value: i64| match width {
            Width::W64 => value as u64,
            Width::W32 => u64::from(value as u32),
        };
        if let Some(value) = self.as_constant() {
            return Self::constant(cut(extend(value)));
        }
        let (low, high) = match width {
            Width::W64 => self.s64,
            Width::W32 => (self.s32.0.into(), self.s32.1.into()),
        };
        let extended = if low >> size.bits().min(63) == high >> size.bits().min(63) {
            let (a, b) = (extend(low as u64), extend(high as u64));
            let (min, max) = (a.min(b), a.max(b));
            ((min >= 0) == (max >= 0)).then_some((min, max))
        } else {
            None
        };
        let (min, max) = extended.unwrap_or_else(|| {
            let half = 1i64 << (size.bits().min(63) - 1);
            (-half, half - 1)
        });
        match width {
            Width::W64 => Self::between_signed(min, max),
            Width::W32 => Self {
                s32: (min as i32, max as i32),
                ..Self::UNKNOWN
            }
            .synchronised()
            .low_half(),
        }
    }

    /// `-self`
    #[must_use]
    pub fn negated(&self, width: Width) -> Self {
        Self::constant(0).alu(AluOp::Sub, width, self)
    }

    /// `self OP src` as the kernel's verifier computes it (`adjust_scalar_min_max_vals`).
    #[must_use]
    pub fn alu(&self, op: AluOp, width: Width, src: &Self) -> Self {
        let shift = src
            .as_constant()
            .filter(|&by| by < u64::from(width.bits()))
            .map(|by| by as u32);
        let mut out = *self;
        match (op, shift) {
            (AluOp::Mov, _) => out = *src,
            (AluOp::Add, _) => out.add(src),
            (AluOp::Sub, _) => out.subtract(src),
            (AluOp::Mul, _) => out.multiply(src),
            (AluOp::And, _) => out.and(src),
            (AluOp::Or, _) => out.or(src),
            (AluOp::Xor, _) => out.xor(src),
            (AluOp::Lsh, Some(by)) => out.shift_left(by, width),
            (AluOp::Rsh, Some(by)) => out.shift_right(by, width),
            (AluOp::Arsh, Some(by)) => out.shift_right_signed(by, width),
            (
                AluOp::Lsh
                | AluOp::Rsh
                | AluOp::Arsh
                | AluOp::Div
                | AluOp::SDiv
                | AluOp::Mod
                | AluOp::SMod,
                _,
                // Nothing is known of the upper half either: the kernel stops before it clears it.
            ) => return Self::UNKNOWN,
        }
        match width {
            Width::W32 => out.low_half(),
            Width::W64 => out.synchronised(),
        }
    }

    fn add(&mut self, src: &Self) {
        self.u64 = corners(
            self.u64.0.overflowing_add(src.u64.0),
            self.u64.1.overflowing_add(src.u64.1),
            U64_ALL,
        );
        self.u32 = corners(
            self.u32.0.overflowing_add(src.u32.0),
            self.u32.1.overflowing_add(src.u32.1),
            U32_ALL,
        );
        self.s64 = exact(
            self.s64.0.checked_add(src.s64.0),
            self.s64.1.checked_add(src.s64.1),
            S64_ALL,
        );
        self.s32 = exact(
            self.s32.0.checked_add(src.s32.0),
            self.s32.1.checked_add(src.s32.1),
            S32_ALL,
        );
        self.bits = self.bits.add(src.bits);
    }

    fn subtract(&mut self, src: &Self) {
        self.u64 = corners_down(
            self.u64.0.overflowing_sub(src.u64.1),
            self.u64.1.overflowing_sub(src.u64.0),
            U64_ALL,
        );
        self.u32 = corners_down(
            self.u32.0.overflowing_sub(src.u32.1),
            self.u32.1.overflowing_sub(src.u32.0),
            U32_ALL,
        );
        self.s64 = exact(
            self.s64.0.checked_sub(src.s64.1),
            self.s64.1.checked_sub(src.s64.0),
            S64_ALL,
        );
        self.s32 = exact(
            self.s32.0.checked_sub(src.s32.1),
            self.s32.1.checked_sub(src.s32.0),
            S32_ALL,
        );
        self.bits = self.bits.sub(src.bits);
    }

    fn multiply(&mut self, src: &Self) {
        self.bits = self.bits.mul(src.bits);
        self.u64 = exact(
            self.u64.0.checked_mul(src.u64.0),
            self.u64.1.checked_mul(src.u64.1),
            U64_ALL,
        );
        self.u32 = exact(
            self.u32.0.checked_mul(src.u32.0),
            self.u32.1.checked_mul(src.u32.1),
            U32_ALL,
        );
        let products64 = [
            self.s64.0.checked_mul(src.s64.0),
            self.s64.0.checked_mul(src.s64.1),
            self.s64.1.checked_mul(src.s64.0),
            self.s64.1.checked_mul(src.s64.1),
        ];
        self.s64 = hull(products64).unwrap_or(S64_ALL);
        let products32 = [
            self.s32.0.checked_mul(src.s32.0),
            self.s32.0.checked_mul(src.s32.1),
            self.s32.1.checked_mul(src.s32.0),
            self.s32.1.checked_mul(src.s32.1),
        ];
        self.s32 = hull(products32).unwrap_or(S32_ALL);
    }

    fn and(&mut self, src: &Self) {
        self.bits = self.bits.and(src.bits);
        let low = self.bits.low32();
        self.u32 = (low.value as u32, self.u32.1.min(src.u32.1));
        self.u64 = (self.bits.value, self.u64.1.min(src.u64.1));
        self.after_bitwise();
    }

    fn or(&mut self, src: &Self) {
        self.bits = self.bits.or(src.bits);
        let low = self.bits.low32();
        self.u32 = (self.u32.0.max(src.u32.0), (low.value | low.mask) as u32);
        self.u64 = (self.u64.0.max(src.u64.0), self.bits.value | self.bits.mask);
        self.after_bitwise();
    }

    fn xor(&mut self, src: &Self) {
        self.bits = self.bits.xor(src.bits);
        let low = self.bits.low32();
        self.u32 = (low.value as u32, (low.value | low.mask) as u32);
        self.u64 = (self.bits.value, self.bits.value | self.bits.mask);
        self.after_bitwise();
    }

    /// The signed ranges follow from the unsigned ones where those do not cross the sign.
    fn after_bitwise(&mut self) {
        self.s32 = if self.u32.0 as i32 <= self.u32.1 as i32 {
            (self.u32.0 as i32, self.u32.1 as i32)
        } else {
            S32_ALL
        };
        self.s64 = if self.u64.0 as i64 <= self.u64.1 as i64 {
            (self.u64.0 as i64, self.u64.1 as i64)
        } else {
            S64_ALL
        };
        self.bounds_from_bits();
    }

    fn shift_left(&mut self, by: u32, width: Width) {
        match width {
            Width::W32 => {
                self.s32 = S32_ALL;
                self.u32 = if u64::from(self.u32.1) > 1 << (31 - by) {
                    U32_ALL
                } else {
                    (self.u32.0 << by, self.u32.1 << by)
                };
                self.bits = self.bits.low32().shl(by).low32();
                self.forget_64();
                self.bounds32_from_bits();
            }
            Width::W64 => {
                // clang sign-extends by `<< 32; s>> 32`.
                self.s64 = if by == 32 {
                    (i64::from(self.s32.0) << 32, i64::from(self.s32.1) << 32)
                } else {
                    S64_ALL
                };
                self.u64 = if self.u64.1 > 1 << (63 - by) {
                    U64_ALL
                } else {
                    (self.u64.0 << by, self.u64.1 << by)
                };
                self.bits = self.bits.shl(by);
                self.forget_32();
                self.bounds_from_bits();
            }
        }
    }

    fn shift_right(&mut self, by: u32, width: Width) {
        match width {
            Width::W32 => {
                self.s32 = S32_ALL;
                self.bits = self.bits.low32().shr(by);
                self.u32 = (self.u32.0 >> by, self.u32.1 >> by);
                self.forget_64();
                self.bounds32_from_bits();
            }
            Width::W64 => {
                self.s64 = S64_ALL;
                self.bits = self.bits.shr(by);
                self.u64 = (self.u64.0 >> by, self.u64.1 >> by);
                self.forget_32();
                self.bounds_from_bits();
            }
        }
    }

    fn shift_right_signed(&mut self, by: u32, width: Width) {
        match width {
            Width::W32 => {
                self.s32 = (self.s32.0 >> by, self.s32.1 >> by);
                self.bits = self.bits.low32().sar(by, 32);
                self.u32 = U32_ALL;
                self.forget_64();
                self.bounds32_from_bits();
            }
            Width::W64 => {
                self.s64 = (self.s64.0 >> by, self.s64.1 >> by);
                self.bits = self.bits.sar(by, 64);
                self.u64 = U64_ALL;
                self.forget_32();
                self.bounds_from_bits();
            }
        }
    }
}

/// Sums wrap for all members or for none, or the range is lost.
#[allow(clippy::needless_pass_by_value, reason = "numbers")]
fn corners<T>((min, low_wraps): (T, bool), (max, high_wraps): (T, bool), all: (T, T)) -> (T, T) {
    if !low_wraps && high_wraps {
        all
    } else {
        (min, max)
    }
}

/// Differences wrap for all members or for none, or the range is lost.
#[allow(clippy::needless_pass_by_value, reason = "numbers")]
fn corners_down<T>(
    (min, low_wraps): (T, bool),
    (max, high_wraps): (T, bool),
    all: (T, T),
) -> (T, T) {
    if low_wraps && !high_wraps {
        all
    } else {
        (min, max)
    }
}

fn exact<T>(min: Option<T>, max: Option<T>, all: (T, T)) -> (T, T) {
    min.zip(max).unwrap_or(all)
}

fn hull<T: Ord + Copy>(products: [Option<T>; 4]) -> Option<(T, T)> {
    let [a, b, c, d] = products;
    let (a, b, c, d) = (a?, b?, c?, d?);
    Some((a.min(b).min(c).min(d), a.max(b).max(c).max(d)))
}

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
pub(super) fn refine_alone(op: CmpOp, holds: bool, width: Width, number: Range) -> Range {
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
        (CmpOp::Le, true) | (CmpOp::Gt, false) => at_most(width, left, right),
        (CmpOp::Ge, true) | (CmpOp::Lt, false) => at_most(width, right, left),
        (CmpOp::Lt, true) | (CmpOp::Ge, false) => below(width, left, right),
        (CmpOp::Gt, true) | (CmpOp::Le, false) => below(width, right, left),
        (CmpOp::SLe, true) | (CmpOp::SGt, false) => at_most_signed(width, left, right),
        (CmpOp::SGe, true) | (CmpOp::SLt, false) => at_most_signed(width, right, left),
        (CmpOp::SLt, true) | (CmpOp::SGe, false) => below_signed(width, left, right),
        (CmpOp::SGt, true) | (CmpOp::SLe, false) => below_signed(width, right, left),
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
    fn shrink<T: PartialEq + Copy>(
        (min, max): &mut (T, T),
        value: T,
        up: impl Fn(T) -> Option<T>,
        down: impl Fn(T) -> Option<T>,
    ) {
        if *min == value {
            *min = up(value).unwrap_or(value);
        }
        if *max == value {
            *max = down(value).unwrap_or(value);
        }
    }
    match width {
        Width::W32 => {
            let value = constant.u32.0;
            shrink(
                &mut range.u32,
                value,
                |v| v.checked_add(1),
                |v| v.checked_sub(1),
            );
            let value = value as i32;
            shrink(
                &mut range.s32,
                value,
                |v| v.checked_add(1),
                |v| v.checked_sub(1),
            );
        }
        Width::W64 => {
            let value = constant.u64.0;
            shrink(
                &mut range.u64,
                value,
                |v| v.checked_add(1),
                |v| v.checked_sub(1),
            );
            let value = value as i64;
            shrink(
                &mut range.s64,
                value,
                |v| v.checked_add(1),
                |v| v.checked_sub(1),
            );
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

fn at_most(width: Width, small: &mut Range, large: &mut Range) {
    match width {
        Width::W32 => {
            small.u32.1 = small.u32.1.min(large.u32.1);
            large.u32.0 = large.u32.0.max(small.u32.0);
        }
        Width::W64 => {
            small.u64.1 = small.u64.1.min(large.u64.1);
            large.u64.0 = large.u64.0.max(small.u64.0);
        }
    }
}

// Where the strict forms saturate, `decide` has already said that the branch cannot be taken.
fn below(width: Width, small: &mut Range, large: &mut Range) {
    match width {
        Width::W32 => {
            small.u32.1 = small.u32.1.min(large.u32.1.saturating_sub(1));
            large.u32.0 = large.u32.0.max(small.u32.0.saturating_add(1));
        }
        Width::W64 => {
            small.u64.1 = small.u64.1.min(large.u64.1.saturating_sub(1));
            large.u64.0 = large.u64.0.max(small.u64.0.saturating_add(1));
        }
    }
}

fn at_most_signed(width: Width, small: &mut Range, large: &mut Range) {
    match width {
        Width::W32 => {
            small.s32.1 = small.s32.1.min(large.s32.1);
            large.s32.0 = large.s32.0.max(small.s32.0);
        }
        Width::W64 => {
            small.s64.1 = small.s64.1.min(large.s64.1);
            large.s64.0 = large.s64.0.max(small.s64.0);
        }
    }
}

fn below_signed(width: Width, small: &mut Range, large: &mut Range) {
    match width {
        Width::W32 => {
            small.s32.1 = small.s32.1.min(large.s32.1.saturating_sub(1));
            large.s32.0 = large.s32.0.max(small.s32.0.saturating_add(1));
        }
        Width::W64 => {
            small.s64.1 = small.s64.1.min(large.s64.1.saturating_sub(1));
            large.s64.0 = large.s64.0.max(small.s64.0.saturating_add(1));
        }
    }
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;
