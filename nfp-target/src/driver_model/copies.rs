//! Copies: pairs of loads and stores that the driver makes one (`nfp_bpf_opt_ldst_gather`, Linux 6.12).

use std::collections::{HashMap, HashSet};

use offload_compiler::isa::{Callee, Instruction, Operand, Reg, Size};
use offload_compiler::verify::{Input, Place};

use super::facts::Facts;

/// Most bytes of one copy.
const LONGEST: i32 = 128;

/// A copy that takes the place of its pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) size: Size,
    /// The register that the loads go through.
    pub(super) through: Reg,
    pub(super) from: Reg,
    pub(super) from_offset: i16,
    pub(super) to: Reg,
    pub(super) to_offset: i16,
    /// Bytes.
    pub(super) len: u32,
    /// The pairs went down.
    pub(super) descending: bool,
    /// Bytes of all pairs are more than those from the first to the last: it goes up and down.
    pub(super) merged: bool,
    /// The slot after the last pair.
    pub(super) end: usize,
}

/// A load and the store after it.
#[derive(Debug, Clone, Copy)]
struct Pair {
    slot: usize,
    size: Size,
    through: Reg,
    from: Reg,
    from_offset: i16,
    to: Reg,
    to_offset: i16,
}

/// The copies by the slot of their first load.
pub(super) fn find(input: &Input<'_>, facts: &Facts) -> HashMap<usize, Copy> {
    let targets = targets(input);
    let pair_at = |slot| pair(input, facts, &targets, slot);
    let mut copies = HashMap::new();
    let mut slot = 0;
    while let Some(head) = next_pair(input, &pair_at, &mut slot) {
        let mut last = head;
        let mut pairs = 1;
        let mut len = head.size.bytes() as i32;
        while let Some(next) = pair_at(slot) {
            if !follows(&last, &next)
                || targets.contains(&next.slot)
                || crosses(facts, &head, &next)
                || len >= LONGEST
            {
                break;
            }
            last = next;
            pairs += 1;
            len += next.size.bytes() as i32;
            slot += 2;
        }
        if pairs > 1 {
            let descending = last.from_offset < head.from_offset;
            let lowest = if descending { last } else { head };
            let span = i32::from(head.from_offset).abs_diff(last.from_offset.into());
            copies.insert(
                head.slot,
                Copy {
                    size: head.size,
                    through: head.through,
                    from: head.from,
                    from_offset: lowest.from_offset,
                    to: head.to,
                    to_offset: lowest.to_offset,
                    len: len as u32,
                    descending,
                    merged: span + head.size.bytes() != len as u32,
                    end: slot,
                },
            );
        }
    }
    copies
}

/// The next pair from `slot` on, which then is behind it.
fn next_pair(
    input: &Input<'_>,
    pair_at: &impl Fn(usize) -> Option<Pair>,
    slot: &mut usize,
) -> Option<Pair> {
    while *slot < input.code.len() {
        if let Some(pair) = pair_at(*slot) {
            *slot += 2;
            return Some(pair);
        }
        *slot += 1;
    }
    None
}

/// Where jumps and calls go, in dead code too.
fn targets(input: &Input<'_>) -> HashSet<usize> {
    let target = |(slot, instruction): (usize, &Instruction)| {
        let offset = match *instruction {
            Instruction::Call(Callee::Local(distance)) => distance,
            _ => instruction.jump_offset()?,
        };
        (slot + 1).checked_add_signed(offset as isize)
    };
    input.code.iter().filter_map(target).collect()
}

/// `curr_pair_is_memcpy`
fn pair(input: &Input<'_>, facts: &Facts, targets: &HashSet<usize>, slot: usize) -> Option<Pair> {
    let (
        &Instruction::Load {
            size,
            signed: false,
            dst: through,
            base: from,
            off: from_offset,
        },
        &Instruction::Store {
            size: stored,
            base: to,
            off: to_offset,
            src: Operand::Reg(src),
        },
    ) = (input.code.at(slot)?, input.code.at(slot + 1)?)
    else {
        return None;
    };
    let place = |slot| facts.at.get(&slot).and_then(|fact| fact.place);
    let loads = matches!(place(slot), Some(Place::Packet | Place::MapValue(_)));
    let stores = place(slot + 1) == Some(Place::Packet);
    let is = loads && stores && size == stored && src == through && !targets.contains(&(slot + 1));
    is.then_some(Pair {
        slot,
        size,
        through,
        from,
        from_offset,
        to,
        to_offset,
    })
}

/// `curr_pair_chain_with_previous`, but for its jumps
fn follows(last: &Pair, next: &Pair) -> bool {
    let size = i32::from(last.size.bytes() as i16);
    let (last_from, last_to) = (i32::from(last.from_offset), i32::from(last.to_offset));
    let (from, to) = (i32::from(next.from_offset), i32::from(next.to_offset));
    let up = last_from + size == from && last_to + size == to;
    let down = from + size == last_from && to + size == last_to;
    next.through == last.through
        && next.from == last.from
        && next.to == last.to
        && next.size == last.size
        && (up || down)
}

/// `cross_mem_access`
fn crosses(facts: &Facts, head: &Pair, next: &Pair) -> bool {
    let (Some(load), Some(store)) = (facts.at.get(&head.slot), facts.at.get(&(head.slot + 1)))
    else {
        return true;
    };
    if load.place != Some(Place::Packet) {
        return false;
    }
    if load.identity != store.identity {
        return true;
    }
    let at = |offset: i16, fixed: i32| i32::from(offset) + fixed;
    let from = at(head.from_offset, load.fixed);
    let to = at(head.to_offset, store.fixed);
    let next = at(next.from_offset, load.fixed);
    (next > from && from < to && next >= to) || (next < from && from > to && next <= to)
}
