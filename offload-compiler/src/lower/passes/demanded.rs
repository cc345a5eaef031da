//! The bits of each register that are read later, at each place of a program: the others may be anything.

use std::collections::HashMap;

use crate::isa::{AluOp, Instruction, Operand, Reg, Size, Swap, Width};
use crate::lower::liveness::step_effect;
use crate::lower::program::{BlockId, End, FunctionId, Op, Position, Program};

const LOW: u64 = u32::MAX as u64;

/// By register.
type Bits = [u64; 11];

/// The bits that are read.
pub(super) struct Demanded {
    /// Before each step and before the end, then after the end.
    before: HashMap<BlockId, Vec<Bits>>,
    /// Of what each function returns.
    returned: Vec<u64>,
    /// Of the arguments of each function.
    arguments: Vec<Bits>,
}

impl Demanded {
    pub(super) fn of(program: &Program) -> Self {
        let functions = program.functions.len();
        let mut found = Self {
            before: HashMap::new(),
            returned: vec![0; functions],
            arguments: vec![[0; 11]; functions],
        };
        // A verdict has 32 bits.
        found.returned[0] = LOW;
        for step in program
            .block_ids()
            .iter()
            .flat_map(|&id| &program[id].steps)
        {
            // What a helper calls back returns to it.
            if let Op::LoadFunction { function, .. } = step.op {
                found.returned[function.0 as usize] = u64::MAX;
            }
        }
        let mut changed = true;
        while changed {
            changed = false;
            for (index, function) in program.functions.iter().enumerate().rev() {
                for &block in function.blocks.iter().rev() {
                    let lines = found.block(program, FunctionId(index as u32), block);
                    if found.before.get(&block) != Some(&lines) {
                        found.before.insert(block, lines);
                        changed = true;
                    }
                }
                let Some(&entry) = function.blocks.first() else {
                    continue;
                };
                let arguments = found.entry(entry);
                changed |= found.arguments[index] != arguments;
                found.arguments[index] = arguments;
            }
        }
        found
    }

    /// Of a register after the step at a place.
    pub(super) fn after(&self, position: Position, reg: Reg) -> u64 {
        let lines = self.before.get(&position.block);
        lines
            .and_then(|lines| lines.get(position.index + 1))
            .map_or(u64::MAX, |bits| bits[reg.index()])
    }

    fn entry(&self, block: BlockId) -> Bits {
        let lines = self.before.get(&block).and_then(|lines| lines.first());
        lines.copied().unwrap_or_default()
    }

    fn block(&mut self, program: &Program, function: FunctionId, id: BlockId) -> Vec<Bits> {
        let block = &program[id];
        let mut bits = [0; 11];
        if block.end == End::Exit {
            bits[0] = self.returned[function.0 as usize];
        }
        for next in block.end.successors() {
            for (one, other) in bits.iter_mut().zip(self.entry(next)) {
                *one |= other;
            }
        }
        let mut lines = vec![bits];
        if let End::Branch { condition, .. } = &block.end {
            let all = whole(condition.width);
            bits[condition.dst.index()] |= all;
            if let Operand::Reg(src) = condition.src {
                bits[src.index()] |= all;
            }
        }
        lines.push(bits);
        for step in block.steps.iter().rev() {
            self.step(&step.op, &mut bits);
            lines.push(bits);
        }
        lines.reverse();
        lines
    }

    fn step(&mut self, op: &Op, bits: &mut Bits) {
        let (uses, defines) = step_effect(op);
        let after = *bits;
        for reg in Reg::ALL.into_iter().filter(|&reg| defines.contains(reg)) {
            bits[reg.index()] = 0;
        }
        match op {
            Op::Plain(instruction) if reads(instruction, &after, bits) => {}
            Op::Call(FunctionId(id)) => {
                let id = *id as usize;
                self.returned[id] |= after[0];
                for (one, read) in bits[1..=5].iter_mut().zip(&self.arguments[id][1..=5]) {
                    *one |= read;
                }
            }
            _ => {
                for reg in Reg::ALL.into_iter().filter(|&reg| uses.contains(reg)) {
                    bits[reg.index()] = u64::MAX;
                }
            }
        }
    }
}

pub(super) const fn whole(width: Width) -> u64 {
    match width {
        Width::W64 => u64::MAX,
        Width::W32 => LOW,
    }
}

/// All bits up to the highest one.
fn up_to(bits: u64) -> u64 {
    u64::MAX.checked_shr(bits.leading_zeros()).unwrap_or(0)
}

fn of_size(size: Size) -> u64 {
    u64::MAX >> (64 - size.bits())
}

/// Adds what an instruction reads, by what is read after it; false where all of what it uses counts.
fn reads(instruction: &Instruction, after: &Bits, bits: &mut Bits) -> bool {
    let mut read = |operand: Operand, mask: u64| {
        if let Operand::Reg(reg) = operand {
            bits[reg.index()] |= mask;
        }
    };
    match *instruction {
        Instruction::Alu {
            width,
            op,
            dst,
            src,
        } => {
            let all = whole(width);
            let wanted = after[dst.index()] & all;
            let own = Operand::Reg(dst);
            match (op, src) {
                (AluOp::Mov, _) => read(src, wanted),
                (AluOp::Add | AluOp::Sub | AluOp::Mul, _) => {
                    read(own, up_to(wanted));
                    read(src, up_to(wanted));
                }
                (AluOp::And, Operand::Imm(imm)) => read(own, wanted & i64::from(imm) as u64),
                (AluOp::Or, Operand::Imm(imm)) => read(own, wanted & !(i64::from(imm) as u64)),
                (AluOp::And | AluOp::Or | AluOp::Xor, _) => {
                    read(own, wanted);
                    read(src, wanted);
                }
                (AluOp::Lsh, Operand::Imm(by @ 0..64)) => read(own, wanted >> by),
                (AluOp::Rsh, Operand::Imm(by @ 0..64)) => read(own, wanted << by & all),
                _ => {
                    let mask = if wanted == 0 { 0 } else { all };
                    read(own, mask);
                    read(src, mask);
                }
            }
        }
        Instruction::Negate { width, dst } => {
            read(Operand::Reg(dst), up_to(after[dst.index()] & whole(width)));
        }
        Instruction::Swap {
            swap: Swap::ToLittle,
            size,
            dst,
        } => read(Operand::Reg(dst), after[dst.index()] & of_size(size)),
        Instruction::Swap { size, dst, .. } => {
            let wanted = (after[dst.index()] & of_size(size)).swap_bytes() >> (64 - size.bits());
            read(Operand::Reg(dst), wanted);
        }
        Instruction::Store {
            size, base, src, ..
        } => {
            read(Operand::Reg(base), u64::MAX);
            read(src, of_size(size));
        }
        _ => return false,
    }
    true
}
