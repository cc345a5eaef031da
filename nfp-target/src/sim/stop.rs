//! Why a thread stopped before the end.

use offload_compiler::interp::{FaultKind, MapError};

use crate::isa::{Csr, DecodeError};

/// A thread that could not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("word {at}: {kind}")]
pub struct Stop {
    /// Index of the word in the program; for a helper that of the branch to it.
    pub at: usize,
    /// Why.
    pub kind: StopKind,
}

/// What kept a thread from going on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopKind {
    /// The word is no instruction.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Control went to an address where neither the program nor the firmware is.
    #[error("control goes to address {0}, where neither the program nor the firmware is")]
    Outside(u32),
    /// The budget of words is used up: an endless loop.
    #[error("budget of {0} words used up")]
    Budget(u64),
    /// A branch in a slot of another word, or a waiting command in a slot.
    #[error("stands in a slot of a branch or of a command that waits")]
    Slot,
    /// More slots than the branch has.
    #[error("has {0} slots, a branch that is always taken has 2")]
    Slots(u8),
    /// An indirect shift or command, or an arithmetic shift, after a word that leaves nothing to take.
    #[error("takes {0} of the word before, which leaves none")]
    NoPrevious(&'static str),
    /// The overrides of an indirect command, bits of the result before, are none of the known ones.
    #[error("overrides {0:#x} are not known")]
    Override(u32),
    /// A multiplication's words do not follow each other as they must.
    #[error("no step of the multiplication that was begun")]
    Multiply,
    /// The word after a read of a control register is no `immed`.
    #[error("the word after a read of a control register must load a constant")]
    NoImmediate,
    /// A control register that cannot be used so.
    #[error("control register {0:?} cannot be used so")]
    Csr(Csr),
    /// Local memory that is neither stack nor packet vector.
    #[error("local memory at {0:#x} is neither the stack nor the packet vector")]
    LocalMemory(u32),
    /// A command whose data or effect is used though nothing waited for it.
    #[error("nothing waits for the command")]
    NotWaited,
    /// More transfer registers than there are.
    #[error("needs {0} transfer registers from {1} on, there are 32")]
    Transfer(usize, u8),
    /// An access that leaves the packet.
    #[error(
        "{access} of {size} bytes at {offset:+} of the packet, which has {length}",
        access = if *write { "write" } else { "read" }
    )]
    Packet {
        /// Write or read.
        write: bool,
        /// From the packet's start.
        offset: i64,
        /// Bytes.
        size: usize,
        /// Of the packet.
        length: usize,
    },
    /// An address where no map value is.
    #[error("{size} bytes at {address:#012x} are no map value's")]
    NoValue {
        /// 40 bits.
        address: u64,
        /// Bytes.
        size: usize,
    },
    /// The packet vector describes no packet of the buffer.
    #[error(
        "the packet vector holds length {length} and address {address:#x}: no packet of the buffer"
    )]
    Vector {
        /// Of the packet.
        length: u32,
        /// Of its first byte.
        address: u32,
    },
    /// The action at the end is none that the firmware knows.
    #[error("action {0:#010x} is not known")]
    Action(u32),
    /// A helper got a map number that no map has.
    #[error("no map has number {0}")]
    NoMap(u32),
    /// An event's data of a kind that no program can send.
    #[error("pointers of kind {0} cannot be sent")]
    EventKind(u32),
    /// A helper of the profile that is not modelled.
    #[error("helper {0} is not modelled")]
    Helper(u16),
    /// The maps refused.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The machine that holds the maps refused.
    #[error(transparent)]
    Fault(#[from] FaultKind),
}
