//! Instructions that see an address of one kind on one path and of another on another, where a target allows one kind
//! only: what follows where the paths meet is copied for each.

use crate::isa::{Instruction, Reg};
use crate::lower::facts::Content;
use crate::lower::liveness::Liveness;
use crate::lower::program::{BlockId, End, Op, Position, Program};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "pointer-kinds",
    allow: None,
    optimises: false,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    if context.forms.mixed_pointers || !is_accessed(program, context) {
        return;
    }
    let live = Liveness::of(program);
    let predecessors = program.predecessors();
    for block in program.block_ids() {
        let ways = predecessors.get(&block).map_or(&[][..], Vec::as_slice);
        let Some(reg) = mixed(context, &live, block).filter(|_| ways.len() > 1) else {
            continue;
        };
        let Some(function) = program.function_of(block) else {
            continue;
        };
        let slots = program[block]
            .steps
            .iter()
            .map(|step| step.op.slots())
            .sum::<usize>()
            + 1;
        for &from in &ways[1..] {
            // Blocks that only link are gone: a predecessor that comes twice branches both ways to here.
            if !context.permits(slots) {
                continue;
            }
            let copy = program.clone_blocks(function, &[block])[0];
            let end: End = program[from].end;
            program[from].end = end.mapped(|to| if to == block { copy } else { to });
            let origin = program[block].steps.first().and_then(|step| step.origin);
            context.note_text(
                origin.or(program[block].end_origin),
                vec![format!("{reg} is an address of several kinds")],
                vec![format!("a copy of {slots} instructions for each")],
            );
        }
    }
}

/// Whether memory is accessed through an address of several kinds anywhere.
fn is_accessed(program: &Program, context: &Context<'_>) -> bool {
    program.block_ids().into_iter().any(|block| {
        let mut steps = program[block].steps.iter().enumerate();
        steps.any(|(index, step)| match step.op {
            Op::Plain(
                Instruction::Load { base, .. }
                | Instruction::Store { base, .. }
                | Instruction::Atomic { base, .. },
            ) => {
                let position = Position { block, index };
                context.facts.at(position).is_some()
                    && context.facts.register(position, base) == Content::Mixed
            }
            _ => false,
        })
    })
}

/// A register that holds addresses of several kinds where a block begins, and is still read.
fn mixed(context: &Context<'_>, live: &Liveness, block: BlockId) -> Option<Reg> {
    let start = Position { block, index: 0 };
    context.facts.at(start)?;
    let live = live.before(start);
    let mut registers = Reg::ALL[..10].iter().copied();
    registers
        .find(|&reg| live.contains(reg) && context.facts.register(start, reg) == Content::Mixed)
}
