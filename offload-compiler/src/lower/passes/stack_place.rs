//! Places on the stack, given anew: the frame becomes as small as it can be, as what is not needed at the same time shares a
//! place, and keys of map helpers come to its lower end, where a card finds them without being told.

use std::collections::HashMap;

use super::frame::{FRAME, LiveBytes, Part, Use, Uses, uses};
use crate::isa::{Instruction, Operand};
use crate::lower::program::{Op, Program};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "stack-places",
    allow: None,
    optimises: true,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    let Some(uses) = uses(program, context) else {
        return;
    };
    let objects = Objects::of(&uses);
    let Some(apart) = interferences(program, &uses, &objects) else {
        return;
    };
    let Some(shifts) = objects.placed(&uses, &apart) else {
        return;
    };
    if !context.permits(0) {
        return;
    }
    for (position, uses) in &uses {
        let step = &mut program[position.block].steps[position.index];
        let before = *step;
        for used in uses {
            let shift = |at: i64| objects.index(at).map_or(0, |object| shifts[object]);
            match (&mut step.op, *used) {
                (
                    Op::Plain(Instruction::Load { off, .. } | Instruction::Store { off, .. }),
                    Use::Direct((start, _), _),
                ) => *off += shift(start) as i16,
                (
                    Op::Plain(Instruction::Alu {
                        src: Operand::Imm(imm),
                        ..
                    }),
                    Use::Address(at),
                ) => *imm += shift(at) as i32,
                _ => {}
            }
        }
        let after = *step;
        if before != after {
            context.note(program, before.origin, &[before], &[after]);
        }
    }
}

/// Parts of the frame that belong together.
struct Objects(Vec<Part>);

impl Objects {
    fn of(uses: &Uses) -> Self {
        let mut parts: Vec<Part> = uses
            .values()
            .flatten()
            .filter_map(|used| used.access())
            .map(|(part, _)| part)
            .collect();
        parts.sort_unstable();
        let mut objects: Vec<Part> = Vec::new();
        for (start, end) in parts {
            match objects.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                _ => objects.push((start, end)),
            }
        }
        Self(objects)
    }

    /// The one that a byte is in.
    fn index(&self, at: i64) -> Option<usize> {
        self.0
            .iter()
            .position(|&(start, end)| (start..end).contains(&at))
    }

    /// By how much each moves; none where that is no better, or cannot be.
    fn placed(&self, uses: &Uses, apart: &[Vec<bool>]) -> Option<Vec<i64>> {
        let all = || uses.values().flatten();
        for used in all() {
            let inside = match *used {
                Use::Address(at) => self.index(at).is_some(),
                // An address of one object that is used for another cannot follow both.
                Use::Through(base, (start, _), _) => self.index(base) == self.index(start),
                _ => true,
            };
            if !inside {
                return None;
            }
        }
        let keys_at = |at: i64| {
            let key = |used: &&Use| matches!(used, Use::Key((start, _)) if *start == at);
            all().filter(key).count()
        };
        let wide = |&(start, end): &Part| {
            all()
                .filter_map(|used| used.access())
                .any(|((from, to), _)| to - from == 8 && start <= from && to <= end)
        };
        let align = |object: &Part| if wide(object) { 8 } else { 4 };
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        order.sort_by_key(|&object| {
            let (start, end) = self.0[object];
            (std::cmp::Reverse(keys_at(start)), start - end, start)
        });
        let mut places: HashMap<usize, Part> = HashMap::new();
        for &object in &order {
            let (start, end) = self.0[object];
            let (len, align) = (end - start, align(&self.0[object]));
            let free = (0..FRAME).find(|&at| {
                (at - start) % align == 0
                    && places.iter().all(|(&other, &(from, to))| {
                        !apart[object][other] || at + len <= from || to <= at
                    })
            })?;
            places.insert(object, (free, free + len));
        }
        // Frames are counted in whole slots (`grow_stack_state` of the kernel's verifier, Linux 6.12).
        let up = |bytes: i64| (bytes + 7) / 8 * 8;
        let height = up(places.values().map(|&(_, to)| to).max()?);
        let shifts: Vec<i64> = (0..self.0.len())
            .map(|object| places[&object].0 - height - self.0[object].0)
            .collect();
        let bottom = self.0.first()?.0;
        let depth = up(-bottom);
        let before = keys_at(-depth);
        let after: usize = (0..self.0.len())
            .filter(|&object| self.0[object].0 + shifts[object] == -height)
            .map(|object| keys_at(self.0[object].0))
            .sum();
        let better = (after, -height) > (before, -depth) && height <= depth;
        better.then_some(shifts)
    }
}

/// Which objects are needed at the same time; none where something may be read that was never written.
fn interferences(program: &Program, uses: &Uses, objects: &Objects) -> Option<Vec<Vec<bool>>> {
    let live = LiveBytes::of(program, uses);
    if !live.entry.is_empty() || objects.0.iter().any(|part| part.0 < -FRAME || part.1 > 0) {
        return None;
    }
    let count = objects.0.len();
    let mut apart = vec![vec![false; count]; count];
    for (at, after) in &live.after {
        let accesses = uses.get(at).into_iter().flatten();
        for (part, writes) in accesses.filter_map(|used| used.access()) {
            if !writes {
                continue;
            }
            let own = objects.index(part.0)?;
            for (other, &part) in objects.0.iter().enumerate() {
                if other != own && after.meet(part) {
                    apart[own][other] = true;
                    apart[other][own] = true;
                }
            }
        }
    }
    Some(apart)
}
