//! A redirect to the interface that the packet came from: `XDP_TX`, which sends it out there, too.

use std::collections::HashSet;

use super::row::Row;
use crate::isa::{AluOp, Callee, Instruction, Operand, Reg, Size, Width};
use crate::lower::liveness::{end_uses, step_effect};
use crate::lower::program::{BlockId, End, FunctionId, Op, Position, Program};
use crate::lower::rewrite::Allow;
use crate::lower::run::{Context, Pass};
use crate::verify::{Hook, Place};

pub(super) const PASS: Pass = Pass {
    name: "redirect-to-sender",
    allow: Some(Allow::Redirect),
    optimises: false,
    run,
};

/// `bpf_redirect`
const REDIRECT: i32 = 23;
const XDP_TX: i32 = 3;
/// Offset of `ingress_ifindex` in `struct xdp_md`.
const INGRESS_IFINDEX: i64 = 12;

fn run(program: &mut Program, context: &mut Context<'_>) {
    if (context.forms.helper)(REDIRECT) || program.hook != Hook::Interface {
        return;
    }
    for block in program.functions[0].blocks.clone() {
        for index in 0..program[block].steps.len() {
            let at = Position { block, index };
            let step = program[block].steps[index];
            let flags = context.facts.register(at, Reg::R2).constant();
            if step.op == Op::Plain(Instruction::Call(Callee::Helper(REDIRECT)))
                && flags == Some(0)
                && leads_back(program, context, at)
                && is_the_verdict(program, at)
                && context.permits(0)
            {
                let mut row = Row::new(step.origin);
                row.copy32(Reg::R0, XDP_TX);
                context.note(program, step.origin, &[step], &row.steps);
                program[block].steps[index] = row.steps[0];
            }
        }
    }
}

/// Whether r1 holds the index of the interface that the packet came in on.
fn leads_back(program: &Program, context: &Context<'_>, at: Position) -> bool {
    let index = context.facts.register(at, Reg::R1).range().as_constant32();
    if index.is_some() && index == context.options.ifindex {
        return true;
    }
    let mut reg = Reg::R1;
    for (index, step) in program[at.block].steps[..at.index].iter().enumerate().rev() {
        match step.op {
            Op::Plain(Instruction::Load {
                size: Size::B32,
                dst,
                base,
                off,
                ..
            }) if dst == reg => {
                let content = context.facts.register(Position { index, ..at }, base);
                let field = content.distance().map(|start| start + i64::from(off));
                return content.place() == Some(Place::Context) && field == Some(INGRESS_IFINDEX);
            }
            Op::Plain(Instruction::Alu {
                width: Width::W32 | Width::W64,
                op: AluOp::Mov,
                dst,
                src: Operand::Reg(src),
            }) if dst == reg => reg = src,
            op => {
                if step_effect(&op).1.contains(reg) {
                    return false;
                }
            }
        }
    }
    false
}

/// Whether what a call gives is only returned.
fn is_the_verdict(program: &Program, at: Position) -> bool {
    if program.function_of(at.block) != Some(FunctionId(0)) {
        return false;
    }
    let mut seen: HashSet<BlockId> = HashSet::new();
    let mut work = vec![(at.block, at.index + 1)];
    while let Some((block, from)) = work.pop() {
        let touched = program[block].steps[from..].iter().any(|step| {
            let (uses, defines) = step_effect(&step.op);
            uses.contains(Reg::R0) || defines.contains(Reg::R0)
        });
        if touched {
            return false;
        }
        match program[block].end {
            End::Exit => {}
            end if end_uses(&end).contains(Reg::R0) => return false,
            end => work.extend(
                end.successors()
                    .filter(|&next| seen.insert(next))
                    .map(|next| (next, 0)),
            ),
        }
    }
    true
}
