//! What is done to an image when it is loaded: branch targets and code addresses move, the rest stays.

use super::ecc::with_ecc;
use super::word::{branch, class, immediate, wide};
use super::{Word, operand::code};

/// What a word needs at load. Values are bits 56..63 of a dumped word
/// (drivers/net/ethernet/netronome/nfp/bpf/main.h, `enum nfp_relo_type`, Linux 6.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relocation {
    /// Nothing.
    None = 0,
    /// A branch inside the program: its target is an index of it.
    Branch = 1,
    /// A branch to the end of the main function.
    Out = 2,
    /// A branch to the abort exit.
    Abort = 3,
    /// A branch to the routine that saves registers.
    PushRegisters = 4,
    /// A branch to the routine that restores them.
    PopRegisters = 5,
    /// A branch to the firmware's "next packet".
    NextPacket = 6,
    /// A branch to a helper of the firmware: the target is [`HELPER_BASE`] plus the BPF helper's number.
    Helper = 7,
    /// A constant that is an index of the program.
    Immediate = 8,
}

/// Placeholder target of relocations 2 to 6 and, with the helper's number added, 7.
pub const HELPER_BASE: u16 = 15000;

impl Relocation {
    /// All kinds, by number, with the name that listings show.
    pub const ALL: [(Relocation, &'static str); 9] = [
        (Relocation::None, ""),
        (Relocation::Branch, "BR_REL"),
        (Relocation::Out, "BR_GO_OUT"),
        (Relocation::Abort, "BR_GO_ABORT"),
        (Relocation::PushRegisters, "BR_GO_CALL_PUSH_REGS"),
        (Relocation::PopRegisters, "BR_GO_CALL_POP_REGS"),
        (Relocation::NextPacket, "BR_NEXT_PKT"),
        (Relocation::Helper, "BR_HELPER"),
        (Relocation::Immediate, "IMMED_REL"),
    ];

    /// The kind with this number.
    pub fn from_kind(kind: u8) -> Option<Relocation> {
        Relocation::ALL
            .get(usize::from(kind))
            .map(|(relocation, _)| *relocation)
    }

    /// Its number, 0 to 8.
    pub fn kind(self) -> u8 {
        self as u8
    }

    /// The name that listings show; empty for [`Relocation::None`].
    pub fn name(self) -> &'static str {
        Relocation::ALL[usize::from(self.kind())].1
    }
}

/// Where things are on the card that an image refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Word index in the control store where the program begins.
    pub start: u16,
    /// Index in the program of the main function's end.
    pub out: u16,
    /// Index in the program of the abort exit.
    pub abort: u16,
    /// Index in the program of the routine that saves registers.
    pub push_registers: u16,
    /// Index in the program of the routine that restores them.
    pub pop_registers: u16,
    /// Address of the firmware's "next packet".
    pub next_packet: u16,
    /// Addresses of the firmware's helpers, by BPF helper number.
    pub helpers: Vec<(u16, u16)>,
}

/// A word that cannot be relocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("word {at}: {problem}")]
pub struct RelocationError {
    /// Index of the word.
    pub at: usize,
    /// What is wrong.
    pub problem: RelocationProblem,
}

/// What is wrong with a relocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RelocationProblem {
    /// The kind asks for a branch.
    #[error("its relocation is for a branch, which it is not")]
    NoBranch,
    /// The kind asks for an `immed`.
    #[error("its relocation is for a constant, which it is not")]
    NoImmediate,
    /// The firmware has no such helper.
    #[error("the firmware has no helper {0}")]
    Helper(u16),
    /// The result does not fit.
    #[error("address {0} is out of range")]
    Range(u32),
}

/// The image as the card takes it: relocated, with ECC.
///
/// # Errors
/// The first word that cannot be relocated.
pub fn relocate(image: &[Word], layout: &Layout) -> Result<Vec<u64>, RelocationError> {
    image
        .iter()
        .enumerate()
        .map(|(at, word)| {
            word_at(*word, layout)
                .map(with_ecc)
                .map_err(|problem| RelocationError { at, problem })
        })
        .collect()
}

fn word_at(word: Word, layout: &Layout) -> Result<u64, RelocationProblem> {
    let from_start = |index: u16| u32::from(index) + u32::from(layout.start);
    let instruction = word.instruction;
    match word.relocation {
        Relocation::None => Ok(instruction),
        Relocation::Branch => set_target(instruction, from_start(target(instruction)?)),
        Relocation::Out => set_target(instruction, from_start(layout.out)),
        Relocation::Abort => set_target(instruction, from_start(layout.abort)),
        Relocation::PushRegisters => set_target(instruction, from_start(layout.push_registers)),
        Relocation::PopRegisters => set_target(instruction, from_start(layout.pop_registers)),
        Relocation::NextPacket => set_target(instruction, layout.next_packet.into()),
        Relocation::Helper => {
            let helper = target(instruction)?.wrapping_sub(HELPER_BASE);
            let known = layout.helpers.iter().find(|(number, _)| *number == helper);
            let (_, address) = known.ok_or(RelocationProblem::Helper(helper))?;
            set_target(instruction, (*address).into())
        }
        Relocation::Immediate => set_constant(instruction, from_start(constant(instruction)?)),
    }
}

fn is_branch(instruction: u64) -> bool {
    matches!(
        class::FIELD.get(instruction),
        class::BRANCH | class::BRANCH_BIT
    )
}

fn target(instruction: u64) -> Result<u16, RelocationProblem> {
    if !is_branch(instruction) {
        return Err(RelocationProblem::NoBranch);
    }
    Ok((branch::TARGET_HIGH.get(instruction) << 13 | branch::TARGET.get(instruction)) as u16)
}

fn set_target(instruction: u64, target: u32) -> Result<u64, RelocationProblem> {
    if !is_branch(instruction) {
        return Err(RelocationProblem::NoBranch);
    }
    if target > 0x3fff {
        return Err(RelocationProblem::Range(target));
    }
    let rest = instruction & !branch::TARGET.put(u64::MAX) & !branch::TARGET_HIGH.put(1);
    Ok(rest | branch::TARGET.put(target.into()) | branch::TARGET_HIGH.put(u64::from(target) >> 13))
}

/// The field that holds the constant's low byte: A if it is an immediate, else B.
fn low_byte(instruction: u64) -> Result<super::word::Field, RelocationProblem> {
    if class::FIELD.get(instruction) != class::IMMEDIATE {
        return Err(RelocationProblem::NoImmediate);
    }
    let is_immediate = |bits| bits & code::WIDE_NOWHERE == code::WIDE_NOWHERE;
    Ok(if is_immediate(wide::A.get(instruction)) {
        wide::A
    } else {
        wide::B
    })
}

fn constant(instruction: u64) -> Result<u16, RelocationProblem> {
    let low = low_byte(instruction)?.get(instruction) & 0xff;
    Ok((immediate::HIGH.get(instruction) << 8 | low) as u16)
}

fn set_constant(instruction: u64, value: u32) -> Result<u64, RelocationProblem> {
    let field = low_byte(instruction)?;
    let value = u64::from(u16::try_from(value).map_err(|_| RelocationProblem::Range(value))?);
    let rest = instruction & !field.put(0xff) & !immediate::HIGH.put(0xff);
    Ok(rest | field.put(value & 0xff) | immediate::HIGH.put(value >> 8))
}
