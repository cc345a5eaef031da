//! Which registers are needed at the same time.

use super::Taken;
use super::grouped::Grouped;
use super::liveness::{Lists, Live};
use crate::codegen::lir::{Inst, Program, Reg, Source, To};

/// What colouring asks. Each register only has to know those that were coloured before it; most are written once, and live
/// beside others that were written before: these are noted in one piece.
pub(super) struct Interference {
    /// In the order of the first definition, which is that of colouring.
    pub(super) order: Vec<Reg>,
    /// Live across a call, or where its arguments are put in place.
    pub(super) kept: Vec<bool>,
    pieces: Vec<Reg>,
    /// Of each register its piece of `pieces`.
    piece: Vec<(u32, u32)>,
    others: Grouped<Reg>,
}

impl Interference {
    pub(super) fn new(program: &Program, out: &Lists<Reg>, order: Vec<Reg>) -> Self {
        let count = program.classes.len();
        let mut position = vec![u32::MAX; count];
        for (at, &reg) in (0..).zip(&order) {
            position[reg as usize] = at;
        }
        let mut found = Self {
            order,
            kept: vec![false; count],
            pieces: Vec::with_capacity(8 * count),
            piece: vec![(0, 0); count],
            others: Grouped::default(),
        };
        let mut kept = std::mem::take(&mut found.kept);
        walk(program, out, |moment| match moment {
            Moment::Meets(reg, others) => found.meet(&position, reg, others),
            Moment::Spoils(live) => live.iter().for_each(|&reg| kept[reg as usize] = true),
        });
        found.kept = kept;
        found.others.group(count);
        found
    }

    fn meet(&mut self, position: &[u32], reg: Reg, others: &[Reg]) {
        let here = position[reg as usize];
        let (start, is_first) = (self.pieces.len() as u32, self.piece[reg as usize] == (0, 0));
        for &other in others {
            if other == reg {
                continue;
            }
            if position[other as usize] > here {
                self.others.push(other, reg);
            } else if is_first {
                self.pieces.push(other);
            } else {
                self.others.push(reg, other);
            }
        }
        if is_first {
            self.piece[reg as usize] = (start, self.pieces.len() as u32);
        }
    }

    /// What those take that were coloured before.
    pub(super) fn taken(&self, reg: Reg, homes: &[Taken]) -> Taken {
        let (start, end) = self.piece[reg as usize];
        let piece = &self.pieces[start as usize..end as usize];
        piece
            .iter()
            .chain(self.others.of(reg))
            .fold(Taken::default(), |taken, &other| {
                taken.and(homes[other as usize])
            })
    }
}

/// All neighbours of all registers.
pub(super) fn neighbours(program: &Program, out: &Lists<Reg>) -> Vec<Vec<Reg>> {
    let mut neighbours = vec![Vec::new(); program.classes.len()];
    walk(program, out, |moment| {
        if let Moment::Meets(reg, others) = moment {
            for &other in others.iter().filter(|&&other| other != reg) {
                neighbours[reg as usize].push(other);
                neighbours[other as usize].push(reg);
            }
        }
    });
    neighbours
}

enum Moment<'a> {
    /// A register is written while others are needed.
    Meets(Reg, &'a [Reg]),
    /// Registers that helpers do not keep are spoilt while these are needed.
    Spoils(&'a [Reg]),
}

fn walk(program: &Program, out: &Lists<Reg>, mut see: impl FnMut(Moment<'_>)) {
    let mut live = Live::new(program.classes.len());
    let mut writes = Vec::new();
    for (block, code) in program.blocks.iter().enumerate() {
        live.clear();
        out.of(block).iter().for_each(|&reg| live.add(reg));
        for (_, inst) in code.code.iter().rev() {
            writes.clear();
            // What comes after an argument in a certain register is not put there, like what comes after a call.
            let mut spoils = matches!(inst, Inst::Call { .. });
            inst.each_result(|to| match to {
                To::Reg(reg) | To::Transfer(reg, _) => writes.push(reg),
                To::Both(_) => spoils = true,
                _ => {}
            });
            for (index, &reg) in writes.iter().enumerate() {
                see(Moment::Meets(reg, &live.list));
                if index > 0 {
                    see(Moment::Meets(reg, &writes[..index]));
                }
            }
            // The bytes come after the old value is in place.
            if let Inst::Field {
                to: To::Reg(to),
                old: Some(old),
                source: source @ Source::Reg(reg),
                ..
            } = inst
                && (source != old || source == &Source::Reg(*to))
            {
                see(Moment::Meets(*to, &[*reg]));
            }
            for &reg in &writes {
                live.remove(reg);
            }
            if spoils {
                see(Moment::Spoils(&live.list));
            }
            inst.each_read(|reg| live.add(reg));
        }
    }
}
