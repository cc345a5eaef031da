//! Fields of the context that are known where the program is bound to one interface.

use super::replace_steps;
use super::row::Row;
use crate::isa::{Instruction, Size};
use crate::lower::program::{Op, Program};
use crate::lower::run::{Context, Pass};
use crate::verify::{Hook, Place};

pub(super) const PASS: Pass = Pass {
    name: "interface-index",
    allow: None,
    optimises: false,
    run,
};

/// Offset of `ingress_ifindex` in `struct xdp_md`.
const INGRESS_IFINDEX: i64 = 12;

fn run(program: &mut Program, context: &mut Context<'_>) {
    let Some(ifindex) = context.options.ifindex else {
        return;
    };
    if program.hook != Hook::Interface {
        return;
    }
    replace_steps(program, context, |_, context, position, step| {
        let Op::Plain(Instruction::Load {
            size: Size::B32,
            signed: false,
            dst,
            base,
            off,
        }) = step.op
        else {
            return None;
        };
        let content = context.facts.register(position, base);
        let at = content.distance()?.checked_add(off.into())?;
        if content.place() != Some(Place::Context) || at != INGRESS_IFINDEX {
            return None;
        }
        let mut row = Row::new(step.origin);
        row.number(dst, ifindex.into());
        Some(row.steps)
    });
}
