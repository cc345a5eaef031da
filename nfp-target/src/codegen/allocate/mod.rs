//! A place for each virtual register.
//!
//! Two general registers that are read together have to be in different banks. Registers are divided into two banks along
//! these pairs; one that does not fit into either is kept in both, under the same number. Then they are coloured in the
//! order of their first definition. What finds no general register gets a word of local memory, if all that is done
//! with it can be done there.
//!
//! Used are the registers that the driver's code uses, and no other: whether the firmware leaves others alone is not
//! known. Of these, helpers keep 12 to 19 (facts from running the driver's code). 21 is for copies, 22 has the address
//! of the frame in bank A and the packet's length in bank B.

mod liveness;
mod parity;

use liveness::{Live, live_out};
use parity::Parity;

use super::lir::{Class, Inst, Place, Program, Reg, Source, To};
use super::select::LOCAL_WORDS;
use super::{Refusal, Unsupported};
use crate::isa::{Bank, Shift};

/// General registers that hold values: 0 to 20.
const NUMBERS: u32 = (1 << 21) - 1;
/// Those that helpers keep: 12 to 19.
pub(super) const KEPT: u32 = 0xff << 12;

/// Where a virtual register is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// Nowhere: it is never written.
    None,
    /// A general register.
    One(Bank, u8),
    /// The general registers of this number in both banks.
    Both(u8),
    /// A word of our local memory.
    Local(u8),
    /// Transfer registers from this one on.
    Transfer(u8),
}

/// The homes of all virtual registers.
pub(super) type Homes = Vec<Home>;

/// Gives each virtual register a home.
pub(super) fn allocate(program: &Program) -> Result<Homes, Unsupported> {
    let live = live_out(program);
    let mut allocation = Allocation::new(program);
    allocation.interference(program, &live);
    allocation.banks(program);
    allocation.colour(program)?;
    Ok(allocation.homes)
}

struct Allocation {
    homes: Homes,
    neighbours: Vec<Vec<Reg>>,
    /// In the order of the first definition.
    order: Vec<Reg>,
    /// Live across a call.
    kept: Vec<bool>,
    both: Vec<bool>,
    /// Only used where a word of local memory can stand.
    spillable: Vec<bool>,
    /// The other source of an operation.
    partners: Vec<Vec<Reg>>,
    wishes: Vec<Vec<Wish>>,
    parity: Parity,
}

/// A home that saves a copy.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Same(Reg),
    Number(u8),
}

impl Allocation {
    fn new(program: &Program) -> Self {
        let count = program.classes.len();
        Self {
            homes: vec![Home::None; count],
            neighbours: vec![Vec::new(); count],
            order: Vec::new(),
            kept: vec![false; count],
            both: vec![false; count],
            spillable: vec![true; count],
            partners: vec![Vec::new(); count],
            wishes: vec![Vec::new(); count],
            parity: Parity::new(count + 1),
        }
    }

    fn interference(&mut self, program: &Program, out: &[Vec<Reg>]) {
        let mut seen = vec![false; program.classes.len()];
        let mut live = Live::new(program.classes.len());
        let mut writes = Vec::new();
        for (block, code) in program.blocks.iter().enumerate() {
            for (_, inst) in &code.code {
                inst.each_write(|reg| {
                    if !std::mem::replace(&mut seen[reg as usize], true) {
                        self.order.push(reg);
                    }
                });
            }
            live.clear();
            out[block].iter().for_each(|&reg| live.add(reg));
            for (_, inst) in code.code.iter().rev() {
                writes.clear();
                inst.each_write(|reg| writes.push(reg));
                for (index, &reg) in writes.iter().enumerate() {
                    for &other in live.list.iter().chain(&writes[..index]) {
                        self.meet(reg, other);
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
                    self.meet(*to, *reg);
                }
                for &reg in &writes {
                    live.remove(reg);
                }
                if let Inst::Call { .. } = inst {
                    for &reg in &live.list {
                        self.kept[reg as usize] = true;
                    }
                }
                inst.each_read(|reg| live.add(reg));
            }
        }
    }

    fn meet(&mut self, one: Reg, other: Reg) {
        if one != other {
            self.neighbours[one as usize].push(other);
            self.neighbours[other as usize].push(one);
        }
    }

    fn banks(&mut self, program: &Program) {
        let fixed = program.classes.len() as Reg;
        let mut alone: Vec<(Reg, Bank)> = Vec::new();
        let mut pairs: Vec<(Reg, Reg)> = Vec::new();
        for code in &program.blocks {
            let mut insts = code.code.iter().map(|(_, inst)| inst).peekable();
            while let Some(inst) = insts.next() {
                let indirect = matches!(
                    insts.peek(),
                    Some(Inst::Shift {
                        shift: Shift::LeftIndirect | Shift::RightIndirect,
                        ..
                    })
                );
                self.constraints(inst, indirect, &mut alone, &mut pairs);
                self.wish(inst);
            }
        }
        for (reg, bank) in alone {
            // Bank A is the side of the node that stands for it.
            if !self.parity.join(reg, fixed, bank == Bank::B) {
                self.both[reg as usize] = true;
            }
        }
        for (one, other) in pairs {
            if one == other {
                self.both[one as usize] = true;
            } else if !self.both[one as usize]
                && !self.both[other as usize]
                && !self.parity.join(one, other, true)
            {
                self.both[other as usize] = true;
            }
        }
    }

    fn constraints(
        &mut self,
        inst: &Inst,
        indirect: bool,
        alone: &mut Vec<(Reg, Bank)>,
        pairs: &mut Vec<(Reg, Reg)>,
    ) {
        let mut together = |a: Source, b: Source| match (a, b) {
            (Source::Reg(one), Source::Reg(other)) => pairs.push((one, other)),
            (Source::Reg(reg), Source::Length) | (Source::Length, Source::Reg(reg)) => {
                alone.push((reg, Bank::A));
            }
            (Source::Reg(reg), Source::Frame) | (Source::Frame, Source::Reg(reg)) => {
                alone.push((reg, Bank::B));
            }
            _ => {}
        };
        match inst {
            Inst::Alu { left, right, .. } => {
                together(*left, *right);
                if indirect {
                    if let Source::Reg(reg) = left {
                        alone.push((*reg, Bank::A));
                    }
                    if let Source::Reg(reg) = right {
                        alone.push((*reg, Bank::B));
                    }
                }
                for (one, other) in [(*left, *right), (*right, *left)] {
                    if let Source::Reg(reg) = one {
                        match other {
                            Source::Reg(partner) => self.partners[reg as usize].push(partner),
                            Source::Vector(_) => self.spillable[reg as usize] = false,
                            _ => {}
                        }
                        if indirect {
                            self.spillable[reg as usize] = false;
                        }
                    }
                }
                return;
            }
            Inst::Load { .. } | Inst::Copies(_) => return,
            Inst::Shift { left, right, .. } | Inst::Multiply { left, right, .. } => {
                together(*left, *right);
            }
            Inst::Field {
                to: To::Reg(to),
                source,
                ..
            } => together(Source::Reg(*to), *source),
            Inst::Read { place, .. }
            | Inst::Write { place, .. }
            | Inst::Add { place, .. }
            | Inst::AddImmediate { place } => {
                let (a, b) = match *place {
                    Place::Packet(base, offset) => (base, offset),
                    Place::MapValue(high, low) => (low, high),
                };
                for (source, bank) in [(a, Bank::A), (b, Bank::B)] {
                    if let Source::Reg(reg) = source {
                        alone.push((reg, bank));
                    }
                }
            }
            _ => {}
        }
        let spillable = &mut self.spillable;
        inst.each_read(|reg| spillable[reg as usize] = false);
        inst.each_write(|reg| spillable[reg as usize] = false);
    }

    fn wish(&mut self, inst: &Inst) {
        let mut same = |one: Reg, other: Reg| {
            self.wishes[one as usize].push(Wish::Same(other));
            self.wishes[other as usize].push(Wish::Same(one));
        };
        match inst {
            Inst::Copies(copies) => {
                for (to, source) in copies {
                    if let Source::Reg(from) = source {
                        same(*to, *from);
                    }
                }
            }
            Inst::Field {
                to: To::Reg(to),
                old: Some(Source::Reg(old)),
                ..
            } => same(*to, *old),
            Inst::Alu {
                to: To::Fixed(_, number),
                left: Source::None,
                right: Source::Reg(from),
                ..
            } => self.wishes[*from as usize].push(Wish::Number(*number)),
            Inst::Call { low, high, .. } => {
                for (reg, number) in [(low, 0), (high, 1)] {
                    if let Some(reg) = reg {
                        self.wishes[*reg as usize].push(Wish::Number(number));
                    }
                }
            }
            _ => {}
        }
    }

    fn colour(&mut self, program: &Program) -> Result<(), Unsupported> {
        for reg in std::mem::take(&mut self.order) {
            let home = match program.classes[reg as usize] {
                Class::Word => self.word(reg),
                Class::Transfer(words) => self.row(program, reg, words),
            };
            let home = home
                .or_else(|| self.local(program, reg))
                .or_else(|| self.push_out(program, reg));
            let Some(home) = home else {
                return Err(Unsupported {
                    slot: slot_of(program, reg),
                    why: Refusal::Registers,
                });
            };
            self.homes[reg as usize] = home;
        }
        Ok(())
    }

    /// The general registers of each bank that neighbours are in.
    fn taken(&self, reg: Reg) -> [u32; 2] {
        let mut taken = [0u32; 2];
        for &other in &self.neighbours[reg as usize] {
            match self.homes[other as usize] {
                Home::One(Bank::A, number) => taken[0] |= 1 << number,
                Home::One(Bank::B, number) => taken[1] |= 1 << number,
                Home::Both(number) => {
                    taken[0] |= 1 << number;
                    taken[1] |= 1 << number;
                }
                _ => {}
            }
        }
        taken
    }

    fn word(&mut self, reg: Reg) -> Option<Home> {
        let allowed = if self.kept[reg as usize] {
            KEPT
        } else {
            NUMBERS
        };
        let [a, b] = self.taken(reg).map(|taken| allowed & !taken);
        let wish = |free: u32, bank: Option<Bank>| {
            self.wishes[reg as usize]
                .iter()
                .find_map(|wish| match *wish {
                    Wish::Number(number) => (free >> number & 1 == 1).then_some(number),
                    Wish::Same(other) => match (self.homes[other as usize], bank) {
                        (Home::One(is, number), Some(bank)) if is == bank => Some(number),
                        (Home::Both(number), _) | (Home::One(_, number), None) => Some(number),
                        _ => None,
                    }
                    .filter(|number| free >> number & 1 == 1),
                })
        };
        // Registers that calls spoil are for those that live between calls.
        let pick = |free: u32, bank| {
            let first = if free & !KEPT != 0 {
                free & !KEPT
            } else {
                free
            };
            wish(free, bank).or_else(|| (free != 0).then(|| first.trailing_zeros() as u8))
        };
        if self.both[reg as usize] {
            return pick(a & b, None).map(Home::Both);
        }
        let fixed = self.homes.len() as Reg;
        let side = self.parity.side(reg, fixed);
        let bank = match side {
            Some(false) => Bank::A,
            Some(true) => Bank::B,
            None => {
                // Nothing asks for a bank yet: where a copy is saved, else where there is more room.
                let bank = if wish(a, Some(Bank::A)).is_some() {
                    Bank::A
                } else if wish(b, Some(Bank::B)).is_some() || b.count_ones() > a.count_ones() {
                    Bank::B
                } else {
                    Bank::A
                };
                self.parity.join(reg, fixed, bank == Bank::B);
                bank
            }
        };
        let free = if bank == Bank::A { a } else { b };
        pick(free, Some(bank)).map(|number| Home::One(bank, number))
    }

    fn row(&self, program: &Program, reg: Reg, words: u8) -> Option<Home> {
        let mut taken = 0u32;
        for &other in &self.neighbours[reg as usize] {
            if let (Home::Transfer(first), Class::Transfer(words)) =
                (self.homes[other as usize], program.classes[other as usize])
            {
                taken |= mask(first, words);
            }
        }
        (0..=32 - words)
            .find(|&first| taken & mask(first, words) == 0)
            .map(Home::Transfer)
    }

    fn local(&self, program: &Program, reg: Reg) -> Option<Home> {
        let partner_is_local = || {
            self.partners[reg as usize]
                .iter()
                .any(|&other| other == reg || matches!(self.homes[other as usize], Home::Local(_)))
        };
        if program.classes[reg as usize] != Class::Word
            || !self.spillable[reg as usize]
            || partner_is_local()
        {
            return None;
        }
        (program.arguments..LOCAL_WORDS as u8)
            .find(|&word| {
                self.neighbours[reg as usize]
                    .iter()
                    .all(|&other| self.homes[other as usize] != Home::Local(word))
            })
            .map(Home::Local)
    }

    /// Moves a neighbour to local memory, and takes its place.
    fn push_out(&mut self, program: &Program, reg: Reg) -> Option<Home> {
        if program.classes[reg as usize] != Class::Word {
            return None;
        }
        for other in self.neighbours[reg as usize].clone() {
            let was = self.homes[other as usize];
            if !matches!(was, Home::One(..) | Home::Both(_)) {
                continue;
            }
            let Some(local) = self.local(program, other) else {
                continue;
            };
            self.homes[other as usize] = local;
            if let Some(home) = self.word(reg) {
                return Some(home);
            }
            self.homes[other as usize] = was;
        }
        None
    }
}

fn mask(first: u8, words: u8) -> u32 {
    (((1u64 << words) - 1) << first) as u32
}

/// The slot of a register's first definition.
fn slot_of(program: &Program, reg: Reg) -> usize {
    program
        .blocks
        .iter()
        .flat_map(|code| &code.code)
        .find(|(_, inst)| {
            let mut writes = false;
            inst.each_write(|to| writes |= to == reg);
            writes
        })
        .map_or(0, |(slot, _)| *slot as usize)
}
