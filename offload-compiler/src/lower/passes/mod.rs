//! The passes, in the order in which they run.

mod argument;
mod arithmetic;
mod atomic;
mod bit_tests;
mod constant;
mod context_field;
mod copies;
mod counter;
mod counter_update;
mod counter_word;
mod data_map;
mod dead;
mod demanded;
mod doubt;
mod dynptr;
mod event;
mod flow;
mod frame;
mod held;
mod helper;
mod inline;
mod known;
mod lanes;
mod lookup_site;
mod lru;
mod map_flags;
mod metadata;
mod mtu;
mod narrow;
mod pointer_kinds;
mod redirect;
mod row;
mod safe_form;
mod same_blocks;
mod same_verdict;
mod shared;
mod shift;
mod stack_place;
mod stack_value;
mod statistics;
mod store_immediate;
mod unchanged;
mod unread_bits;
mod unused;
mod value_store;
mod version_4;
mod wide;

pub(super) use constant::load_number;

use super::program::{Position, Program, Step};
use super::run::{Context, Pass};

/// All passes.
pub const PASSES: &[Pass] = &[
    dead::PASS,
    constant::PASS,
    metadata::PASS,
    redirect::PASS,
    context_field::PASS,
    event::PASS,
    statistics::PASS,
    unused::PASS,
    map_flags::PASS,
    lru::PASS,
    inline::PASS,
    pointer_kinds::PASS,
    data_map::READ_ONLY,
    data_map::WRITABLE,
    counter::PASS,
    counter_word::PASS,
    shared::PASS,
    value_store::PASS,
    dynptr::PASS,
    helper::PASS,
    mtu::PASS,
    argument::PASS,
    version_4::PASS,
    shift::PASS,
    arithmetic::PASS,
    atomic::PASS,
    safe_form::PASS,
    known::PASS,
    unchanged::PASS,
    copies::PASS,
    wide::PASS,
    narrow::PASS,
    stack_value::PASS,
    unread_bits::PASS,
    bit_tests::PASS,
    same_blocks::PASS,
    held::PASS,
    stack_place::PASS,
    store_immediate::PASS,
    doubt::PASS,
];

/// Passes that run where a program is refused after all the others: they look at less of a packet than the program did, or
/// count less exactly. What the second leaves is put back before anything takes it for a counter again.
pub const LAST_PASSES: &[Pass] = &[same_verdict::PASS, counter_update::PASS, value_store::PASS];

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
