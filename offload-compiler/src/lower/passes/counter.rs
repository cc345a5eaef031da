//! `*value += n` in any form that compilers give it becomes one atomic addition, which a NIC can do in its memory.
//!
//! Read, add and write back is what a program does where no other touches the word; with the map shared between many
//! threads of a card, only an atomic addition counts right. What user space sees is the same sum.

use std::collections::HashMap;

use crate::isa::{AluOp, AtomicOp, Instruction, Operand, Reg, Size, Width};
use crate::lower::facts::Facts;
use crate::lower::liveness::{Liveness, step_effect};
use crate::lower::program::{BlockId, Op, Position, Program, Step};
use crate::lower::rewrite::Allow;
use crate::lower::run::{Context, Pass};
use crate::verify::Place;

pub(super) const PASS: Pass = Pass {
    name: "atomic-counter",
    allow: Some(Allow::Counters),
    optimises: false,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    let held = Held::of(program, context.facts);
    let live = Liveness::of(program);
    for block in program.block_ids() {
        // Each rewrite leaves the number of steps as it is, or adds one behind what is still to be seen.
        for index in (0..program[block].steps.len()).rev() {
            let position = Position { block, index };
            let Some(counter) = Counter::at(program, context.facts, &held, &live, position) else {
                continue;
            };
            if context.permits(1) {
                let before = counter.steps(program);
                let after = counter.rewrite(program);
                context.note(program, before[0].origin, &before, &after);
            }
        }
    }
}

/// A word of a map's value that a register holds as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word {
    base: Reg,
    off: i16,
    size: Size,
}

impl Word {
    fn overlaps(self, other: Self) -> bool {
        let range = |word: Self| {
            let start = i32::from(word.off);
            (start, start + word.size.bytes() as i32)
        };
        let ((start, end), (other_start, other_end)) = (range(self), range(other));
        self.base != other.base || start < other_end && other_start < end
    }
}

/// What the registers hold of map values.
type Words = [Option<Word>; 11];

/// The words that registers hold before each block, on all paths.
struct Held<'a> {
    facts: &'a Facts,
    entry: HashMap<BlockId, Words>,
}

impl<'a> Held<'a> {
    fn of(program: &Program, facts: &'a Facts) -> Self {
        let mut held = Self {
            facts,
            entry: HashMap::new(),
        };
        let mut work: Vec<BlockId> = program
            .functions
            .iter()
            .filter_map(|function| function.blocks.first().copied())
            .collect();
        for &block in &work {
            held.entry.insert(block, Words::default());
        }
        while let Some(block) = work.pop() {
            let steps = program[block].steps.len();
            let after = held.before(
                program,
                Position {
                    block,
                    index: steps,
                },
            );
            for next in program[block].end.successors() {
                let joined = match held.entry.get(&next) {
                    None => after,
                    Some(known) => {
                        let mut joined = *known;
                        for (one, other) in joined.iter_mut().zip(after) {
                            if *one != other {
                                *one = None;
                            }
                        }
                        joined
                    }
                };
                if held.entry.get(&next) != Some(&joined) {
                    held.entry.insert(next, joined);
                    work.push(next);
                }
            }
        }
        held
    }

    /// Before a step.
    fn before(&self, program: &Program, position: Position) -> Words {
        let mut words = self.entry.get(&position.block).copied().unwrap_or_default();
        let steps = program[position.block].steps.iter().take(position.index);
        for (index, step) in steps.enumerate() {
            let at = Position { index, ..position };
            self.step(&mut words, at, &step.op);
        }
        words
    }

    fn step(&self, words: &mut Words, position: Position, op: &Op) {
        let new = match *op {
            Op::Plain(Instruction::Load {
                size,
                signed: false,
                dst,
                base,
                off,
            }) if dst != base && self.is_value(position, base) => {
                Some((dst, Some(Word { base, off, size })))
            }
            Op::Plain(Instruction::Alu {
                width: Width::W64,
                op: AluOp::Mov,
                dst,
                src: Operand::Reg(src),
            }) => Some((dst, words[src.index()].filter(|word| word.base != dst))),
            _ => None,
        };
        if let Op::Call(_) | Op::Plain(Instruction::Call(_)) = op {
            // It may write to the map.
            *words = Words::default();
            return;
        }
        if let Some(written) = written_word(op)
            && !self.is_elsewhere(position, written.base)
        {
            for word in words.iter_mut() {
                *word = word.filter(|word| !word.overlaps(written));
            }
        }
        let (_, defines) = step_effect(op);
        for reg in Reg::ALL {
            if defines.contains(reg) {
                words[reg.index()] = None;
                for word in words.iter_mut() {
                    *word = word.filter(|word| word.base != reg);
                }
            }
        }
        if let Some((dst, word)) = new {
            words[dst.index()] = word;
        }
    }

    fn is_value(&self, position: Position, base: Reg) -> bool {
        matches!(
            self.facts.register(position, base).place(),
            Some(Place::MapValue(_))
        )
    }

    /// Surely not in a map's value.
    fn is_elsewhere(&self, position: Position, base: Reg) -> bool {
        matches!(
            self.facts.register(position, base).place(),
            Some(Place::Stack(_) | Place::Packet | Place::PacketMeta | Place::Context)
        )
    }
}

/// What a step writes to.
fn written_word(op: &Op) -> Option<Word> {
    match *op {
        Op::Plain(
            Instruction::Store {
                size, base, off, ..
            }
            | Instruction::Atomic {
                size, base, off, ..
            }
            | Instruction::Exchange {
                size, base, off, ..
            }
            | Instruction::CompareExchange {
                size, base, off, ..
            }
            | Instruction::StoreRelease {
                size, base, off, ..
            },
        ) => Some(Word { base, off, size }),
        _ => None,
    }
}

/// A word that is read, added to, and written back.
struct Counter {
    block: BlockId,
    /// The addition to the word.
    add: usize,
    /// The store.
    store: usize,
    word: Word,
    sum: Reg,
    order: Order,
}

/// Which operand of the addition is the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// `word += n`
    WordFirst,
    /// `n += word`
    WordSecond,
}

impl Counter {
    /// The counter whose store is at a place.
    fn at(
        program: &Program,
        facts: &Facts,
        held: &Held<'_>,
        live: &Liveness,
        position: Position,
    ) -> Option<Self> {
        let block = position.block;
        let steps = &program[block].steps;
        let Op::Plain(Instruction::Store {
            size: size @ (Size::B32 | Size::B64),
            base,
            off,
            src: Operand::Reg(sum),
        }) = steps[position.index].op
        else {
            return None;
        };
        let word = Word { base, off, size };
        let is_value = matches!(
            facts.register(position, base).place(),
            Some(Place::MapValue(_))
        );
        if !is_value || sum == base || live.after(position).contains(sum) {
            return None;
        }
        // Back over what is added, to where the word itself is added to, or is what is added.
        for index in (0..position.index).rev() {
            let op = &steps[index].op;
            let at = Position { block, index };
            if let Op::Plain(Instruction::Alu {
                width,
                op: op @ (AluOp::Add | AluOp::Sub),
                dst,
                src,
            }) = *op
                && dst == sum
                && src != Operand::Reg(sum)
                && (width == Width::W64 || size == Size::B32)
            {
                let words = held.before(program, at);
                let order = match src {
                    _ if words[sum.index()] == Some(word) => Order::WordFirst,
                    Operand::Reg(other)
                        if op == AluOp::Add && words[other.index()] == Some(word) =>
                    {
                        Order::WordSecond
                    }
                    _ => continue,
                };
                return Some(Self {
                    block,
                    add: index,
                    store: position.index,
                    word,
                    sum,
                    order,
                });
            }
            let (uses, defines) = step_effect(op);
            let other = written_word(op)
                .is_some_and(|other| other.overlaps(word) && !held.is_elsewhere(at, other.base));
            let calls = matches!(op, Op::Call(_) | Op::Plain(Instruction::Call(_)));
            if uses.contains(sum)
                || defines.contains(sum)
                || defines.contains(base)
                || calls
                || other
            {
                return None;
            }
        }
        None
    }

    fn steps(&self, program: &Program) -> Vec<Step> {
        program[self.block].steps[self.add..=self.store].to_vec()
    }

    fn rewrite(&self, program: &mut Program) -> Vec<Step> {
        let steps = &mut program[self.block].steps;
        steps[self.store].op = Op::Plain(Instruction::Atomic {
            op: AtomicOp::Add,
            size: self.word.size,
            base: self.word.base,
            off: self.word.off,
            src: self.sum,
            fetch: false,
        });
        let mut last = self.store;
        let origin = steps[self.add].origin;
        if self.order == Order::WordSecond {
            steps.remove(self.add);
            return steps[self.add..last].to_vec();
        }
        if let Op::Plain(Instruction::Alu {
            width,
            op,
            dst,
            src,
        }) = steps[self.add].op
        {
            let moved = Instruction::Alu {
                width,
                op: AluOp::Mov,
                dst,
                src,
            };
            steps[self.add].op = Op::Plain(moved);
            if op == AluOp::Sub {
                let negated = Step::new(Instruction::Negate { width, dst }, origin);
                steps.insert(self.add + 1, negated);
                last += 1;
            }
        }
        steps[self.add..=last].to_vec()
    }
}
