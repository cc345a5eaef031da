//! Words that take the slots of branches.
//!
//! A taken branch has slots of time for words that are executed anyway; unfilled they pass empty. So words before a
//! branch are moved behind it, where nothing between them and the branch can tell. Only what the driver's own code does
//! is relied upon: two slots of a conditional branch or none, at most two of others, no branch and no command in a slot,
//! nothing that takes what the word before left (PREV_ALU), flags, or a product across a branch. What a conditional
//! branch decides is decided when it is executed, before its slots.

use super::Piece;
use crate::isa::reloc::Relocation;
use crate::isa::{
    AluOperation, Bank, Condition, Destination, ImmediatePart, Instruction, Operand, Shift,
    ShiftLogic,
};

/// Slots that are filled at most.
const MOST: usize = 2;
/// How many words before a branch are looked at.
const FAR: usize = 8;

/// Fills the slots of branches. `starts` are the first words of blocks, and where control comes back to.
pub(super) fn fill(pieces: &mut [Piece], is_start: &[bool]) {
    // Words from here on are executed one after the other.
    let mut from = 0;
    let mut at = 0;
    while at < pieces.len() {
        if is_start[at] {
            from = at;
        }
        let defer = usize::from(pieces[at].instruction.defer());
        match pieces[at].instruction {
            Instruction::Branch(_) | Instruction::BranchBit(_) => {
                let most = MOST.saturating_sub(defer);
                // The words after a helper's call are counted from the call.
                if pieces[at].relocation != Relocation::Helper && most > 0 {
                    at -= fill_one(pieces, from, at, most);
                }
                at += 1 + usize::from(pieces[at].instruction.defer());
                from = at;
            }
            _ => at += 1,
        }
    }
}

/// Moves words behind the branch at `at`; gives how many.
fn fill_one(pieces: &mut [Piece], from: usize, at: usize, most: usize) -> usize {
    let branch = &pieces[at].instruction;
    let is_conditional = !matches!(
        branch,
        Instruction::Branch(branch) if branch.condition == Condition::Always
    );
    let mut between = Between::default();
    between.add(branch);
    let mut chosen: Vec<usize> = Vec::new();
    for index in (from.max(at.saturating_sub(FAR))..at).rev() {
        if chosen.len() == most {
            break;
        }
        let word = &pieces[index];
        if is_barrier(&word.instruction) || word.relocation != Relocation::None {
            break;
        }
        let is_tied = takes_previous(&word.instruction)
            || takes_previous(&pieces[index + 1].instruction)
            || matches!(
                pieces[index.saturating_sub(1)].instruction,
                Instruction::LocalCsr(_)
            );
        if !is_tied && between.lets_pass(&word.instruction) {
            chosen.push(index);
        } else {
            between.add(&word.instruction);
        }
    }
    if chosen.is_empty() || is_conditional && chosen.len() != MOST {
        return 0;
    }
    // The next one is executed after the slots if the branch is not taken.
    let next = at + 1 + usize::from(branch.defer());
    if is_conditional
        && pieces
            .get(next)
            .is_some_and(|next| reads_flags(&next.instruction) || takes_previous(&next.instruction))
    {
        return 0;
    }
    let count = chosen.len();
    // The lowest first: each goes right behind the branch and those before it, in the order in which they were.
    for (moved, &index) in chosen.iter().rev().enumerate() {
        pieces[index - moved..=at].rotate_left(1);
    }
    let branch = &mut pieces[at - count].instruction;
    match branch {
        Instruction::Branch(branch) => branch.defer += count as u8,
        Instruction::BranchBit(branch) => branch.defer += count as u8,
        _ => {}
    }
    count
}

/// What lies between a word and the branch's slots.
#[derive(Default)]
struct Between {
    reads: Vec<Operand>,
    writes: Vec<Operand>,
    /// Whether the first that has to do with flags takes them.
    takes_flags: bool,
}

impl Between {
    fn add(&mut self, instruction: &Instruction) {
        each_read(instruction, |operand| self.reads.push(operand));
        each_written(instruction, |operand| self.writes.push(operand));
        if reads_flags(instruction) {
            self.takes_flags = true;
        } else if let Instruction::Alu(_) = instruction {
            self.takes_flags = false;
        }
    }

    /// Whether the word may be executed after them.
    fn lets_pass(&self, word: &Instruction) -> bool {
        let (mut free, flags) = (true, matches!(word, Instruction::Alu(_)));
        each_read(word, |operand| free &= !self.writes.contains(&operand));
        each_written(word, |operand| {
            free &= !self.reads.contains(&operand) && !self.writes.contains(&operand);
        });
        free && !(flags && self.takes_flags) && !reads_flags(word)
    }
}

/// What is never moved, and nothing over it.
fn is_barrier(instruction: &Instruction) -> bool {
    !matches!(
        instruction,
        Instruction::Alu(_)
            | Instruction::Shift(_)
            | Instruction::LoadField(_)
            | Instruction::Immediate(_)
    )
}

/// Whether it takes the result or an operand of the word before.
fn takes_previous(instruction: &Instruction) -> bool {
    match instruction {
        Instruction::Shift(shift) => {
            shift.operation == ShiftLogic::Arithmetic || is_indirect(shift.shift)
        }
        Instruction::LoadField(field) => is_indirect(field.shift),
        Instruction::Memory(memory) => memory.indirect,
        _ => false,
    }
}

fn is_indirect(shift: Shift) -> bool {
    matches!(
        shift,
        Shift::RightIndirect | Shift::LeftIndirect | Shift::DoubleIndirect
    )
}

fn reads_flags(instruction: &Instruction) -> bool {
    match instruction {
        Instruction::Alu(alu) => matches!(
            alu.operation,
            AluOperation::AddCarry | AluOperation::SubtractCarry
        ),
        Instruction::Branch(branch) => branch.condition != Condition::Always,
        _ => false,
    }
}

fn each_read(instruction: &Instruction, mut see: impl FnMut(Operand)) {
    let mut see = |operand: Operand| {
        if !matches!(operand, Operand::None | Operand::Immediate(_)) {
            see(operand);
        }
    };
    match instruction {
        Instruction::Alu(alu) => {
            see(alu.left);
            see(alu.right);
        }
        Instruction::Shift(shift) => {
            see(shift.left);
            see(shift.right);
        }
        Instruction::LoadField(field) => {
            see(field.source);
            see(field.destination.into());
        }
        Instruction::Immediate(immediate) if immediate.part == ImmediatePart::High => {
            see(immediate.destination.into());
        }
        Instruction::BranchBit(branch) => see(branch.operand),
        _ => {}
    }
}

fn each_written(instruction: &Instruction, mut see: impl FnMut(Operand)) {
    let (destination, both) = match instruction {
        Instruction::Alu(alu) => (alu.destination, alu.write_both),
        Instruction::Shift(shift) => (shift.destination, shift.write_both),
        Instruction::LoadField(field) => (field.destination, field.write_both),
        Instruction::Immediate(immediate) => (immediate.destination, immediate.write_both),
        _ => return,
    };
    match destination {
        Destination::None => {}
        Destination::Gpr(_, number) if both => {
            see(Operand::Gpr(Bank::A, number));
            see(Operand::Gpr(Bank::B, number));
        }
        other => see(other.into()),
    }
}
