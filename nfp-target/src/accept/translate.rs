//! What the driver cannot translate though it accepted it in verification.

use std::collections::BTreeMap;

use offload_compiler::isa::{AluOp, Instruction, Operand, Size, Width};
use offload_compiler::verify::Input;

use super::instruction::Seen;
use super::{Reason, Refusal, Subject};

/// `enum bpf_reg_type`: the context.
const CONTEXT: u32 = 2;

/// In the order of the program: only instructions that some path reaches are translated. `frames` are the frames of
/// the input's functions.
pub(super) fn refusals(
    input: &Input<'_>,
    seen: &BTreeMap<usize, Seen>,
    frames: &[u32],
) -> Vec<Refusal> {
    let refused = seen.iter().filter_map(|(slot, seen)| {
        let function = input
            .functions
            .partition_point(|function| function.start <= *slot);
        let frame = function
            .checked_sub(1)
            .and_then(|index| frames.get(index))
            .copied()
            .unwrap_or(0);
        let reason = reason(seen, frame)?;
        Some(Refusal {
            subject: Subject::Instruction(*slot),
            reason,
        })
    });
    refused.collect()
}

fn reason(seen: &Seen, frame: u32) -> Option<Reason> {
    match seen.instruction {
        Instruction::Store {
            src: Operand::Imm(_),
            ..
        } => Some(Reason::StoreImmediate),
        Instruction::Load { size: Size::B8, .. } | Instruction::Store { size: Size::B8, .. }
            if seen
                .caller_frame
                .is_some_and(|offset| is_lost_byte(offset, frame)) =>
        {
            Some(Reason::CallerFrameByte)
        }
        // data and data_end
        Instruction::Load { size, off, .. } if seen.pointer_kind() == Some(CONTEXT) => {
            (size != Size::B32 || !matches!(off, 0 | 4)).then_some(Reason::ContextField(off))
        }
        Instruction::Alu {
            width,
            op: AluOp::Lsh | AluOp::Rsh | AluOp::Arsh,
            src: Operand::Reg(_),
            ..
        } if seen.source.0 == seen.source.1 => {
            // The driver takes the low 8 bits of a known amount as the constant.
            let amount = seen.source.0 as u8;
            let limit = match width {
                Width::W32 => 32,
                Width::W64 => 64,
            };
            (amount >= limit).then_some(Reason::ShiftAmount(amount))
        }
        _ => None,
    }
}

/// An offset in a caller's frame is taken as one in the function's own. Where that is negative, so is its remainder
/// by 4, and the byte's lane becomes -3 or -2, which no byte mask has. (-1 has one, of the wrong byte.)
fn is_lost_byte(offset: i64, frame: u32) -> bool {
    matches!((offset + i64::from(frame)) % 4, -3 | -2)
}
