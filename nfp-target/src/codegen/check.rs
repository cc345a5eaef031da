//! Proves an allocation: on every path, each register that is read holds what was last written to the virtual register
//! that lives there. Made without the allocator's own sets.

use super::allocate::{Home, Homes, KEPT};
use super::lir::{Class, Inst, Program, Reg, Source, To};
use crate::isa::Bank;

const LOCAL: usize = 64;
const TRANSFER: usize = LOCAL + 16;
const PLACES: usize = TRANSFER + 32;
/// Registers of a bank.
const BANK: usize = 32;
const SCRATCH: usize = 21;

/// The virtual register that each place holds.
type State = Vec<Option<Reg>>;

/// Checks the homes of a program's virtual registers.
///
/// # Errors
/// What does not hold, in words.
pub(super) fn check(program: &Program, homes: &Homes) -> Result<(), String> {
    let blocks = program.blocks.len();
    let mut before: Vec<Option<State>> = vec![None; blocks];
    if blocks == 0 {
        return Ok(());
    }
    before[0] = Some(vec![None; PLACES]);
    let mut work = vec![0];
    while let Some(block) = work.pop() {
        let Some(mut state) = before[block].clone() else {
            continue;
        };
        for (_, inst) in &program.blocks[block].code {
            step(program, homes, inst, &mut state)?;
            if let Some(target) = inst.target() {
                let changed = match &mut before[target] {
                    Some(known) => {
                        let mut changed = false;
                        for (known, now) in known.iter_mut().zip(&state) {
                            if known.is_some() && known != now {
                                *known = None;
                                changed = true;
                            }
                        }
                        changed
                    }
                    unknown => {
                        *unknown = Some(state.clone());
                        true
                    }
                };
                if changed {
                    work.push(target);
                }
            }
        }
    }
    Ok(())
}

fn places(homes: &Homes, reg: Reg, words: u8) -> Vec<usize> {
    match homes[reg as usize] {
        Home::None => Vec::new(),
        Home::One(Bank::A, number) => vec![number.into()],
        Home::One(Bank::B, number) => vec![BANK + usize::from(number)],
        Home::Both(number) => vec![number.into(), BANK + usize::from(number)],
        Home::Local(word) => vec![LOCAL + usize::from(word)],
        Home::Transfer(first) => (0..words)
            .map(|word| TRANSFER + usize::from(first + word))
            .collect(),
    }
}

fn width(program: &Program, reg: Reg) -> u8 {
    match program.classes[reg as usize] {
        Class::Word => 1,
        Class::Transfer(words) => words,
    }
}

fn holds(state: &State, places: &[usize], reg: Reg) -> Result<(), String> {
    if places.is_empty() {
        return Err(format!("v{reg} is read and has no home"));
    }
    for &place in places {
        if state.get(place).copied().flatten() != Some(reg) {
            return Err(format!("v{reg} is read where it is not"));
        }
    }
    Ok(())
}

fn step(program: &Program, homes: &Homes, inst: &Inst, state: &mut State) -> Result<(), String> {
    let all = |reg| places(homes, reg, width(program, reg));
    for source in inst.sources() {
        match source {
            Source::Reg(reg) => holds(state, &all(reg), reg)?,
            Source::Transfer(reg, index) => match inst {
                Inst::Write { .. } | Inst::Add { .. } => holds(state, &all(reg), reg)?,
                _ => holds(
                    state,
                    &all(reg)[usize::from(index)..=usize::from(index)],
                    reg,
                )?,
            },
            _ => {}
        }
    }
    if let Inst::Field {
        to: To::Reg(to),
        old: Some(Source::Reg(old)),
        source: Source::Reg(source),
        ..
    } = inst
        && old != source
    {
        let (to, old, source) = (all(*to), all(*old), all(*source));
        let kept = to.iter().all(|place| old.contains(place));
        if !kept && to.iter().any(|place| source.contains(place)) {
            return Err("the old value is put where the new bytes are".into());
        }
    }
    if let Inst::Call { .. } = inst {
        for (place, held) in state.iter_mut().enumerate() {
            let number = place % BANK;
            let kept = place < LOCAL && KEPT >> number & 1 == 1 && number != SCRATCH
                || (LOCAL..TRANSFER).contains(&place);
            if !kept {
                *held = None;
            }
        }
    }
    let mut written: Vec<usize> = Vec::new();
    for to in inst.results() {
        let (reg, places) = match to {
            To::Reg(reg) => (Some(reg), all(reg)),
            To::Transfer(reg, index) => match inst {
                Inst::Read { .. } => (Some(reg), all(reg)),
                _ => (Some(reg), vec![all(reg)[usize::from(index)]]),
            },
            To::Local(word) => (None, vec![LOCAL + usize::from(word)]),
            To::Fixed(Bank::A, number) => (None, vec![number.into()]),
            To::Fixed(Bank::B, number) => (None, vec![BANK + usize::from(number)]),
            To::Both(number) => (None, vec![number.into(), BANK + usize::from(number)]),
            To::Nothing | To::Vector(_) | To::Length => continue,
        };
        for place in places {
            if written.contains(&place) {
                return Err("two results in one place".into());
            }
            if place >= PLACES {
                return Err("a place that does not exist".into());
            }
            written.push(place);
            state[place] = reg;
        }
    }
    Ok(())
}
