//! Which virtual registers are needed later.

use crate::codegen::lir::{Program, Reg};

/// What is live at the end of each block. Takes as long as the lists are.
pub(super) fn live_out(program: &Program) -> Vec<Vec<Reg>> {
    let (registers, blocks) = (program.classes.len(), program.blocks.len());
    // The blocks that read a register before they write it, and those that write it: pairs, by register.
    let (mut exposed, mut written) = (Vec::new(), Vec::new());
    let mut written_in = vec![usize::MAX; registers];
    let mut before = vec![Vec::new(); blocks];
    for (block, code) in program.blocks.iter().enumerate() {
        for (_, inst) in &code.code {
            inst.each_read(|reg| {
                if written_in[reg as usize] != block {
                    exposed.push((reg, block));
                }
            });
            inst.each_write(|reg| {
                if std::mem::replace(&mut written_in[reg as usize], block) != block {
                    written.push((reg, block));
                }
            });
            if let Some(target) = inst.target() {
                before[target].push(block);
            }
        }
    }
    exposed.sort_unstable();
    exposed.dedup();
    written.sort_unstable();
    let mut out = vec![Vec::new(); blocks];
    // The last register that was found to be written in, and live at the end of, each block.
    let (mut writes, mut reached) = (vec![Reg::MAX; blocks], vec![Reg::MAX; blocks]);
    let mut work = Vec::new();
    let (mut exposed, mut written) = (&exposed[..], &written[..]);
    while let Some(&(reg, _)) = exposed.first() {
        written = &written[written.partition_point(|&(of, _)| of < reg)..];
        for &(_, block) in written.iter().take_while(|&&(of, _)| of == reg) {
            writes[block] = reg;
        }
        while let Some((&(of, block), rest)) = exposed.split_first()
            && of == reg
        {
            exposed = rest;
            work.push(block);
        }
        while let Some(block) = work.pop() {
            for &from in &before[block] {
                if std::mem::replace(&mut reached[from], reg) == reg {
                    continue;
                }
                out[from].push(reg);
                if writes[from] != reg {
                    work.push(from);
                }
            }
        }
    }
    out
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
