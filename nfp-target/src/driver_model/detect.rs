//! The instructions that the driver's translation may get wrong.

use std::collections::BTreeSet;

use offload_compiler::isa::{AluOp, Callee, Instruction, Operand, Reg, Width};
use offload_compiler::lower::Doubt;
use offload_compiler::verify::{Input, Place};

use super::copies::{self, Copy};
use super::divide::Division;
use super::facts::{Fact, Facts};
use super::upper::{Leftovers, cleared};
use super::{WrongCode, stack};
use crate::profile::Profile;

/// The instructions of a program that the driver accepts where its words may do something else, by slot.
///
/// Two rules are not among them. [`WrongCode::WalkedRange`] needs paths that the verifier never walked.
/// [`WrongCode::HeadUnchecked`] needs a packet of less than 60 bytes, which no Ethernet carries.
pub fn detect(input: &Input<'_>, profile: &Profile) -> Vec<(usize, WrongCode)> {
    let facts = Facts::find(input, profile);
    let cleared = cleared(input, &facts);
    let leftovers = Leftovers::find(input, &facts, &cleared, |slot| {
        let instruction = input.code.at(slot);
        let fact = facts.at.get(&slot);
        instruction
            .zip(fact)
            .is_some_and(|(instruction, fact)| fact.multiplies_short(instruction))
    });
    let search = Search {
        facts: &facts,
        cleared: &cleared,
        leftovers: &leftovers,
    };
    let mut found = BTreeSet::new();
    for (slot, instruction) in input.code.iter() {
        if facts.reached(slot) {
            let fact = facts.at.get(&slot).cloned().unwrap_or_default();
            search.instruction(slot, instruction, &fact, &mut |rule| {
                found.insert((slot, rule));
            });
        }
    }
    for (slot, copy) in copies::find(input, &facts) {
        if copy.merged {
            found.insert((slot, WrongCode::CopyMerged));
        }
        if copy.spoils_register() && is_read(input, copy.end, copy.through) {
            found.insert((slot, WrongCode::CopyRegister));
        }
    }
    found.into_iter().collect()
}

/// Of what [`detect`] finds, what a few more instructions help against: by the slot after which they are needed.
pub fn doubts(input: &Input<'_>, profile: &Profile) -> Vec<(usize, Doubt)> {
    let facts = Facts::find(input, profile);
    let copies = copies::find(input, &facts);
    detect(input, profile)
        .into_iter()
        .filter_map(|(slot, rule)| match rule {
            // The last pair's store.
            WrongCode::CopyRegister => {
                Some((copies.get(&slot)?.end.checked_sub(1)?, Doubt::Stored))
            }
            WrongCode::MultiplicationUpper | WrongCode::DivisionUpper => {
                Some((slot, Doubt::UpperHalf))
            }
            _ => None,
        })
        .collect()
}

struct Search<'a> {
    facts: &'a Facts,
    cleared: &'a [bool],
    leftovers: &'a Leftovers,
}

impl Search<'_> {
    fn instruction(
        &self,
        slot: usize,
        instruction: &Instruction,
        fact: &Fact,
        found: &mut impl FnMut(WrongCode),
    ) {
        match *instruction {
            Instruction::Alu {
                width,
                op,
                dst,
                src,
            } => self.arithmetic(slot, (width, op), dst, src, fact, found),
            Instruction::MoveSigned { .. } => found(WrongCode::SignIgnored),
            Instruction::Branch { condition, offset }
                if WrongCode::negates(&condition) && self.facts.decided(slot, offset).is_none() =>
            {
                found(WrongCode::LeastConstant);
            }
            Instruction::Load { size, off, .. } | Instruction::Store { size, off, .. } => {
                if off < 0 && matches!(fact.place, Some(Place::MapValue(_))) {
                    found(WrongCode::MapBefore);
                }
                let place = fact.offset.map(|offset| {
                    let frame = self.facts.frames.get(slot).copied().unwrap_or(0);
                    i64::from(frame) + i64::from(off) + offset
                });
                if let Some(place @ ..0) = place
                    && fact.callers_stack
                    && stack::is_wrong(place as i32, size.bytes())
                {
                    found(WrongCode::CallerStack);
                }
            }
            Instruction::Atomic { off: ..0, .. } => found(WrongCode::MapBefore),
            Instruction::Call(Callee::Helper(65)) => found(WrongCode::AdjustLimits),
            Instruction::Call(Callee::Helper(44)) if self.facts.sure_adjust != Some(slot) => {
                found(WrongCode::AdjustLimits);
            }
            _ => {}
        }
    }

    fn arithmetic(
        &self,
        slot: usize,
        (width, op): (Width, AluOp),
        dst: Reg,
        src: Operand,
        fact: &Fact,
        found: &mut impl FnMut(WrongCode),
    ) {
        let (least, most) = fact.source.unwrap_or((0, u64::MAX));
        let leaves_upper =
            width == Width::W32 && self.cleared[slot] && self.leftovers.may_be(slot, dst);
        match (op, src) {
            (AluOp::Add | AluOp::Sub, Operand::Imm(i32::MIN)) if width == Width::W64 => {
                found(WrongCode::LeastConstant);
            }
            (AluOp::Div | AluOp::SDiv, _) => {
                if op == AluOp::SDiv {
                    found(WrongCode::SignIgnored);
                }
                let divisor = match src {
                    Operand::Imm(imm) => i64::from(imm) as u64,
                    Operand::Reg(_) => least,
                };
                if Division::by(divisor) != Division::Right {
                    found(WrongCode::DivisionShift);
                }
                if leaves_upper {
                    found(WrongCode::DivisionUpper);
                }
            }
            (AluOp::Mul, _) => {
                let instruction = Instruction::Alu {
                    width,
                    op,
                    dst,
                    src,
                };
                if leaves_upper && fact.multiplies_short(&instruction) {
                    found(WrongCode::MultiplicationUpper);
                }
            }
            (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, Operand::Reg(src)) if least != most => {
                if op == AluOp::Arsh && most >= 1 << 31 {
                    found(WrongCode::ShiftSign);
                }
                if width == Width::W64 && op != AluOp::Lsh && src == dst && least < 32 {
                    found(WrongCode::ShiftBySelf);
                }
                if width == Width::W64 && least >= 32 && most >= 64 {
                    found(WrongCode::ShiftRange);
                }
            }
            _ => {}
        }
    }
}

impl Copy {
    /// Whether the register holds another part of the copy than it should.
    fn spoils_register(&self) -> bool {
        let bytes: Vec<u8> = (0..self.len as u8).collect();
        self.left(&bytes, false) != self.left(&bytes, true)
    }
}

/// Whether some path from a slot reads a register before it is written.
fn is_read(input: &Input<'_>, slot: usize, reg: Reg) -> bool {
    let mut seen = vec![false; input.code.len()];
    let mut work = vec![slot];
    while let Some(slot) = work.pop() {
        let Some(instruction) = input.code.at(slot) else {
            continue;
        };
        if std::mem::replace(&mut seen[slot], true) {
            continue;
        }
        if reads(instruction, reg) {
            return true;
        }
        let call = matches!(instruction, Instruction::Call(_));
        let spoilt = call && (Reg::R0..=Reg::R5).contains(&reg);
        if instruction.written() == Some(reg) || spoilt {
            continue;
        }
        let next = slot + instruction.slots();
        if let Some(offset) = instruction.jump_offset() {
            work.extend(next.checked_add_signed(offset as isize));
        }
        if instruction.falls_through() {
            work.push(next);
        }
    }
    false
}

fn reads(instruction: &Instruction, reg: Reg) -> bool {
    let operand = |operand| operand == Operand::Reg(reg);
    match *instruction {
        Instruction::Alu { op, dst, src, .. } => operand(src) || (op != AluOp::Mov && dst == reg),
        Instruction::MoveSigned { src, .. } => src == reg,
        Instruction::Negate { dst, .. } | Instruction::Swap { dst, .. } => dst == reg,
        Instruction::Load { base, .. } => base == reg,
        Instruction::Store { base, src, .. } => base == reg || operand(src),
        Instruction::Atomic { base, src, .. } => base == reg || src == reg,
        Instruction::Branch { condition, .. } => condition.dst == reg || operand(condition.src),
        Instruction::Call(Callee::Local(_)) => (Reg::R1..=Reg::R5).contains(&reg),
        Instruction::Call(Callee::Helper(id)) => {
            let arguments = match id {
                1 | 3 | 44 | 65 => 2,
                2 => 4,
                7 => 0,
                _ => 5,
            };
            (1..=arguments).contains(&reg.number())
        }
        Instruction::Exit => reg == Reg::R0,
        _ => false,
    }
}

impl Fact {
    /// Whether a multiplication has the short form.
    pub(super) fn multiplies_short(&self, instruction: &Instruction) -> bool {
        let most = match *instruction {
            Instruction::Alu {
                op: AluOp::Mul,
                src: Operand::Imm(imm),
                ..
            } => u64::from(imm as u32),
            Instruction::Alu { op: AluOp::Mul, .. } => {
                self.source.map_or(u64::MAX, |(_, most)| most)
            }
            _ => return false,
        };
        self.destination <= 0xffff && most <= 0xffff
    }
}
