//! Which registers are read later: what else a register holds does not matter, and the register is free.

use std::collections::HashMap;

use super::program::{BlockId, End, FunctionId, Op, Position, Program};
use crate::isa::{Operand, Reg};
use crate::verify::liveness::effect;

const ARGUMENTS: u16 = 0b11_1110;
const CALLER_SAVED: u16 = ARGUMENTS | 1;

/// A set of registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Registers(pub u16);

impl Registers {
    /// Whether a register is in it.
    pub const fn contains(self, reg: Reg) -> bool {
        self.0 & 1 << reg.number() != 0
    }

    /// With a register.
    #[must_use]
    pub const fn with(self, reg: Reg) -> Self {
        Self(self.0 | 1 << reg.number())
    }

    /// The first of r0 to r5 that is not in it.
    pub fn free(self) -> Option<Reg> {
        Reg::ALL[..6]
            .iter()
            .copied()
            .find(|&reg| !self.contains(reg))
    }

    /// All registers of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The registers that a step reads, and those that it overwrites or spoils.
pub fn step_effect(op: &Op) -> (Registers, Registers) {
    match op {
        Op::Plain(instruction) => {
            let (uses, defines) = effect(instruction);
            (Registers(uses), Registers(defines))
        }
        Op::LoadMap { dst, .. } | Op::LoadFunction { dst, .. } => {
            (Registers::default(), Registers(1 << dst.number()))
        }
        Op::Call(_) => (Registers(ARGUMENTS), Registers(CALLER_SAVED)),
    }
}

/// The registers that a block's end reads.
pub fn end_uses(end: &End) -> Registers {
    match end {
        End::Exit => Registers(1),
        End::Jump(_) | End::MayGoto { .. } => Registers::default(),
        End::Branch { condition, .. } => {
            let left = Registers::default().with(condition.dst);
            match condition.src {
                Operand::Reg(reg) => left.with(reg),
                Operand::Imm(_) => left,
            }
        }
    }
}

/// The registers that are read later, at each place of a program.
#[derive(Debug, Clone)]
pub struct Liveness {
    /// Before each step and before the end; then after the end.
    before: HashMap<BlockId, Vec<Registers>>,
    arguments: Vec<Registers>,
}

impl Liveness {
    /// Finds them.
    pub fn of(program: &Program) -> Self {
        let mut found = Self {
            before: HashMap::new(),
            // What a function reads of its arguments is found as its blocks are.
            arguments: vec![Registers::default(); program.functions.len()],
        };
        let blocks = program.block_ids();
        let mut changed = true;
        while changed {
            changed = false;
            for &block in blocks.iter().rev() {
                let lines = found.block(program, block);
                if found.before.get(&block) != Some(&lines) {
                    found.before.insert(block, lines);
                    changed = true;
                }
            }
            for (index, function) in program.functions.iter().enumerate() {
                let Some(entry) = function.blocks.first() else {
                    continue;
                };
                let read = Registers(found.entry(*entry).0 & ARGUMENTS);
                if found.arguments[index] != read {
                    found.arguments[index] = read;
                    changed = true;
                }
            }
        }
        found
    }

    fn entry(&self, block: BlockId) -> Registers {
        let lines = self.before.get(&block).and_then(|lines| lines.first());
        lines.copied().unwrap_or_default()
    }

    fn block(&self, program: &Program, id: BlockId) -> Vec<Registers> {
        let block = &program[id];
        let mut live = match block.end {
            // The caller still needs what it keeps in r6 to r9; that is its own, and kept for it.
            End::Exit => Registers::default(),
            _ => (block.end.successors())
                .map(|next| self.entry(next))
                .fold(Registers::default(), Registers::union),
        };
        let mut lines = vec![live];
        live = Registers(live.0 | end_uses(&block.end).0 | 1 << 10);
        lines.push(live);
        for step in block.steps.iter().rev() {
            let (uses, defines) = self.effect(&step.op);
            live = Registers(live.0 & !defines.0 | uses.0 | 1 << 10);
            lines.push(live);
        }
        lines.reverse();
        lines
    }

    /// As [`step_effect`], with what a called function really reads.
    pub fn effect(&self, op: &Op) -> (Registers, Registers) {
        let (uses, defines) = step_effect(op);
        match op {
            Op::Call(FunctionId(id)) => (
                self.arguments.get(*id as usize).copied().unwrap_or(uses),
                defines,
            ),
            _ => (uses, defines),
        }
    }

    /// The registers that are read at a place or later.
    pub fn before(&self, position: Position) -> Registers {
        let lines = self.before.get(&position.block);
        lines
            .and_then(|lines| lines.get(position.index))
            .copied()
            .unwrap_or(Registers(u16::MAX))
    }

    /// The registers that are read after the step at a place.
    pub fn after(&self, position: Position) -> Registers {
        self.before(Position {
            index: position.index + 1,
            ..position
        })
    }

    /// A register that may be overwritten before and while the step at a place runs. In the program itself that may be
    /// one of r6 to r9, where a subprogram would have to save them.
    pub fn scratch(&self, program: &Program, position: Position, op: Option<&Op>) -> Option<Reg> {
        let mut busy = self.before(position).union(self.after(position));
        if let Some(op) = op {
            let (uses, defines) = self.effect(op);
            busy = busy.union(uses).union(defines);
        }
        busy.free().or_else(|| {
            let own = program.function_of(position.block) == Some(FunctionId(0));
            let kept = Reg::ALL[6..10].iter().copied();
            let mut free = kept.filter(|&reg| !busy.contains(reg));
            free.next().filter(|_| own)
        })
    }
}
