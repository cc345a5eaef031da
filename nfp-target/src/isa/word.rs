//! The 64 bits of a word, and where the fields of each instruction class lie.

use super::reloc::Relocation;

/// Bits that hold the instruction: 0..44.
pub const INSTRUCTION_BITS: u64 = (1 << 45) - 1;

/// A word as the driver's dump has it: the instruction in bits 0..44, the relocation kind in bits 56..63, the
/// rest 0 (drivers/net/ethernet/netronome/nfp/bpf/main.h, Linux 6.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Word {
    /// The instruction, bits 0..44.
    pub instruction: u64,
    /// What is done to it when the program is loaded.
    pub relocation: Relocation,
}

/// A number that is no dumped word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoWord {
    /// Bits 45..55 are not 0.
    #[error("bits 45 to 55 are not 0: a loaded image carries its ECC there, a dump does not")]
    StrayBits,
    /// Bits 56..63 name no kind.
    #[error("relocation kind {0} is unknown: kinds are 0 to 8")]
    Relocation(u8),
}

impl Word {
    /// A word that loads as it is.
    pub fn plain(instruction: u64) -> Word {
        Word {
            instruction: instruction & INSTRUCTION_BITS,
            relocation: Relocation::None,
        }
    }

    /// Takes the 64 bits of a dump apart.
    pub fn from_bits(bits: u64) -> Result<Word, NoWord> {
        let kind = (bits >> 56) as u8;
        let relocation = Relocation::from_kind(kind).ok_or(NoWord::Relocation(kind))?;
        if bits & !INSTRUCTION_BITS & !(0xff << 56) != 0 {
            return Err(NoWord::StrayBits);
        }
        Ok(Word {
            instruction: bits & INSTRUCTION_BITS,
            relocation,
        })
    }

    /// The 64 bits of a dump.
    pub fn to_bits(self) -> u64 {
        self.instruction & INSTRUCTION_BITS | u64::from(self.relocation.kind()) << 56
    }
}

/// Some neighbouring bits of a word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    low: u32,
    width: u32,
}

impl Field {
    const fn new(high: u32, low: u32) -> Field {
        Field {
            low,
            width: high - low + 1,
        }
    }

    pub(super) const fn get(self, word: u64) -> u64 {
        word >> self.low & ((1 << self.width) - 1)
    }

    pub(super) const fn is_set(self, word: u64) -> bool {
        self.get(word) != 0
    }

    /// The value at its place; bits that do not fit are cut off, and the caller has checked that there are none.
    pub(super) const fn put(self, value: u64) -> u64 {
        (value & ((1 << self.width) - 1)) << self.low
    }
}

/// Bits 39..35 tell the class; bit 39 = 0 is a memory command.
pub(super) mod class {
    use super::Field;

    pub(in crate::isa) const FIELD: Field = Field::new(39, 35);
    /// The two upper bits are the class, 36 is the destination's bank and 35 belongs to the operation.
    pub(in crate::isa) const SHIFT: u64 = 0b10000;
    pub(in crate::isa) const ALU: u64 = 0b10100;
    pub(in crate::isa) const LOAD_FIELD: u64 = 0b11000;
    pub(in crate::isa) const BRANCH_BIT: u64 = 0b11010;
    pub(in crate::isa) const BRANCH: u64 = 0b11011;
    pub(in crate::isa) const RETURN: u64 = 0b11101;
    pub(in crate::isa) const IMMEDIATE: u64 = 0b11110;
    pub(in crate::isa) const MULTIPLY_OR_CSR: u64 = 0b11111;
}

/// Fields of all classes but commands and branches.
pub(super) mod common {
    use super::Field;

    pub(in crate::isa) const WRITE_BOTH: Field = Field::new(41, 41);
    pub(in crate::isa) const SOURCE_POINTER_HIGH: Field = Field::new(42, 42);
    pub(in crate::isa) const DESTINATION_POINTER_HIGH: Field = Field::new(43, 43);
}

/// Operand fields of the unrestricted (10 bit) form.
pub(super) mod wide {
    use super::Field;

    pub(in crate::isa) const A: Field = Field::new(9, 0);
    pub(in crate::isa) const B: Field = Field::new(19, 10);
}

/// Operand and shift fields of the restricted (8 bit) form.
pub(super) mod narrow {
    use super::Field;

    pub(in crate::isa) const A: Field = Field::new(7, 0);
    pub(in crate::isa) const KIND: Field = Field::new(9, 8);
    pub(in crate::isa) const B: Field = Field::new(17, 10);
    pub(in crate::isa) const IMMEDIATE_HIGH: Field = Field::new(18, 18);
    pub(in crate::isa) const SWAP: Field = Field::new(19, 19);
    pub(in crate::isa) const AMOUNT: Field = Field::new(32, 28);
}

pub(super) mod alu {
    use super::Field;

    pub(in crate::isa) const DESTINATION: Field = Field::new(29, 20);
    pub(in crate::isa) const SWAP: Field = Field::new(30, 30);
    pub(in crate::isa) const OPERATION: Field = Field::new(35, 31);
    pub(in crate::isa) const BANK: Field = Field::new(36, 36);
}

pub(super) mod shift {
    use super::Field;

    pub(in crate::isa) const DESTINATION: Field = Field::new(27, 20);
    pub(in crate::isa) const OPERATION: Field = Field::new(35, 33);
    pub(in crate::isa) const BANK: Field = Field::new(36, 36);
}

pub(super) mod load_field {
    use super::Field;

    pub(in crate::isa) const CLEAR: Field = Field::new(20, 20);
    pub(in crate::isa) const MASK: Field = Field::new(27, 24);
}

pub(super) mod immediate {
    use super::Field;

    pub(in crate::isa) const HIGH: Field = Field::new(27, 20);
    pub(in crate::isa) const WIDTH: Field = Field::new(30, 29);
    pub(in crate::isa) const INVERT: Field = Field::new(31, 31);
    pub(in crate::isa) const SHIFT: Field = Field::new(34, 33);
}

pub(in crate::isa) mod branch {
    use super::Field;

    pub(in crate::isa) const CONDITION: Field = Field::new(4, 0);
    /// Always 1 in `br`.
    pub(in crate::isa) const BASE: Field = Field::new(5, 5);
    /// 1 where there is a condition.
    pub(in crate::isa) const CONDITIONAL: Field = Field::new(9, 8);
    /// Always 2 in `br`: no other thread's state is looked at.
    pub(in crate::isa) const CONTEXT: Field = Field::new(17, 14);
    pub(in crate::isa) const BIT_SET: Field = Field::new(18, 18);
    pub(in crate::isa) const DEFER: Field = Field::new(21, 20);
    pub(in crate::isa) const TARGET: Field = Field::new(34, 22);
    /// Set where the target needs a 14th bit.
    pub(in crate::isa) const TARGET_HIGH: Field = Field::new(40, 40);
}

pub(super) mod multiply {
    use super::Field;

    pub(in crate::isa) const STEP: Field = Field::new(22, 20);
    pub(in crate::isa) const BANK: Field = Field::new(23, 23);
    pub(in crate::isa) const SWAP: Field = Field::new(30, 30);
    pub(in crate::isa) const TYPE: Field = Field::new(32, 31);
}

pub(super) mod csr {
    use super::Field;

    pub(in crate::isa) const WRITE: Field = Field::new(21, 21);
    /// Byte address / 4.
    pub(in crate::isa) const ADDRESS: Field = Field::new(32, 22);
    /// Tells the class from multiply.
    pub(in crate::isa) const IS_CSR: Field = Field::new(34, 34);
}

pub(super) mod memory {
    use super::Field;

    pub(in crate::isa) const WAIT: Field = Field::new(9, 8);
    pub(in crate::isa) const TOKEN: Field = Field::new(19, 18);
    pub(in crate::isa) const TRANSFER: Field = Field::new(24, 20);
    /// The count less 1.
    pub(in crate::isa) const COUNT: Field = Field::new(27, 25);
    pub(in crate::isa) const SIGNAL: Field = Field::new(31, 28);
    pub(in crate::isa) const COMMAND: Field = Field::new(38, 32);
    pub(in crate::isa) const INDIRECT: Field = Field::new(41, 41);
    pub(in crate::isa) const MODE: Field = Field::new(44, 42);
}
