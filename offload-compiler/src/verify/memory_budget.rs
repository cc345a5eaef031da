//! What a verification may hold in memory: a hostile program can make it keep a state of every call depth at every
//! instruction.

use std::mem::size_of;

use super::state::{Frame, Reference, StackSlot, State};

/// Bytes that kept and waiting states, paths and messages take. Allocators and growing vectors take up to twice as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct MemoryUse {
    bytes: usize,
}

impl MemoryUse {
    /// All that is counted here, in bytes.
    pub(super) fn bytes(self) -> usize {
        self.bytes
    }

    /// A state is kept.
    pub(super) fn add_state(&mut self, state: &State) {
        self.bytes += size(state);
    }

    /// A state is kept no longer. It may have grown since.
    pub(super) fn remove_state(&mut self, state: &State) {
        self.bytes = self.bytes.saturating_sub(size(state));
    }

    /// So many items of a kind are kept.
    pub(super) fn add<T>(&mut self, items: usize) {
        self.bytes += items.saturating_mul(size_of::<T>());
    }
}

fn size(state: &State) -> usize {
    let slots: usize = state.frames.iter().map(|frame| frame.stack.len()).sum();
    size_of::<State>()
        + state.frames.len() * size_of::<Frame>()
        + slots * size_of::<StackSlot>()
        + state.references.len() * size_of::<Reference>()
}
