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

impl Inst {
    /// Calls a function for each source.
    pub(super) fn each_source(&self, mut see: impl FnMut(Source)) {
        match self {
            Inst::Alu { left, right, .. }
            | Inst::Shift { left, right, .. }
            | Inst::Multiply { left, right, .. } => {
                see(*left);
                see(*right);
            }
            Inst::Field { old, source, .. } => {
                if let Some(old) = old {
                    see(*old);
                }
                see(*source);
            }
            Inst::Read { place, .. } | Inst::AddImmediate { place } => {
                place.sources().into_iter().for_each(see);
            }
            Inst::Write { from, place, .. } | Inst::Add { from, place, .. } => {
                place.sources().into_iter().for_each(&mut see);
                see(Source::Transfer(*from, 0));
            }
            Inst::Csr { source, .. } | Inst::BranchBit { source, .. } => see(*source),
            Inst::Copies(copies) => copies.iter().for_each(|(_, source)| see(*source)),
            _ => {}
        }
    }

    /// Calls a function for each place where a result goes.
    pub(super) fn each_result(&self, mut see: impl FnMut(To)) {
        match self {
            Inst::Alu { to, .. }
            | Inst::Shift { to, .. }
            | Inst::Field { to, .. }
            | Inst::Load { to, .. }
            | Inst::Random { to } => see(*to),
            Inst::Multiply { low, high, .. } => {
                see(*low);
                high.iter().copied().for_each(see);
            }
            Inst::Read { to, .. } => see(To::Transfer(*to, 0)),
            Inst::Call { low, high, .. } => {
                let results = [*low, *high].into_iter().flatten();
                results.map(To::Reg).for_each(see);
            }
            Inst::Copies(copies) => copies.iter().for_each(|(to, _)| see(To::Reg(*to))),
            _ => {}
        }
    }

    /// Calls a function for each register that is read. Writing one transfer register of a row keeps the others.
    pub(super) fn each_read(&self, mut see: impl FnMut(Reg)) {
        self.each_source(|source| {
            if let Source::Reg(reg) | Source::Transfer(reg, _) = source {
                see(reg);
            }
        });
        self.each_result(|to| {
            if let To::Transfer(reg, 1..) = to {
                see(reg);
            }
        });
    }

    /// Calls a function for each register that is written.
    pub(super) fn each_write(&self, mut see: impl FnMut(Reg)) {
        self.each_result(|to| {
            if let To::Reg(reg) | To::Transfer(reg, _) = to {
                see(reg);
            }
        });
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
    pub(super) fn sources(self) -> [Source; 2] {
        match self {
            Place::Packet(a, b) | Place::MapValue(a, b) => [a, b],
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
    pub(super) fn targets(&self, block: usize) -> impl Iterator<Item = usize> {
        self.blocks[block]
            .code
            .iter()
            .filter_map(|(_, inst)| inst.target())
    }
}
