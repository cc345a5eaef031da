//! Words from machine operations whose registers have homes.

mod copy;
mod frame;
mod inst;
mod layout;
mod operand;
mod slots;

use layout::Layout;

use super::allocate::{Home, Homes};
use super::lir::{Inst, Place, Program, Reg, Source, To};
use super::{Image, Refusal, Unsupported};
use crate::isa::reloc::{HELPER_BASE, Relocation};
use crate::isa::{
    self, Address, Alu, AluOperation, Bank, Branch, BranchBit, Command, Completion, Condition, Csr,
    Destination, Immediate, ImmediatePart, Instruction, LoadField, Local, LocalCsr, LocalIndex,
    Memory, Multiply, MultiplySize, Operand, Shift, ShiftLogic, ShiftOperation, Word,
};
use crate::profile::Profile;

/// The register that is free for copies.
const SCRATCH: u8 = 21;
/// Bank A has the address of the frame, bank B the packet's length.
const FIXED: u8 = 22;
const EVENT: u16 = 25;
/// What a relocation replaces.
const PLACEHOLDER: u16 = HELPER_BASE;
/// Words that the card may fetch ahead.
const EMPTY_WORDS: usize = 8;
const SIGNAL: u8 = 1;
/// Words of entry, exits and empty words.
const FRAME_WORDS: usize = 23;

/// A word whose branch target may be a block.
struct Piece {
    slot: Option<usize>,
    instruction: Instruction,
    relocation: Relocation,
    /// The block that is branched to.
    block: Option<usize>,
}

/// Lays out the blocks and writes the words. With `optimise`, words are moved into the slots of branches.
pub(super) fn emit(
    program: &Program,
    homes: &Homes,
    profile: &Profile,
    optimise: bool,
) -> Result<Image, Unsupported> {
    let layout = Layout::new(program, homes);
    let mut emission = Emission {
        homes,
        // Most operations are a word.
        pieces: Vec::with_capacity(
            FRAME_WORDS
                + program
                    .blocks
                    .iter()
                    .map(|block| block.code.len())
                    .sum::<usize>(),
        ),
        slot: None,
    };
    emission.entry();
    let mut starts = vec![0; program.blocks.len()];
    for (at, &block) in layout.order.iter().enumerate() {
        starts[block] = emission.pieces.len();
        let next = layout.order.get(at + 1).copied();
        let code = &program.blocks[block].code;
        let mut index = 0;
        while let Some((slot, inst)) = code.get(index) {
            emission.slot = Some(*slot as usize);
            index += 1;
            match (inst, code.get(index)) {
                // A branch around a jump is a branch the other way.
                (branch, Some((_, Inst::Jump { target: no }))) if branch.target().is_some() => {
                    let yes = layout.real(branch.target().unwrap_or_default());
                    let no = layout.real(*no);
                    index += 1;
                    if yes == no {
                        emission.jump(no, next);
                    } else if next == Some(yes) {
                        emission.branch(branch, no, true)?;
                    } else {
                        emission.branch(branch, yes, false)?;
                        emission.jump(no, next);
                    }
                }
                (Inst::Jump { target }, _) => emission.jump(layout.real(*target), next),
                _ => emission.inst(inst)?,
            }
        }
    }
    if optimise {
        let mut is_start = vec![false; emission.pieces.len() + 1];
        for &block in &layout.order {
            is_start[starts[block]] = true;
        }
        slots::fill(&mut emission.pieces, &is_start);
    }
    emission.slot = None;
    let abort = emission.pieces.len();
    let out = emission.end();
    let words = emission.pieces.len();
    if words > profile.code_words as usize {
        return Err(Unsupported {
            slot: 0,
            why: Refusal::CodeStore {
                words,
                room: profile.code_words,
            },
        });
    }
    let mut image = Image {
        words: Vec::with_capacity(words),
        slots: Vec::with_capacity(words),
        out: out as u16,
        abort: abort as u16,
    };
    for piece in emission.pieces {
        let mut instruction = piece.instruction;
        if let Some(block) = piece.block {
            let to = starts[block] as u16;
            match &mut instruction {
                Instruction::Branch(branch) => branch.target = to,
                Instruction::BranchBit(branch) => branch.target = to,
                _ => {}
            }
        }
        let word = isa::encode(&instruction).map_err(|error| Unsupported {
            slot: piece.slot.unwrap_or(0),
            why: Refusal::Internal(format!("{instruction}: {error}")),
        })?;
        image.words.push(Word {
            instruction: word,
            relocation: piece.relocation,
        });
        image.slots.push(piece.slot);
    }
    Ok(image)
}

/// Whether nothing has to be done.
fn is_idle(inst: &Inst, homes: &Homes) -> bool {
    match inst {
        Inst::Copies(copies) => copies.iter().all(|(to, source)| match source {
            Source::Reg(from) => covers(homes[*from as usize], homes[*to as usize]),
            _ => false,
        }),
        _ => false,
    }
}

/// Whether what is in one home is in the other, too.
fn covers(from: Home, to: Home) -> bool {
    from == to || matches!((from, to), (Home::Both(one), Home::One(_, other)) if one == other)
}

/// Whether writing one home changes the other.
fn overlaps(one: Home, other: Home) -> bool {
    match (one, other) {
        (Home::Both(one), Home::One(_, other) | Home::Both(other))
        | (Home::One(_, one), Home::Both(other)) => one == other,
        _ => one == other,
    }
}

struct Emission<'a> {
    homes: &'a Homes,
    pieces: Vec<Piece>,
    slot: Option<usize>,
}

type Result<T, E = Unsupported> = std::result::Result<T, E>;

const fn local(pointer: u8, word: u8) -> Local {
    Local {
        pointer,
        index: LocalIndex::Word(word),
    }
}

impl Emission<'_> {
    fn push(&mut self, instruction: Instruction) {
        self.relocated(instruction, Relocation::None);
    }

    fn relocated(&mut self, instruction: Instruction, relocation: Relocation) {
        self.pieces.push(Piece {
            slot: self.slot,
            instruction,
            relocation,
            block: None,
        });
    }

    fn internal<T>(&self, what: &str) -> Result<T> {
        Err(Unsupported {
            slot: self.slot.unwrap_or(0),
            why: Refusal::Internal(what.into()),
        })
    }

    fn jump(&mut self, to: usize, next: Option<usize>) {
        if next == Some(to) {
            return;
        }
        self.relocated(branch(Condition::Always, 0, 0), Relocation::Branch);
        self.branch_to(to);
    }

    fn branch_to(&mut self, block: usize) {
        if let Some(piece) = self.pieces.last_mut() {
            piece.block = Some(block);
        }
    }

    fn branch(&mut self, inst: &Inst, to: usize, opposite: bool) -> Result<()> {
        let instruction = match *inst {
            Inst::Branch { condition, .. } => {
                let condition = if opposite {
                    match condition {
                        Condition::Equal => Condition::NotEqual,
                        Condition::NotEqual => Condition::Equal,
                        Condition::CarryClear => Condition::CarrySet,
                        Condition::CarrySet => Condition::CarryClear,
                        Condition::Less => Condition::GreaterOrEqual,
                        Condition::GreaterOrEqual => Condition::Less,
                        _ => return self.internal("a condition without an opposite"),
                    }
                } else {
                    condition
                };
                branch(condition, 0, 0)
            }
            Inst::BranchBit {
                source, bit, set, ..
            } => Instruction::BranchBit(BranchBit {
                operand: self.operand(source)?,
                bit,
                set: set != opposite,
                target: 0,
                defer: 0,
            }),
            _ => return self.internal("no branch"),
        };
        self.relocated(instruction, Relocation::Branch);
        self.branch_to(to);
        Ok(())
    }
}

fn branch(condition: Condition, target: u16, defer: u8) -> Instruction {
    Instruction::Branch(Branch {
        condition,
        target,
        defer,
    })
}

fn alu(
    destination: Destination,
    operation: AluOperation,
    left: Operand,
    right: Operand,
) -> Instruction {
    Instruction::Alu(Alu {
        destination,
        operation,
        left,
        right,
        write_both: false,
    })
}

fn shift(
    destination: Destination,
    operation: ShiftLogic,
    left: Operand,
    right: Operand,
    shift: Shift,
) -> Instruction {
    Instruction::Shift(ShiftOperation {
        destination,
        operation,
        left,
        right,
        shift,
        write_both: false,
    })
}
