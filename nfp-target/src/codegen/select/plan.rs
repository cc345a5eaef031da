//! What is decided before the first operation: values that become part of their users.

use super::{BTreeSet, Binary, NEAR_WORDS, Op, Selection, ShiftKind, Value};

impl Selection<'_> {
    pub(super) fn count(&mut self, order: &[usize]) {
        for &block in order {
            let block_data = &self.mir.blocks[block];
            for &value in &block_data.body {
                self.home[value.index()] = block;
                for operand in self.mir.op(value).operands() {
                    self.uses[operand.index()] += 1;
                }
            }
            for operand in block_data.end.operands() {
                self.uses[operand.index()] += 1;
            }
        }
        for &block in order {
            for &value in &self.mir.blocks[block].body {
                if let Op::Binary(Binary::Or | Binary::And, a, b) = *self.mir.op(value) {
                    for candidate in [b, a] {
                        let fits = matches!(
                            self.mir.op(candidate),
                            Op::Shift(ShiftKind::Left | ShiftKind::Right | ShiftKind::Rotate, ..)
                        );
                        if fits
                            && self.uses[candidate.index()] == 1
                            && self.home[candidate.index()] == block
                            && a != b
                        {
                            self.fused[candidate.index()] = true;
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Values that are written or passed on once, and are computed right there.
    pub(super) fn find_sunk(&mut self, order: &[usize]) {
        let mir = self.mir;
        let mut position = vec![0; mir.ops.len()];
        for &block in order {
            let body = &mir.blocks[block].body;
            let mut calls = 0;
            for &value in body {
                // Nothing is moved over a call.
                calls += u32::from(matches!(mir.op(value), Op::Call(_)));
                position[value.index()] = calls;
            }
            for &user in body {
                let position_here = position[user.index()];
                // Transfer registers are written towards memory and read from it: they cannot be changed in part.
                let (words, before, in_part) = match mir.op(user) {
                    Op::Write { words, .. } => (words.clone(), position_here, false),
                    Op::AddMemory { value, wide, .. } if !self.is_short(*value, *wide) => {
                        (value.to_vec(), position_here, false)
                    }
                    Op::Call(call) => (
                        call.key
                            .iter()
                            .chain(&call.value)
                            .take(NEAR_WORDS)
                            .copied()
                            .collect(),
                        position_here - 1,
                        true,
                    ),
                    _ => continue,
                };
                for word in words {
                    let mut candidate = word;
                    while self.uses[candidate.index()] == 1
                        && self.home[candidate.index()] == block
                        && position[candidate.index()] == before
                        && !self.fused[candidate.index()]
                        && (in_part || !matches!(mir.op(candidate), Op::Insert { .. }))
                        && matches!(
                            mir.op(candidate),
                            Op::Binary(
                                Binary::Add | Binary::Sub | Binary::And | Binary::Or | Binary::Xor,
                                ..
                            ) | Op::Shift(..)
                                | Op::Field { .. }
                                | Op::Double(..)
                                | Op::Insert { .. }
                        )
                    {
                        self.sunk[candidate.index()] = true;
                        match *mir.op(candidate) {
                            Op::Insert { old, .. } => candidate = old,
                            _ => break,
                        }
                    }
                }
            }
        }
    }

    /// Whether a number to add fits 16 bits.
    pub(super) fn is_short(&self, value: [Value; 2], wide: bool) -> bool {
        self.mir.zeros(value[0]) >> 16 == 0xffff && (!wide || self.mir.zeros(value[1]) == u32::MAX)
    }

    /// Words of reads that are used beyond a call.
    pub(super) fn find_crossing(&mut self, order: &[usize]) {
        let mir = self.mir;
        let is_word = |value: Value| matches!(mir.op(value), Op::Word(..));
        // Live words at each block's end, until nothing changes.
        let mut live: Vec<BTreeSet<Value>> = vec![BTreeSet::default(); mir.blocks.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for &block in order.iter().rev() {
                let mut now = live[block].clone();
                for operand in mir.blocks[block].end.operands() {
                    if is_word(operand) {
                        now.insert(operand);
                    }
                }
                for &value in mir.blocks[block].body.iter().rev() {
                    now.remove(&value);
                    match mir.op(value) {
                        Op::Phi(_) => continue,
                        Op::Call(_) => {
                            for word in &now {
                                self.crossing[word.index()] = true;
                            }
                        }
                        _ => {}
                    }
                    for operand in mir.op(value).operands() {
                        if is_word(operand) {
                            now.insert(operand);
                        }
                        // What is part of its user reads its operands there.
                        if self.fused[operand.index()] {
                            now.extend(
                                mir.op(operand)
                                    .operands()
                                    .into_iter()
                                    .filter(|&inner| is_word(inner)),
                            );
                        }
                    }
                }
                for (index, &before) in mir.blocks[block].before.iter().enumerate() {
                    for &word in &now {
                        changed |= live[before].insert(word);
                    }
                    for &value in &mir.blocks[block].body {
                        if let Op::Phi(operands) = mir.op(value)
                            && let Some(&operand) = operands.get(index)
                            && is_word(operand)
                        {
                            changed |= live[before].insert(operand);
                        }
                    }
                }
            }
        }
    }
}
