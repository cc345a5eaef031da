//! All that is known at one point of one path: frames, registers, stacks, what must be given back.

use crate::isa::Reg;

use super::marks::{Mark, Marks};
use super::value::{Pointer, Tracked, Value};

/// Frames of subprograms within each other, the program's own included (MAX_CALL_FRAMES).
pub(super) const MAX_FRAMES: usize = 8;
/// Bytes of one frame's stack, and of all frames together (MAX_BPF_STACK).
pub(super) const MAX_STACK: i32 = 512;
/// Bytes of a stack slot.
pub(super) const SLOT: usize = 8;

/// One byte of a stack slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Byte {
    /// Never written.
    Uninitialised,
    /// Part of the number or pointer that the slot holds.
    Held,
    /// Some number.
    Data,
    /// 0.
    Zero,
    /// Part of a dynptr or an iterator, which `held` describes.
    Object,
}

/// Eight aligned bytes of stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StackSlot {
    /// What the bytes are, lowest address first.
    pub bytes: [Byte; SLOT],
    /// The value that the `Held` bytes are of, which start at the lowest address; or which part of an object this is.
    pub held: Value,
    /// History of the slot's content.
    pub mark: Mark,
}

impl StackSlot {
    /// Nothing written yet.
    pub(super) const EMPTY: Self = Self {
        bytes: [Byte::Uninitialised; SLOT],
        held: Value::Uninitialised,
        mark: Mark::NONE,
    };

    /// Whether there is a held value; if so, it starts at the lowest address.
    pub(super) fn holds(&self) -> bool {
        self.bytes[0] == Byte::Held
    }

    /// Whether `held` says more than the bytes do: a held value, or a part of an object.
    pub(super) fn describes(&self) -> bool {
        matches!(self.bytes[0], Byte::Held | Byte::Object)
    }

    /// How many bytes of a held value there are; 0 where none is held.
    pub(super) fn held_bytes(&self) -> usize {
        if self.holds() {
            self.bytes
                .iter()
                .filter(|&&byte| byte == Byte::Held)
                .count()
        } else {
            0
        }
    }

    /// Whether it holds a whole register.
    pub(super) fn holds_register(&self) -> bool {
        self.bytes == [Byte::Held; SLOT]
    }

    /// The held value is no longer whole: its bytes are plain data.
    pub(super) fn spoil(&mut self) {
        for byte in &mut self.bytes {
            if *byte == Byte::Held {
                *byte = Byte::Data;
            }
        }
        self.held = Value::Uninitialised;
    }
}

/// What a frame was entered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The program itself.
    Program,
    /// A subprogram call.
    Call,
    /// A callback that a helper calls; its return value must lie in 0..=1.
    Callback,
    /// A callback that the kernel calls later; its return value must be 0.
    Later,
}

/// A subprogram's registers and stack.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    /// r0 to r10.
    pub registers: [Tracked; 11],
    /// From the frame pointer down: slot `i` is bytes `-8(i+1)..-8i`.
    pub stack: Vec<StackSlot>,
    /// The function's first slot.
    pub function: usize,
    /// The call's slot; 0 for the program itself.
    pub call_site: usize,
    /// Why it was entered.
    pub purpose: Purpose,
    /// How often the call that runs was called back from, as far as the helper's own bound counts.
    pub callback_rounds: u32,
    /// References with greater ids were acquired in this frame or within.
    pub entered_after: u32,
}

impl Frame {
    /// A frame whose registers are all uninitialised.
    pub(super) fn new(function: usize, call_site: usize, purpose: Purpose) -> Self {
        Self {
            registers: [Tracked::UNINITIALISED; 11],
            stack: Vec::new(),
            function,
            call_site,
            purpose,
            callback_rounds: 0,
            entered_after: 0,
        }
    }

    /// The slot that holds the byte at `off` (negative), made if it is not there.
    pub(super) fn slot_mut(&mut self, off: i32) -> &mut StackSlot {
        let index = slot_index(off);
        if self.stack.len() <= index {
            self.stack.resize(index + 1, StackSlot::EMPTY);
        }
        &mut self.stack[index]
    }

    /// The slot that holds the byte at `off` (negative).
    pub(super) fn slot(&self, off: i32) -> StackSlot {
        self.stack
            .get(slot_index(off))
            .copied()
            .unwrap_or(StackSlot::EMPTY)
    }
}

impl Frame {
    /// The slot that holds the byte at `off` (negative).
    pub(super) fn slot_ref(&self, off: i32) -> &StackSlot {
        self.stack.get(slot_index(off)).unwrap_or(&StackSlot::EMPTY)
    }
}

/// Index of the slot that holds the byte at `off`, -512..=-1.
pub(super) fn slot_index(off: i32) -> usize {
    ((-off - 1).max(0) as usize) / SLOT
}

/// Index within its slot of the byte at `off`.
pub(super) fn byte_index(off: i32) -> usize {
    off.rem_euclid(SLOT as i32) as usize
}

/// Something that must be given back before the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference {
    /// Its number, never 0.
    pub id: u32,
    /// The slot of the call that gave it.
    pub acquired_at: usize,
    /// What it is.
    pub holding: Holding,
}

/// What must be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holding {
    /// A record of a ring buffer.
    Record,
    /// A socket.
    Socket,
    /// An object of the kernel, by a kernel function.
    Object,
    /// An iterator on the stack.
    Iterator,
}

/// What kernel functions change in a state besides values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Objects {
    /// There was a dynptr or an iterator on this path.
    pub any: bool,
    /// In an RCU section that the program began.
    pub rcu: bool,
    /// How often preemption was disabled.
    pub no_preemption: u8,
    /// How often an iterator gave an element on this path.
    pub iterator_rounds: u32,
}

/// All that is known at one point of a path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    /// Innermost last.
    pub frames: Vec<Frame>,
    /// What must be given back.
    pub references: Vec<Reference>,
    /// The `bpf_spin_lock` that is held, by the id of the pointer it was taken with.
    pub lock: Option<(super::value::Region, u32)>,
    /// How often `may_goto` fell through on this path.
    pub may_goto_rounds: u32,
    /// How often a callback was entered on this path.
    pub callback_entries: u32,
    /// What kernel functions did.
    pub objects: Objects,
}

impl State {
    /// The frame that runs.
    pub(super) fn frame(&self) -> &Frame {
        self.frames.last().expect("a state has at least one frame")
    }

    /// The frame that runs.
    pub(super) fn frame_mut(&mut self) -> &mut Frame {
        self.frames
            .last_mut()
            .expect("a state has at least one frame")
    }

    /// Depth of the frame that runs, 0 for the program itself.
    pub(super) fn depth(&self) -> u8 {
        (self.frames.len() - 1) as u8
    }

    /// A register of the frame that runs.
    pub(super) fn register(&self, reg: Reg) -> &Tracked {
        &self.frame().registers[reg.index()]
    }

    /// Sets a register of the frame that runs.
    pub(super) fn set(&mut self, reg: Reg, value: Value, mark: Mark) {
        self.frame_mut().registers[reg.index()] = Tracked { value, mark };
    }

    /// Every value in registers and stack slots of all frames, with the node of its history.
    pub(super) fn for_each_value(&mut self, mut visit: impl FnMut(&mut Value, &mut Mark)) {
        for frame in &mut self.frames {
            for register in &mut frame.registers {
                visit(&mut register.value, &mut register.mark);
            }
            for slot in &mut frame.stack {
                if slot.holds() {
                    visit(&mut slot.held, &mut slot.mark);
                }
            }
        }
    }

    /// Every value, the innermost frame's first; without frame pointers.
    pub(super) fn for_each_value_inwards(&mut self, mut visit: impl FnMut(&mut Value)) {
        for frame in self.frames.iter_mut().rev() {
            for register in &mut frame.registers[..10] {
                visit(&mut register.value);
            }
            for slot in &mut frame.stack {
                if slot.holds() {
                    visit(&mut slot.held);
                }
            }
        }
    }

    /// Every pointer in registers and stack slots of all frames.
    pub(super) fn for_each_pointer(&mut self, mut visit: impl FnMut(&mut Pointer)) {
        self.for_each_value(|value, _| {
            if let Value::Pointer(pointer) = value {
                visit(pointer);
            }
        });
    }

    /// Pointers that `dead` picks point nowhere any more: they are numbers for who may see addresses, else nothing
    /// (`mark_reg_invalid`).
    pub(super) fn forget_pointers(&mut self, leaks_allowed: bool, dead: impl Fn(&Pointer) -> bool) {
        let left = if leaks_allowed {
            Value::UNKNOWN
        } else {
            Value::Uninitialised
        };
        self.for_each_value(|value, _| {
            if value.pointer().is_some_and(&dead) {
                *value = left;
            }
        });
    }

    /// Gives every value a fresh node, so that what happens to it from here on can be told apart.
    pub(super) fn renew_marks(&mut self, marks: &mut Marks) {
        for frame in &mut self.frames {
            // r10 is never another value than that it was.
            for register in &mut frame.registers[..10] {
                if register.value != Value::Uninitialised {
                    register.mark = marks.same(register.mark);
                }
            }
            for slot in &mut frame.stack {
                if slot.bytes != [Byte::Uninitialised; SLOT] {
                    slot.mark = marks.same(slot.mark);
                }
            }
        }
    }
}
