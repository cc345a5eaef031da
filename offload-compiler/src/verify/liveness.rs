//! Which registers are read later, whatever happens: what else a register holds need not be compared.

use crate::isa::{Callee, Instruction, Operand, Reg};

use super::input::Input;
use super::prototype;
use super::structure;

/// Bit `n` stands for register `n`.
pub(crate) type Registers = u16;

const ARGUMENTS: Registers = 0b11_1110;
const CALLER_SAVED: Registers = ARGUMENTS | 1;

/// The registers whose content before each slot may matter; `r10` always does.
pub(super) fn before_each_slot(input: &Input<'_>) -> Vec<Registers> {
    let mut live = vec![0; input.code.len()];
    let mut changed = true;
    // Backwards, so that straight code settles at once; loops take a round more for each nesting.
    while changed {
        changed = false;
        for (slot, instruction) in input.code.iter().rev() {
            let mut after = 0;
            if instruction.falls_through() {
                after |= at(&live, Some(slot + instruction.slots()));
            }
            if let Some(distance) = instruction.jump_offset() {
                after |= at(&live, structure::target(slot, distance));
            }
            let (uses, defines) = effect(instruction);
            let before = (after & !defines) | uses | 1 << 10;
            if live[slot] != before {
                live[slot] = before;
                changed = true;
            }
        }
    }
    live
}

fn at(live: &[Registers], slot: Option<usize>) -> Registers {
    slot.and_then(|slot| live.get(slot)).copied().unwrap_or(0)
}

fn bit(reg: Reg) -> Registers {
    1 << reg.number()
}

fn operand(operand: Operand) -> Registers {
    match operand {
        Operand::Reg(reg) => bit(reg),
        Operand::Imm(_) => 0,
    }
}

/// What an instruction reads, and what it overwrites.
pub(crate) fn effect(instruction: &Instruction) -> (Registers, Registers) {
    use crate::isa::AluOp;
    let defines = instruction.written().map_or(0, bit);
    let uses = match *instruction {
        Instruction::Alu {
            op: AluOp::Mov,
            src,
            ..
        } => operand(src),
        Instruction::Alu { dst, src, .. } => bit(dst) | operand(src),
        Instruction::MoveSigned { src, .. } | Instruction::CastAddress { src, .. } => bit(src),
        Instruction::Negate { dst, .. } | Instruction::Swap { dst, .. } => bit(dst),
        Instruction::Load { base, .. } | Instruction::LoadAcquire { base, .. } => bit(base),
        Instruction::Store { base, src, .. } => bit(base) | operand(src),
        Instruction::StoreRelease { base, src, .. }
        | Instruction::Atomic { base, src, .. }
        | Instruction::Exchange { base, src, .. } => bit(base) | bit(src),
        Instruction::CompareExchange { base, src, .. } => bit(base) | bit(src) | 1,
        Instruction::LoadImm64 { .. } | Instruction::Jump { .. } | Instruction::MayGoto { .. } => 0,
        Instruction::LoadPacket { .. } => bit(Reg::R6) | ARGUMENTS,
        Instruction::Branch { condition, .. } => bit(condition.dst) | operand(condition.src),
        Instruction::Call(callee) => return (arguments(callee), CALLER_SAVED),
        Instruction::Exit => 1,
    };
    (uses, defines)
}

fn arguments(callee: Callee) -> Registers {
    match callee {
        Callee::Helper(id) => prototype::of(id).map_or(ARGUMENTS, |prototype| {
            ARGUMENTS & ((1 << (prototype.args.len() + 1)) - 1)
        }),
        _ => ARGUMENTS,
    }
}
