//! Which virtual registers are needed later.

use crate::codegen::lir::{Program, Reg};

/// Lists by block, all in one.
pub(super) struct Lists<T> {
    items: Vec<T>,
    /// Where the list of each block ends.
    ends: Vec<u32>,
}

impl<T: Copy + Default> Lists<T> {
    /// From pairs of a block and what is in its list.
    fn new(blocks: usize, pairs: &[(u32, T)]) -> Self {
        let mut ends = vec![0; blocks + 1];
        for (block, _) in pairs {
            ends[*block as usize + 1] += 1;
        }
        for block in 0..blocks {
            ends[block + 1] += ends[block];
        }
        let mut items = vec![T::default(); pairs.len()];
        // Each start moves on to the list's end, which is the start of the next.
        for (block, item) in pairs {
            let at = &mut ends[*block as usize];
            items[*at as usize] = *item;
            *at += 1;
        }
        Self { items, ends }
    }

    /// The list of a block.
    pub(super) fn of(&self, block: usize) -> &[T] {
        let start = block.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.items[start as usize..self.ends[block] as usize]
    }
}

/// What is live at the end of each block, and all registers in the order of their first definition. Takes as long as the
/// lists are.
pub(super) fn live_out(program: &Program) -> (Lists<Reg>, Vec<Reg>) {
    let (registers, blocks) = (program.classes.len(), program.blocks.len());
    // The blocks that read a register before they write it, and those that write it: pairs, by register.
    let (mut exposed, mut written) = (Vec::new(), Vec::with_capacity(registers));
    let mut order = Vec::with_capacity(registers);
    let mut is_exposed = vec![false; registers];
    let mut written_in = vec![u32::MAX; registers];
    let mut edges = Vec::with_capacity(2 * blocks);
    for (block, code) in (0..).zip(&program.blocks) {
        for (_, inst) in &code.code {
            inst.each_read(|reg| {
                if written_in[reg as usize] != block {
                    is_exposed[reg as usize] = true;
                    exposed.push((reg, block));
                }
            });
            inst.each_write(|reg| {
                let before = std::mem::replace(&mut written_in[reg as usize], block);
                if before == u32::MAX {
                    order.push(reg);
                }
                if before != block {
                    written.push((reg, block));
                }
            });
            if let Some(target) = inst.target() {
                edges.push((target as u32, block));
            }
        }
    }
    let before = Lists::new(blocks, &edges);
    exposed.sort_unstable();
    exposed.dedup();
    // Most are only read where they were written.
    written.retain(|&(reg, _)| is_exposed[reg as usize]);
    written.sort_unstable();
    let mut out = Vec::with_capacity(exposed.len());
    // The last register that was found to be written in, and live at the end of, each block.
    let (mut writes, mut reached) = (vec![Reg::MAX; blocks], vec![Reg::MAX; blocks]);
    let mut work = Vec::new();
    let (mut exposed, mut written) = (&exposed[..], &written[..]);
    while let Some(&(reg, _)) = exposed.first() {
        while let Some((&(of, block), rest)) = written.split_first()
            && of <= reg
        {
            written = rest;
            writes[block as usize] = of;
        }
        while let Some((&(of, block), rest)) = exposed.split_first()
            && of == reg
        {
            exposed = rest;
            work.push(block);
        }
        while let Some(block) = work.pop() {
            for &from in before.of(block as usize) {
                if std::mem::replace(&mut reached[from as usize], reg) == reg {
                    continue;
                }
                out.push((from, reg));
                if writes[from as usize] != reg {
                    work.push(from);
                }
            }
        }
    }
    (Lists::new(blocks, &out), order)
}

/// A set that can be listed and emptied in the time of its size.
pub(super) struct Live {
    pub(super) list: Vec<Reg>,
    position: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

impl Live {
    pub(super) fn new(count: usize) -> Self {
        Self {
            list: Vec::new(),
            position: vec![ABSENT; count],
        }
    }

    pub(super) fn add(&mut self, reg: Reg) {
        if self.position[reg as usize] == ABSENT {
            self.position[reg as usize] = self.list.len() as u32;
            self.list.push(reg);
        }
    }

    pub(super) fn remove(&mut self, reg: Reg) {
        let at = std::mem::replace(&mut self.position[reg as usize], ABSENT);
        if at != ABSENT {
            self.list.swap_remove(at as usize);
            if let Some(&moved) = self.list.get(at as usize) {
                self.position[moved as usize] = at;
            }
        }
    }

    pub(super) fn clear(&mut self) {
        for reg in self.list.drain(..) {
            self.position[reg as usize] = ABSENT;
        }
    }
}
