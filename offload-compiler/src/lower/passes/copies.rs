//! Registers that are copies: what was copied is used instead, and offsets that were added go into the accesses.

use std::collections::HashMap;

use super::held::put;
use crate::isa::{AluOp, Instruction, Operand, Reg, Width};
use crate::lower::facts::Content;
use crate::lower::liveness::step_effect;
use crate::lower::program::{BlockId, End, Op, Position, Program, Step};
use crate::lower::run::{Context, Pass};
use crate::verify::Place;

pub(super) const PASS: Pass = Pass {
    name: "copies",
    allow: None,
    optimises: true,
    run,
};

/// What registers hold.
#[derive(Default)]
struct Copies {
    /// Another register plus a number.
    of: HashMap<Reg, (Reg, i32)>,
    /// Numbers that were put there.
    numbers: HashMap<Reg, u64>,
}

impl Copies {
    fn forget(&mut self, reg: Reg) {
        self.of.remove(&reg);
        self.of.retain(|_, (from, _)| *from != reg);
        self.numbers.remove(&reg);
    }

    /// The register that this one is a copy of.
    fn plain(&self, reg: Reg) -> Reg {
        match self.of.get(&reg) {
            Some(&(from, 0)) => from,
            _ => reg,
        }
    }

    /// What an access through a register at an offset can be instead.
    fn place(&self, reg: Reg, off: i16) -> (Reg, i16) {
        let moved = self.of.get(&reg).and_then(|&(from, by)| {
            let off = i16::try_from(i32::from(off).checked_add(by)?).ok()?;
            Some((from, off))
        });
        moved.unwrap_or((reg, off))
    }

    /// After an instruction; `small` are numbers without an upper half, which a move of 32 bits copies whole.
    fn step(&mut self, op: &Op, small: impl Fn(Reg) -> bool) {
        let before = op.written().and_then(|dst| self.of.get(&dst).copied());
        let (_, written) = step_effect(op);
        for reg in Reg::ALL {
            if written.contains(reg) {
                self.forget(reg);
            }
        }
        match *op {
            Op::Plain(Instruction::Alu {
                width,
                op: AluOp::Mov,
                dst,
                src: Operand::Reg(src),
            }) if dst != src && (width == Width::W64 || small(src)) => {
                let (from, by) = self.of.get(&src).copied().unwrap_or((src, 0));
                if from != dst {
                    self.of.insert(dst, (from, by));
                }
            }
            Op::Plain(Instruction::Alu {
                width: Width::W64,
                op: AluOp::Add,
                dst,
                src: Operand::Imm(imm),
            }) => {
                if let Some((from, by)) = before
                    && let Some(by) = by.checked_add(imm)
                {
                    self.of.insert(dst, (from, by));
                }
            }
            _ => {}
        }
        // The same number in another register.
        if let Some((dst, number)) = put(op) {
            let other = Reg::ALL
                .into_iter()
                .find(|reg| self.numbers.get(reg) == Some(&number));
            if let Some(other) = other {
                self.of.insert(dst, (other, 0));
            } else {
                self.numbers.insert(dst, number);
            }
        }
    }
}

fn run(program: &mut Program, context: &mut Context<'_>) {
    for block in program.block_ids() {
        let mut copies = Copies::default();
        for index in 0..program[block].steps.len() {
            let step = program[block].steps[index];
            let at = Position { block, index };
            if let Op::Plain(instruction) = step.op {
                let new = replaced(context, at, &copies, instruction);
                if new != instruction && context.permits(0) {
                    let new = Step::new(new, step.origin);
                    context.note(program, step.origin, &[step], &[new]);
                    program[block].steps[index] = new;
                }
            }
            let small = |reg| match context.facts.register(at, reg) {
                Content::Number(range) => range.u64.1 <= u32::MAX.into(),
                _ => false,
            };
            copies.step(&program[block].steps[index].op, small);
        }
        end(program, context, block, &copies);
    }
}

fn replaced(
    context: &Context<'_>,
    at: Position,
    copies: &Copies,
    instruction: Instruction,
) -> Instruction {
    // Only where the distance is known does an access through the other register look the same to a verifier.
    let place = |base: Reg, off: i16| {
        let content = context.facts.register(at, base);
        let (new, moved) = copies.place(base, off);
        let fits = match content {
            Content::Address {
                place: Place::Stack(_),
                ..
            } => content.distance().is_some(),
            Content::Address {
                place: Place::Packet,
                ..
            } => (0..128).contains(&moved),
            Content::Address {
                place: Place::MapValue(_),
                nullable: false,
                ..
            } => moved >= 0,
            _ => false,
        };
        if fits { (new, moved) } else { (base, off) }
    };
    match instruction {
        Instruction::Alu {
            width,
            op,
            dst,
            src: Operand::Reg(src),
        } => Instruction::Alu {
            width,
            op,
            dst,
            src: Operand::Reg(copies.plain(src)),
        },
        Instruction::Atomic {
            op,
            size,
            fetch: false,
            base,
            off,
            src,
        } => Instruction::Atomic {
            op,
            size,
            fetch: false,
            base,
            off,
            src: copies.plain(src),
        },
        Instruction::Load {
            size,
            signed,
            dst,
            base,
            off,
        } => {
            let (base, off) = place(base, off);
            Instruction::Load {
                size,
                signed,
                dst,
                base,
                off,
            }
        }
        Instruction::Store {
            size,
            base,
            off,
            src,
        } => {
            let (base, off) = place(base, off);
            Instruction::Store {
                size,
                base,
                off,
                src: match src {
                    Operand::Reg(src) => Operand::Reg(copies.plain(src)),
                    src @ Operand::Imm(_) => src,
                },
            }
        }
        other => other,
    }
}

fn end(program: &mut Program, context: &mut Context<'_>, block: BlockId, copies: &Copies) {
    let End::Branch {
        condition,
        taken,
        next,
    } = program[block].end
    else {
        return;
    };
    let mut new = condition;
    if let Operand::Reg(src) = condition.src {
        new.src = Operand::Reg(copies.plain(src));
    }
    if new != condition && context.permits(0) {
        context.note_text(
            program[block].end_origin,
            vec![format!("if {condition}")],
            vec![format!("if {new}")],
        );
        program[block].end = End::Branch {
            condition: new,
            taken,
            next,
        };
    }
}
