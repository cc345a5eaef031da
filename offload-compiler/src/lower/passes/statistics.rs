//! What a card does not know (the time, the receive queue, the running task) and only user space sees: 0 in its place.
//!
//! The number is followed through registers and the stack. It may end in an event, or in a word of a map that the program
//! never reads; where it reaches a branch, an address, a key, the packet or the verdict, nothing is changed.

use std::ops::Range;

use super::flow::Flow;
use super::row::Row;
use crate::isa::{Callee, Instruction, Reg, Size, functions};
use crate::lower::facts::Facts;
use crate::lower::program::{Op, Position, Program, Step};
use crate::lower::rewrite::Allow;
use crate::lower::run::{Context, Pass};
use crate::verify::Place;

pub(super) const PASS: Pass = Pass {
    name: "unknown-statistics",
    allow: Some(Allow::Trace),
    optimises: false,
    run,
};

/// Helpers that tell what a card does not know.
const UNKNOWN: [&str; 10] = [
    "bpf_ktime_get_ns",
    "bpf_ktime_get_boot_ns",
    "bpf_ktime_get_coarse_ns",
    "bpf_ktime_get_tai_ns",
    "bpf_jiffies64",
    "bpf_get_smp_processor_id",
    "bpf_get_numa_node_id",
    "bpf_get_current_task",
    "bpf_get_current_pid_tgid",
    READ_KERNEL,
];
/// Writes what it reads to where r1 points to.
const READ_KERNEL: &str = "bpf_probe_read_kernel";
/// Bytes of it that are cleared instead.
const MOST: i64 = 64;
/// What follows `data_meta` in `struct xdp_md`.
const FIELDS: Range<i64> = 12..24;

fn run(program: &mut Program, context: &mut Context<'_>) {
    let all = sources(program, context);
    let harmless = |sources: &[Position]| !Flow::of(program, context.facts, sources).is_seen();
    let chosen: Vec<Position> = if harmless(&all) {
        all
    } else {
        let alone = all.into_iter().filter(|&one| harmless(&[one]));
        alone.collect()
    };
    for at in chosen.into_iter().rev() {
        let step = program[at.block].steps[at.index];
        let Some(new) = nothing(context.facts, at, &step) else {
            continue;
        };
        if context.permits(new.len()) {
            context.note(program, step.origin, &[step], &new);
            program[at.block].steps.splice(at.index..=at.index, new);
        }
    }
}

/// Where the program itself asks for what the card does not know.
fn sources(program: &Program, context: &Context<'_>) -> Vec<Position> {
    let mut found = Vec::new();
    for &block in &program.functions[0].blocks {
        for (index, step) in program[block].steps.iter().enumerate() {
            let at = Position { block, index };
            let asks = match step.op {
                Op::Plain(Instruction::Call(Callee::Helper(id))) => {
                    let name = functions::name(id).unwrap_or_default();
                    UNKNOWN.contains(&name) && !(context.forms.helper)(id)
                }
                Op::Plain(Instruction::Load { base, off, .. }) => {
                    let content = context.facts.register(at, base);
                    let field = content.distance().map(|start| start + i64::from(off));
                    context.forms.offloaded
                        && content.place() == Some(Place::Context)
                        && field.is_some_and(|field| FIELDS.contains(&field))
                }
                _ => false,
            };
            if asks && nothing(context.facts, at, step).is_some() {
                found.push(at);
            }
        }
    }
    found
}

/// What stands in the place of the question.
fn nothing(facts: &Facts, at: Position, step: &Step) -> Option<Vec<Step>> {
    let mut row = Row::new(step.origin);
    if let Op::Plain(Instruction::Load { dst, .. }) = step.op {
        row.copy32(dst, 0);
        return Some(row.steps);
    }
    row.copy32(Reg::R0, 0);
    let Range { start, end } = written(facts, at, &step.op)?;
    let mut done = start;
    while done < end {
        let size = match end - done {
            8.. if done % 8 == 0 => Size::B64,
            4.. if done % 4 == 0 => Size::B32,
            2.. if done % 2 == 0 => Size::B16,
            _ => Size::B8,
        };
        row.store(size, Reg::R1, (done - start) as i16, Reg::R0);
        done += i64::from(size.bytes());
    }
    Some(row.steps)
}

/// The bytes of the stack that a source writes: from, to, from the frame's top. `None`: it cannot be told.
pub(super) fn written(facts: &Facts, at: Position, op: &Op) -> Option<Range<i64>> {
    let Op::Plain(Instruction::Call(Callee::Helper(id))) = *op else {
        return Some(0..0);
    };
    if functions::name(id) != Some(READ_KERNEL) {
        return Some(0..0);
    }
    let to = facts.register(at, Reg::R1);
    let size = facts.register(at, Reg::R2).constant()?;
    let size = i64::try_from(size).ok().filter(|size| *size <= MOST)?;
    let start = to.distance()?;
    (to.place() == Some(Place::Stack(0))).then_some(start..start + size)
}
