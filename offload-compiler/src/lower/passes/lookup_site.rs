//! Which lookup an address in a map's value comes from.

use std::collections::{BTreeMap, HashMap};

use crate::isa::{AluOp, Callee, Instruction, Operand, Reg, Size, Width};
use crate::lower::facts::Facts;
use crate::lower::liveness::step_effect;
use crate::lower::program::{BlockId, Op, Position, Program};
use crate::verify::Place;

const MAP_LOOKUP: i32 = 1;

/// What registers and saved registers hold: the call of `bpf_map_lookup_elem` that gave the address, where it is one
/// and the same on all paths and did not run again since.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Origins {
    registers: [Option<Position>; 11],
    /// By distance from the frame's top, in bytes.
    slots: BTreeMap<i64, Position>,
}

impl Origins {
    /// The lookup that a register's address comes from.
    pub(super) fn of(&self, reg: Reg) -> Option<Position> {
        self.registers[reg.index()]
    }

    /// The saved registers that hold an address from a lookup.
    pub(super) fn saved(&self, site: Position) -> bool {
        self.slots.values().any(|&other| other == site)
    }

    fn forget(&mut self, site: Position) {
        for register in &mut self.registers {
            *register = register.filter(|&other| other != site);
        }
        self.slots.retain(|_, other| *other != site);
    }

    fn join(&self, other: &Self) -> Self {
        let mut joined = self.clone();
        for (one, other) in joined.registers.iter_mut().zip(other.registers) {
            if *one != other {
                *one = None;
            }
        }
        joined
            .slots
            .retain(|at, site| other.slots.get(at) == Some(site));
        joined
    }
}

/// The origins before each block of the program itself.
pub(super) struct Lookups<'a> {
    facts: &'a Facts,
    entry: HashMap<BlockId, Origins>,
}

impl<'a> Lookups<'a> {
    pub(super) fn of(program: &Program, facts: &'a Facts) -> Self {
        let mut lookups = Self {
            facts,
            entry: HashMap::new(),
        };
        let mut work: Vec<BlockId> = program.functions[0]
            .blocks
            .first()
            .copied()
            .into_iter()
            .collect();
        for &block in &work {
            lookups.entry.insert(block, Origins::default());
        }
        while let Some(block) = work.pop() {
            let index = program[block].steps.len();
            let after = lookups.before(program, Position { block, index });
            for next in program[block].end.successors() {
                let joined = match lookups.entry.get(&next) {
                    None => after.clone(),
                    Some(known) => known.join(&after),
                };
                if lookups.entry.get(&next) != Some(&joined) {
                    lookups.entry.insert(next, joined);
                    work.push(next);
                }
            }
        }
        lookups
    }

    /// Before a step.
    pub(super) fn before(&self, program: &Program, position: Position) -> Origins {
        let mut origins = self.entry.get(&position.block).cloned().unwrap_or_default();
        let steps = program[position.block].steps.iter().take(position.index);
        for (index, step) in steps.enumerate() {
            self.step(&mut origins, Position { index, ..position }, &step.op);
        }
        origins
    }

    fn step(&self, origins: &mut Origins, at: Position, op: &Op) {
        let stack = |base: Reg, off: i16| {
            let content = self.facts.register(at, base);
            matches!(content.place(), Some(Place::Stack(_)))
                .then(|| Some(content.distance()? + i64::from(off)))
        };
        let new = match *op {
            Op::Plain(Instruction::Alu {
                width: Width::W64,
                op: AluOp::Mov,
                dst,
                src: Operand::Reg(src),
            }) => Some((dst, origins.of(src))),
            Op::Plain(Instruction::Alu {
                width: Width::W64,
                op: AluOp::Add | AluOp::Sub,
                dst,
                src: Operand::Imm(_),
            }) => Some((dst, origins.of(dst))),
            Op::Plain(Instruction::Load {
                size: Size::B64,
                dst,
                base,
                off,
                ..
            }) => match stack(base, off) {
                Some(Some(place)) => Some((dst, origins.slots.get(&place).copied())),
                _ => None,
            },
            Op::Plain(Instruction::Store {
                size,
                base,
                off,
                src,
            }) => {
                match stack(base, off) {
                    Some(Some(place)) => {
                        let end = place + i64::from(size.bytes());
                        origins
                            .slots
                            .retain(|&slot, _| slot + 8 <= place || end <= slot);
                        if let (Size::B64, Operand::Reg(src)) = (size, src)
                            && let Some(site) = origins.of(src)
                        {
                            origins.slots.insert(place, site);
                        }
                    }
                    Some(None) => origins.slots.clear(),
                    None => {}
                }
                None
            }
            Op::Plain(Instruction::Call(Callee::Helper(MAP_LOOKUP))) => {
                origins.forget(at);
                Some((Reg::R0, Some(at)))
            }
            Op::Plain(Instruction::Call(Callee::Helper(2 | 3))) => None,
            Op::Call(_) | Op::Plain(Instruction::Call(_)) => {
                // It may write to the stack.
                origins.slots.clear();
                None
            }
            _ => None,
        };
        let (_, defines) = step_effect(op);
        for reg in Reg::ALL {
            if defines.contains(reg) {
                origins.registers[reg.index()] = None;
            }
        }
        if let Some((dst, site)) = new {
            origins.registers[dst.index()] = site;
        }
    }
}
