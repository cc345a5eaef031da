//! Bytes that are loaded, put together, taken apart or stored one by one are accessed as a whole: where a compiler does not
//! know that an address is aligned, as in `struct ethhdr`, it takes each byte for itself.

mod loads;
mod stores;

use super::lanes::{Address, Anchor, Lane, Registers};
use crate::isa::{AluOp, Instruction, Operand, Reg, Size};
use crate::lower::liveness::{Liveness, step_effect};
use crate::lower::program::{BlockId, Op, Position, Program, Step};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "wide-accesses",
    allow: None,
    optimises: true,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    let live = Liveness::of(program);
    for block in program.block_ids() {
        let mut scan = Scan::new(program, &live, block);
        scan.run(program, context);
        program[block].steps = scan.lines.into_iter().flatten().collect();
    }
}

/// Memory that a step may read or write; none is anything.
struct Access {
    index: usize,
    writes: bool,
    address: Option<(Address, i64)>,
}

/// A store, or several that became one.
struct Stored {
    index: usize,
    /// The steps that belong to it.
    parts: Vec<usize>,
    address: Address,
    lanes: Vec<Lane>,
}

struct Scan<'a> {
    live: &'a Liveness,
    block: BlockId,
    /// What stands at each step's place now.
    lines: Vec<Vec<Step>>,
    registers: Registers,
    accesses: Vec<Access>,
    stores: Vec<Stored>,
}

impl<'a> Scan<'a> {
    fn new(program: &Program, live: &'a Liveness, block: BlockId) -> Self {
        let steps = program[block].steps.iter();
        Self {
            live,
            block,
            lines: steps.map(|step| vec![*step]).collect(),
            registers: Registers::new(),
            accesses: Vec::new(),
            stores: Vec::new(),
        }
    }

    fn at(&self, index: usize) -> Position {
        Position {
            block: self.block,
            index,
        }
    }

    fn run(&mut self, program: &Program, context: &mut Context<'_>) {
        for (index, step) in program[self.block].steps.iter().enumerate() {
            let at = self.at(index);
            if context.facts.at(at).is_none() {
                return;
            }
            self.note(context, at, &step.op);
            match step.op {
                Op::Plain(Instruction::Store {
                    size,
                    base,
                    off,
                    src,
                }) => {
                    if let Some(address) = self.registers.address(context.facts, at, base, off) {
                        let lanes = self.registers.operand(src);
                        self.stores.push(Stored {
                            index,
                            parts: vec![index],
                            address,
                            lanes: lanes[..size.bytes() as usize].to_vec(),
                        });
                        self.join_stores(program, context, step, src);
                    }
                    self.step(context, at, &step.op);
                }
                Op::Plain(Instruction::Alu {
                    op: AluOp::Or | AluOp::Add | AluOp::Xor,
                    dst,
                    src: Operand::Reg(_),
                    ..
                }) => {
                    self.step(context, at, &step.op);
                    self.join_loads(program, context, step, at, dst);
                }
                _ => self.step(context, at, &step.op),
            }
        }
    }

    fn step(&mut self, context: &Context<'_>, at: Position, op: &Op) {
        let after = self.live.after(at);
        let live = op.written().is_some_and(|reg| after.contains(reg));
        self.registers.step(context.facts, at, op, live);
    }

    /// Notes what a step does to memory.
    fn note(&mut self, context: &Context<'_>, at: Position, op: &Op) {
        let mut note = |writes, address| {
            self.accesses.push(Access {
                index: at.index,
                writes,
                address,
            });
        };
        match *op {
            Op::Plain(Instruction::Load {
                size, base, off, ..
            }) => {
                let address = self.registers.address(context.facts, at, base, off);
                // Other memory, as the context, nothing here is stored to.
                if let Some(address) = address {
                    note(false, Some((address, size.bytes().into())));
                } else if context.facts.register(at, base).place()
                    != Some(crate::verify::Place::Context)
                {
                    note(false, None);
                }
            }
            Op::Plain(Instruction::Store {
                size, base, off, ..
            }) => {
                let address = self.registers.address(context.facts, at, base, off);
                note(true, address.map(|address| (address, size.bytes().into())));
            }
            Op::Plain(
                Instruction::Alu { .. }
                | Instruction::MoveSigned { .. }
                | Instruction::Negate { .. }
                | Instruction::Swap { .. }
                | Instruction::LoadImm64 { .. },
            )
            | Op::LoadMap { .. }
            | Op::LoadFunction { .. } => {}
            _ => note(true, None),
        }
    }

    /// Whether nothing of other steps after `from` and before `to` meets an address; reads count only with `reads`.
    fn is_left(
        &self,
        (address, bytes): (Address, i64),
        from: usize,
        to: usize,
        reads: bool,
        except: &[usize],
    ) -> bool {
        !self.accesses.iter().any(|access| {
            (from + 1..to).contains(&access.index)
                && !except.contains(&access.index)
                && (access.writes || reads)
                && access
                    .address
                    .is_none_or(|(other, size)| address.meets(bytes, other, size))
        })
    }

    fn base(&self, context: &Context<'_>, at: Position, address: Address) -> Option<(Reg, i16)> {
        // Of what is read no more, nothing is known for certain.
        let live = self.live.before(at);
        let holds = |reg| live.contains(reg) && self.holds(reg, at);
        self.registers.base(context.facts, at, address, holds)
    }

    /// Whether a register has what it had, whatever was rewritten: it is read by nobody else than before.
    fn holds(&self, reg: Reg, at: Position) -> bool {
        for line in self.lines[..at.index].iter().rev() {
            if line
                .iter()
                .any(|step| step_effect(&step.op).1.contains(reg))
            {
                // The last to write it is still the step that did.
                return line.len() == 1;
            }
        }
        true
    }
}

/// Whether a target takes a whole access there: packets are aligned nowhere, all else has to be.
fn is_aligned(address: Address, size: Size) -> bool {
    match address.anchor {
        Anchor::Packet | Anchor::InPacket(_) => true,
        Anchor::Stack(_) | Anchor::InMap(..) => address.at % i64::from(size.bytes()) == 0,
    }
}
