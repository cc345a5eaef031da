//! Rows of instructions, and registers for them.

use std::collections::HashMap;

use crate::isa::{AluOp, Instruction, Operand, Reg, Size, Width};
use crate::lower::liveness::Liveness;
use crate::lower::program::{BlockId, FunctionId, Op, Position, Program, Step};
use crate::lower::run::Context;

/// Instructions that take the place of one.
pub(super) struct Row {
    origin: Option<usize>,
    /// So far.
    pub(super) steps: Vec<Step>,
}

impl From<Reg> for Operand {
    fn from(reg: Reg) -> Self {
        Self::Reg(reg)
    }
}

impl From<i32> for Operand {
    fn from(imm: i32) -> Self {
        Self::Imm(imm)
    }
}

impl Row {
    /// An empty row that stands for an original slot.
    pub(super) fn new(origin: Option<usize>) -> Self {
        Self {
            origin,
            steps: Vec::new(),
        }
    }

    /// Any instruction.
    pub(super) fn push(&mut self, instruction: Instruction) -> &mut Self {
        self.steps.push(Step::new(instruction, self.origin));
        self
    }

    /// `dst = dst OP src`
    pub(super) fn alu(
        &mut self,
        width: Width,
        op: AluOp,
        dst: Reg,
        src: impl Into<Operand>,
    ) -> &mut Self {
        let src = src.into();
        self.push(Instruction::Alu {
            width,
            op,
            dst,
            src,
        })
    }

    /// The same in 64 bits.
    pub(super) fn op(&mut self, op: AluOp, dst: Reg, src: impl Into<Operand>) -> &mut Self {
        self.alu(Width::W64, op, dst, src)
    }

    /// `dst = src`
    pub(super) fn copy(&mut self, dst: Reg, src: impl Into<Operand>) -> &mut Self {
        self.alu(Width::W64, AluOp::Mov, dst, src)
    }

    /// `dst = src` in 32 bits: the upper half becomes 0.
    pub(super) fn copy32(&mut self, dst: Reg, src: impl Into<Operand>) -> &mut Self {
        self.alu(Width::W32, AluOp::Mov, dst, src)
    }

    /// `dst = number`
    pub(super) fn number(&mut self, dst: Reg, number: u64) -> &mut Self {
        self.push(super::constant::load_number(dst, number))
    }

    /// `dst = *(size *)(base + off)`
    pub(super) fn load(&mut self, size: Size, dst: Reg, base: Reg, off: i16) -> &mut Self {
        self.push(Instruction::Load {
            size,
            signed: false,
            dst,
            base,
            off,
        })
    }

    /// `*(size *)(base + off) = src`
    pub(super) fn store(&mut self, size: Size, base: Reg, off: i16, src: Reg) -> &mut Self {
        self.push(Instruction::Store {
            size,
            base,
            off,
            src: Operand::Reg(src),
        })
    }
}

/// Bytes of the kernel's frames.
const FRAME: u32 = 512;

/// Finds registers and stack for rows.
pub(super) struct Scratch {
    live: Liveness,
    function_of: HashMap<BlockId, FunctionId>,
    /// Bytes of each function's frame that are used, whole slots.
    used: HashMap<FunctionId, u32>,
}

/// Registers to work with, and how they are saved where they hold something.
pub(super) struct Loan {
    /// They may be overwritten.
    pub(super) registers: Vec<Reg>,
    /// Of them, those that are saved, and where in the frame.
    saved: Vec<(Reg, i16)>,
}

impl Loan {
    /// Saves what has to be.
    pub(super) fn save(&self, row: &mut Row) {
        for &(reg, off) in &self.saved {
            row.store(Size::B64, Reg::R10, off, reg);
        }
    }

    /// Restores it.
    pub(super) fn restore(&self, row: &mut Row) {
        for &(reg, off) in &self.saved {
            row.load(Size::B64, reg, Reg::R10, off);
        }
    }
}

impl Scratch {
    pub(super) fn of(program: &Program, context: &Context<'_>) -> Self {
        let mut function_of = HashMap::new();
        let mut used = HashMap::new();
        for (id, function) in (0..).map(FunctionId).zip(&program.functions) {
            function_of.extend(function.blocks.iter().map(|&block| (block, id)));
            let bytes = function
                .blocks
                .first()
                .and_then(|entry| context.facts.stack.get(entry));
            used.insert(id, bytes.copied().unwrap_or(0).next_multiple_of(8));
        }
        Self {
            live: Liveness::of(program),
            function_of,
            used,
        }
    }

    /// The offset of so many bytes of the frame below all that is used in the function of a block; they are used for
    /// the time of a row only.
    pub(super) fn stack(&self, block: BlockId, bytes: u32) -> Option<i16> {
        let used = self.used.get(self.function_of.get(&block)?)?;
        let end = (used + bytes).next_multiple_of(8);
        (end <= FRAME).then_some(-(end as i16))
    }

    /// So many registers that a row in the place of `op` may overwrite, other than those that `op` has to do with.
    pub(super) fn registers(&self, position: Position, op: &Op, count: usize) -> Option<Loan> {
        let (uses, defines) = self.live.effect(op);
        let own = uses.union(defines).with(Reg::R10);
        let busy = own
            .union(self.live.before(position))
            .union(self.live.after(position));
        let main = self.function_of.get(&position.block) == Some(&FunctionId(0));
        // Where a subprogram writes to r6 to r9, it has to save them.
        let most = if main { 10 } else { 6 };
        let mut registers: Vec<Reg> = Reg::ALL[..most]
            .iter()
            .copied()
            .filter(|&reg| !busy.contains(reg))
            .take(count)
            .collect();
        let mut saved = Vec::new();
        let others = Reg::ALL[..10]
            .iter()
            .copied()
            .filter(|&reg| !own.contains(reg) && busy.contains(reg));
        let missing = count - registers.len();
        let first = self.stack(position.block, 8 * missing as u32)?;
        for (reg, slot) in others.take(missing).zip(0..) {
            registers.push(reg);
            saved.push((reg, first + 8 * slot));
        }
        (registers.len() == count).then_some(Loan { registers, saved })
    }

    /// A row in the place of `step` that works with so many registers.
    pub(super) fn row(
        &self,
        position: Position,
        step: &Step,
        count: usize,
        make: impl FnOnce(&[Reg], &mut Row),
    ) -> Option<Vec<Step>> {
        let loan = self.registers(position, &step.op, count)?;
        let mut row = Row::new(step.origin);
        loan.save(&mut row);
        make(&loan.registers, &mut row);
        loan.restore(&mut row);
        Some(row.steps)
    }
}
