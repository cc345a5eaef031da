//! What a target takes of the instruction set, as far as passes can do something about it.

/// Forms of instructions and programs that a target takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Loads of parts of the context's fields.
    pub narrow_context: bool,
    /// Keys and values for map helpers that lie elsewhere than at known, aligned places of the stack.
    pub any_argument: bool,
    /// One instruction may access different kinds of memory.
    pub mixed_pointers: bool,
    /// Accesses of the stack at places that are not known.
    pub variable_stack: bool,
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
        narrow_context: true,
        any_argument: true,
        mixed_pointers: true,
        variable_stack: true,
        stack: 512,
        frame_alignment: 1,
    };
}
