//! Changes one thing of a program: a constant, a register, a width, an operation.

use offload_compiler::isa::{Code, Imm64, Instruction, Operand, Reg, Size, Width};
use tests::Random;

const fn other_width(width: Width) -> Width {
    match width {
        Width::W32 => Width::W64,
        Width::W64 => Width::W32,
    }
}

/// The code with one change, where the chosen instruction has something to change. It may not decode any more.
pub(super) fn mutate(code: &Code, random: &mut Random) -> Code {
    let mut instructions: Vec<Instruction> =
        code.iter().map(|(_, instruction)| *instruction).collect();
    let at = random.below(instructions.len() as u64) as usize;
    let near = *random.pick(&[1, -1, 2, -2, 4, -4, 8, -8]);
    let other = Reg::ALL[random.below(10) as usize];
    let what = random.below(10);
    match &mut instructions[at] {
        Instruction::Alu {
            src, width, dst, ..
        } => match (src, what) {
            (Operand::Imm(imm), 0..=6) => *imm = imm.wrapping_add(near),
            (Operand::Reg(reg), 0..=3) => *reg = other,
            (_, 7) => *width = other_width(*width),
            _ => *dst = other,
        },
        Instruction::Load {
            off, size, base, ..
        }
        | Instruction::Store {
            off, size, base, ..
        } => match what {
            0..=6 => *off = off.wrapping_add(near as i16),
            7 | 8 => *size = Size::B64,
            _ => *base = other,
        },
        Instruction::Branch { condition, .. } => match (&mut condition.src, what) {
            (Operand::Imm(imm), 0..=6) => *imm = imm.wrapping_add(near),
            (Operand::Reg(reg), 0..=3) => *reg = other,
            (_, 7 | 8) => condition.width = other_width(condition.width),
            _ => condition.dst = other,
        },
        Instruction::LoadImm64 {
            value: Imm64::MapValueFd { offset, .. },
            ..
        } => *offset = offset.wrapping_add(near as u32),
        _ => {}
    }
    Code::from_instructions(instructions)
}
