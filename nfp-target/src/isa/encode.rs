//! From an instruction to its word.

use super::operand::code::{self, Code, NARROW_NOWHERE, WIDE_NOWHERE};
use super::operand::place;
use super::word::{
    alu, branch, class, common, csr, immediate, load_field, memory, multiply, narrow, shift, wide,
};
use super::{
    Address, Alu, Bank, Branch, BranchBit, Command, Completion, Condition, Destination, Immediate,
    ImmediatePart, Instruction, LoadField, LocalCsr, Memory, Multiply, MultiplySize, Operand,
    Return, Shift, ShiftLogic, ShiftOperation,
};

/// A combination that the instruction set has no word for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Two general registers of one bank cannot be read at once.
    #[error("both operands are registers of bank {0:?}")]
    SameBank(Bank),
    /// The field reads the other bank.
    #[error("a register of bank {0:?} cannot stand here")]
    WrongBank(Bank),
    /// Registers are 0 to 31.
    #[error("register {0} does not exist: the highest is 31")]
    Register(u8),
    /// Local memory pointers are 0 to 3.
    #[error("local memory pointer {0} does not exist: the highest is 3")]
    Pointer(u8),
    /// Sources through pointers 0 or 1 and 2 or 3 at once.
    #[error("one instruction cannot use local memory pointers 0 or 1 and 2 or 3 together")]
    PointerHalves,
    /// Too far from the pointer.
    #[error("local memory word {word} is out of reach: the highest is {limit} here")]
    LocalIndex {
        /// The word.
        word: u8,
        /// The highest.
        limit: u8,
    },
    /// The restricted form has no post-increment.
    #[error("this instruction cannot change a local memory pointer")]
    PostChange,
    /// Two constants that differ in bit 7 where the word has one bit for both.
    #[error("two constants on both sides of 128")]
    Immediates,
    /// A constant that does not fit.
    #[error("constant {0:#x} does not fit: the highest is 0x7f here")]
    Immediate(u8),
    /// An operand is missing, or stands where none can.
    #[error("the operation takes {0} operand")]
    OperandCount(&'static str),
    /// Something else than a register where the value of one is needed.
    #[error("a constant cannot stand here")]
    NotARegister,
    /// Both banks are written where no general register is.
    #[error("only a general register can be written in both banks")]
    WriteBoth,
    /// The shift cannot have this amount or stand in this instruction.
    #[error("no such shift here")]
    Shift,
    /// A number outside its field.
    #[error("{what} {value} is out of range")]
    Range {
        /// Which field.
        what: &'static str,
        /// The value.
        value: u32,
    },
}

/// The word's bits 0..44.
///
/// # Errors
/// The instruction set has no such instruction.
pub fn encode(instruction: &Instruction) -> Result<u64, EncodeError> {
    match instruction {
        Instruction::Alu(alu) => encode_alu(alu),
        Instruction::Shift(shift) => encode_shift(shift),
        Instruction::LoadField(load) => encode_load_field(load),
        Instruction::Immediate(load) => encode_immediate(load),
        Instruction::Branch(branch) => encode_branch(*branch),
        Instruction::BranchBit(branch) => encode_branch_bit(*branch),
        Instruction::Return(branch) => encode_return(*branch),
        Instruction::Multiply(step) => encode_multiply(*step),
        Instruction::LocalCsr(access) => encode_csr(*access),
        Instruction::Memory(memory) => encode_memory(memory),
    }
}

fn encode_alu(alu: &Alu) -> Result<u64, EncodeError> {
    operand_count(alu.operation.takes_left(), alu.left, alu.right)?;
    let (fields, swap) = wide_sources(alu.left, alu.right)?;
    let (code, bank, high) = wide_destination(alu.destination)?;
    Ok(class::FIELD.put(class::ALU)
        | fields
        | alu::SWAP.put(u64::from(swap))
        | alu::DESTINATION.put(code)
        | alu::BANK.put(bank)
        | alu::OPERATION.put(alu.operation as u64)
        | common::DESTINATION_POINTER_HIGH.put(high)
        | write_both(alu.write_both, alu.destination)?)
}

fn encode_shift(shift: &ShiftOperation) -> Result<u64, EncodeError> {
    let double = matches!(shift.shift, Shift::Double(_) | Shift::DoubleIndirect);
    let right = matches!(shift.shift, Shift::Right(_) | Shift::RightIndirect);
    if double && shift.operation != ShiftLogic::B
        || !right && shift.operation == ShiftLogic::Arithmetic
    {
        return Err(EncodeError::Shift);
    }
    operand_count(
        double || shift.operation.takes_left(),
        shift.left,
        shift.right,
    )?;
    let (a, b, swap) = place(shift.left, shift.right)?;
    let (a, b) = (code::narrow(a, Bank::A)?, code::narrow(b, Bank::B)?);
    let (code, bank, high) = narrow_destination(shift.destination)?;
    Ok(class::FIELD.put(class::SHIFT)
        | narrow_fields(a, b)?
        | narrow::SWAP.put(u64::from(swap))
        | shift_fields(shift.shift)?
        | shift::DESTINATION.put(code)
        | shift::BANK.put(bank)
        | shift::OPERATION.put(shift.operation as u64)
        | common::DESTINATION_POINTER_HIGH.put(high)
        | write_both(shift.write_both, shift.destination)?)
}

fn encode_load_field(load: &LoadField) -> Result<u64, EncodeError> {
    if load.mask > 15 {
        return Err(EncodeError::Range {
            what: "byte mask",
            value: load.mask.into(),
        });
    }
    if load.destination == Destination::None || load.source == Operand::None {
        return Err(EncodeError::OperandCount("a destination and one"));
    }
    if matches!(load.shift, Shift::Double(_) | Shift::DoubleIndirect) {
        return Err(EncodeError::Shift);
    }
    // The destination is the A field, or the B field of a swapped word.
    let (a, b, swap) = place(load.destination.into(), load.source)?;
    let (a, b) = (code::narrow(a, Bank::A)?, code::narrow(b, Bank::B)?);
    Ok(class::FIELD.put(class::LOAD_FIELD)
        | narrow_fields(a, b)?
        | narrow::SWAP.put(u64::from(swap))
        | shift_fields(load.shift)?
        | load_field::CLEAR.put(u64::from(load.clear))
        | load_field::MASK.put(u64::from(load.mask))
        | common::DESTINATION_POINTER_HIGH.put(destination_high(load.destination))
        | write_both(load.write_both, load.destination)?)
}

fn encode_immediate(load: &Immediate) -> Result<u64, EncodeError> {
    let (width, amount) = match load.part {
        ImmediatePart::Whole {
            shift: shift @ (0 | 8 | 16),
        } => (0, u64::from(shift / 8)),
        ImmediatePart::Whole { .. } => return Err(EncodeError::Shift),
        ImmediatePart::High => (2, 2),
    };
    let low = Operand::Immediate(load.value as u8);
    let fields = match load.destination {
        Destination::Gpr(Bank::B, _) => {
            wide::A.put(code::wide(low, Bank::A)?.bits)
                | wide::B.put(code::wide(load.destination.into(), Bank::B)?.bits)
        }
        destination => {
            wide::A.put(field_destination(destination)?)
                | wide::B.put(code::wide(low, Bank::B)?.bits)
        }
    };
    Ok(class::FIELD.put(class::IMMEDIATE)
        | fields
        | immediate::HIGH.put(u64::from(load.value >> 8))
        | immediate::WIDTH.put(width)
        | immediate::SHIFT.put(amount)
        | immediate::INVERT.put(u64::from(load.invert))
        | field_destination_pointer(load.destination)
        | write_both(load.write_both, load.destination)?)
}

fn encode_branch(branch: Branch) -> Result<u64, EncodeError> {
    Ok(class::FIELD.put(class::BRANCH)
        | branch::BASE.put(1)
        | branch::CONTEXT.put(2)
        | branch::CONDITION.put(branch.condition as u64)
        | branch::CONDITIONAL.put(u64::from(branch.condition != Condition::Always))
        | target(branch.target)?
        | defer(branch.defer)?)
}

fn encode_branch_bit(branch: BranchBit) -> Result<u64, EncodeError> {
    if branch.bit > 31 {
        return Err(EncodeError::Range {
            what: "bit",
            value: branch.bit.into(),
        });
    }
    register(branch.operand)?;
    // The field holds an amount to rotate by: the bit's number plus one.
    let (a, b, _) = place(branch.operand, Operand::Immediate(branch.bit + 1))?;
    let (a, b) = (code::narrow(a, Bank::A)?, code::narrow(b, Bank::B)?);
    Ok(class::FIELD.put(class::BRANCH_BIT)
        | narrow::A.put(a.bits)
        | narrow::B.put(b.bits)
        | common::SOURCE_POINTER_HIGH.put(pointer_high(a, b)?)
        | branch::BIT_SET.put(u64::from(branch.set))
        | target(branch.target)?
        | defer(branch.defer)?)
}

fn encode_return(branch: Return) -> Result<u64, EncodeError> {
    register(branch.operand)?;
    Ok(class::FIELD.put(class::RETURN) | beside_nothing(branch.operand)? | defer(branch.defer)?)
}

fn encode_multiply(step: Multiply) -> Result<u64, EncodeError> {
    let class = class::FIELD.put(class::MULTIPLY_OR_CSR);
    let factors = |left, right| -> Result<u64, EncodeError> {
        operand_count(true, left, right)?;
        let (fields, swap) = wide_sources(left, right)?;
        Ok(class | fields | multiply::SWAP.put(u64::from(swap)))
    };
    let last = |kind: MultiplySize, step, destination, both| -> Result<u64, EncodeError> {
        let bank = u64::from(matches!(destination, Destination::Gpr(Bank::B, _)));
        Ok(class
            | wide::A.put(field_destination(destination)?)
            | multiply::BANK.put(bank)
            | multiply::TYPE.put(kind as u64)
            | multiply::STEP.put(step)
            | field_destination_pointer(destination)
            | write_both(both, destination)?)
    };
    match step {
        Multiply::Start { left, right } => factors(left, right),
        Multiply::Step {
            size,
            number,
            left,
            right,
        } => {
            if !(1..=size.steps()).contains(&number) {
                return Err(EncodeError::Range {
                    what: "multiplication step",
                    value: number.into(),
                });
            }
            Ok(factors(left, right)?
                | multiply::TYPE.put(size as u64)
                | multiply::STEP.put(u64::from(number - 1)))
        }
        Multiply::Last {
            size,
            destination,
            write_both,
        } => last(size, 4, destination, write_both),
        Multiply::LastHigh {
            destination,
            write_both,
        } => last(MultiplySize::By32, 5, destination, write_both),
    }
}

fn encode_csr(access: LocalCsr) -> Result<u64, EncodeError> {
    let class = class::FIELD.put(class::MULTIPLY_OR_CSR) | csr::IS_CSR.put(1);
    match access {
        LocalCsr::Read { csr } => Ok(class | csr::ADDRESS.put(csr as u64 / 4)),
        LocalCsr::Write { csr, source } => {
            register(source)?;
            Ok(class
                | csr::ADDRESS.put(csr as u64 / 4)
                | csr::WRITE.put(1)
                | beside_nothing(source)?)
        }
    }
}

fn encode_memory(memory: &Memory) -> Result<u64, EncodeError> {
    let (mode, a, b) = match memory.address {
        Address::HighA { high, low } => (0, high, low),
        Address::HighB { high, low } => (1, low, high),
        Address::Sum { base, offset } => (4, base, offset),
    };
    for operand in [a, b] {
        match operand {
            Operand::None => {
                return Err(EncodeError::OperandCount(
                    "two parts of an address, each an",
                ));
            }
            Operand::Immediate(value @ 0x80..) => return Err(EncodeError::Immediate(value)),
            _ => {}
        }
    }
    // The address mode has the place of the pointer bits: only pointers 0 and 1 can be used.
    let (a, b) = (code::narrow(a, Bank::A)?, code::narrow(b, Bank::B)?);
    if pointer_high(a, b)? != 0 {
        return Err(EncodeError::PointerHalves);
    }
    let (name, number, token, least, most) = command(memory.command);
    if !(least..=most).contains(&memory.count) {
        return Err(EncodeError::Range {
            what: name,
            value: memory.count.into(),
        });
    }
    if memory.transfer > 31 {
        return Err(EncodeError::Register(memory.transfer));
    }
    let (wait, signal) = match memory.completion {
        Completion::Ignore => (3, 0),
        Completion::Signal { signal } => (3, signal_number(signal)?),
        Completion::Wait {
            signal,
            defer: defer @ 0..=2,
        } => (u64::from(defer), signal_number(signal)?),
        Completion::Wait { defer, .. } => {
            return Err(EncodeError::Range {
                what: "defer",
                value: defer.into(),
            });
        }
    };
    Ok(narrow::A.put(a.bits)
        | narrow::B.put(b.bits)
        | memory::MODE.put(mode)
        | memory::COMMAND.put(number)
        | memory::TOKEN.put(token)
        | memory::TRANSFER.put(u64::from(memory.transfer))
        | memory::COUNT.put(u64::from(memory.count - 1))
        | memory::WAIT.put(wait)
        | memory::SIGNAL.put(signal)
        | memory::INDIRECT.put(u64::from(memory.indirect)))
}

/// Name, field, token, lowest and highest count of a command.
fn command(command: Command) -> (&'static str, u64, u64, u8, u8) {
    let row = Command::ALL.iter().find(|row| row.0 == command);
    let &(_, name, number, token, least, most) = row.expect("the table has each command");
    (name, number, token, least, most)
}

fn signal_number(signal: u8) -> Result<u64, EncodeError> {
    if (1..=15).contains(&signal) {
        Ok(u64::from(signal))
    } else {
        Err(EncodeError::Range {
            what: "signal",
            value: signal.into(),
        })
    }
}

fn operand_count(takes_left: bool, left: Operand, right: Operand) -> Result<(), EncodeError> {
    if takes_left == (left == Operand::None) || right == Operand::None {
        return Err(EncodeError::OperandCount(if takes_left {
            "a left and a right"
        } else {
            "only a right"
        }));
    }
    Ok(())
}

fn register(operand: Operand) -> Result<(), EncodeError> {
    match operand {
        Operand::None => Err(EncodeError::OperandCount("one")),
        Operand::Immediate(_) => Err(EncodeError::NotARegister),
        _ => Ok(()),
    }
}

/// A and B of the wide form and the source pointer bit; whether they are swapped.
fn wide_sources(left: Operand, right: Operand) -> Result<(u64, bool), EncodeError> {
    let (a, b, swap) = place(left, right)?;
    let (a, b) = (code::wide(a, Bank::A)?, code::wide(b, Bank::B)?);
    let fields = wide::A.put(a.bits)
        | wide::B.put(b.bits)
        | common::SOURCE_POINTER_HIGH.put(pointer_high(a, b)?);
    Ok((fields, swap))
}

/// One operand in its field and a constant 0 in the other.
fn beside_nothing(operand: Operand) -> Result<u64, EncodeError> {
    let (a, b, _) = place(operand, Operand::Immediate(0))?;
    let (a, b) = (code::wide(a, Bank::A)?, code::wide(b, Bank::B)?);
    Ok(wide::A.put(a.bits)
        | wide::B.put(b.bits)
        | common::SOURCE_POINTER_HIGH.put(pointer_high(a, b)?))
}

fn narrow_fields(a: Code, b: Code) -> Result<u64, EncodeError> {
    let immediate_high = match (a.immediate_high, b.immediate_high) {
        (Some(one), Some(other)) if one != other => return Err(EncodeError::Immediates),
        (one, other) => one.or(other).unwrap_or(false),
    };
    Ok(narrow::A.put(a.bits)
        | narrow::B.put(b.bits)
        | narrow::IMMEDIATE_HIGH.put(u64::from(immediate_high))
        | common::SOURCE_POINTER_HIGH.put(pointer_high(a, b)?))
}

fn pointer_high(a: Code, b: Code) -> Result<u64, EncodeError> {
    match (a.pointer_high, b.pointer_high) {
        (Some(one), Some(other)) if one != other => Err(EncodeError::PointerHalves),
        (one, other) => Ok(u64::from(one.or(other).unwrap_or(false))),
    }
}

fn shift_fields(shift: Shift) -> Result<u64, EncodeError> {
    let amount = |n: u8| {
        if (1..=31).contains(&n) {
            Ok(u64::from(n))
        } else {
            Err(EncodeError::Shift)
        }
    };
    let (kind, amount) = match shift {
        Shift::None => (0, 0),
        Shift::RotateRight(n) => (0, amount(n)?),
        Shift::RightIndirect => (1, 0),
        Shift::Right(n) => (1, amount(n)?),
        Shift::LeftIndirect => (2, 0),
        Shift::Left(n) => (2, 32 - amount(n)?),
        Shift::DoubleIndirect => (3, 0),
        Shift::Double(n) => (3, amount(n)?),
    };
    Ok(narrow::KIND.put(kind) | narrow::AMOUNT.put(amount))
}

/// Code, bank and pointer bit of a destination that has a field of its own.
fn wide_destination(destination: Destination) -> Result<(u64, u64, u64), EncodeError> {
    let (code, bank) = match destination {
        Destination::None => (WIDE_NOWHERE, 0),
        Destination::Gpr(Bank::B, _) => (code::wide(destination.into(), Bank::B)?.bits, 1),
        other => (code::wide(other.into(), Bank::A)?.bits, 0),
    };
    Ok((code, bank, destination_high(destination)))
}

fn narrow_destination(destination: Destination) -> Result<(u64, u64, u64), EncodeError> {
    let (code, bank) = match destination {
        Destination::None => (NARROW_NOWHERE, 0),
        Destination::Gpr(Bank::B, _) => (code::narrow(destination.into(), Bank::B)?.bits, 1),
        other => (code::narrow(other.into(), Bank::A)?.bits, 0),
    };
    Ok((code, bank, destination_high(destination)))
}

/// The code of a destination that stands in the A field. Its bank is told elsewhere.
fn field_destination(destination: Destination) -> Result<u64, EncodeError> {
    match destination {
        Destination::None => Ok(WIDE_NOWHERE),
        Destination::Gpr(bank, _) => Ok(code::wide(destination.into(), bank)?.bits),
        other => Ok(code::wide(other.into(), Bank::A)?.bits),
    }
}

/// The pointer bits of a destination that stands in a source field: both, as it counts as both.
fn field_destination_pointer(destination: Destination) -> u64 {
    let high = destination_high(destination);
    common::DESTINATION_POINTER_HIGH.put(high) | common::SOURCE_POINTER_HIGH.put(high)
}

fn destination_high(destination: Destination) -> u64 {
    u64::from(matches!(destination, Destination::Local(local) if local.pointer >= 2))
}

fn write_both(both: bool, destination: Destination) -> Result<u64, EncodeError> {
    if both && !matches!(destination, Destination::Gpr(..)) {
        return Err(EncodeError::WriteBoth);
    }
    Ok(common::WRITE_BOTH.put(u64::from(both)))
}

fn target(target: u16) -> Result<u64, EncodeError> {
    if target > 0x3fff {
        return Err(EncodeError::Range {
            what: "branch target",
            value: target.into(),
        });
    }
    let target = u64::from(target);
    Ok(branch::TARGET.put(target) | branch::TARGET_HIGH.put(target >> 13))
}

fn defer(defer: u8) -> Result<u64, EncodeError> {
    if defer > 3 {
        return Err(EncodeError::Range {
            what: "defer",
            value: defer.into(),
        });
    }
    Ok(branch::DEFER.put(u64::from(defer)))
}
