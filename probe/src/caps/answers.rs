//! What a device answered: plain facts, no verdict. `judge` makes a profile of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Answers {
    /// The driver's own words about a helper that no card has; "" where it takes it or says nothing.
    pub words: String,
    /// The beginning of the registers that the device shows (`ethtool -d`); `None` where it shows none.
    pub registers: Option<Vec<u8>>,
    /// Helpers.
    pub helpers: Vec<Asked>,
    /// Instructions.
    pub instructions: Vec<Asked>,
    /// Kinds of maps.
    pub map_kinds: Vec<Asked>,
    /// Flags of maps.
    pub map_flags: Vec<Asked>,
    /// Sizes of maps; `None` where no map can be made.
    pub maps: Option<MapLimits>,
    /// Programs.
    pub program: ProgramLimits,
    /// `bpf_xdp_adjust_head`; `None` where it is refused.
    pub adjust_head: Option<AdjustHead>,
    /// Pairs of instructions that mean different things, and have the same machine code on the device.
    pub alike: Vec<Alike>,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// What: a helper, an instruction, a kind, a flag.
    pub what: String,
    /// How it ended.
    pub answer: Answer,
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The device takes it.
    Taken,
    /// The device refuses it, and the kernel takes it elsewhere.
    Refused {
        /// The kernel's errno.
        errno: i32,
        /// The driver's words, without the verifier's; often there are none.
        words: String,
    },
    /// The kernel itself refuses it.
    Kernel {
        /// Its errno.
        errno: i32,
    },
}

impl Answer {
    /// Whether it was taken.
    pub fn is_taken(&self) -> bool {
        *self == Self::Taken
    }
}

/// A number that was found by trying larger and smaller ones.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct Limit {
    /// The largest that was taken.
    pub most: u32,
    /// Nothing larger can be tried: the device may take more.
    pub open: bool,
}

/// What maps the device keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MapLimits {
    /// Maps at a time, with those of others.
    pub count: Limit,
    /// Elements of all maps together, with those of others; of one map with `elements_a_map`.
    pub elements: Limit,
    /// The number of elements is limited for each map alone.
    pub elements_a_map: bool,
    /// Bytes of a key.
    pub key: Limit,
    /// Bytes of a value.
    pub value: Limit,
    /// Bytes of the largest key and value together, each rounded up to 8.
    pub element: Limit,
    /// Maps of others that were there meanwhile.
    pub others: u32,
    /// Their elements.
    pub others_elements: u32,
}

/// How large programs can be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ProgramLimits {
    /// eBPF instructions of the longest program that was taken, each as short as possible on the device.
    pub instructions: Limit,
    /// Words of its machine code, 8 bytes each; 0 where the device shows no machine code.
    pub words: u32,
    /// Bytes of stack, in steps of 64.
    pub stack: Limit,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            most: 0,
            open: true,
        }
    }
}

/// How `bpf_xdp_adjust_head` is translated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdjustHead {
    /// The machine code of a program that moves the packet's start by a number that nobody knows.
    pub code: Vec<u64>,
    /// The most bytes that are added in front with less code: without a look whether there is room.
    pub unchecked_front: Limit,
    /// The most that are taken away so.
    pub unchecked_back: Limit,
}

/// Two instructions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alike {
    /// The one that is translated rightly.
    pub right: String,
    /// The one that gets the same machine code and must not.
    pub wrong: String,
}
