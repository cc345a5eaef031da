//! Ways on which nothing is done and that all end in the same verdict: the verdict takes their place, whatever was looked
//! at on them.

use std::collections::HashMap;

use super::constant::load_number;
use crate::isa::{Callee, Instruction, Reg, functions};
use crate::lower::facts::Facts;
use crate::lower::program::{BlockId, End, Op, Position, Program, Step};
use crate::lower::run::{Context, Pass};
use crate::lower::split::decided;
use crate::verify::Place;

pub(super) const PASS: Pass = Pass {
    name: "same-verdict",
    allow: None,
    optimises: false,
    run,
};

/// Helpers that change nothing that anybody sees, whatever their result.
const SILENT: [&str; 10] = [
    "bpf_ktime_get_ns",
    "bpf_ktime_get_boot_ns",
    "bpf_ktime_get_coarse_ns",
    "bpf_ktime_get_tai_ns",
    "bpf_jiffies64",
    "bpf_get_smp_processor_id",
    "bpf_get_numa_node_id",
    "bpf_get_current_task",
    "bpf_csum_diff",
    "bpf_xdp_get_buff_len",
];
const LOOKUP: &str = "bpf_map_lookup_elem";
/// `BPF_MAP_TYPE_LRU_HASH`, `BPF_MAP_TYPE_LRU_PERCPU_HASH`: a lookup keeps an element from being forgotten.
const LRU: [u32; 2] = [9, 10];

fn run(program: &mut Program, context: &mut Context<'_>) {
    let ways = ways(program, context.facts);
    for block in program.functions[0].blocks.clone() {
        let Some(Way::Verdict(verdict)) = ways.get(&block).copied() else {
            continue;
        };
        let silent = silent_from(program, context.facts, block);
        let steps = &program[block].steps;
        let is_short = steps.len() <= silent + 1;
        if program[block].end == End::Exit && is_short || !context.permits(1) {
            continue;
        }
        let rest = program[block].steps.split_off(silent);
        let origin = rest
            .first()
            .map_or(program[block].end_origin, |step| step.origin);
        let new = Step::new(load_number(Reg::R0, verdict), origin);
        context.note(program, origin, &rest, &[new]);
        program[block].steps.push(new);
        program[block].end = End::Exit;
        program[block].end_origin = origin;
    }
}

/// Where the end of a block leads, with nothing done on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Not seen yet.
    Open,
    /// Always to this verdict.
    Verdict(u64),
    /// To different ones, or something is done.
    Other,
}

impl Way {
    fn meet(self, other: Self) -> Self {
        match (self, other) {
            (Self::Open, way) | (way, Self::Open) => way,
            (one, other) if one == other => one,
            _ => Self::Other,
        }
    }
}

/// Where the ends of the program's own blocks lead.
fn ways(program: &Program, facts: &Facts) -> HashMap<BlockId, Way> {
    let blocks = &program.functions[0].blocks;
    let silent: HashMap<BlockId, bool> = blocks
        .iter()
        .map(|&block| (block, silent_from(program, facts, block) == 0))
        .collect();
    let mut ways: HashMap<BlockId, Way> = blocks.iter().map(|&block| (block, Way::Open)).collect();
    let mut changed = true;
    while changed {
        changed = false;
        for &block in blocks.iter().rev() {
            let end = program[block].end;
            let new = match end {
                End::Exit => decided(program, facts, block).map_or(Way::Other, Way::Verdict),
                End::MayGoto { .. } => Way::Other,
                End::Jump(_) | End::Branch { .. } => end
                    .successors()
                    .map(|next| match ways.get(&next) {
                        Some(way) if silent.get(&next) == Some(&true) => *way,
                        _ => Way::Other,
                    })
                    .fold(Way::Open, Way::meet),
            };
            // Only downwards, so that it ends.
            let new = ways.get(&block).map_or(new, |old| old.meet(new));
            changed |= ways.insert(block, new) != Some(new);
        }
    }
    ways
}

/// The index in a block from which on its steps do nothing that lasts.
fn silent_from(program: &Program, facts: &Facts, block: BlockId) -> usize {
    let steps = program[block].steps.iter().enumerate();
    let loud = steps
        .rev()
        .find(|&(index, step)| !is_silent(program, facts, Position { block, index }, &step.op));
    loud.map_or(0, |(index, _)| index + 1)
}

fn is_silent(program: &Program, facts: &Facts, at: Position, op: &Op) -> bool {
    match *op {
        Op::LoadMap { .. } | Op::LoadFunction { .. } => true,
        Op::Call(_) => false,
        Op::Plain(Instruction::Store { base, .. }) => {
            matches!(facts.register(at, base).place(), Some(Place::Stack(_)))
        }
        Op::Plain(Instruction::Call(Callee::Helper(id))) => match functions::name(id) {
            Some(LOOKUP) => match facts.register(at, Reg::R1).place() {
                Some(Place::Map(map)) => {
                    let map = program.maps.get(map as usize);
                    map.is_some_and(|map| !LRU.contains(&map.shape.kind))
                }
                _ => false,
            },
            Some(name) => SILENT.contains(&name),
            None => false,
        },
        Op::Plain(_) => super::unused::result(op).is_some(),
    }
}
