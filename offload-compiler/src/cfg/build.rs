//! Dividing code into functions and blocks.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::graph::{DiGraph, NodeIndex};

use super::{Block, BlockId, CallSite, Cfg, Edge, Function};
use crate::isa::{Callee, Code, Imm64, Instruction};

/// Code without a control flow graph: the kernel refuses it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("instruction {slot}: {kind}")]
pub struct CfgError {
    /// The slot of the instruction.
    pub slot: usize,
    /// What is wrong with it.
    pub kind: CfgErrorKind,
}

/// What is wrong with an instruction's place or target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CfgErrorKind {
    /// There is no code at all.
    #[error("the program is empty")]
    Empty,
    /// A jump to where no instruction begins, or that no code is.
    #[error("jump to {0}, where no instruction begins")]
    JumpOutside(i64),
    /// A jump into another function.
    #[error("jump to {0}, which is in another function")]
    JumpToOtherFunction(usize),
    /// A call or callback where no instruction begins, or that no code is.
    #[error("call of {0}, where no instruction begins")]
    CallOutside(i64),
    /// Control runs past a function's last instruction.
    #[error("the function ends without exit or goto")]
    FallsOff,
}

fn target(code: &Code, slot: usize, distance: i32) -> Result<usize, i64> {
    let target = slot as i64 + 1 + i64::from(distance);
    usize::try_from(target)
        .ok()
        .filter(|target| code.at(*target).is_some())
        .ok_or(target)
}

/// The distance to the function that an instruction refers to.
fn reference(instruction: &Instruction) -> Option<(i32, bool)> {
    match instruction {
        Instruction::Call(Callee::Local(distance)) => Some((*distance, false)),
        Instruction::LoadImm64 {
            value: Imm64::Function(distance),
            ..
        } => Some((*distance, true)),
        _ => None,
    }
}

pub(super) fn build(code: &Code, names: &BTreeMap<usize, String>) -> Result<Cfg, CfgError> {
    if code.is_empty() {
        return Err(CfgError {
            slot: 0,
            kind: CfgErrorKind::Empty,
        });
    }
    let mut starts = BTreeSet::from([0]);
    let mut references = Vec::new();
    for (slot, instruction) in code.iter() {
        if let Some((distance, callback)) = reference(instruction) {
            let start = target(code, slot, distance).map_err(|target| CfgError {
                slot,
                kind: CfgErrorKind::CallOutside(target),
            })?;
            starts.insert(start);
            references.push((CallSite { slot, callback }, start));
        }
    }
    let starts: Vec<usize> = starts.into_iter().collect();
    let ends = starts.iter().skip(1).copied().chain([code.len()]);
    let mut functions = Vec::with_capacity(starts.len());
    for (&start, end) in starts.iter().zip(ends) {
        functions.push(Function {
            name: names.get(&start).cloned().unwrap_or_else(|| match start {
                0 => "main".to_owned(),
                _ => format!("function_{start}"),
            }),
            slots: start..end,
            blocks: blocks(code, start..end)?,
        });
    }
    let mut calls = DiGraph::new();
    let nodes: Vec<NodeIndex> = (0..functions.len()).map(|at| calls.add_node(at)).collect();
    for (site, start) in references {
        let caller = starts.partition_point(|start| *start <= site.slot) - 1;
        let callee = starts.partition_point(|its| *its <= start) - 1;
        calls.add_edge(nodes[caller], nodes[callee], site);
    }
    Ok(Cfg { functions, calls })
}

/// The blocks of one function.
fn blocks(code: &Code, slots: std::ops::Range<usize>) -> Result<DiGraph<Block, Edge>, CfgError> {
    let jump_target = |slot, distance| {
        let target = target(code, slot, distance).map_err(|target| CfgError {
            slot,
            kind: CfgErrorKind::JumpOutside(target),
        })?;
        if slots.contains(&target) {
            Ok(target)
        } else {
            Err(CfgError {
                slot,
                kind: CfgErrorKind::JumpToOtherFunction(target),
            })
        }
    };
    let instructions = || {
        Block {
            slots: slots.clone(),
        }
        .instructions(code)
    };
    let mut leaders = BTreeSet::from([slots.start]);
    let mut last = slots.start;
    for (slot, instruction) in instructions() {
        last = slot;
        let jumps = instruction.jump_offset();
        if let Some(distance) = jumps {
            leaders.insert(jump_target(slot, distance)?);
        }
        let next = slot + instruction.slots();
        if (jumps.is_some() || !instruction.falls_through()) && next < slots.end {
            leaders.insert(next);
        }
    }
    if code.at(last).is_some_and(Instruction::falls_through) {
        return Err(CfgError {
            slot: last,
            kind: CfgErrorKind::FallsOff,
        });
    }

    let leaders: Vec<usize> = leaders.into_iter().collect();
    let ends = leaders.iter().skip(1).copied().chain([slots.end]);
    let mut graph = DiGraph::with_capacity(leaders.len(), leaders.len() * 2);
    for (&start, end) in leaders.iter().zip(ends) {
        graph.add_node(Block { slots: start..end });
    }
    let block_of = |slot| BlockId::new(leaders.partition_point(|leader| *leader <= slot) - 1);
    for (slot, instruction) in instructions() {
        let next = slot + instruction.slots();
        let ends_block = next == slots.end || leaders.binary_search(&next).is_ok();
        if !ends_block {
            continue;
        }
        let (taken, not_taken) = match instruction {
            Instruction::Exit => continue,
            Instruction::Jump { .. } => (Edge::Jump, None),
            Instruction::Branch { condition, .. } => {
                (Edge::Taken(*condition), Some(Edge::NotTaken(*condition)))
            }
            Instruction::MayGoto { .. } => (Edge::OutOfBudget, Some(Edge::InBudget)),
            _ => (Edge::Next, Some(Edge::Next)),
        };
        let from = block_of(slot);
        if let Some(distance) = instruction.jump_offset() {
            graph.add_edge(from, block_of(jump_target(slot, distance)?), taken);
        }
        if let Some(not_taken) = not_taken {
            graph.add_edge(from, block_of(next), not_taken);
        }
    }
    Ok(graph)
}
