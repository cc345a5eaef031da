//! Objects of the kernel that programs keep on their stack: dynptrs and iterators. Only the kernel reads and changes
//! them; a program passes their address (`STACK_DYNPTR` and `STACK_ITER`, kernel/bpf/verifier.c, Linux 6.18).
//!
//! Each of the object's slots holds an address in [`Region::StackObject`] in place of a saved register. All slots of one
//! object have its id; an iterator has to be given back, so it has a reference too.

use super::explore::{Step, Walk};
use super::finding::{Code, Finding};
use super::marks::Mark;
use super::state::{Byte, Holding, Reference, SLOT, StackSlot, State};
use super::value::{Pointer, Region, Value};

/// The slots of a dynptr (`BPF_DYNPTR_NR_SLOTS`).
const DYNPTR_SLOTS: usize = 2;

/// What a slot is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum StackObject {
    /// A dynptr to the packet.
    PacketDynptr {
        /// Index of this slot in the object, from the lowest address.
        part: u8,
    },
    /// An iterator.
    Iterator {
        /// Of what.
        kind: IteratorKind,
        /// It has given its last element.
        drained: bool,
        /// Index of this slot in the object, from the lowest address.
        part: u8,
    },
}

/// The iterators that XDP programs can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum IteratorKind {
    /// `struct bpf_iter_num`
    Numbers,
    /// `struct bpf_iter_bits`
    Bits,
}

impl IteratorKind {
    /// The iterator whose state is kept in this structure.
    pub(super) fn of_structure(name: &str) -> Option<Self> {
        match name {
            "bpf_iter_num" => Some(Self::Numbers),
            "bpf_iter_bits" => Some(Self::Bits),
            _ => None,
        }
    }

    /// Slots of stack that the state takes.
    pub(super) const fn slots(self) -> usize {
        match self {
            Self::Numbers => 1,
            Self::Bits => 2,
        }
    }
}

impl StackObject {
    fn part(self) -> usize {
        match self {
            Self::PacketDynptr { part } | Self::Iterator { part, .. } => part.into(),
        }
    }

    fn slots(self) -> usize {
        match self {
            Self::PacketDynptr { .. } => DYNPTR_SLOTS,
            Self::Iterator { kind, .. } => kind.slots(),
        }
    }

    fn with_part(self, part: usize) -> Self {
        let part = part as u8;
        match self {
            Self::PacketDynptr { .. } => Self::PacketDynptr { part },
            Self::Iterator { kind, drained, .. } => Self::Iterator {
                kind,
                drained,
                part,
            },
        }
    }
}

/// Where an object lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The frame's depth.
    pub depth: u8,
    /// The lowest byte, relative to the frame pointer; a multiple of 8.
    pub off: i32,
}

/// An object that was found on the stack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// Where.
    pub place: Place,
    /// What.
    pub object: StackObject,
    /// Its id.
    pub id: u32,
    /// What has to be given back; 0 for none.
    pub reference: u32,
}

fn object_in(slot: &StackSlot) -> Option<(StackObject, &Pointer)> {
    if slot.bytes[0] != Byte::Object {
        return None;
    }
    match &slot.held {
        Value::Pointer(pointer) => match pointer.region {
            Region::StackObject(object) => Some((object, pointer)),
            _ => None,
        },
        _ => None,
    }
}

impl Walk<'_> {
    /// Where an argument points, as the place of an object of `slots` slots.
    pub(super) fn object_place(
        &mut self,
        state: &State,
        slot: usize,
        pointer: &Pointer,
        slots: usize,
        mark: Mark,
        what: &str,
    ) -> Step<Place> {
        let refuse = |why: &str| {
            Err(Box::new(
                Finding::error(Code::HelperArgument, slot, format!("{what} {why}"))
                    .knowing(format!("the pointer is {pointer}")),
            ))
        };
        if !matches!(pointer.region, Region::Stack(_)) {
            return refuse("has to be on the stack");
        }
        if pointer.nullable || pointer.variable.as_constant().is_none() {
            return refuse("has to be at a known place");
        }
        let bytes = (slots * SLOT) as u32;
        let (depth, low, _) = self.helper_stack_span(state, slot, pointer, bytes, mark)?;
        if low % SLOT as i32 != 0 {
            return refuse("has to lie on a multiple of 8 bytes");
        }
        Ok(Place { depth, off: low })
    }

    /// Puts an object on the stack; what was there before is overwritten as by a store.
    pub(super) fn make_object(
        &mut self,
        state: &mut State,
        slot: usize,
        place: Place,
        object: StackObject,
        reference: u32,
    ) -> Step<u32> {
        let slots = object.slots();
        let high = place.off + (slots * SLOT) as i32;
        self.overwrite_objects(state, slot, place.depth, place.off, high)?;
        state.objects.any = true;
        let id = self.new_id();
        for part in 0..slots {
            let mark = self.marks.fresh();
            let off = place.off + (part * SLOT) as i32;
            let frame = &mut state.frames[usize::from(place.depth)];
            *frame.slot_mut(off) = StackSlot {
                bytes: [Byte::Object; SLOT],
                held: Value::Pointer(Pointer {
                    id,
                    reference,
                    ..Pointer::to(Region::StackObject(object.with_part(part)))
                }),
                mark,
            };
        }
        Ok(id)
    }

    /// The whole object at a place, looked at; `None` where there is none.
    pub(super) fn object_at(&mut self, state: &State, place: Place) -> Option<Found> {
        let frame = state.frames.get(usize::from(place.depth))?;
        let (object, pointer) = object_in(frame.slot_ref(place.off))?;
        if object.part() != 0 {
            return None;
        }
        for part in 0..object.slots() {
            let stack_slot = frame.slot_ref(place.off + (part * SLOT) as i32);
            let (other, other_pointer) = object_in(stack_slot)?;
            if other != object.with_part(part) || other_pointer.id != pointer.id {
                return None;
            }
            self.marks.read(stack_slot.mark);
            self.marks.precise(stack_slot.mark);
        }
        Some(Found {
            place,
            object,
            id: pointer.id,
            reference: pointer.reference,
        })
    }

    /// The iterator has given its last element.
    pub(super) fn drain(&mut self, state: &mut State, found: &Found) {
        for part in 0..found.object.slots() {
            let off = found.place.off + (part * SLOT) as i32;
            let stack_slot = state.frames[usize::from(found.place.depth)].slot_mut(off);
            if let Value::Pointer(pointer) = &mut stack_slot.held
                && let Region::StackObject(StackObject::Iterator { drained, .. }) =
                    &mut pointer.region
            {
                *drained = true;
            }
            stack_slot.mark = self.marks.same(stack_slot.mark);
        }
    }

    /// The object is no more; its bytes are as if nothing had been written there.
    pub(super) fn remove_object(&mut self, state: &mut State, found: &Found) {
        for part in 0..found.object.slots() {
            let off = found.place.off + (part * SLOT) as i32;
            *state.frames[usize::from(found.place.depth)].slot_mut(off) = StackSlot {
                mark: self.marks.fresh(),
                ..StackSlot::EMPTY
            };
        }
        if found.reference != 0 {
            state.references.retain(|known| known.id != found.reference);
        }
        let (id, leaks_allowed) = (found.id, self.input.rules.leaks_allowed);
        state.forget_pointers(leaks_allowed, |pointer| pointer.reference == id);
    }

    /// Bytes of stack are about to be written: a dynptr there is no more (`destroy_if_dynptr_stack_slot`), and an
    /// iterator could never be given back.
    pub(super) fn overwrite_objects(
        &mut self,
        state: &mut State,
        slot: usize,
        depth: u8,
        low: i32,
        high: i32,
    ) -> Step<()> {
        if !state.objects.any {
            return Ok(());
        }
        let mut off = low - low.rem_euclid(SLOT as i32);
        while off < high {
            let frame = &state.frames[usize::from(depth)];
            if let Some((object, _)) = object_in(frame.slot_ref(off)) {
                let place = Place {
                    depth,
                    off: off - (object.part() * SLOT) as i32,
                };
                let found = self.object_at(state, place);
                match (object, found) {
                    (StackObject::PacketDynptr { .. }, Some(found)) => {
                        self.remove_object(state, &found);
                    }
                    _ => return Err(object_touched(slot, "an iterator is overwritten")),
                }
            }
            off += SLOT as i32;
        }
        Ok(())
    }

    /// A new reference.
    pub(super) fn new_reference(
        &mut self,
        state: &mut State,
        slot: usize,
        holding: Holding,
    ) -> u32 {
        let id = self.new_id();
        state.references.push(Reference {
            id,
            acquired_at: slot,
            holding,
        });
        id
    }

    /// Something is given back: its addresses lead nowhere any more.
    pub(super) fn give_back(&mut self, state: &mut State, reference: u32) {
        state.references.retain(|known| known.id != reference);
        let leaks_allowed = self.input.rules.leaks_allowed;
        state.forget_pointers(leaks_allowed, |pointer| pointer.reference == reference);
    }
}

/// A helper fills these bytes: it may not find an object there.
pub(super) fn refuse_objects(
    state: &State,
    slot: usize,
    depth: u8,
    low: i32,
    high: i32,
) -> Step<()> {
    let touched = state.objects.any
        && (low..high)
            .any(|off| object_in(state.frames[usize::from(depth)].slot_ref(off)).is_some());
    if touched {
        return Err(object_touched(
            slot,
            "a dynptr or an iterator is given as memory",
        ));
    }
    Ok(())
}

/// A program has no business in the bytes of a kernel object.
#[allow(clippy::unnecessary_box_returns, reason = "what a step returns")]
pub(super) fn object_touched(slot: usize, what: &str) -> Box<Finding> {
    Box::new(
        Finding::error(Code::AccessKind, slot, what)
            .help("only kernel functions may read or change a dynptr or an iterator; give it a variable of its own"),
    )
}

/// Whether both states hold the same unfinished iterator where their r1 points.
pub(super) fn same_iterator_goes_on(old: &State, new: &State) -> bool {
    let iterator = |state: &State| {
        let pointer = *state.register(crate::isa::Reg::R1).value.pointer()?;
        let Region::Stack(depth) = pointer.region else {
            return None;
        };
        let off = i64::from(pointer.off) + pointer.variable.as_constant()? as i64;
        let off = i32::try_from(off)
            .ok()
            .filter(|off| (-512..0).contains(off))?;
        match object_in(state.frames.get(usize::from(depth))?.slot_ref(off))? {
            (StackObject::Iterator { drained: false, .. }, pointer) => {
                Some((depth, off, pointer.id))
            }
            _ => None,
        }
    };
    matches!((iterator(old), iterator(new)), (Some(a), Some(b)) if a == b)
}

/// Whether an object lies in a slot of the new state where the old one has none: a write that was harmless on the old
/// path would destroy it.
pub(super) fn has_other_objects(old: &State, new: &State) -> bool {
    old.frames.iter().zip(&new.frames).any(|(old, new)| {
        new.stack.iter().enumerate().any(|(index, slot)| {
            slot.bytes[0] == Byte::Object
                && old
                    .stack
                    .get(index)
                    .is_none_or(|old| old.bytes[0] != Byte::Object)
        })
    })
}
