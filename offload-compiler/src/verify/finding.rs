//! What the verifier found: values, rendered elsewhere.

use std::fmt;

/// Something wrong or doubtful in a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of mistake.
    pub code: Code,
    /// Whether it keeps the program from being loaded.
    pub severity: Severity,
    /// The slot it is about.
    pub insn: usize,
    /// What is wrong, one line.
    pub message: String,
    /// What was known there that matters, a line each.
    pub known: Vec<String>,
    /// What would help.
    pub help: Option<String>,
    /// Other slots that have to do with it, and what.
    pub related: Vec<(usize, String)>,
    /// The branches that lead there, outermost first: slot, and whether the branch was taken.
    pub path: Vec<(usize, bool)>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Loads for the privileged, and is most likely a mistake.
    Warning,
    /// The program is refused.
    Error,
}

macro_rules! codes {
    ($($variant:ident $name:literal $title:literal)*) => {
        /// The kinds of findings; each has a page (`xdp-offload explain`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name that messages and `explain` use.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One line that says what it is.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    InvalidInstruction "invalid-instruction" "An instruction that the kernel does not know or with reserved bits set."
    ControlFlow "control-flow" "A jump that leaves the program, or code that runs off its end."
    Unreachable "unreachable-code" "Instructions that no path reaches."
    EndlessLoop "endless-loop" "A loop whose state does not change from one round to the next."
    TooComplex "too-complex" "More instructions have to be followed than the kernel or this check allows."
    UninitialisedRegister "uninitialised-register" "A register is read before anything was put into it."
    UninitialisedStack "uninitialised-stack" "Stack bytes are read before anything was put there."
    ReadOnlyRegister "read-only-register" "r10, the frame pointer, is written to."
    PacketBounds "packet-bounds" "A packet access that no comparison with data_end covers."
    StackBounds "stack-bounds" "An access outside the 512 bytes of the stack."
    StackAlignment "stack-alignment" "A stack access that is not on a multiple of its size."
    MapValueBounds "map-value-bounds" "An access outside a map's value."
    MemoryBounds "memory-bounds" "An access outside the memory that a helper or caller gave."
    ContextAccess "context-access" "An access to struct xdp_md that the kernel does not allow."
    NullPointer "null-pointer" "A pointer that may be null is used."
    PointerArithmetic "pointer-arithmetic" "Arithmetic that a pointer does not allow."
    PointerRange "pointer-range" "A pointer moved by a number that is not bounded enough."
    NotAPointer "not-a-pointer" "A number is used as an address."
    PointerLeak "pointer-leak" "An address would be seen outside the program."
    ReadOnlyMemory "read-only-memory" "A write to memory that may only be read."
    AccessKind "access-kind" "Memory of this kind allows no such access."
    SpillSize "spill-size" "A saved pointer is read back in part."
    HelperUnknown "helper-unknown" "A helper that the target does not have."
    HelperArgument "helper-argument" "An argument that the helper does not take."
    MapKind "map-kind" "A helper that does not work on this kind of map."
    ReturnValue "return-value" "A return value that is not allowed."
    Reference "unreleased-reference" "Something acquired is not given back on every path."
    Lock "spin-lock" "A spin lock is not used as it must be."
    CallDepth "call-depth" "Subprograms call each other too deeply, or themselves."
    StackSize "stack-size" "The frames of a call chain need more than 512 bytes."
    Unsupported "unsupported" "Something that this check does not model."
    MapDefinition "map-definition" "A map that no kernel makes as it is defined."
    TargetLacks "target-lacks" "Something that the target does not have, an older kernel for instance."
    OffloadInstruction "offload-instruction" "An instruction that the NIC's driver cannot translate."
    OffloadHelper "offload-helper" "A helper that the NIC does not have."
    OffloadHelperArgument "offload-helper-argument" "An argument that the helper takes in the kernel, but not on the NIC."
    OffloadMap "offload-map" "A map that the NIC cannot keep."
    OffloadMapAccess "offload-map-access" "A use of a map value that the NIC does not allow."
    OffloadPointer "offload-pointer" "Memory that the NIC cannot reach."
    OffloadStack "offload-stack" "More stack than the NIC has, or a place on it that is not fixed."
    OffloadArithmetic "offload-arithmetic" "Arithmetic that the NIC does not do with numbers of this size."
    OffloadContext "offload-context" "A field of the context that the NIC does not have."
    OffloadCodeSize "offload-code-size" "A translation that is longer than the NIC's code store."
    OffloadPacketReach "offload-packet-reach" "A packet byte beyond those that the NIC keeps within reach."
    OffloadWrongCode "offload-wrong-code" "An instruction that the NIC's driver takes and translates wrongly."
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (at {})", self.code, self.message, self.insn)
    }
}

impl Finding {
    /// An error at a slot.
    pub fn error(code: Code, insn: usize, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            insn,
            message: message.into(),
            known: Vec::new(),
            help: None,
            related: Vec::new(),
            path: Vec::new(),
        }
    }

    /// A warning at a slot.
    pub fn warning(code: Code, insn: usize, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, insn, message)
        }
    }

    /// Adds a line of what was known.
    #[must_use]
    pub fn knowing(mut self, line: impl Into<String>) -> Self {
        self.known.push(line.into());
        self
    }

    /// Says what would help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Points at another slot that has to do with it.
    #[must_use]
    pub fn related(mut self, slot: usize, what: impl Into<String>) -> Self {
        self.related.push((slot, what.into()));
        self
    }
}
