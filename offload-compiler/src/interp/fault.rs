//! What a program can do wrong, and where.

use std::fmt;

use crate::isa::Reg;

/// A run that could not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("program {program}, instruction {slot}: {kind}")]
pub struct Fault {
    /// Which program, as numbered by [`super::Machine::add_program`].
    pub program: usize,
    /// The slot of the instruction.
    pub slot: usize,
    /// What went wrong.
    pub kind: FaultKind,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// An access through a null pointer: below the first page.
    #[error("{access} of {size} bytes through a null pointer (address 0x{address:x})")]
    Null {
        /// Read or write.
        access: AccessKind,
        /// Bytes.
        size: u64,
        /// The address.
        address: u64,
    },
    /// An access through a number that is no address.
    #[error("{access} of {size} bytes at 0x{address:x}, which is no address")]
    NotAnAddress {
        /// Read or write.
        access: AccessKind,
        /// Bytes.
        size: u64,
        /// The number.
        address: u64,
    },
    /// An access that leaves its region.
    #[error("{access} of {size} bytes at {region}{offset:+}, outside {}..{}", range.0, range.1)]
    OutOfBounds {
        /// Read or write.
        access: AccessKind,
        /// Bytes.
        size: u64,
        /// The region that the address belongs to.
        region: Region,
        /// Where, from the region's origin (the frame pointer, the packet's first byte).
        offset: i64,
        /// The first offset that may be accessed, and the one after the last.
        range: (i64, i64),
    },
    /// A write to a region that may only be read.
    #[error("write to {region}, which is read-only")]
    ReadOnly {
        /// The region.
        region: Region,
    },
    /// A read of memory that was never written.
    #[error("read of {region}{offset:+}, which was never written")]
    UninitialisedMemory {
        /// The region.
        region: Region,
        /// The first byte that was never written.
        offset: i64,
    },
    /// A read of a register that was never written, or that a call has spoiled.
    #[error("read of {0}, which holds nothing")]
    UninitialisedRegister(Reg),
    /// An access to the context that no XDP program can make.
    #[error("{size} bytes at offset {offset} of the context are no field of struct xdp_md")]
    Context {
        /// Offset in `struct xdp_md`.
        offset: i64,
        /// Bytes.
        size: u64,
    },
    /// A write to r10.
    #[error("write to the frame pointer")]
    WriteToFramePointer,
    /// Control left the program, or entered the middle of an instruction.
    #[error("jump to {0}, where no instruction begins")]
    BadJump(i64),
    /// More nested calls than the kernel's 8 frames.
    #[error("more than 8 nested calls")]
    CallDepth,
    /// The instruction budget is used up.
    #[error("budget of {0} instructions used up")]
    Budget(u64),
    /// The memory budget is used up.
    #[error("budget of {0} bytes of memory used up")]
    Memory(u64),
    /// A helper that the interpreter does not know.
    #[error("helper {}#{id} is not modelled", crate::isa::functions::name(*.id).unwrap_or("unknown"))]
    UnknownHelper {
        /// Its id.
        id: i32,
    },
    /// Something that only a live kernel has: its functions and variables, arenas, sockets' packets.
    #[error("{0} exists in a running kernel only")]
    KernelOnly(&'static str),
    /// An argument that no verified program passes.
    #[error("argument {argument} of {helper}: {reason}")]
    BadArgument {
        /// The helper's name.
        helper: &'static str,
        /// 1 to 5.
        argument: u8,
        /// What is wrong.
        reason: &'static str,
    },
    /// Other [`super::Semantics`] say nothing of what happens here.
    #[error("{0}: what happens cannot be told")]
    Undefined(&'static str),
    /// The program ended with a ring buffer record neither submitted nor discarded.
    #[error("the program ended with a ring buffer record neither submitted nor discarded")]
    UnreleasedRecord,
}

/// Read or write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessKind {
    /// Read.
    Read,
    /// Write.
    Write,
}

impl fmt::Display for AccessKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// A region of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// A frame; offsets are from the frame pointer.
    Stack,
    /// The packet and its metadata; offsets are from the packet's first byte.
    Packet,
    /// The context.
    Context,
    /// The caller's memory of [`super::Machine::run_memory`].
    Memory,
    /// A value of this map.
    MapValue(usize),
    /// The key that a `bpf_for_each_map_elem` callback gets.
    MapKey(usize),
    /// A reserved record of this ring buffer.
    Record(usize),
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stack => f.write_str("fp"),
            Self::Packet => f.write_str("packet"),
            Self::Context => f.write_str("context"),
            Self::Memory => f.write_str("memory"),
            Self::MapValue(map) => write!(f, "value of map {map}"),
            Self::MapKey(map) => write!(f, "key of map {map}"),
            Self::Record(map) => write!(f, "record of map {map}"),
        }
    }
}
