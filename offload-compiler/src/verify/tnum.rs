//! Tristate numbers: 64 bits of which each is 0, 1 or unknown.
//!
//! The domain of kernel/bpf/tnum.c (Linux 6.18); its soundness is proved in "Sound, Precise, and Fast
//! Abstract Interpretation with Tristate Numbers" (CGO 2022). Every operation contains all results of
//! the concrete operation on members of its operands; the tests check that exhaustively on 4 bits.

/// Bits known (`value`) and unknown (`mask`); `value & mask == 0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tnum {
    /// The known bits; 0 where unknown.
    pub value: u64,
    /// 1 where the bit is unknown.
    pub mask: u64,
}

impl Tnum {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        value: 0,
        mask: u64::MAX,
    };

    /// Just `value`.
    pub const fn constant(value: u64) -> Self {
        Self { value, mask: 0 }
    }

    /// All numbers between `min` and `max`, as far as bits can say it.
    pub const fn range(min: u64, max: u64) -> Self {
        let differing = 64 - (min ^ max).leading_zeros();
        if differing > 63 {
            return Self::UNKNOWN;
        }
        let mask = (1 << differing) - 1;
        Self {
            value: min & !mask,
            mask,
        }
    }

    /// Whether it is a single number.
    pub const fn is_constant(self) -> bool {
        self.mask == 0
    }

    /// Whether every member of `inner` is a member of `self`.
    pub const fn contains(self, inner: Self) -> bool {
        inner.mask & !self.mask == 0 && inner.value & !self.mask == self.value
    }

    /// Whether all members are multiples of `size`, a power of two or 0.
    pub const fn is_aligned(self, size: u64) -> bool {
        size == 0 || (self.value | self.mask) & (size - 1) == 0
    }

    /// Shift left by a constant below 64.
    #[must_use]
    pub const fn shl(self, by: u32) -> Self {
        Self {
            value: self.value << by,
            mask: self.mask << by,
        }
    }

    /// Logical shift right by a constant below 64.
    #[must_use]
    pub const fn shr(self, by: u32) -> Self {
        Self {
            value: self.value >> by,
            mask: self.mask >> by,
        }
    }

    /// Arithmetic shift right by a constant below `bits`, of numbers of `bits` (32 or 64) bits.
    #[must_use]
    pub const fn sar(self, by: u32, bits: u32) -> Self {
        if bits == 32 {
            Self {
                value: (((self.value as i32) >> by) as u32) as u64,
                mask: (((self.mask as i32) >> by) as u32) as u64,
            }
        } else {
            Self {
                value: ((self.value as i64) >> by) as u64,
                mask: ((self.mask as i64) >> by) as u64,
            }
        }
    }

    /// Sum, modulo 2^64.
    #[must_use]
    pub const fn add(self, other: Self) -> Self {
        let masks = self.mask.wrapping_add(other.mask);
        let values = self.value.wrapping_add(other.value);
        let sigma = masks.wrapping_add(values);
        let carries = sigma ^ values;
        let mask = carries | self.mask | other.mask;
        Self {
            value: values & !mask,
            mask,
        }
    }

    /// Difference, modulo 2^64.
    #[must_use]
    pub const fn sub(self, other: Self) -> Self {
        let difference = self.value.wrapping_sub(other.value);
        let alpha = difference.wrapping_add(self.mask);
        let beta = difference.wrapping_sub(other.mask);
        let mask = (alpha ^ beta) | self.mask | other.mask;
        Self {
            value: difference & !mask,
            mask,
        }
    }

    /// 0 - self.
    #[must_use]
    pub const fn neg(self) -> Self {
        Self::constant(0).sub(self)
    }

    /// Bitwise and.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        let alpha = self.value | self.mask;
        let beta = other.value | other.mask;
        let value = self.value & other.value;
        Self {
            value,
            mask: alpha & beta & !value,
        }
    }

    /// Bitwise or.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        let value = self.value | other.value;
        let mask = self.mask | other.mask;
        Self {
            value,
            mask: mask & !value,
        }
    }

    /// Bitwise exclusive or.
    #[must_use]
    pub const fn xor(self, other: Self) -> Self {
        let value = self.value ^ other.value;
        let mask = self.mask | other.mask;
        Self {
            value: value & !mask,
            mask,
        }
    }

    /// Product, modulo 2^64.
    #[must_use]
    pub const fn mul(self, other: Self) -> Self {
        let product = self.value.wrapping_mul(other.value);
        let (mut a, mut b) = (self, other);
        let mut unknown = Self::constant(0);
        while a.value != 0 || a.mask != 0 {
            if a.value & 1 != 0 {
                unknown = unknown.add(Self {
                    value: 0,
                    mask: b.mask,
                });
            } else if a.mask & 1 != 0 {
                unknown = unknown.add(Self {
                    value: 0,
                    mask: b.value | b.mask,
                });
            }
            a = a.shr(1);
            b = b.shl(1);
        }
        Self::constant(product).add(unknown)
    }

    /// What is in both; meaningful only where they share a member.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Self {
        let value = self.value | other.value;
        let mask = self.mask & other.mask;
        Self {
            value: value & !mask,
            mask,
        }
    }

    /// Whether no bit that both know tells them apart.
    pub const fn overlaps(self, other: Self) -> bool {
        let known = !self.mask & !other.mask;
        self.value & known == other.value & known
    }

    /// All members of both, and perhaps more.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        let mask = self.mask | other.mask | (self.value ^ other.value);
        Self {
            value: self.value & !mask,
            mask,
        }
    }

    /// The low `bytes` bytes, zero-extended.
    #[must_use]
    pub const fn truncate(self, bytes: u32) -> Self {
        if bytes >= 8 {
            return self;
        }
        let keep = (1u64 << (bytes * 8)) - 1;
        Self {
            value: self.value & keep,
            mask: self.mask & keep,
        }
    }

    /// The low 32 bits, zero-extended.
    #[must_use]
    pub const fn low32(self) -> Self {
        self.truncate(4)
    }

    /// The high 32 bits in place, low ones 0.
    #[must_use]
    pub const fn without_low32(self) -> Self {
        Self {
            value: self.value & !0xffff_ffff,
            mask: self.mask & !0xffff_ffff,
        }
    }

    /// The high half of `self` with the low half of `low`.
    #[must_use]
    pub const fn with_low32(self, low: Self) -> Self {
        self.without_low32().or(low.low32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BITS: u64 = 4;

    fn all() -> impl Iterator<Item = Tnum> {
        (0..1 << BITS).flat_map(|mask| {
            (0..1u64 << BITS)
                .filter(move |value| value & mask == 0)
                .map(move |value| Tnum { value, mask })
        })
    }

    fn members(t: Tnum) -> impl Iterator<Item = u64> {
        (0..1u64 << BITS).filter(move |&x| t.contains(Tnum::constant(x)))
    }

    fn sound(concrete: impl Fn(u64, u64) -> u64, on_tnums: impl Fn(Tnum, Tnum) -> Tnum) {
        for a in all() {
            for b in all() {
                let result = on_tnums(a, b);
                assert_eq!(result.value & result.mask, 0);
                for x in members(a) {
                    for y in members(b) {
                        let exact = concrete(x, y);
                        assert!(
                            result.contains(Tnum::constant(exact)),
                            "{a:?} {b:?}: {x} {y} gives {exact}, not in {result:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn operations_contain_every_concrete_result() {
        sound(u64::wrapping_add, Tnum::add);
        sound(u64::wrapping_sub, Tnum::sub);
        sound(u64::wrapping_mul, Tnum::mul);
        sound(|a, b| a & b, Tnum::and);
        sound(|a, b| a | b, Tnum::or);
        sound(|a, b| a ^ b, Tnum::xor);
        sound(|a, _| a.wrapping_neg(), |a, _| a.neg());
        sound(|a, _| a, Tnum::union);
        sound(|_, b| b, Tnum::union);
    }

    #[test]
    fn range_contains_its_ends_and_all_between() {
        for min in 0..40u64 {
            for max in min..40 {
                let t = Tnum::range(min, max);
                assert!((min..=max).all(|x| t.contains(Tnum::constant(x))));
            }
        }
        assert_eq!(Tnum::range(0, u64::MAX), Tnum::UNKNOWN);
    }

    #[test]
    fn intersection_keeps_common_members() {
        for a in all() {
            for b in all() {
                for x in members(a).filter(|&x| b.contains(Tnum::constant(x))) {
                    assert!(a.intersect(b).contains(Tnum::constant(x)));
                }
            }
        }
    }

    #[test]
    fn arithmetic_shift_repeats_the_sign() {
        let t = Tnum::constant(0x8000_0000);
        assert_eq!(t.sar(4, 32), Tnum::constant(0xf800_0000));
        assert_eq!(t.sar(4, 64), Tnum::constant(0x0800_0000));
    }
}
