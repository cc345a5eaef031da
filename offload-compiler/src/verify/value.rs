//! What a register or a stack slot holds.

use std::fmt;

use crate::isa::Width;

use super::kernel_types::TypeRef;
use super::marks::Mark;
use super::range::Range;
use super::stack_object::StackObject;

/// A value and its history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tracked {
    /// What is known of it.
    pub value: Value,
    /// Its node in the history.
    pub mark: Mark,
}

impl Tracked {
    /// A register or slot that nothing was written to.
    pub(super) const UNINITIALISED: Self = Self {
        value: Value::Uninitialised,
        mark: Mark::NONE,
    };
}

/// Values of one link came from one number: what a branch says of one holds for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// Which link, 0 for none.
    pub id: u32,
    /// A constant was added since, once; `None`: it is the number itself.
    pub added: Option<Added>,
}

/// A constant that was added to a linked number (`BPF_ADD_CONST64`, `BPF_ADD_CONST32`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Added {
    /// The constant.
    pub by: i32,
    /// Width of the addition.
    pub width: Width,
}

impl Link {
    /// Linked with nothing.
    pub(super) const NONE: Self = Self { id: 0, added: None };

    /// The number itself of a new link.
    pub(super) const fn new(id: u32) -> Self {
        Self { id, added: None }
    }

    /// Whether it is linked with nothing.
    pub(super) const fn is_none(self) -> bool {
        self.id == 0
    }

    /// The distance from the number.
    pub(super) fn distance(self) -> i32 {
        self.added.map_or(0, |added| added.by)
    }
}

/// What is known of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// Never written, or spoiled by a call.
    Uninitialised,
    /// A number.
    Number {
        /// Which numbers.
        range: Range,
        /// What other values it is known to equal.
        link: Link,
    },
    /// An address.
    Pointer(Pointer),
}

impl Value {
    /// Any number.
    pub(super) const UNKNOWN: Self = Self::Number {
        range: Range::UNKNOWN,
        link: Link::NONE,
    };

    /// A number in `range`.
    pub(super) const fn number(range: Range) -> Self {
        Self::Number {
            range,
            link: Link::NONE,
        }
    }

    /// Just this number.
    pub(super) const fn constant(value: u64) -> Self {
        Self::number(Range::constant(value))
    }

    /// The range, where it is a number.
    pub(super) const fn range(&self) -> Option<&Range> {
        match self {
            Self::Number { range, .. } => Some(range),
            _ => None,
        }
    }

    /// The pointer, where it is one.
    pub(super) const fn pointer(&self) -> Option<&Pointer> {
        match self {
            Self::Pointer(pointer) => Some(pointer),
            _ => None,
        }
    }
}

/// An address: `region` + `off` + a number in `variable`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pointer {
    /// What it points into.
    pub region: Region,
    /// May be null; nothing can be done with it before that is checked.
    pub nullable: bool,
    /// The known part of its distance from the region's start, in bytes.
    pub off: i32,
    /// The unknown part of that distance.
    pub variable: Range,
    /// Packet pointers with one id share their variable part; nullable pointers with one id are null together.
    pub id: u32,
    /// Of packet pointers: how many bytes after the variable part are proved to be in the packet, or how the
    /// pointer stands to the packet's end.
    pub proved: Proved,
    /// Of memory that must be given back (ring buffer records, sockets): which; 0 for none.
    pub reference: u32,
}

impl Pointer {
    /// The start of `region`.
    pub(super) const fn to(region: Region) -> Self {
        Self {
            region,
            nullable: false,
            off: 0,
            variable: Range::constant(0),
            id: 0,
            proved: Proved::Bytes(0),
            reference: 0,
        }
    }

    /// Whether it is the unchanged start of its region.
    pub(super) fn is_start(&self) -> bool {
        self.off == 0 && self.id == 0 && self.variable.as_constant() == Some(0)
    }
}

/// What is known of a packet pointer and the packet's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proved {
    /// So many bytes from the pointer's variable part on are in the packet.
    Bytes(u32),
    /// It is at the end or after it.
    AtEnd,
    /// It is after the end.
    BeyondEnd,
}

impl Proved {
    /// Bytes that may be accessed; `None` where the pointer is at or after the end.
    pub(super) const fn bytes(self) -> Option<u32> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::AtEnd | Self::BeyondEnd => None,
        }
    }
}

/// What a pointer points into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Region {
    /// The program's `struct xdp_md`.
    Context,
    /// The packet, from `data`.
    Packet,
    /// The metadata before the packet, from `data_meta`.
    PacketMeta,
    /// `data_end`.
    PacketEnd,
    /// The stack of the frame with this depth, 0 for the program itself; offsets are negative.
    Stack(u8),
    /// The map itself, by index.
    Map(u32),
    /// A value of the map with this index.
    MapValue(u32),
    /// Memory of this size that a helper or caller gave.
    Memory {
        /// Bytes.
        size: u32,
        /// May be written to.
        writable: bool,
    },
    /// A subprogram, by its first slot.
    Function(u32),
    /// An object of the kernel.
    Kernel(Object),
    /// A part of the memory behind a dynptr.
    Slice {
        /// Bytes.
        size: u32,
        /// May be written to.
        writable: bool,
    },
    /// A dynptr or an iterator: what a stack slot holds, never a register.
    StackObject(StackObject),
}

/// The kernel's objects that programs get addresses of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Object {
    /// A full socket (`struct bpf_sock`).
    Socket,
    /// What all sockets have in common (`struct bpf_sock`, its first fields excepted).
    SocketCommon,
    /// A socket of AF_XDP (`struct bpf_xdp_sock`).
    XdpSocket,
    /// The running task.
    Task,
    /// Something whose type only the kernel's BTF knows.
    Other,
    /// A structure of the kernel's.
    Structure {
        /// Its type.
        ty: TypeRef,
        /// What the address is good for.
        trust: Trust,
    },
    /// Memory of unknown size; reads are protected.
    Untyped,
}

/// What the address of a structure is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// It is there: the kernel functions take it (`PTR_TRUSTED`, or a reference).
    Trusted,
    /// It is there as long as an RCU section lasts (`MEM_RCU`); XDP programs run in one.
    Rcu,
    /// It was read from a structure that is there (a `PTR_TO_BTF_ID` without flags); reads are protected.
    Plain,
    /// It may be anything (`PTR_UNTRUSTED`); reads are protected.
    Untrusted,
    /// It cannot be used as it is (`MEM_USER`, `MEM_PERCPU`).
    Elsewhere,
}

impl Object {
    /// Whether a helper takes it as `ARG_PTR_TO_BTF_ID_SOCK_COMMON`.
    pub(super) const fn is_socket(self) -> bool {
        matches!(self, Self::Socket | Self::SocketCommon)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Context => "the context",
            Self::Packet => "the packet",
            Self::PacketMeta => "the packet's metadata",
            Self::PacketEnd => "the packet's end",
            Self::Stack(_) => "the stack",
            Self::Map(_) => "a map",
            Self::MapValue(_) => "a map value",
            Self::Memory { .. } => "memory",
            Self::Function(_) => "a function",
            Self::Kernel(_) => "a kernel object",
            Self::Slice { .. } => "a part of a dynptr's memory",
            Self::StackObject(StackObject::PacketDynptr { .. }) => "a dynptr",
            Self::StackObject(StackObject::Iterator { .. }) => "an iterator",
        })
    }
}

impl fmt::Display for Value {
    /// In words, for messages: "uninitialised", "0..=255", "the packet + 14".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uninitialised => f.write_str("uninitialised"),
            Self::Number { range, .. } => range.fmt(f),
            Self::Pointer(pointer) => pointer.fmt(f),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nullable {
            write!(f, "null or ")?;
        }
        self.region.fmt(f)?;
        match self.off.cmp(&0) {
            std::cmp::Ordering::Less => write!(f, " - {}", self.off.unsigned_abs())?,
            std::cmp::Ordering::Greater => write!(f, " + {}", self.off)?,
            std::cmp::Ordering::Equal => {}
        }
        if self.variable.as_constant() != Some(0) {
            write!(f, " + ({})", self.variable)?;
        }
        Ok(())
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(value) = self.as_constant() {
            let signed = value as i64;
            return if signed < 0 && signed > -0x1_0000 {
                write!(f, "{signed}")
            } else {
                write!(f, "{value}")
            };
        }
        if self.s64.0 < 0 && self.s64.0 > i64::MIN {
            return write!(f, "{}..={}", self.s64.0, self.s64.1);
        }
        if self.u64 == (0, u64::MAX) {
            return f.write_str("any number");
        }
        write!(f, "{}..={}", self.u64.0, self.u64.1)
    }
}
