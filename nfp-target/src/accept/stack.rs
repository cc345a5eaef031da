//! How much stack a program needs on the card (`nfp_bpf_finalize`, `nfp_bpf_get_stack_usage`).

use std::collections::HashMap;

use offload_compiler::verify::{Function, Input};

use super::callee;

/// Every frame is rounded up to this (`STACK_FRAME_ALIGN`).
const FRAME_ALIGNMENT: u32 = 64;
/// A subprogram keeps its return address in its frame.
const RETURN_ADDRESS: u32 = 4;
/// And r6 to r9, where it writes to one of them.
const SAVED_REGISTERS: u32 = 32;

/// The chain of calls that needs the most stack: where each function starts, and the bytes that its frame takes. The
/// verifier has made sure that there are no circles.
pub(super) fn deepest(input: &Input<'_>, used: &HashMap<usize, u32>) -> Vec<(usize, u32)> {
    /// What a function's frame takes, what it needs with those that it calls, and the deepest of them.
    struct Need {
        own: u32,
        all: u32,
        deepest: Option<usize>,
    }
    let mut known: HashMap<usize, Need> = HashMap::new();
    // A function's second turn comes when those it calls are known.
    let mut work: Vec<(usize, bool)> = vec![(0, false)];
    while let Some((start, callees_are_known)) = work.pop() {
        let Some(function) = input
            .function_at(start)
            .filter(|_| !known.contains_key(&start))
        else {
            continue;
        };
        let callees = callees(input, function);
        if callees_are_known {
            let need = |callee: usize| Some((known.get(&callee)?.all, callee));
            let below = callees.into_iter().filter_map(need).max();
            let own = frame(input, function, used).next_multiple_of(FRAME_ALIGNMENT);
            let need = Need {
                own,
                all: own.saturating_add(below.map_or(0, |(all, _)| all)),
                deepest: below.map(|(_, callee)| callee),
            };
            known.insert(start, need);
        } else {
            work.push((start, true));
            work.extend(callees.into_iter().map(|callee| (callee, false)));
        }
    }
    let mut chain = Vec::new();
    let mut at = Some(0);
    while let Some((start, need)) = at.and_then(|start| Some((start, known.remove(&start)?))) {
        chain.push((start, need.own));
        at = need.deepest;
    }
    chain
}

/// Bytes of a function's own frame.
pub(crate) fn frame(input: &Input<'_>, function: &Function, used: &HashMap<usize, u32>) -> u32 {
    // The kernel counts whole slots (`grow_stack_state`).
    let mut bytes = used
        .get(&function.start)
        .copied()
        .unwrap_or(0)
        .next_multiple_of(8);
    if function.start != 0 {
        bytes += RETURN_ADDRESS;
        if saves_registers(input, function) {
            bytes += SAVED_REGISTERS;
        }
    }
    bytes
}

/// The driver takes any instruction with r6 to r9 in its destination field for a write, stores through it included.
fn saves_registers(input: &Input<'_>, function: &Function) -> bool {
    (function.start..function.start + function.len)
        .filter_map(|slot| input.code.at(slot))
        .any(|instruction| (6..=9).contains(&instruction.encode().0.dst))
}

fn callees(input: &Input<'_>, function: &Function) -> Vec<usize> {
    (function.start..function.start + function.len)
        .filter_map(|slot| callee(slot, input.code.at(slot)?))
        .collect()
}
