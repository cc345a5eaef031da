//! What is decided before the first operation: values that become part of their users.

use super::{Binary, NEAR_WORDS, Op, Selection, ShiftKind, Value};

impl Selection<'_> {
    pub(super) fn count(&mut self, order: &[usize]) {
        for &block in order {
            let block_data = &self.mir.blocks[block];
            for &value in &block_data.body {
                self.values[value.index()].home = block;
                let values = &mut self.values;
                (self.mir.op(value)).each_operand(|operand| values[operand.index()].uses += 1);
            }
            let values = &mut self.values;
            (block_data.end).each_operand(|operand| values[operand.index()].uses += 1);
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
                            && self.values[candidate.index()].uses == 1
                            && self.values[candidate.index()].home == block
                            && a != b
                        {
                            self.values[candidate.index()].fused = true;
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
                    while self.values[candidate.index()].uses == 1
                        && self.values[candidate.index()].home == block
                        && position[candidate.index()] == before
                        && !self.values[candidate.index()].fused
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
                        self.values[candidate.index()].sunk = true;
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
        // How many calls of its block each value comes after.
        let mut calls_before = vec![0u32; mir.ops.len()];
        let mut calls = vec![0u32; mir.blocks.len()];
        for &block in order {
            for &value in &mir.blocks[block].body {
                calls_before[value.index()] = calls[block];
                calls[block] += u32::from(matches!(mir.op(value), Op::Call(_)));
            }
        }
        if calls.iter().all(|&calls| calls == 0) {
            return;
        }
        // Where each word is used: the block, and how many of its calls are before.
        let mut uses: Vec<(Value, usize, u32)> = Vec::new();
        let mut used = |value: Value, block: usize, calls: u32| {
            if let Op::Word(..) = mir.op(value) {
                uses.push((value, block, calls));
            }
        };
        for &block in order {
            let data = &mir.blocks[block];
            for &value in &data.body {
                if let Op::Phi(operands) = mir.op(value) {
                    for (&from, &operand) in data.before.iter().zip(operands) {
                        used(operand, from, calls[from]);
                    }
                    continue;
                }
                let at = calls_before[value.index()];
                mir.op(value).each_operand(|operand| {
                    used(operand, block, at);
                    // What is part of its user reads its operands there.
                    if self.values[operand.index()].fused {
                        mir.op(operand).each_operand(|inner| used(inner, block, at));
                    }
                });
            }
            data.end
                .each_operand(|operand| used(operand, block, calls[block]));
        }
        uses.sort_unstable();
        let mut seen = vec![Value(u32::MAX); mir.blocks.len()];
        let mut work = Vec::new();
        for (word, block, before) in uses {
            let (home, from) = (self.values[word.index()].home, calls_before[word.index()]);
            if block == home && before >= from {
                self.values[word.index()].crosses |= before > from;
                continue;
            }
            // Upwards from the use to where it was read.
            self.values[word.index()].crosses |= before > 0 || calls[home] > from;
            work.push(block);
            while let Some(block) = work.pop() {
                for &above in &mir.blocks[block].before {
                    if above == home || std::mem::replace(&mut seen[above], word) == word {
                        continue;
                    }
                    self.values[word.index()].crosses |= calls[above] > 0;
                    work.push(above);
                }
            }
        }
    }
}
