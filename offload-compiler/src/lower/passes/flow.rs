//! Where numbers go that come from some places of a program: into what only user space sees, or farther.

use std::collections::HashMap;

use super::statistics::written;
use crate::isa::{AluOp, Callee, Instruction, Operand, Reg, Size};
use crate::lower::accesses::{Access, How, accesses, part};
use crate::lower::facts::{Content, Facts};
use crate::lower::liveness::{end_uses, step_effect};
use crate::lower::program::{BlockId, End, Op, Position, Program};
use crate::verify::Place;

const LOOKUP: i32 = 1;
const UPDATE: i32 = 2;
const DELETE: i32 = 3;
const EVENT: i32 = 25;
const STACK: i64 = 512;

/// What holds something that comes from a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tainted {
    registers: u16,
    /// Bytes of the stack, from its bottom.
    stack: [u64; 8],
}

impl Tainted {
    fn has(&self, reg: Reg) -> bool {
        self.registers & 1 << reg.number() != 0
    }

    fn set(&mut self, reg: Reg, tainted: bool) {
        self.registers &= !(1 << reg.number());
        self.registers |= u16::from(tainted) << reg.number();
    }

    fn any_stack(&self) -> bool {
        self.stack != [0; 8]
    }

    fn bytes(from: i64, to: i64) -> impl Iterator<Item = (usize, u64)> {
        let from = (from + STACK).clamp(0, STACK);
        let to = (to + STACK).clamp(0, STACK);
        (from..to).map(|byte| ((byte / 64) as usize, 1 << (byte % 64)))
    }

    fn put(&mut self, from: i64, to: i64, tainted: bool) {
        for (word, bit) in Self::bytes(from, to) {
            self.stack[word] &= !bit;
            if tainted {
                self.stack[word] |= bit;
            }
        }
    }

    fn holds(&self, from: i64, to: i64) -> bool {
        Self::bytes(from, to).any(|(word, bit)| self.stack[word] & bit != 0)
    }

    fn join(&self, other: &Self) -> Self {
        let mut stack = self.stack;
        for (one, other) in stack.iter_mut().zip(other.stack) {
            *one |= other;
        }
        Self {
            registers: self.registers | other.registers,
            stack,
        }
    }
}

/// It reaches what somebody but user space sees.
struct Seen;

/// Follows what comes from sources through the program itself.
pub(super) struct Flow<'a> {
    program: &'a Program,
    facts: &'a Facts,
    sources: &'a [Position],
    reads: Vec<Access>,
}

impl<'a> Flow<'a> {
    pub(super) fn of(program: &'a Program, facts: &'a Facts, sources: &'a [Position]) -> Self {
        let mut reads = accesses(program, facts);
        reads.retain(|access| {
            let Position { block, index } = access.position;
            let store = Instruction::Store {
                size: Size::B8,
                base: Reg::R0,
                off: 0,
                src: Operand::Imm(0),
            };
            let is_store = (program[block].steps[index].op.instruction())
                .is_some_and(|one| std::mem::discriminant(one) == std::mem::discriminant(&store));
            match access.how {
                How::Read | How::Given => true,
                // What fetches the old value.
                How::Write => !is_store,
                How::Add | How::Element => false,
            }
        });
        Self {
            program,
            facts,
            sources,
            reads,
        }
    }

    /// Whether something but user space sees what comes from them.
    pub(super) fn is_seen(&self) -> bool {
        self.follow().is_err()
    }

    fn follow(&self) -> Result<(), Seen> {
        let Some(&entry) = self.program.functions[0].blocks.first() else {
            return Err(Seen);
        };
        let mut before: HashMap<BlockId, Tainted> = HashMap::from([(entry, Tainted::default())]);
        let mut work = vec![entry];
        while let Some(block) = work.pop() {
            let mut state = before.get(&block).copied().unwrap_or_default();
            for (index, step) in self.program[block].steps.iter().enumerate() {
                self.step(&mut state, Position { block, index }, &step.op)?;
            }
            let end = self.program[block].end;
            if matches!(end, End::MayGoto { .. }) || end_uses(&end).0 & state.registers != 0 {
                return Err(Seen);
            }
            for next in end.successors() {
                let joined = before.get(&next).map_or(state, |known| known.join(&state));
                if before.get(&next) != Some(&joined) {
                    before.insert(next, joined);
                    work.push(next);
                }
            }
        }
        Ok(())
    }

    fn step(&self, state: &mut Tainted, at: Position, op: &Op) -> Result<(), Seen> {
        let is_source = self.sources.contains(&at);
        let (uses, defines) = step_effect(op);
        let tainted = uses.0 & state.registers != 0;
        match *op {
            Op::Plain(Instruction::Load {
                size,
                dst,
                base,
                off,
                ..
            }) => {
                let loaded = self.loaded(state, at, base, off, size)?;
                state.set(dst, is_source || loaded);
                return Ok(());
            }
            Op::Plain(Instruction::Store {
                size,
                base,
                off,
                src,
            }) => {
                let stored = matches!(src, Operand::Reg(src) if state.has(src));
                return self.store(state, at, (size, base, off), stored);
            }
            Op::Plain(Instruction::Atomic {
                size,
                base,
                off,
                src,
                fetch: false,
                ..
            }) if matches!(
                self.facts.register(at, base).place(),
                Some(Place::MapValue(_))
            ) =>
            {
                return self.store(state, at, (size, base, off), state.has(src));
            }
            Op::Plain(Instruction::Call(callee)) => {
                if is_source {
                    let bytes = written(self.facts, at, op).ok_or(Seen)?;
                    state.put(bytes.start, bytes.end, true);
                } else {
                    self.call(state, at, callee, tainted)?;
                }
            }
            Op::Plain(Instruction::Alu { op, dst, src, .. }) => {
                let from = matches!(src, Operand::Reg(src) if state.has(src));
                state.set(dst, from || op != AluOp::Mov && state.has(dst));
                return Ok(());
            }
            Op::Plain(
                Instruction::MoveSigned { .. }
                | Instruction::Negate { .. }
                | Instruction::Swap { .. },
            ) => {
                for reg in Reg::ALL {
                    if defines.contains(reg) {
                        state.set(reg, tainted);
                    }
                }
                return Ok(());
            }
            // Atomic operations may fetch what lies on the stack.
            Op::Plain(
                Instruction::Atomic { base, .. }
                | Instruction::Exchange { base, .. }
                | Instruction::CompareExchange { base, .. }
                | Instruction::LoadAcquire { base, .. },
            ) if state.any_stack()
                && !matches!(
                    self.facts.register(at, base).place(),
                    Some(Place::MapValue(_) | Place::Packet)
                ) =>
            {
                return Err(Seen);
            }
            _ if tainted || matches!(op, Op::Call(_)) && state.any_stack() => return Err(Seen),
            _ => {}
        }
        state.registers &= !defines.0;
        if is_source {
            state.set(Reg::R0, true);
        }
        Ok(())
    }

    fn loaded(
        &self,
        state: &Tainted,
        at: Position,
        base: Reg,
        off: i16,
        size: Size,
    ) -> Result<bool, Seen> {
        if state.has(base) {
            return Err(Seen);
        }
        let content = self.facts.register(at, base);
        Ok(match (content.place(), content.distance()) {
            (Some(Place::Stack(0)), Some(start)) => {
                let start = start + i64::from(off);
                state.holds(start, start + i64::from(size.bytes()))
            }
            (Some(Place::Stack(_)) | None, _) => state.any_stack(),
            _ => false,
        })
    }

    fn store(
        &self,
        state: &mut Tainted,
        at: Position,
        (size, base, off): (Size, Reg, i16),
        stored: bool,
    ) -> Result<(), Seen> {
        if state.has(base) {
            return Err(Seen);
        }
        let content = self.facts.register(at, base);
        match (content.place(), content.distance()) {
            (Some(Place::Stack(0)), Some(start)) => {
                let start = start + i64::from(off);
                state.put(start, start + i64::from(size.bytes()), stored);
                Ok(())
            }
            (Some(Place::MapValue(map)), _) if stored => {
                self.kept(at, map, part(&content, off, size))
            }
            _ if stored => Err(Seen),
            _ => Ok(()),
        }
    }

    /// Something that comes from a source is kept in a map.
    fn kept(&self, position: Position, map: u32, part: Option<(u32, u32)>) -> Result<(), Seen> {
        let write = Access {
            position,
            how: How::Write,
            map: Some(map),
            part,
        };
        if self.reads.iter().any(|read| read.meets(&write)) {
            return Err(Seen);
        }
        Ok(())
    }

    fn call(
        &self,
        state: &Tainted,
        at: Position,
        callee: Callee,
        tainted: bool,
    ) -> Result<(), Seen> {
        if tainted {
            return Err(Seen);
        }
        let register = |reg| self.facts.register(at, reg);
        let clean = |reg: Reg, size: u32| {
            let content: Content = register(reg);
            match (content.place(), content.distance()) {
                (Some(Place::Stack(0)), Some(start)) => {
                    !state.holds(start, start + i64::from(size))
                }
                (Some(Place::Packet), _) => true,
                _ => !state.any_stack(),
            }
        };
        match callee {
            Callee::Helper(id @ (LOOKUP | UPDATE | DELETE)) => {
                let Some(Place::Map(map)) = register(Reg::R1).place() else {
                    return Err(Seen);
                };
                let Some(shape) = self.program.maps.get(map as usize) else {
                    return Err(Seen);
                };
                if !clean(Reg::R2, shape.shape.key_size) {
                    return Err(Seen);
                }
                if id == UPDATE {
                    let value = register(Reg::R3);
                    match (value.place(), value.distance()) {
                        (Some(Place::Stack(0)), Some(start)) => {
                            for byte in 0..shape.shape.value_size {
                                let place = start + i64::from(byte);
                                if state.holds(place, place + 1) {
                                    self.kept(at, map, Some((byte, byte + 1)))?;
                                }
                            }
                        }
                        (Some(Place::Packet), _) => {}
                        // A copy of another value, whose words may hold something.
                        _ => return Err(Seen),
                    }
                }
                Ok(())
            }
            Callee::Helper(EVENT) => Ok(()),
            _ => {
                let reaches_stack = Reg::ALL[1..=5].iter().any(|&reg| {
                    let content = register(reg);
                    content == Content::Mixed || matches!(content.place(), Some(Place::Stack(_)))
                });
                if reaches_stack && state.any_stack() {
                    Err(Seen)
                } else {
                    Ok(())
                }
            }
        }
    }
}
