//! What the verifier knows, joined over all paths.
//!
//! The verifier leaves a path where a walked one covers it, and compares a number only where safety hung on it: the
//! ranges that the kernel sees at an instruction are those of the paths that it walked, not of all. Here every number
//! counts ([`Rules::every_number_counts`]), so what was seen holds on every path. Where that takes too long, it is
//! verified as the kernel does, and of numbers nothing is known.

use std::collections::{HashMap, HashSet};

use super::program::{BlockId, End, Layout, Position, Program};
use crate::isa::Reg;
use crate::verify::range::Range;
use crate::verify::{Code, Finding, Known, Moment, Place, Rules, Verdict, Watch, verify_watched};

/// Instructions that are followed at most with every number counted.
const PATIENCE: usize = 200_000;

/// What a register holds before an instruction, on every path that leads there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Content {
    /// Nothing was put there on some path.
    Nothing,
    /// A number.
    Number(Range),
    /// An address.
    Address {
        /// What it points into.
        place: Place,
        /// May be null.
        nullable: bool,
        /// The known part of its distance from the place's start, in bytes; `None` where it differs between paths.
        offset: Option<i32>,
        /// The unknown part of that distance; with an offset that differs, of the whole distance.
        variable: Range,
    },
    /// A number on one path, an address on another, or addresses of different places.
    Mixed,
}

impl Content {
    fn of(known: Known, numbers: bool) -> Self {
        match known {
            Known::Nothing => Self::Nothing,
            Known::Number(range) if numbers => Self::Number(range),
            Known::Number(_) => Self::Number(Range::UNKNOWN),
            Known::Address {
                place,
                nullable,
                offset,
                variable,
            } => Self::Address {
                place,
                nullable,
                offset: Some(offset),
                variable,
            },
        }
    }

    fn join(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Nothing, _) | (_, Self::Nothing) => Self::Nothing,
            (Self::Number(one), Self::Number(other)) => Self::Number(one.union(other)),
            (
                Self::Address {
                    place,
                    nullable,
                    offset,
                    variable,
                },
                Self::Address {
                    place: other_place,
                    nullable: other_nullable,
                    offset: other_offset,
                    variable: other_variable,
                },
            ) if place == other_place => {
                let nullable = *nullable || *other_nullable;
                if offset.is_some() && offset == other_offset {
                    Self::Address {
                        place: *place,
                        nullable,
                        offset: *offset,
                        variable: variable.union(other_variable),
                    }
                } else {
                    let whole = |offset: Option<i32>, variable: &Range| match offset {
                        Some(offset) => variable.alu(
                            crate::isa::AluOp::Add,
                            crate::isa::Width::W64,
                            &Range::constant(i64::from(offset) as u64),
                        ),
                        None => *variable,
                    };
                    Self::Address {
                        place: *place,
                        nullable,
                        offset: None,
                        variable: whole(*offset, variable)
                            .union(&whole(*other_offset, other_variable)),
                    }
                }
            }
            _ => Self::Mixed,
        }
    }

    /// The number's range; any number where it is none.
    pub fn range(&self) -> Range {
        match self {
            Self::Number(range) => *range,
            _ => Range::UNKNOWN,
        }
    }

    /// The number, where it is always the same.
    pub fn constant(&self) -> Option<u64> {
        match self {
            Self::Number(range) => range.as_constant(),
            _ => None,
        }
    }

    /// What it points into, where it is an address of one place on all paths.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Address { place, .. } => Some(*place),
            _ => None,
        }
    }

    /// The distance from the place's start, where it is always the same.
    pub fn distance(&self) -> Option<i64> {
        match self {
            Self::Address {
                offset: Some(offset),
                variable,
                ..
            } => i64::from(*offset).checked_add(variable.as_constant()? as i64),
            _ => None,
        }
    }
}

/// What is known before one instruction.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Of each register.
    pub registers: [Content; 11],
    /// Of a load or store through an address in the packet: the last byte after the packet's start that comparisons
    /// with its end cover, at least.
    pub reach: Option<u64>,
}

impl Fact {
    /// Of a register.
    pub fn register(&self, reg: Reg) -> &Content {
        &self.registers[reg.index()]
    }
}

/// The facts of a program.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    at: HashMap<Position, Fact>,
    ways: HashSet<(BlockId, bool)>,
    /// What the verifier says.
    pub verdict: Verdict,
    /// Something is known of numbers.
    pub numbers: bool,
    /// Bytes of stack by the first block of a function.
    pub stack: HashMap<BlockId, u32>,
}

struct Gather<'a> {
    layout: &'a Layout,
    numbers: bool,
    at: HashMap<Position, Fact>,
}

impl Watch for Gather<'_> {
    fn before(&mut self, moment: &Moment<'_>) -> Result<(), Box<Finding>> {
        let Some(&Some(position)) = self.layout.positions.get(moment.slot) else {
            return Ok(());
        };
        let registers = Reg::ALL.map(|reg| Content::of(moment.register(reg), self.numbers));
        let base = match *moment.instruction {
            crate::isa::Instruction::Load { base, .. }
            | crate::isa::Instruction::Store { base, .. } => Some(base),
            _ => None,
        };
        let reach = base.and_then(|base| moment.proved_reach(base));
        match self.at.entry(position) {
            std::collections::hash_map::Entry::Occupied(mut known) => {
                let known = known.get_mut();
                for (known, new) in known.registers.iter_mut().zip(&registers) {
                    if known != new {
                        *known = known.join(new);
                    }
                }
                known.reach = known.reach.zip(reach).map(|(one, other)| one.min(other));
            }
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(Fact { registers, reach });
            }
        }
        Ok(())
    }
}

impl Facts {
    /// Verifies a program and keeps what holds on all paths. Of a program that is refused, only the verdict counts.
    pub fn gather(program: &Program, layout: &Layout) -> Self {
        let once = |numbers: bool| {
            let mut gather = Gather {
                layout,
                numbers,
                at: HashMap::new(),
            };
            let mut input = layout.input(program);
            if numbers {
                input.rules = Rules {
                    every_number_counts: true,
                    instructions: input.rules.instructions.min(PATIENCE),
                    waiting_paths: usize::MAX,
                    ..input.rules
                };
            }
            let verdict = verify_watched(&input, &mut gather);
            (verdict, gather.at)
        };
        let (mut verdict, mut at) = once(true);
        let mut numbers = true;
        if verdict
            .error()
            .is_some_and(|error| error.code == Code::TooComplex)
        {
            (verdict, at) = once(false);
            numbers = false;
        }
        let ways = verdict
            .ways
            .iter()
            .filter_map(|(slot, taken)| {
                let position = (*layout.positions.get(slot)?)?;
                Some((position.block, taken != layout.inverted.contains(&slot)))
            })
            .collect();
        let stack = verdict
            .stack
            .iter()
            .filter_map(|(&slot, &bytes)| Some(((*layout.positions.get(slot)?)?.block, bytes)))
            .collect();
        Self {
            at,
            ways,
            verdict,
            numbers,
            stack,
        }
    }

    /// What is known before an instruction; `None` where no path leads to it.
    pub fn at(&self, position: Position) -> Option<&Fact> {
        self.at.get(&position)
    }

    /// Of a register before an instruction.
    pub fn register(&self, position: Position, reg: Reg) -> Content {
        self.at(position)
            .map_or(Content::Mixed, |fact| *fact.register(reg))
    }

    /// Which way the branch at a block's end always goes: the block that follows; `None` where it goes both.
    pub fn decided(&self, program: &Program, block: BlockId) -> Option<BlockId> {
        let End::Branch { taken, next, .. } = program[block].end else {
            return None;
        };
        match (
            self.ways.contains(&(block, true)),
            self.ways.contains(&(block, false)),
        ) {
            (true, false) => Some(taken),
            (false, true) => Some(next),
            _ => None,
        }
    }
}
