//! An addition to a word that the program reads, too, where a target cannot have both: read, add, and store, which
//! `value_store` makes an update of the whole value.
//!
//! Two threads that add at the same time may then count once, which an atomic addition never did: so it is made only with
//! `--allow stores`, and last, where nothing else helped.

use super::row::Scratch;
use crate::isa::{AluOp, AtomicOp, Instruction, Size, Width};
use crate::lower::accesses::{Access, How, accesses};
use crate::lower::program::{Op, Program};
use crate::lower::rewrite::Allow;
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "counter-update",
    allow: Some(Allow::Stores),
    optimises: false,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    if context.forms.value_stores {
        return;
    }
    let (reads, others): (Vec<Access>, Vec<Access>) = accesses(program, context.facts)
        .into_iter()
        .partition(|access| access.how == How::Read);
    let is_read = |access: &Access| {
        access.map.is_some() && access.part.is_some() && reads.iter().any(|read| read.meets(access))
    };
    let added: Vec<Access> = others
        .into_iter()
        .filter(|access| access.how == How::Add && is_read(access))
        .collect();
    let scratch = Scratch::of(program, context);
    super::replace_steps(program, context, |_, _, position, step| {
        let Op::Plain(Instruction::Atomic {
            op: AtomicOp::Add,
            size,
            base,
            off,
            src,
            fetch: false,
        }) = step.op
        else {
            return None;
        };
        if !added.iter().any(|access| access.position == position) {
            return None;
        }
        let width = match size {
            Size::B64 => Width::W64,
            _ => Width::W32,
        };
        scratch.row(position, step, 1, |registers, row| {
            let sum = registers[0];
            row.load(size, sum, base, off)
                .alu(width, AluOp::Add, sum, src)
                .store(size, base, off, sum);
        })
    });
}
