//! Lists of registers, all in one.

use crate::codegen::lir::Reg;

/// For each register a list, in the order in which it was made.
pub(super) struct Grouped<T> {
    pushed: Vec<(Reg, T)>,
    /// All lists, one after the other.
    lists: Vec<T>,
    /// Where each register's list begins, and where the last one ends.
    starts: Vec<u32>,
}

impl<T> Default for Grouped<T> {
    fn default() -> Self {
        Self {
            pushed: Vec::new(),
            lists: Vec::new(),
            starts: Vec::new(),
        }
    }
}

impl<T: Copy> Grouped<T> {
    pub(super) fn push(&mut self, reg: Reg, what: T) {
        self.pushed.push((reg, what));
    }

    /// Puts the lists of so many registers together; has to be called before [`Self::of`].
    pub(super) fn group(&mut self, registers: usize) {
        let Some(&(_, any)) = self.pushed.first() else {
            return;
        };
        self.starts = vec![0; registers + 1];
        for &(reg, _) in &self.pushed {
            self.starts[reg as usize] += 1;
        }
        let mut end = 0;
        for start in &mut self.starts {
            end += *start;
            *start = end;
        }
        self.lists = vec![any; self.pushed.len()];
        for &(reg, what) in self.pushed.iter().rev() {
            let at = &mut self.starts[reg as usize];
            *at -= 1;
            self.lists[*at as usize] = what;
        }
    }

    /// A register's list.
    pub(super) fn of(&self, reg: Reg) -> &[T] {
        match self.starts.get(reg as usize..reg as usize + 2) {
            Some(&[start, end]) => &self.lists[start as usize..end as usize],
            _ => &[],
        }
    }
}
