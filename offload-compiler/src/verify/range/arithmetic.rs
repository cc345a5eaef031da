//! Arithmetic on ranges (`adjust_scalar_min_max_vals`).

use crate::isa::{AluOp, Width};

use super::{Range, S32_ALL, S64_ALL, U32_ALL, U64_ALL};

impl Range {
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

    pub(super) fn add(&mut self, src: &Self) {
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
