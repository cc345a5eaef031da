//! What can be said of a program's shape before any path is walked.

use std::collections::{BTreeMap, HashMap};

use crate::isa::{Callee, Imm64, Instruction};

use super::explore::Step;
use super::finding::{Code, Finding};
use super::input::Input;
use super::kernel_function::Effect;
use super::state::{MAX_FRAMES, MAX_STACK};

/// The first slot of the function that an instruction calls or takes the address of.
pub(super) fn callee(slot: usize, instruction: &Instruction) -> Option<usize> {
    let distance = match instruction {
        Instruction::Call(Callee::Local(distance))
        | Instruction::LoadImm64 {
            value: Imm64::Function(distance),
            ..
        } => *distance,
        _ => return None,
    };
    target(slot, distance)
}

/// The slot that a jump over `distance` slots leads to.
pub(super) fn target(slot: usize, distance: i32) -> Option<usize> {
    usize::try_from(slot as i64 + 1 + i64::from(distance)).ok()
}

/// Jumps that leave their function or hit the middle of an instruction, ends that fall through,
/// instructions that nothing reaches.
pub(super) fn check(input: &Input<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (slot, instruction) in input.code.iter() {
        if let Some(distance) = instruction.jump_offset() {
            let function = input.function_of(slot);
            let there = target(slot, distance).filter(|&there| {
                input.code.at(there).is_some()
                    && function.is_none_or(|f| (f.start..f.start + f.len).contains(&there))
            });
            if there.is_none() {
                findings.push(Finding::error(
                    Code::ControlFlow,
                    slot,
                    "this jump leaves its function or lands inside an instruction",
                ));
            }
        }
        if matches!(instruction, Instruction::LoadImm64 { .. })
            && let Some(reference) = input.map_at.get(&slot)
            && let Some(offset) = reference.value_offset
            && let Some(shape) = input.maps.get(reference.map as usize)
            && offset >= shape.value_size
        {
            findings.push(Finding::error(
                Code::MapValueBounds,
                slot,
                format!(
                    "an address {offset} bytes into a value of map {}, which has {} bytes",
                    shape.name, shape.value_size
                ),
            ));
        }
        if matches!(instruction, Instruction::Call(Callee::Local(_)))
            && callee(slot, instruction).is_none_or(|there| input.function_at(there).is_none())
        {
            findings.push(Finding::error(
                Code::ControlFlow,
                slot,
                "this call leads to no function",
            ));
        }
    }
    for function in input.functions {
        let last = (function.start..function.start + function.len)
            .rev()
            .find(|&slot| input.code.at(slot).is_some());
        if let Some(last) = last
            && let Some(instruction) = input.code.at(last)
            && instruction.falls_through()
        {
            findings.push(Finding::error(
                Code::ControlFlow,
                last,
                "the function's last instruction is neither a jump nor an exit",
            ));
        }
    }
    if findings.is_empty() {
        findings.extend(unreachable(input));
        findings.extend(recursion(input));
    }
    findings
}

/// The first instruction of each stretch that nothing leads to; the kernel refuses a program for it.
fn unreachable(input: &Input<'_>) -> Option<Finding> {
    let mut reached = vec![false; input.code.len()];
    let mut work: Vec<usize> = vec![0];
    while let Some(slot) = work.pop() {
        let Some(instruction) = input.code.at(slot) else {
            continue;
        };
        if std::mem::replace(&mut reached[slot], true) {
            continue;
        }
        if instruction.falls_through() {
            work.push(slot + instruction.slots());
        }
        work.extend(
            instruction
                .jump_offset()
                .and_then(|distance| target(slot, distance)),
        );
        work.extend(callee(slot, instruction));
    }
    let (slot, _) = input.code.iter().find(|&(slot, _)| !reached[slot])?;
    Some(
        Finding::error(Code::Unreachable, slot, "no path leads to this instruction")
            .help("remove the dead code, or the function that nothing calls"),
    )
}

fn recursion(input: &Input<'_>) -> Option<Finding> {
    let calls = call_graph(input);
    // 0 unseen, 1 on the path, 2 done
    let mut seen: HashMap<usize, u8> = HashMap::new();
    let mut work = vec![(0usize, 0usize)];
    seen.insert(0, 1);
    while let Some((function, next)) = work.pop() {
        let Some(&(site, callee)) = calls.get(&function).and_then(|c| c.get(next)) else {
            seen.insert(function, 2);
            continue;
        };
        work.push((function, next + 1));
        match seen.get(&callee) {
            Some(1) => {
                return Some(Finding::error(
                    Code::CallDepth,
                    site,
                    "this call closes a circle: a function may not call itself, not even through others",
                ));
            }
            Some(_) => {}
            None => {
                seen.insert(callee, 1);
                work.push((callee, 0));
            }
        }
    }
    None
}

/// The calls of each function, as (slot, callee).
fn call_graph(input: &Input<'_>) -> HashMap<usize, Vec<(usize, usize)>> {
    let mut calls: HashMap<usize, Vec<(usize, usize)>> = HashMap::new();
    for (slot, instruction) in input.code.iter() {
        if let (Some(callee), Some(function)) = (callee(slot, instruction), input.function_of(slot))
        {
            calls
                .entry(function.start)
                .or_default()
                .push((slot, callee));
        }
    }
    calls
}

/// No chain of calls needs more stack than there is, or is too deep (`check_max_stack_depth`).
pub(super) fn stack_sizes(input: &Input<'_>, used: &HashMap<usize, i32>) -> Step<()> {
    let calls = call_graph(input);
    let rounded = |function: usize| {
        let bytes = used.get(&function).copied().unwrap_or(0);
        if input.rules.fine_frames {
            (bytes + 15) / 16 * 16
        } else {
            (bytes.max(1) + 31) / 32 * 32
        }
    };
    // Longest chains first found from the leaves up; there are no circles.
    let mut best: BTreeMap<usize, (i32, usize)> = BTreeMap::new();
    let mut work = vec![(0usize, false)];
    while let Some((function, children_done)) = work.pop() {
        if best.contains_key(&function) {
            continue;
        }
        let callees = calls.get(&function).map_or(&[][..], Vec::as_slice);
        if !children_done {
            work.push((function, true));
            work.extend(callees.iter().map(|&(_, callee)| (callee, false)));
            continue;
        }
        let below = callees
            .iter()
            .filter_map(|&(site, callee)| {
                best.get(&callee)
                    .map(|&(bytes, depth)| (bytes, depth, site))
            })
            .fold((0, 0, None), |(bytes, depth, site), (b, d, s)| {
                if b > bytes {
                    (b, depth.max(d), Some(s))
                } else {
                    (bytes, depth.max(d), site)
                }
            });
        let bytes = rounded(function) + below.0;
        let depth = below.1 + 1;
        if bytes > MAX_STACK {
            return Err(Box::new(
                Finding::error(
                    Code::StackSize,
                    below.2.unwrap_or(function),
                    format!("this chain of calls needs {bytes} bytes of stack, {MAX_STACK} is all there is"),
                )
                .help("move large variables into a per-CPU array map, or make functions share a frame by inlining them"),
            ));
        }
        if depth > MAX_FRAMES {
            return Err(Box::new(Finding::error(
                Code::CallDepth,
                below.2.unwrap_or(function),
                format!("functions call each other {depth} deep, {MAX_FRAMES} is the most"),
            )));
        }
        best.insert(function, (bytes, depth));
    }
    Ok(())
}

/// What is done with the states at a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PrunePoint {
    /// Nothing.
    None,
    /// They are compared with earlier ones, and some are kept.
    Plain,
    /// All are kept: a loop that the kernel bounds, walked until nothing new comes.
    MayGoto,
    /// All are kept: a helper that calls back, walked until nothing new comes.
    CallsBack,
    /// All are kept: an iterator gives its next element, walked until nothing new comes.
    Iterates,
}

/// Slots where states are compared: where paths meet or part.
pub(super) fn prune_points(input: &Input<'_>) -> Vec<PrunePoint> {
    let mut points = vec![PrunePoint::None; input.code.len()];
    for (slot, instruction) in input.code.iter() {
        let mut mark = |slot: usize, point: PrunePoint| {
            if let Some(known) = points.get_mut(slot)
                && (*known == PrunePoint::None || point != PrunePoint::Plain)
            {
                *known = point;
            }
        };
        if let Some(distance) = instruction.jump_offset() {
            if let Some(there) = target(slot, distance) {
                mark(there, PrunePoint::Plain);
            }
            if instruction.falls_through() {
                mark(slot, PrunePoint::Plain);
            }
        }
        match instruction {
            Instruction::MayGoto { .. } => mark(slot, PrunePoint::MayGoto),
            Instruction::Call(callee) => {
                mark(slot + 1, PrunePoint::Plain);
                if calls_back(input, slot) {
                    mark(slot, PrunePoint::CallsBack);
                } else if effect_at(input, *callee) == Some(Effect::IteratorNext) {
                    mark(slot, PrunePoint::Iterates);
                } else if matches!(callee, Callee::Local(_)) {
                    mark(slot, PrunePoint::Plain);
                }
            }
            _ => {}
        }
    }
    points
}

/// What is particular to the kernel function that is called, if one is.
fn effect_at(input: &Input<'_>, callee: Callee) -> Option<Effect> {
    let Callee::Kernel { btf_id, module } = callee else {
        return None;
    };
    input.kernel_functions.get(&(btf_id, module))?.effect()
}

/// Whether the call at `slot` runs a callback.
pub(super) fn calls_back(input: &Input<'_>, slot: usize) -> bool {
    let Some(Instruction::Call(Callee::Helper(id))) = input.code.at(slot) else {
        return false;
    };
    super::prototype::of(*id).is_some_and(|prototype| {
        prototype
            .args
            .iter()
            .any(|arg| matches!(arg, super::prototype::Arg::Callback))
            && prototype.name != "bpf_timer_set_callback"
    })
}

/// Whether a function, or one that it calls, moves the packet's ends.
pub(super) fn moves_packet(input: &Input<'_>, function: usize) -> bool {
    let calls = call_graph(input);
    let mut seen = vec![function];
    let mut next = 0;
    while let Some(&at) = seen.get(next) {
        next += 1;
        for &(_, callee) in calls.get(&at).map_or(&[][..], Vec::as_slice) {
            if !seen.contains(&callee) {
                seen.push(callee);
            }
        }
    }
    input.code.iter().any(|(slot, instruction)| {
        (matches!(instruction, Instruction::Call(Callee::Helper(id))
            if super::prototype::of(*id).is_some_and(|prototype| prototype.moves_packet))
            || matches!(instruction, Instruction::Call(callee)
                if effect_at(input, *callee) == Some(Effect::MovesPacket)))
            && input
                .function_of(slot)
                .is_some_and(|function| seen.contains(&function.start))
    })
}
