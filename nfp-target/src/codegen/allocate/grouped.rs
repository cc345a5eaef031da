//! Lists of registers, all in one.

use crate::codegen::lir::Reg;

/// For each register a list, in the order in which it was made.
pub(super) struct Grouped<T>(Vec<(Reg, T)>);

impl<T> Default for Grouped<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Grouped<T> {
    pub(super) fn push(&mut self, reg: Reg, what: T) {
        self.0.push((reg, what));
    }

    /// Has to be called before [`Self::of`].
    pub(super) fn sort(&mut self) {
        self.0.sort_by_key(|(reg, _)| *reg);
    }

    /// A register's list.
    pub(super) fn of(&self, reg: Reg) -> &[(Reg, T)] {
        let from = &self.0[self.0.partition_point(|(of, _)| *of < reg)..];
        let count = from.iter().take_while(|(of, _)| *of == reg).count();
        &from[..count]
    }
}
