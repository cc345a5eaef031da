//! What a program does to maps: every access of a value, and every change of keys.

use super::facts::{Content, Facts};
use super::program::{Op, Position, Program};
use crate::isa::{AtomicOp, Callee, Instruction, Reg, Size};
use crate::verify::Place;

/// Bytes of a value: from, to.
pub(super) type Part = (u32, u32);

/// How a value is accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Read.
    Read,
    /// Added to atomically, without a look at it.
    Add,
    /// Written in any other way.
    Write,
    /// Put in as a whole, or taken out: keys change, too (`bpf_map_update_elem`, `bpf_map_delete_elem`).
    Element,
    /// Its address, or the map's, is given to something that may do anything with it.
    Given,
}

/// An access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    /// The step.
    pub(super) position: Position,
    /// How.
    pub(super) how: How,
    /// Of which map; `None`: it may be any.
    pub(super) map: Option<u32>,
    /// Of which bytes; `None`: it may be any.
    pub(super) part: Option<Part>,
}

impl Access {
    /// Whether two accesses may be of the same bytes of the same map.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let same = self.map.is_none() || other.map.is_none() || self.map == other.map;
        same && match (self.part, other.part) {
            (Some((from, to)), Some((other_from, other_to))) => from < other_to && other_from < to,
            _ => true,
        }
    }
}

const MAP_LOOKUP: i32 = 1;
const MAP_UPDATE: i32 = 2;
const MAP_DELETE: i32 = 3;

/// All accesses of a program that is known.
pub(super) fn accesses(program: &Program, facts: &Facts) -> Vec<Access> {
    let mut found = Vec::new();
    for block in program.block_ids() {
        for (index, step) in program[block].steps.iter().enumerate() {
            if let Op::Plain(instruction) = &step.op {
                of_instruction(facts, Position { block, index }, instruction, &mut found);
            }
        }
    }
    found
}

fn of_instruction(
    facts: &Facts,
    position: Position,
    instruction: &Instruction,
    found: &mut Vec<Access>,
) {
    let mut memory = |how, base, off: i16, size: Size| {
        let content = facts.register(position, base);
        let (map, part) = match content {
            Content::Address {
                place: Place::MapValue(map),
                ..
            } => (Some(map), part(&content, off, size)),
            Content::Address { .. } => return,
            Content::Mixed | Content::Nothing | Content::Number(_) => (None, None),
        };
        found.push(Access {
            position,
            how,
            map,
            part,
        });
    };
    match *instruction {
        Instruction::Load {
            size, base, off, ..
        }
        | Instruction::LoadAcquire {
            size, base, off, ..
        } => memory(How::Read, base, off, size),
        Instruction::Atomic {
            op: AtomicOp::Add,
            size,
            base,
            off,
            fetch: false,
            ..
        } => memory(How::Add, base, off, size),
        Instruction::Store {
            size, base, off, ..
        }
        | Instruction::StoreRelease {
            size, base, off, ..
        }
        | Instruction::Atomic {
            size, base, off, ..
        }
        | Instruction::Exchange {
            size, base, off, ..
        }
        | Instruction::CompareExchange {
            size, base, off, ..
        } => memory(How::Write, base, off, size),
        Instruction::Call(Callee::Helper(MAP_LOOKUP)) => {}
        Instruction::Call(callee) => of_call(facts, position, callee, found),
        _ => {}
    }
}

fn of_call(facts: &Facts, position: Position, callee: Callee, found: &mut Vec<Access>) {
    let element = matches!(callee, Callee::Helper(MAP_UPDATE | MAP_DELETE));
    let mut add = |how, map| {
        found.push(Access {
            position,
            how,
            map,
            part: None,
        });
    };
    if element {
        add(
            How::Element,
            match facts.register(position, Reg::R1).place() {
                Some(Place::Map(map)) => Some(map),
                _ => None,
            },
        );
        // Keys and values are read only.
        return;
    }
    for &reg in &Reg::ALL[1..=5] {
        if let Some(Place::Map(map) | Place::MapValue(map)) = facts.register(position, reg).place()
        {
            add(How::Given, Some(map));
        }
    }
}

/// The bytes of a value that an access at an address is of, where that is always the same.
pub(super) fn part(content: &Content, off: i16, size: Size) -> Option<Part> {
    let start = content.distance()?.checked_add(off.into())?;
    let start = u32::try_from(start).ok()?;
    Some((start, start.checked_add(size.bytes())?))
}
