//! From homes to operands.

use super::{
    Address, Bank, Destination, Emission, FIXED, Home, Operand, Place, Reg, Result, Source, To,
    local,
};

/// What a source may be read as: one operand, or one of each bank.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    first: Operand,
    second: Option<Operand>,
}

impl Operands {
    pub(super) fn iter(self) -> impl Iterator<Item = Operand> {
        std::iter::once(self.first).chain(self.second)
    }
}

impl Emission<'_> {
    pub(super) fn home(&self, reg: Reg) -> Home {
        self.homes[reg as usize]
    }

    /// The operands that a source may be read as.
    pub(super) fn operands(&self, source: Source) -> Result<Operands> {
        let first = match source {
            Source::None => Operand::None,
            Source::Reg(reg) => match self.home(reg) {
                Home::One(bank, number) => Operand::Gpr(bank, number),
                Home::Both(number) => {
                    return Ok(Operands {
                        first: Operand::Gpr(Bank::A, number),
                        second: Some(Operand::Gpr(Bank::B, number)),
                    });
                }
                Home::Local(word) => Operand::Local(local(0, word)),
                _ => return self.internal("a word without a home"),
            },
            Source::Transfer(reg, index) => match self.home(reg) {
                Home::Transfer(first) => Operand::Transfer(first + index),
                _ => return self.internal("transfer registers without a home"),
            },
            Source::Number(number) => Operand::Immediate(number),
            Source::Length => Operand::Gpr(Bank::B, FIXED),
            Source::Frame => Operand::Gpr(Bank::A, FIXED),
            Source::Vector(word) => Operand::Local(local(1, word)),
            Source::Constant(_) => return self.internal("a large number as an operand"),
        };
        Ok(Operands {
            first,
            second: None,
        })
    }

    pub(super) fn operand(&self, source: Source) -> Result<Operand> {
        Ok(self.operands(source)?.first)
    }

    /// Two operands that can be read together.
    pub(super) fn pair(&self, left: Source, right: Source) -> Result<(Operand, Operand)> {
        let (lefts, rights) = (self.operands(left)?, self.operands(right)?);
        for left in lefts.iter() {
            for right in rights.iter() {
                if left.bank().is_none() || left.bank() != right.bank() {
                    return Ok((left, right));
                }
            }
        }
        self.internal("two registers of one bank")
    }

    /// An operand that the field of this bank reads.
    pub(super) fn in_bank(&self, source: Source, bank: Bank) -> Result<Operand> {
        let operands = self.operands(source)?;
        match operands
            .iter()
            .find(|operand| operand.bank().is_none_or(|is| is == bank))
        {
            Some(operand) => Ok(operand),
            None => self.internal("a register in the wrong bank"),
        }
    }

    pub(super) fn destination(&self, to: To) -> Result<(Destination, bool)> {
        Ok(match to {
            To::Nothing => (Destination::None, false),
            To::Reg(reg) => return self.destination_of(self.home(reg)),
            To::Transfer(reg, index) => match self.home(reg) {
                Home::Transfer(first) => (Destination::Transfer(first + index), false),
                _ => return self.internal("transfer registers without a home"),
            },
            To::Local(word) => (Destination::Local(local(0, word)), false),
            To::Vector(word) => (Destination::Local(local(1, word)), false),
            To::Length => (Destination::Gpr(Bank::B, FIXED), false),
            To::Fixed(bank, number) => (Destination::Gpr(bank, number), false),
            To::Both(number) => (Destination::Gpr(Bank::A, number), true),
        })
    }

    pub(super) fn destination_of(&self, home: Home) -> Result<(Destination, bool)> {
        Ok(match home {
            Home::One(bank, number) => (Destination::Gpr(bank, number), false),
            Home::Both(number) => (Destination::Gpr(Bank::A, number), true),
            Home::Local(word) => (Destination::Local(local(0, word)), false),
            _ => return self.internal("a result without a home"),
        })
    }

    pub(super) fn operand_of(&self, home: Home) -> Result<Operand> {
        Ok(match home {
            Home::One(bank, number) => Operand::Gpr(bank, number),
            Home::Both(number) => Operand::Gpr(Bank::A, number),
            Home::Local(word) => Operand::Local(local(0, word)),
            _ => return self.internal("a word without a home"),
        })
    }

    pub(super) fn address(&self, place: Place) -> Result<Address> {
        Ok(match place {
            Place::Packet(base, offset) => Address::Sum {
                base: self.in_bank(base, Bank::A)?,
                offset: self.in_bank(offset, Bank::B)?,
            },
            Place::MapValue(high, low) => Address::HighB {
                high: self.in_bank(high, Bank::B)?,
                low: self.in_bank(low, Bank::A)?,
            },
        })
    }

    pub(super) fn first(&self, row: Reg) -> Result<u8> {
        match self.home(row) {
            Home::Transfer(first) => Ok(first),
            _ => self.internal("transfer registers without a home"),
        }
    }
}
