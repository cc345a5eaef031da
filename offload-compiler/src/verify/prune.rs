//! When a path need not be walked again: its state is contained in one that was walked to its end.

use super::marks::Marks;
use super::state::{Byte, Frame, SLOT, StackSlot, State};
use super::value::{Pointer, Proved, Value};

/// How closely two states must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closeness {
    /// What mattered in the old state must be contained: the old one was walked to its end without a finding.
    Contained,
    /// All numbers must be contained, whether they mattered or not: the old one is still being walked.
    Within,
    /// All must be the same: nothing changes from one round of a loop to the next.
    Same,
}

/// Pairs of ids that have to correspond, one to one.
#[derive(Debug, Default)]
struct Ids {
    pairs: Vec<(u32, u32)>,
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
}

/// Whether walking on from `new` can find nothing that walking on from `old` did not.
pub(super) fn covers(marks: &Marks, old: &State, new: &State, closeness: Closeness) -> bool {
    if old.frames.len() != new.frames.len()
        || old.references.len() != new.references.len()
        || old.lock.is_some() != new.lock.is_some()
    {
        return false;
    }
    let mut compare = Compare {
        marks,
        closeness,
        ids: Ids::default(),
        links: Ids::default(),
    };
    for (a, b) in old.references.iter().zip(&new.references) {
        if !compare.ids.correspond(a.id, b.id) {
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
        .all(|(old, new)| compare.frame(old, new))
}

/// What mattered of `old` matters of `new`, which is not walked because of it.
pub(super) fn inherit(marks: &mut Marks, old: &State, new: &State) {
    for (old, new) in old.frames.iter().zip(&new.frames) {
        for (a, b) in old.registers.iter().zip(&new.registers) {
            marks.inherit(a.mark, b.mark);
        }
        for (a, b) in old.stack.iter().zip(&new.stack) {
            marks.inherit(a.mark, b.mark);
        }
    }
}

struct Compare<'a> {
    marks: &'a Marks,
    closeness: Closeness,
    ids: Ids,
    links: Ids,
}

impl Compare<'_> {
    fn frame(&mut self, old: &Frame, new: &Frame) -> bool {
        if old.function != new.function || old.call_site != new.call_site {
            return false;
        }
        for (a, b) in old.registers.iter().zip(&new.registers) {
            if self.closeness == Closeness::Contained && !self.marks.is_read(a.mark) {
                continue;
            }
            let precise = self.marks.is_precise(a.mark);
            if !self.value(&a.value, &b.value, precise) {
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
            let b = new.stack.get(index).copied().unwrap_or(StackSlot::EMPTY);
            if !self.slot(a, &b) {
                return false;
            }
        }
        true
    }

    fn slot(&mut self, old: &StackSlot, new: &StackSlot) -> bool {
        let precise = self.marks.is_precise(old.mark);
        if old.bytes == [Byte::Uninitialised; SLOT] {
            return self.closeness != Closeness::Same || new.bytes == old.bytes;
        }
        // Eight bytes of plain data are any number, and a number is data.
        if let (Some(a), Some(b)) = (as_number(old), as_number(new)) {
            return self.value(&a, &b, precise);
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
        old.held_bytes() == 0 || self.value(&old.held, &new.held, precise)
    }

    fn value(&mut self, old: &Value, new: &Value, precise: bool) -> bool {
        if self.closeness == Closeness::Same {
            return match (old, new) {
                (Value::Number { range: a, link: x }, Value::Number { range: b, link: y }) => {
                    a == b && self.links.correspond(*x, *y)
                }
                (Value::Pointer(a), Value::Pointer(b)) => {
                    a.variable == b.variable && a.proved == b.proved && self.pointer(a, b)
                }
                (a, b) => a == b,
            };
        }
        match (old, new) {
            (Value::Uninitialised, _) => true,
            (Value::Number { range: a, link: x }, Value::Number { range: b, link: y }) => {
                if !precise && self.closeness == Closeness::Contained {
                    return true;
                }
                // A link in the old state may have carried knowledge from one register to another.
                a.contains(b) && (*x == 0 || self.links.correspond(*x, *y))
            }
            (Value::Pointer(a), Value::Pointer(b)) => self.pointer(a, b),
            _ => false,
        }
    }

    fn pointer(&mut self, old: &Pointer, new: &Pointer) -> bool {
        let proved = match (old.proved, new.proved) {
            (Proved::Bytes(a), Proved::Bytes(b)) => a <= b,
            (a, b) => a == b,
        };
        proved
            && old.region == new.region
            && old.nullable == new.nullable
            && old.off == new.off
            && old.variable.contains(&new.variable)
            && self.ids.correspond(old.id, new.id)
            && self.ids.correspond(old.reference, new.reference)
    }
}

fn as_number(slot: &StackSlot) -> Option<Value> {
    if slot.bytes == [Byte::Data; SLOT] {
        return Some(Value::UNKNOWN);
    }
    (slot.holds_register() && slot.held.range().is_some()).then_some(slot.held)
}
