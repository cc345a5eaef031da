//! Bytes that are loaded one by one and put together: one load instead.

use super::{Scan, is_aligned};
use crate::isa::{Instruction, Reg};
use crate::lower::liveness::step_effect;
use crate::lower::passes::lanes::{Address, in_memory, width};
use crate::lower::passes::row::Row;
use crate::lower::passes::unused;
use crate::lower::program::{Op, Position, Program, Step};
use crate::lower::run::Context;

impl Scan<'_> {
    /// Bytes of memory that are in a register after a step, put together: one load instead.
    pub(super) fn join_loads(
        &mut self,
        program: &Program,
        context: &mut Context<'_>,
        step: &Step,
        at: Position,
        dst: Reg,
    ) {
        let lanes = *self.registers.lanes(dst);
        let Some(size) = width(&lanes) else { return };
        let bytes = i64::from(size.bytes());
        let Some((address, times)) = in_memory(&lanes[..bytes as usize]) else {
            return;
        };
        let (Some(&first), Some(&last)) = (times.iter().min(), times.iter().max()) else {
            return;
        };
        if times.len() < 2
            || !is_aligned(address, size)
            || !self.is_left((address, bytes), first, at.index, false, &[])
        {
            return;
        }
        let load = |base, off| {
            let mut row = Row::new(step.origin);
            row.load(size, dst, base, off);
            row.steps
        };
        // The registers are those after the step, which has not written to an address.
        if let Some((base, off)) = self.base(context, at, address)
            && base != dst
        {
            let row = load(base, off);
            if context.permits(0) {
                context.note(program, step.origin, std::slice::from_ref(step), &row);
                self.lines[at.index] = row;
            }
            return;
        }
        self.load_early(
            program,
            context,
            (step, at.index),
            (last, address),
            dst,
            load,
        );
    }

    /// The same where the last of the loads is the last to know the address.
    fn load_early(
        &mut self,
        program: &Program,
        context: &mut Context<'_>,
        (step, index): (&Step, usize),
        (last, address): (usize, Address),
        dst: Reg,
        load: impl Fn(Reg, i16) -> Vec<Step>,
    ) {
        let Op::Plain(Instruction::Load {
            base,
            off,
            dst: own,
            ..
        }) = program[self.block].steps[last].op
        else {
            return;
        };
        if own != dst || self.lines[last].len() != 1 {
            return;
        }
        // Between the two, the register has only parts of the number, for itself.
        let mut between = Vec::new();
        for line in last + 1..=index {
            for step in &self.lines[line] {
                let (uses, _) = step_effect(&step.op);
                let own = step.op.written() == Some(dst) && unused::result(&step.op).is_some();
                if uses.contains(dst) && !own {
                    return;
                }
                if own {
                    between.push(line);
                }
            }
        }
        let mut loads = self.accesses.iter();
        let Some((there, _)) = loads
            .find(|access| access.index == last)
            .and_then(|access| access.address)
        else {
            return;
        };
        let Ok(off) = i16::try_from(i64::from(off) + address.at - there.at) else {
            return;
        };
        if (off < 0 && base != Reg::R10)
            || between.iter().any(|&line| self.lines[line].len() != 1)
            || !context.permits(0)
        {
            return;
        }
        let old: Vec<Step> = std::iter::once(last)
            .chain(between.iter().copied())
            .flat_map(|line| self.lines[line].clone())
            .collect();
        let row = load(base, off);
        context.note(program, step.origin, &old, &row);
        for line in between {
            self.lines[line].clear();
        }
        self.lines[last] = row;
    }
}
