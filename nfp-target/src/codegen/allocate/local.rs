//! Which registers may be words of local memory instead.

use super::grouped::Grouped;
use super::{Home, Homes, is_indirect};
use crate::codegen::lir::{Inst, Program, Reg, Source};

/// What is done with each register, as far as it decides that.
pub(super) struct LocalUse {
    /// Only used where a word of local memory can stand.
    can_be_local: Vec<bool>,
    /// The other source of an operation: both cannot be in local memory.
    partners: Grouped<Reg>,
}

impl LocalUse {
    pub(super) fn new(program: &Program) -> Self {
        let mut found = Self {
            can_be_local: vec![true; program.classes.len()],
            partners: Grouped::default(),
        };
        for code in &program.blocks {
            let mut insts = code.code.iter().map(|(_, inst)| inst).peekable();
            while let Some(inst) = insts.next() {
                found.note(inst, insts.peek().is_some_and(|next| is_indirect(next)));
            }
        }
        found.partners.group(program.classes.len());
        found
    }

    fn note(&mut self, inst: &Inst, gives_amount: bool) {
        let can_be_local = &mut self.can_be_local;
        match inst {
            Inst::Alu { left, right, .. } => {
                for (one, other) in [(*left, *right), (*right, *left)] {
                    let Source::Reg(reg) = one else {
                        continue;
                    };
                    if let Source::Reg(partner) = other {
                        self.partners.push(reg, partner);
                    }
                    if gives_amount || matches!(other, Source::Vector(_)) {
                        can_be_local[reg as usize] = false;
                    }
                }
            }
            Inst::Load { .. } | Inst::Copies(_) => {}
            _ => {
                inst.each_read(|reg| can_be_local[reg as usize] = false);
                inst.each_write(|reg| can_be_local[reg as usize] = false);
            }
        }
    }

    /// Whether a register may be local beside those that are.
    pub(super) fn allows(&self, reg: Reg, homes: &Homes) -> bool {
        let is_local = |other: Reg| matches!(homes[other as usize], Home::Local(_));
        self.can_be_local[reg as usize]
            && !(self.partners.of(reg).iter()).any(|&other| other == reg || is_local(other))
    }
}
