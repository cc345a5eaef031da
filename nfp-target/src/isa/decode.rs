//! From a word to its instruction.

use super::operand::code::{self, NARROW_NOWHERE, WIDE_NOWHERE};
use super::word::{
    INSTRUCTION_BITS, alu, branch, class, common, csr, immediate, load_field, memory, multiply,
    narrow, shift, wide,
};
use super::{
    Address, Alu, AluOperation, Bank, Branch, BranchBit, Command, Completion, Condition, Csr,
    Destination, Immediate, ImmediatePart, Instruction, LoadField, LocalCsr, Memory, Multiply,
    MultiplySize, Operand, Return, Shift, ShiftLogic, ShiftOperation, encode,
};

/// A word that is no instruction of the subset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Bits 45..63 are set: they are no part of an instruction.
    #[error("bits above 44 are set: they hold a dump's relocation kind or a loaded image's ECC")]
    HighBits,
    /// Bits 39..35 name a class outside the subset.
    #[error("instruction class {0:#07b} is not known")]
    Class(u8),
    /// The operation field of a known class.
    #[error("{class} operation {value:#x} is not known")]
    Operation {
        /// The class.
        class: &'static str,
        /// The field's value.
        value: u16,
    },
    /// An operand field.
    #[error("operand {0:#x} is not known")]
    Operand(u16),
    /// The fields are known, but together they are no instruction, or bits are set that none of them has.
    #[error("the fields do not go together (bits {0:#x})")]
    Fields(u64),
}

/// The instruction of bits 0..44.
///
/// # Errors
/// The word is none of the subset's. Every word that decodes encodes to itself.
pub fn decode(word: u64) -> Result<Instruction, DecodeError> {
    if word & !INSTRUCTION_BITS != 0 {
        return Err(DecodeError::HighBits);
    }
    let instruction = fields(word)?;
    // One rule for all that a word may not be: whatever the encoder would not write is not accepted.
    match encode(&instruction) {
        Ok(again) if again == word => Ok(instruction),
        Ok(again) => Err(DecodeError::Fields(again ^ word)),
        Err(_) => Err(DecodeError::Fields(word)),
    }
}

fn fields(word: u64) -> Result<Instruction, DecodeError> {
    let number = class::FIELD.get(word);
    Ok(match number {
        0..=0b01111 => Instruction::Memory(memory(word)?),
        0b10000..=0b10011 => Instruction::Shift(shift(word)?),
        0b10100..=0b10111 => Instruction::Alu(alu(word)?),
        class::LOAD_FIELD => Instruction::LoadField(load_field(word)?),
        class::BRANCH_BIT => Instruction::BranchBit(branch_bit(word)?),
        class::BRANCH => Instruction::Branch(branch(word)?),
        class::RETURN => Instruction::Return(Return {
            operand: beside_nothing(word)?,
            defer: defer(word),
        }),
        class::IMMEDIATE => Instruction::Immediate(immediate(word)?),
        class::MULTIPLY_OR_CSR if csr::IS_CSR.is_set(word) => {
            Instruction::LocalCsr(local_csr(word)?)
        }
        class::MULTIPLY_OR_CSR => Instruction::Multiply(multiply(word)?),
        _ => return Err(DecodeError::Class(number as u8)),
    })
}

fn alu(word: u64) -> Result<Alu, DecodeError> {
    let operation = find(
        &AluOperation::ALL,
        "alu",
        alu::OPERATION.get(word),
        |operation| operation as u64,
    )?;
    let (left, right) = wide_sources(word, alu::SWAP.is_set(word))?;
    let bank = bank(alu::BANK.is_set(word));
    let destination = match alu::DESTINATION.get(word) {
        WIDE_NOWHERE => Destination::None,
        code => destination(code::from_wide(
            code,
            bank,
            common::DESTINATION_POINTER_HIGH.is_set(word),
        )?)?,
    };
    let left = if operation.takes_left() {
        left
    } else {
        Operand::None
    };
    Ok(Alu {
        destination,
        operation,
        left,
        right,
        write_both: common::WRITE_BOTH.is_set(word),
    })
}

fn shift(word: u64) -> Result<ShiftOperation, DecodeError> {
    let operation = find(
        &ShiftLogic::ALL,
        "alu_shf",
        shift::OPERATION.get(word),
        |operation| operation as u64,
    )?;
    let (a, b) = narrow_sources(word)?;
    let (left, right) = if narrow::SWAP.is_set(word) {
        (b, a)
    } else {
        (a, b)
    };
    let bank = bank(shift::BANK.is_set(word));
    let destination = match shift::DESTINATION.get(word) {
        NARROW_NOWHERE => Destination::None,
        code => destination(code::from_narrow(
            code,
            bank,
            common::DESTINATION_POINTER_HIGH.is_set(word),
            false,
        )?)?,
    };
    let shift = shift_of(word);
    let takes_left =
        operation.takes_left() || matches!(shift, Shift::Double(_) | Shift::DoubleIndirect);
    let left = if takes_left { left } else { Operand::None };
    Ok(ShiftOperation {
        destination,
        operation,
        left,
        right,
        shift,
        write_both: common::WRITE_BOTH.is_set(word),
    })
}

fn load_field(word: u64) -> Result<LoadField, DecodeError> {
    let (a, b) = narrow_sources(word)?;
    let (target, source) = if narrow::SWAP.is_set(word) {
        (b, a)
    } else {
        (a, b)
    };
    Ok(LoadField {
        destination: destination(target)?,
        mask: load_field::MASK.get(word) as u8,
        clear: load_field::CLEAR.is_set(word),
        source,
        shift: shift_of(word),
        write_both: common::WRITE_BOTH.is_set(word),
    })
}

fn immediate(word: u64) -> Result<Immediate, DecodeError> {
    let part = match (immediate::WIDTH.get(word), immediate::SHIFT.get(word)) {
        (0, bytes @ 0..=2) => ImmediatePart::Whole {
            shift: 8 * bytes as u8,
        },
        (2, 2) => ImmediatePart::High,
        (width, shift) => {
            return Err(DecodeError::Operation {
                class: "immed",
                value: (shift << 2 | width) as u16,
            });
        }
    };
    let high = common::DESTINATION_POINTER_HIGH.is_set(word);
    let (a, b) = (wide::A.get(word), wide::B.get(word));
    let (low, destination) = match code::from_wide(b, Bank::B, high)? {
        Operand::Immediate(low) if a == WIDE_NOWHERE => (low, Destination::None),
        Operand::Immediate(low) => (low, destination(code::from_wide(a, Bank::A, high)?)?),
        target => match code::from_wide(a, Bank::A, high)? {
            Operand::Immediate(low) => (low, destination(target)?),
            _ => return Err(DecodeError::Operand(a as u16)),
        },
    };
    Ok(Immediate {
        destination,
        value: (immediate::HIGH.get(word) << 8) as u16 | u16::from(low),
        invert: immediate::INVERT.is_set(word),
        part,
        write_both: common::WRITE_BOTH.is_set(word),
    })
}

fn branch(word: u64) -> Result<Branch, DecodeError> {
    let condition = find(
        &Condition::ALL,
        "branch",
        branch::CONDITION.get(word),
        |condition| condition as u64,
    )?;
    Ok(Branch {
        condition,
        target: target(word),
        defer: defer(word),
    })
}

fn branch_bit(word: u64) -> Result<BranchBit, DecodeError> {
    let high = common::SOURCE_POINTER_HIGH.is_set(word);
    let a = code::from_narrow(narrow::A.get(word), Bank::A, high, false)?;
    let b = code::from_narrow(narrow::B.get(word), Bank::B, high, false)?;
    let ((operand, Operand::Immediate(amount)) | (Operand::Immediate(amount), operand)) = (a, b)
    else {
        return Err(DecodeError::Operand(narrow::B.get(word) as u16));
    };
    let bit = amount
        .checked_sub(1)
        .ok_or(DecodeError::Operand(amount.into()))?;
    Ok(BranchBit {
        operand,
        bit,
        set: branch::BIT_SET.is_set(word),
        target: target(word),
        defer: defer(word),
    })
}

fn multiply(word: u64) -> Result<Multiply, DecodeError> {
    let (kind, step) = (multiply::TYPE.get(word), multiply::STEP.get(word));
    let size = match kind {
        2 => MultiplySize::By16,
        _ => MultiplySize::By32,
    };
    let write_both = common::WRITE_BOTH.is_set(word);
    let destination = || match wide::A.get(word) {
        WIDE_NOWHERE => Ok(Destination::None),
        code => {
            let high = common::DESTINATION_POINTER_HIGH.is_set(word);
            destination(code::from_wide(
                code,
                bank(multiply::BANK.is_set(word)),
                high,
            )?)
        }
    };
    match (kind, step) {
        (0, 0) => {
            let (left, right) = wide_sources(word, multiply::SWAP.is_set(word))?;
            Ok(Multiply::Start { left, right })
        }
        (2 | 3, 0..=3) => {
            let (left, right) = wide_sources(word, multiply::SWAP.is_set(word))?;
            Ok(Multiply::Step {
                size,
                number: step as u8 + 1,
                left,
                right,
            })
        }
        (2 | 3, 4) => Ok(Multiply::Last {
            size,
            destination: destination()?,
            write_both,
        }),
        (3, 5) => Ok(Multiply::LastHigh {
            destination: destination()?,
            write_both,
        }),
        _ => Err(DecodeError::Operation {
            class: "mul_step",
            value: (kind << 3 | step) as u16,
        }),
    }
}

fn local_csr(word: u64) -> Result<LocalCsr, DecodeError> {
    let csr = find(&Csr::ALL, "local_csr", 4 * csr::ADDRESS.get(word), |csr| {
        csr as u64
    })?;
    if csr::WRITE.is_set(word) {
        Ok(LocalCsr::Write {
            csr,
            source: beside_nothing(word)?,
        })
    } else {
        Ok(LocalCsr::Read { csr })
    }
}

fn memory(word: u64) -> Result<Memory, DecodeError> {
    let (number, token) = (memory::COMMAND.get(word), memory::TOKEN.get(word));
    let count = memory::COUNT.get(word) as u8 + 1;
    let &(command, ..) = Command::ALL
        .iter()
        .find(|row| (row.2, row.3) == (number, token) && (row.4..=row.5).contains(&count))
        .ok_or(DecodeError::Operation {
            class: "mem",
            value: (token << 8 | number) as u16,
        })?;
    let a = code::from_narrow(narrow::A.get(word), Bank::A, false, false)?;
    let b = code::from_narrow(narrow::B.get(word), Bank::B, false, false)?;
    let address = match memory::MODE.get(word) {
        0 => Address::HighA { high: a, low: b },
        1 => Address::HighB { high: b, low: a },
        4 => Address::Sum { base: a, offset: b },
        mode => {
            return Err(DecodeError::Operation {
                class: "mem address",
                value: mode as u16,
            });
        }
    };
    let signal = memory::SIGNAL.get(word) as u8;
    let completion = match (memory::WAIT.get(word), signal) {
        (3, 0) => Completion::Ignore,
        (3, _) => Completion::Signal { signal },
        (defer, _) => Completion::Wait {
            signal,
            defer: defer as u8,
        },
    };
    Ok(Memory {
        command,
        transfer: memory::TRANSFER.get(word) as u8,
        address,
        count,
        indirect: memory::INDIRECT.is_set(word),
        completion,
    })
}

/// The member of a table whose field value is this.
fn find<T: Copy>(
    all: &[(T, &'static str)],
    class: &'static str,
    value: u64,
    field: impl Fn(T) -> u64,
) -> Result<T, DecodeError> {
    let found = all.iter().find(|(member, _)| field(*member) == value);
    found
        .map(|(member, _)| *member)
        .ok_or(DecodeError::Operation {
            class,
            value: value as u16,
        })
}

fn bank(b: bool) -> Bank {
    if b { Bank::B } else { Bank::A }
}

fn wide_sources(word: u64, swap: bool) -> Result<(Operand, Operand), DecodeError> {
    let high = common::SOURCE_POINTER_HIGH.is_set(word);
    let a = code::from_wide(wide::A.get(word), Bank::A, high)?;
    let b = code::from_wide(wide::B.get(word), Bank::B, high)?;
    Ok(if swap { (b, a) } else { (a, b) })
}

fn narrow_sources(word: u64) -> Result<(Operand, Operand), DecodeError> {
    let pointer_high = common::SOURCE_POINTER_HIGH.is_set(word);
    let immediate_high = narrow::IMMEDIATE_HIGH.is_set(word);
    let a = code::from_narrow(narrow::A.get(word), Bank::A, pointer_high, immediate_high)?;
    let b = code::from_narrow(narrow::B.get(word), Bank::B, pointer_high, immediate_high)?;
    Ok((a, b))
}

/// The operand that stands beside a constant 0.
fn beside_nothing(word: u64) -> Result<Operand, DecodeError> {
    let (a, b) = wide_sources(word, false)?;
    match (a, b) {
        (operand, Operand::Immediate(0)) | (Operand::Immediate(0), operand) => Ok(operand),
        _ => Err(DecodeError::Operand(wide::B.get(word) as u16)),
    }
}

fn destination(operand: Operand) -> Result<Destination, DecodeError> {
    match operand {
        Operand::Gpr(bank, number) => Ok(Destination::Gpr(bank, number)),
        Operand::Transfer(number) => Ok(Destination::Transfer(number)),
        Operand::Local(local) => Ok(Destination::Local(local)),
        Operand::Immediate(value) => Err(DecodeError::Operand(value.into())),
        Operand::None => Ok(Destination::None),
    }
}

fn shift_of(word: u64) -> Shift {
    match (narrow::KIND.get(word), narrow::AMOUNT.get(word) as u8) {
        (0, 0) => Shift::None,
        (0, amount) => Shift::RotateRight(amount),
        (1, 0) => Shift::RightIndirect,
        (1, amount) => Shift::Right(amount),
        (2, 0) => Shift::LeftIndirect,
        (2, amount) => Shift::Left(32 - amount),
        (_, 0) => Shift::DoubleIndirect,
        (_, amount) => Shift::Double(amount),
    }
}

fn target(word: u64) -> u16 {
    (branch::TARGET_HIGH.get(word) << 13 | branch::TARGET.get(word)) as u16
}

fn defer(word: u64) -> u8 {
    branch::DEFER.get(word) as u8
}
