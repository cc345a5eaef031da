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

/// No virtual register.
const NONE: Reg = Reg::MAX;

/// The virtual register that each place holds.
type State = [Reg; PLACES];

/// Places, a bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Places(u128);

impl Places {
    fn one(place: usize) -> Self {
        Self(1u128.checked_shl(place as u32).unwrap_or(0))
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let place = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            (place < PLACES).then_some(place)
        })
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
    let mut before: Vec<Option<State>> = vec![None; blocks];
    before[0] = Some([NONE; PLACES]);
    let rank = ranks(program);
    let mut work = BinaryHeap::from([Reverse((rank[0], 0))]);
    let mut waits = vec![false; blocks];
    while let Some(Reverse((_, block))) = work.pop() {
        waits[block] = false;
        let Some(mut state) = before[block] else {
            continue;
        };
        for (_, inst) in &program.blocks[block].code {
            step(program, homes, inst, &mut state)?;
            let Some(target) = inst.target() else {
                continue;
            };
            let mut changed = true;
            match &mut before[target] {
                Some(known) => {
                    changed = false;
                    for (known, now) in known.iter_mut().zip(&state) {
                        if *known != NONE && known != now {
                            *known = NONE;
                            changed = true;
                        }
                    }
                }
                unknown => *unknown = Some(state),
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

fn places(program: &Program, homes: &Homes, reg: Reg) -> Places {
    match homes[reg as usize] {
        Home::None => Places(0),
        Home::One(Bank::A, number) => Places::one(number.into()),
        Home::One(Bank::B, number) => Places::one(BANK + usize::from(number)),
        Home::Both(number) => {
            Places::one(number.into()).and(Places::one(BANK + usize::from(number)))
        }
        Home::Local(word) => Places::one(LOCAL + usize::from(word)),
        Home::Transfer(first) => {
            let words = match program.classes[reg as usize] {
                Class::Word => 1,
                Class::Transfer(words) => words,
            };
            (0..words).fold(Places(0), |row, word| {
                row.and(Places::one(TRANSFER + usize::from(first + word)))
            })
        }
    }
}

/// One of a row of transfer registers.
fn one_of(row: Places, index: u8) -> Places {
    row.iter().nth(index.into()).map_or(Places(0), Places::one)
}

fn holds(state: &State, places: Places, reg: Reg) -> Result<(), String> {
    if places == Places(0) {
        return Err(format!("v{reg} is read and has no home"));
    }
    if places.iter().any(|place| state[place] != reg) {
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
                _ => (reg, one_of(all(reg), index)),
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
        let kept = to.0 & !old.0 == 0;
        if !kept && to.meets(source) {
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
    let mut written = Places(0);
    let mut outcome = Ok(());
    inst.each_result(|to| {
        let (reg, places) = match to {
            To::Reg(reg) => (reg, all(reg)),
            To::Transfer(reg, index) => match inst {
                Inst::Read { .. } => (reg, all(reg)),
                _ => (reg, one_of(all(reg), index)),
            },
            To::Local(word) => (NONE, Places::one(LOCAL + usize::from(word))),
            To::Fixed(Bank::A, number) => (NONE, Places::one(number.into())),
            To::Fixed(Bank::B, number) => (NONE, Places::one(BANK + usize::from(number))),
            To::Both(number) => {
                let both = Places::one(number.into());
                (NONE, both.and(Places::one(BANK + usize::from(number))))
            }
            To::Nothing | To::Vector(_) | To::Length => return,
        };
        if places.meets(written) {
            outcome = Err("two results in one place".into());
        } else if places.0 >> PLACES != 0 {
            outcome = Err("a place that does not exist".into());
        }
        written = written.and(places);
        for place in places.iter() {
            state[place] = reg;
        }
    });
    outcome
}
