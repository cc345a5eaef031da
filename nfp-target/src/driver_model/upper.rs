//! Upper halves: which 32 bit results have to clear them, and where the driver's registers hold anything else.

use offload_compiler::isa::{AluOp, Callee, Instruction, Operand, Reg, Size, Width};
use offload_compiler::verify::{Input, Place};

use super::facts::Facts;

/// A set of registers, a bit each.
type Set = u16;

const fn bit(reg: Reg) -> Set {
    1 << reg.number()
}

const ALL_SCRATCH: Set = 0b11_1111;

/// The registers whose whole 64 bits an instruction looks at (`is_reg64`, kernel/bpf/verifier.c, Linux 6.12).
fn looks_at(instruction: &Instruction, stores_pointer: bool) -> Set {
    let operand = |operand| match operand {
        Operand::Reg(reg) => bit(reg),
        Operand::Imm(_) => 0,
    };
    match *instruction {
        Instruction::Alu {
            width: Width::W64,
            op,
            dst,
            src,
        } => operand(src) | if op == AluOp::Mov { 0 } else { bit(dst) },
        Instruction::MoveSigned {
            width: Width::W64,
            src,
            ..
        } => bit(src),
        Instruction::Negate {
            width: Width::W64,
            dst,
        }
        | Instruction::Swap {
            size: Size::B64,
            dst,
            ..
        } => bit(dst),
        Instruction::Load { base, .. } => bit(base),
        Instruction::Store {
            size, base, src, ..
        } => {
            let whole = size == Size::B64 || stores_pointer;
            bit(base) | if whole { operand(src) } else { 0 }
        }
        Instruction::Atomic {
            size, base, src, ..
        } => bit(base) | if size == Size::B64 { bit(src) } else { 0 },
        Instruction::Branch { condition, .. } if condition.width == Width::W64 => {
            bit(condition.dst) | operand(condition.src)
        }
        Instruction::Call(Callee::Helper(id)) => {
            let arguments: u32 = match id {
                1 | 3 | 44 | 65 => 2,
                2 => 4,
                7 => 0,
                _ => 5,
            };
            ((1 << arguments) - 1) << 1
        }
        Instruction::Exit => bit(Reg::R0),
        _ => 0,
    }
}

/// The register that an instruction writes all of, or as good as.
fn defines(instruction: &Instruction) -> Set {
    match instruction {
        Instruction::Call(_) => ALL_SCRATCH,
        _ => instruction.written().map_or(0, bit),
    }
}

/// Slots that follow. A call is followed by its subprogram, and its exits by all that follow its calls.
fn followers(
    input: &Input<'_>,
    facts: &Facts,
    slot: usize,
    instruction: &Instruction,
    out: &mut Vec<usize>,
) {
    out.clear();
    let after = slot + instruction.slots();
    match *instruction {
        Instruction::Call(Callee::Local(distance)) => {
            out.extend(after.checked_add_signed(distance as isize));
        }
        Instruction::Exit => {
            let Some(function) = input.function_of(slot) else {
                return;
            };
            let calls = input.code.iter().filter_map(|(slot, instruction)| {
                let Instruction::Call(Callee::Local(distance)) = *instruction else {
                    return None;
                };
                (slot + 1)
                    .checked_add_signed(distance as isize)
                    .filter(|target| *target == function.start)
                    .map(|_| slot + 1)
            });
            out.extend(calls);
        }
        Instruction::Branch { offset, .. } => {
            let taken = after.checked_add_signed(offset.into());
            out.extend(taken.filter(|_| facts.verdict.ways.contains(slot, true)));
            out.extend(Some(after).filter(|_| facts.verdict.ways.contains(slot, false)));
        }
        _ => {
            if let Some(offset) = instruction.jump_offset() {
                out.extend(after.checked_add_signed(offset as isize));
            }
            if instruction.falls_through() {
                out.push(after);
            }
        }
    }
}

/// The slots whose 32 bit result, or narrow load, somebody looks at whole (`zext_dst`): `FLAG_INSN_DO_ZEXT`.
pub(super) fn cleared(input: &Input<'_>, facts: &Facts) -> Vec<bool> {
    let len = input.code.len();
    let mut live: Vec<Set> = vec![0; len];
    let mut out = Vec::new();
    let mut changed = true;
    let after = |slot, instruction: &Instruction, live: &[Set], out: &mut Vec<usize>| {
        followers(input, facts, slot, instruction, out);
        let mut all = out
            .iter()
            .filter_map(|&next| live.get(next))
            .fold(0, |all, set| all | set);
        // A subprogram keeps its caller's r6 to r9; what the caller has there is looked at after the call.
        if let Instruction::Call(Callee::Local(_)) = instruction {
            let kept = live.get(slot + 1).copied().unwrap_or(0) & 0b11_1100_0000;
            all = all & ALL_SCRATCH | kept;
        }
        all
    };
    let slots: Vec<(usize, Instruction)> = input
        .code
        .iter()
        .filter(|(slot, _)| facts.reached(*slot))
        .map(|(slot, instruction)| (slot, *instruction))
        .collect();
    while changed {
        changed = false;
        for (slot, instruction) in slots.iter().rev() {
            let later = after(*slot, instruction, &live, &mut out);
            let its = match instruction {
                // A subprogram's arguments come through, its result is not looked at by the exit itself.
                Instruction::Call(Callee::Local(_)) => later & !1,
                Instruction::Exit if input.function_of(*slot).is_some_and(|f| f.start != 0) => {
                    later & 1
                }
                _ => {
                    let pointer = facts.at.get(slot).is_some_and(|fact| fact.stores_pointer);
                    later & !defines(instruction) | looks_at(instruction, pointer)
                }
            };
            if live[*slot] != its {
                live[*slot] = its;
                changed = true;
            }
        }
    }
    let mut cleared = vec![false; len];
    for (slot, instruction) in &slots {
        let Some(reg) = half(instruction) else {
            continue;
        };
        let pointer = facts
            .at
            .get(slot)
            .is_some_and(|fact| fact.place == Some(Place::Context));
        cleared[*slot] = !pointer && after(*slot, instruction, &live, &mut out) & bit(reg) != 0;
    }
    cleared
}

/// The register that gets a 32 bit result or a narrow load.
pub(super) fn half(instruction: &Instruction) -> Option<Reg> {
    match *instruction {
        Instruction::Alu {
            width: Width::W32,
            dst,
            ..
        }
        | Instruction::MoveSigned {
            width: Width::W32,
            dst,
            ..
        }
        | Instruction::Negate {
            width: Width::W32,
            dst,
        }
        | Instruction::Swap {
            size: Size::B16 | Size::B32,
            dst,
            ..
        }
        | Instruction::Load {
            size: Size::B8 | Size::B16 | Size::B32,
            dst,
            ..
        } => Some(dst),
        _ => None,
    }
}

/// Upper halves of the card's registers before an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Halves {
    /// Surely 0.
    zero: Set,
    /// What the program's register has.
    exact: Set,
}

/// Whether a 32 bit division or multiplication at a slot, which leaves the upper half as it was, may leave something
/// else than 0.
pub(super) struct Leftovers {
    before: Vec<Option<Halves>>,
}

impl Leftovers {
    /// Follows the halves through the program. `keeps` tells which multiplications leave the upper half.
    pub(super) fn find(
        input: &Input<'_>,
        facts: &Facts,
        cleared: &[bool],
        keeps: impl Fn(usize) -> bool,
    ) -> Leftovers {
        let mut before: Vec<Option<Halves>> = vec![None; input.code.len()];
        let mut work = vec![0];
        if let Some(first) = before.first_mut() {
            *first = Some(Halves { zero: 0, exact: 0 });
        }
        let mut out = Vec::new();
        while let Some(slot) = work.pop() {
            let (Some(instruction), Some(halves)) = (input.code.at(slot), before[slot]) else {
                continue;
            };
            let after = halves.after(instruction, facts, slot, cleared[slot], keeps(slot));
            out.clear();
            match instruction {
                Instruction::Exit => {}
                Instruction::Call(Callee::Local(_)) => {
                    followers(input, facts, slot, instruction, &mut out);
                    out.push(slot + 1);
                }
                _ => followers(input, facts, slot, instruction, &mut out),
            }
            for &next in out.iter().filter(|&&next| facts.reached(next)) {
                let merged = before[next].map_or(after, |old| Halves {
                    zero: old.zero & after.zero,
                    exact: old.exact & after.exact,
                });
                if before[next] != Some(merged) {
                    before[next] = Some(merged);
                    work.push(next);
                }
            }
        }
        Leftovers { before }
    }

    /// Whether the register's upper half may not be 0. The driver takes only numbers below 2^32 there, so that it is
    /// 0 where it is what the program has.
    pub(super) fn may_be(&self, slot: usize, reg: Reg) -> bool {
        self.before[slot].is_some_and(|halves| (halves.zero | halves.exact) & bit(reg) == 0)
    }
}

impl Halves {
    fn after(
        self,
        instruction: &Instruction,
        facts: &Facts,
        slot: usize,
        cleared: bool,
        keeps: bool,
    ) -> Halves {
        if let Instruction::Call(_) = instruction {
            return Halves {
                zero: self.zero & !ALL_SCRATCH,
                exact: self.exact & !ALL_SCRATCH | bit(Reg::R0),
            };
        }
        let Some(reg) = instruction.written() else {
            return self;
        };
        let had = |set: Set, reg: Reg| set & bit(reg) != 0;
        let context = facts
            .at
            .get(&slot)
            .is_some_and(|fact| fact.place == Some(Place::Context));
        let (zero, exact) = match *instruction {
            Instruction::Alu {
                op: AluOp::Div | AluOp::SDiv,
                ..
            } => {
                let was = had(self.zero | self.exact, reg);
                (was, was)
            }
            Instruction::Alu { op: AluOp::Mul, .. } if keeps => {
                let was = had(self.zero | self.exact, reg);
                (was, was)
            }
            Instruction::Alu {
                width: Width::W64,
                op: AluOp::Mov,
                src: Operand::Reg(src),
                ..
            } => (had(self.zero, src), had(self.exact, src)),
            Instruction::Alu {
                width: Width::W32,
                op: AluOp::Mov | AluOp::Mul,
                ..
            }
            | Instruction::MoveSigned {
                width: Width::W32, ..
            }
            | Instruction::Swap {
                size: Size::B16 | Size::B32,
                ..
            }
            | Instruction::Alu {
                width: Width::W64,
                op: AluOp::Mov | AluOp::And,
                src: Operand::Imm(0..),
                ..
            }
            | Instruction::Alu {
                width: Width::W64,
                op: AluOp::Rsh,
                src: Operand::Imm(32..),
                ..
            } => (true, true),
            _ if half(instruction).is_some() => {
                let was = cleared || context || had(self.zero, reg);
                (was, was)
            }
            _ => (false, true),
        };
        let with = |set: Set, has| if has { set | bit(reg) } else { set & !bit(reg) };
        Halves {
            zero: with(self.zero, zero),
            exact: with(self.exact, exact),
        }
    }
}
