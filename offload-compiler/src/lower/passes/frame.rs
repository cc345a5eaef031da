//! What a program does with its frame of the stack, and which bytes of it are read later.

use std::collections::{BTreeMap, HashMap};

use crate::isa::{AluOp, Callee, Instruction, Operand, Reg, Width};
use crate::lower::facts::Content;
use crate::lower::liveness::{end_uses, step_effect};
use crate::lower::program::{BlockId, Op, Position, Program};
use crate::lower::run::Context;
use crate::verify::Place;

const LOOKUP: i32 = 1;
const UPDATE: i32 = 2;
const DELETE: i32 = 3;
/// Bytes of a frame.
pub(super) const FRAME: i64 = 512;

/// Bytes of the frame, from where to before where; below 0.
pub(super) type Part = (i64, i64);

/// What a step does with the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// By an address that is the frame's, with an offset; of at most so many bytes at once.
    Direct(Part, bool),
    /// By an address of a place in it, at a distance.
    Through(i64, Part, bool),
    /// By a helper, as a key.
    Key(Part),
    /// By a helper, as a value.
    Value(Part),
    /// Its address plus a number is made here.
    Address(i64),
}

impl Use {
    /// The bytes, and whether they are written.
    pub(super) const fn access(self) -> Option<(Part, bool)> {
        match self {
            Self::Direct(part, writes) | Self::Through(_, part, writes) => Some((part, writes)),
            Self::Key(part) | Self::Value(part) => Some((part, false)),
            Self::Address(_) => None,
        }
    }
}

/// What the steps of the program itself do with its frame.
pub(super) type Uses = BTreeMap<Position, Vec<Use>>;

/// What the program does with its frame; none where that is not known well enough.
pub(super) fn uses(program: &Program, context: &Context<'_>) -> Option<Uses> {
    let mut found = Uses::new();
    for &block in &program.functions[0].blocks {
        for (index, step) in program[block].steps.iter().enumerate() {
            let at = Position { block, index };
            if context.facts.at(at).is_none() {
                continue;
            }
            let uses = of_step(program, context, at, &step.op)?;
            if !uses.is_empty() {
                found.insert(at, uses);
            }
        }
        let end = Position {
            block,
            index: program[block].steps.len(),
        };
        let read = end_uses(&program[block].end);
        let mut compared = Reg::ALL.iter().filter(|&&reg| read.contains(reg));
        if context.facts.at(end).is_some()
            && compared.any(|&reg| distance(context, end, reg) != Ok(None))
        {
            return None;
        }
    }
    Some(found)
}

/// The distance of an address in the frame; an error where it is not known.
fn distance(context: &Context<'_>, at: Position, reg: Reg) -> Result<Option<i64>, ()> {
    match context.facts.register(at, reg) {
        content @ Content::Address {
            place: Place::Stack(_),
            ..
        } => content.distance().map(Some).ok_or(()),
        Content::Mixed => Err(()),
        _ => Ok(None),
    }
}

fn of_step(program: &Program, context: &Context<'_>, at: Position, op: &Op) -> Option<Vec<Use>> {
    let there = |reg| distance(context, at, reg).ok();
    let access = |base: Reg, off: i16, bytes: u32, writes| {
        Some(match there(base)? {
            None => Vec::new(),
            Some(base) => {
                let start = base + i64::from(off);
                let part = (start, start + i64::from(bytes));
                vec![if base == 0 {
                    Use::Direct(part, writes)
                } else {
                    Use::Through(base, part, writes)
                }]
            }
        })
    };
    match *op {
        Op::Plain(Instruction::Load {
            size, base, off, ..
        }) => access(base, off, size.bytes(), false),
        Op::Plain(Instruction::Store {
            size,
            base,
            off,
            src,
        }) => {
            let address = match src {
                Operand::Reg(src) => there(src)?.is_some(),
                Operand::Imm(_) => false,
            };
            // An address that is kept may be used anywhere.
            if address {
                return None;
            }
            access(base, off, size.bytes(), true)
        }
        Op::Plain(Instruction::Alu {
            width: Width::W64,
            op: AluOp::Mov,
            ..
        }) => Some(Vec::new()),
        Op::Plain(Instruction::Alu {
            width,
            op,
            dst,
            src,
        }) => {
            let of_source = match src {
                Operand::Reg(src) => there(src)?,
                Operand::Imm(_) => None,
            };
            match (there(dst)?, of_source, src) {
                (None, None, _) => Some(Vec::new()),
                (Some(0), None, Operand::Imm(imm))
                    if op == AluOp::Add && width == Width::W64 && imm < 0 =>
                {
                    Some(vec![Use::Address(imm.into())])
                }
                _ => None,
            }
        }
        Op::Plain(Instruction::Call(Callee::Helper(id @ (LOOKUP | UPDATE | DELETE)))) => {
            let Some(Place::Map(map)) = context.facts.register(at, Reg::R1).place() else {
                return None;
            };
            let shape = &program.maps.get(map as usize)?.shape;
            let mut uses = Vec::new();
            let part = |start: i64, bytes: u32| (start, start + i64::from(bytes));
            if let Some(key) = there(Reg::R2)? {
                uses.push(Use::Key(part(key, shape.key_size)));
            }
            if id == UPDATE
                && let Some(value) = there(Reg::R3)?
            {
                uses.push(Use::Value(part(value, shape.value_size)));
            }
            Some(uses)
        }
        _ => {
            let (uses, _) = step_effect(op);
            let mut used = Reg::ALL.iter().filter(|&&reg| uses.contains(reg));
            used.all(|&reg| there(reg) == Some(None)).then(Vec::new)
        }
    }
}

/// Bytes of the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bytes([bool; FRAME as usize]);

impl Bytes {
    const NONE: Self = Self([false; FRAME as usize]);

    fn range((start, end): Part) -> std::ops::Range<usize> {
        let index = |at: i64| (at + FRAME).clamp(0, FRAME) as usize;
        index(start)..index(end)
    }

    /// Whether any of a part is among them.
    pub(super) fn meet(&self, part: Part) -> bool {
        self.0[Self::range(part)].contains(&true)
    }

    /// Whether there are any.
    pub(super) fn is_empty(&self) -> bool {
        !self.0.contains(&true)
    }

    fn set(&mut self, part: Part, there: bool) {
        self.0[Self::range(part)].fill(there);
    }
}

/// Which bytes are read later.
pub(super) struct LiveBytes {
    /// After each step that writes.
    pub(super) after: HashMap<Position, Bytes>,
    /// When the program begins: what is read there was never written.
    pub(super) entry: Bytes,
}

impl LiveBytes {
    pub(super) fn of(program: &Program, uses: &Uses) -> Self {
        let blocks = &program.functions[0].blocks;
        let mut entries: HashMap<BlockId, Bytes> = HashMap::new();
        let mut after = HashMap::new();
        let mut changed = true;
        while changed {
            changed = false;
            for &block in blocks.iter().rev() {
                let mut live = Bytes::NONE;
                for next in program[block].end.successors() {
                    if let Some(entry) = entries.get(&next) {
                        for (one, other) in live.0.iter_mut().zip(entry.0) {
                            *one |= other;
                        }
                    }
                }
                for index in (0..program[block].steps.len()).rev() {
                    let at = Position { block, index };
                    let accesses = uses.get(&at).into_iter().flatten();
                    let accesses: Vec<_> = accesses.filter_map(|used| used.access()).collect();
                    for &(part, _) in accesses.iter().filter(|(_, writes)| *writes) {
                        after.insert(at, live.clone());
                        live.set(part, false);
                    }
                    for &(part, _) in accesses.iter().filter(|(_, writes)| !*writes) {
                        live.set(part, true);
                    }
                }
                if entries.get(&block) != Some(&live) {
                    entries.insert(block, live);
                    changed = true;
                }
            }
        }
        let entry = blocks.first().and_then(|first| entries.remove(first));
        Self {
            after,
            entry: entry.unwrap_or(Bytes::NONE),
        }
    }
}
