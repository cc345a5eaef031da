//! One operation.

use super::{
    Alu, AluOperation, Bank, Command, Completion, Condition, Csr, Destination, EVENT, Emission,
    HELPER_BASE, Home, Immediate, ImmediatePart, Inst, Instruction, LoadField, LocalCsr, Memory,
    Multiply, MultiplySize, Operand, PLACEHOLDER, Place, Reg, Relocation, Result, SCRATCH, SIGNAL,
    ShiftOperation, Source, To, branch, covers, overlaps,
};

impl Emission<'_> {
    pub(super) fn inst(&mut self, inst: &Inst) -> Result<()> {
        match inst {
            &Inst::Alu {
                to,
                operation,
                left,
                right,
            } => {
                // A copy to where it is already.
                if let (To::Fixed(bank, number), Source::Reg(reg), AluOperation::B) =
                    (to, right, operation)
                    && covers(self.home(reg), Home::One(bank, number))
                {
                    return Ok(());
                }
                let (left, right) = self.pair(left, right)?;
                let (destination, write_both) = self.destination(to)?;
                self.push(Instruction::Alu(Alu {
                    destination,
                    operation,
                    left,
                    right,
                    write_both,
                }));
            }
            &Inst::Shift {
                to,
                operation,
                left,
                right,
                shift,
            } => {
                let (left, right) = self.pair(left, right)?;
                let (destination, write_both) = self.destination(to)?;
                self.push(Instruction::Shift(ShiftOperation {
                    destination,
                    operation,
                    left,
                    right,
                    shift,
                    write_both,
                }));
            }
            &Inst::Field {
                to,
                old,
                mask,
                source,
                shift,
            } => {
                if let (To::Reg(to), Some(Source::Reg(old))) = (to, old)
                    && !covers(self.home(old), self.home(to))
                {
                    let from = self.operand_of(self.home(old))?;
                    self.copy(self.home(to), from)?;
                }
                let (destination, write_both) = self.destination(to)?;
                // The destination is read like an operand.
                let sources = self.operands(source)?;
                let other = match destination {
                    Destination::Gpr(_, number) if write_both => {
                        Some(Destination::Gpr(Bank::B, number))
                    }
                    _ => None,
                };
                let fits = |to: Destination, from: Operand| {
                    from.bank().is_none() || from.bank() != Operand::from(to).bank()
                };
                let found = [Some(destination), other]
                    .into_iter()
                    .flatten()
                    .find_map(|to| {
                        let source = sources.iter().find(|&from| fits(to, from))?;
                        Some((to, source))
                    });
                let Some((destination, source)) = found else {
                    return self.internal("two registers of one bank");
                };
                self.push(Instruction::LoadField(LoadField {
                    destination,
                    mask,
                    clear: old.is_none(),
                    source,
                    shift,
                    write_both,
                }));
            }
            &Inst::Load { to, value } => {
                let (destination, write_both) = self.destination(to)?;
                self.load(destination, write_both, value);
            }
            &Inst::Multiply {
                short,
                left,
                right,
                low,
                high,
            } => self.multiply(short, left, right, low, high)?,
            &Inst::Read { to, place, words } => {
                let indirect = self.long(words);
                let first = self.first(to)?;
                self.memory(Command::Read32Swap, first, place, words.min(8), indirect)?;
            }
            &Inst::Write { from, place, bytes } => {
                let first = self.first(from)?;
                if bytes <= 8 {
                    self.memory(Command::Write8Swap, first, place, bytes, false)?;
                } else if bytes % 4 == 0 {
                    let indirect = self.long(bytes / 4);
                    self.memory(
                        Command::Write32Swap,
                        first,
                        place,
                        (bytes / 4).min(8),
                        indirect,
                    )?;
                } else {
                    let indirect = self.long(bytes);
                    self.memory(Command::Write8Swap, first, place, 8, indirect)?;
                }
            }
            &Inst::AddImmediate { place } => {
                self.memory(Command::AddImmediate, 0, place, 1, true)?;
            }
            &Inst::Add { from, place, wide } => {
                let first = self.first(from)?;
                let (command, count) = if wide {
                    (Command::Add64, 5)
                } else {
                    (Command::Add, 1)
                };
                self.memory(command, first, place, count, false)?;
            }
            &Inst::Random { to } => {
                let (destination, write_both) = self.destination(to)?;
                self.push(Instruction::LocalCsr(LocalCsr::Read { csr: Csr::Random }));
                self.load(destination, write_both, 0);
            }
            &Inst::Csr { csr, source } => {
                let source = self.operand(source)?;
                self.push(Instruction::LocalCsr(LocalCsr::Write { csr, source }));
            }
            &Inst::Call {
                helper,
                low,
                high,
                argument,
            } => self.call(helper, low, high, argument)?,
            Inst::Copies(copies) => self.copies(copies)?,
            &Inst::Finish { action } => {
                self.relocated(
                    branch(Condition::Always, PLACEHOLDER, 1),
                    Relocation::NextPacket,
                );
                self.load(Destination::Gpr(Bank::A, 0), false, u32::from(action) << 16);
            }
            Inst::Out => {
                self.relocated(branch(Condition::Always, PLACEHOLDER, 0), Relocation::Out);
            }
            Inst::Jump { .. } | Inst::Branch { .. } | Inst::BranchBit { .. } => {
                return self.internal("a branch inside a block");
            }
        }
        Ok(())
    }

    pub(super) fn memory(
        &mut self,
        command: Command,
        transfer: u8,
        place: Place,
        count: u8,
        indirect: bool,
    ) -> Result<()> {
        let address = self.address(place)?;
        let completion = if command == Command::AddImmediate {
            Completion::Ignore
        } else {
            Completion::Wait {
                signal: SIGNAL,
                defer: 0,
            }
        };
        self.push(Instruction::Memory(Memory {
            command,
            transfer,
            address,
            count,
            indirect,
            completion,
        }));
        Ok(())
    }

    /// A count beyond 8 is in the result of a word before.
    pub(super) fn long(&mut self, count: u8) -> bool {
        let is_long = count > 8;
        if is_long {
            let length = 0x80 | u32::from(count - 1) << 8;
            self.load(Destination::Gpr(Bank::A, SCRATCH), false, length);
        }
        is_long
    }

    pub(super) fn multiply(
        &mut self,
        short: bool,
        left: Source,
        right: Source,
        low: To,
        high: Option<To>,
    ) -> Result<()> {
        let (left, right) = self.pair(left, right)?;
        let size = if short {
            MultiplySize::By16
        } else {
            MultiplySize::By32
        };
        self.push(Instruction::Multiply(Multiply::Start { left, right }));
        for number in 1..=size.steps() {
            self.push(Instruction::Multiply(Multiply::Step {
                size,
                number,
                left,
                right,
            }));
        }
        let (destination, write_both) = self.destination(low)?;
        self.push(Instruction::Multiply(Multiply::Last {
            size,
            destination,
            write_both,
        }));
        if let Some(high) = high {
            let (destination, write_both) = self.destination(high)?;
            self.push(Instruction::Multiply(Multiply::LastHigh {
                destination,
                write_both,
            }));
        }
        Ok(())
    }

    pub(super) fn call(
        &mut self,
        helper: u16,
        low: Option<Reg>,
        high: Option<Reg>,
        argument: u16,
    ) -> Result<()> {
        self.relocated(
            branch(Condition::Always, HELPER_BASE + helper, 2),
            Relocation::Helper,
        );
        let number = u8::from(helper == EVENT);
        self.load(Destination::Gpr(Bank::A, number), false, argument.into());
        let back = self.pieces.len() + 1;
        self.relocated(
            Instruction::Immediate(Immediate {
                destination: Destination::Gpr(Bank::B, 0),
                value: back as u16,
                invert: false,
                part: ImmediatePart::Whole { shift: 0 },
                write_both: false,
            }),
            Relocation::Immediate,
        );
        let mut results: Vec<(Home, u8)> = [(low, 0), (high, 1)]
            .into_iter()
            .filter_map(|(reg, number)| Some((self.home(reg?), number)))
            .filter(|&(home, number)| !covers(Home::Both(number), home))
            .collect();
        // The one that overwrites the other's register comes last.
        if results.len() == 2 && overlaps(results[0].0, Home::Both(1)) {
            results.reverse();
        }
        if results.len() == 2 && overlaps(results[0].0, Home::Both(results[1].1)) {
            self.copy(
                Home::One(Bank::A, SCRATCH),
                Operand::Gpr(Bank::A, results[1].1),
            )?;
            self.copy(results[0].0, Operand::Gpr(Bank::A, results[0].1))?;
            return self.copy(results[1].0, Operand::Gpr(Bank::A, SCRATCH));
        }
        for (home, number) in results {
            self.copy(home, Operand::Gpr(Bank::A, number))?;
        }
        Ok(())
    }

    /// Loads a number with one or two words.
    pub(super) fn load(&mut self, destination: Destination, write_both: bool, number: u32) {
        let mut immediate = |value: u32, invert, part| {
            self.push(Instruction::Immediate(Immediate {
                destination,
                value: value as u16,
                invert,
                part,
                write_both,
            }));
        };
        for shift in [0, 8, 16] {
            for invert in [false, true] {
                let value = if invert { !number } else { number };
                if value & !(0xffff << shift) == 0 {
                    return immediate(value >> shift, invert, ImmediatePart::Whole { shift });
                }
            }
        }
        immediate(number & 0xffff, false, ImmediatePart::Whole { shift: 0 });
        immediate(number >> 16, false, ImmediatePart::High);
    }
}
