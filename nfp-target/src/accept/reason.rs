//! Why the driver refuses: its own words, and what to do.

use std::fmt;

/// Why a program or a map is refused. `Display` is what the driver says, for the stages where it says something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Maps of this kind stay on the host and cannot be used (EINVAL, no text).
    MapKind(u32),
    /// Any map flag (this is what `.rodata`, `.data` and `.bss` run into).
    MapFlags(u32),
    /// More elements than are left on the card.
    MapElements {
        /// Asked for.
        wanted: u32,
        /// What is left.
        left: u32,
    },
    /// Key and value together are too large.
    MapElementSize {
        /// Bytes, both rounded up to 8.
        size: u64,
        /// The card's limit.
        limit: u32,
    },
    /// The key is too large.
    MapKeySize {
        /// Bytes.
        size: u32,
        /// The card's limit.
        limit: u32,
    },
    /// The value is too large.
    MapValueSize {
        /// Bytes.
        size: u32,
        /// The card's limit.
        limit: u32,
    },
    /// More maps than the card has.
    MapCount {
        /// The card's limit.
        limit: u32,
    },
    /// An opcode without translation.
    Opcode(u8),
    /// An address in a map's first value, a kernel variable or function: nothing that a card has.
    HostAddress,
    /// A helper that is never offloaded.
    Helper(i32),
    /// A helper that this firmware lacks.
    Missing(&'static str),
    /// Metadata before the packet would have to move.
    AdjustHeadMetadata,
    /// A helper's argument points to the wrong place.
    ArgumentPlace {
        /// The helper, in the driver's words.
        helper: &'static str,
        /// `enum bpf_reg_type`.
        kind: u32,
    },
    /// A helper's stack argument is not at a known place.
    ArgumentVariable(&'static str),
    /// A helper's stack argument is not on a multiple of 4 bytes.
    ArgumentUnaligned {
        /// The helper.
        helper: &'static str,
        /// Offset from the frame's top.
        offset: i64,
    },
    /// One call is made with different maps.
    DifferentMap(&'static str),
    /// An update of a value that holds a counter of atomic additions, with bytes that may not be 0.
    UpdateOfCounter {
        /// Byte in the value.
        at: u32,
        /// Bytes of the value.
        of: u32,
    },
    /// An event for another CPU's buffer.
    EventCpu,
    /// An address of a kind that the driver does not load or store through.
    PointerKind(u32),
    /// One instruction with addresses of different kinds.
    PointerChange {
        /// `enum bpf_reg_type` on an earlier path.
        before: u32,
        /// On this one.
        after: u32,
    },
    /// A stack address with an unknown part.
    StackVariable,
    /// Stack addresses that differ in their lowest two bits.
    StackAlignment {
        /// Offset on an earlier path.
        before: i64,
        /// On this one.
        after: i64,
    },
    /// A store to the context other than to the receive queue.
    ContextStore,
    /// A plain store to a map's value.
    MapStore,
    /// A map value at an unknown offset.
    MapValueVariable,
    /// A word of a map's value is used in two ways.
    MapUse {
        /// The earlier use.
        before: &'static str,
        /// The later one.
        after: &'static str,
        /// Byte in the value.
        at: u32,
    },
    /// An atomic addition to a word that an update may have set.
    CounterInitialised {
        /// Byte in the value.
        at: u32,
    },
    /// An atomic operation other than a plain addition.
    Atomic(i32),
    /// An atomic addition to something else than a map's value.
    AtomicPlace(u32),
    /// An atomic addition of an address.
    AtomicOperand(u32),
    /// A factor above 32 bits.
    MultiplierRange,
    /// The other factor above 32 bits.
    MultiplicandRange,
    /// A negative constant factor in 64 bits.
    MultiplicandNegative,
    /// A dividend above 32 bits.
    DividendRange,
    /// A divisor that is not the same on all paths.
    DivisorVariable,
    /// A divisor above 32 bits.
    DivisorRange,
    /// A negative constant divisor.
    DivisorNegative,
    /// The frames together are too large.
    Stack {
        /// Bytes, each frame rounded up to 64.
        program: u32,
        /// The card's limit.
        limit: u32,
    },
    /// A store of a constant (`BPF_ST`): never translated (EINVAL, no text in the log).
    StoreImmediate,
    /// A byte of a caller's frame at a place that the translation cannot express (EINVAL, no text in the log).
    CallerFrameByte,
    /// A context field other than `data` and `data_end` (EINVAL, no text in the log).
    ContextField(i16),
    /// A shift by a register with a known amount that its width does not have (EINVAL, no text in the log).
    ShiftAmount(u8),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::MapKind(kind) => write!(f, "map type {kind} cannot be offloaded"),
            Reason::MapFlags(_) => f.write_str("map flags are not supported"),
            Reason::MapElements { wanted, left } => {
                write!(f, "map with too many elements: {wanted}, left: {left}")
            }
            Reason::MapElementSize { size, limit } => {
                write!(
                    f,
                    "map elements too large: {size}, FW max element size (key+value): {limit}"
                )
            }
            Reason::MapKeySize { size, limit } => {
                write!(f, "map key size too large: {size}, FW max: {limit}")
            }
            Reason::MapValueSize { size, limit } => {
                write!(f, "map value size too large: {size}, FW max: {limit}")
            }
            Reason::MapCount { limit } => write!(f, "too many maps: FW max: {limit}"),
            Reason::Opcode(code) => write!(f, "instruction {code:#04x} not supported"),
            Reason::HostAddress => f.write_str("an address that a card does not have"),
            Reason::Helper(id) => write!(f, "unsupported function id: {id}"),
            Reason::Missing("bpf_get_prandom_u32") => {
                f.write_str("bpf_get_prandom_u32(): FW doesn't support random number generation")
            }
            Reason::Missing(
                what @ ("map_lookup" | "map_update" | "map_delete" | "event_output"),
            ) => {
                write!(f, "{what}: not supported by FW")
            }
            Reason::Missing(what) => write!(f, "{what} not supported by FW"),
            Reason::AdjustHeadMetadata => f.write_str(
                "adjust_head: FW requires shifting metadata, not supported by the driver",
            ),
            Reason::ArgumentPlace { helper, kind } => {
                write!(f, "{helper}: unsupported ptr type {kind}")
            }
            Reason::ArgumentVariable(helper) => write!(f, "{helper}: variable pointer"),
            Reason::ArgumentUnaligned { helper, offset } => {
                write!(f, "{helper}: unaligned stack pointer {offset}")
            }
            Reason::DifferentMap(helper) => write!(f, "{helper}: called for different map"),
            Reason::UpdateOfCounter { at, of } => write!(
                f,
                "value at offset {at}/{of} may be non-zero, bpf_map_update_elem() is required to initialize \
                 atomic counters to zero to avoid offload endian issues"
            ),
            Reason::EventCpu => f.write_str("event_output: must use BPF_F_CURRENT_CPU"),
            Reason::PointerKind(kind) => write!(f, "unsupported ptr type: {kind}"),
            Reason::PointerChange { before, after } => {
                write!(f, "ptr type changed for instruction {before} -> {after}")
            }
            Reason::StackVariable => f.write_str("variable ptr stack access"),
            Reason::StackAlignment { before, after } => {
                write!(f, "stack access changed location was:{before} is:{after}")
            }
            Reason::ContextStore => f.write_str("unsupported store to context field"),
            Reason::MapStore => f.write_str("map writes not supported"),
            Reason::MapValueVariable => f.write_str("map value offset is variable"),
            Reason::MapUse { before, after, at } => {
                write!(
                    f,
                    "map value use type conflict {before} vs {after} off: {at}"
                )
            }
            Reason::CounterInitialised { at } => write!(
                f,
                "atomic counter in map value may already be initialized to non-zero value off: {at}"
            ),
            Reason::Atomic(operation) => write!(f, "atomic op not implemented: {operation}"),
            Reason::AtomicPlace(kind) => write!(f, "atomic add not to a map value pointer: {kind}"),
            Reason::AtomicOperand(kind) => write!(f, "atomic add not of a scalar: {kind}"),
            Reason::MultiplierRange => f.write_str("multiplier is not within u32 value range"),
            Reason::MultiplicandRange => f.write_str("multiplicand is not within u32 value range"),
            Reason::MultiplicandNegative => {
                f.write_str("sign extended multiplicand won't be within u32 value range")
            }
            Reason::DividendRange => f.write_str("dividend is not within u32 value range"),
            Reason::DivisorVariable => f.write_str("divisor is not constant"),
            Reason::DivisorRange => f.write_str("divisor is not within u32 value range"),
            Reason::DivisorNegative => f.write_str("divide by negative constant is not supported"),
            Reason::Stack { program, limit } => {
                write!(f, "stack too large: program {program}B > FW stack {limit}B")
            }
            Reason::StoreImmediate => f.write_str("a store of a constant is not translated"),
            Reason::CallerFrameByte => {
                f.write_str("an access to a byte of a caller's frame is not translated")
            }
            Reason::ContextField(offset) => {
                write!(f, "context field at offset {offset} is not translated")
            }
            Reason::ShiftAmount(amount) => write!(f, "a shift by {amount} is not translated"),
        }
    }
}

impl Reason {
    /// What to do about it, one line.
    pub fn help(&self) -> &'static str {
        match self {
            Reason::MapKind(_) => {
                "use a hash or an array map; per-CPU and LRU maps have no offloaded form"
            }
            Reason::MapFlags(_) => {
                "create the map without flags; constants in .rodata can become immediates"
            }
            Reason::MapElements { .. } => "use fewer elements",
            Reason::MapElementSize { .. }
            | Reason::MapKeySize { .. }
            | Reason::MapValueSize { .. } => {
                "use a smaller key or value, or split the value over two maps"
            }
            Reason::MapCount { .. } => "use fewer maps",
            Reason::Opcode(_) => {
                "build with -mcpu=v2 or v3; replace modulo by a mask, or by a division and a multiplication"
            }
            Reason::HostAddress => {
                "global variables and kernel functions cannot be offloaded: use an array map"
            }
            Reason::Helper(_) => {
                "offloaded programs have seven helpers: map lookup, update and delete, \
                                  get_prandom_u32, perf_event_output, xdp_adjust_head and xdp_adjust_tail"
            }
            Reason::Missing(_) | Reason::AdjustHeadMetadata => {
                "use firmware that has it, or do without it"
            }
            Reason::ArgumentPlace { .. } | Reason::ArgumentVariable(_) => {
                "copy keys and values to the stack, at a fixed place"
            }
            Reason::ArgumentUnaligned { .. } => "align keys and values on the stack to 4 bytes",
            Reason::DifferentMap(_) => "call the helper once for each map",
            Reason::UpdateOfCounter { .. } | Reason::CounterInitialised { .. } => {
                "write 0 to counters in an update, or keep them in a map of their own"
            }
            Reason::EventCpu => "pass BPF_F_CURRENT_CPU",
            Reason::PointerKind(_) | Reason::PointerChange { .. } => {
                "load and store through the packet, the stack and map values only, each instruction through one of them"
            }
            Reason::StackVariable | Reason::StackAlignment { .. } => {
                "use constant places on the stack"
            }
            Reason::ContextStore => "only rx_queue_index can be stored to",
            Reason::MapStore => "change map values by an update, or by atomic additions",
            Reason::MapValueVariable => "read map values at constant offsets",
            Reason::MapUse { .. } => {
                "a word that is added to atomically cannot be read by the program"
            }
            Reason::Atomic(_) => "only atomic additions without fetch are offloaded",
            Reason::AtomicPlace(_) | Reason::AtomicOperand(_) => "add numbers to map values only",
            Reason::MultiplierRange
            | Reason::MultiplicandRange
            | Reason::DividendRange
            | Reason::DivisorRange => "keep operands to 32 bits: use u32 variables, or mask them",
            Reason::MultiplicandNegative | Reason::DivisorNegative => "use a positive constant",
            Reason::DivisorVariable => "divide by constants only",
            Reason::Stack { .. } => {
                "use less stack: fewer or smaller variables, fewer nested subprograms"
            }
            Reason::StoreImmediate => {
                "put the constant into a register first: build with -mcpu=v3 or lower"
            }
            Reason::CallerFrameByte => "pass values to subprograms in registers, or inline them",
            Reason::ContextField(_) => "only data and data_end can be read",
            Reason::ShiftAmount(_) => "shift by less than the width",
        }
    }
}
