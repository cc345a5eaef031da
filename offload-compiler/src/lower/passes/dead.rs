//! Branches that always go one way, and what is then never reached.

use crate::isa::{CmpOp, Condition, Operand, Width};
use crate::lower::facts::{Content, Facts};
use crate::lower::program::{BlockId, End, Position, Program};
use crate::lower::run::{Context, Pass};
use crate::verify::Place;

pub(super) const PASS: Pass = Pass {
    name: "dead-branches",
    allow: None,
    optimises: false,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    for block in program.block_ids() {
        let End::Branch {
            condition,
            taken,
            next,
        } = program[block].end
        else {
            continue;
        };
        let index = program[block].steps.len();
        let unequal = || {
            let differ = are_different(context.facts, Position { block, index }, condition)?;
            Some(if differ { taken } else { next })
        };
        let to: Option<BlockId> = context.facts.decided(program, block).or_else(unequal);
        let Some(to) = to else {
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

/// Whether a comparison of an address with null, or with one of other memory, for being (un)equal holds. On a card the
/// numbers of two addresses may be the same: its packets and its stack have addresses of their own.
fn are_different(facts: &Facts, at: Position, condition: Condition) -> Option<bool> {
    let place = |reg| match facts.register(at, reg) {
        Content::Address {
            place: place @ (Place::Packet | Place::Stack(_) | Place::MapValue(_)),
            nullable: false,
            ..
        } => Some(place),
        _ => None,
    };
    let one = place(condition.dst)?;
    let differ = match condition.src {
        Operand::Imm(imm) => imm == 0,
        Operand::Reg(other) => {
            std::mem::discriminant(&one) != std::mem::discriminant(&place(other)?)
        }
    };
    match condition.op {
        CmpOp::Eq if differ && condition.width == Width::W64 => Some(false),
        CmpOp::Ne if differ && condition.width == Width::W64 => Some(true),
        _ => None,
    }
}
