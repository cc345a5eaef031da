//! Fewer memory commands: what lies together is read and written together.

use std::collections::BTreeMap;

use foldhash::HashMap;

use super::dominance::Dominance;
use super::fold::{bits_of, zeros};
use super::mir::{Address, Binary, Mir, Op, ShiftKind, Value};

/// Bytes that one command writes at most: eight words.
const WRITTEN: i32 = 32;
/// How many reads back one is looked for that can be made larger.
const FAR: usize = 64;

fn push(mir: &mut Mir, op: Op, like: Value) -> Value {
    mir.zeros.push(zeros(mir, &op));
    mir.ops.push(op);
    mir.slots.push(mir.slots[like.index()]);
    Value(mir.ops.len() as u32 - 1)
}

/// The same base, whatever is added to it.
fn base_of(address: Address) -> Address {
    address.at(0)
}

/// Whether two accesses to the packet can be told apart: they have the same base.
fn apart(one: Address, bytes: i32, other: Address, other_bytes: i32) -> bool {
    base_of(one) == base_of(other)
        && (one.offset() + bytes <= other.offset() || other.offset() + other_bytes <= one.offset())
}

/// Writes that wait to be made together.
struct Pending {
    address: Address,
    /// By the offset of each byte: the value, and which byte of it.
    bytes: BTreeMap<i32, (Value, u8)>,
    last: Value,
    /// Number of the state of the packet before the first.
    version: u32,
}

/// Delays writes to the packet until something may see them, and makes neighbours of one command.
pub(super) fn writes(mir: &mut Mir) {
    for block in mir.order() {
        let body = std::mem::take(&mut mir.blocks[block].body);
        let mut new = Vec::with_capacity(body.len());
        let mut pending: Option<Pending> = None;
        for value in body {
            let op = mir.op(value).clone();
            match op {
                Op::Write {
                    address,
                    bytes,
                    words,
                    version,
                } => {
                    if pending
                        .as_ref()
                        .is_some_and(|waiting| base_of(waiting.address) != base_of(address))
                    {
                        flush(mir, &mut pending, &mut new);
                    }
                    let waiting = pending.get_or_insert_with(|| Pending {
                        address,
                        bytes: BTreeMap::new(),
                        last: value,
                        version,
                    });
                    waiting.last = value;
                    for byte in 0..bytes {
                        let word = words[usize::from(byte / 4)];
                        waiting
                            .bytes
                            .insert(address.offset() + i32::from(byte), (word, byte % 4));
                    }
                    continue;
                }
                Op::Read {
                    address: address @ Address::Packet { .. },
                    words,
                    ..
                } => {
                    let seen = pending.as_ref().is_some_and(|waiting| {
                        waiting.bytes.keys().any(|&at| {
                            !apart(waiting.address.at(at), 1, address, 4 * i32::from(words))
                        })
                    });
                    if seen {
                        flush(mir, &mut pending, &mut new);
                    } else if let (Some(waiting), Op::Read { version, .. }) =
                        (&pending, &mut mir.ops[value.index()])
                    {
                        // It is made before them now.
                        *version = waiting.version;
                    }
                }
                Op::AdjustHead(_) | Op::AdjustTail(_) | Op::Call(_) => {
                    flush(mir, &mut pending, &mut new);
                }
                _ => {}
            }
            new.push(value);
        }
        flush(mir, &mut pending, &mut new);
        mir.blocks[block].body = new;
    }
}

/// Makes the writes that wait.
fn flush(mir: &mut Mir, pending: &mut Option<Pending>, body: &mut Vec<Value>) {
    let Some(Pending {
        address,
        bytes,
        last,
        version,
    }) = pending.take()
    else {
        return;
    };
    let mut runs: Vec<(i32, Vec<(Value, u8)>)> = Vec::new();
    for (at, byte) in bytes {
        match runs.last_mut() {
            Some((start, run))
                if *start + run.len() as i32 == at && (run.len() as i32) < WRITTEN =>
            {
                run.push(byte);
            }
            _ => runs.push((at, vec![byte])),
        }
    }
    for (start, run) in runs {
        let whole = run.len() / 4 * 4;
        // Beyond eight bytes a command writes whole words.
        let parts: Vec<(i32, &[(Value, u8)])> = if run.len() <= 8 || run.len() == whole {
            vec![(start, &run[..])]
        } else {
            vec![
                (start, &run[..whole]),
                (start + whole as i32, &run[whole..]),
            ]
        };
        for (start, part) in parts {
            let words: Vec<Value> = part
                .chunks(4)
                .map(|bytes| assemble(mir, bytes, last, body))
                .collect();
            let write = Op::Write {
                address: address.at(start),
                bytes: part.len() as u8,
                words,
                version,
            };
            body.push(push(mir, write, last));
        }
    }
}

/// A word of these bytes; what is above them may be anything.
fn assemble(mir: &mut Mir, bytes: &[(Value, u8)], like: Value, body: &mut Vec<Value>) -> Value {
    // Bytes of one value at one distance come together.
    let mut groups: Vec<(Value, u8, u8)> = Vec::new();
    for (at, &(value, byte)) in bytes.iter().enumerate() {
        let rotate = (byte + 4 - at as u8) % 4 * 8;
        match groups
            .iter_mut()
            .find(|(known, distance, _)| (*known, *distance) == (value, rotate))
        {
            Some((_, _, mask)) => *mask |= 1 << at,
            None => groups.push((value, rotate, 1 << at)),
        }
    }
    // The first is copied whole: all others are put on top of it.
    let mut word: Option<Value> = None;
    groups.sort_by_key(|&(_, rotate, _)| rotate != 0);
    let numbers: Vec<Option<u32>> = groups
        .iter()
        .map(|(value, ..)| mir.constant(*value))
        .collect();
    if numbers.iter().all(Option::is_some) {
        let mut number = 0;
        for (&(_, rotate, mask), value) in groups.iter().zip(numbers) {
            number |= value.unwrap_or(0).rotate_right(rotate.into()) & bits_of(mask);
        }
        return push(mir, Op::Const(number), like);
    }
    for (source, rotate, mask) in groups {
        let next = match word {
            None if rotate == 0 => {
                word = Some(source);
                continue;
            }
            None => Op::Shift(ShiftKind::Rotate, source, rotate),
            Some(old) => Op::Insert {
                old,
                source,
                rotate,
                mask,
            },
        };
        let value = push(mir, next, like);
        body.push(value);
        word = Some(value);
    }
    word.unwrap_or(like)
}

/// Reads that one command makes.
struct Group {
    leader: Value,
    block: usize,
    /// The first byte, and the one after the last.
    range: (i32, i32),
    /// The one after the last byte that is proved to be there.
    end: i32,
    members: Vec<Value>,
}

/// Makes one read of several, where an earlier one comes by on every way to the later.
pub(super) fn reads(mir: &mut Mir, most_words: u8) {
    let order = mir.order();
    let dominance = Dominance::new(mir, &order);
    let needed = needed_bytes(mir, &order);
    let mut groups: Vec<Group> = Vec::new();
    let mut by_base: HashMap<(Address, u32, u32), Vec<usize>> = HashMap::default();
    for &block in &order {
        for &value in &mir.blocks[block].body {
            let Op::Read {
                address,
                sure,
                version,
                stretch,
                ..
            } = *mir.op(value)
            else {
                continue;
            };
            let from_start =
                matches!(address, Address::Packet { base, .. } if matches!(mir.op(base), Op::Base));
            let range = (address.offset(), address.offset() + needed[&value]);
            let known = by_base
                .entry((base_of(address), version, stretch))
                .or_default();
            let fits = |group: &Group| {
                let low = group.range.0.min(range.0);
                let high = group.range.1.max(range.1);
                high - low <= 4 * i32::from(most_words)
                    && high <= group.end
                    && (low == group.range.0 || from_start && low >= 0)
                    && dominance.dominates(group.block, block)
            };
            if let Some(&at) = known.iter().rev().take(FAR).find(|&&at| fits(&groups[at])) {
                let group = &mut groups[at];
                group.range.0 = group.range.0.min(range.0);
                group.range.1 = group.range.1.max(range.1);
                group.members.push(value);
            } else {
                known.push(groups.len());
                groups.push(Group {
                    leader: value,
                    block,
                    range,
                    end: address.offset() + sure as i32,
                    members: vec![value],
                });
            }
        }
    }
    for group in groups {
        if group.members.len() > 1 {
            join(mir, &group, &order, &needed);
        }
    }
}

/// How many bytes of each read are used: a word is often there for its lower half or byte only.
fn needed_bytes(mir: &Mir, order: &[usize]) -> HashMap<Value, i32> {
    let mut words: HashMap<Value, u32> = HashMap::default();
    let mut note = |user: Option<&Op>, operand: Value| {
        if !matches!(mir.op(operand), Op::Word(..)) {
            return;
        }
        let bits = match user {
            Some(Op::Field {
                source,
                rotate,
                mask,
            }) if *source == operand => bits_of(*mask).rotate_left(u32::from(*rotate)),
            _ => u32::MAX,
        };
        *words.entry(operand).or_default() |= bits;
    };
    for &block in order {
        for &value in &mir.blocks[block].body {
            let op = mir.op(value);
            op.each_operand(|operand| note(Some(op), operand));
        }
        (mir.blocks[block].end).each_operand(|operand| note(None, operand));
    }
    let mut needed: HashMap<Value, i32> = HashMap::default();
    for &block in order {
        for &value in &mir.blocks[block].body {
            match *mir.op(value) {
                Op::Read { .. } => {
                    needed.entry(value).or_insert(1);
                }
                Op::Word(read, index) => {
                    let bits = words.get(&value).copied().unwrap_or(0);
                    let bytes = 4 - bits.leading_zeros() as i32 / 8;
                    let entry = needed.entry(read).or_insert(1);
                    *entry = (*entry).max(4 * i32::from(index) + bytes);
                }
                _ => {}
            }
        }
    }
    needed
}

/// Widens the first read, and takes the words of the others from it.
fn join(mir: &mut Mir, group: &Group, order: &[usize], needed: &HashMap<Value, i32>) {
    let Op::Read { address, .. } = *mir.op(group.leader) else {
        return;
    };
    let from_start =
        matches!(address, Address::Packet { base, .. } if matches!(mir.op(base), Op::Base));
    // The start is moved down where that puts more words in their places.
    let offsets: Vec<i32> = group
        .members
        .iter()
        .filter_map(|&member| match mir.op(member) {
            Op::Read { address, .. } => Some(address.offset()),
            _ => None,
        })
        .collect();
    let misplaced = |start: i32| {
        group
            .members
            .iter()
            .zip(&offsets)
            .filter(|&(&member, &offset)| {
                (offset - start) % 4 != 0 && (offset - start) % 4 + needed[&member].min(4) > 4
            })
            .count()
    };
    let lowest = group.range.0;
    let start = (0..4)
        .map(|down| lowest - down)
        .filter(|&start| start == lowest || from_start && start >= 0)
        .min_by_key(|&start| (misplaced(start), lowest - start))
        .unwrap_or(lowest);
    let words = ((group.range.1 - start) as u32).div_ceil(4) as u8;
    if let Op::Read {
        address,
        words: count,
        ..
    } = &mut mir.ops[group.leader.index()]
    {
        *address = address.at(start);
        *count = words;
    }
    // The words of the joined read, right after it.
    let made: Vec<Value> = (0..words)
        .map(|index| push(mir, Op::Word(group.leader, index), group.leader))
        .collect();
    let body = &mut mir.blocks[group.block].body;
    let at = body
        .iter()
        .position(|&value| value == group.leader)
        .unwrap_or(0)
        + 1;
    body.splice(at..at, made.iter().copied());
    for &block in order {
        for index in 0..mir.blocks[block].body.len() {
            let value = mir.blocks[block].body[index];
            let Op::Word(read, word) = *mir.op(value) else {
                continue;
            };
            let Some(member) = group.members.iter().position(|&member| member == read) else {
                continue;
            };
            if made.contains(&value) {
                continue;
            }
            let byte = offsets[member] - start + 4 * i32::from(word);
            let (first, shift) = ((byte / 4) as usize, (byte % 4) as u8);
            // What would come from beyond is not used.
            mir.ops[value.index()] = match (made.get(first), shift, made.get(first + 1)) {
                (None, ..) => Op::Const(0),
                (Some(&word), 0, _) => Op::Binary(Binary::Or, word, word),
                (Some(&word), shift, None) => Op::Shift(ShiftKind::Right, word, 8 * shift),
                (Some(&word), shift, Some(&next)) => Op::Double(next, word, 8 * shift),
            };
        }
    }
}
