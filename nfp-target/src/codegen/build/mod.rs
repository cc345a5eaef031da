//! From eBPF to the mid-level form. Subprograms are put in place of their calls.

mod adjust;
mod builder;
mod call;
mod instruction;
mod memory;
mod places;
mod state;

pub(super) use builder::Builder;
use state::State;

use std::borrow::Cow;

use offload_compiler::cfg::{Cfg, Edge, Function};
use offload_compiler::isa::{
    AluOp, AtomicOp, Callee, CmpOp, Condition, Imm64, Instruction, Operand, Reg, Size, Swap, Width,
};
use offload_compiler::verify::{Input, Verdict};

use super::arithmetic;
use super::facts::{Facts, Kind, StackPlace};
use super::mir::{Address, Binary, Call, End, Mir, Op, Test, Value};
use super::{Refusal, Unsupported, Verified};
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

/// The upper word of a register with a distance from the packet's start: so one is never 0, as an address is not.
const PACKET_MARK: u32 = 1 << 31;

/// Lower and upper word of a register.
pub(super) type Pair = [Value; 2];

/// Translates a program that the verifier accepted.
pub(super) fn build(program: &Verified<'_>, profile: &Profile) -> Result<Mir, Unsupported> {
    let Verified {
        input,
        verdict,
        facts,
        cfg,
    } = program;
    let mut stack_words: Vec<Vec<i32>> = Vec::new();
    for (depth, offset) in facts.stored() {
        let depth = usize::from(depth);
        if stack_words.len() <= depth {
            stack_words.resize(depth + 1, Vec::new());
        }
        stack_words[depth].push(offset);
    }
    let mut builder = Builder::new(input.code.len());
    let zero = builder.constant(0);
    let mark = builder.constant(PACKET_MARK);
    let length = builder.emit(Op::Length);
    let base = builder.emit(Op::Base);
    let mut translation = Translation {
        input,
        profile,
        facts,
        verdict,
        cfg,
        zero,
        mark,
        builder,
        stack_words,
        versions: 0,
        translated: 0,
        chain: 0,
        outer: 0,
    };
    let mut state = State::new(length, base);
    translation.push_frame(&mut state, 0);
    translation.function(0, &mut Vec::new(), state)?;
    Ok(translation.builder.mir)
}

struct Translation<'a> {
    input: &'a Input<'a>,
    profile: &'a Profile,
    facts: &'a Facts,
    verdict: &'a Verdict,
    cfg: &'a Cfg,
    zero: Value,
    mark: Value,
    builder: Builder,
    /// The words of the stack that are written to, by the depth of the frame: distances from its top, lowest first.
    stack_words: Vec<Vec<i32>>,
    versions: u32,
    translated: usize,
    /// The chain of calls that facts are asked for, and how many calls are outside of it.
    chain: usize,
    outer: usize,
}

/// A block of the program that is to be translated.
#[derive(Default)]
struct Place {
    block: usize,
    incoming: Vec<State>,
    /// Of a loop's head what gets an operand with each way back: the phi of each value of the state.
    phis: Vec<(usize, Value)>,
}

type Result<T, E = Unsupported> = std::result::Result<T, E>;

impl Translation<'_> {
    fn refuse<T>(&self, why: Refusal) -> Result<T> {
        Err(Unsupported {
            slot: self.builder.slot,
            why,
        })
    }

    /// Adds a frame in which nothing was written, at a depth as facts count it.
    fn push_frame(&self, state: &mut State, depth: usize) {
        let words = self.stack_words.get(depth).map_or(0, Vec::len);
        state.push_frame(words, self.zero);
    }

    /// Where a word of the stack is among a state's values, if it is ever written to: by the depth of its frame, as facts
    /// count it, and its distance from the frame's top.
    fn word_at(&self, state: &State, depth: u8, offset: i32) -> Option<usize> {
        let words = self.stack_words.get(usize::from(depth))?;
        let at = words.binary_search(&offset).ok()?;
        state.word(self.outer + usize::from(depth), at)
    }

    /// The registers that are read at a slot or later.
    fn live(&self, slot: usize) -> u16 {
        self.verdict.live.get(slot).copied().unwrap_or(u16::MAX)
    }

    fn version(&mut self) -> u32 {
        self.versions += 1;
        self.versions
    }

    fn is_reached(&self, slot: usize) -> bool {
        self.verdict.reached.get(slot).copied().unwrap_or(true)
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
        let Some(chain) = self.facts.chain(&calls[self.outer..]) else {
            return self.refuse(Refusal::Unverified);
        };
        self.chain = chain;
        let ways = ways(function);
        let order = order(&ways);
        let mut position = vec![usize::MAX; ways.len()];
        for (at, &block) in order.iter().enumerate() {
            position[block] = at;
        }
        // A loop's head is where a block leads back to.
        let mut heads = vec![false; ways.len()];
        for (here, &block) in order.iter().enumerate() {
            for (to, _) in ways[block].into_iter().flatten() {
                heads[to] |= position[to] <= here;
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
            let live = self.live(function.blocks[node(block)].slots.start);
            let mut state;
            (state, places[block].phis) = self.merge(places[block].block, incoming, is_head, live);
            self.block(function, block, calls, &mut state)?;
            let last = self.builder.at;
            if self.builder.mir.blocks[last].end == End::Open {
                let slots = &function.blocks[node(block)].slots;
                let instruction = self.input.code.at(slots.end - 1);
                if matches!(instruction, Some(Instruction::Exit)) {
                    if calls.is_empty() {
                        let [verdict, _] = state.read(0, Reg::R0);
                        self.builder.mir.blocks[last].end = End::Exit(verdict);
                    } else {
                        ends.push((last, state));
                    }
                    continue;
                }
                // Where nothing was seen to go is no way.
                let ways = ways[block].map(|way| {
                    way.filter(|(to, _)| self.is_reached(function.blocks[node(*to)].slots.start))
                });
                let last = function.blocks[node(block)].slots.end - 1;
                self.leave(last, ways, &mut places, &position, here, state)?;
            }
        }
        Ok(ends)
    }

    /// The state at a block's start, and a loop's phis. `live` are the registers of the frame that runs whose values matter.
    fn merge(
        &mut self,
        block: usize,
        mut incoming: Vec<State>,
        is_head: bool,
        live: u16,
    ) -> (State, Vec<(usize, Value)>) {
        let mut state = incoming.remove(0);
        if incoming.is_empty() && !is_head {
            return (state, Vec::new());
        }
        let mut phis = Vec::new();
        for at in 0..state.values.len() {
            let first = state.values[at];
            if state.is_dead(at, live) {
                state.values[at] = self.zero;
                continue;
            }
            if !is_head && incoming.iter().all(|other| other.values[at] == first) {
                continue;
            }
            let operands: Vec<Value> = std::iter::once(first)
                .chain(incoming.iter().map(|other| other.values[at]))
                .collect();
            let zeros = |zeros, &operand| zeros & self.builder.mir.zeros(operand);
            let zeros = if is_head {
                0
            } else {
                operands.iter().fold(u32::MAX, zeros)
            };
            let phi = self.builder.phi(block, operands, zeros);
            phis.push((at, phi));
            state.values[at] = phi;
        }
        let differs =
            |of: fn(&State) -> u32| is_head || incoming.iter().any(|other| of(other) != of(&state));
        let [packet, map, stretch] = [
            differs(|state| state.packet_version),
            differs(|state| state.map_version),
            differs(|state| state.stretch),
        ];
        for other in &incoming {
            state.moved = state
                .moved
                .zip(other.moved)
                .map(|(one, other)| (one.0.min(other.0), one.1.max(other.1)));
        }
        state.moved = state.moved.filter(|_| !is_head);
        for (differs, version) in [
            (packet, &mut state.packet_version),
            (map, &mut state.map_version),
            (stretch, &mut state.stretch),
        ] {
            if differs {
                self.versions += 1;
                *version = self.versions;
            }
        }
        (state, phis)
    }

    /// Leaves a block for those that it leads to, after its instruction at `slot`.
    fn leave(
        &mut self,
        slot: usize,
        ways: Ways,
        places: &mut [Place],
        position: &[usize],
        here: usize,
        state: State,
    ) -> Result<()> {
        let taken = match ways {
            [None, None] => return self.refuse(Refusal::ControlFlow("no way on".into())),
            [Some((to, _)), None] | [None, Some((to, _))] => {
                self.builder.jump(places[to].block);
                [Some(to), None]
            }
            [Some((one, edge)), Some((other, _))] => {
                let (condition, yes, no) = match edge {
                    Edge::Taken(condition) => (condition, one, other),
                    Edge::NotTaken(condition) => (condition, other, one),
                    _ => return self.refuse(Refusal::Instruction),
                };
                let (test, negated) = self.condition(condition, slot, &state)?;
                let (yes, no) = if negated { (no, yes) } else { (yes, no) };
                let there = self
                    .builder
                    .branch(test, places[yes].block, places[no].block);
                [there[0].then_some(yes), there[1].then_some(no)]
            }
        };
        let mut go = |builder: &mut Builder, to: usize, state: Cow<'_, State>| {
            let place = &mut places[to];
            if position[to] <= here {
                for &(at, phi) in &place.phis {
                    builder.add_operand(phi, state.values[at]);
                }
            } else {
                place.incoming.push(state.into_owned());
            }
        };
        match taken {
            [Some(one), Some(other)] => {
                go(&mut self.builder, one, Cow::Borrowed(&state));
                go(&mut self.builder, other, Cow::Owned(state));
            }
            [one, other] => {
                if let Some(to) = one.or(other) {
                    go(&mut self.builder, to, Cow::Owned(state));
                }
            }
        }
        Ok(())
    }

    /// Translates the instructions of a block.
    fn block(
        &mut self,
        function: &Function,
        block: usize,
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
                self.instruction(slot, instruction, state)?;
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
        let (chain, outer) = (self.chain, self.outer);
        let is_global = |function: &offload_compiler::verify::Function| function.global.is_some();
        if self.input.function_at(start).is_some_and(is_global) {
            self.outer = calls.len();
        }
        let mut inner = state.clone();
        self.push_frame(&mut inner, calls.len() - self.outer);
        for reg in &Reg::ALL[1..=5] {
            inner.set(calls.len(), *reg, state.read(calls.len() - 1, *reg));
        }
        let ends = self.function(index, calls, inner)?;
        (self.chain, self.outer) = (chain, outer);
        calls.pop();
        self.builder.slot = slot;
        let after = self.builder.block();
        let mut incoming = Vec::new();
        for (block, mut end) in ends {
            self.builder.at = block;
            self.builder.jump(after);
            let result = end.read(calls.len() + 1, Reg::R0);
            end.pop_frame();
            end.set(calls.len(), Reg::R0, result);
            incoming.push(end);
        }
        if incoming.is_empty() {
            return self.refuse(Refusal::ControlFlow("a call that never returns".into()));
        }
        self.builder.at = after;
        (*state, _) = self.merge(after, incoming, false, self.live(slot + 1));
        Ok(())
    }
}

fn node(block: usize) -> offload_compiler::cfg::BlockId {
    offload_compiler::cfg::BlockId::new(block)
}

/// Where a block leads.
type Ways = [Option<(usize, Edge)>; 2];

/// Where each block of a function leads.
fn ways(function: &Function) -> Vec<Ways> {
    let ways_of = |block| {
        let ways = function.successors(node(block));
        let way = |at: usize| ways.get(at).map(|&(to, edge)| (to.index(), edge));
        [way(0), way(1)]
    };
    (0..function.blocks.node_count()).map(ways_of).collect()
}

/// A function's blocks, each after those that lead to it, loops apart.
fn order(ways: &[Ways]) -> Vec<usize> {
    let mut seen = vec![false; ways.len()];
    let mut order = Vec::with_capacity(ways.len());
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
        for (next, _) in ways[block].into_iter().flatten() {
            if !seen[next] {
                work.push((next, false));
            }
        }
    }
    order.reverse();
    order
}
