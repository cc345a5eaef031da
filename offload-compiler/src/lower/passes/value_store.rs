//! Stores to map values, where a target has none: the value is copied to the stack, changed there, and put back whole by
//! `bpf_map_update_elem`.
//!
//! Another thread that changes the same value meanwhile may lose its change, which a store of one word never did: so it is
//! made only with `--allow stores`.

use std::collections::{BTreeMap, BTreeSet};

use super::lookup_site::Lookups;
use crate::isa::{AluOp, Callee, Instruction, Operand, Reg, Size, Width};
use crate::lower::accesses::{Part, part};
use crate::lower::facts::{Content, Facts};
use crate::lower::liveness::{Liveness, Registers};
use crate::lower::program::{BlockId, FunctionId, Op, Position, Program, Step};
use crate::lower::rewrite::Allow;
use crate::lower::run::{Context, Pass};
use crate::verify::Place;

pub(super) const PASS: Pass = Pass {
    name: "value-store",
    allow: Some(Allow::Stores),
    optimises: false,
    run,
};

const HASH: u32 = 1;
const ARRAY: u32 = 2;
const MAP_UPDATE: i32 = 2;
/// `bpf_map_update_elem` flag: an element that is gone stays gone, as a store to it would be lost.
const BPF_EXIST: i32 = 2;
/// Bytes of stack that a program may use.
const STACK: i32 = 512;
/// Bytes of a value that are copied.
const MOST: u32 = 128;

fn run(program: &mut Program, context: &mut Context<'_>) {
    if context.forms.value_stores {
        return;
    }
    let groups = groups(program, context.facts);
    let entry = program.functions[0].blocks[0];
    let used = context.facts.stack.get(&entry).copied().unwrap_or(0);
    let mut frame = Frame {
        bottom: -(used.next_multiple_of(8) as i32),
    };
    let saved = frame.take(48);
    let mut values = BTreeMap::new();
    let mut keys: BTreeMap<Position, i32> = BTreeMap::new();
    let mut copies: BTreeMap<Position, Vec<Step>> = BTreeMap::new();
    let mut changes: Vec<(Group, i32, i32)> = Vec::new();
    for group in groups {
        let shape = &program.maps[group.map as usize].shape;
        let (key_size, value_size) = (shape.key_size, shape.value_size);
        let mut ahead = frame;
        let value = values.get(&group.map).copied();
        let value = value.unwrap_or_else(|| ahead.take(value_size));
        let key = keys.get(&group.site).copied();
        let key = key.unwrap_or_else(|| ahead.take(key_size));
        if ahead.bottom < -STACK
            || !context.permits(16 + (key_size + value_size) as usize / 2 + 2 * group.stores.len())
        {
            continue;
        }
        if !keys.contains_key(&group.site) {
            let Some(copy) = copy_key(program, context.facts, group.site, key_size, key) else {
                continue;
            };
            copies.insert(group.site, copy);
        }
        // Only now: a place that is remembered for a group that is left out would be given to another, too.
        frame = ahead;
        values.insert(group.map, value);
        keys.insert(group.site, key);
        changes.push((group, key, value));
    }
    let live = Liveness::of(program);
    let mut edits: BTreeMap<Position, Edit> = BTreeMap::new();
    for (group, key, value) in &changes {
        let Some(made) = group.edits(program, context.facts, &live, (*key, *value, saved)) else {
            continue;
        };
        for (position, edit) in made {
            edits.entry(position).or_default().add(edit);
        }
        if let Some(copy) = copies.remove(&group.site) {
            edits.entry(group.site).or_default().before.extend(copy);
        }
    }
    // From the back, so that places before stay where they are.
    for (position, edit) in edits.into_iter().rev() {
        let steps = &mut program[position.block].steps;
        let old = steps[position.index];
        let mut new = edit.before;
        new.push(edit.replaced.unwrap_or(old));
        new.extend(edit.after);
        context_note(context, program, old, &new);
        program[position.block]
            .steps
            .splice(position.index..=position.index, new);
    }
}

fn context_note(context: &mut Context<'_>, program: &Program, old: Step, new: &[Step]) {
    context.note(program, old.origin, &[old], new);
}

/// What becomes of one step.
#[derive(Debug, Default)]
struct Edit {
    before: Vec<Step>,
    replaced: Option<Step>,
    after: Vec<Step>,
}

impl Edit {
    fn add(&mut self, other: Self) {
        self.before.extend(other.before);
        self.replaced = other.replaced.or(self.replaced);
        self.after.extend(other.after);
    }
}

/// The program's frame, which grows downwards.
#[derive(Debug, Clone, Copy)]
struct Frame {
    bottom: i32,
}

impl Frame {
    /// So many bytes, on a multiple of eight; gives their distance from the top.
    fn take(&mut self, bytes: u32) -> i32 {
        self.bottom -= bytes.min(512).next_multiple_of(8) as i32;
        self.bottom
    }
}

/// Stores to one value that follow each other without a call or a read of the map between them.
#[derive(Debug, Clone)]
struct Group {
    map: u32,
    /// The lookup that gave the address.
    site: Position,
    block: BlockId,
    /// Index of each store, and where in the value it writes: from, to, in bytes.
    stores: Vec<(usize, Part)>,
}

/// The groups of the program itself that can be put back whole.
fn groups(program: &Program, facts: &Facts) -> Vec<Group> {
    let lookups = Lookups::of(program, facts);
    let mut found = Vec::new();
    for &block in &program.functions[0].blocks {
        let mut open: Option<Group> = None;
        for (index, step) in program[block].steps.iter().enumerate() {
            let position = Position { block, index };
            match step.op {
                Op::Plain(Instruction::Store {
                    size, base, off, ..
                }) => {
                    let Content::Address {
                        place: Place::MapValue(map),
                        ..
                    } = facts.register(position, base)
                    else {
                        continue;
                    };
                    let site = lookups.before(program, position).of(base);
                    let part = part(&facts.register(position, base), off, size);
                    match (&mut open, site, part) {
                        (Some(group), Some(site), Some(part)) if group.site == site => {
                            group.stores.push((index, part));
                        }
                        (_, Some(site), Some(part)) => {
                            found.extend(open.replace(Group {
                                map,
                                site,
                                block,
                                stores: vec![(index, part)],
                            }));
                        }
                        _ => found.extend(open.take()),
                    }
                }
                Op::Call(_) | Op::Plain(Instruction::Call(_)) => found.extend(open.take()),
                Op::Plain(
                    Instruction::Load { base, .. }
                    | Instruction::Atomic { base, .. }
                    | Instruction::LoadAcquire { base, .. }
                    | Instruction::Exchange { base, .. }
                    | Instruction::CompareExchange { base, .. },
                ) => {
                    let place = facts.register(position, base).place();
                    if !matches!(
                        place,
                        Some(Place::Stack(_) | Place::Packet | Place::Context)
                    ) {
                        found.extend(open.take());
                    }
                }
                _ => {}
            }
        }
        found.extend(open);
    }
    found.retain(|group| group.is_whole(program, &lookups));
    found
}

impl Group {
    /// Whether it can be put back: a map whose elements can be, and of a hash, whose update moves the element, no address
    /// of the old one that is still used.
    fn is_whole(&self, program: &Program, lookups: &Lookups<'_>) -> bool {
        let Some(shape) = program.maps.get(self.map as usize).map(|map| &map.shape) else {
            return false;
        };
        let fits = self
            .stores
            .iter()
            .all(|&(_, (_, end))| end <= shape.value_size);
        let plain = shape.special.is_empty() && shape.value_size <= MOST && fits;
        match shape.kind {
            ARRAY => plain,
            HASH => {
                let last = self.stores.last().map_or(0, |&(index, _)| index);
                let after = Position {
                    block: self.block,
                    index: last + 1,
                };
                let origins = lookups.before(program, after);
                let live = Liveness::of(program).before(after);
                let used = Reg::ALL
                    .iter()
                    .any(|&reg| live.contains(reg) && origins.of(reg) == Some(self.site));
                plain && !used && !origins.saved(self.site)
            }
            _ => false,
        }
    }

    /// The bytes that no store of the group writes, as words of at most eight bytes.
    fn kept(&self, value_size: u32) -> Vec<(u32, Size)> {
        let written: BTreeSet<u32> = self
            .stores
            .iter()
            .flat_map(|&(_, (from, to))| from..to)
            .collect();
        let mut words = Vec::new();
        let mut at = 0;
        while at < value_size {
            let size = match value_size - at {
                8.. if at % 8 == 0 => Size::B64,
                4.. if at % 4 == 0 => Size::B32,
                2.. if at % 2 == 0 => Size::B16,
                _ => Size::B8,
            };
            if !(at..at + size.bytes()).all(|byte| written.contains(&byte)) {
                words.push((at, size));
            }
            at += size.bytes();
        }
        words
    }

    /// The steps that change, and into what. `places`: the key, the value and saved registers, from the frame's top.
    fn edits(
        &self,
        program: &Program,
        facts: &Facts,
        live: &Liveness,
        (key, value, saved): (i32, i32, i32),
    ) -> Option<Vec<(Position, Edit)>> {
        let block = self.block;
        let at = |index| Position { block, index };
        let store = |index: usize| match program[block].steps[index].op {
            Op::Plain(Instruction::Store {
                size, base, src, ..
            }) => Some((size, base, src)),
            _ => None,
        };
        let shape = &program.maps[self.map as usize].shape;
        let mut edits = Vec::new();
        for (nth, &(index, (from, _))) in self.stores.iter().enumerate() {
            let (size, base, src) = store(index)?;
            let step = program[block].steps[index];
            let mut edit = Edit {
                replaced: Some(Step::new(
                    to_stack(size, value + from as i32, src),
                    step.origin,
                )),
                ..Edit::default()
            };
            if nth == 0 {
                let distance = facts.register(at(index), base).distance()?;
                let scratch = live.scratch(program, at(index), Some(&step.op))?;
                for (word, size) in self.kept(shape.value_size) {
                    let off = i16::try_from(i64::from(word) - distance).ok()?;
                    edit.before.push(Step::new(
                        Instruction::Load {
                            size,
                            signed: false,
                            dst: scratch,
                            base,
                            off,
                        },
                        step.origin,
                    ));
                    let put = to_stack(size, value + word as i32, Operand::Reg(scratch));
                    edit.before.push(Step::new(put, step.origin));
                }
            }
            if nth + 1 == self.stores.len() {
                edit.after = self.put_back(live.after(at(index)), step.origin, key, value, saved);
            }
            edits.push((at(index), edit));
        }
        Some(edits)
    }

    fn put_back(
        &self,
        live: Registers,
        origin: Option<usize>,
        key: i32,
        value: i32,
        saved: i32,
    ) -> Vec<Step> {
        let busy: Vec<(Reg, i32)> = Reg::ALL[..6]
            .iter()
            .filter(|&&reg| live.contains(reg))
            .map(|&reg| (reg, saved + 8 * i32::from(reg.number())))
            .collect();
        let address = |dst, off| {
            [
                alu(Width::W64, AluOp::Mov, dst, Operand::Reg(Reg::R10)),
                alu(Width::W64, AluOp::Add, dst, Operand::Imm(off)),
            ]
        };
        let mut plain: Vec<Instruction> = busy
            .iter()
            .map(|&(reg, place)| to_stack(Size::B64, place, Operand::Reg(reg)))
            .collect();
        plain.extend(address(Reg::R2, key));
        plain.extend(address(Reg::R3, value));
        plain.push(alu(
            Width::W32,
            AluOp::Mov,
            Reg::R4,
            Operand::Imm(BPF_EXIST),
        ));
        let step = |instruction| Step::new(instruction, origin);
        let mut steps: Vec<Step> = plain.into_iter().map(step).collect();
        steps.push(Step {
            op: Op::LoadMap {
                dst: Reg::R1,
                map: self.map,
                value_offset: None,
            },
            origin,
        });
        steps.push(step(Instruction::Call(Callee::Helper(MAP_UPDATE))));
        steps.extend(
            busy.iter()
                .map(|&(reg, place)| step(from_stack(Size::B64, reg, place))),
        );
        steps
    }
}

/// Keeps a lookup's key where nothing else writes.
fn copy_key(
    program: &Program,
    facts: &Facts,
    site: Position,
    key_size: u32,
    to: i32,
) -> Option<Vec<Step>> {
    if program.function_of(site.block) != Some(FunctionId(0)) {
        return None;
    }
    let key = facts.register(site, Reg::R2);
    let from = i32::try_from(key.distance()?).ok()?;
    if !matches!(key.place(), Some(Place::Stack(0))) {
        return None;
    }
    // A call spoils r3 to r5 and does not read them here.
    let origin = program[site.block].steps[site.index].origin;
    let mut steps = Vec::new();
    let mut at = 0;
    while at < key_size {
        let size = match key_size - at {
            8.. if (from + at as i32) % 8 == 0 => Size::B64,
            4.. if (from + at as i32) % 4 == 0 => Size::B32,
            2.. if (from + at as i32) % 2 == 0 => Size::B16,
            _ => Size::B8,
        };
        steps.push(Step::new(
            from_stack(size, Reg::R3, from + at as i32),
            origin,
        ));
        steps.push(Step::new(
            to_stack(size, to + at as i32, Operand::Reg(Reg::R3)),
            origin,
        ));
        at += size.bytes();
    }
    Some(steps)
}

fn to_stack(size: Size, off: i32, src: Operand) -> Instruction {
    Instruction::Store {
        size,
        base: Reg::R10,
        off: off as i16,
        src,
    }
}

fn from_stack(size: Size, dst: Reg, off: i32) -> Instruction {
    Instruction::Load {
        size,
        signed: false,
        dst,
        base: Reg::R10,
        off: off as i16,
    }
}

fn alu(width: Width, op: AluOp, dst: Reg, src: Operand) -> Instruction {
    Instruction::Alu {
        width,
        op,
        dst,
        src,
    }
}
