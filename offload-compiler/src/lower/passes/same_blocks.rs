//! Blocks that do the same: one takes the place of the others. A jump to an exit is an exit.

use std::collections::HashMap;

use crate::lower::program::{BlockId, End, Op, Program};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "same-blocks",
    allow: None,
    optimises: true,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    for index in 0..program.functions.len() {
        let blocks = program.functions[index].blocks.clone();
        let mut first: HashMap<(Vec<Op>, End), BlockId> = HashMap::new();
        let mut instead: HashMap<BlockId, BlockId> = HashMap::new();
        for block in blocks.iter().copied().skip(1) {
            // Rounds of a loop that lead to themselves are not the same.
            let ops: Vec<Op> = program[block].steps.iter().map(|step| step.op).collect();
            let end = program[block].end;
            if ops.is_empty() && end != End::Exit {
                continue;
            }
            match first.entry((ops, end)) {
                std::collections::hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(block);
                }
                std::collections::hash_map::Entry::Occupied(same) => {
                    if context.permits(0) {
                        instead.insert(block, *same.get());
                    }
                }
            }
        }
        for (block, same) in &instead {
            let at = program[*block].end_origin;
            let steps = program[*block].steps.clone();
            context.note(program, at, &steps, &[]);
            debug_assert_ne!(block, same);
        }
        for block in blocks {
            let end = program[block].end;
            program[block].end = end.mapped(|to| instead.get(&to).copied().unwrap_or(to));
        }
    }
}
