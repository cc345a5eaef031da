//! Why something cannot be written as an object.

/// Why an [`Image`](super::Image) cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// There is no program of this index.
    #[error("no program {index} in the object")]
    NoProgram {
        /// The index asked for.
        index: usize,
    },
    /// There is no map of this index.
    #[error("no map {index} among those to write")]
    NoMap {
        /// The index asked for.
        index: usize,
    },
    /// The functions of a program do not follow each other from its first instruction to its last.
    #[error(
        "program '{program}': its functions do not cover its {insns} instructions one after the other"
    )]
    Functions {
        /// The program.
        program: String,
        /// Its instruction slots.
        insns: usize,
    },
    /// An instruction that cannot be expressed.
    #[error("program '{program}', instruction {insn}: {detail}")]
    Instruction {
        /// The program.
        program: String,
        /// The slot.
        insn: usize,
        /// What is wrong.
        detail: String,
    },
    /// A program uses something of a kernel module, which only a loader can find again.
    #[error(
        "program '{program}', instruction {insn}: it uses a kernel module's function or variable, which an object \
         cannot name once it is resolved; attach the original"
    )]
    Module {
        /// The program.
        program: String,
        /// The slot.
        insn: usize,
    },
    /// A map that an object cannot define.
    #[error("map '{map}': {detail}")]
    Map {
        /// The map.
        map: String,
        /// What is wrong.
        detail: String,
    },
    /// A name that an ELF string cannot hold.
    #[error("the name {name:?} is empty or holds a zero byte")]
    Name {
        /// The name.
        name: String,
    },
    /// Two sections, programs or maps have one name, or a program's section has a name that means something else.
    #[error("{what} '{name}' cannot be written: the name is taken")]
    NameTaken {
        /// "section", "program" or "map".
        what: &'static str,
        /// The name.
        name: String,
    },
    /// More of something than an object can hold.
    #[error("{what}: {count} is over the limit of {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        count: u64,
        /// How much can be written.
        limit: u64,
    },
    /// The ELF writer's own words.
    #[error("ELF: {0}")]
    Container(String),
}
