//! The stack: 512 bytes a frame in slots of eight, where registers can be saved.

use super::explore::{Step, Walk};
use super::finding::{Code, Finding};
use super::marks::Mark;
use super::range::Range;
use super::stack_object::object_touched;
use super::state::{Byte, MAX_STACK, SLOT, State, byte_index};
use super::tnum::Tnum;
use super::value::{Link, Pointer, Region, Tracked, Value};

impl Walk<'_> {
    /// The lowest byte of an access and the first one above it, relative to the frame pointer
    /// (`check_stack_access_within_bounds`).
    fn stack_span(
        &mut self,
        slot: usize,
        pointer: &Pointer,
        off: i32,
        bytes: u32,
        mark: Mark,
    ) -> Step<(i32, i32)> {
        self.need(mark);
        let fixed = i64::from(pointer.off) + i64::from(off);
        let refuse = |message: String| {
            Err(Box::new(
                Finding::error(Code::StackBounds, slot, message)
                    .knowing(format!("the pointer is {pointer}"))
                    .help("a frame has 512 bytes; larger data belongs into a per-CPU array map"),
            ))
        };
        let variable = pointer.variable;
        if variable.as_constant().is_none()
            && (variable.s64.0 <= -(1 << 29) || variable.s64.1 >= 1 << 29)
        {
            return refuse("the stack is accessed at an unbounded offset".to_owned());
        }
        let low = fixed.saturating_add(variable.s64.0);
        let high = fixed.saturating_add(variable.s64.1) + i64::from(bytes);
        if low < i64::from(-MAX_STACK) || low > -1 || high > 0 {
            return refuse(format!(
                "{bytes} bytes at {} of the frame pointer lie outside of the stack",
                if low == high - i64::from(bytes) {
                    format!("offset {low}")
                } else {
                    format!("offsets {low} to {}", high - i64::from(bytes))
                }
            ));
        }
        Ok((low as i32, high as i32))
    }

    fn note_stack(&mut self, state: &State, frame: u8, low: i32) {
        if let Some(frame) = state.frames.get(frame as usize) {
            self.note_depth(frame.function, low);
        }
    }

    /// What the stack holds at a pointer.
    pub(super) fn read_stack_at(
        &mut self,
        state: &mut State,
        slot: usize,
        pointer: &Pointer,
        off: i32,
        bytes: u32,
        mark: Mark,
    ) -> Step<Tracked> {
        let Region::Stack(depth) = pointer.region else {
            return Ok(Tracked::UNINITIALISED);
        };
        check_stack_alignment(slot, pointer, off, bytes)?;
        let (low, high) = self.stack_span(slot, pointer, off, bytes, mark)?;
        self.note_stack(state, depth, low);
        if pointer.variable.as_constant().is_some() {
            return self.read_slot(state, slot, depth, low, bytes);
        }
        let zero = self.read_stack_bytes(state, slot, depth, low, high, "")?;
        Ok(Tracked {
            value: if zero {
                Value::constant(0)
            } else {
                Value::UNKNOWN
            },
            mark: self.marks.fresh(),
        })
    }

    fn read_slot(
        &mut self,
        state: &mut State,
        slot: usize,
        depth: u8,
        low: i32,
        bytes: u32,
    ) -> Step<Tracked> {
        let stack_slot = state.frames[depth as usize].slot(low);
        let start = byte_index(low);
        let held = stack_slot.held_bytes();
        let whole = held == SLOT && bytes as usize == SLOT;
        if held > 0 && !whole && stack_slot.held.range().is_none() {
            return Err(Box::new(
                Finding::error(Code::SpillSize, slot, "a part of a saved pointer is read")
                    .help("read all eight bytes, at the place where they were written"),
            ));
        }
        if whole || (held > 0 && start == 0 && bytes as usize <= held) {
            self.marks.read(stack_slot.mark);
            let mark = self.marks.computed(stack_slot.mark, Mark::NONE);
            let mut value = stack_slot.held;
            if let Value::Number { range, link } = &mut value
                && !fits_in(range, bytes)
            {
                // A part of a number is another number.
                *link = Link::NONE;
            }
            return Ok(Tracked { value, mark });
        }
        let zero = self.read_stack_bytes(state, slot, depth, low, low + bytes as i32, "")?;
        let zero_held = held > 0
            && stack_slot.bytes[start..start + bytes as usize]
                .iter()
                .all(|&byte| byte == Byte::Held)
            && stack_slot.held.range().and_then(Range::as_constant) == Some(0);
        let mark = if zero_held {
            self.marks.computed(stack_slot.mark, Mark::NONE)
        } else {
            self.marks.fresh()
        };
        Ok(Tracked {
            value: if zero || zero_held {
                Value::constant(0)
            } else {
                Value::UNKNOWN
            },
            mark,
        })
    }

    /// Reads bytes as data; true if all were cleared. `what` names the reader in messages.
    pub(super) fn read_stack_bytes(
        &mut self,
        state: &State,
        slot: usize,
        depth: u8,
        low: i32,
        high: i32,
        what: &str,
    ) -> Step<bool> {
        let mut zero = true;
        let mut missing: Option<(i32, i32)> = None;
        for off in low..high {
            let stack_slot = state.frames[depth as usize].slot_ref(off);
            self.marks.read(stack_slot.mark);
            match stack_slot.bytes[byte_index(off)] {
                Byte::Zero => {}
                Byte::Data => zero = false,
                Byte::Object => {
                    return Err(object_touched(
                        slot,
                        "the bytes of a dynptr or an iterator are read",
                    ));
                }
                Byte::Held => {
                    zero = false;
                    if stack_slot.held.pointer().is_some() && !self.input.rules.leaks_allowed {
                        return Err(Box::new(Finding::error(
                            Code::PointerLeak,
                            slot,
                            "a saved pointer would be read as data",
                        )));
                    }
                }
                Byte::Uninitialised => {
                    zero = false;
                    let (from, _) = missing.unwrap_or((off, off));
                    missing = Some((from, off));
                }
            }
        }
        if let Some((from, to)) = missing
            && !(self.input.rules.uninitialised_stack_allowed
                && self.warned(slot, Code::UninitialisedStack))
        {
            let reader = if what.is_empty() { "this read" } else { what };
            let finding = Finding::error(
                Code::UninitialisedStack,
                slot,
                format!("{reader} sees stack bytes that nothing was written to"),
            )
            .knowing(format!(
                "bytes {from} to {to} of the frame pointer are uninitialised, {} of {} bytes read",
                to - from + 1,
                high - low
            ))
            .help("clear the variable when it is made: `struct key k = {};` or __builtin_memset; padding between members counts too");
            if !self.input.rules.uninitialised_stack_allowed {
                return Err(Box::new(finding));
            }
            self.warn(finding);
        }
        Ok(zero)
    }

    /// Puts a value, or some data (`None`), on the stack.
    #[allow(clippy::too_many_arguments, reason = "all of it describes one access")]
    pub(super) fn write_stack_at(
        &mut self,
        state: &mut State,
        slot: usize,
        pointer: &Pointer,
        off: i32,
        bytes: u32,
        value: Option<Tracked>,
        mark: Mark,
    ) -> Step<()> {
        let Region::Stack(depth) = pointer.region else {
            return Ok(());
        };
        check_stack_alignment(slot, pointer, off, bytes)?;
        let (low, high) = self.stack_span(slot, pointer, off, bytes, mark)?;
        self.note_stack(state, depth, low);
        self.overwrite_objects(state, slot, depth, low, high)?;
        if pointer.variable.as_constant().is_none() {
            return self.write_somewhere(state, slot, depth, low, high, value);
        }
        if let Some(Value::Pointer(stored)) = value.map(|tracked| tracked.value) {
            if bytes as usize != SLOT {
                return Err(Box::new(Finding::error(
                    Code::SpillSize,
                    slot,
                    "a part of a pointer is saved",
                )));
            }
            if matches!(stored.region, Region::Stack(_)) && depth != state.depth() {
                return Err(Box::new(Finding::error(
                    Code::PointerLeak,
                    slot,
                    "an address in the stack is put into a caller's frame, where it could outlive its own",
                )));
            }
        }
        let before = state.frames[depth as usize].slot_ref(low);
        if !self.input.rules.leaks_allowed
            && before.holds()
            && before.held.pointer().is_some()
            && bytes as usize != SLOT
        {
            return Err(Box::new(Finding::error(
                Code::PointerLeak,
                slot,
                "a saved pointer would be overwritten in part",
            )));
        }
        self.write_slot(state, depth, low, bytes, value);
        Ok(())
    }

    fn write_slot(
        &mut self,
        state: &mut State,
        depth: u8,
        low: i32,
        bytes: u32,
        value: Option<Tracked>,
    ) {
        if let Some(tracked) = value
            && byte_index(low) == 0
        {
            let whole = bytes as usize == SLOT;
            let stack_slot = state.frames[depth as usize].slot_mut(low);
            if !whole {
                self.marks.read(stack_slot.mark);
            }
            stack_slot.mark = self.marks.computed(tracked.mark, Mark::NONE);
            stack_slot.spoil();
            for byte in &mut stack_slot.bytes[..bytes as usize] {
                *byte = Byte::Held;
            }
            stack_slot.held = match tracked.value {
                Value::Number { range, link } => Value::Number {
                    range,
                    link: if fits_in(&range, bytes) {
                        link
                    } else {
                        Link::NONE
                    },
                },
                other => other,
            };
            return;
        }
        let zero = value
            .is_some_and(|tracked| tracked.value.range().and_then(Range::as_constant) == Some(0));
        if zero && let Some(tracked) = value {
            self.marks.precise(tracked.mark);
        }
        let fill = if zero { Byte::Zero } else { Byte::Data };
        for off in low..low + bytes as i32 {
            self.put_byte(state, depth, off, fill);
        }
    }

    fn put_byte(&mut self, state: &mut State, depth: u8, off: i32, fill: Byte) {
        let stack_slot = state.frames[depth as usize].slot_mut(off);
        stack_slot.spoil();
        stack_slot.bytes[byte_index(off)] = fill;
        // The other bytes keep their history.
        stack_slot.mark = self.marks.same(stack_slot.mark);
    }

    /// A write at a place that is not known exactly (`check_stack_write_var_off`).
    fn write_somewhere(
        &mut self,
        state: &mut State,
        slot: usize,
        depth: u8,
        low: i32,
        high: i32,
        value: Option<Tracked>,
    ) -> Step<()> {
        let zero = value
            .is_some_and(|tracked| tracked.value.range().and_then(Range::as_constant) == Some(0));
        if zero && let Some(tracked) = value {
            self.marks.precise(tracked.mark);
        }
        let rules = self.input.rules;
        for off in low..high {
            let stack_slot = state.frames[depth as usize].slot_mut(off);
            let at = byte_index(off);
            let before = stack_slot.bytes[at];
            stack_slot.mark = self.marks.same(stack_slot.mark);
            if before == Byte::Held && !rules.leaks_allowed {
                return Err(Box::new(Finding::error(
                    Code::StackBounds,
                    slot,
                    "a write at a variable place may destroy a saved pointer",
                )));
            }
            if zero
                && before == Byte::Held
                && stack_slot.held.range().and_then(Range::as_constant) == Some(0)
            {
                self.marks.precise(stack_slot.mark);
                continue;
            }
            stack_slot.spoil();
            stack_slot.bytes[at] = match (before, zero) {
                (Byte::Zero, true) => Byte::Zero,
                (Byte::Uninitialised, _) if !rules.uninitialised_stack_allowed => {
                    return Err(Box::new(Finding::error(
                        Code::UninitialisedStack,
                        slot,
                        "a write at a variable place leaves other bytes there uninitialised",
                    )));
                }
                _ => Byte::Data,
            };
        }
        Ok(())
    }

    /// A helper fills these bytes.
    pub(super) fn fill_stack(&mut self, state: &mut State, depth: u8, low: i32, high: i32) {
        for off in low..high {
            self.put_byte(state, depth, off, Byte::Data);
        }
    }

    /// The span of stack that a helper is given, checked.
    pub(super) fn helper_stack_span(
        &mut self,
        state: &State,
        slot: usize,
        pointer: &Pointer,
        bytes: u32,
        mark: Mark,
    ) -> Step<(u8, i32, i32)> {
        let Region::Stack(depth) = pointer.region else {
            return Ok((0, 0, 0));
        };
        let (low, high) = self.stack_span(slot, pointer, 0, bytes, mark)?;
        self.note_stack(state, depth, low);
        Ok((depth, low, high))
    }
}

/// Loads and stores on the stack have to be aligned, whatever the machine allows elsewhere
/// (`check_ptr_alignment`).
fn check_stack_alignment(slot: usize, pointer: &Pointer, off: i32, bytes: u32) -> Step<()> {
    if is_aligned(pointer, off, bytes) {
        return Ok(());
    }
    Err(Box::new(
        Finding::error(
            Code::StackAlignment,
            slot,
            format!("{bytes} bytes of stack are accessed at an address that is not a multiple of {bytes}"),
        )
        .knowing(format!("the pointer is {pointer}, the access {off:+} from it"))
        .help("align the variable, or access it byte by byte"),
    ))
}

/// Whether all of the numbers fit into so many bytes.
pub(super) fn fits_in(range: &Range, bytes: u32) -> bool {
    bytes >= 8 || range.u64.1 >> (bytes * 8) == 0
}

/// Whether an access through the pointer is aligned to its size, for all that the pointer can be.
pub(super) fn is_aligned(pointer: &Pointer, off: i32, bytes: u32) -> bool {
    let fixed = Tnum::constant((i64::from(pointer.off) + i64::from(off)) as u64);
    pointer.variable.bits.add(fixed).is_aligned(bytes.into())
}
