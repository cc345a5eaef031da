//! What the verifier is given: code, and all that the code refers to.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::isa::Code;

use super::kernel_function::KernelFunction;
use super::kernel_types::KernelTypes;

/// A program to verify.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// The instructions, all functions in one piece; slot 0 is the program's first.
    pub code: &'a Code,
    /// The maps that the code may use.
    pub maps: &'a [MapShape],
    /// What the `ld_imm64` at a slot loads, where it is a map or an address in a map's value.
    pub map_at: &'a HashMap<usize, MapReference>,
    /// The functions by their first slot, ascending; the program itself is first.
    pub functions: &'a [Function],
    /// The kernel functions that are called, by BTF id and index into the load's `fd_array`.
    pub kernel_functions: &'a HashMap<(i32, i16), KernelFunction>,
    /// The kernel's structures, where they are known.
    pub kernel_types: Option<&'a KernelTypes>,
    /// The load says what each function is (`func_info`); the address of one can be taken only then.
    pub has_function_info: bool,
    /// Where the program is to run.
    pub hook: Hook,
    /// What the one who loads may do, and what the kernel knows.
    pub rules: Rules,
}

/// What a `ld_imm64` refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapReference {
    /// Index into [`Input::maps`].
    pub map: u32,
    /// The address of the first value plus this many bytes; `None` for the map itself.
    pub value_offset: Option<u32>,
}

/// The places where an XDP program can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hook {
    /// On an interface.
    #[default]
    Interface,
    /// After a redirect into a devmap: `egress_ifindex` can be read.
    Devmap,
    /// On the CPU that a cpumap redirected to.
    Cpumap,
}

/// A function of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name, empty where unknown.
    pub name: String,
    /// Its first slot.
    pub start: usize,
    /// How many slots it has.
    pub len: usize,
    /// The arguments of a global function, which is verified on its own; `None`: verified at each call.
    pub global: Option<Vec<GlobalArg>>,
}

/// An argument of a global function, as its BTF declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GlobalArg {
    /// The context.
    Context,
    /// A number.
    Number,
    /// A pointer to memory of this size; may be null unless declared otherwise.
    Memory {
        /// Bytes.
        size: u32,
        /// `__arg_nonnull` is not declared.
        nullable: bool,
    },
    /// Something that is not modelled.
    Other,
}

/// What is fixed about a map.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MapShape {
    /// Its name, for messages.
    pub name: String,
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// `map_flags`.
    pub flags: u32,
    /// Capacity.
    pub max_entries: u32,
    /// The value of a frozen map that no one can write any more.
    pub constant: Option<Vec<u8>>,
    /// Parts of the value that only helpers may touch.
    pub special: Vec<SpecialField>,
    /// The maps that a map of maps holds.
    pub inner: Option<Box<MapShape>>,
}

/// A part of a map value that only helpers may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialField {
    /// What it is.
    pub kind: SpecialKind,
    /// Offset into the value.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// The kinds of [`SpecialField`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialKind {
    /// `struct bpf_spin_lock`
    SpinLock,
    /// `struct bpf_timer`
    Timer,
    /// Other kernel structures: kptrs, list heads, ...
    Other,
}

/// What the loader may do and the kernel knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// CAP_PERFMON: addresses may be stored, compared and returned.
    pub leaks_allowed: bool,
    /// CAP_PERFMON and Linux 6.3: stack bytes may be read that were never written.
    pub uninitialised_stack_allowed: bool,
    /// The license is GPL-compatible.
    pub gpl: bool,
    /// The program is bound to a device: it may choose the receive queue by a store to `rx_queue_index`
    /// (net/core/filter.c `xdp_is_valid_access`).
    pub offloaded: bool,
    /// A lookup with a known key in an array finds a value: since Linux 6.15 (d2102f2f5d75).
    pub known_lookups: bool,
    /// The range of a negated number is known: since Linux 6.18 (`scalar_min_max_sub` for BPF_NEG); before, it is any
    /// number.
    pub known_negations: bool,
    /// Every number counts where paths are compared, not only those that safety hung on: more paths are walked than the
    /// kernel walks, and what is seen of numbers on them holds on all.
    pub every_number_counts: bool,
    /// Frames take multiples of 16 bytes of stack, none if they use none: with the JIT (`round_up_stack_depth`).
    /// Otherwise they take multiples of 32 bytes, at least 32.
    pub fine_frames: bool,
    /// Instructions that may be followed over all paths (BPF_COMPLEXITY_LIMIT_INSNS: 1,000,000).
    pub instructions: usize,
    /// Paths that may wait to be walked at one time: one for each branch on the path that can go both ways
    /// (BPF_COMPLEXITY_LIMIT_JMP_SEQ: 8192).
    pub waiting_paths: usize,
    /// Bytes that the history of values, and the states that are kept and that wait, may take together.
    pub memory: usize,
}

impl Default for Rules {
    /// Root on a current kernel.
    fn default() -> Self {
        Self {
            leaks_allowed: true,
            uninitialised_stack_allowed: true,
            gpl: true,
            offloaded: false,
            known_lookups: true,
            known_negations: true,
            every_number_counts: false,
            fine_frames: true,
            instructions: 1_000_000,
            waiting_paths: 8192,
            memory: 512 << 20,
        }
    }
}

/// No kernel function is called.
static NO_KERNEL_FUNCTIONS: LazyLock<HashMap<(i32, i16), KernelFunction>> =
    LazyLock::new(HashMap::new);

impl<'a> Input<'a> {
    /// A program for an interface that calls no kernel function, loaded by root without `func_info`.
    pub fn new(
        code: &'a Code,
        maps: &'a [MapShape],
        map_at: &'a HashMap<usize, MapReference>,
        functions: &'a [Function],
    ) -> Self {
        Self {
            code,
            maps,
            map_at,
            functions,
            kernel_functions: &NO_KERNEL_FUNCTIONS,
            kernel_types: None,
            has_function_info: false,
            hook: Hook::default(),
            rules: Rules::default(),
        }
    }
}

impl Input<'_> {
    /// The function that starts at `slot`.
    pub fn function_at(&self, slot: usize) -> Option<&Function> {
        let index = self
            .functions
            .binary_search_by_key(&slot, |function| function.start)
            .ok()?;
        self.functions.get(index)
    }

    /// The function that `slot` is in.
    pub fn function_of(&self, slot: usize) -> Option<&Function> {
        let after = self.functions.partition_point(|f| f.start <= slot);
        self.functions.get(after.checked_sub(1)?)
    }
}
