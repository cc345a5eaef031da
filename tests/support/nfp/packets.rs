//! Packets that lead into a program.

use std::collections::BTreeSet;

use offload_compiler::isa::{AluOp, Code, Instruction, Operand};

use crate::Random;

/// A packet that gets past some of a program's checks, which compare with one of these lengths.
pub fn packet(random: &mut Random, lengths: &[u32]) -> Vec<u8> {
    let length = if random.one_in(3) || lengths.is_empty() {
        *random.pick(&[14, 20, 34, 42, 54, 60, 64, 65, 90, 128, 200, 256, 400])
    } else {
        random.pick(lengths) + random.pick(&[0, 0, 1, 8, 40])
    };
    let mut bytes: Vec<u8> = match random.below(4) {
        // Small numbers, so that comparisons with constants come out both ways.
        0 => (0..length)
            .map(|_| *random.pick(&[0, 0, 1, 2, 255]))
            .collect(),
        _ => random.bytes(length as usize),
    };
    let mut put = |at: usize, new: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + new.len()) {
            place.copy_from_slice(new);
        }
    };
    match random.below(5) {
        0 => {
            put(12, &[8, 0, 0x45]);
            put(23, &[*random.pick(&[1, 6, 17, 4, 47])]);
        }
        1 => {
            put(12, &[0x86, 0xdd, 0x60]);
            put(20, &[*random.pick(&[6, 17, 58])]);
        }
        2 => {
            put(12, &[0x81, 0, 0, 5, 8, 0, 0x45]);
            put(27, &[*random.pick(&[6, 17])]);
        }
        _ => {}
    }
    for at in [34, 36, 38, 40] {
        if random.one_in(3) {
            put(at, &[0, *random.pick(&[53, 80, 22, 123, 67])]);
        }
    }
    bytes
}

/// The program's constants that may be lengths.
pub fn lengths(code: &Code) -> Vec<u32> {
    let constants = code
        .iter()
        .filter_map(|(_, instruction)| match instruction {
            Instruction::Alu {
                op: AluOp::Add,
                src: Operand::Imm(imm),
                ..
            } => u32::try_from(*imm)
                .ok()
                .filter(|imm| (14..1500).contains(imm)),
            _ => None,
        });
    constants.collect::<BTreeSet<_>>().into_iter().collect()
}
