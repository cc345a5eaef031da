//! When a path need not be walked again: its state is contained in one that was walked to its end.

use super::marks::{Mark, Marks};
use super::range::Range;
use super::stack_object::has_other_objects;
use super::state::{Byte, Frame, SLOT, StackSlot, State};
use super::value::{Link, Pointer, Proved, Value};

/// How closely two states must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closeness {
    /// What mattered in the old state must be contained: the old one was walked to its end without a finding.
    Contained,
    /// All that can still be read must be contained, whether it mattered or not: the old one is still being walked.
    Within,
    /// All must be the same: nothing changes from one round of a loop to the next.
    Same,
}

/// Pairs of ids that have to correspond, one to one.
#[derive(Debug)]
struct Ids {
    pairs: Vec<(u32, u32)>,
    /// The last number given to a value without a link; real ids grow from the other end.
    alone: u32,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            pairs: Vec::new(),
            alone: u32::MAX,
        }
    }
}

impl Ids {
    fn correspond(&mut self, old: u32, new: u32) -> bool {
        if (old == 0) != (new == 0) {
            return false;
        }
        if old == 0 {
            return true;
        }
        for &(a, b) in &self.pairs {
            if a == old {
                return b == new;
            }
            if b == new {
                return false;
            }
        }
        self.pairs.push((old, new));
        true
    }

    /// The same for links: one in the old state may have carried knowledge from one register to another, so there has to
    /// be one in the new state (`check_scalar_ids`).
    fn links_correspond(&mut self, old: Link, new: Link) -> bool {
        if old.is_none() {
            return true;
        }
        if old.added != new.added {
            return false;
        }
        let new = if new.is_none() {
            self.alone -= 1;
            self.alone
        } else {
            new.id
        };
        self.correspond(old.id, new)
    }
}

/// Whether walking on from `new` at `slot` can find nothing that walking on from `old` did not. `live` has the
/// registers that can be read from each slot on; with `every_number`, numbers that mattered nowhere count, too.
pub(super) fn covers(
    marks: &Marks,
    live: &[u16],
    slot: usize,
    old: &State,
    new: &State,
    (closeness, every_number): (Closeness, bool),
) -> bool {
    if old.frames.len() != new.frames.len()
        || old.references.len() != new.references.len()
        || old.lock.is_some() != new.lock.is_some()
        || old.objects.rcu != new.objects.rcu
        || old.objects.no_preemption != new.objects.no_preemption
        || (new.objects.any && has_other_objects(old, new))
    {
        return false;
    }
    let mut compare = Compare {
        marks,
        closeness,
        every_number,
        ids: Ids::default(),
    };
    for (a, b) in old.references.iter().zip(&new.references) {
        if a.holding != b.holding || !compare.ids.correspond(a.id, b.id) {
            return false;
        }
    }
    if let (Some(a), Some(b)) = (old.lock, new.lock)
        && (a.0 != b.0 || !compare.ids.correspond(a.1, b.1))
    {
        return false;
    }
    old.frames
        .iter()
        .zip(&new.frames)
        .enumerate()
        .all(|(depth, (a, b))| {
            let at = old
                .frames
                .get(depth + 1)
                .map_or(slot, |inner| inner.call_site);
            compare.frame(a, b, live.get(at).copied().unwrap_or(u16::MAX))
        })
}

/// What mattered of `old` matters of `new`, which is not walked because of it; with `later`, also what will matter
/// from now on.
pub(super) fn inherit(marks: &mut Marks, old: &State, new: &State, later: bool) {
    for (old, new) in old.frames.iter().zip(&new.frames) {
        for (a, b) in old.registers.iter().zip(&new.registers) {
            marks.inherit(a.mark, b.mark, later);
        }
        for (a, b) in old.stack.iter().zip(&new.stack) {
            marks.inherit(a.mark, b.mark, later);
        }
    }
}

/// Whether the same functions were called from the same places.
pub(super) fn same_calls(old: &State, new: &State) -> bool {
    old.frames.len() == new.frames.len()
        && old
            .frames
            .iter()
            .zip(&new.frames)
            .all(|(a, b)| a.call_site == b.call_site)
}

/// Numbers of `new` that differ from those of `old` and mattered in neither may be anything.
pub(super) fn widen(marks: &mut Marks, old: &State, new: &mut State) {
    for (old, new) in old.frames.iter().zip(&mut new.frames) {
        for (a, b) in old.registers.iter().zip(&mut new.registers).take(10) {
            widen_value(marks, (&a.value, a.mark), (&mut b.value, &mut b.mark));
        }
        for (a, b) in old.stack.iter().zip(&mut new.stack) {
            if a.holds() && b.holds() {
                widen_value(marks, (&a.held, a.mark), (&mut b.held, &mut b.mark));
            }
        }
    }
}

fn widen_value(
    marks: &mut Marks,
    (old, old_mark): (&Value, Mark),
    (new, new_mark): (&mut Value, &mut Mark),
) {
    let Value::Number { range: before, .. } = old else {
        return;
    };
    if let Value::Number { range, link } = new
        && range != before
        && !marks.is_precise(old_mark)
        && !marks.is_precise(*new_mark)
    {
        *range = Range::UNKNOWN;
        *link = Link::NONE;
        *new_mark = marks.fresh();
    }
}

struct Compare<'a> {
    marks: &'a Marks,
    closeness: Closeness,
    /// See [`Rules::every_number_counts`](super::Rules::every_number_counts).
    every_number: bool,
    ids: Ids,
}

impl Compare<'_> {
    fn frame(&mut self, old: &Frame, new: &Frame, live: u16) -> bool {
        if old.function != new.function
            || old.call_site != new.call_site
            || old.callback_rounds > new.callback_rounds
        {
            return false;
        }
        // r10 is the same in both: nothing is ever written to it.
        for (index, (a, b)) in old
            .registers
            .iter()
            .zip(&new.registers)
            .enumerate()
            .take(10)
        {
            if self.closeness != Closeness::Same && live & (1 << index) == 0 {
                continue;
            }
            if !self.value(&a.value, &b.value, a.mark) {
                return false;
            }
        }
        if self.closeness == Closeness::Same && old.stack.len() != new.stack.len() {
            return false;
        }
        for (index, a) in old.stack.iter().enumerate() {
            if self.closeness == Closeness::Contained && !self.marks.is_read(a.mark) {
                continue;
            }
            let b = new.stack.get(index).unwrap_or(&StackSlot::EMPTY);
            if !self.slot(a, b) {
                return false;
            }
        }
        true
    }

    fn slot(&mut self, old: &StackSlot, new: &StackSlot) -> bool {
        if old.bytes == [Byte::Uninitialised; SLOT] {
            return self.closeness != Closeness::Same || new.bytes == old.bytes;
        }
        // Eight bytes of plain data are any number, and a number is data.
        if let (Some(a), Some(b)) = (as_number(old), as_number(new)) {
            return self.value(a, b, old.mark);
        }
        for (a, b) in old.bytes.iter().zip(&new.bytes) {
            let fits = match (a, b) {
                (Byte::Uninitialised, _) => self.closeness != Closeness::Same || a == b,
                (Byte::Data, Byte::Data | Byte::Zero) => {
                    self.closeness != Closeness::Same || a == b
                }
                _ => a == b,
            };
            if !fits {
                return false;
            }
        }
        !old.describes() || self.value(&old.held, &new.held, old.mark)
    }

    /// `mark` is the old value's.
    fn value(&mut self, old: &Value, new: &Value, mark: Mark) -> bool {
        match (old, new) {
            (Value::Uninitialised, _) => {
                self.closeness != Closeness::Same || *new == Value::Uninitialised
            }
            (Value::Number { range: a, link: x }, Value::Number { range: b, link: y }) => {
                match self.closeness {
                    Closeness::Same => {
                        a == b && x.added == y.added && self.ids.correspond(x.id, y.id)
                    }
                    Closeness::Contained if !self.every_number && !self.marks.is_precise(mark) => {
                        true
                    }
                    _ => a.contains(b) && self.ids.links_correspond(*x, *y),
                }
            }
            (Value::Pointer(a), Value::Pointer(b)) => {
                (self.closeness != Closeness::Same
                    || (a.variable == b.variable && a.proved == b.proved))
                    && self.pointer(a, b)
            }
            _ => false,
        }
    }

    fn pointer(&mut self, old: &Pointer, new: &Pointer) -> bool {
        let proved = match (old.proved, new.proved) {
            (Proved::Bytes(a), Proved::Bytes(b)) => a <= b,
            (a, b) => a == b,
        };
        // What differs most often comes first.
        proved
            && old.off == new.off
            && old.region == new.region
            && old.nullable == new.nullable
            && old.variable.contains(&new.variable)
            && self.ids.correspond(old.id, new.id)
            && self.ids.correspond(old.reference, new.reference)
    }
}

fn as_number(slot: &StackSlot) -> Option<&Value> {
    if slot.bytes == [Byte::Data; SLOT] {
        return Some(&Value::UNKNOWN);
    }
    (slot.holds_register() && slot.held.range().is_some()).then_some(&slot.held)
}
