//! Fewer and simpler values.

use std::collections::HashMap;

use super::fold::{Folded, fold, fold_bytes, test, zeros};
use super::merge;
use super::mir::{End, Mir, Op, Test, Value};

/// Rounds of simplification: what one round finds, the next one uses.
const ROUNDS: usize = 3;
/// How many blocks upwards a branch is looked for that decides another.
const FAR: usize = 64;

/// Makes a program simpler. Without `optimise`, only what is never used is left out. `merge` is how many words of memory
/// may be read at once.
pub(super) fn simplify(mir: &mut Mir, optimise: bool, merge: u8) {
    trivial_phis(mir);
    if optimise {
        round(mir);
        round(mir);
        if merge > 0 {
            merge::writes(mir);
            merge::reads(mir, merge);
        }
        for _ in 0..ROUNDS {
            round(mir);
        }
        sink_base(mir);
    }
    remove_unused(mir);
}

fn round(mir: &mut Mir) {
    values(mir);
    branches(mir);
    trivial_phis(mir);
    exits(mir);
    remove_unused(mir);
}

/// Replaces operands.
struct Replaced(Vec<Option<Value>>);

impl Replaced {
    fn new(mir: &Mir) -> Self {
        Self(vec![None; mir.ops.len()])
    }

    fn of(&self, value: Value) -> Value {
        let mut value = value;
        while let Some(Some(other)) = self.0.get(value.index()) {
            value = *other;
        }
        value
    }

    fn apply(&self, mir: &mut Mir) {
        for block in 0..mir.blocks.len() {
            for index in 0..mir.blocks[block].body.len() {
                let value = mir.blocks[block].body[index];
                mir.ops[value.index()].map_operands(|operand| *operand = self.of(*operand));
            }
            mir.blocks[block]
                .end
                .map_operands(|operand| *operand = self.of(*operand));
            mir.blocks[block]
                .body
                .retain(|value| self.0[value.index()].is_none());
        }
    }
}

/// Phis whose operands are all the same value, or the phi itself.
fn trivial_phis(mir: &mut Mir) {
    loop {
        let mut replaced = Replaced::new(mir);
        let mut found = false;
        for block in mir.order() {
            for &value in &mir.blocks[block].body {
                let Op::Phi(operands) = mir.op(value) else {
                    break;
                };
                let mut only = None;
                let mut several = false;
                for &operand in operands {
                    let operand = replaced.of(operand);
                    if operand != value && only.is_some_and(|only| only != operand) {
                        several = true;
                        break;
                    }
                    if operand != value {
                        only = Some(operand);
                    }
                }
                if let (Some(only), false) = (only, several) {
                    replaced.0[value.index()] = Some(only);
                    found = true;
                }
            }
        }
        if !found {
            return;
        }
        replaced.apply(mir);
    }
}

/// The closest block that every way to each block passes.
pub(super) fn dominators(mir: &Mir, order: &[usize]) -> Vec<usize> {
    let mut position = vec![usize::MAX; mir.blocks.len()];
    for (at, &block) in order.iter().enumerate() {
        position[block] = at;
    }
    let mut above = vec![usize::MAX; mir.blocks.len()];
    above[0] = 0;
    let mut changed = true;
    while changed {
        changed = false;
        for &block in order.iter().skip(1) {
            let mut common = usize::MAX;
            for &before in &mir.blocks[block].before {
                if position[before] == usize::MAX || above[before] == usize::MAX {
                    continue;
                }
                if common == usize::MAX {
                    common = before;
                    continue;
                }
                let mut other = before;
                while common != other {
                    while position[common] > position[other] {
                        common = above[common];
                    }
                    while position[other] > position[common] {
                        other = above[other];
                    }
                }
            }
            if above[block] != common {
                above[block] = common;
                changed = true;
            }
        }
    }
    above
}

fn constants(mir: &Mir) -> HashMap<u32, Value> {
    let mut constants = HashMap::new();
    for (index, op) in mir.ops.iter().enumerate() {
        if let Op::Const(number) = op {
            constants.entry(*number).or_insert(Value(index as u32));
        }
    }
    constants
}

/// Folds each operation, and computes what is the same once, where it dominates.
fn values(mir: &mut Mir) {
    let order = mir.order();
    let above = dominators(mir, &order);
    let mut constants = constants(mir);
    let mut replaced = Replaced::new(mir);
    let mut known: HashMap<Op, Vec<(usize, Value)>> = HashMap::new();
    let dominates = |one: usize, other: usize| {
        let mut at = other;
        loop {
            if at == one {
                return true;
            }
            if at == 0 {
                return false;
            }
            at = above[at];
        }
    };
    for &block in &order {
        for index in 0..mir.blocks[block].body.len() {
            let value = mir.blocks[block].body[index];
            mir.ops[value.index()].map_operands(|operand| *operand = replaced.of(*operand));
            if matches!(mir.op(value), Op::Phi(_)) {
                phi_zeros(mir, value, &order, block);
                continue;
            }
            // Folding one operation may give another that folds.
            let mut outcome = None;
            for _ in 0..4 {
                let op = mir.op(value).clone();
                let folded = match fold(mir, op.clone()) {
                    Folded::Op(new) if new == op => match fold_bytes(mir, value) {
                        Some(folded) => folded,
                        None => break,
                    },
                    folded => folded,
                };
                match folded {
                    Folded::Is(other) => outcome = Some(other),
                    Folded::Number(number) => {
                        outcome = Some(*constants.entry(number).or_insert_with(|| {
                            mir.ops.push(Op::Const(number));
                            mir.zeros.push(!number);
                            mir.slots.push(mir.slots[value.index()]);
                            Value(mir.ops.len() as u32 - 1)
                        }));
                    }
                    Folded::Op(new) => {
                        mir.ops[value.index()] = new;
                        continue;
                    }
                }
                break;
            }
            replaced.0.resize(mir.ops.len(), None);
            if let Some(other) = outcome {
                replaced.0[value.index()] = Some(other);
                continue;
            }
            mir.zeros[value.index()] |= zeros(mir, mir.op(value));
            let op = mir.op(value);
            if op.is_pure() || matches!(op, Op::Read { .. }) {
                let same = known.entry(op.clone()).or_default();
                match same.iter().find(|(home, _)| dominates(*home, block)) {
                    Some((_, other)) => replaced.0[value.index()] = Some(*other),
                    None => same.push((block, value)),
                }
            }
        }
        let mut end = mir.blocks[block].end;
        end.map_operands(|operand| *operand = replaced.of(*operand));
        mir.blocks[block].end = end;
    }
    replaced.0.resize(mir.ops.len(), None);
    replaced.apply(mir);
}

/// The bits that are 0 on all ways to a phi, where no way comes from below.
fn phi_zeros(mir: &mut Mir, phi: Value, order: &[usize], block: usize) {
    let before = &mir.blocks[block].before;
    let here = order.iter().position(|&at| at == block);
    let from_above = before
        .iter()
        .all(|from| order.iter().position(|at| at == from) < here);
    if let (true, Op::Phi(operands)) = (from_above, mir.op(phi)) {
        let zeros = operands
            .iter()
            .fold(u32::MAX, |zeros, &operand| zeros & mir.zeros(operand));
        mir.zeros[phi.index()] |= zeros;
    }
}

/// Removes the way from one block to another, with its operands.
fn cut(mir: &mut Mir, from: usize, to: usize) {
    let Some(index) = mir.blocks[to]
        .before
        .iter()
        .position(|&before| before == from)
    else {
        return;
    };
    mir.blocks[to].before.remove(index);
    for at in 0..mir.blocks[to].body.len() {
        let value = mir.blocks[to].body[at];
        if let Op::Phi(operands) = &mut mir.ops[value.index()]
            && index < operands.len()
        {
            operands.remove(index);
        }
    }
}

/// What the branches that lead to a block say about a test there.
fn decided(mir: &Mir, above: &[usize], block: usize, asked: Test) -> Option<bool> {
    let mut at = block;
    let (mut least, mut most) = (0u32, u32::MAX);
    let number = |value| mir.constant(value);
    // The value that is compared with a number.
    let subject = match asked {
        Test::Below(a, b) | Test::Equal(a, b) => {
            if number(a).is_some() {
                b
            } else {
                a
            }
        }
        _ => Value(u32::MAX),
    };
    for _ in 0..FAR {
        if at == 0 {
            break;
        }
        let from = above[at];
        if let (End::Branch(known, yes, no), [_]) =
            (mir.blocks[from].end, &mir.blocks[at].before[..])
            && yes != no
            && (yes == at || no == at)
        {
            let outcome = yes == at;
            if known == asked {
                return Some(outcome);
            }
            match (known, outcome) {
                (Test::Below(a, b), _) if a == subject => match (number(b), outcome) {
                    (Some(limit), true) => most = most.min(limit.saturating_sub(1)),
                    (Some(limit), false) => least = least.max(limit),
                    _ => {}
                },
                (Test::Below(a, b), _) if b == subject => match (number(a), outcome) {
                    (Some(limit), true) => least = least.max(limit.saturating_add(1)),
                    (Some(limit), false) => most = most.min(limit),
                    _ => {}
                },
                (Test::Equal(a, b), true) if a == subject => {
                    if let Some(is) = number(b) {
                        (least, most) = (is, is);
                    }
                }
                _ => {}
            }
        }
        at = from;
    }
    match asked {
        Test::Below(a, b) if a == subject => {
            let limit = number(b)?;
            if most < limit {
                Some(true)
            } else {
                (least >= limit).then_some(false)
            }
        }
        Test::Below(a, b) if b == subject => {
            let limit = number(a)?;
            if least > limit {
                Some(true)
            } else {
                (most <= limit).then_some(false)
            }
        }
        Test::Equal(a, b) if a == subject => {
            let is = number(b)?;
            if is < least || is > most {
                return Some(false);
            }
            (least == most).then_some(true)
        }
        _ => None,
    }
}

/// Branches whose outcome is known become jumps; ways from where nothing leads are removed.
fn branches(mir: &mut Mir) {
    let order = mir.order();
    let above = dominators(mir, &order);
    for block in order {
        if let End::Branch(condition, yes, no) = mir.blocks[block].end {
            let outcome = match test(mir, condition) {
                Err(condition) => decided(mir, &above, block, condition).ok_or(condition),
                known => known,
            };
            match outcome {
                Ok(outcome) => {
                    let (to, other) = if outcome { (yes, no) } else { (no, yes) };
                    mir.blocks[block].end = End::Jump(to);
                    cut(mir, block, other);
                }
                Err(condition) => mir.blocks[block].end = End::Branch(condition, yes, no),
            }
        }
    }
    let mut reached = vec![false; mir.blocks.len()];
    for block in mir.order() {
        reached[block] = true;
    }
    for (block, is_reached) in reached.into_iter().enumerate() {
        if !is_reached {
            for to in mir.blocks[block].end.targets() {
                cut(mir, block, to);
            }
            mir.blocks[block].body.clear();
            mir.blocks[block].end = End::Open;
            mir.blocks[block].before.clear();
        }
    }
}

/// Where blocks meet only to end the program with a number that each brings along, each ends it itself.
fn exits(mir: &mut Mir) {
    let mut uses = vec![0u32; mir.ops.len()];
    for block in mir.order() {
        for &value in &mir.blocks[block].body {
            for operand in mir.op(value).operands() {
                uses[operand.index()] += 1;
            }
        }
        for operand in mir.blocks[block].end.operands() {
            uses[operand.index()] += 1;
        }
    }
    let mut work = mir.order();
    while let Some(block) = work.pop() {
        let [phi] = mir.blocks[block].body[..] else {
            continue;
        };
        let (End::Exit(verdict), Op::Phi(operands)) = (mir.blocks[block].end, mir.op(phi)) else {
            continue;
        };
        if verdict != phi || uses[phi.index()] != 1 {
            continue;
        }
        let ways: Vec<(usize, Value)> = mir.blocks[block]
            .before
            .iter()
            .copied()
            .zip(operands.iter().copied())
            .collect();
        for (from, operand) in ways {
            let is_phi = matches!(mir.op(operand), Op::Phi(_));
            match mir.blocks[from].end {
                End::Jump(_) if mir.constant(operand).is_some() || is_phi => {
                    cut(mir, from, block);
                    mir.blocks[from].end = End::Exit(operand);
                    work.push(from);
                }
                End::Branch(condition, yes, no) if mir.constant(operand).is_some() => {
                    cut(mir, from, block);
                    mir.blocks.push(super::mir::Block {
                        body: Vec::new(),
                        end: End::Exit(operand),
                        before: vec![from],
                    });
                    let new = mir.blocks.len() - 1;
                    let redirect = |to| if to == block { new } else { to };
                    mir.blocks[from].end = End::Branch(condition, redirect(yes), redirect(no));
                }
                _ => {}
            }
        }
        if mir.blocks[block].before.is_empty() {
            mir.blocks[block].body.clear();
            mir.blocks[block].end = End::Open;
        }
    }
}

/// Leaves out what nothing needs.
fn remove_unused(mir: &mut Mir) {
    let order = mir.order();
    let mut used = vec![false; mir.ops.len()];
    let mut work = Vec::new();
    for &block in &order {
        for &value in &mir.blocks[block].body {
            if !mir.op(value).is_removable() {
                work.push(value);
            }
        }
        work.extend(mir.blocks[block].end.operands());
    }
    while let Some(value) = work.pop() {
        if !std::mem::replace(&mut used[value.index()], true) {
            work.extend(mir.op(value).operands());
        }
    }
    for block in order {
        mir.blocks[block].body.retain(|value| used[value.index()]);
    }
}

/// Moves the loading of the packet's address to where all that use it come by, if it never changes.
fn sink_base(mir: &mut Mir) {
    if mir
        .ops
        .iter()
        .any(|op| matches!(op, Op::AdjustHead(_) | Op::AdjustTail(_)))
    {
        return;
    }
    let order = mir.order();
    let above = dominators(mir, &order);
    let mut depth = vec![0usize; mir.blocks.len()];
    for &block in order.iter().skip(1) {
        depth[block] = depth[above[block]] + 1;
    }
    let Some(&base) = mir.blocks[0]
        .body
        .iter()
        .find(|value| matches!(mir.op(**value), Op::Base))
    else {
        return;
    };
    let mut meeting: Option<usize> = None;
    for &block in &order {
        for &value in &mir.blocks[block].body {
            if !mir.op(value).operands().contains(&base) {
                continue;
            }
            if let Op::Phi(_) = mir.op(value) {
                return;
            }
            let mut at = block;
            if let Some(mut other) = meeting {
                while at != other {
                    if depth[at] >= depth[other] {
                        at = above[at];
                    } else {
                        other = above[other];
                    }
                }
            }
            meeting = Some(at);
        }
        if mir.blocks[block].end.operands().contains(&base) {
            return;
        }
    }
    let Some(to) = meeting.filter(|&to| to != 0) else {
        return;
    };
    mir.blocks[0].body.retain(|&value| value != base);
    let phis = mir.blocks[to]
        .body
        .iter()
        .take_while(|value| matches!(mir.op(**value), Op::Phi(_)))
        .count();
    mir.blocks[to].body.insert(phis, base);
}
