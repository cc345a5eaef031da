//! Copies at once.

use super::{
    Alu, AluOperation, Bank, Emission, Home, Instruction, Operand, Reg, Result, SCRATCH, Source,
    covers, overlaps,
};

impl Emission<'_> {
    pub(super) fn copy(&mut self, to: Home, from: Operand) -> Result<()> {
        let (destination, write_both) = self.destination_of(to)?;
        self.push(Instruction::Alu(Alu {
            destination,
            operation: AluOperation::B,
            left: Operand::None,
            right: from,
            write_both,
        }));
        Ok(())
    }

    /// Copies at once: one after the other, each when nobody needs what it overwrites any more.
    pub(super) fn copies(&mut self, copies: &[(Reg, Source)]) -> Result<()> {
        #[derive(Clone, Copy)]
        enum From {
            Home(Home),
            Other(Source),
            Scratch,
        }
        let mut pending: Vec<(Home, From)> = copies
            .iter()
            .map(|&(to, source)| {
                let from = match source {
                    Source::Reg(reg) => From::Home(self.home(reg)),
                    source => From::Other(source),
                };
                (self.home(to), from)
            })
            .filter(|(to, from)| !matches!(from, From::Home(home) if covers(*home, *to)))
            .collect();
        while !pending.is_empty() {
            let free = (0..pending.len()).find(|&at| {
                pending.iter().enumerate().all(|(other, (_, from))| {
                    other == at
                        || !matches!(from, From::Home(home) if overlaps(pending[at].0, *home))
                })
            });
            let Some(at) = free else {
                // A circle: one goes by way of the scratch register.
                let From::Home(home) = pending[0].1 else {
                    return self.internal("copies that wait for each other");
                };
                let from = self.operand_of(home)?;
                self.copy(Home::One(Bank::A, SCRATCH), from)?;
                pending[0].1 = From::Scratch;
                continue;
            };
            let (to, from) = pending.swap_remove(at);
            match from {
                From::Home(home) => {
                    let from = self.operand_of(home)?;
                    self.copy(to, from)?;
                }
                From::Scratch => self.copy(to, Operand::Gpr(Bank::A, SCRATCH))?,
                From::Other(Source::Constant(number)) => {
                    let (destination, both) = self.destination_of(to)?;
                    self.load(destination, both, number);
                }
                From::Other(source) => {
                    let from = self.operand(source)?;
                    self.copy(to, from)?;
                }
            }
        }
        Ok(())
    }
}
