//! The passes, in the order in which they run.

mod constant;
mod dead;
mod store_immediate;
mod unused;

use super::program::{Position, Program, Step};
use super::run::{Context, Pass};

/// All passes.
pub const PASSES: &[Pass] = &[
    dead::PASS,
    constant::PASS,
    unused::PASS,
    store_immediate::PASS,
];

/// Replaces steps by rows of steps: `with` says by what, or leaves the step.
fn replace_steps(
    program: &mut Program,
    context: &mut Context<'_>,
    mut with: impl FnMut(&Program, &Context<'_>, Position, &Step) -> Option<Vec<Step>>,
) {
    for block in program.block_ids() {
        let mut steps = Vec::with_capacity(program[block].steps.len());
        let old = program[block].steps.clone();
        for (index, step) in old.iter().enumerate() {
            let position = Position { block, index };
            let new = with(program, context, position, step).filter(|new| {
                let added: usize = new.iter().map(|step| step.op.slots()).sum();
                context.permits(added.saturating_sub(step.op.slots()))
            });
            match new {
                Some(new) => {
                    context.note(program, step.origin, std::slice::from_ref(step), &new);
                    steps.extend(new);
                }
                None => steps.push(*step),
            }
        }
        program[block].steps = steps;
    }
}
