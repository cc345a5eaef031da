//! From an instruction to its text.

use std::fmt;

use super::{name_of, size_name};
use crate::isa::{
    Address, AluOperation, Command, Completion, Condition, Csr, Destination, Immediate,
    ImmediatePart, Instruction, LocalCsr, Memory, Multiply, Operand, Shift, ShiftLogic,
    ShiftOperation,
};

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Instruction::NOP {
            return f.write_str("nop");
        }
        match self {
            Instruction::Alu(alu) => {
                let word = name_of(&AluOperation::ALL, alu.operation);
                write!(
                    f,
                    "alu[{}, {}, {word}, {}]{}",
                    alu.destination,
                    alu.left,
                    alu.right,
                    both(alu.write_both)
                )
            }
            Instruction::Shift(shift) => shift.fmt(f),
            Instruction::LoadField(load) => {
                let name = if load.clear {
                    "ld_field_w_clr"
                } else {
                    "ld_field"
                };
                write!(
                    f,
                    "{name}[{}, {:04b}, {}",
                    load.destination, load.mask, load.source
                )?;
                if load.shift != Shift::None {
                    write!(f, ", {}", load.shift)?;
                }
                write!(f, "]{}", both(load.write_both))
            }
            Instruction::Immediate(load) => load.fmt(f),
            Instruction::Branch(branch) => {
                let name = name_of(&Condition::ALL, branch.condition);
                write!(f, "{name}[.{}]{}", branch.target, Defer(branch.defer))
            }
            Instruction::BranchBit(branch) => {
                let name = if branch.set { "br_bset" } else { "br_bclr" };
                write!(
                    f,
                    "{name}[{}, {}, .{}]{}",
                    branch.operand,
                    branch.bit,
                    branch.target,
                    Defer(branch.defer)
                )
            }
            Instruction::Return(branch) => {
                write!(f, "rtn[{}]{}", branch.operand, Defer(branch.defer))
            }
            Instruction::Multiply(step) => step.fmt(f),
            Instruction::LocalCsr(LocalCsr::Write { csr, source }) => {
                write!(f, "local_csr_wr[{}, {source}]", name_of(&Csr::ALL, *csr))
            }
            Instruction::LocalCsr(LocalCsr::Read { csr }) => {
                write!(f, "local_csr_rd[{}]", name_of(&Csr::ALL, *csr))
            }
            Instruction::Memory(memory) => memory.fmt(f),
        }
    }
}

impl fmt::Display for ShiftOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ShiftOperation {
            destination,
            operation,
            left,
            right,
            shift,
            write_both,
        } = self;
        match (shift, operation) {
            (Shift::Double(_) | Shift::DoubleIndirect, _) => {
                write!(f, "dbl_shf[{destination}, {left}, {right}, {shift}]")?;
            }
            (_, ShiftLogic::Arithmetic) => write!(f, "asr[{destination}, {right}, {shift}]")?,
            _ => {
                let word = name_of(&ShiftLogic::ALL, *operation);
                write!(
                    f,
                    "alu_shf[{destination}, {left}, {word}, {right}, {shift}]"
                )?;
            }
        }
        f.write_str(both(*write_both))
    }
}

impl fmt::Display for Immediate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let destination = self.destination;
        match self.part {
            ImmediatePart::High => {
                write!(f, "immed_w1[{destination}, {:#x}]", self.constant() >> 16)?;
            }
            ImmediatePart::Whole { shift } => {
                // The value is complemented before the shift in this text.
                let value = u32::from(self.value);
                write!(
                    f,
                    "immed[{destination}, {:#x}",
                    if self.invert { !value } else { value }
                )?;
                if shift != 0 {
                    write!(f, ", <<{shift}")?;
                }
                f.write_str("]")?;
            }
        }
        f.write_str(both(self.write_both))
    }
}

impl fmt::Display for Multiply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nowhere = |destination: &Destination| match destination {
            Destination::None => Operand::Immediate(0),
            other => (*other).into(),
        };
        match self {
            Multiply::Start { left, right } => write!(f, "mul_step[{left}, {right}], start"),
            Multiply::Step {
                size,
                number,
                left,
                right,
            } => {
                write!(
                    f,
                    "mul_step[{left}, {right}], {}_step{number}",
                    size_name(*size)
                )
            }
            Multiply::Last {
                size,
                destination,
                write_both,
            } => {
                write!(
                    f,
                    "mul_step[{}, --], {}_last{}",
                    nowhere(destination),
                    size_name(*size),
                    both(*write_both)
                )
            }
            Multiply::LastHigh {
                destination,
                write_both,
            } => {
                write!(
                    f,
                    "mul_step[{}, --], 32x32_last2{}",
                    nowhere(destination),
                    both(*write_both)
                )
            }
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Command::ALL
            .iter()
            .find(|row| row.0 == self.command)
            .map_or("?", |row| row.1);
        write!(f, "mem[{name}, $xfer_{}, ", self.transfer)?;
        match self.address {
            Address::Sum { base, offset } => write!(f, "{base}, {offset}")?,
            Address::HighA { high, low } | Address::HighB { high, low } => {
                write!(f, "{high}, <<8, {low}")?;
            }
        }
        write!(f, ", {}]", self.count)?;
        if self.indirect {
            f.write_str(", indirect_ref")?;
        }
        match self.completion {
            Completion::Ignore => Ok(()),
            Completion::Signal { signal } => write!(f, ", sig_done[sig{signal}]"),
            Completion::Wait { signal, defer } => {
                write!(f, ", ctx_swap[sig{signal}]{}", Defer(defer))
            }
        }
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shift::None => f.write_str(">>rot0"),
            Shift::RotateRight(n) => write!(f, ">>rot{n}"),
            Shift::Right(n) | Shift::Double(n) => write!(f, ">>{n}"),
            Shift::RightIndirect | Shift::DoubleIndirect => f.write_str(">>indirect"),
            Shift::Left(n) => write!(f, "<<{n}"),
            Shift::LeftIndirect => f.write_str("<<indirect"),
        }
    }
}

struct Defer(u8);

impl fmt::Display for Defer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            n => write!(f, ", defer[{n}]"),
        }
    }
}

fn both(write_both: bool) -> &'static str {
    if write_both { ", gpr_wrboth" } else { "" }
}
