//! From eBPF to the mid-level form. Subprograms are put in place of their calls.

mod builder;
mod call;
mod instruction;
mod memory;

pub(super) use builder::Builder;

use std::collections::{BTreeMap, BTreeSet};

use offload_compiler::cfg::{Cfg, Edge, Function};
use offload_compiler::isa::{
    AluOp, AtomicOp, Callee, CmpOp, Condition, Imm64, Instruction, Operand, Reg, Size, Swap, Width,
};
use offload_compiler::verify::{Input, Verdict};

use super::arithmetic;
use super::facts::{Facts, Kind};
use super::mir::{Address, Binary, Call, End, Mir, Op, Test, Value};
use super::{Refusal, Unsupported};
use crate::profile::Profile;

/// Most eBPF instructions that are translated, with subprograms in place of each call.
const MOST_INSTRUCTIONS: usize = 1 << 16;
const LOOKUP: i32 = 1;
const UPDATE: i32 = 2;
const DELETE: i32 = 3;
const RANDOM: i32 = 7;
const EVENT: i32 = 25;
const ADJUST_HEAD: i32 = 44;
const ADJUST_TAIL: i32 = 65;
/// Bytes that every packet has after a change (ETH_HLEN).
const ETHERNET_HEADER: u32 = 14;
/// The receive queue that stands for one that does not fit its byte.
const NO_QUEUE: u32 = 64;

/// Lower and upper word of a register.
pub(super) type Pair = [Value; 2];

/// Registers and stack of one frame.
#[derive(Debug, Clone)]
struct Frame {
    registers: [Pair; 11],
    /// By the distance from the frame's top, in bytes: negative multiples of 4, lowest first.
    stack: Vec<(i32, Value)>,
}

impl Frame {
    /// The word of the stack at this distance from the frame's top.
    fn word(&self, offset: i32) -> Option<Value> {
        let at = self.stack.binary_search_by_key(&offset, |(at, _)| *at);
        at.ok().map(|at| self.stack[at].1)
    }

    fn set_word(&mut self, offset: i32, value: Value) {
        match self.stack.binary_search_by_key(&offset, |(at, _)| *at) {
            Ok(at) => self.stack[at].1 = value,
            Err(at) => self.stack.insert(at, (offset, value)),
        }
    }
}

/// All that changes from instruction to instruction.
#[derive(Debug, Clone)]
struct State {
    frames: Vec<Frame>,
    length: Value,
    base: Value,
    packet_version: u32,
    map_version: u32,
    /// Changes with each call of a helper.
    stretch: u32,
}

impl State {
    fn read(&self, frame: usize, reg: Reg) -> Pair {
        self.frames[frame].registers[reg.index()]
    }

    /// All values of it, always in the same order.
    fn values(&self) -> impl Iterator<Item = Value> + '_ {
        let of_frames = self.frames.iter().flat_map(|frame| {
            let registers = frame.registers.iter().flatten().copied();
            registers.chain(frame.stack.iter().map(|(_, value)| *value))
        });
        [self.length, self.base].into_iter().chain(of_frames)
    }

    /// The same values, to be changed.
    fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        let of_frames = self.frames.iter_mut().flat_map(|frame| {
            let registers = frame.registers.iter_mut().flatten();
            registers.chain(frame.stack.iter_mut().map(|(_, value)| value))
        });
        [&mut self.length, &mut self.base]
            .into_iter()
            .chain(of_frames)
    }
}

/// Translates a program that the verifier accepted.
pub(super) fn build(
    input: &Input<'_>,
    profile: &Profile,
    verdict: &Verdict,
    facts: &Facts,
) -> Result<Mir, Unsupported> {
    let at = |slot, why| Unsupported { slot, why };
    let cfg = Cfg::build(input.code, &BTreeMap::new())
        .map_err(|error| at(0, Refusal::ControlFlow(error.to_string())))?;
    let mut stack_words: BTreeMap<u8, BTreeSet<i32>> = BTreeMap::new();
    for (depth, offset) in facts.stored() {
        stack_words.entry(depth).or_default().insert(offset);
    }
    let mut builder = Builder::new();
    let zero = builder.constant(0);
    let length = builder.emit(Op::Length);
    let base = builder.emit(Op::Base);
    let mut translation = Translation {
        input,
        profile,
        facts,
        reached: &verdict.reached,
        cfg: &cfg,
        zero,
        builder,
        stack_words,
        versions: 0,
        translated: 0,
    };
    let mut state = State {
        frames: Vec::new(),
        length,
        base,
        packet_version: 0,
        map_version: 0,
        stretch: 0,
    };
    state.frames.push(translation.frame(0));
    translation.function(0, &mut Vec::new(), state)?;
    Ok(translation.builder.mir)
}

struct Translation<'a> {
    input: &'a Input<'a>,
    profile: &'a Profile,
    facts: &'a Facts,
    reached: &'a [bool],
    cfg: &'a Cfg,
    zero: Value,
    builder: Builder,
    stack_words: BTreeMap<u8, BTreeSet<i32>>,
    versions: u32,
    translated: usize,
}

/// A block of the program that is to be translated.
#[derive(Default)]
struct Place {
    block: usize,
    incoming: Vec<State>,
    /// The values of a loop's head that get an operand with each way back.
    phis: Option<Vec<Value>>,
}

type Result<T, E = Unsupported> = std::result::Result<T, E>;

impl Translation<'_> {
    fn refuse<T>(&self, why: Refusal) -> Result<T> {
        Err(Unsupported {
            slot: self.builder.slot,
            why,
        })
    }

    fn frame(&self, depth: u8) -> Frame {
        let words = self.stack_words.get(&depth);
        Frame {
            registers: [[self.zero; 2]; 11],
            stack: words
                .into_iter()
                .flatten()
                .map(|&offset| (offset, self.zero))
                .collect(),
        }
    }

    fn version(&mut self) -> u32 {
        self.versions += 1;
        self.versions
    }

    fn is_reached(&self, slot: usize) -> bool {
        self.reached.get(slot).copied().unwrap_or(true)
    }

    /// Translates a function from the current block on. Gives the ends of a subprogram: block and state.
    fn function(
        &mut self,
        index: usize,
        calls: &mut Vec<usize>,
        state: State,
    ) -> Result<Vec<(usize, State)>> {
        let cfg = self.cfg;
        let function = &cfg.functions[index];
        let Some(chain) = self.facts.chain(calls) else {
            return self.refuse(Refusal::Unverified);
        };
        let order = order(function);
        let mut position = vec![usize::MAX; function.blocks.node_count()];
        for (at, &block) in order.iter().enumerate() {
            position[block] = at;
        }
        // A loop's head is where a block leads back to.
        let mut heads = vec![false; position.len()];
        for (here, &block) in order.iter().enumerate() {
            for (to, _) in function.successors(node(block)) {
                heads[to.index()] |= position[to.index()] <= here;
            }
        }
        let mut places: Vec<Place> = Vec::new();
        places.resize_with(position.len(), Place::default);
        let entry = self.builder.block();
        self.builder.jump(entry);
        places[0].block = entry;
        places[0].incoming.push(state);
        for &block in order.iter().skip(1) {
            places[block].block = self.builder.block();
        }
        let mut ends = Vec::new();
        for (here, &block) in order.iter().enumerate() {
            let is_head = heads[block];
            let incoming = std::mem::take(&mut places[block].incoming);
            if incoming.is_empty() {
                continue;
            }
            self.builder.at = places[block].block;
            let (mut state, phis) = self.merge(places[block].block, incoming, is_head);
            if is_head {
                places[block].phis = Some(phis);
            }
            self.block(function, block, chain, calls, &mut state)?;
            let last = self.builder.at;
            if self.builder.mir.blocks[last].end == End::Open {
                let slots = &function.blocks[node(block)].slots;
                let instruction = self.input.code.at(slots.end - 1);
                if matches!(instruction, Some(Instruction::Exit)) {
                    if calls.is_empty() {
                        let verdict = state.frames[0].registers[0][0];
                        self.builder.mir.blocks[last].end = End::Exit(verdict);
                    } else {
                        ends.push((last, state));
                    }
                    continue;
                }
                let mut ways = Vec::new();
                for (to, edge) in function.successors(node(block)) {
                    if self.is_reached(function.blocks[to].slots.start) {
                        ways.push((to.index(), edge));
                    }
                }
                self.leave(
                    function,
                    block,
                    &ways,
                    &mut places,
                    &position,
                    here,
                    chain,
                    &state,
                )?;
            }
        }
        Ok(ends)
    }

    /// The state at a block's start, and a loop's phis.
    fn merge(
        &mut self,
        block: usize,
        mut incoming: Vec<State>,
        is_head: bool,
    ) -> (State, Vec<Value>) {
        if incoming.len() == 1 && !is_head {
            return (incoming.swap_remove(0), Vec::new());
        }
        let (mut merged, mut phis) = (Vec::new(), Vec::new());
        let mut ways: Vec<_> = incoming.iter().map(State::values).collect();
        let mut operands = Vec::with_capacity(ways.len());
        loop {
            operands.clear();
            operands.extend(ways.iter_mut().filter_map(Iterator::next));
            let [first, others @ ..] = &operands[..] else {
                break;
            };
            if !is_head && others.iter().all(|other| other == first) {
                merged.push(*first);
                continue;
            }
            let zeros = |zeros, &operand| zeros & self.builder.mir.zeros(operand);
            let zeros = if is_head {
                0
            } else {
                operands.iter().fold(u32::MAX, zeros)
            };
            let phi = self.builder.phi(block, operands.clone(), zeros);
            phis.push(phi);
            merged.push(phi);
        }
        drop(ways);
        let same = |version: fn(&State) -> u32| {
            !is_head
                && incoming
                    .iter()
                    .all(|state| version(state) == version(&incoming[0]))
        };
        let (packet, map) = (
            same(|state| state.packet_version),
            same(|state| state.map_version),
        );
        let stretch = same(|state| state.stretch);
        let mut state = incoming.swap_remove(0);
        for (value, merged) in state.values_mut().zip(merged) {
            *value = merged;
        }
        if !packet {
            state.packet_version = self.version();
        }
        if !map {
            state.map_version = self.version();
        }
        if !stretch {
            state.stretch = self.version();
        }
        (state, phis)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one loop over blocks"
    )]
    fn leave(
        &mut self,
        function: &Function,
        block: usize,
        ways: &[(usize, Edge)],
        places: &mut [Place],
        position: &[usize],
        here: usize,
        chain: usize,
        state: &State,
    ) -> Result<()> {
        let taken = match *ways {
            [] => return self.refuse(Refusal::ControlFlow("no way on".into())),
            [(to, _)] => {
                self.builder.jump(places[to].block);
                vec![to]
            }
            [(one, edge), (other, _)] => {
                let slot = function.blocks[node(block)].slots.end - 1;
                let (condition, yes, no) = match edge {
                    Edge::Taken(condition) => (condition, one, other),
                    Edge::NotTaken(condition) => (condition, other, one),
                    _ => return self.refuse(Refusal::Instruction),
                };
                let (test, negated) = self.condition(condition, chain, slot, state)?;
                let (yes, no) = if negated { (no, yes) } else { (yes, no) };
                let there = self
                    .builder
                    .branch(test, places[yes].block, places[no].block);
                [yes, no]
                    .into_iter()
                    .zip(there)
                    .filter_map(|(to, is_there)| is_there.then_some(to))
                    .collect()
            }
            _ => return self.refuse(Refusal::Instruction),
        };
        for to in taken {
            if position[to] <= here {
                let phis = places[to].phis.clone().unwrap_or_default();
                for (phi, value) in phis.into_iter().zip(state.values()) {
                    self.builder.add_operand(phi, value);
                }
            } else {
                places[to].incoming.push(state.clone());
            }
        }
        Ok(())
    }

    /// Translates the instructions of a block.
    fn block(
        &mut self,
        function: &Function,
        block: usize,
        chain: usize,
        calls: &mut Vec<usize>,
        state: &mut State,
    ) -> Result<()> {
        for (slot, instruction) in function.blocks[node(block)].instructions(self.input.code) {
            self.builder.slot = slot;
            self.translated += 1;
            if self.translated > MOST_INSTRUCTIONS {
                return self.refuse(Refusal::TooLong);
            }
            if let Instruction::Call(Callee::Local(distance)) = *instruction {
                let start = (slot as i64 + 1 + i64::from(distance)) as usize;
                self.subprogram(slot, start, calls, state)?;
            } else {
                self.instruction(slot, instruction, chain, calls.len(), state)?;
            }
        }
        Ok(())
    }

    fn subprogram(
        &mut self,
        slot: usize,
        start: usize,
        calls: &mut Vec<usize>,
        state: &mut State,
    ) -> Result<()> {
        let Some(index) = self
            .cfg
            .functions
            .iter()
            .position(|function| function.slots.start == start)
            .filter(|_| calls.len() < 8)
        else {
            return self.refuse(Refusal::Instruction);
        };
        calls.push(slot);
        let mut inner = state.clone();
        let mut frame = self.frame(calls.len() as u8);
        let caller = &inner.frames[inner.frames.len() - 1];
        frame.registers[1..=5].copy_from_slice(&caller.registers[1..=5]);
        inner.frames.push(frame);
        let ends = self.function(index, calls, inner)?;
        calls.pop();
        self.builder.slot = slot;
        let after = self.builder.block();
        let mut incoming = Vec::new();
        for (block, mut end) in ends {
            self.builder.at = block;
            self.builder.jump(after);
            let result = end.frames.pop().map(|frame| frame.registers[0]);
            if let (Some(frame), Some(result)) = (end.frames.last_mut(), result) {
                frame.registers[0] = result;
            }
            incoming.push(end);
        }
        if incoming.is_empty() {
            return self.refuse(Refusal::ControlFlow("a call that never returns".into()));
        }
        self.builder.at = after;
        (*state, _) = self.merge(after, incoming, false);
        Ok(())
    }
}

fn node(block: usize) -> offload_compiler::cfg::BlockId {
    offload_compiler::cfg::BlockId::new(block)
}

/// A function's blocks, each after those that lead to it, loops apart.
fn order(function: &Function) -> Vec<usize> {
    let count = function.blocks.node_count();
    let mut seen = vec![false; count];
    let mut order = Vec::with_capacity(count);
    let mut work = vec![(0, false)];
    while let Some((block, done)) = work.pop() {
        if done {
            order.push(block);
            continue;
        }
        if std::mem::replace(&mut seen[block], true) {
            continue;
        }
        work.push((block, true));
        for (next, _) in function.successors(node(block)) {
            if !seen[next.index()] {
                work.push((next.index(), false));
            }
        }
    }
    order.reverse();
    order
}
