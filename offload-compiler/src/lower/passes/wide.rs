//! Bytes that are loaded, put together, taken apart or stored one by one are accessed as a whole: where a compiler does not
//! know that an address is aligned, as in `struct ethhdr`, it takes each byte for itself.

use super::lanes::{Address, Anchor, Lane, Registers, in_memory, width};
use super::row::Row;
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

    /// Bytes of memory that are in a register after a step, put together: one load instead.
    fn join_loads(
        &mut self,
        program: &Program,
        context: &mut Context<'_>,
        step: &Step,
        at: Position,
        dst: Reg,
    ) {
        let lanes = *self.registers.lanes(dst);
        let Some(size) = width(&lanes) else { return };
        let bytes = i64::from(size.bytes());
        let Some((address, times)) = in_memory(&lanes[..bytes as usize]) else {
            return;
        };
        let (Some(&first), Some(&last)) = (times.iter().min(), times.iter().max()) else {
            return;
        };
        if times.len() < 2
            || !is_aligned(address, size)
            || !self.is_left((address, bytes), first, at.index, false, &[])
        {
            return;
        }
        let load = |base, off| {
            let mut row = Row::new(step.origin);
            row.load(size, dst, base, off);
            row.steps
        };
        // The registers are those after the step, which has not written to an address.
        if let Some((base, off)) = self.base(context, at, address)
            && base != dst
        {
            let row = load(base, off);
            if context.permits(0) {
                context.note(program, step.origin, std::slice::from_ref(step), &row);
                self.lines[at.index] = row;
            }
            return;
        }
        self.load_early(
            program,
            context,
            (step, at.index),
            (last, address),
            dst,
            load,
        );
    }

    /// The same where the last of the loads is the last to know the address.
    fn load_early(
        &mut self,
        program: &Program,
        context: &mut Context<'_>,
        (step, index): (&Step, usize),
        (last, address): (usize, Address),
        dst: Reg,
        load: impl Fn(Reg, i16) -> Vec<Step>,
    ) {
        let Op::Plain(Instruction::Load {
            base,
            off,
            dst: own,
            ..
        }) = program[self.block].steps[last].op
        else {
            return;
        };
        if own != dst || self.lines[last].len() != 1 {
            return;
        }
        // Between the two, the register has only parts of the number, for itself.
        let mut between = Vec::new();
        for line in last + 1..=index {
            for step in &self.lines[line] {
                let (uses, _) = step_effect(&step.op);
                let own =
                    step.op.written() == Some(dst) && super::unused::result(&step.op).is_some();
                if uses.contains(dst) && !own {
                    return;
                }
                if own {
                    between.push(line);
                }
            }
        }
        let mut loads = self.accesses.iter();
        let Some((there, _)) = loads
            .find(|access| access.index == last)
            .and_then(|access| access.address)
        else {
            return;
        };
        let Ok(off) = i16::try_from(i64::from(off) + address.at - there.at) else {
            return;
        };
        if (off < 0 && base != Reg::R10)
            || between.iter().any(|&line| self.lines[line].len() != 1)
            || !context.permits(0)
        {
            return;
        }
        let old: Vec<Step> = std::iter::once(last)
            .chain(between.iter().copied())
            .flat_map(|line| self.lines[line].clone())
            .collect();
        let row = load(base, off);
        context.note(program, step.origin, &old, &row);
        for line in between {
            self.lines[line].clear();
        }
        self.lines[last] = row;
    }

    /// Stores that lie side by side: one instead, in the place of the last.
    fn join_stores(
        &mut self,
        program: &Program,
        context: &mut Context<'_>,
        step: &Step,
        src: Operand,
    ) {
        let Some(last) = self.stores.last() else {
            return;
        };
        let (address, len) = (last.address, last.lanes.len() as i64);
        for size in [Size::B64, Size::B32, Size::B16] {
            let bytes = i64::from(size.bytes());
            for back in 0..=bytes - len {
                let start = address.plus(-back);
                if bytes > len
                    && is_aligned(start, size)
                    && self.join(program, context, (step, src), (start, size))
                {
                    return;
                }
            }
        }
    }

    fn join(
        &mut self,
        program: &Program,
        context: &mut Context<'_>,
        (step, src): (&Step, Operand),
        (start, size): (Address, Size),
    ) -> bool {
        let bytes = i64::from(size.bytes());
        let Some((group, lanes)) = self.group(start, bytes) else {
            return false;
        };
        let Some(index) = self.stores.last().map(|last| last.index) else {
            return false;
        };
        let at = self.at(index);
        let parts: Vec<usize> = group
            .iter()
            .flat_map(|&store| self.stores[store].parts.clone())
            .collect();
        let stay = group.iter().all(|&store| {
            let store = &self.stores[store];
            let there = (store.address, store.lanes.len() as i64);
            self.is_left(there, store.index, index, true, &parts)
        });
        let Op::Plain(Instruction::Store { base, off, .. }) = step.op else {
            return false;
        };
        let Some(last) = self.stores.last() else {
            return false;
        };
        let Ok(off) = i16::try_from(i64::from(off) + start.at - last.address.at) else {
            return false;
        };
        if !stay || (off < 0 && !matches!(start.anchor, Anchor::Stack(_))) {
            return false;
        }
        let mut row = Row::new(step.origin);
        let Some(value) = self.value(context, at, &lanes, (base, src), &mut row) else {
            return false;
        };
        row.push(Instruction::Store {
            size,
            base,
            off,
            src: value,
        });
        let old: Vec<Step> = parts
            .iter()
            .flat_map(|&part| self.lines[part].clone())
            .collect();
        if row.steps.len() > old.len() || !context.permits(0) {
            return false;
        }
        context.note(program, step.origin, &old, &row.steps);
        for &part in &parts {
            self.lines[part].clear();
        }
        self.lines[index] = row.steps;
        self.stores.retain(|store| !parts.contains(&store.index));
        self.stores.push(Stored {
            index,
            parts: vec![index],
            address: start,
            lanes,
        });
        true
    }

    /// The stores that fill so many bytes, and with what; the last one is among them.
    fn group(&self, start: Address, bytes: i64) -> Option<(Vec<usize>, Vec<Lane>)> {
        let mut lanes: Vec<Option<Lane>> = vec![None; bytes as usize];
        let mut group = Vec::new();
        for (number, store) in self.stores.iter().enumerate().rev() {
            let len = store.lanes.len() as i64;
            if !store.address.meets(len, start, bytes) {
                continue;
            }
            let from = store.address.at - start.at;
            if store.address.anchor != start.anchor || from < 0 || from + len > bytes {
                return None;
            }
            let places = lanes[from as usize..].iter_mut();
            for (place, lane) in places.zip(&store.lanes) {
                if place.replace(*lane).is_some() {
                    return None;
                }
            }
            group.push(number);
            if lanes.iter().all(Option::is_some) {
                break;
            }
        }
        let lanes: Option<Vec<Lane>> = lanes.into_iter().collect();
        Some((group, lanes?)).filter(|(group, _)| group.len() > 1)
    }

    /// What to store at a place so that these bytes are stored; what has to come before goes into the row.
    fn value(
        &self,
        context: &Context<'_>,
        at: Position,
        lanes: &[Lane],
        (base, src): (Reg, Operand),
        row: &mut Row,
    ) -> Option<Operand> {
        let bytes = lanes.len();
        let there = Reg::ALL[..10]
            .iter()
            .find(|&&reg| self.registers.lanes(reg)[..bytes] == *lanes && self.holds(reg, at));
        if let Some(&reg) = there {
            return Some(Operand::Reg(reg));
        }
        let busy = self.live.after(at).with(base);
        let own = match src {
            Operand::Reg(src) if !busy.contains(src) => Some(src),
            _ => None,
        };
        let scratch = || {
            let free = self.live.before(at).union(busy).free();
            own.or(free)
        };
        let constant: Option<Vec<u8>> = lanes
            .iter()
            .map(|lane| match lane {
                Lane::Constant(byte) => Some(*byte),
                _ => None,
            })
            .collect();
        if let Some(constant) = constant {
            let mut all = [0; 8];
            all[..bytes].copy_from_slice(&constant);
            let number = u64::from_le_bytes(all);
            if context.forms.store_immediate {
                let unused = 64 - 8 * bytes as u32;
                let signed = (number << unused) as i64 >> unused;
                return i32::try_from(signed).ok().map(Operand::Imm);
            }
            let reg = scratch()?;
            row.number(reg, number);
            return Some(Operand::Reg(reg));
        }
        let (address, times) = in_memory(lanes)?;
        let first = *times.iter().min()?;
        let size = match bytes {
            2 => Size::B16,
            4 => Size::B32,
            _ => Size::B64,
        };
        if !is_aligned(address, size)
            || !self.is_left((address, bytes as i64), first, at.index, false, &[])
        {
            return None;
        }
        let (from, off) = self.base(context, at, address)?;
        let reg = scratch()?;
        row.load(size, reg, from, off);
        Some(Operand::Reg(reg))
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
