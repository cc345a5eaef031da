//! Looking over the verifier's shoulder: what is known before each instruction of each path.
//!
//! A NIC driver that offloads programs decides this way: the kernel calls it before each instruction that
//! its verifier walks (`bpf_verifier_offload_ops::insn_hook`), with the verifier's state at hand.

use crate::isa::{Instruction, Reg};

use super::finding::Finding;
use super::path::{At, Turns};
use super::range::Range;
use super::state::{Byte, SLOT, State, byte_index};
use super::value::{Proved, Region, Value};

/// Something that is asked before each instruction of each path.
pub trait Watch {
    /// Called before the instruction is verified. A finding ends the verification and refuses the program.
    fn before(&mut self, moment: &Moment<'_>) -> Result<(), Box<Finding>>;
}

/// One instruction on one path, and what is known before it.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The instruction's slot.
    pub slot: usize,
    /// The instruction.
    pub instruction: &'a Instruction,
    pub(super) state: &'a State,
    pub(super) turns: (&'a Turns, At),
}

/// What is known of a register.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Known {
    /// Nothing was put there.
    Nothing,
    /// A number.
    Number(Range),
    /// An address.
    Address {
        /// What it points into.
        place: Place,
        /// May be null.
        nullable: bool,
        /// The known part of its distance from the place's start, in bytes.
        offset: i32,
        /// The unknown part of that distance.
        variable: Range,
    },
}

/// What an address points into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The context.
    Context,
    /// The packet.
    Packet,
    /// The metadata before the packet.
    PacketMeta,
    /// The packet's end.
    PacketEnd,
    /// The stack of the frame with this depth, 0 for the program itself; offsets are negative.
    Stack(u8),
    /// A map, by its index in [`Input::maps`](super::Input::maps).
    Map(u32),
    /// A value of the map with this index.
    MapValue(u32),
    /// Other memory.
    Memory,
    /// A subprogram.
    Function,
    /// A kernel object.
    Kernel,
}

impl Known {
    /// The number's range; any number where nothing is known, the unknown part of an address.
    pub fn range(&self) -> Range {
        match self {
            Self::Nothing => Range::UNKNOWN,
            Self::Number(range) => *range,
            Self::Address { variable, .. } => *variable,
        }
    }

    /// The distance from the place's start, where it is an address and the distance is known.
    pub fn constant_offset(&self) -> Option<i64> {
        match self {
            Self::Address {
                offset, variable, ..
            } => i64::from(*offset).checked_add(variable.as_constant()? as i64),
            _ => None,
        }
    }
}

impl Moment<'_> {
    /// What is known of a register of the frame that runs.
    pub fn register(&self, reg: Reg) -> Known {
        match &self.state.register(reg).value {
            Value::Uninitialised => Known::Nothing,
            Value::Number { range, .. } => Known::Number(*range),
            Value::Pointer(pointer) => Known::Address {
                place: match pointer.region {
                    Region::Context => Place::Context,
                    Region::Packet => Place::Packet,
                    Region::PacketMeta => Place::PacketMeta,
                    Region::PacketEnd => Place::PacketEnd,
                    Region::Stack(depth) => Place::Stack(depth),
                    Region::Map(map) => Place::Map(map),
                    Region::MapValue(map) => Place::MapValue(map),
                    Region::Memory { .. } | Region::Slice { .. } => Place::Memory,
                    Region::Function(_) => Place::Function,
                    Region::Kernel(_) | Region::StackObject(_) => Place::Kernel,
                },
                nullable: pointer.nullable,
                offset: pointer.off,
                variable: pointer.variable,
            },
        }
    }

    /// Of an address in the packet: what tells apart those whose unknown parts differ.
    pub fn packet_identity(&self, reg: Reg) -> Option<u32> {
        let pointer = self.state.register(reg).value.pointer()?;
        (pointer.region == Region::Packet).then_some(pointer.id)
    }

    /// What is known of a register, in words: "0..=255", "the packet + 14".
    pub fn describe(&self, reg: Reg) -> String {
        format!("{reg} is {}", self.state.register(reg).value)
    }

    /// Of a packet address: the last byte that comparisons with the packet's end cover, counted from the packet's start.
    pub fn proved_reach(&self, reg: Reg) -> Option<u64> {
        let pointer = self.state.register(reg).value.pointer()?;
        match (pointer.region, pointer.proved) {
            (Region::Packet, Proved::Bytes(bytes)) => {
                Some(pointer.variable.u64.1.saturating_add(u64::from(bytes)))
            }
            _ => None,
        }
    }

    /// The branches that lead here: slot, and whether it was taken.
    pub fn path(&self) -> Vec<(usize, bool)> {
        self.turns.0.list(self.turns.1)
    }

    /// The slots of the calls that lead to the frame that runs, outermost first; none for the program itself.
    pub fn call_sites(&self) -> impl Iterator<Item = usize> {
        self.state
            .frames
            .iter()
            .skip(1)
            .map(|frame| frame.call_site)
    }

    /// Depth of the frame that runs, 0 for the program itself.
    pub fn depth(&self) -> u8 {
        self.state.depth()
    }

    /// Bytes of the stack of the frame at `depth` that this path has written to so far, counted from the top and in
    /// whole slots: what the kernel keeps a state of.
    pub fn stack_bytes(&self, depth: u8) -> i32 {
        let frame = self.state.frames.get(usize::from(depth));
        frame.map_or(0, |frame| (frame.stack.len() * SLOT) as i32)
    }

    /// Whether a byte of the stack of the frame at `depth` is known to be 0 other than as part of a saved register
    /// (the kernel's `STACK_ZERO`). `offset` is -512..=-1.
    pub fn is_zero_byte(&self, depth: u8, offset: i32) -> bool {
        (-512..0).contains(&offset)
            && self
                .state
                .frames
                .get(usize::from(depth))
                .is_some_and(|frame| frame.slot(offset).bytes[byte_index(offset)] == Byte::Zero)
    }
}
