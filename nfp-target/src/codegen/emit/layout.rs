//! The order of the blocks.

use super::{Homes, Inst, Program, is_idle};

/// The order of the blocks. Blocks that only go on, and those that do the same, are not laid out.
pub(super) struct Layout {
    pub(super) order: Vec<usize>,
    real: Vec<usize>,
}

impl Layout {
    pub(super) fn new(program: &Program, homes: &Homes) -> Self {
        let count = program.blocks.len();
        // Blocks without effect lead on; endings are made once.
        let mut real: Vec<usize> = (0..count).collect();
        let mut finishes: Vec<(u8, usize)> = Vec::new();
        for (block, code) in program.blocks.iter().enumerate() {
            let mut code = code
                .code
                .iter()
                .map(|(_, inst)| inst)
                .filter(|inst| !is_idle(inst, homes));
            match (code.next(), code.next()) {
                (Some(Inst::Jump { target }), _) => real[block] = *target,
                (Some(Inst::Finish { action }), _) => {
                    match finishes.iter().find(|(known, _)| known == action) {
                        Some(&(_, first)) => real[block] = first,
                        None => finishes.push((*action, block)),
                    }
                }
                _ => {}
            }
        }
        let mut order = Vec::with_capacity(count);
        let layout = Self {
            order: Vec::new(),
            real,
        };
        let mut placed = vec![false; count];
        let mut waiting = vec![layout.real(0)];
        while let Some(start) = waiting.pop() {
            let mut at = start;
            while !std::mem::replace(&mut placed[at], true) {
                order.push(at);
                let targets = || program.targets(at).map(|to| layout.real(to));
                // The last target is where it goes on without a branch.
                let Some(next) = targets().filter(|&to| !placed[to]).last() else {
                    break;
                };
                waiting.extend(targets().filter(|&to| to != next && !placed[to]));
                at = next;
            }
        }
        Self { order, ..layout }
    }

    /// The block that does what this one does.
    pub(super) fn real(&self, block: usize) -> usize {
        let mut at = block;
        // A circle of idle blocks is an endless loop; it ends somewhere on it.
        for _ in 0..self.real.len() {
            if self.real[at] == at {
                break;
            }
            at = self.real[at];
        }
        at
    }
}
