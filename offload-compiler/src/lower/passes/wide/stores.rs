//! Stores that lie side by side: one instead.

use super::{Scan, Stored, is_aligned};
use crate::isa::{Instruction, Operand, Reg, Size};
use crate::lower::passes::lanes::{Address, Anchor, Lane, in_memory};
use crate::lower::passes::row::Row;
use crate::lower::program::{Op, Position, Program, Step};
use crate::lower::run::Context;

impl Scan<'_> {
    /// Stores that lie side by side: one instead, in the place of the last.
    pub(super) fn join_stores(
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
}
