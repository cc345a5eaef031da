//! Blocks to one piece of code: the order is the program's, distances are counted here.

use std::collections::HashMap;

use super::program::{BlockId, End, FunctionId, Layout, Op, Position, Program, ProgramError};
use crate::isa::{Callee, CmpOp, Code, Condition, Imm64, Instruction};
use crate::verify::{Function, MapReference};

/// An instruction whose distance is not known yet.
#[derive(Clone, Copy)]
enum Pending {
    Done(Instruction),
    Jump(BlockId),
    Branch(Condition, BlockId),
    Inverted(Condition, BlockId),
    MayGoto(BlockId),
    Call(FunctionId),
    LoadFunction(Instruction, FunctionId),
}

struct Line {
    pending: Pending,
    origin: Option<usize>,
    position: Option<Position>,
}

pub(super) fn lay_out(program: &Program) -> Result<Layout, ProgramError> {
    let mut layout = Layout {
        maps: program.maps.iter().map(|map| map.shape.clone()).collect(),
        ..Layout::default()
    };
    let mut lines = Vec::new();
    let mut slot = 0;
    let mut block_at = HashMap::new();
    let mut function_at = HashMap::new();
    for (id, function) in (0..).map(FunctionId).zip(&program.functions) {
        // Nobody calls it any more.
        if function.blocks.is_empty() {
            continue;
        }
        let start = slot;
        function_at.insert(id, start);
        for (index, &block) in function.blocks.iter().enumerate() {
            block_at.insert(block, slot);
            let before = lines.len();
            push_block(program, block, function.blocks.get(index + 1), &mut lines);
            for line in &lines[before..] {
                if let Pending::Done(Instruction::LoadImm64 { .. }) = line.pending
                    && let Some(Position { block, index }) = line.position
                    && let Some(Op::LoadMap {
                        map, value_offset, ..
                    }) = program[block].steps.get(index).map(|step| step.op)
                {
                    layout
                        .map_at
                        .insert(slot, MapReference { map, value_offset });
                }
                slot += line.slots();
            }
        }
        layout.functions.push(Function {
            name: function.name.clone(),
            start,
            len: slot - start,
            global: function.global.clone(),
        });
    }
    let mut instructions = Vec::with_capacity(lines.len());
    let mut slot = 0;
    for line in &lines {
        let next = slot + line.slots();
        let to = |block: BlockId| block_at.get(&block).map(|&there| distance(there, next));
        let function = |id| function_at.get(&id).map(|&there| distance(there, slot + 1));
        let far = || ProgramError::TooFar;
        instructions.push(match line.pending {
            Pending::Done(instruction) => instruction,
            Pending::Jump(block) => {
                let offset = to(block).ok_or_else(far)?;
                Instruction::Jump {
                    offset,
                    long: i16::try_from(offset).is_err(),
                }
            }
            Pending::Branch(condition, block) | Pending::Inverted(condition, block) => {
                Instruction::Branch {
                    condition,
                    offset: short(to(block).ok_or_else(far)?)?,
                }
            }
            Pending::MayGoto(block) => Instruction::MayGoto {
                offset: short(to(block).ok_or_else(far)?)?,
            },
            Pending::Call(id) => Instruction::Call(Callee::Local(function(id).ok_or_else(far)?)),
            Pending::LoadFunction(instruction, id) => match instruction {
                Instruction::LoadImm64 { dst, .. } => Instruction::LoadImm64 {
                    dst,
                    value: Imm64::Function(function(id).ok_or_else(far)?),
                },
                other => other,
            },
        });
        if matches!(line.pending, Pending::Inverted(..)) {
            layout.inverted.insert(slot);
        }
        for _ in 0..line.slots() {
            layout.origins.push(line.origin);
        }
        layout.positions.push(line.position);
        if line.slots() == 2 {
            layout.positions.push(None);
        }
        slot = next;
    }
    layout.code = Code::from_instructions(instructions);
    Ok(layout)
}

fn distance(there: usize, from: usize) -> i32 {
    (there as i64 - from as i64) as i32
}

fn short(offset: i32) -> Result<i16, ProgramError> {
    i16::try_from(offset).map_err(|_| ProgramError::TooFar)
}

impl Line {
    fn slots(&self) -> usize {
        match self.pending {
            Pending::Done(instruction) | Pending::LoadFunction(instruction, _) => {
                instruction.slots()
            }
            _ => 1,
        }
    }
}

fn push_block(program: &Program, id: BlockId, follows: Option<&BlockId>, lines: &mut Vec<Line>) {
    let block = &program[id];
    for (index, step) in block.steps.iter().enumerate() {
        let pending = match step.op {
            Op::Plain(instruction) => Pending::Done(instruction),
            // The map by its index, as the interpreter takes it; loaders put a descriptor there.
            Op::LoadMap {
                dst,
                map,
                value_offset,
            } => Pending::Done(Instruction::LoadImm64 {
                dst,
                value: match value_offset {
                    None => Imm64::MapFd(map as i32),
                    Some(offset) => Imm64::MapValueFd {
                        fd: map as i32,
                        offset,
                    },
                },
            }),
            Op::LoadFunction { dst, function } => Pending::LoadFunction(
                Instruction::LoadImm64 {
                    dst,
                    value: Imm64::Function(0),
                },
                function,
            ),
            Op::Call(function) => Pending::Call(function),
        };
        lines.push(Line {
            pending,
            origin: step.origin,
            position: Some(Position { block: id, index }),
        });
    }
    let mut push = |pending, at_end: bool| {
        lines.push(Line {
            pending,
            origin: block.end_origin,
            position: at_end.then_some(Position {
                block: id,
                index: block.steps.len(),
            }),
        });
    };
    let follows = |to: BlockId| follows == Some(&to);
    match block.end {
        End::Exit => push(Pending::Done(Instruction::Exit), true),
        End::Jump(to) if follows(to) => {}
        End::Jump(to) => push(Pending::Jump(to), true),
        End::Branch {
            condition,
            taken,
            next,
        } => match opposite(condition) {
            Some(opposite) if follows(taken) => push(Pending::Inverted(opposite, next), true),
            _ => {
                push(Pending::Branch(condition, taken), true);
                if !follows(next) {
                    push(Pending::Jump(next), false);
                }
            }
        },
        End::MayGoto { taken, next } => {
            push(Pending::MayGoto(taken), true);
            if !follows(next) {
                push(Pending::Jump(next), false);
            }
        }
    }
}

/// The condition that holds where this one does not, if there is one.
pub(super) fn opposite(condition: Condition) -> Option<Condition> {
    let op = match condition.op {
        CmpOp::Eq => CmpOp::Ne,
        CmpOp::Ne => CmpOp::Eq,
        CmpOp::Gt => CmpOp::Le,
        CmpOp::Le => CmpOp::Gt,
        CmpOp::Ge => CmpOp::Lt,
        CmpOp::Lt => CmpOp::Ge,
        CmpOp::SGt => CmpOp::SLe,
        CmpOp::SLe => CmpOp::SGt,
        CmpOp::SGe => CmpOp::SLt,
        CmpOp::SLt => CmpOp::SGe,
        CmpOp::Set => return None,
    };
    Some(Condition { op, ..condition })
}
