//! Why the driver refuses: its own text, and what it means for a person.

use std::fmt;

use offload_compiler::verify::{Code, Finding, Known, Place};

/// A reason of the driver to refuse a program. `Display` is the driver's own text, as it stands in the verifier's
/// log (after "[nfp] "), in dmesg, or in an extended ack.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the fields are named after what the texts say")]
pub enum Reason {
    /// The card keeps no maps at all.
    NoMaps { map: String },
    /// The kernel offloads no maps of this kind.
    MapKindNever { map: String, kind: u32 },
    /// The kernel makes no map of this kind with such a key or value.
    MapSizes { map: String },
    /// The card keeps no maps of this kind.
    MapKind { map: String },
    /// A map with flags.
    MapFlags { map: String, flags: u32 },
    /// More maps than the card keeps.
    MapCount { map: String, most: u32 },
    /// More elements than the card has room for.
    MapElements { map: String, wanted: u32, left: u32 },
    /// Key and value are too large together.
    MapElementSize { map: String, size: u32, most: u32 },
    /// The key is too large.
    MapKeySize { map: String, size: u32, most: u32 },
    /// The value is too large.
    MapValueSize { map: String, size: u32, most: u32 },
    /// No translation for this opcode.
    Opcode { code: u8 },
    /// A helper that the driver does not know.
    Helper { id: i32, name: &'static str },
    /// A helper that the driver knows and this card does not have.
    HelperMissing { id: i32 },
    /// The card keeps metadata before the packet, which the driver cannot shift.
    AdjustHeadMetadata,
    /// A map helper is given memory other than the stack.
    ArgumentKind {
        helper: &'static str,
        kind: PointerKind,
    },
    /// At a place that is not known.
    ArgumentVariable { helper: &'static str },
    /// Not at a multiple of four bytes.
    ArgumentAlignment { helper: &'static str, distance: i64 },
    /// `bpf_perf_event_output` for another CPU than the current.
    EventCpu { flags: String },
    /// Data for an event from elsewhere than stack, packet or map value.
    EventPointer { kind: PointerKind },
    /// Data for an event from different kinds of memory on different paths.
    EventPointerChanged { was: PointerKind, is: PointerKind },
    /// A value that is counted atomically is set to something other than 0.
    CounterSetNonZero { byte: u32, stack: u32 },
    /// A word that may have been set to something other than 0 is counted atomically.
    CounterMaybeNonZero { offset: u32 },
    /// A word of a map value is both counted and read.
    UseConflict {
        was: &'static str,
        is: &'static str,
        offset: u32,
    },
    /// A map value at a place that is not known.
    MapOffsetVariable,
    /// A place after the end of a map value.
    MapBounds,
    /// The driver itself reads what is no longer its memory, as it looks at this before the verifier does. What it
    /// decides is chance, and the host may crash.
    DriverOverrun(Overrun),
    /// A store to a map value.
    MapWrite { map: Option<u32> },
    /// Memory of a kind that the card cannot reach.
    Pointer { kind: PointerKind },
    /// Different kinds of memory on different paths.
    PointerChanged { was: PointerKind, is: PointerKind },
    /// The stack at a place that is not known.
    StackVariable,
    /// The stack at places of different alignment on different paths.
    StackMoved { was: i32, is: i32 },
    /// A store to the context.
    ContextStore,
    /// The card lets no program choose the queue.
    QueueSelect,
    /// An atomic operation other than a plain addition.
    Atomic { imm: i32 },
    /// An atomic addition elsewhere than to a map value.
    AtomicPlace { kind: PointerKind },
    /// An atomic addition of an address.
    AtomicOperand { kind: PointerKind },
    /// The number that is multiplied may have more than 32 bits.
    Multiplier { most: u64 },
    /// The factor may have more than 32 bits.
    Multiplicand { most: u64 },
    /// A negative constant factor.
    MultiplicandNegative,
    /// The number that is divided may have more than 32 bits.
    Dividend { most: u64 },
    /// The divisor is not known.
    DivisorVariable { least: u64, most: u64 },
    /// The divisor has more than 32 bits.
    DivisorLarge,
    /// A negative constant divisor.
    DivisorNegative,
    /// The divisor is a register that is always 0. The driver's translation divides by it, and the host crashes
    /// (`wrp_div_imm`, Linux 6.12).
    DivisorZero,
    /// The frames of all subprograms need more stack than the card has.
    Stack { needed: u32, available: u32 },
    /// The translation of this instruction fails, and only the kernel log tells.
    Untranslatable {
        text: String,
        error: i32,
        what: Untranslatable,
    },
    /// More words than the card's code store has.
    CodeStore { words: u32 },
    /// Packet bytes that the card keeps elsewhere.
    PacketReach { reach: u64, available: u32 },
}

/// What cannot be translated though it passed the driver's check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Untranslatable {
    /// A store of a constant.
    StoreImmediate,
    /// A field of the context.
    ContextField,
    /// A shift by a known amount in a register that has more bits than the operation.
    Shift,
    /// A narrow access through a caller's stack pointer.
    CallerStack,
    /// Anything else.
    Other,
}

/// What makes the driver read outside of its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overrun {
    /// `bpf_map_update_elem` on a map that stays on the host.
    HostMap,
    /// `bpf_map_update_elem` with a value that lies partly above the stack, or below what was used of it so far.
    UpdateValue,
    /// An access that begins before a map value and ends in it.
    MapValue,
}

/// Where a program is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Creating a map.
    Map,
    /// Loading: the driver's check beside the verifier.
    Verification,
    /// Loading: the translation; the kernel log has the driver's text.
    Translation,
    /// Attaching.
    Attach,
}

/// The kernel's `enum bpf_reg_type` (Linux 6.12), which the driver prints as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PointerKind(pub u16);

impl PointerKind {
    pub(super) const SCALAR: Self = Self(1);
    pub(super) const MAP_VALUE: Self = Self(4);
    pub(super) const STACK: Self = Self(6);
    pub(super) const PACKET: Self = Self(8);
    pub(super) const CONTEXT: Self = Self(2);
    /// `PTR_MAYBE_NULL`
    const NULLABLE: u16 = 1 << 8;

    /// The kind of what a register holds.
    pub(super) fn of(known: &Known) -> Self {
        match known {
            Known::Nothing => Self(0),
            Known::Number(_) => Self::SCALAR,
            Known::Address {
                place, nullable, ..
            } => {
                let base = match place {
                    Place::Context => Self::CONTEXT.0,
                    Place::Map(_) => 3,
                    Place::MapValue(_) => Self::MAP_VALUE.0,
                    Place::Stack(_) => Self::STACK.0,
                    Place::PacketMeta => 7,
                    Place::Packet => Self::PACKET.0,
                    Place::PacketEnd => 9,
                    Place::Memory => 18,
                    Place::Kernel => 16,
                    Place::Function => 21,
                };
                Self(base | if *nullable { Self::NULLABLE } else { 0 })
            }
        }
    }

    fn words(self) -> &'static str {
        match self.0 {
            0 => "nothing",
            1 => "a number",
            2 => "the context",
            3 => "a map",
            4 => "a map value",
            6 => "the stack",
            7 => "the metadata before the packet",
            8 => "the packet",
            9 => "the packet's end",
            21 => "a function",
            kind if kind & Self::NULLABLE != 0 => "something that may be null",
            _ => "kernel memory",
        }
    }
}

impl fmt::Display for PointerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Reason {
    #[allow(clippy::match_same_arms, reason = "one arm a text")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMaps { .. } => f.write_str("Operation not supported"),
            Self::MapKindNever { .. } | Self::MapSizes { .. } => f.write_str("Invalid argument"),
            Self::MapKind { .. } => f.write_str("map type not supported"),
            Self::MapFlags { .. } => f.write_str("map flags are not supported"),
            Self::MapCount { .. } => f.write_str("too many maps for a device"),
            Self::MapElements { wanted, left, .. } => {
                write!(f, "map with too many elements: {wanted}, left: {left}")
            }
            Self::MapElementSize { size, most, .. } => write!(
                f,
                "map elements too large: {size}, FW max element size (key+value): {most}"
            ),
            Self::MapKeySize { size, most, .. } => write!(f, "map key size {size}, FW max is {most}"),
            Self::MapValueSize { size, most, .. } => {
                write!(f, "map value size {size}, FW max is {most}")
            }
            Self::Opcode { code } => write!(f, "instruction {code:#04x} not supported"),
            Self::Helper { id, .. } => write!(f, "unsupported function id: {id}"),
            Self::HelperMissing { id } => f.write_str(match id {
                1 => "map_lookup: not supported by FW",
                2 => "map_update: not supported by FW",
                3 => "map_delete: not supported by FW",
                7 => "bpf_get_prandom_u32(): FW doesn't support random number generation",
                25 => "event_output: not supported by FW",
                44 => "adjust_head not supported by FW",
                _ => "adjust_tail not supported by FW",
            }),
            Self::AdjustHeadMetadata => f.write_str(
                "adjust_head: FW requires shifting metadata, not supported by the driver",
            ),
            Self::ArgumentKind { helper, kind } => write!(f, "{helper}: unsupported ptr type {kind}"),
            Self::ArgumentVariable { helper } => write!(f, "{helper}: variable pointer"),
            Self::ArgumentAlignment { helper, distance } => {
                write!(f, "{helper}: unaligned stack pointer {distance}")
            }
            Self::EventCpu { flags } => {
                write!(f, "event_output: must use BPF_F_CURRENT_CPU, var_off: {flags}")
            }
            Self::EventPointer { kind } => write!(f, "event_output: unsupported ptr type: {kind}"),
            Self::EventPointerChanged { was, is } => {
                write!(f, "event_output: ptr type changed: {was} {is}")
            }
            Self::CounterSetNonZero { byte, stack } => write!(
                f,
                "value at offset {byte}/{stack} may be non-zero, bpf_map_update_elem() is required to initialize atomic counters to zero to avoid offload endian issues"
            ),
            Self::CounterMaybeNonZero { offset } => write!(
                f,
                "atomic counter in map value may already be initialized to non-zero value off: {offset}"
            ),
            Self::UseConflict { was, is, offset } => {
                write!(f, "map value use type conflict {was} vs {is} off: {offset}")
            }
            Self::MapOffsetVariable => f.write_str("map value offset is variable"),
            Self::MapBounds => f.write_str("map value access out-of-bounds"),
            Self::DriverOverrun(_) => f.write_str("(no text: it reads outside of its memory)"),
            Self::MapWrite { .. } => f.write_str("map writes not supported"),
            Self::Pointer { kind } => write!(f, "unsupported ptr type: {kind}"),
            Self::PointerChanged { was, is } => {
                write!(f, "ptr type changed for instruction {was} -> {is}")
            }
            Self::StackVariable => f.write_str("variable ptr stack access"),
            Self::StackMoved { was, is } => {
                write!(f, "stack access changed location was:{was} is:{is}")
            }
            Self::ContextStore => f.write_str("unsupported store to context field"),
            Self::QueueSelect => f.write_str("queue selection not supported by FW"),
            Self::Atomic { imm } => write!(f, "atomic op not implemented: {imm}"),
            Self::AtomicPlace { kind } => {
                write!(f, "atomic add not to a map value pointer: {kind}")
            }
            Self::AtomicOperand { kind } => write!(f, "atomic add not of a scalar: {kind}"),
            Self::Multiplier { .. } => f.write_str("multiplier is not within u32 value range"),
            Self::Multiplicand { .. } => f.write_str("multiplicand is not within u32 value range"),
            Self::MultiplicandNegative => {
                f.write_str("sign extended multiplicand won't be within u32 value range")
            }
            Self::Dividend { .. } => f.write_str("dividend is not within u32 value range"),
            Self::DivisorVariable { .. } => f.write_str("divisor is not constant"),
            Self::DivisorLarge => f.write_str("divisor is not within u32 value range"),
            Self::DivisorNegative => f.write_str("divide by negative constant is not supported"),
            Self::DivisorZero => f.write_str("(no text: it divides by zero itself)"),
            Self::Stack { needed, available } => {
                write!(f, "stack too large: program {needed}B > FW stack {available}B")
            }
            Self::Untranslatable { error, .. } => write!(f, "Translation failed with error {error}"),
            Self::CodeStore { words } => {
                write!(f, "instruction limit reached ({words} NFP instructions)")
            }
            Self::PacketReach { .. } => f.write_str(
                "BPF offload not supported with potential packet access beyond HW packet split boundary",
            ),
        }
    }
}

impl Reason {
    /// Where it shows.
    pub fn stage(&self) -> Stage {
        match self {
            Self::NoMaps { .. }
            | Self::MapKindNever { .. }
            | Self::MapSizes { .. }
            | Self::MapKind { .. }
            | Self::MapFlags { .. }
            | Self::MapCount { .. }
            | Self::MapElements { .. }
            | Self::MapElementSize { .. }
            | Self::MapKeySize { .. }
            | Self::MapValueSize { .. } => Stage::Map,
            Self::Untranslatable { .. } | Self::CodeStore { .. } | Self::DivisorZero => {
                Stage::Translation
            }
            Self::PacketReach { .. } => Stage::Attach,
            _ => Stage::Verification,
        }
    }

    /// The reason as a finding at a slot, with the driver's text among what was known.
    pub fn finding(&self, slot: usize) -> Finding {
        let (code, message, help) = self.explained();
        let finding = Finding::error(code, slot, message);
        let finding = match self.stage() {
            Stage::Map => finding.knowing(match self {
                Self::NoMaps { .. } | Self::MapKindNever { .. } | Self::MapSizes { .. } => {
                    format!("creating the map fails: {self}")
                }
                _ => format!("the driver writes to the kernel log: \"NFP net bpf: {self}\""),
            }),
            Stage::Verification => finding.knowing(format!("the driver says: \"[nfp] {self}\"")),
            Stage::Translation => finding.knowing(format!(
                "loading fails with \"Invalid argument\" and nothing else; the driver writes to the kernel log: \"NFP net bpf: {self}\""
            )),
            Stage::Attach => finding.knowing(format!("attaching fails: \"nfp: {self}\"")),
        };
        finding.help(help)
    }

    /// What to do about it, one line.
    pub fn help(&self) -> String {
        self.explained().2
    }

    /// The code, what is wrong, and what would help.
    fn explained(&self) -> (Code, String, String) {
        let (code, message, help): (Code, String, &str) = match self {
            Self::NoMaps { map } => (
                Code::OffloadMap,
                format!("map {map} cannot be on the card: its firmware keeps no maps"),
                "use a firmware with maps, or run in native mode",
            ),
            Self::MapKindNever { map, kind } => (
                Code::OffloadMap,
                format!(
                    "map {map} is of kind {}, but only hash and array maps can be on a card",
                    offload_compiler::target::map_kind_name(*kind)
                        .map_or_else(|| kind.to_string(), str::to_owned)
                ),
                "use BPF_MAP_TYPE_HASH or BPF_MAP_TYPE_ARRAY; a per-CPU counter becomes an array with atomic additions (__sync_fetch_and_add)",
            ),
            Self::MapSizes { map } => (
                Code::OffloadMap,
                format!("the kernel makes no map like {map}: key, value and max_entries are more than 0, an array's key has four bytes, a perf event array's value too"),
                "give the map a key and a value of the right size, and max_entries",
            ),
            Self::MapKind { map } => (
                Code::OffloadMap,
                format!("this card's firmware keeps no maps of the kind of {map}"),
                "use a hash or array map, whichever the firmware has",
            ),
            Self::MapFlags { map, flags } => (
                Code::OffloadMap,
                format!("map {map} has flags ({flags:#x}), and a map on the card may have none"),
                "leave out map_flags; global variables (.data, .rodata, .bss) are maps with flags, so use constants instead, or an array map that is looked up",
            ),
            Self::MapCount { map, most } => (
                Code::OffloadMap,
                format!("map {map} is one too many: the card keeps {most}"),
                "put values of several maps into one",
            ),
            Self::MapElements { map, wanted, left } => (
                Code::OffloadMap,
                format!("map {map} wants {wanted} entries, the card has room for {left}"),
                "lower max_entries",
            ),
            Self::MapElementSize { map, size, most } => (
                Code::OffloadMap,
                format!(
                    "an element of map {map} takes {size} bytes (key and value, each rounded up to 8), the card takes {most}"
                ),
                "make key or value smaller, or split the value over two maps",
            ),
            Self::MapKeySize { map, size, most } => (
                Code::OffloadMap,
                format!("keys of map {map} have {size} bytes, the card takes {most}"),
                "make the key smaller, by a hash of it for instance",
            ),
            Self::MapValueSize { map, size, most } => (
                Code::OffloadMap,
                format!("values of map {map} have {size} bytes, the card takes {most}"),
                "make the value smaller, or split it over two maps",
            ),
            Self::Opcode { code } => (
                Code::OffloadInstruction,
                format!("the driver has no translation for this instruction (opcode {code:#04x})"),
                opcode_help(*code),
            ),
            Self::Helper { id, name } => (
                Code::OffloadHelper,
                format!("the card has no {name} (helper {id})"),
                "on the card there are map lookup, update and delete, bpf_get_prandom_u32, bpf_perf_event_output, bpf_xdp_adjust_head and bpf_xdp_adjust_tail",
            ),
            Self::HelperMissing { id } => (
                Code::OffloadHelper,
                format!(
                    "this card's firmware does not offer {}",
                    offload_compiler::isa::functions::name(*id).unwrap_or("this helper")
                ),
                "use another firmware, or run in native mode",
            ),
            Self::AdjustHeadMetadata => (
                Code::OffloadHelper,
                "this card's firmware keeps metadata before the packet, so bpf_xdp_adjust_head cannot be used".to_owned(),
                "use another firmware, or run in native mode",
            ),
            Self::ArgumentKind { helper, kind } => (
                Code::OffloadHelperArgument,
                format!("{helper}: the card takes keys and values from the stack only, this is {}", kind.words()),
                "copy it to a variable on the stack first",
            ),
            Self::ArgumentVariable { helper } => (
                Code::OffloadHelperArgument,
                format!("{helper}: the place on the stack is not known when the program is loaded"),
                "give the helper a variable of its own, not an element chosen at run time",
            ),
            Self::ArgumentAlignment { helper, distance } => (
                Code::OffloadHelperArgument,
                format!("{helper}: {distance} bytes below the frame pointer is not a multiple of four"),
                "align it: __attribute__((aligned(4))), or pad the structure around it",
            ),
            Self::EventCpu { .. } => (
                Code::OffloadHelperArgument,
                "bpf_perf_event_output on the card takes BPF_F_CURRENT_CPU only".to_owned(),
                "pass BPF_F_CURRENT_CPU",
            ),
            Self::EventPointer { kind } => (
                Code::OffloadHelperArgument,
                format!("the card takes data for events from stack, packet or map value, this is {}", kind.words()),
                "copy it to the stack first",
            ),
            Self::EventPointerChanged { was, is } => (
                Code::OffloadHelperArgument,
                format!("on one path the event's data are in {}, on another in {}", was.words(), is.words()),
                "call bpf_perf_event_output once for each",
            ),
            Self::CounterSetNonZero { byte, .. } => (
                Code::OffloadMapAccess,
                format!("byte {byte} of the value may not be 0, and the word is counted atomically elsewhere"),
                "a counter on the card has another byte order: it may only be set to 0, by a value that is zeroed byte-wise; keep counters in a map of their own that user space fills",
            ),
            Self::CounterMaybeNonZero { offset } => (
                Code::OffloadMapAccess,
                format!("the counter at byte {offset} of the value may have been set to something other than 0 by bpf_map_update_elem"),
                "a counter on the card has another byte order: let user space create the entries, or keep counters in a map of their own",
            ),
            Self::UseConflict { was, is, offset } => (
                Code::OffloadMapAccess,
                format!("the word at byte {offset} of the map value is {} and {}", use_words(was), use_words(is)),
                "a word that is counted atomically has another byte order on the card: read it from user space only, or count elsewhere",
            ),
            Self::MapBounds => (
                Code::OffloadMapAccess,
                "the access is outside of the map value".to_owned(),
                "stay within the value's size",
            ),
            Self::DriverOverrun(overrun) => (
                Code::OffloadMapAccess,
                match overrun {
                    Overrun::HostMap => "the map stays on the host, and the driver takes it for one of the card's: it reads outside of its memory, and the host may crash",
                    Overrun::UpdateValue => "part of the value to write is outside of the stack that was used so far: the driver reads outside of its memory there, and the host may crash",
                    Overrun::MapValue => "the access begins before the map value: the driver writes outside of its memory there, and the host may crash",
                }
                .to_owned(),
                match overrun {
                    Overrun::HostMap => "only user space can change a perf event array",
                    Overrun::UpdateValue => "set all bytes of the value, as the map's value_size has it, before the call",
                    Overrun::MapValue => "stay within the value's size",
                },
            ),
            Self::MapOffsetVariable => (
                Code::OffloadMapAccess,
                "the place in the map value is not known when the program is loaded".to_owned(),
                "use the index as the map's key instead of indexing an array inside the value",
            ),
            Self::MapWrite { .. } => (
                Code::OffloadMapAccess,
                "programs on the card cannot store to map values".to_owned(),
                "count with __sync_fetch_and_add, or build the value on the stack and call bpf_map_update_elem",
            ),
            Self::Pointer { kind } => (
                Code::OffloadPointer,
                format!("the card cannot access {}", kind.words()),
                "on the card there are context, packet, stack and map values",
            ),
            Self::PointerChanged { was, is } => (
                Code::OffloadPointer,
                format!("on one path this accesses {}, on another {}", was.words(), is.words()),
                "access each with an instruction of its own: do not choose between two pointers",
            ),
            Self::StackVariable => (
                Code::OffloadStack,
                "the place on the stack is not known when the program is loaded".to_owned(),
                "do not index an array on the stack by a variable: use a map, or unroll the loop over it",
            ),
            Self::StackMoved { was, is } => (
                Code::OffloadStack,
                format!("on one path this is stack offset {was}, on another {is}: their alignment to four bytes differs"),
                "align both: __attribute__((aligned(4)))",
            ),
            Self::ContextStore => (
                Code::OffloadContext,
                "the only field of the context that can be stored to is rx_queue_index".to_owned(),
                "change the packet itself, or move its ends with bpf_xdp_adjust_head or bpf_xdp_adjust_tail",
            ),
            Self::QueueSelect => (
                Code::OffloadContext,
                "this card's firmware lets no program choose the receive queue".to_owned(),
                "use another firmware, or leave the queue to RSS",
            ),
            Self::Atomic { .. } => (
                Code::OffloadInstruction,
                "the only atomic operation on the card is the plain addition".to_owned(),
                "use __sync_fetch_and_add and do not use its result",
            ),
            Self::AtomicPlace { kind } => (
                Code::OffloadInstruction,
                format!("atomic additions on the card go to map values only, this is {}", kind.words()),
                "use a plain addition here",
            ),
            Self::AtomicOperand { kind } => (
                Code::OffloadInstruction,
                format!("what is added atomically has to be a number, this is the address of {}", kind.words()),
                "add a number",
            ),
            Self::Multiplier { most } => (
                Code::OffloadArithmetic,
                format!("the card multiplies numbers of 32 bits, this one may reach {most}"),
                "convert it to __u32 first, or mask it, so that the verifier knows that it fits",
            ),
            Self::Multiplicand { most } => (
                Code::OffloadArithmetic,
                format!("the card multiplies by numbers of 32 bits, the factor may reach {most}"),
                "convert it to __u32 first, or mask it, so that the verifier knows that it fits",
            ),
            Self::MultiplicandNegative => (
                Code::OffloadArithmetic,
                "the card cannot multiply 64 bit numbers by a negative constant".to_owned(),
                "multiply by the positive constant and negate",
            ),
            Self::Dividend { most } => (
                Code::OffloadArithmetic,
                format!("the card divides numbers of 32 bits, this one may reach {most}"),
                "convert it to __u32 first, or shift instead where the divisor is a power of two",
            ),
            Self::DivisorVariable { least, most } => (
                Code::OffloadArithmetic,
                format!("the card divides by constants only, this divisor may be {least} to {most}"),
                "divide by a constant; where there are a few divisors, choose among them with a switch",
            ),
            Self::DivisorLarge => (
                Code::OffloadArithmetic,
                "the card divides by numbers of 32 bits only".to_owned(),
                "the result is 0 where the dividend has 32 bits: compare instead",
            ),
            Self::DivisorNegative => (
                Code::OffloadArithmetic,
                "the card cannot divide by a negative constant".to_owned(),
                "divide by the positive constant and negate",
            ),
            Self::DivisorZero => (
                Code::OffloadArithmetic,
                "the divisor is always 0 here: the driver divides by it while it translates, and the host crashes"
                    .to_owned(),
                "divide by another constant; eBPF defines the result as 0",
            ),
            Self::Stack { needed, available } => (
                Code::OffloadStack,
                format!("the frames of the deepest chain of calls need {needed} bytes, each rounded up to 64, the card has {available}"),
                "use less stack, or inline subprograms so that they share a frame",
            ),
            Self::Untranslatable { what, .. } => what.explained(),
            Self::CodeStore { words } => (
                Code::OffloadCodeSize,
                format!("the translation is longer than the card's code store of {words} words"),
                "make the program smaller: two words an instruction is usual, large constants and variable shifts cost more",
            ),
            Self::PacketReach { reach, available } => (
                Code::OffloadPacketReach,
                format!("this may reach byte {reach} of the packet, the card keeps {available} where programs can read"),
                "bound the offset, or lower the interface's MTU",
            ),
        };
        (code, message, help.to_owned())
    }
}

impl Untranslatable {
    fn explained(self) -> (Code, String, &'static str) {
        match self {
            Self::StoreImmediate => (
                Code::OffloadInstruction,
                "the driver cannot translate the store of a constant".to_owned(),
                "`xdp-offload compile --target nfp` stores it from a register; in C, make the constant volatile or compile with -mcpu=v1..v3 for clang before 17",
            ),
            Self::ContextField => (
                Code::OffloadContext,
                "of the context, the card has only data and data_end".to_owned(),
                "do not read ingress_ifindex, rx_queue_index or data_meta",
            ),
            Self::Shift => (
                Code::OffloadArithmetic,
                "the shift's amount is always the same and has more bits than the number"
                    .to_owned(),
                "mask the amount: `x << (n & 31)`, or `& 63` for 64 bit numbers",
            ),
            Self::CallerStack => (
                Code::OffloadStack,
                "the driver cannot translate this narrow access to the caller's stack".to_owned(),
                "access four aligned bytes at once, or inline the subprogram",
            ),
            Self::Other => (
                Code::OffloadInstruction,
                "the driver cannot translate this instruction".to_owned(),
                "rewrite the statement",
            ),
        }
    }
}

fn use_words(name: &str) -> &'static str {
    match name {
        "read" => "read",
        "atomic" => "counted atomically",
        _ => "written",
    }
}

fn opcode_help(code: u8) -> &'static str {
    match code {
        0x94 | 0x97 | 0x9c | 0x9f => {
            "`a % n` is `a - a / n * n` for a constant n; for a power of two it is `a & (n - 1)`"
        }
        0xd4 => "on little-endian hosts this only cuts the number off: use a cast",
        0xd7 => "compile with -mcpu=v3, which swaps by bpf_htons and friends",
        0x06 => "compile with -mcpu=v3, which has no long jumps",
        0x81 | 0x89 | 0x91 => "compile with -mcpu=v3, which extends the sign by shifts",
        0xe5 => "bound the loop by a counter instead of cond_break or may_goto",
        _ => "compile with -mcpu=v3",
    }
}
