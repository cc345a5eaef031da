//! What the driver's translation refuses after its check passed (`nfp_translate`). The user sees EINVAL and no more.

use std::collections::HashMap;

use offload_compiler::isa::{AluOp, Instruction, Operand, Size, Width};
use offload_compiler::verify::{Input, Known, Place, Verdict};

use super::instruction::Meta;
use super::{Reason, Refusal, Subject, Untranslatable, size, stack};
use crate::profile::Profile;

const EFAULT: i32 = -14;
/// What a callback of the translation returns, -EOPNOTSUPP.
const EOPNOTSUPP: i32 = -95;
/// Words that every program has: 2 before it, 13 after it, 8 empty ones at the end.
const FRAME_WORDS: usize = 23;

/// Whether the driver has a translation for an opcode (`instr_cb`).
pub(super) fn supported(code: u8) -> bool {
    let operation = code & 0xf0;
    let register_operand = code & 0x08 != 0;
    match code & 0x07 {
        // 64 and 32 bit arithmetic: all but mod; byte swaps only to big endian, negation has no operand.
        0x07 | 0x04 => match operation {
            0x90 | 0xe0.. => false,
            0xd0 => code == 0xdc,
            0x80 => !register_operand,
            _ => true,
        },
        // ld_imm64, LD_ABS, LD_IND
        0x00 => matches!(code, 0x18 | 0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50),
        // Loads without sign extension, stores, stores of constants
        0x01..=0x03 => code & 0xe0 == 0x60 || matches!(code, 0xc3 | 0xdb),
        0x05 => match operation {
            0x00 | 0x80 | 0x90 => !register_operand,
            0xe0.. => false,
            _ => true,
        },
        _ => !matches!(operation, 0x00 | 0x80 | 0x90 | 0xe0 | 0xf0),
    }
}

/// The fewest words of the translation, and what cannot be translated.
pub(super) fn translate(
    input: &Input<'_>,
    profile: &Profile,
    seen: &HashMap<usize, Meta>,
    verdict: &Verdict,
) -> (usize, Vec<Refusal>) {
    let mut words = FRAME_WORDS;
    let mut by_function: HashMap<usize, u32> = HashMap::new();
    let mut refusals = Vec::new();
    for (slot, instruction) in input.code.iter() {
        // The kernel removes dead code before.
        if !verdict.reached.get(slot).copied().unwrap_or(false) {
            continue;
        }
        let meta = seen.get(&slot);
        let on_stack = |known: &Known, off, size| {
            let frame = input.function_of(slot).map_or(0, |function| {
                stack::frame(input, function, &verdict.stack).next_multiple_of(4)
            });
            meta.is_none_or(|meta| stack_access_ok(frame, meta, known, off, size))
        };
        if let Instruction::Alu {
            op: AluOp::Div | AluOp::SDiv,
            src: Operand::Reg(_),
            ..
        } = instruction
            && meta.and_then(|meta| meta.source) == Some((0, 0))
        {
            refusals.push(Refusal::new(
                Subject::Instruction(slot),
                Reason::DivisorZero,
            ));
        }
        let mut refuse = |what, error| {
            refusals.push(Refusal::new(
                Subject::Instruction(slot),
                Reason::Untranslatable {
                    text: instruction.to_string(),
                    error,
                    what,
                },
            ));
        };
        match *instruction {
            Instruction::Load {
                base: _, off, size, ..
            } => match meta.and_then(|meta| meta.pointer) {
                Some(Known::Address {
                    place: Place::Context,
                    ..
                }) if size != Size::B32 || (off != 0 && off != 4) => {
                    refuse(Untranslatable::ContextField, EOPNOTSUPP);
                }
                Some(
                    known @ Known::Address {
                        place: Place::Stack(_),
                        ..
                    },
                ) if !on_stack(&known, off, size) => {
                    refuse(Untranslatable::CallerStack, EOPNOTSUPP);
                }
                None => refuse(Untranslatable::Other, EOPNOTSUPP),
                _ => {}
            },
            Instruction::Store {
                src: Operand::Imm(_),
                ..
            } => refuse(Untranslatable::StoreImmediate, EOPNOTSUPP),
            Instruction::Store { off, size, .. } => match meta.and_then(|meta| meta.pointer) {
                Some(
                    known @ Known::Address {
                        place: Place::Stack(_),
                        ..
                    },
                ) if !on_stack(&known, off, size) => {
                    refuse(Untranslatable::CallerStack, EOPNOTSUPP);
                }
                None => refuse(Untranslatable::Other, EOPNOTSUPP),
                _ => {}
            },
            Instruction::Alu {
                op: AluOp::Lsh | AluOp::Rsh | AluOp::Arsh,
                width,
                src: Operand::Reg(_),
                ..
            } => {
                if let Some((least, most)) = meta.and_then(|meta| meta.source)
                    && least == most
                    && !shift_ok(least as u8, width)
                {
                    refuse(Untranslatable::Shift, EFAULT);
                }
            }
            _ => {}
        }
        let place = match meta.and_then(|meta| meta.pointer) {
            Some(Known::Address { place, .. }) => Some(place),
            _ => None,
        };
        if !decided(slot, instruction, &verdict.reached) {
            let least = size::least_words(instruction, place);
            words += least;
            if let Some(function) = input.function_of(slot) {
                *by_function.entry(function.start).or_default() += least as u32;
            }
        }
    }
    if words > profile.code_words as usize {
        let reason = Reason::CodeStore {
            words: profile.code_words,
        };
        let mut refusal = Refusal::new(Subject::Program, reason);
        let functions = by_function.into_iter().collect();
        refusal.known.extend([
            format!("it takes {words} words at least"),
            super::largest(input, "words", functions),
        ]);
        refusals.push(refusal);
    }
    (words, refusals)
}

/// Whether a branch always goes one way: the kernel makes a jump of it, or nothing
/// (`opt_hard_wire_dead_code_branches`).
fn decided(slot: usize, instruction: &Instruction, reached: &[bool]) -> bool {
    let Instruction::Branch { offset, .. } = *instruction else {
        return false;
    };
    let reached = |slot: Option<usize>| slot.and_then(|slot| reached.get(slot)) == Some(&true);
    !reached(Some(slot + 1)) || !reached((slot + 1).checked_add_signed(offset.into()))
}

/// A known amount is cut to eight bits, and what is left has to fit the field of a word.
fn shift_ok(amount: u8, width: Width) -> bool {
    amount
        < match width {
            Width::W32 => 32,
            Width::W64 => 64,
        }
}

/// A narrow access must not cross a word as the driver sees it (`mem_op_stack`, `wrp_lmem_load`): where the place is not
/// always the same, it counts from the frame that runs, and a place in a caller's frame is negative.
fn stack_access_ok(frame: u32, meta: &Meta, known: &Known, off: i16, size: Size) -> bool {
    if !meta.moved && !meta.callers_stack {
        return true;
    }
    let Some(place) = known.constant_offset() else {
        return true;
    };
    let mut off = frame as i32 + i32::from(off) + place as i32;
    let mut left = size.bytes() as i32;
    let mut byte_of_register = 0;
    while left > 0 {
        let next_word = off.div_euclid(4) * 4 + 4;
        let slice = (off + left.min(4 - byte_of_register)).min(next_word) - off;
        // In C the remainder has the sign of the offset, and the sum is unsigned: a negative one is large.
        off %= 4;
        if !(0..=4).contains(&(off + slice)) {
            return false;
        }
        byte_of_register = (byte_of_register + slice) % 4;
        left -= slice;
        off += slice;
    }
    true
}
