//! From text to an instruction.

use super::size_name;
use crate::isa::{
    Address, Alu, AluOperation, Bank, Branch, BranchBit, Command, Completion, Condition, Csr,
    Destination, EncodeError, Immediate, ImmediatePart, Instruction, LoadField, Local, LocalCsr,
    LocalIndex, Memory, Multiply, MultiplySize, Operand, Return, Shift, ShiftLogic, ShiftOperation,
    encode,
};

/// A line that is no instruction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AsmError {
    /// The text is not of the form of an instruction.
    #[error("{0}")]
    Syntax(String),
    /// The text is an instruction that has no word.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Longest line that is read, in bytes.
const MAX_LINE: usize = 256;

/// Reads one instruction.
///
/// # Errors
/// The text is no instruction, or one that cannot be encoded.
pub fn parse(text: &str) -> Result<Instruction, AsmError> {
    if text.len() > MAX_LINE {
        return Err(syntax("the line is too long"));
    }
    let text = text.trim();
    if text == "nop" {
        return Ok(Instruction::NOP);
    }
    let (name, rest) = text
        .split_once('[')
        .ok_or_else(|| syntax("expected NAME[OPERANDS]"))?;
    // Operands may hold brackets of their own, one deep: *l$index0[3].
    let mut depth = 1;
    let end = rest.bytes().position(|byte| {
        depth += i32::from(byte == b'[') - i32::from(byte == b']');
        depth == 0
    });
    let (inside, after) = rest.split_at(end.ok_or_else(|| syntax("expected `]`"))?);
    let operands: Vec<&str> = inside.split(',').map(str::trim).collect();
    let mut suffixes = Suffixes::read(&after[1..])?;
    let instruction = instruction(name, &operands, &mut suffixes)?;
    suffixes.finish()?;
    encode(&instruction)?;
    Ok(instruction)
}

fn instruction(
    name: &str,
    operands: &[&str],
    suffixes: &mut Suffixes<'_>,
) -> Result<Instruction, AsmError> {
    let count = || {
        syntax(format!(
            "`{name}` does not take {} operands",
            operands.len()
        ))
    };
    Ok(match (name, operands) {
        ("alu", [to, left, word, right]) => Instruction::Alu(Alu {
            destination: destination(to)?,
            operation: named(&AluOperation::ALL, word)?,
            left: operand(left)?,
            right: operand(right)?,
            write_both: suffixes.take("gpr_wrboth"),
        }),
        ("alu_shf", [to, left, word, right, by]) => Instruction::Shift(ShiftOperation {
            destination: destination(to)?,
            operation: named(&ShiftLogic::ALL[..6], word)?,
            left: operand(left)?,
            right: operand(right)?,
            shift: shift(by)?,
            write_both: suffixes.take("gpr_wrboth"),
        }),
        ("asr", [to, right, by]) => Instruction::Shift(ShiftOperation {
            destination: destination(to)?,
            operation: ShiftLogic::Arithmetic,
            left: Operand::None,
            right: operand(right)?,
            shift: shift(by)?,
            write_both: suffixes.take("gpr_wrboth"),
        }),
        ("dbl_shf", [to, left, right, by]) => Instruction::Shift(ShiftOperation {
            destination: destination(to)?,
            operation: ShiftLogic::B,
            left: operand(left)?,
            right: operand(right)?,
            shift: match shift(by)? {
                Shift::Right(n) => Shift::Double(n),
                Shift::RightIndirect => Shift::DoubleIndirect,
                _ => return Err(syntax(format!("`{by}` is no double shift"))),
            },
            write_both: suffixes.take("gpr_wrboth"),
        }),
        ("ld_field" | "ld_field_w_clr", [to, mask, from, by @ ..]) => {
            let valid = mask.len() == 4 && mask.bytes().all(|byte| matches!(byte, b'0' | b'1'));
            Instruction::LoadField(LoadField {
                destination: destination(to)?,
                mask: u8::from_str_radix(mask, 2)
                    .ok()
                    .filter(|_| valid)
                    .ok_or_else(|| syntax(format!("`{mask}` is no byte mask such as 0011")))?,
                clear: name == "ld_field_w_clr",
                source: operand(from)?,
                shift: match by {
                    [] => Shift::None,
                    [by] => shift(by)?,
                    _ => return Err(count()),
                },
                write_both: suffixes.take("gpr_wrboth"),
            })
        }
        ("immed" | "immed_w1", [to, value, by @ ..]) => {
            let number = number(value)?;
            // Complemented constants are printed with all upper bits set.
            let invert = number > 0xffff && name == "immed";
            let value = if invert { !number } else { number };
            let part = match (name, by) {
                ("immed_w1", []) => ImmediatePart::High,
                ("immed", []) => ImmediatePart::Whole { shift: 0 },
                ("immed", ["<<8"]) => ImmediatePart::Whole { shift: 8 },
                ("immed", ["<<16"]) => ImmediatePart::Whole { shift: 16 },
                _ => return Err(syntax("a constant is shifted by <<8 or <<16")),
            };
            Instruction::Immediate(Immediate {
                destination: destination(to)?,
                value: u16::try_from(value)
                    .map_err(|_| syntax(format!("constant {number:#x} needs more than 16 bits")))?,
                invert,
                part,
                write_both: suffixes.take("gpr_wrboth"),
            })
        }
        ("br_bset" | "br_bclr", [from, bit, to]) => Instruction::BranchBit(BranchBit {
            operand: operand(from)?,
            bit: small(bit)?,
            set: name == "br_bset",
            target: target(to)?,
            defer: suffixes.argument("defer", "")?.unwrap_or(0),
        }),
        ("rtn", [from]) => Instruction::Return(Return {
            operand: operand(from)?,
            defer: suffixes.argument("defer", "")?.unwrap_or(0),
        }),
        ("mul_step", [one, other]) => Instruction::Multiply(multiply(one, other, suffixes)?),
        ("local_csr_wr", [csr, from]) => Instruction::LocalCsr(LocalCsr::Write {
            csr: named(&Csr::ALL, csr)?,
            source: operand(from)?,
        }),
        ("local_csr_rd", [csr]) => Instruction::LocalCsr(LocalCsr::Read {
            csr: named(&Csr::ALL, csr)?,
        }),
        ("mem", [command, transfer, address @ .., count]) => {
            Instruction::Memory(memory(command, transfer, address, count, suffixes)?)
        }
        (_, [to]) if Condition::ALL.iter().any(|(_, word)| *word == name) => {
            Instruction::Branch(Branch {
                condition: named(&Condition::ALL, name)?,
                target: target(to)?,
                defer: suffixes.argument("defer", "")?.unwrap_or(0),
            })
        }
        (
            "alu" | "alu_shf" | "asr" | "dbl_shf" | "ld_field" | "ld_field_w_clr" | "immed"
            | "immed_w1" | "br_bset" | "br_bclr" | "rtn" | "mul_step" | "local_csr_wr"
            | "local_csr_rd" | "mem",
            _,
        ) => return Err(count()),
        _ => return Err(syntax(format!("`{name}` is no instruction"))),
    })
}

fn multiply(one: &str, other: &str, suffixes: &mut Suffixes<'_>) -> Result<Multiply, AsmError> {
    if suffixes.take("start") {
        return Ok(Multiply::Start {
            left: operand(one)?,
            right: operand(other)?,
        });
    }
    for size in [MultiplySize::By16, MultiplySize::By32] {
        for number in 1..=size.steps() {
            if suffixes.take(&format!("{}_step{number}", size_name(size))) {
                return Ok(Multiply::Step {
                    size,
                    number,
                    left: operand(one)?,
                    right: operand(other)?,
                });
            }
        }
    }
    if other != "--" {
        return Err(syntax(
            "expected start, a step, or a last whose second operand is --",
        ));
    }
    let destination = match operand(one)? {
        Operand::Immediate(0) => Destination::None,
        _ => destination(one)?,
    };
    for size in [MultiplySize::By16, MultiplySize::By32] {
        if suffixes.take(&format!("{}_last", size_name(size))) {
            return Ok(Multiply::Last {
                size,
                destination,
                write_both: suffixes.take("gpr_wrboth"),
            });
        }
    }
    if suffixes.take("32x32_last2") {
        return Ok(Multiply::LastHigh {
            destination,
            write_both: suffixes.take("gpr_wrboth"),
        });
    }
    Err(syntax(
        "expected start, a step or a last, such as 32x32_last",
    ))
}

fn memory(
    command: &str,
    transfer: &str,
    address: &[&str],
    count: &str,
    suffixes: &mut Suffixes<'_>,
) -> Result<Memory, AsmError> {
    let row = Command::ALL.iter().find(|row| row.1 == command);
    let Operand::Transfer(transfer) = operand(transfer)? else {
        return Err(syntax(format!(
            "`{transfer}` is no transfer register such as $xfer_0"
        )));
    };
    let address = match address {
        [base, offset] => Address::Sum {
            base: operand(base)?,
            offset: operand(offset)?,
        },
        [high, "<<8", low] => {
            let (high, low) = (operand(high)?, operand(low)?);
            // High in the B field is how such addresses are written, unless the banks say otherwise.
            if high.bank() == Some(Bank::A) || low.bank() == Some(Bank::B) {
                Address::HighA { high, low }
            } else {
                Address::HighB { high, low }
            }
        }
        _ => return Err(syntax("an address is BASE, OFFSET or HIGH, <<8, LOW")),
    };
    let indirect = suffixes.take("indirect_ref");
    let completion = match (
        suffixes.argument("ctx_swap", "sig")?,
        suffixes.argument("sig_done", "sig")?,
    ) {
        (Some(signal), None) => Completion::Wait {
            signal,
            defer: suffixes.argument("defer", "")?.unwrap_or(0),
        },
        (None, Some(signal)) => Completion::Signal { signal },
        (None, None) => Completion::Ignore,
        (Some(_), Some(_)) => return Err(syntax("ctx_swap and sig_done exclude each other")),
    };
    Ok(Memory {
        command: row
            .ok_or_else(|| syntax(format!("`{command}` is no memory command")))?
            .0,
        transfer,
        address,
        count: small(count)?,
        indirect,
        completion,
    })
}

/// What stands behind the brackets, each to be taken once.
struct Suffixes<'a>(Vec<&'a str>);

impl<'a> Suffixes<'a> {
    fn read(text: &'a str) -> Result<Suffixes<'a>, AsmError> {
        let mut parts = text.split(',').map(str::trim);
        if parts.next() != Some("") {
            return Err(syntax("expected `,` behind the brackets"));
        }
        Ok(Suffixes(parts.collect()))
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.0.iter().position(|suffix| *suffix == word);
        found.is_some_and(|index| {
            self.0.remove(index);
            true
        })
    }

    /// The number in `NAME[PREFIXnumber]`.
    fn argument(&mut self, name: &str, prefix: &str) -> Result<Option<u8>, AsmError> {
        let inside = |suffix: &str| {
            suffix
                .strip_prefix(name)?
                .strip_prefix('[')?
                .strip_suffix(']')?
                .strip_prefix(prefix)
                .map(str::to_owned)
        };
        let Some((index, argument)) = self
            .0
            .iter()
            .enumerate()
            .find_map(|(i, suffix)| Some((i, inside(suffix)?)))
        else {
            return Ok(None);
        };
        self.0.remove(index);
        small(&argument).map(Some)
    }

    fn finish(self) -> Result<(), AsmError> {
        match self.0.first() {
            None => Ok(()),
            Some(rest) => Err(syntax(format!("`{rest}` cannot stand here"))),
        }
    }
}

fn operand(text: &str) -> Result<Operand, AsmError> {
    let wrong = || syntax(format!("`{text}` is no operand"));
    if text == "--" {
        return Ok(Operand::None);
    }
    for (prefix, bank) in [("gprA_", Bank::A), ("gprB_", Bank::B)] {
        if let Some(number) = text.strip_prefix(prefix) {
            return Ok(Operand::Gpr(bank, small(number)?));
        }
    }
    if let Some(number) = text.strip_prefix("$xfer_") {
        return Ok(Operand::Transfer(small(number)?));
    }
    if let Some(rest) = text.strip_prefix("*l$index") {
        let (pointer, index) = rest.split_at_checked(1).ok_or_else(wrong)?;
        let index = match index {
            "" => LocalIndex::Word(0),
            "++" => LocalIndex::PostIncrement,
            "--" => LocalIndex::PostDecrement,
            _ => {
                let word = index
                    .strip_prefix('[')
                    .and_then(|index| index.strip_suffix(']'))
                    .ok_or_else(wrong)?;
                LocalIndex::Word(small(word)?)
            }
        };
        return Ok(Operand::Local(Local {
            pointer: small(pointer)?,
            index,
        }));
    }
    if text.starts_with("0x") {
        return u8::try_from(number(text)?)
            .map(Operand::Immediate)
            .map_err(|_| wrong());
    }
    Err(wrong())
}

fn destination(text: &str) -> Result<Destination, AsmError> {
    match operand(text)? {
        Operand::None => Ok(Destination::None),
        Operand::Gpr(bank, number) => Ok(Destination::Gpr(bank, number)),
        Operand::Transfer(number) => Ok(Destination::Transfer(number)),
        Operand::Local(local) => Ok(Destination::Local(local)),
        Operand::Immediate(_) => Err(syntax(format!("`{text}` cannot be written to"))),
    }
}

fn shift(text: &str) -> Result<Shift, AsmError> {
    let wrong = || syntax(format!("`{text}` is no shift such as >>3"));
    if let Some(amount) = text.strip_prefix(">>rot") {
        return Ok(match small(amount)? {
            0 => Shift::None,
            amount => Shift::RotateRight(amount),
        });
    }
    match (text.get(..2), text.get(2..)) {
        (Some(">>"), Some("indirect")) => Ok(Shift::RightIndirect),
        (Some("<<"), Some("indirect")) => Ok(Shift::LeftIndirect),
        (Some(">>"), Some(amount)) => Ok(Shift::Right(small(amount)?)),
        (Some("<<"), Some(amount)) => Ok(Shift::Left(small(amount)?)),
        _ => Err(wrong()),
    }
}

fn target(text: &str) -> Result<u16, AsmError> {
    let index = text
        .strip_prefix('.')
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    index
        .and_then(|index| index.parse().ok())
        .ok_or_else(|| syntax(format!("`{text}` is no target such as .12")))
}

/// A hexadecimal constant.
fn number(text: &str) -> Result<u32, AsmError> {
    let digits = text
        .strip_prefix("0x")
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digits
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or_else(|| syntax(format!("`{text}` is no constant such as 0x1f")))
}

/// A small decimal number.
fn small(text: &str) -> Result<u8, AsmError> {
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| syntax(format!("`{text}` is no number from 0 to 255")))
}

fn named<T: Copy>(all: &[(T, &'static str)], word: &str) -> Result<T, AsmError> {
    let found = all.iter().find(|(_, name)| *name == word);
    found
        .map(|(member, _)| *member)
        .ok_or_else(|| syntax(format!("`{word}` is not known here")))
}

fn syntax(text: impl Into<String>) -> AsmError {
    AsmError::Syntax(text.into())
}
