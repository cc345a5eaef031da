//! How much stack a program needs on the card.

use offload_compiler::isa::{Callee, Instruction, Reg};
use offload_compiler::verify::{Function, Input, Verdict};

use super::{Reason, Refusal, Subject};
use crate::profile::Profile;

/// Frames begin on multiples of this.
const FRAME: u32 = 64;
/// The return address that a subprogram keeps.
const RETURN_ADDRESS: u32 = 4;
/// r6 to r9, kept by a subprogram that writes one of them.
const SAVED_REGISTERS: u32 = 32;

/// Bytes of the frame of each function of the input, by its index, as the driver lays it out.
pub(super) fn frames(input: &Input<'_>, verdict: &Verdict) -> Vec<u32> {
    let frame = |(index, function): (usize, &Function)| {
        let own = verdict
            .stack
            .get(&function.start)
            .copied()
            .unwrap_or(0)
            .next_multiple_of(4);
        if index == 0 {
            return own;
        }
        let saves = reached(input, verdict, function).any(|(_, instruction)| {
            instruction
                .written()
                .is_some_and(|reg| (Reg::R6..=Reg::R9).contains(&reg))
        });
        own + RETURN_ADDRESS + if saves { SAVED_REGISTERS } else { 0 }
    };
    input.functions.iter().enumerate().map(frame).collect()
}

/// The longest chain of calls, if its frames are too large together.
pub(super) fn refusal(
    input: &Input<'_>,
    verdict: &Verdict,
    frames: &[u32],
    profile: &Profile,
) -> Option<Refusal> {
    let mut known = vec![None; frames.len()];
    let program = chain(input, verdict, frames, 0, &mut known, 0);
    let limit = profile.stack_bytes;
    (program > limit).then_some(Refusal {
        subject: Subject::Program,
        reason: Reason::Stack { program, limit },
    })
}

/// Bytes of a function's frame and of the deepest chain below it. The verifier has bounded the depth of calls.
fn chain(
    input: &Input<'_>,
    verdict: &Verdict,
    frames: &[u32],
    index: usize,
    known: &mut [Option<u32>],
    depth: u8,
) -> u32 {
    let (Some(function), Some(own), Some(before)) = (
        input.functions.get(index),
        frames.get(index),
        known.get(index).copied(),
    ) else {
        return 0;
    };
    if let Some(bytes) = before {
        return bytes;
    }
    let mut deepest = 0;
    for (slot, instruction) in reached(input, verdict, function) {
        if let Instruction::Call(Callee::Local(distance)) = instruction
            && depth < 8
            && let Some(callee) = slot.checked_add_signed(*distance as isize + 1)
            && let Ok(callee) = input
                .functions
                .binary_search_by_key(&callee, |function| function.start)
        {
            deepest = deepest.max(chain(input, verdict, frames, callee, known, depth + 1));
        }
    }
    let bytes = own.next_multiple_of(FRAME) + deepest;
    known[index] = Some(bytes);
    bytes
}

/// The instructions of a function that some path reaches, by slot.
fn reached<'a>(
    input: &'a Input<'_>,
    verdict: &'a Verdict,
    function: &'a Function,
) -> impl Iterator<Item = (usize, &'a Instruction)> {
    let slots = function.start
        ..function
            .start
            .saturating_add(function.len)
            .min(input.code.len());
    slots.filter_map(|slot| {
        let reached = verdict.reached.get(slot).copied().unwrap_or(false);
        Some((slot, input.code.at(slot).filter(|_| reached)?))
    })
}
