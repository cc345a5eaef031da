//! What is known of a number: its bits and its ranges, as 64 and as 32 bits, signed and unsigned.
//!
//! The kernel's domain (kernel/bpf/verifier.c, Linux 6.18: `reg_bounds_sync`, `adjust_scalar_min_max_vals`,
//! `regs_refine_cond_op`), with the kernel's precision and no more: a program that passes because of a
//! sharper bound here would be refused there.

mod arithmetic;
mod compare;

use crate::isa::{Size, Width};

use super::tnum::Tnum;
pub(super) use compare::refine_alone;
pub use compare::{decide, refine};

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
        if self == Self::UNKNOWN || self == Self::constant(self.bits.value) {
            return self;
        }
        for _ in 0..3 {
            let before = self;
            self.low_half_from_whole();
            self.whole_by_sign();
            self.whole_from_low_half();
            if self == before {
                break;
            }
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
        // A sign-extended 32-bit number. The kernel replaces what it knew of the whole, even where that was more: a
        // program that needs more is refused.
        let fits = self.s64.0 >= i64::from(i32::MIN) && self.s64.1 <= i64::from(i32::MAX);
        if fits && self.s32.0 >= 0 {
            let (min, max) = (self.s32.0 as u32, self.s32.1 as u32);
            self.s64 = (i64::from(min), i64::from(max));
            self.u64 = (u64::from(min), u64::from(max));
            self.bits = self.bits.intersect(Tnum::range(min.into(), max.into()));
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
}

#[cfg(test)]
mod tests;
