//! Branches that always go one way, and what is then never reached.

use crate::lower::program::{End, Program};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "dead-branches",
    allow: None,
    optimises: false,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    for block in program.block_ids() {
        let Some(to) = context.facts.decided(program, block) else {
            continue;
        };
        let End::Branch {
            condition, taken, ..
        } = program[block].end
        else {
            continue;
        };
        if context.permits(0) {
            let goes = if to == taken { "always" } else { "never" };
            context.note_text(
                program[block].end_origin,
                vec![format!("if {condition}")],
                vec![format!("{goes} taken")],
            );
            program[block].end = End::Jump(to);
        }
    }
}
