//! A word that holds flags and, above them, a counter: the counter gets a word of its own behind the value.
//!
//! A NIC that adds to a word in its memory cannot read that word. Where the program reads only bits that no addition
//! reaches, what is added can be kept elsewhere: user space then reads the sum of both words.

use std::collections::{BTreeMap, BTreeSet};

use crate::isa::{AluOp, CmpOp, Instruction, Operand, Reg};
use crate::lower::accesses::{How, accesses};
use crate::lower::facts::Facts;
use crate::lower::liveness::{Liveness, Registers, step_effect};
use crate::lower::program::{End, MapChange, Op, Position, Program};
use crate::lower::rewrite::Allow;
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "counter-word",
    allow: Some(Allow::Counters),
    optimises: false,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    for (map, words) in words(program, context.facts) {
        for word in words {
            if !word.can_move(program, context.facts, map) || !context.permits(0) {
                continue;
            }
            let shape = &mut program.maps[map as usize].shape;
            let at = shape.value_size.next_multiple_of(word.size);
            context.note_text(
                word.added.first().and_then(|&at| origin(program, at)),
                vec![format!("{}: value + {}", name(program, map), word.start)],
                vec![format!("{}: value + {at}", name(program, map))],
            );
            let entry = &mut program.maps[map as usize];
            entry.shape.value_size = at + word.size;
            entry.changes.push(MapChange::Counter {
                word: word.start,
                size: word.size,
                at,
            });
            for &position in &word.added {
                let step = &mut program[position.block].steps[position.index];
                if let Op::Plain(Instruction::Atomic { off, .. }) = &mut step.op {
                    *off += (at - word.start) as i16;
                }
            }
        }
    }
}

fn name(program: &Program, map: u32) -> &str {
    &program.maps[map as usize].shape.name
}

fn origin(program: &Program, position: Position) -> Option<usize> {
    program[position.block].steps[position.index].origin
}

/// A word that is both read and added to.
struct Word {
    /// Offset into the value, in bytes.
    start: u32,
    /// 4 or 8 bytes.
    size: u32,
    added: Vec<Position>,
    read: Vec<(Position, u32)>,
}

/// The words of each map that are added to at known places and read; none of a map that is accessed in other ways.
fn words(program: &Program, facts: &Facts) -> BTreeMap<u32, Vec<Word>> {
    let live = Liveness::of(program);
    let mut accesses = accesses(program, facts);
    // A number that nobody looks at is not read.
    accesses.retain(|one| one.how != How::Read || seen(program, &live, one.position) != Some(0));
    let mut found: BTreeMap<u32, Vec<Word>> = BTreeMap::new();
    let mut other = BTreeSet::new();
    for access in &accesses {
        let Some(map) = access.map else {
            return BTreeMap::new();
        };
        match (access.how, access.part) {
            (How::Add, Some((start, end))) => {
                let words = found.entry(map).or_default();
                match words
                    .iter_mut()
                    .find(|word| word.start < end && start < word.end())
                {
                    Some(word) if (word.start, word.end()) == (start, end) => {
                        word.added.push(access.position);
                    }
                    Some(_) => {
                        other.insert(map);
                    }
                    None => words.push(Word {
                        start,
                        size: end - start,
                        added: vec![access.position],
                        read: Vec::new(),
                    }),
                }
            }
            (How::Read, Some(_)) => {}
            _ => {
                other.insert(map);
            }
        }
    }
    for access in &accesses {
        if let (How::Read, Some(map), Some((start, end))) = (access.how, access.map, access.part) {
            for word in found.get_mut(&map).into_iter().flatten() {
                if start < word.end() && word.start < end {
                    word.read.push((access.position, start));
                }
            }
        }
    }
    found.retain(|map, _| !other.contains(map));
    for words in found.values_mut() {
        words.retain(|word| !word.read.is_empty());
    }
    found
}

impl Word {
    fn end(&self) -> u32 {
        self.start + self.size
    }

    /// Whether the program reads no bit that an addition may change.
    fn can_move(&self, program: &Program, facts: &Facts, map: u32) -> bool {
        let shape = &program.maps[map as usize].shape;
        let at = shape.value_size.next_multiple_of(self.size.max(1));
        if i16::try_from(at).is_err() || shape.inner.is_some() || !shape.special.is_empty() {
            return false;
        }
        let lowest = self.added.iter().map(|&position| {
            let step = &program[position.block].steps[position.index];
            let Op::Plain(Instruction::Atomic { src, .. }) = step.op else {
                return 0;
            };
            let added = facts.register(position, src).constant();
            added.map_or(0, u64::trailing_zeros)
        });
        let lowest = lowest.min().unwrap_or(0);
        let live = Liveness::of(program);
        self.read.iter().all(|&(position, start)| {
            let Some(shift) = start.checked_sub(self.start) else {
                return false;
            };
            seen(program, &live, position)
                .is_some_and(|mask| 64 - mask.leading_zeros() + 8 * shift <= lowest)
        })
    }
}

/// The bits of a loaded number that are looked at; `None` where it cannot be told.
fn seen(program: &Program, live: &Liveness, position: Position) -> Option<u64> {
    let Position { block, index } = position;
    let steps = &program[block].steps;
    let Op::Plain(Instruction::Load {
        dst, signed: false, ..
    }) = steps[index].op
    else {
        return None;
    };
    let mut mask = 0;
    let mut raw = Registers::default().with(dst);
    for (index, step) in steps.iter().enumerate().skip(index + 1) {
        if let Op::Plain(Instruction::Alu { op, dst, src, .. }) = step.op {
            match (op, src) {
                (AluOp::And, Operand::Imm(imm)) if raw.contains(dst) && imm >= 0 => {
                    mask |= imm as u64;
                    raw = without(raw, dst);
                    continue;
                }
                (AluOp::Mov, Operand::Reg(src)) if raw.contains(src) => {
                    raw = raw.with(dst);
                    continue;
                }
                _ => {}
            }
        }
        let (uses, defines) = step_effect(&step.op);
        let after = live.after(Position { block, index });
        for reg in Reg::ALL {
            if !raw.contains(reg) {
                continue;
            }
            // A call is said to use all arguments; what is dead after it and no argument was not looked at.
            if uses.contains(reg) {
                return None;
            }
            if defines.contains(reg) || !after.contains(reg) {
                raw = without(raw, reg);
            }
        }
    }
    if let End::Branch { condition, .. } = program[block].end {
        if raw.contains(condition.dst) {
            match condition.src {
                Operand::Imm(imm) if condition.op == CmpOp::Set && imm >= 0 => mask |= imm as u64,
                _ => return None,
            }
        }
        if matches!(condition.src, Operand::Reg(reg) if raw.contains(reg)) {
            return None;
        }
    }
    let end = Position {
        block,
        index: steps.len(),
    };
    let after = live.after(end);
    let left = Reg::ALL
        .iter()
        .any(|&reg| raw.contains(reg) && after.contains(reg));
    (!left).then_some(mask)
}

fn without(set: Registers, reg: Reg) -> Registers {
    Registers(set.0 & !(1 << reg.number()))
}
