//! The stack: 512 bytes a frame in slots of eight, where registers can be saved.

use super::explore::{Step, Walk};
use super::finding::{Code, Finding};
use super::marks::Mark;
use super::range::Range;
use super::state::{Byte, MAX_STACK, SLOT, State, byte_index};
use super::tnum::Tnum;
use super::value::{Pointer, Region, Tracked, Value};

impl Walk<'_> {
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
        if pointer.variable.s64.0 <= -(1 << 29) || pointer.variable.s64.1 >= 1 << 29 {
            return refuse("the stack is accessed at an unbounded offset".to_owned());
        }
        let low = fixed + pointer.variable.s64.0;
        let high = fixed + pointer.variable.s64.1 + i64::from(bytes);
        if low < i64::from(-MAX_STACK) || high > 0 {
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

    /// The span of a load or store: on the stack it must be on a multiple of its size on every architecture
    /// (`check_ptr_alignment`), since saved registers are tracked by slots.
    fn access_span(
        &mut self,
        slot: usize,
        pointer: &Pointer,
        off: i32,
        bytes: u32,
        mark: Mark,
    ) -> Step<(i32, i32)> {
        let fixed = i64::from(pointer.off) + i64::from(off);
        let place = pointer.variable.bits.add(Tnum::constant(fixed as u64));
        if !place.is_aligned(bytes.into()) {
            return Err(Box::new(
                Finding::error(
                    Code::StackAlignment,
                    slot,
                    format!("{bytes} bytes of stack are accessed at an address that is not a multiple of {bytes}"),
                )
                .knowing(format!("the pointer is {pointer}, the access {off:+} from it"))
                .help("align the variable, or access it byte by byte"),
            ));
        }
        self.stack_span(slot, pointer, off, bytes, mark)
    }

    fn note_depth(&mut self, state: &State, frame: u8, low: i32) {
        if let Some(frame) = state.frames.get(frame as usize) {
            let depth = self.stack_depth.entry(frame.function).or_insert(0);
            *depth = (*depth).max(-low);
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
        let (low, high) = self.access_span(slot, pointer, off, bytes, mark)?;
        self.note_depth(state, depth, low);
        if pointer.variable.as_constant().is_some() {
            self.read_slot(state, slot, depth, low, bytes)
        } else {
            self.read_stack_bytes(state, slot, depth, low, high, "")?;
            let mark = self.marks.fresh();
            Ok(Tracked {
                value: Value::UNKNOWN,
                mark,
            })
        }
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
        let crosses = start + bytes as usize > SLOT;
        if held > 0 && !crosses {
            let whole = held == SLOT && bytes as usize == SLOT;
            if stack_slot.held.pointer().is_some() && !whole {
                return Err(Box::new(
                    Finding::error(Code::SpillSize, slot, "a part of a saved pointer is read")
                        .help("read all eight bytes, at the place where they were written"),
                ));
            }
            if whole || (start == 0 && bytes as usize <= held) {
                self.marks.read(stack_slot.mark);
                let mark = self.marks.computed(stack_slot.mark, Mark::NONE);
                let mut value = stack_slot.held;
                if let Value::Number { range, link } = &mut value {
                    if range.as_constant().is_some() {
                        *link = 0;
                    } else if whole && *link == 0 {
                        // The register and its saved copy are one number.
                        *link = self.new_id();
                        state.frames[depth as usize].slot_mut(low).held = Value::Number {
                            range: *range,
                            link: *link,
                        };
                    }
                }
                return Ok(Tracked { value, mark });
            }
        }
        let zero = self.read_stack_bytes(state, slot, depth, low, low + bytes as i32, "")?;
        let mark = if zero {
            // The zero may decide something later: the bytes must be zero in comparable states.
            self.marks.computed(stack_slot.mark, Mark::NONE)
        } else {
            self.marks.fresh()
        };
        Ok(Tracked {
            value: if zero {
                Value::constant(0)
            } else {
                Value::UNKNOWN
            },
            mark,
        })
    }

    /// Reads bytes as data; true if all are zero. `what` names the reader in messages.
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
            let stack_slot = state.frames[depth as usize].slot(off);
            self.marks.read(stack_slot.mark);
            match stack_slot.bytes[byte_index(off)] {
                Byte::Zero => {}
                Byte::Data => zero = false,
                Byte::Held => {
                    if stack_slot.held.pointer().is_some() && !self.input.rules.leaks_allowed {
                        return Err(Box::new(Finding::error(
                            Code::PointerLeak,
                            slot,
                            "a saved pointer would be read as data",
                        )));
                    }
                    if stack_slot.held.range().and_then(Range::as_constant) == Some(0) {
                        self.marks.precise(stack_slot.mark);
                    } else {
                        zero = false;
                    }
                }
                Byte::Uninitialised => {
                    zero = false;
                    let (from, _) = missing.unwrap_or((off, off));
                    missing = Some((from, off));
                }
            }
        }
        if let Some((from, to)) = missing {
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
        Ok(zero && missing.is_none())
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
        let (low, high) = self.access_span(slot, pointer, off, bytes, mark)?;
        self.note_depth(state, depth, low);
        if let Some(Value::Pointer(stored)) = value.map(|tracked| tracked.value) {
            let storable = pointer.variable.as_constant().is_some()
                && bytes as usize == SLOT
                && byte_index(low) == 0;
            if let Region::Stack(owner) = stored.region
                && owner > depth
            {
                return Err(Box::new(Finding::error(
                    Code::PointerLeak,
                    slot,
                    "the address of a frame is put into its caller's frame, where it would outlive it",
                )));
            }
            if !storable && !self.input.rules.leaks_allowed {
                return Err(Box::new(Finding::error(
                    Code::SpillSize,
                    slot,
                    "a pointer is saved in part or unaligned",
                )));
            }
            if !storable && byte_index(low) == 0 {
                return Err(Box::new(Finding::error(
                    Code::SpillSize,
                    slot,
                    "a part of a pointer is saved",
                )));
            }
        }
        if pointer.variable.as_constant().is_some() {
            self.write_slot(state, slot, depth, low, bytes, value)
        } else {
            self.write_somewhere(state, slot, depth, low, high, value)
        }
    }

    fn write_slot(
        &mut self,
        state: &mut State,
        _slot: usize,
        depth: u8,
        low: i32,
        bytes: u32,
        value: Option<Tracked>,
    ) -> Step<()> {
        let start = byte_index(low);
        let fits = start == 0 && bytes as usize <= SLOT;
        if let Some(tracked) = value
            && fits
        {
            let history = self.marks.computed(tracked.mark, Mark::NONE);
            let stack_slot = state.frames[depth as usize].slot_mut(low);
            let whole = bytes as usize == SLOT;
            stack_slot.spoil();
            for byte in &mut stack_slot.bytes[..bytes as usize] {
                *byte = Byte::Held;
            }
            stack_slot.held = match tracked.value {
                Value::Number { range, link } => {
                    let kept = whole || range.u64.1 < 1 << (bytes * 8);
                    Value::Number {
                        range: if whole {
                            range
                        } else {
                            truncated(&range, bytes)
                        },
                        link: if kept { link } else { 0 },
                    }
                }
                other => other,
            };
            if !whole {
                self.marks.read(stack_slot.mark);
            }
            stack_slot.mark = history;
            return Ok(());
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
        Ok(())
    }

    fn put_byte(&mut self, state: &mut State, depth: u8, off: i32, fill: Byte) {
        let stack_slot = state.frames[depth as usize].slot_mut(off);
        stack_slot.spoil();
        stack_slot.bytes[byte_index(off)] = fill;
        // The other bytes keep their history.
        stack_slot.mark = self.marks.same(stack_slot.mark);
    }

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
        for off in low..high {
            let rules = self.input.rules;
            let stack_slot = state.frames[depth as usize].slot_mut(off);
            if stack_slot.held.pointer().is_some()
                && stack_slot.held_bytes() > 0
                && !rules.leaks_allowed
            {
                return Err(Box::new(Finding::error(
                    Code::StackBounds,
                    slot,
                    "a write at a variable place may destroy a saved pointer",
                )));
            }
            let at = byte_index(off);
            stack_slot.spoil();
            // Whether this very byte is written is not known.
            stack_slot.bytes[at] = match (stack_slot.bytes[at], zero) {
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
            stack_slot.mark = self.marks.same(stack_slot.mark);
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
        self.note_depth(state, depth, low);
        Ok((depth, low, high))
    }
}

fn truncated(range: &Range, bytes: u32) -> Range {
    use crate::isa::Size;
    match bytes {
        1 => range.zero_extend(Size::B8),
        2 => range.zero_extend(Size::B16),
        4 => range.zero_extend(Size::B32),
        _ => *range,
    }
}
