//! What a target takes of the instruction set, as far as passes can do something about it.

/// Forms of instructions and programs that a target takes.
#[derive(Debug, Clone, Copy)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own"
)]
pub struct Forms {
    /// The program is bound to a device: the verifier's rules for those hold.
    pub offloaded: bool,
    /// Stores of constants (`BPF_ST`).
    pub store_immediate: bool,
    /// Instructions of ISA v4: signed division, sign-extending moves and loads, `bswap`, `gotol`.
    pub version_4: bool,
    /// Swaps to little-endian order.
    pub to_little: bool,
    /// Remainders.
    pub remainder: bool,
    /// Divisions by what is not constant, multiplications and divisions of more than 32 bits.
    pub wide_arithmetic: bool,
    /// Atomic operations other than an addition to a map value.
    pub atomics: bool,
    /// Flags of maps.
    pub map_flags: bool,
    /// Offsets below 0 from where a map value's pointer points to, and additions of the least constant.
    pub negative_offsets: bool,
    /// Whether it has a helper.
    pub helper: fn(i32) -> bool,
    /// Keys and values for map helpers that lie elsewhere than at known, aligned places of the stack.
    pub any_argument: bool,
    /// One instruction may access different kinds of memory.
    pub mixed_pointers: bool,
    /// Accesses of the stack at places that are not known.
    pub variable_stack: bool,
    /// Accesses of one and two bytes of a caller's stack.
    pub callers_stack: bool,
    /// Addresses in the first value of a map (`BPF_PSEUDO_MAP_VALUE`), as global variables have them.
    pub value_addresses: bool,
    /// Stores to map values.
    pub value_stores: bool,
    /// Bytes of stack of a program with its subprograms.
    pub stack: u32,
    /// Each frame is rounded up to this many bytes.
    pub frame_alignment: u32,
}

impl Forms {
    /// All that a kernel takes.
    pub const ALL: Self = Self {
        offloaded: false,
        store_immediate: true,
        version_4: true,
        to_little: true,
        remainder: true,
        wide_arithmetic: true,
        atomics: true,
        map_flags: true,
        negative_offsets: true,
        helper: |_| true,
        any_argument: true,
        mixed_pointers: true,
        variable_stack: true,
        callers_stack: true,
        value_addresses: true,
        value_stores: true,
        stack: 512,
        frame_alignment: 1,
    };
}

/// How a target runs an instruction otherwise than the instruction set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// After this store, the register that was stored holds something else.
    Stored,
    /// This 32-bit operation leaves the upper half of its destination as it was.
    UpperHalf,
}
