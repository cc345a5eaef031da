//! Proves an allocation: on every path, each register that is read holds what was last written to the virtual register
//! that lives there. Made without the allocator's own sets.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::allocate::{Home, Homes, KEPT};
use super::lir::{Class, Inst, Program, Reg, Source, To};
use crate::isa::Bank;

const LOCAL: usize = 64;
const TRANSFER: usize = LOCAL + 16;
const PLACES: usize = TRANSFER + 32;
/// Registers of a bank.
const BANK: usize = 32;
const SCRATCH: usize = 21;

/// A virtual register in few bytes: there are at most [`MOST_REGISTERS`].
type Held = u16;

/// No virtual register.
const NONE: Held = Held::MAX;

/// Most virtual registers that can be checked: more than the card has room for words.
pub(super) const MOST_REGISTERS: usize = NONE as usize;

/// The virtual register that each place holds.
type State = [Held; PLACES];

/// A row of places: of a register in both banks, or of transfer registers, more than one.
#[derive(Clone, Copy)]
struct Places {
    first: usize,
    distance: usize,
    count: usize,
}

impl Places {
    const NONE: Self = Self::row(0, 0);

    const fn row(first: usize, count: usize) -> Self {
        Self {
            first,
            distance: 1,
            count,
        }
    }

    /// A general register in both banks.
    fn both(number: u8) -> Self {
        Self {
            first: number.into(),
            distance: BANK,
            count: 2,
        }
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |index| self.first + index * self.distance)
    }

    fn has(self, place: usize) -> bool {
        self.iter().any(|its| its == place)
    }

    /// One of the row.
    fn at(self, index: u8) -> Self {
        let place = self.iter().nth(index.into());
        place.map_or(Self::NONE, |place| Self::row(place, 1))
    }
}

/// Checks the homes of a program's virtual registers.
///
/// # Errors
/// What does not hold, in words.
pub(super) fn check(program: &Program, homes: &Homes) -> Result<(), String> {
    let blocks = program.blocks.len();
    if blocks == 0 {
        return Ok(());
    }
    // Of the blocks that were reached, in that order; and which of them each block has.
    let mut states: Vec<State> = Vec::with_capacity(blocks);
    let mut before = vec![usize::MAX; blocks];
    states.push([NONE; PLACES]);
    before[0] = 0;
    let rank = ranks(program);
    let mut work = BinaryHeap::from([Reverse((rank[0], 0))]);
    let mut waits = vec![false; blocks];
    while let Some(Reverse((_, block))) = work.pop() {
        waits[block] = false;
        let Some(&(mut state)) = states.get(before[block]) else {
            continue;
        };
        for (_, inst) in &program.blocks[block].code {
            step(program, homes, inst, &mut state)?;
            let Some(target) = inst.target() else {
                continue;
            };
            let mut changed = true;
            if let Some(known) = states.get_mut(before[target]) {
                changed = false;
                for (known, now) in known.iter_mut().zip(&state) {
                    if *known != NONE && known != now {
                        *known = NONE;
                        changed = true;
                    }
                }
            } else {
                before[target] = states.len();
                states.push(state);
            }
            if changed && !std::mem::replace(&mut waits[target], true) {
                work.push(Reverse((rank[target], target)));
            }
        }
    }
    Ok(())
}

/// An order in which each block comes after those that lead to it, loops apart: so most are looked at once.
fn ranks(program: &Program) -> Vec<u32> {
    let mut rank = vec![u32::MAX; program.blocks.len()];
    let mut seen = vec![false; program.blocks.len()];
    let mut next = u32::MAX;
    let mut work = vec![(0, false)];
    while let Some((block, done)) = work.pop() {
        if done {
            next -= 1;
            rank[block] = next;
        } else if !std::mem::replace(&mut seen[block], true) {
            work.push((block, true));
            let targets = program.blocks[block].code.iter();
            work.extend(targets.filter_map(|(_, inst)| Some((inst.target()?, false))));
        }
    }
    rank
}

/// Where a general register is.
fn general(bank: Bank, number: u8) -> Places {
    Places::row(
        usize::from(number) + if bank == Bank::B { BANK } else { 0 },
        1,
    )
}

fn places(program: &Program, homes: &Homes, reg: Reg) -> Places {
    match homes[reg as usize] {
        Home::None => Places::NONE,
        Home::One(bank, number) => general(bank, number),
        Home::Both(number) => Places::both(number),
        Home::Local(word) => Places::row(LOCAL + usize::from(word), 1),
        Home::Transfer(first) => {
            let words = match program.classes[reg as usize] {
                Class::Word => 1,
                Class::Transfer(words) => words,
            };
            Places::row(TRANSFER + usize::from(first), words.into())
        }
    }
}

fn holds(state: &State, places: Places, reg: Reg) -> Result<(), String> {
    if places.count == 0 {
        return Err(format!("v{reg} is read and has no home"));
    }
    if places
        .iter()
        .any(|place| state.get(place) != Some(&(reg as Held)))
    {
        return Err(format!("v{reg} is read where it is not"));
    }
    Ok(())
}

fn step(program: &Program, homes: &Homes, inst: &Inst, state: &mut State) -> Result<(), String> {
    let all = |reg| places(program, homes, reg);
    let mut outcome = Ok(());
    inst.each_source(|source| {
        let (reg, places) = match source {
            Source::Reg(reg) => (reg, all(reg)),
            Source::Transfer(reg, index) => match inst {
                Inst::Write { .. } | Inst::Add { .. } => (reg, all(reg)),
                _ => (reg, all(reg).at(index)),
            },
            _ => return,
        };
        if outcome.is_ok() {
            outcome = holds(state, places, reg);
        }
    });
    outcome?;
    if let Inst::Field {
        to: To::Reg(to),
        old: Some(Source::Reg(old)),
        source: Source::Reg(source),
        ..
    } = inst
        && old != source
    {
        let (to, old, source) = (all(*to), all(*old), all(*source));
        let is_kept = to.iter().all(|place| old.has(place));
        if !is_kept && to.iter().any(|place| source.has(place)) {
            return Err("the old value is put where the new bytes are".into());
        }
    }
    if let Inst::Call { .. } = inst {
        for (place, held) in state.iter_mut().enumerate() {
            let number = place % BANK;
            let kept = place < LOCAL && KEPT >> number & 1 == 1 && number != SCRATCH
                || (LOCAL..TRANSFER).contains(&place);
            if !kept {
                *held = NONE;
            }
        }
    }
    let written = |to| match to {
        To::Reg(reg) => (reg as Held, all(reg)),
        To::Transfer(reg, index) => match inst {
            Inst::Read { .. } => (reg as Held, all(reg)),
            _ => (reg as Held, all(reg).at(index)),
        },
        To::Local(word) => (NONE, Places::row(LOCAL + usize::from(word), 1)),
        To::Fixed(bank, number) => (NONE, general(bank, number)),
        To::Both(number) => (NONE, Places::both(number)),
        To::Nothing | To::Vector(_) | To::Length => (NONE, Places::NONE),
    };
    let mut outcome = Ok(());
    inst.each_result(|to| {
        let (reg, places) = written(to);
        for place in places.iter() {
            match state.get_mut(place) {
                Some(holds) => *holds = reg,
                None => outcome = Err("a place that does not exist".to_owned()),
            }
        }
    });
    outcome?;
    // One that was put where another is has overwritten it.
    let mut all_there = true;
    inst.each_result(|to| {
        let (reg, places) = written(to);
        all_there &= places.iter().all(|place| state[place] == reg);
    });
    if all_there {
        Ok(())
    } else {
        Err("two results in one place".to_owned())
    }
}
