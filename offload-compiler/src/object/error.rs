//! What can be wrong with an object, its BTF, or a program's link against a kernel.

/// Why bytes are not an eBPF object that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The ELF magic is missing.
    #[error(
        "not an ELF file: it starts with {found:02x?}; give the object that `clang -target bpf -c` writes"
    )]
    NotElf {
        /// The first bytes, at most four.
        found: Vec<u8>,
    },
    /// An ELF file for another machine, or not a relocatable object.
    #[error(
        "not an eBPF object: ELF machine {machine}, type {kind} (eBPF has machine 247, type 1); \
         build with `clang -target bpf -c`"
    )]
    NotBpf {
        /// `e_machine`.
        machine: u16,
        /// `e_type`.
        kind: u16,
    },
    /// A 32-bit ELF file.
    #[error("a 32-bit ELF file; eBPF objects are 64-bit: build with `clang -target bpf -c`")]
    Elf32,
    /// Big-endian eBPF.
    #[error(
        "a big-endian eBPF object (bpfeb); rebuild with `clang -target bpfel -c` for this machine"
    )]
    BigEndian,
    /// The file ends before something that its headers promise.
    #[error("truncated or damaged: {what} lies outside the file; build or copy the object again")]
    Truncated {
        /// What is missing, with its section where it has one.
        what: String,
    },
    /// Headers contradict each other or the format.
    #[error("malformed ELF: {detail}")]
    Malformed {
        /// What is wrong, with section and symbol names.
        detail: String,
    },
    /// Code that is not made of whole instructions, or a function outside of its section.
    #[error("section '{section}': {detail}")]
    Code {
        /// The section.
        section: String,
        /// What is wrong.
        detail: String,
    },
    /// A map definition that makes no sense.
    #[error("map '{map}': {detail}")]
    Map {
        /// The map.
        map: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// The type information is damaged.
    #[error("section '{section}': {source}")]
    Btf {
        /// `.BTF` or `.BTF.ext`.
        section: &'static str,
        /// What is wrong.
        source: BtfError,
    },
    /// An external symbol (`__kconfig`, `__ksym`) whose declaration cannot be used.
    #[error("extern '{name}': {detail}")]
    Extern {
        /// The symbol.
        name: String,
        /// What is wrong.
        detail: String,
    },
    /// More of something than any real object has.
    #[error("{what}: {count} is over the limit of {limit}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there are.
        count: u64,
        /// How many are read.
        limit: u64,
    },
}

/// Why BTF could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BtfError {
    /// The header is short, has another magic, or another version.
    #[error("bad BTF header: {0}")]
    Header(String),
    /// A record or a type ends outside of its part.
    #[error("BTF ends in the middle of {0}")]
    Truncated(String),
    /// A type refers to what does not exist, or has an unknown kind.
    #[error("bad BTF type {id}: {detail}")]
    Type {
        /// The type's id.
        id: u32,
        /// What is wrong.
        detail: String,
    },
    /// More of something than is read.
    #[error("BTF has too many {0}")]
    TooMany(&'static str),
}

/// Why a program of a readable object cannot be made loadable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// There is no program of this index.
    #[error("no program {index}: the object has {count}")]
    NoProgram {
        /// The index asked for.
        index: usize,
        /// How many programs there are.
        count: usize,
    },
    /// A relocation that has no meaning in eBPF, or points to nothing.
    #[error("{function}, instruction {insn}: {detail}")]
    Relocation {
        /// The function it is in.
        function: String,
        /// The slot in that function.
        insn: usize,
        /// What is wrong and what to do.
        detail: String,
    },
    /// A call or function pointer to something that is not a function of the object.
    #[error("{function}, instruction {insn}: calls {target}, which is no function of this object")]
    NoSuchFunction {
        /// The function it is in.
        function: String,
        /// The slot in that function.
        insn: usize,
        /// What is called.
        target: String,
    },
    /// CO-RE asks for something malformed.
    #[error("{function}, instruction {insn}: CO-RE relocation: {detail}")]
    Core {
        /// The function it is in.
        function: String,
        /// The slot in that function.
        insn: usize,
        /// What is wrong.
        detail: String,
    },
    /// The program needs the kernel's BTF and none was given.
    #[error(
        "{what} needs the running kernel's type information; \
         /sys/kernel/btf/vmlinux is missing: use a kernel with CONFIG_DEBUG_INFO_BTF=y"
    )]
    NeedsKernelBtf {
        /// What needs it.
        what: String,
    },
    /// An external symbol that the kernel does not have and the program does not call weak.
    #[error("extern '{name}': {detail}")]
    Extern {
        /// The symbol.
        name: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// The program needs something that is understood but not supported here.
    #[error("{function}, instruction {insn}: {what} is not supported")]
    Unsupported {
        /// The function it is in.
        function: String,
        /// The slot in that function.
        insn: usize,
        /// What is not supported, with its section.
        what: String,
    },
    /// Together with all it calls the program is longer than the kernel takes.
    #[error(
        "the program with its subprograms has more than {limit} instructions, the kernel's limit"
    )]
    TooLong {
        /// The kernel's limit in slots.
        limit: usize,
    },
}

/// Why a global variable was not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlobalError {
    /// No variable of this name; `known` lists those that can be set.
    #[error("no global variable '{name}'{}", known_list(.known))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names that exist, in object order.
        known: Vec<String>,
    },
    /// Several variables (static, of different functions) have this name.
    #[error(
        "global variable '{name}' is ambiguous: {count} static variables have this name; rename one"
    )]
    Ambiguous {
        /// The name asked for.
        name: String,
        /// How many have it.
        count: usize,
    },
    /// The bytes given are not as many as the variable has.
    #[error("global variable '{name}' has {expected} bytes, {given} were given")]
    Size {
        /// The variable.
        name: String,
        /// Its size in bytes.
        expected: u64,
        /// The size given.
        given: u64,
    },
    /// The number does not fit.
    #[error("global variable '{name}' ({size} bytes) cannot hold {value}")]
    Range {
        /// The variable.
        name: String,
        /// Its size in bytes.
        size: u64,
        /// The number given.
        value: i128,
    },
    /// The zero-initialised section that the variable is in is too large to be given content.
    #[error(
        "global variable '{name}' lies in a section of {bytes} zero bytes; content is given to at most {limit}"
    )]
    SectionTooLarge {
        /// The variable.
        name: String,
        /// Bytes of the section.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The variable is not a plain integer, so only bytes can be given.
    #[error(
        "global variable '{name}' is no integer of 1, 2, 4 or 8 bytes (it has {size}); give its bytes"
    )]
    NotInteger {
        /// The variable.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
}

fn known_list(known: &[String]) -> String {
    const SHOWN: usize = 16;
    match known {
        [] => "; the object has none".to_owned(),
        names if names.len() <= SHOWN => format!("; the object has {}", names.join(", ")),
        names => format!(
            "; the object has {} and {} more",
            names[..SHOWN].join(", "),
            names.len() - SHOWN
        ),
    }
}
