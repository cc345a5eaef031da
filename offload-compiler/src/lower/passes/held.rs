//! Numbers that are put where they are already, on every path.
//!
//! Found by walking the program itself, not from what the verifier saw: it leaves paths on which only a dead register
//! differs, and here a dead register comes to life.

use std::collections::HashMap;

use crate::isa::{AluOp, CmpOp, Instruction, Operand, Reg, Width};
use crate::lower::liveness::step_effect;
use crate::lower::program::{BlockId, End, Op, Program};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "held-numbers",
    allow: None,
    optimises: true,
    run,
};

/// What each register is known to hold.
type Held = [Option<u64>; 11];

fn run(program: &mut Program, context: &mut Context<'_>) {
    for function in 0..program.functions.len() {
        let blocks = program.functions[function].blocks.clone();
        let entries = entries(program, &blocks);
        for block in blocks {
            let Some(mut held) = entries.get(&block).copied() else {
                continue;
            };
            let mut index = 0;
            while let Some(&step) = program[block].steps.get(index) {
                if is_held(&step.op, &held) && context.permits(0) {
                    context.note(program, step.origin, &[step], &[]);
                    program[block].steps.remove(index);
                    continue;
                }
                after(&step.op, &mut held);
                index += 1;
            }
        }
    }
}

/// The number that a step puts into a register.
pub(super) fn put(op: &Op) -> Option<(Reg, u64)> {
    match *op {
        Op::Plain(Instruction::Alu {
            width,
            op: AluOp::Mov,
            dst,
            src: Operand::Imm(imm),
        }) => Some((
            dst,
            match width {
                Width::W32 => u64::from(imm as u32),
                Width::W64 => i64::from(imm) as u64,
            },
        )),
        _ => None,
    }
}

fn is_held(op: &Op, held: &Held) -> bool {
    put(op).is_some_and(|(dst, number)| held[dst.index()] == Some(number))
}

fn after(op: &Op, held: &mut Held) {
    let (_, written) = step_effect(op);
    for reg in Reg::ALL {
        if written.contains(reg) {
            held[reg.index()] = None;
        }
    }
    if let Some((dst, number)) = put(op) {
        held[dst.index()] = Some(number);
    }
}

/// What is held at the start of each block that is reached, on every path there.
fn entries(program: &Program, blocks: &[BlockId]) -> HashMap<BlockId, Held> {
    let mut entries = HashMap::new();
    let Some(&first) = blocks.first() else {
        return entries;
    };
    entries.insert(first, Held::default());
    let mut work = vec![first];
    while let Some(block) = work.pop() {
        let mut held = entries[&block];
        for step in &program[block].steps {
            after(&step.op, &mut held);
        }
        let end = &program[block].end;
        for next in end.successors() {
            let held = along(end, next, held);
            match entries.get_mut(&next) {
                None => {
                    entries.insert(next, held);
                    work.push(next);
                }
                Some(known) => {
                    let met =
                        std::array::from_fn(|reg| known[reg].filter(|_| known[reg] == held[reg]));
                    if *known != met {
                        *known = met;
                        work.push(next);
                    }
                }
            }
        }
    }
    entries
}

/// A comparison for equality tells the number on one of its sides.
fn along(end: &End, to: BlockId, mut held: Held) -> Held {
    if let End::Branch {
        condition,
        taken,
        next,
    } = *end
        && taken != next
        && condition.width == Width::W64
        && let Operand::Imm(imm) = condition.src
    {
        let equal = match condition.op {
            CmpOp::Eq => Some(taken),
            CmpOp::Ne => Some(next),
            _ => None,
        };
        if equal == Some(to) {
            held[condition.dst.index()] = Some(i64::from(imm) as u64);
        }
    }
    held
}
