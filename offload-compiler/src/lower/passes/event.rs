//! Traces and events that a card cannot send: left out, as if nobody took them or their buffer were full.

use super::row::Row;
use crate::isa::{Callee, Instruction, Reg, functions};
use crate::lower::liveness::Liveness;
use crate::lower::program::{Op, Position, Program, Step};
use crate::lower::rewrite::Allow;
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "dropped-events",
    allow: Some(Allow::Trace),
    optimises: false,
    run,
};

const ENOENT: i32 = -2;
const EAGAIN: i32 = -11;

fn run(program: &mut Program, context: &mut Context<'_>) {
    let live = Liveness::of(program);
    for block in program.block_ids() {
        for index in (0..program[block].steps.len()).rev() {
            let step = program[block].steps[index];
            let Op::Plain(Instruction::Call(Callee::Helper(id))) = step.op else {
                continue;
            };
            let seen = live.after(Position { block, index }).contains(Reg::R0);
            let Some(given) = instead(functions::name(id).unwrap_or_default()) else {
                continue;
            };
            if (context.forms.helper)(id) || !context.permits(0) {
                continue;
            }
            let mut row = Row::new(step.origin);
            if seen {
                row.copy(Reg::R0, given);
            }
            let new: Vec<Step> = row.steps;
            context.note(program, step.origin, &[step], &new);
            program[block].steps.splice(index..=index, new);
        }
    }
}

/// What a helper that only tells user space something gives where nobody takes it.
fn instead(name: &str) -> Option<i32> {
    Some(match name {
        // No reader has opened the event (`bpf_perf_event_output`, kernel/trace/bpf_trace.c).
        "bpf_perf_event_output" => ENOENT,
        // The buffer is full (kernel/bpf/ringbuf.c): an error, or null.
        "bpf_ringbuf_output" => EAGAIN,
        "bpf_ringbuf_reserve" | "bpf_trace_printk" | "bpf_trace_vprintk" => 0,
        _ => return None,
    })
}
