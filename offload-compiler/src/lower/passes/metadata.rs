//! Metadata that is not there: a packet from the wire has none, and what a program does with some is never reached.
//!
//! `data_meta` is where the packet begins until `bpf_xdp_adjust_meta` moves it, so a comparison of the two is known.

use std::collections::HashSet;

use crate::interp::arithmetic::compare;
use crate::isa::{Callee, Instruction, Operand, Width};
use crate::lower::program::{BlockId, End, Op, Position, Program};
use crate::lower::run::{Context, Pass};
use crate::verify::{Hook, Place};

pub(super) const PASS: Pass = Pass {
    name: "no-metadata",
    allow: None,
    optimises: false,
    run,
};

const ADJUST_META: i32 = 54;
/// Where a packet may begin: far from both ends of the address space.
const SOMEWHERE: u64 = 1 << 32;

fn run(program: &mut Program, context: &mut Context<'_>) {
    if !context.forms.offloaded || program.hook != Hook::Interface {
        return;
    }
    let moved = moved(program);
    for block in program.block_ids() {
        let End::Branch {
            condition,
            taken,
            next,
        } = program[block].end
        else {
            continue;
        };
        let Operand::Reg(other) = condition.src else {
            continue;
        };
        if moved.contains(&block) || condition.width != Width::W64 {
            continue;
        }
        let index = program[block].steps.len();
        let start = |reg| {
            let content = context.facts.register(Position { block, index }, reg);
            Some((content.place()?, content.distance()?))
        };
        let (Some((left, before)), Some((right, behind))) = (start(condition.dst), start(other))
        else {
            continue;
        };
        let both = [left, right];
        if !both.contains(&Place::PacketMeta) || !both.contains(&Place::Packet) {
            continue;
        }
        let address = |distance: i64| SOMEWHERE.wrapping_add_signed(distance);
        let holds = compare(condition.op, Width::W64, address(before), address(behind));
        if context.permits(0) {
            let goes = if holds { "always" } else { "never" };
            context.note_text(
                program[block].end_origin,
                vec![format!("if {condition}")],
                vec![format!("{goes} taken: a packet has no metadata")],
            );
            program[block].end = End::Jump(if holds { taken } else { next });
        }
    }
}

/// The blocks at whose end metadata may have been made room for.
fn moved(program: &Program) -> HashSet<BlockId> {
    let calls = |block: &BlockId| {
        let call = Op::Plain(Instruction::Call(Callee::Helper(ADJUST_META)));
        program[*block].steps.iter().any(|step| step.op == call)
    };
    let all = program.block_ids();
    let in_function = |index: usize| program.functions[index].blocks.iter().any(calls);
    // Where a subprogram may do it, anything may be.
    if (1..program.functions.len()).any(in_function) {
        return all.into_iter().collect();
    }
    let mut work: Vec<BlockId> = all.into_iter().filter(calls).collect();
    let mut found = HashSet::new();
    while let Some(block) = work.pop() {
        if found.insert(block) {
            work.extend(program[block].end.successors());
        }
    }
    found
}
