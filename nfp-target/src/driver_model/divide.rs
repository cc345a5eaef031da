//! Division by a constant: a multiplication by its reciprocal (`wrp_div_imm`; lib/math/reciprocal_div.c, Linux 6.12).

/// How the driver divides by a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Division {
    /// As it should.
    Right,
    /// The last word shifts by what the word before has in its A operand, which is another instruction's or a step of
    /// a multiplication.
    Undefined,
    /// The same, and the word before adds: the shift is by what it adds to. The field is the upper half of the
    /// product with this.
    Wide { magic: u32 },
}

impl Division {
    pub(super) fn by(divisor: u64) -> Division {
        let Some(divisor) = u32::try_from(divisor).ok().filter(|&divisor| divisor != 0) else {
            return Division::Right;
        };
        if divisor > 1 << 31 {
            return Division::Right;
        }
        let mut reciprocal = Reciprocal::of(divisor, 32);
        let exponent = reciprocal.exponent;
        if reciprocal.wide && divisor & 1 == 0 {
            let before = divisor.trailing_zeros();
            reciprocal = Reciprocal::of(divisor >> before, 32 - before);
        }
        if divisor == 1 << exponent {
            return if exponent == 0 {
                Division::Undefined
            } else {
                Division::Right
            };
        }
        match (reciprocal.wide, reciprocal.shift) {
            (true, 1) => Division::Wide {
                magic: reciprocal.magic,
            },
            (false, 0) => Division::Undefined,
            _ => Division::Right,
        }
    }
}

/// `struct reciprocal_value_adv`
struct Reciprocal {
    magic: u32,
    shift: u32,
    exponent: u32,
    wide: bool,
}

impl Reciprocal {
    /// `reciprocal_value_adv`; the divisor is 1 to 2^31.
    fn of(divisor: u32, precision: u32) -> Reciprocal {
        let exponent = u32::BITS - (divisor - 1).leading_zeros();
        let one = 1_u64 << (32 + exponent);
        let mut low = one / u64::from(divisor);
        let mut high = (one + (1 << (32 + exponent - precision))) / u64::from(divisor);
        let mut shift = exponent;
        while shift > 0 && low >> 1 < high >> 1 {
            low >>= 1;
            high >>= 1;
            shift -= 1;
        }
        Reciprocal {
            magic: high as u32,
            shift,
            exponent,
            wide: high > u32::MAX.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Division;

    #[test]
    fn divisors_whose_last_shift_is_0() {
        for divisor in [1, 28, 56, 641] {
            assert_eq!(Division::by(divisor), Division::Undefined, "{divisor}");
        }
        for divisor in [2, 3, 7, 10, 1000, 1 << 31, u32::MAX.into(), 1 << 32] {
            assert_eq!(Division::by(divisor), Division::Right, "{divisor}");
        }
    }
}
