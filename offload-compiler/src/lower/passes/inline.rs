//! Subprograms put where they are called: those that reach into their caller's stack in ways that a card cannot, and, to
//! make the program faster, those that are called from one place only.

use std::collections::{BTreeMap, HashMap};

use super::row::Row;
use crate::isa::{AluOp, Instruction, Operand, Reg, Size, Width};
use crate::lower::liveness::{Liveness, step_effect};
use crate::lower::program::{Block, BlockId, End, FunctionId, Op, Position, Program, Step};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "inline",
    allow: None,
    optimises: false,
    run,
};

/// Bytes of the kernel's frames.
const FRAME: u32 = 512;
/// The driver's registers that a function keeps for its caller.
const KEPT: [Reg; 4] = [Reg::R6, Reg::R7, Reg::R8, Reg::R9];

fn run(program: &mut Program, context: &mut Context<'_>) {
    let mut calls: BTreeMap<FunctionId, Vec<(FunctionId, Position)>> = BTreeMap::new();
    let mut addressed = Vec::new();
    for (caller, function) in (0..).map(FunctionId).zip(&program.functions) {
        for &block in &function.blocks {
            for (index, step) in program[block].steps.iter().enumerate() {
                match step.op {
                    Op::Call(callee) => calls
                        .entry(callee)
                        .or_default()
                        .push((caller, Position { block, index })),
                    Op::LoadFunction { function, .. } => addressed.push(function),
                    _ => {}
                }
            }
        }
    }
    let live = Liveness::of(program);
    // One function a run: positions change.
    for (callee, sites) in calls {
        let once = context.options.optimise && sites.len() == 1;
        let needed =
            !context.forms.callers_stack && reaches_into_callers_stack(program, context, callee);
        if !(once || needed)
            || addressed.contains(&callee)
            || calls_anything(program, callee)
            || !fits(program, context, callee, &sites)
        {
            continue;
        }
        let size: usize = (program.functions[callee.0 as usize].blocks.iter())
            .map(|&block| program[block].steps.len() + 1)
            .sum();
        if !context.permits(size * sites.len()) {
            continue;
        }
        // From behind: a site's block keeps what is before it.
        for &(caller, at) in sites.iter().rev() {
            inline(program, context, &live, (caller, callee), at);
        }
        return;
    }
}

fn calls_anything(program: &Program, function: FunctionId) -> bool {
    let blocks = &program.functions[function.0 as usize].blocks;
    blocks.iter().any(|&block| {
        let steps = &program[block].steps;
        steps.iter().any(|step| matches!(step.op, Op::Call(_)))
    })
}

fn stack(program: &Program, context: &Context<'_>, function: FunctionId) -> u32 {
    let entry = program.functions[function.0 as usize].blocks.first();
    let bytes = entry.and_then(|entry| context.facts.stack.get(entry));
    bytes.copied().unwrap_or(0).next_multiple_of(8)
}

/// Whether the frames fit into one, and the frame's address is used in no other way than to access it.
fn fits(
    program: &Program,
    context: &Context<'_>,
    callee: FunctionId,
    sites: &[(FunctionId, Position)],
) -> bool {
    let own = stack(program, context, callee) + 8 * KEPT.len() as u32;
    let room = (sites.iter()).all(|&(caller, _)| stack(program, context, caller) + own <= FRAME);
    let blocks = &program.functions[callee.0 as usize].blocks;
    room && blocks.iter().all(|&block| {
        let ends = match program[block].end {
            End::Branch { condition, .. } => {
                condition.dst != Reg::R10 && condition.src != Operand::Reg(Reg::R10)
            }
            _ => true,
        };
        ends && program[block]
            .steps
            .iter()
            .all(|step| moved(step, 0).is_some())
    })
}

/// A step of the callee in the caller's frame, where its own begins `by` bytes lower.
fn moved(step: &Step, by: i16) -> Option<Vec<Step>> {
    let (uses, _) = step_effect(&step.op);
    let Op::Plain(instruction) = step.op else {
        return Some(vec![*step]);
    };
    if !uses.contains(Reg::R10) {
        return Some(vec![*step]);
    }
    let one = |instruction| Some(vec![Step::new(instruction, step.origin)]);
    match instruction {
        Instruction::Load {
            size,
            signed,
            dst,
            base: Reg::R10,
            off,
        } => one(Instruction::Load {
            size,
            signed,
            dst,
            base: Reg::R10,
            off: off.checked_sub(by)?,
        }),
        Instruction::Store {
            size,
            base: Reg::R10,
            off,
            src,
        } if src != Operand::Reg(Reg::R10) => one(Instruction::Store {
            size,
            base: Reg::R10,
            off: off.checked_sub(by)?,
            src,
        }),
        Instruction::Alu {
            width: Width::W64,
            op: AluOp::Mov,
            dst,
            src: Operand::Reg(Reg::R10),
        } => {
            let mut row = Row::new(step.origin);
            row.copy(dst, Reg::R10).op(AluOp::Add, dst, -i32::from(by));
            Some(row.steps)
        }
        _ => None,
    }
}

fn writes(program: &Program, function: FunctionId, reg: Reg) -> bool {
    let blocks = &program.functions[function.0 as usize].blocks;
    blocks.iter().any(|&block| {
        let mut steps = program[block].steps.iter();
        steps.any(|step| step.op.written() == Some(reg))
    })
}

fn inline(
    program: &mut Program,
    context: &mut Context<'_>,
    live: &Liveness,
    (caller, callee): (FunctionId, FunctionId),
    at: Position,
) {
    let step = program[at.block].steps[at.index];
    let after = live.after(at);
    let kept: Vec<Reg> = KEPT
        .into_iter()
        .filter(|&reg| after.contains(reg) && writes(program, callee, reg))
        .collect();
    let base = stack(program, context, caller) as i16 + 8 * kept.len() as i16;
    let mut save = Row::new(step.origin);
    let mut restore = Row::new(step.origin);
    for (&reg, slot) in kept.iter().zip(1..) {
        let off = -(stack(program, context, caller) as i16) - 8 * slot;
        save.store(Size::B64, Reg::R10, off, reg);
        restore.load(Size::B64, reg, Reg::R10, off);
    }
    let rest = program.split(at.block, at.index);
    program[rest].steps.remove(0);
    program[rest].steps.splice(0..0, restore.steps);
    program[at.block].steps.extend(save.steps);

    let blocks = program.functions[callee.0 as usize].blocks.clone();
    let mut copies: HashMap<BlockId, BlockId> = HashMap::new();
    let mut last = at.block;
    for &block in &blocks {
        let steps = program[block]
            .steps
            .iter()
            .filter_map(|step| moved(step, base))
            .flatten()
            .collect();
        let copy = Block {
            steps,
            end: program[block].end,
            end_origin: program[block].end_origin,
        };
        last = program.add_block(last, copy);
        copies.insert(block, last);
    }
    for copy in copies.values() {
        program[*copy].end = match program[*copy].end {
            End::Exit => End::Jump(rest),
            end => end.mapped(|to| copies.get(&to).copied().unwrap_or(to)),
        };
    }
    let name = match program.functions[callee.0 as usize].name.as_str() {
        "" => format!("function {}", callee.0),
        name => name.to_owned(),
    };
    context.note_text(
        step.origin,
        vec![format!("call {name}")],
        vec![format!("the code of {name}")],
    );
    if let Some(entry) = blocks.first().and_then(|entry| copies.get(entry)) {
        program[at.block].end = End::Jump(*entry);
    }
}

/// Whether a function accesses one or two bytes of another frame.
fn reaches_into_callers_stack(
    program: &Program,
    context: &Context<'_>,
    function: FunctionId,
) -> bool {
    let blocks = &program.functions[function.0 as usize].blocks;
    blocks.iter().any(|&block| {
        (program[block].steps.iter().enumerate()).any(|(index, step)| {
            let Op::Plain(
                Instruction::Load { size, base, .. } | Instruction::Store { size, base, .. },
            ) = step.op
            else {
                return false;
            };
            let at = Position { block, index };
            let own = context.facts.register(at, Reg::R10).place();
            let place = context.facts.register(at, base).place();
            let is_stack = matches!(place, Some(crate::verify::Place::Stack(_)) | None);
            size.bytes() < 4 && base != Reg::R10 && is_stack && place != own
        })
    })
}
