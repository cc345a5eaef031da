//! From code with distances to blocks.

use std::collections::{BTreeSet, HashMap};

use crate::isa::{Callee, Imm64, Instruction};
use crate::verify::Input;

use super::program::{
    Block, BlockId, End, Function, FunctionId, Map, Op, Program, ProgramError, Step,
};

/// The program of an input.
pub(super) fn read(input: &Input<'_>) -> Result<Program, ProgramError> {
    Reader::new(input).read()
}

/// Divides code into blocks.
struct Reader<'a> {
    input: &'a Input<'a>,
    leaders: BTreeSet<usize>,
    block_at: HashMap<usize, BlockId>,
    function_at: HashMap<usize, FunctionId>,
}

impl<'a> Reader<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        let mut leaders = BTreeSet::new();
        for (slot, instruction) in input.code.iter() {
            let next = slot + instruction.slots();
            if let Some(distance) = instruction.jump_offset() {
                leaders.extend(next.checked_add_signed(distance as isize));
            }
            if instruction.jump_offset().is_some() || matches!(instruction, Instruction::Exit) {
                leaders.insert(next);
            }
        }
        leaders.extend(input.functions.iter().map(|function| function.start));
        let end = input.code.len();
        leaders.retain(|&slot| slot < end);
        let block_at = leaders.iter().copied().zip((0..).map(BlockId)).collect();
        let starts = input.functions.iter().map(|function| function.start);
        let function_at = starts.zip((0..).map(FunctionId)).collect();
        Self {
            input,
            leaders,
            block_at,
            function_at,
        }
    }

    fn read(&self) -> Result<Program, ProgramError> {
        let input = self.input;
        let mut blocks = Vec::with_capacity(self.leaders.len());
        let mut functions: Vec<Function> = input
            .functions
            .iter()
            .map(|function| Function {
                name: function.name.clone(),
                global: function.global.clone(),
                blocks: Vec::new(),
            })
            .collect();
        let starts: Vec<usize> = self.leaders.iter().copied().collect();
        for (index, &start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).copied().unwrap_or(input.code.len());
            blocks.push(self.block(start, end)?);
            let function = input.functions.partition_point(|f| f.start <= start);
            functions
                .get_mut(function.wrapping_sub(1))
                .ok_or(ProgramError::Malformed { slot: start })?
                .blocks
                .push(BlockId(index as u32));
        }
        let maps = (0..)
            .zip(input.maps)
            .map(|(index, shape)| Map {
                shape: shape.clone(),
                from: Some(index),
                changes: Vec::new(),
            })
            .collect();
        let program = Program {
            functions,
            maps,
            kernel_functions: input.kernel_functions.clone(),
            kernel_types: input.kernel_types.cloned(),
            has_function_info: input.has_function_info,
            hook: input.hook,
            rules: input.rules,
            blocks,
        };
        if program.functions.iter().any(|f| f.blocks.is_empty()) {
            return Err(ProgramError::Malformed { slot: 0 });
        }
        Ok(program)
    }

    fn block(&self, start: usize, end: usize) -> Result<Block, ProgramError> {
        let mut steps = Vec::new();
        let mut slot = start;
        while slot < end {
            let malformed = ProgramError::Malformed { slot };
            let Some(instruction) = self.input.code.at(slot).copied() else {
                return Err(malformed);
            };
            let next = slot + instruction.slots();
            let target = |distance: i32| {
                let there = next.checked_add_signed(distance as isize);
                there
                    .and_then(|there| self.block_at.get(&there).copied())
                    .ok_or(ProgramError::Malformed { slot })
            };
            let end = match instruction {
                Instruction::Exit => End::Exit,
                Instruction::Jump { offset, .. } => End::Jump(target(offset)?),
                Instruction::Branch { condition, offset } => End::Branch {
                    condition,
                    taken: target(offset.into())?,
                    next: target(0)?,
                },
                Instruction::MayGoto { offset } => End::MayGoto {
                    taken: target(offset.into())?,
                    next: target(0)?,
                },
                _ => {
                    let op = self.op(slot, instruction).ok_or(malformed)?;
                    steps.push(Step {
                        op,
                        origin: Some(slot),
                    });
                    slot = next;
                    continue;
                }
            };
            return Ok(Block {
                steps,
                end,
                end_origin: Some(slot),
            });
        }
        let next = self.block_at.get(&slot).copied();
        Ok(Block {
            steps,
            end: End::Jump(next.ok_or(ProgramError::Malformed { slot })?),
            end_origin: None,
        })
    }

    fn op(&self, slot: usize, instruction: Instruction) -> Option<Op> {
        let function = |distance: i32| {
            let start = (slot + 1).checked_add_signed(distance as isize)?;
            self.function_at.get(&start).copied()
        };
        Some(match instruction {
            Instruction::Call(Callee::Local(distance)) => Op::Call(function(distance)?),
            Instruction::LoadImm64 {
                dst,
                value: Imm64::Function(distance),
            } => Op::LoadFunction {
                dst,
                function: function(distance)?,
            },
            Instruction::LoadImm64 { dst, .. } if self.input.map_at.contains_key(&slot) => {
                let reference = self.input.map_at[&slot];
                Op::LoadMap {
                    dst,
                    map: reference.map,
                    value_offset: reference.value_offset,
                }
            }
            _ => Op::Plain(instruction),
        })
    }
}
