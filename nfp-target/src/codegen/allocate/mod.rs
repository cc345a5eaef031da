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

mod grouped;
mod interference;
mod liveness;
mod local;
mod parity;
mod taken;

use grouped::Grouped;
use interference::Interference;
use liveness::{Lists, live_out};
use local::LocalUse;
use parity::Parity;
use taken::Taken;

use std::cell::OnceCell;

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
    let (live, order) = live_out(program);
    let mut allocation = Allocation::new(program, &live, order);
    allocation.banks(program);
    allocation.colour(program)?;
    Ok(allocation.homes)
}

struct Allocation<'a> {
    live: &'a Lists<Reg>,
    homes: Homes,
    /// What of the card each home takes.
    taken: Vec<Taken>,
    interference: Interference,
    both: Vec<bool>,
    wishes: Grouped<Wish>,
    parity: Parity,
    /// Once it is needed.
    local_use: OnceCell<LocalUse>,
    /// All neighbours of each register, once they are needed.
    neighbours: Option<Vec<Vec<Reg>>>,
}

/// A home that saves a copy.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Same(Reg),
    Number(u8),
}

impl<'a> Allocation<'a> {
    fn new(program: &Program, live: &'a Lists<Reg>, order: Vec<Reg>) -> Self {
        let count = program.classes.len();
        Self {
            live,
            homes: vec![Home::None; count],
            taken: vec![Taken::default(); count],
            interference: Interference::new(program, live, order),
            both: vec![false; count],
            wishes: Grouped::default(),
            parity: Parity::new(count + 1),
            local_use: OnceCell::new(),
            neighbours: None,
        }
    }

    fn banks(&mut self, program: &Program) {
        let fixed = program.classes.len() as Reg;
        let mut alone: Vec<(Reg, Bank)> = Vec::new();
        let mut pairs: Vec<(Reg, Reg)> = Vec::new();
        for code in &program.blocks {
            let mut insts = code.code.iter().map(|(_, inst)| inst).peekable();
            while let Some(inst) = insts.next() {
                let indirect = insts.peek().is_some_and(|next| is_indirect(next));
                Self::constraints(inst, indirect, &mut alone, &mut pairs);
                self.wish(inst);
            }
        }
        self.wishes.group(program.classes.len());
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
            }
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
    }

    fn wish(&mut self, inst: &Inst) {
        let mut same = |one: Reg, other: Reg| {
            self.wishes.push(one, Wish::Same(other));
            self.wishes.push(other, Wish::Same(one));
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
            } => self.wishes.push(*from, Wish::Number(*number)),
            Inst::Call { low, high, .. } => {
                for (reg, number) in [(low, 0), (high, 1)] {
                    if let Some(reg) = reg {
                        self.wishes.push(*reg, Wish::Number(number));
                    }
                }
            }
            _ => {}
        }
    }

    fn colour(&mut self, program: &Program) -> Result<(), Unsupported> {
        for reg in std::mem::take(&mut self.interference.order) {
            let taken = self.interference.taken(reg, &self.taken);
            let home = match program.classes[reg as usize] {
                Class::Word => self.word(reg, taken),
                Class::Transfer(words) => taken.row(words).map(Home::Transfer),
            };
            let home = home
                .or_else(|| self.local(program, reg, taken))
                .or_else(|| self.push_out(program, reg));
            let Some(home) = home else {
                return Err(Unsupported {
                    slot: slot_of(program, reg),
                    why: Refusal::Registers,
                });
            };
            self.settle(program, reg, home);
        }
        Ok(())
    }

    fn settle(&mut self, program: &Program, reg: Reg, home: Home) {
        self.homes[reg as usize] = home;
        self.taken[reg as usize] = Taken::by(home, program.classes[reg as usize]);
    }

    fn word(&mut self, reg: Reg, taken: Taken) -> Option<Home> {
        let allowed = if self.interference.kept[reg as usize] {
            KEPT
        } else {
            NUMBERS
        };
        let [a, b] = taken.general.map(|taken| allowed & !taken);
        let wishes = self.wishes.of(reg);
        let homes = &self.homes;
        let wish = |free: u32, bank: Option<Bank>| {
            wishes.iter().find_map(|wish| match *wish {
                Wish::Number(number) => (free >> number & 1 == 1).then_some(number),
                Wish::Same(other) => match (homes[other as usize], bank) {
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

    fn local(&self, program: &Program, reg: Reg, taken: Taken) -> Option<Home> {
        let local_use = || self.local_use.get_or_init(|| LocalUse::new(program));
        if program.classes[reg as usize] != Class::Word || !local_use().allows(reg, &self.homes) {
            return None;
        }
        (program.arguments..LOCAL_WORDS as u8)
            .find(|&word| taken.local >> word & 1 == 0)
            .map(Home::Local)
    }

    /// Moves a neighbour to local memory, and takes its place.
    fn push_out(&mut self, program: &Program, reg: Reg) -> Option<Home> {
        if program.classes[reg as usize] != Class::Word {
            return None;
        }
        let neighbours = self
            .neighbours
            .take()
            .unwrap_or_else(|| interference::neighbours(program, self.live));
        let taken = |this: &Self, reg: Reg| {
            let others = neighbours[reg as usize].iter();
            others.fold(Taken::default(), |taken, &other| {
                taken.and(this.taken[other as usize])
            })
        };
        let mut found = None;
        for &other in &neighbours[reg as usize] {
            let was = self.homes[other as usize];
            if !matches!(was, Home::One(..) | Home::Both(_)) {
                continue;
            }
            let Some(local) = self.local(program, other, taken(self, other)) else {
                continue;
            };
            self.settle(program, other, local);
            found = self.word(reg, taken(self, reg));
            if found.is_some() {
                break;
            }
            self.settle(program, other, was);
        }
        self.neighbours = Some(neighbours);
        found
    }
}

/// Whether it shifts by what the operation before gives.
fn is_indirect(inst: &Inst) -> bool {
    matches!(
        inst,
        Inst::Shift {
            shift: Shift::LeftIndirect | Shift::RightIndirect,
            ..
        }
    )
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
