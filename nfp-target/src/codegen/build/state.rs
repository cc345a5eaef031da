//! All that changes from instruction to instruction.

use super::{Pair, Reg, Value};

/// The program and 8 calls: more than the kernel allows.
const MOST_FRAMES: usize = 9;
/// Where the packet's length and address are in [`State::values`].
const LENGTH: usize = 0;
const BASE: usize = 1;
/// Words of r0 to r10.
const REGISTERS: usize = 22;

/// Registers, stack and packet at one moment.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// Length and address of the packet, then each frame, outermost first: both words of r0 to r10, and those words of the
    /// stack that are ever written to.
    pub(super) values: Vec<Value>,
    /// Where each frame begins in `values`; one has at most 150.
    starts: [u16; MOST_FRAMES],
    frames: u8,
    pub(super) packet_version: u32,
    pub(super) map_version: u32,
    /// Changes with each call of a helper.
    pub(super) stretch: u32,
    /// The least and the most that the packet's start was moved by, where that is known.
    pub(super) moved: Option<(i64, i64)>,
}

impl State {
    /// Without a frame.
    pub(super) fn new(length: Value, base: Value) -> Self {
        Self {
            values: vec![length, base],
            starts: [0; MOST_FRAMES],
            frames: 0,
            packet_version: 0,
            map_version: 0,
            stretch: 0,
            moved: Some((0, 0)),
        }
    }

    pub(super) fn length(&self) -> Value {
        self.values[LENGTH]
    }

    pub(super) fn base(&self) -> Value {
        self.values[BASE]
    }

    pub(super) fn set_packet(&mut self, length: Value, base: Value) {
        self.values[LENGTH] = length;
        self.values[BASE] = base;
    }

    /// The number of the frame that runs.
    pub(super) fn top(&self) -> usize {
        usize::from(self.frames) - 1
    }

    fn start(&self, frame: usize) -> usize {
        self.starts[frame].into()
    }

    pub(super) fn push_frame(&mut self, words: usize, zero: Value) {
        self.starts[usize::from(self.frames)] = self.values.len() as u16;
        self.frames += 1;
        self.values
            .resize(self.values.len() + REGISTERS + words, zero);
    }

    pub(super) fn pop_frame(&mut self) {
        self.frames -= 1;
        self.values.truncate(self.start(self.frames.into()));
    }

    pub(super) fn read(&self, frame: usize, reg: Reg) -> Pair {
        let at = self.start(frame) + 2 * reg.index();
        [self.values[at], self.values[at + 1]]
    }

    pub(super) fn set(&mut self, frame: usize, reg: Reg, pair: Pair) {
        let at = self.start(frame) + 2 * reg.index();
        self.values[at..at + 2].copy_from_slice(&pair);
    }

    /// Where a word of a frame's stack is among the values.
    pub(super) fn word(&self, frame: usize, word: usize) -> Option<usize> {
        (frame <= self.top()).then(|| self.start(frame) + REGISTERS + word)
    }

    /// Whether a value is that of a register of the frame that runs which is not among those that matter.
    pub(super) fn is_dead(&self, at: usize, live: u16) -> bool {
        let word = at.wrapping_sub(self.start(self.top()));
        word < REGISTERS && live >> (word / 2) & 1 == 0
    }
}
