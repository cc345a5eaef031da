//! Fewer and simpler values.

use foldhash::HashMap;

use super::branches::{branches, exits};
use super::dominance::Dominance;
use super::fold::{Folded, fold, fold_bytes, zeros};
use super::merge;
use super::mir::{Mir, Op, Value};

/// Rounds of simplification: what one round finds, the next one uses.
const ROUNDS: usize = 3;
/// Makes a program simpler. Without `optimise`, only what is never used is left out. `merge` is how many words of memory
/// may be read at once. The blocks that are reached, in reverse postorder.
pub(super) fn simplify(mir: &mut Mir, optimise: bool, merge: u8) -> Vec<usize> {
    let mut order = mir.order();
    trivial_phis(mir, &order);
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
        order = mir.order();
    }
    remove_unused(mir, &order);
    order
}

fn round(mir: &mut Mir) {
    values(mir);
    branches(mir);
    trivial_phis(mir, &mir.order());
    exits(mir);
    remove_unused(mir, &mir.order());
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
fn trivial_phis(mir: &mut Mir, order: &[usize]) {
    loop {
        let mut replaced = Replaced::new(mir);
        let mut found = false;
        for &block in order {
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

fn constants(mir: &Mir) -> HashMap<u32, Value> {
    let mut constants = HashMap::default();
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
    let dominance = Dominance::new(mir, &order);
    let mut position = vec![usize::MAX; mir.blocks.len()];
    for (at, &block) in order.iter().enumerate() {
        position[block] = at;
    }
    let mut constants = constants(mir);
    let mut replaced = Replaced::new(mir);
    let mut known: HashMap<Op, Vec<(usize, Value)>> = HashMap::default();
    for &block in &order {
        for index in 0..mir.blocks[block].body.len() {
            let value = mir.blocks[block].body[index];
            mir.ops[value.index()].map_operands(|operand| *operand = replaced.of(*operand));
            if matches!(mir.op(value), Op::Phi(_)) {
                phi_zeros(mir, value, &position, block);
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
                match same
                    .iter()
                    .find(|(home, _)| dominance.dominates(*home, block))
                {
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
fn phi_zeros(mir: &mut Mir, phi: Value, position: &[usize], block: usize) {
    let from_above =
        (mir.blocks[block].before.iter()).all(|&from| position[from] < position[block]);
    if let (true, Op::Phi(operands)) = (from_above, mir.op(phi)) {
        let zeros = operands
            .iter()
            .fold(u32::MAX, |zeros, &operand| zeros & mir.zeros(operand));
        mir.zeros[phi.index()] |= zeros;
    }
}

/// Leaves out what nothing needs.
fn remove_unused(mir: &mut Mir, order: &[usize]) {
    let mut used = vec![false; mir.ops.len()];
    let mut work = Vec::new();
    for &block in order {
        for &value in &mir.blocks[block].body {
            if !mir.op(value).is_removable() {
                work.push(value);
            }
        }
        (mir.blocks[block].end).each_operand(|operand| work.push(operand));
    }
    while let Some(value) = work.pop() {
        if !std::mem::replace(&mut used[value.index()], true) {
            mir.op(value).each_operand(|operand| work.push(operand));
        }
    }
    for &block in order {
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
    let above = Dominance::new(mir, &order).above;
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
            if !mir.op(value).takes(base) {
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
        let mut at_end = false;
        (mir.blocks[block].end).each_operand(|operand| at_end |= operand == base);
        if at_end {
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
