//! Operands: what may stand in an instruction's A and B fields and as its destination.
//!
//! The A field reads general registers of bank A, the B field those of bank B; all other operands may stand in
//! either. So two general registers of one bank never meet in one instruction, and which field an operand is in
//! follows from the operands: [`place`] tells.

use std::fmt;

use super::encode::EncodeError;

/// Bank of a general register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bank {
    /// Read through the A field.
    A,
    /// Read through the B field.
    B,
}

/// A source operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operand {
    /// None, where the operation takes none. In the word it is register 0.
    None,
    /// General register, 0 to 31 with four threads.
    Gpr(Bank, u8),
    /// Transfer register, 0 to 31: read from memory's side, written towards it.
    Transfer(u8),
    /// Word of local memory.
    Local(Local),
    /// Constant, 0 to 255; 0 to 127 in memory commands.
    Immediate(u8),
}

/// Where a result goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Destination {
    /// Nowhere; condition codes only.
    None,
    /// General register, 0 to 31.
    Gpr(Bank, u8),
    /// Transfer register, 0 to 31.
    Transfer(u8),
    /// Word of local memory.
    Local(Local),
}

/// A word of local memory, through one of the four pointers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Local {
    /// Which pointer, 0 to 3. The sources of one instruction all use 0 and 1, or all 2 and 3.
    pub pointer: u8,
    /// Which word.
    pub index: LocalIndex,
}

/// Which word from the pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LocalIndex {
    /// Pointer OR 4 times this, 0 to 15; 0 to 7 in the restricted form.
    Word(u8),
    /// At the pointer, which is then 4 more. Not in the restricted form.
    PostIncrement,
    /// At the pointer, which is then 4 less. Not in the restricted form; not seen in use.
    PostDecrement,
}

impl From<Destination> for Operand {
    /// The operand that reads what was written; [`Destination::None`] reads as no operand.
    fn from(destination: Destination) -> Operand {
        match destination {
            Destination::None => Operand::None,
            Destination::Gpr(bank, number) => Operand::Gpr(bank, number),
            Destination::Transfer(number) => Operand::Transfer(number),
            Destination::Local(local) => Operand::Local(local),
        }
    }
}

impl Operand {
    /// The bank that this operand must be read from, if it is a general register.
    pub fn bank(self) -> Option<Bank> {
        match self {
            Operand::Gpr(bank, _) => Some(bank),
            _ => None,
        }
    }
}

/// Puts left and right operand into the A and B fields: (A, B, swapped). Left goes to A where it may.
///
/// # Errors
/// [`EncodeError::SameBank`] for two general registers of one bank.
pub fn place(left: Operand, right: Operand) -> Result<(Operand, Operand, bool), EncodeError> {
    match (left.bank(), right.bank()) {
        (Some(one), Some(other)) if one == other => Err(EncodeError::SameBank(one)),
        (Some(Bank::B), _) | (_, Some(Bank::A)) => Ok((right, left, true)),
        _ => Ok((left, right, false)),
    }
}

/// The disassembler's text.
impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::None => f.write_str("--"),
            Operand::Gpr(Bank::A, number) => write!(f, "gprA_{number}"),
            Operand::Gpr(Bank::B, number) => write!(f, "gprB_{number}"),
            Operand::Transfer(number) => write!(f, "$xfer_{number}"),
            Operand::Local(Local { pointer, index }) => {
                write!(f, "*l$index{pointer}")?;
                match index {
                    LocalIndex::Word(0) => Ok(()),
                    LocalIndex::Word(word) => write!(f, "[{word}]"),
                    LocalIndex::PostIncrement => f.write_str("++"),
                    LocalIndex::PostDecrement => f.write_str("--"),
                }
            }
            Operand::Immediate(value) => write!(f, "{value:#x}"),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Operand::from(*self).fmt(f)
    }
}

/// The codes of operands in the unrestricted (10 bit) and the restricted (8 bit) form.
pub(super) mod code {
    use super::{Bank, EncodeError, Local, LocalIndex, Operand};
    use crate::isa::decode::DecodeError;

    /// Code for "no destination" in the 10 bit form: an immediate 0.
    pub(in crate::isa) const WIDE_NOWHERE: u64 = 0x300;
    /// The same in the 8 bit form.
    pub(in crate::isa) const NARROW_NOWHERE: u64 = 0x20;

    const WIDE_TRANSFER: u64 = 0x180;
    const WIDE_LOCAL: u64 = 0x200;
    const WIDE_IMMEDIATE: u64 = 0x300;
    const NARROW_IMMEDIATE: u64 = 0x20;
    const NARROW_LOCAL: u64 = 0x50;
    const NARROW_TRANSFER: u64 = 0x80;

    /// An operand's code, and what it asks of bits elsewhere in the word.
    #[derive(Debug, Clone, Copy, Default)]
    pub(in crate::isa) struct Code {
        pub(in crate::isa) bits: u64,
        /// Whether a local memory pointer is 2 or 3; none without a pointer.
        pub(in crate::isa) pointer_high: Option<bool>,
        /// Whether an immediate of the restricted form is 128 or more; none without an immediate.
        pub(in crate::isa) immediate_high: Option<bool>,
    }

    /// The code in the 10 bit field that reads `field`'s bank.
    pub(in crate::isa) fn wide(operand: Operand, field: Bank) -> Result<Code, EncodeError> {
        let (bits, pointer) = match operand {
            Operand::None => (0, None),
            Operand::Gpr(bank, number) => (gpr(bank, number, field)?, None),
            Operand::Transfer(number) => (WIDE_TRANSFER + transfer(number)?, None),
            Operand::Local(Local { pointer, index }) => {
                let word = match index {
                    LocalIndex::Word(word @ 0..=15) => u64::from(word),
                    LocalIndex::Word(word) => {
                        return Err(EncodeError::LocalIndex { word, limit: 15 });
                    }
                    LocalIndex::PostIncrement => 0x10,
                    LocalIndex::PostDecrement => 0x11,
                };
                (
                    WIDE_LOCAL + 0x20 * u64::from(pointer & 1) + word,
                    Some(pointer),
                )
            }
            Operand::Immediate(value) => (WIDE_IMMEDIATE + u64::from(value), None),
        };
        Ok(Code {
            bits,
            pointer_high: pointer_high(pointer)?,
            immediate_high: None,
        })
    }

    /// The code in the 8 bit field that reads `field`'s bank.
    pub(in crate::isa) fn narrow(operand: Operand, field: Bank) -> Result<Code, EncodeError> {
        let mut immediate_high = None;
        let (bits, pointer) = match operand {
            Operand::None => (0, None),
            Operand::Gpr(bank, number) => (gpr(bank, number, field)?, None),
            Operand::Transfer(number) => (NARROW_TRANSFER + transfer(number)?, None),
            Operand::Local(Local { pointer, index }) => match index {
                LocalIndex::Word(word @ 0..=7) => (
                    NARROW_LOCAL + 8 * u64::from(pointer & 1) + u64::from(word),
                    Some(pointer),
                ),
                LocalIndex::Word(word) => return Err(EncodeError::LocalIndex { word, limit: 7 }),
                LocalIndex::PostIncrement | LocalIndex::PostDecrement => {
                    return Err(EncodeError::PostChange);
                }
            },
            Operand::Immediate(value) => {
                let value = u64::from(value);
                immediate_high = Some(value & 0x80 != 0);
                ((value & 0x60) << 1 | NARROW_IMMEDIATE | value & 0x1f, None)
            }
        };
        Ok(Code {
            bits,
            pointer_high: pointer_high(pointer)?,
            immediate_high,
        })
    }

    fn gpr(bank: Bank, number: u8, field: Bank) -> Result<u64, EncodeError> {
        if bank != field {
            return Err(EncodeError::WrongBank(bank));
        }
        if number > 31 {
            Err(EncodeError::Register(number))
        } else {
            Ok(u64::from(number))
        }
    }

    fn transfer(number: u8) -> Result<u64, EncodeError> {
        if number > 31 {
            Err(EncodeError::Register(number))
        } else {
            Ok(u64::from(number))
        }
    }

    fn pointer_high(pointer: Option<u8>) -> Result<Option<bool>, EncodeError> {
        match pointer {
            Some(pointer @ 4..) => Err(EncodeError::Pointer(pointer)),
            pointer => Ok(pointer.map(|pointer| pointer >= 2)),
        }
    }

    /// The operand of a 10 bit code.
    pub(in crate::isa) fn from_wide(
        bits: u64,
        field: Bank,
        pointer_high: bool,
    ) -> Result<Operand, DecodeError> {
        let low = bits as u8;
        Ok(match bits {
            0..=0x1f => Operand::Gpr(field, low),
            0x180..=0x19f => Operand::Transfer(low & 0x1f),
            0x200..=0x23f => {
                let index = match low & 0x1f {
                    word @ 0..=0xf => LocalIndex::Word(word),
                    0x10 => LocalIndex::PostIncrement,
                    0x11 => LocalIndex::PostDecrement,
                    _ => return Err(DecodeError::Operand(bits as u16)),
                };
                Operand::Local(Local {
                    pointer: low >> 5 & 1 | u8::from(pointer_high) << 1,
                    index,
                })
            }
            0x300..=0x3ff => Operand::Immediate(low),
            _ => return Err(DecodeError::Operand(bits as u16)),
        })
    }

    /// The operand of an 8 bit code.
    pub(in crate::isa) fn from_narrow(
        bits: u64,
        field: Bank,
        pointer_high: bool,
        immediate_high: bool,
    ) -> Result<Operand, DecodeError> {
        let low = bits as u8;
        Ok(match low {
            0..=0x1f => Operand::Gpr(field, low),
            low if low & 0x20 != 0 => {
                Operand::Immediate(low & 0x1f | (low & 0xc0) >> 1 | u8::from(immediate_high) << 7)
            }
            0x50..=0x5f => Operand::Local(Local {
                pointer: low >> 3 & 1 | u8::from(pointer_high) << 1,
                index: LocalIndex::Word(low & 7),
            }),
            0x80..=0x9f => Operand::Transfer(low & 0x1f),
            _ => return Err(DecodeError::Operand(bits as u16)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn general_registers_decide_the_fields() {
        let (a, b) = (Operand::Gpr(Bank::A, 1), Operand::Gpr(Bank::B, 2));
        let constant = Operand::Immediate(3);
        assert_eq!(place(a, b), Ok((a, b, false)));
        assert_eq!(place(b, a), Ok((a, b, true)));
        assert_eq!(place(constant, a), Ok((a, constant, true)));
        assert_eq!(place(constant, b), Ok((constant, b, false)));
        assert_eq!(place(a, a), Err(EncodeError::SameBank(Bank::A)));
    }
}
