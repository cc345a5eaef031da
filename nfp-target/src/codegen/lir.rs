//! Machine operations on virtual registers: what is left to decide is the place of each.

use crate::isa::{AluOperation, Bank, Condition, Csr, Shift, ShiftLogic};

/// A virtual register, as an index of [`Program::classes`].
pub(super) type Reg = u32;

/// What a virtual register is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A word, in a general register or in local memory.
    Word,
    /// So many transfer registers in a row.
    Transfer(u8),
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// None.
    None,
    /// A word.
    Reg(Reg),
    /// One of a row of transfer registers.
    Transfer(Reg, u8),
    /// A number that a word can hold.
    Number(u8),
    /// Any number; only where copies are made.
    Constant(u32),
    /// The packet's length.
    Length,
    /// The address of our local memory.
    Frame,
    /// A word of the packet vector.
    Vector(u8),
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum To {
    /// Only the flags.
    Nothing,
    /// A word.
    Reg(Reg),
    /// One of a row of transfer registers.
    Transfer(Reg, u8),
    /// A word of our local memory.
    Local(u8),
    /// A word of the packet vector.
    Vector(u8),
    /// The packet's length.
    Length,
    /// A certain register of one bank.
    Fixed(Bank, u8),
    /// A certain register of both banks.
    Both(u8),
}

/// An address in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The sum of a word and a word or a number up to 127.
    Packet(Source, Source),
    /// Upper and lower part of 40 bits.
    MapValue(Source, Source),
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inst {
    Alu {
        to: To,
        operation: AluOperation,
        left: Source,
        right: Source,
    },
    Shift {
        to: To,
        operation: ShiftLogic,
        left: Source,
        right: Source,
        shift: Shift,
    },
    /// `old` is what keeps its other bytes; without it they become 0.
    Field {
        to: To,
        old: Option<Source>,
        mask: u8,
        source: Source,
        shift: Shift,
    },
    /// A number of any size.
    Load {
        to: To,
        value: u32,
    },
    Multiply {
        short: bool,
        left: Source,
        right: Source,
        low: To,
        high: Option<To>,
    },
    Read {
        to: Reg,
        place: Place,
        words: u8,
    },
    Write {
        from: Reg,
        place: Place,
        bytes: u8,
    },
    /// The number to add is in the upper half of the word before's result.
    AddImmediate {
        place: Place,
    },
    Add {
        from: Reg,
        place: Place,
        wide: bool,
    },
    Random {
        to: To,
    },
    Csr {
        csr: Csr,
        source: Source,
    },
    /// Arguments are where the helper takes them from.
    Call {
        helper: u16,
        low: Option<Reg>,
        high: Option<Reg>,
        /// What is written to the map register: A0, or A1 for an event's kind of data.
        argument: u16,
    },
    /// All at once.
    Copies(Vec<(Reg, Source)>),
    Branch {
        condition: Condition,
        target: usize,
    },
    BranchBit {
        source: Source,
        bit: u8,
        set: bool,
        target: usize,
    },
    Jump {
        target: usize,
    },
    /// Ends the program with this action.
    Finish {
        action: u8,
    },
    /// Goes where the verdict in B0 becomes an action.
    Out,
}

/// What an operation does with registers.
pub(super) struct Effect {
    pub reads: Vec<Reg>,
    pub writes: Vec<Reg>,
}

fn of_source(source: Source, reads: &mut Vec<Reg>) {
    if let Source::Reg(reg) | Source::Transfer(reg, _) = source {
        reads.push(reg);
    }
}

impl Inst {
    /// The sources.
    pub(super) fn sources(&self) -> Vec<Source> {
        match self {
            Inst::Alu { left, right, .. }
            | Inst::Shift { left, right, .. }
            | Inst::Multiply { left, right, .. } => vec![*left, *right],
            Inst::Field { old, source, .. } => old.iter().copied().chain([*source]).collect(),
            Inst::Read { place, .. } | Inst::AddImmediate { place } => place.sources(),
            Inst::Write { from, place, .. } | Inst::Add { from, place, .. } => {
                let mut sources = place.sources();
                sources.push(Source::Transfer(*from, 0));
                sources
            }
            Inst::Csr { source, .. } | Inst::BranchBit { source, .. } => vec![*source],
            Inst::Copies(copies) => copies.iter().map(|(_, source)| *source).collect(),
            _ => Vec::new(),
        }
    }

    /// Where results go.
    pub(super) fn results(&self) -> Vec<To> {
        match self {
            Inst::Alu { to, .. }
            | Inst::Shift { to, .. }
            | Inst::Field { to, .. }
            | Inst::Load { to, .. }
            | Inst::Random { to } => vec![*to],
            Inst::Multiply { low, high, .. } => [Some(*low), *high].into_iter().flatten().collect(),
            Inst::Read { to, .. } => vec![To::Transfer(*to, 0)],
            Inst::Call { low, high, .. } => {
                [*low, *high].into_iter().flatten().map(To::Reg).collect()
            }
            Inst::Copies(copies) => copies.iter().map(|(to, _)| To::Reg(*to)).collect(),
            _ => Vec::new(),
        }
    }

    /// The registers that are read and written. Writing one transfer register of a row keeps the others.
    pub(super) fn effect(&self) -> Effect {
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        for source in self.sources() {
            of_source(source, &mut reads);
        }
        for to in self.results() {
            match to {
                To::Reg(reg) => writes.push(reg),
                To::Transfer(reg, index) => {
                    writes.push(reg);
                    if index > 0 {
                        reads.push(reg);
                    }
                }
                _ => {}
            }
        }
        Effect { reads, writes }
    }

    pub(super) fn target(&self) -> Option<usize> {
        match self {
            Inst::Branch { target, .. }
            | Inst::BranchBit { target, .. }
            | Inst::Jump { target } => Some(*target),
            _ => None,
        }
    }
}

impl Place {
    pub(super) fn sources(self) -> Vec<Source> {
        match self {
            Place::Packet(a, b) | Place::MapValue(a, b) => vec![a, b],
        }
    }
}

/// A program of machine operations.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    /// Of each virtual register.
    pub classes: Vec<Class>,
    /// In the order in which they are laid out.
    pub blocks: Vec<Code>,
    /// Words of local memory that arguments of helpers take.
    pub arguments: u8,
}

/// A block: operations with the slots they came from.
#[derive(Debug, Clone, Default)]
pub(super) struct Code {
    pub code: Vec<(u32, Inst)>,
}

impl Program {
    pub(super) fn reg(&mut self, class: Class) -> Reg {
        self.classes.push(class);
        self.classes.len() as Reg - 1
    }

    /// Where a block leads.
    pub(super) fn targets(&self, block: usize) -> Vec<usize> {
        self.blocks[block]
            .code
            .iter()
            .filter_map(|(_, inst)| inst.target())
            .collect()
    }
}
