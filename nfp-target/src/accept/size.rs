//! How many words the driver's translation of an instruction has at least.
//!
//! The exact number depends on what the driver knows of other instructions; the fewest is enough to tell a program
//! that cannot fit. Measured on some 10,000 translations, and checked against them in `tests/accept.rs`.

use offload_compiler::isa::{AluOp, Callee, Instruction, Operand, Reg, Size, Swap, Width};
use offload_compiler::verify::Place;

/// Words of the shortest translation. `place` is what a load or store accesses.
pub(super) fn least_words(instruction: &Instruction, place: Option<Place>) -> usize {
    match *instruction {
        // Packet loads and stores may be part of a copy that another instruction does, or read before.
        Instruction::Load { size, .. } => match place {
            Some(Place::Context | Place::MapValue(_)) => 2,
            Some(Place::Stack(_)) => 1 + usize::from(size == Size::B64),
            _ => 0,
        },
        Instruction::Store { size, .. } => match place {
            Some(Place::Stack(_)) => 1 + usize::from(size == Size::B64),
            Some(Place::Context) => 5,
            _ => 0,
        },
        Instruction::Alu {
            width,
            op,
            src: Operand::Imm(imm),
            ..
        } => arithmetic(width, op, imm),
        Instruction::Alu {
            width,
            op,
            dst,
            src: Operand::Reg(src),
        } => match (op, width) {
            (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, _) => 0,
            (AluOp::Mul, _) => 4,
            // At the start, a copy of r1 to r6 and registers that are cleared by themselves are dropped.
            (AluOp::Mov, Width::W64) if dst == Reg::R6 && src == Reg::R1 => 0,
            (AluOp::Xor, Width::W64) if dst == src => 0,
            (AluOp::Mov, _) => 2,
            (AluOp::Div | AluOp::SDiv, _) | (_, Width::W32) => 1,
            (_, Width::W64) => 2,
        },
        Instruction::Negate { width, .. } => match width {
            Width::W32 => 1,
            Width::W64 => 2,
        },
        Instruction::Swap {
            swap: Swap::ToBig,
            size,
            ..
        } => {
            if size == Size::B64 {
                5
            } else {
                3
            }
        }
        Instruction::Jump { offset: 0, .. } => 0,
        Instruction::MoveSigned { .. } | Instruction::Jump { .. } | Instruction::Exit => 1,
        Instruction::LoadImm64 { .. }
        | Instruction::Atomic { .. }
        | Instruction::Branch { .. }
        | Instruction::Call(Callee::Local(_)) => 2,
        Instruction::Call(_) => 3,
        _ => 0,
    }
}

/// Arithmetic with a constant: its two halves are made first unless they fit the operand.
fn arithmetic(width: Width, op: AluOp, imm: i32) -> usize {
    // Additions of negative constants are turned into subtractions.
    let value = match op {
        AluOp::Add | AluOp::Sub => imm.unsigned_abs(),
        _ => imm as u32,
    };
    match (op, width) {
        (AluOp::Add | AluOp::Sub, Width::W64) => 2 + constant(value),
        (AluOp::Mov, _) => 2,
        (AluOp::Mul, _) => 4,
        (AluOp::Div | AluOp::SDiv, _) => 1,
        (AluOp::And | AluOp::Or | AluOp::Xor, _) if value == 0 || value == u32::MAX => 0,
        (AluOp::Add | AluOp::Sub, Width::W32) | (AluOp::And | AluOp::Or | AluOp::Xor, _) => {
            1 + constant(value)
        }
        _ => 0,
    }
}

/// Words to put a constant into a register; none where it fits an operand.
fn constant(value: u32) -> usize {
    let one_word = |value: u32| {
        [0, 8, 16]
            .into_iter()
            .any(|shift| value >> shift << shift == value && value >> shift <= 0xffff)
    };
    match value {
        0..=0xff => 0,
        _ if one_word(value) || one_word(!value) => 1,
        _ => 2,
    }
}
