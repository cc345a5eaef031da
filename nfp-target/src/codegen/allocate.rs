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
pub(super) fn allocate(program: &mut Program) -> Result<Homes, Unsupported> {
    let live = liveness(program);
    let mut allocation = Allocation::new(program);
    allocation.interference(program, &live);
    allocation.banks(program);
    allocation.colour(program)?;
    Ok(allocation.homes)
}

/// What is live at the end of each block.
pub(super) fn liveness(program: &Program) -> Vec<Set> {
    let count = program.classes.len();
    let blocks = program.blocks.len();
    let mut read = vec![Set::new(count); blocks];
    let mut written = vec![Set::new(count); blocks];
    for (block, code) in program.blocks.iter().enumerate() {
        for (_, inst) in &code.code {
            let effect = inst.effect();
            for reg in effect.reads {
                if !written[block].has(reg) {
                    read[block].add(reg);
                }
            }
            for reg in effect.writes {
                written[block].add(reg);
            }
        }
    }
    let mut out = vec![Set::new(count); blocks];
    let mut before = vec![Vec::new(); blocks];
    for block in 0..blocks {
        for target in program.targets(block) {
            before[target].push(block);
        }
    }
    let mut work: Vec<usize> = (0..blocks).collect();
    let mut waits = vec![true; blocks];
    while let Some(block) = work.pop() {
        waits[block] = false;
        let mut live = out[block].clone();
        live.remove_all(&written[block]);
        live.add_all(&read[block]);
        for &from in &before[block] {
            if out[from].add_all(&live) && !waits[from] {
                waits[from] = true;
                work.push(from);
            }
        }
    }
    out
}

/// A set of registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set(Vec<u64>);

impl Set {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn has(&self, reg: Reg) -> bool {
        self.0[reg as usize / 64] >> (reg % 64) & 1 == 1
    }

    fn add(&mut self, reg: Reg) {
        self.0[reg as usize / 64] |= 1 << (reg % 64);
    }

    fn add_all(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            changed |= *other & !*word != 0;
            *word |= other;
        }
        changed
    }

    fn remove_all(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= !other;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Reg> {
        self.0.iter().enumerate().flat_map(|(at, &word)| {
            (0..64)
                .filter(move |bit| word >> bit & 1 == 1)
                .map(move |bit| at as Reg * 64 + bit)
        })
    }
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

    fn interference(&mut self, program: &Program, out: &[Set]) {
        let mut seen = vec![false; program.classes.len()];
        let mut live = Live::new(program.classes.len());
        for (block, code) in program.blocks.iter().enumerate() {
            for (_, inst) in &code.code {
                for reg in inst.effect().writes {
                    if !std::mem::replace(&mut seen[reg as usize], true) {
                        self.order.push(reg);
                    }
                }
            }
            live.clear();
            out[block].iter().for_each(|reg| live.add(reg));
            for (_, inst) in code.code.iter().rev() {
                let effect = inst.effect();
                for (index, &reg) in effect.writes.iter().enumerate() {
                    for &other in live.list.iter().chain(&effect.writes[..index]) {
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
                for &reg in &effect.writes {
                    live.remove(reg);
                }
                if let Inst::Call { .. } = inst {
                    for &reg in &live.list {
                        self.kept[reg as usize] = true;
                    }
                }
                for &reg in &effect.reads {
                    live.add(reg);
                }
            }
        }
        for list in &mut self.neighbours {
            list.sort_unstable();
            list.dedup();
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
        let effect = inst.effect();
        for reg in effect.reads.into_iter().chain(effect.writes) {
            self.spillable[reg as usize] = false;
        }
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
        .find(|(_, inst)| inst.effect().writes.contains(&reg))
        .map_or(0, |(slot, _)| *slot as usize)
}

/// A set that can be listed and emptied in the time of its size.
struct Live {
    list: Vec<Reg>,
    position: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

impl Live {
    fn new(count: usize) -> Self {
        Self {
            list: Vec::new(),
            position: vec![ABSENT; count],
        }
    }

    fn add(&mut self, reg: Reg) {
        if self.position[reg as usize] == ABSENT {
            self.position[reg as usize] = self.list.len() as u32;
            self.list.push(reg);
        }
    }

    fn remove(&mut self, reg: Reg) {
        let at = std::mem::replace(&mut self.position[reg as usize], ABSENT);
        if at != ABSENT {
            self.list.swap_remove(at as usize);
            if let Some(&moved) = self.list.get(at as usize) {
                self.position[moved as usize] = at;
            }
        }
    }

    fn clear(&mut self) {
        for reg in self.list.drain(..) {
            self.position[reg as usize] = ABSENT;
        }
    }
}

/// Union-find with sides: which of two sides each member of a group is on.
struct Parity {
    parent: Vec<Reg>,
    flipped: Vec<bool>,
}

impl Parity {
    fn new(count: usize) -> Self {
        Self {
            parent: (0..count as Reg).collect(),
            flipped: vec![false; count],
        }
    }

    /// The group's head, and whether the side is the opposite of its.
    fn find(&mut self, reg: Reg) -> (Reg, bool) {
        let (mut at, mut flipped) = (reg, false);
        while self.parent[at as usize] != at {
            flipped ^= self.flipped[at as usize];
            at = self.parent[at as usize];
        }
        // Shorten the way for the next time.
        let (mut walk, mut rest) = (reg, flipped);
        while self.parent[walk as usize] != walk {
            let (next, flip) = (self.parent[walk as usize], self.flipped[walk as usize]);
            self.parent[walk as usize] = at;
            self.flipped[walk as usize] = rest;
            rest ^= flip;
            walk = next;
        }
        (at, flipped)
    }

    /// Puts two on the same or on opposite sides; false if they are on the others already.
    fn join(&mut self, one: Reg, other: Reg, opposite: bool) -> bool {
        let ((head, flip), (other_head, other_flip)) = (self.find(one), self.find(other));
        if head == other_head {
            return flip ^ other_flip == opposite;
        }
        self.parent[head as usize] = other_head;
        self.flipped[head as usize] = flip ^ other_flip ^ opposite;
        true
    }

    /// Whether two are on opposite sides, if that is decided.
    fn side(&mut self, one: Reg, other: Reg) -> Option<bool> {
        let ((head, flip), (other_head, other_flip)) = (self.find(one), self.find(other));
        (head == other_head).then_some(flip ^ other_flip)
    }
}
