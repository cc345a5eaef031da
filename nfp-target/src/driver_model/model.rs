//! The interpreter with the driver's rules.

use std::collections::{BTreeSet, HashMap};

use offload_compiler::interp::arithmetic::{alu, compare, negate};
use offload_compiler::interp::{Act, At, FaultKind, Region, Semantics};
use offload_compiler::isa::{
    AluOp, AtomicOp, Callee, Condition, Instruction, Operand, Reg, Size, Width,
};
use offload_compiler::verify::{Input, Place, Rules};

use super::WrongCode;
use super::copies::{self, Copy};
use super::divide::Division;
use super::facts::{Fact, Facts};
use super::shift::{Form, arithmetic, shift64};
use super::{stack, upper};
use crate::profile::{AdjustHead, Profile};
use crate::sim::{ORIGIN, Unset, VALUE_HIGH};

const EINVAL: u64 = -22_i64 as u64;
const ETH_HLEN: u32 = 14;
/// Bytes that the kernel lets a program add in front: `XDP_PACKET_HEADROOM` without `struct xdp_frame`.
const HEADROOM: i64 = 216;
/// `NFP_NET_RXR_MAX`: what a queue becomes that does not fit.
const QUEUE_LIMIT: u8 = 64;

/// Runs programs as the driver's words do.
pub struct DriverModel {
    facts: Facts,
    cleared: Vec<bool>,
    copies: HashMap<usize, Copy>,
    limits: AdjustHead,
    off: BTreeSet<WrongCode>,
    unset_high: u32,
    /// Upper halves of registers that hold nothing for the program.
    forgotten: [u32; 11],
    queue: Option<u8>,
    hits: BTreeSet<(usize, WrongCode)>,
}

impl DriverModel {
    /// The model of the driver's translation of a program that it accepts for a card of this profile. `unset` is what
    /// the card's registers hold that nobody wrote.
    pub fn new(input: &Input<'_>, profile: &Profile, unset: &Unset) -> DriverModel {
        let input = &Input {
            rules: Rules {
                offloaded: true,
                ..input.rules
            },
            ..input.clone()
        };
        let facts = Facts::find(input, profile);
        DriverModel {
            cleared: upper::cleared(input, &facts),
            copies: copies::find(input, &facts),
            limits: profile.adjust_head.clone(),
            off: BTreeSet::new(),
            unset_high: unset.high,
            forgotten: [unset.high; 11],
            queue: None,
            hits: BTreeSet::new(),
            facts,
        }
    }

    /// Switches a rule off: there the model does what the program says.
    #[must_use]
    pub fn without(mut self, rule: WrongCode) -> Self {
        self.off.insert(rule);
        self
    }

    /// Says what the driver knew of an instruction's operands where that is known better than by our own verification:
    /// the ranges of source and the highest destination on the paths that the kernel walked.
    #[must_use]
    pub fn knowing(mut self, slot: usize, source: (u64, u64), highest_destination: u64) -> Self {
        let fact = self.facts.at.entry(slot).or_default();
        fact.source = Some(source);
        fact.destination = highest_destination;
        fact.over_16_bits = source.1 > 0xffff;
        self
    }

    /// Gets ready for another packet.
    pub fn reset(&mut self) {
        self.forgotten = [self.unset_high; 11];
        self.queue = None;
        self.hits.clear();
    }

    /// The receive queue that the program chose.
    pub fn queue(&self) -> Option<u8> {
        self.queue
    }

    /// Where a rule made a difference since the last [`DriverModel::reset`], by slot.
    pub fn hits(&self) -> &BTreeSet<(usize, WrongCode)> {
        &self.hits
    }

    /// Which 32 bit results clear the upper half, by slot.
    pub fn cleared(&self) -> &[bool] {
        &self.cleared
    }

    /// The slots of loads and stores that are part of a copy that another does.
    pub fn copied(&self) -> BTreeSet<usize> {
        (self.copies.iter())
            .flat_map(|(&slot, copy)| slot + 1..copy.end)
            .collect()
    }

    fn rule(&self, rule: WrongCode) -> bool {
        !self.off.contains(&rule)
    }

    fn fact(&self, slot: usize) -> Fact {
        self.facts.at.get(&slot).cloned().unwrap_or_default()
    }

    /// Notes a difference.
    fn hit(&mut self, at: &At<'_, '_>, rule: WrongCode, is: u64, should: u64) {
        if is != should {
            self.hits.insert((at.slot(), rule));
        }
    }

    fn undefined<T>(
        &mut self,
        at: &At<'_, '_>,
        rule: WrongCode,
        what: &'static str,
    ) -> Result<T, FaultKind> {
        self.hits.insert((at.slot(), rule));
        Err(FaultKind::Undefined(what))
    }

    /// What the card's register holds in its upper half.
    fn upper(&self, at: &At<'_, '_>, reg: Reg) -> u32 {
        match at.register(reg) {
            None => self.forgotten[reg.index()],
            Some(value) => self.upper_of(at, value),
        }
    }

    fn upper_of(&self, at: &At<'_, '_>, value: u64) -> u32 {
        /// The middle of the interpreter's cells, from which addresses count.
        const MIDDLE: u32 = 1 << 31;
        let near = (value as u32).abs_diff(MIDDLE) < 1 << 17;
        match at.region(value).filter(|_| near) {
            Some(Region::Packet | Region::Stack) => 0,
            Some(Region::Context) => self.unset_high,
            Some(Region::MapValue(_)) => VALUE_HIGH,
            _ => (value >> 32) as u32,
        }
    }

    /// Remembers what registers hold before a call or a return takes it from the program.
    fn remember(&mut self, at: &At<'_, '_>) {
        for reg in Reg::ALL {
            self.forgotten[reg.index()] = self.upper(at, reg);
        }
    }

    fn arithmetic(
        &mut self,
        at: &mut At<'_, '_>,
        (width, op): (Width, AluOp),
        dst: Reg,
        src: Operand,
    ) -> Result<Act, FaultKind> {
        let slot = at.slot();
        let (value, by_self) = match src {
            Operand::Imm(imm) => (Some(i64::from(imm) as u64), false),
            Operand::Reg(reg) => (at.register(reg), reg == dst),
        };
        let (Some(old), Some(value)) = (at.register(dst), value) else {
            return Ok(Act::Leave);
        };
        if op == AluOp::Mov {
            return Ok(Act::Leave);
        }
        let should = alu(op, width, old, value);
        let kept = u64::from(self.upper(at, dst)) << 32;
        let fact = self.fact(slot);
        let result = match (op, width, src) {
            (AluOp::Add | AluOp::Sub, Width::W64, Operand::Imm(i32::MIN))
                if self.rule(WrongCode::LeastConstant) =>
            {
                let opposite = if op == AluOp::Add {
                    AluOp::Sub
                } else {
                    AluOp::Add
                };
                let result = alu(opposite, width, old, value);
                self.hit(at, WrongCode::LeastConstant, result, should);
                result
            }
            (AluOp::Div | AluOp::SDiv, ..) => {
                let divisor = match src {
                    Operand::Imm(_) => value,
                    Operand::Reg(_) => fact.source.map_or(value, |(least, _)| least),
                };
                self.divide(at, (width, op), old, (divisor, value), kept)?
            }
            (AluOp::Mul, ..) => {
                let short = fact.multiplies_short(&at.instruction());
                self.multiply(at, width, (old, value), kept, short)
            }
            (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, _, Operand::Reg(_)) => {
                let range = fact.source.unwrap_or((0, u64::MAX));
                self.shift(at, (width, op), (old, value), range, by_self)
            }
            _ => should,
        };
        let low = result & 0xffff_ffff;
        let result = match (op, width) {
            // They have seen to it themselves.
            (AluOp::Div | AluOp::SDiv | AluOp::Mul, _) | (_, Width::W64) => result,
            (_, Width::W32) if self.cleared[slot] => low,
            (_, Width::W32) => kept | low,
        };
        at.set(dst, result);
        Ok(Act::Done)
    }

    /// Upper half and low half of a 32 bit result that `rule` forgets to clear.
    fn unclear(
        &mut self,
        at: &At<'_, '_>,
        rule: WrongCode,
        width: Width,
        kept: u64,
        low: u32,
    ) -> u64 {
        let low = u64::from(low);
        if width == Width::W32 && self.cleared[at.slot()] {
            if !self.rule(rule) {
                return low;
            }
            self.hit(at, rule, kept, 0);
        }
        kept | low
    }

    fn divide(
        &mut self,
        at: &At<'_, '_>,
        (width, op): (Width, AluOp),
        old: u64,
        (divisor, value): (u64, u64),
        kept: u64,
    ) -> Result<u64, FaultKind> {
        let dividend = old as u32;
        if op == AluOp::SDiv {
            if !self.rule(WrongCode::SignIgnored) {
                return Ok(alu(op, width, old, value));
            }
            let unsigned = alu(AluOp::Div, width, old, value);
            self.hit(
                at,
                WrongCode::SignIgnored,
                unsigned,
                alu(op, width, old, value),
            );
        }
        if divisor != value && width == Width::W64 {
            self.hit(at, WrongCode::WalkedRange, divisor, value);
        }
        let right = u64::from(dividend).checked_div(divisor).unwrap_or(0) as u32;
        let quotient = match Division::by(divisor) {
            Division::Wide { magic } if self.rule(WrongCode::DivisionShift) => {
                let product = ((u64::from(dividend) * u64::from(magic)) >> 32) as u32;
                let half = dividend.wrapping_sub(product) >> 1;
                let quotient = half.wrapping_add(product).wrapping_shr(half);
                self.hit(at, WrongCode::DivisionShift, quotient.into(), right.into());
                quotient
            }
            Division::Undefined if self.rule(WrongCode::DivisionShift) => {
                return self.undefined(
                    at,
                    WrongCode::DivisionShift,
                    "a shift by what the word before happens to have",
                );
            }
            _ => right,
        };
        Ok(self.unclear(at, WrongCode::DivisionUpper, width, kept, quotient))
    }

    fn multiply(
        &mut self,
        at: &At<'_, '_>,
        width: Width,
        (old, value): (u64, u64),
        kept: u64,
        short: bool,
    ) -> u64 {
        let right = u64::from(old as u32) * u64::from(value as u32);
        if short {
            let low = (old as u32 & 0xffff) * (value as u32 & 0xffff);
            self.hit(at, WrongCode::WalkedRange, low.into(), right & 0xffff_ffff);
            return self.unclear(at, WrongCode::MultiplicationUpper, width, kept, low);
        }
        match width {
            Width::W64 => right,
            Width::W32 => right & 0xffff_ffff,
        }
    }

    /// Shifts by a register.
    fn shift(
        &mut self,
        at: &At<'_, '_>,
        (width, op): (Width, AluOp),
        (old, value): (u64, u64),
        range: (u64, u64),
        by_self: bool,
    ) -> u64 {
        let should = alu(op, width, old, value);
        if range.0 == range.1 {
            let result = alu(op, width, old, u64::from(range.0 as u8));
            self.hit(at, WrongCode::WalkedRange, result, should);
            return result;
        }
        let amount = value as u32;
        if width == Width::W32 {
            if op != AluOp::Arsh || !self.rule(WrongCode::ShiftSign) {
                return should;
            }
            let result = arithmetic(old as u32, amount, amount | old as u32).into();
            self.hit(at, WrongCode::ShiftSign, result, should);
            return result;
        }
        let form = Form::of(range, amount);
        let result = shift64(op, form, old, amount, by_self);
        let rule = if by_self && form == Form::Below32 {
            WrongCode::ShiftBySelf
        } else if form != Form::of((0, u64::MAX), amount) {
            WrongCode::ShiftRange
        } else {
            WrongCode::ShiftSign
        };
        self.hit(at, rule, result, should);
        if self.rule(rule) { result } else { should }
    }

    fn load(
        &mut self,
        at: &mut At<'_, '_>,
        (size, dst): (Size, Reg),
        base: Reg,
        off: i16,
    ) -> Result<Act, FaultKind> {
        let slot = at.slot();
        let fact = self.fact(slot);
        if let Some(Place::MapValue(_)) = fact.place
            && off < 0
            && self.rule(WrongCode::MapBefore)
        {
            return self.undefined(at, WrongCode::MapBefore, "a load 4 GiB off");
        }
        let kept = u64::from(self.upper(at, dst)) << 32;
        if fact.place == Some(Place::Context) || size == Size::B64 && !fact.callers_stack {
            return Ok(Act::Leave);
        }
        let address = at
            .register(base)
            .map(|base| base.wrapping_add_signed(off.into()));
        at.execute()?;
        let Some(mut value) = at.register(dst) else {
            return Ok(Act::Executed);
        };
        if let (true, Some(address), Some(place)) = (
            fact.callers_stack,
            address,
            self.callers_place(slot, &fact, off),
        ) {
            let words = words(at, address);
            let wrong = stack::load(place, size.bytes(), &words);
            if self.rule(WrongCode::CallerStack) {
                // `slot` was executed: hits are noted at the load.
                if wrong != value {
                    self.hits.insert((slot, WrongCode::CallerStack));
                }
                value = wrong;
            }
        }
        if size != Size::B64 && !self.cleared[slot] {
            value |= kept;
        }
        at.set(dst, value);
        Ok(Act::Executed)
    }

    /// Where the driver thinks a caller's stack is, from the bottom of the frame that runs; where that is negative.
    fn callers_place(&self, slot: usize, fact: &Fact, off: i16) -> Option<i32> {
        let frame = self.facts.frames.get(slot).copied()? as i32;
        let place = frame + i32::from(off) + fact.offset? as i32;
        (place < 0).then_some(place)
    }

    fn store(
        &mut self,
        at: &mut At<'_, '_>,
        size: Size,
        base: Reg,
        off: i16,
        src: Reg,
    ) -> Result<Act, FaultKind> {
        let slot = at.slot();
        let fact = self.fact(slot);
        let (Some(address), Some(value)) = (at.register(base), at.register(src)) else {
            return Ok(Act::Leave);
        };
        let address = address.wrapping_add_signed(off.into());
        if fact.place == Some(Place::Context) {
            let queue = value as u32;
            self.queue = Some(u8::try_from(queue).unwrap_or(QUEUE_LIMIT));
            return Ok(Act::Done);
        }
        let Some(place) = self
            .callers_place(slot, &fact, off)
            .filter(|_| fact.callers_stack && self.rule(WrongCode::CallerStack))
        else {
            return Ok(Act::Leave);
        };
        let mut left = words(at, address);
        stack::store(place, size.bytes(), value, &mut left);
        let bytes: Vec<u8> = left.iter().flat_map(|word| word.to_le_bytes()).collect();
        let first = (address & 3) as usize;
        let its = &bytes[first..first + size.bytes() as usize];
        if *its != value.to_le_bytes()[..its.len()] {
            self.hits.insert((slot, WrongCode::CallerStack));
        }
        at.write(address, its)?;
        Ok(Act::Done)
    }

    fn atomic(
        &mut self,
        at: &mut At<'_, '_>,
        size: Size,
        base: Reg,
        off: i16,
        src: Reg,
    ) -> Result<Act, FaultKind> {
        if off < 0 && self.rule(WrongCode::MapBefore) {
            return self.undefined(at, WrongCode::MapBefore, "an addition 4 GiB off");
        }
        let (Some(address), Some(value)) = (at.register(base), at.register(src)) else {
            return Ok(Act::Leave);
        };
        let fact = self.fact(at.slot());
        let whole = if size == Size::B32 {
            value & 0xffff_ffff
        } else {
            value
        };
        if fact.over_16_bits || whole <= 0xffff || !self.rule(WrongCode::WalkedRange) {
            return Ok(Act::Leave);
        }
        self.hits.insert((at.slot(), WrongCode::WalkedRange));
        let address = address.wrapping_add_signed(off.into());
        let len = size.bytes() as usize;
        let mut old = [0; 8];
        old[..len].copy_from_slice(at.read(address, len as u64)?);
        let sum = u64::from_le_bytes(old).wrapping_add(value & 0xffff);
        at.write(address, &sum.to_le_bytes()[..len])?;
        Ok(Act::Done)
    }

    fn copy(&mut self, at: &mut At<'_, '_>, copy: &Copy) -> Result<Act, FaultKind> {
        let (Some(from), Some(to)) = (at.register(copy.from), at.register(copy.to)) else {
            return Ok(Act::Leave);
        };
        let from_map = matches!(self.fact(at.slot()).place, Some(Place::MapValue(_)));
        if from_map && copy.from_offset < 0 && self.rule(WrongCode::MapBefore) {
            return self.undefined(at, WrongCode::MapBefore, "a load 4 GiB off");
        }
        if copy.merged {
            self.hits.insert((at.slot(), WrongCode::CopyMerged));
        }
        let from = from.wrapping_add_signed(copy.from_offset.into());
        let bytes = at.read(from, copy.len.into())?.to_vec();
        at.write(to.wrapping_add_signed(copy.to_offset.into()), &bytes)?;
        let value = copy.left(&bytes, false);
        let right = copy.left(&bytes, true);
        self.hit(at, WrongCode::CopyRegister, value, right);
        let value = if self.rule(WrongCode::CopyRegister) {
            value
        } else {
            right
        };
        at.set(copy.through, value);
        Ok(Act::Goto(copy.end))
    }

    fn branch(&mut self, at: &mut At<'_, '_>, condition: Condition, offset: i16) -> Act {
        let slot = at.slot();
        if let Some(target) = self.facts.decided(slot, offset) {
            return Act::Goto(target);
        }
        let (true, true, Some(value)) = (
            WrongCode::negates(&condition),
            self.rule(WrongCode::LeastConstant),
            at.register(condition.dst),
        ) else {
            return Act::Leave;
        };
        // Half a register is less than 2^31 as a signed number.
        let value = match condition.width {
            Width::W64 => value,
            Width::W32 => i64::from(value as i32) as u64,
        };
        let compared = |with| compare(condition.op, Width::W64, value, with);
        let (is, should) = (compared(1 << 31), compared(i64::from(i32::MIN) as u64));
        self.hit(at, WrongCode::LeastConstant, is.into(), should.into());
        let next = slot + 1;
        Act::Goto(if is {
            next.wrapping_add_signed(offset.into())
        } else {
            next
        })
    }

    fn call(&mut self, at: &mut At<'_, '_>, id: i32) -> Result<Act, FaultKind> {
        self.remember(at);
        let delta = at.register(Reg::R2).unwrap_or(0) as i32;
        let (moved, length) = at.packet();
        let done = match id {
            44 if self.facts.sure_adjust == Some(at.slot()) => {
                if !self.rule(WrongCode::HeadUnchecked) {
                    return Ok(Act::Leave);
                }
                if i64::from(length) - i64::from(delta) < i64::from(ETH_HLEN) {
                    self.hits.insert((at.slot(), WrongCode::HeadUnchecked));
                }
                Some((i64::from(delta), 0))
            }
            44 if self.rule(WrongCode::AdjustLimits) => {
                let place = (i64::from(ORIGIN) + moved) as u32 & 0xffff;
                let place = place.wrapping_add(delta as u32);
                let limits = u32::from(self.limits.lowest)..=u32::from(self.limits.highest);
                let left = length.wrapping_sub(delta as u32).wrapping_sub(ETH_HLEN);
                let fits = limits.contains(&place) && left >> 31 == 0;
                let kernel = moved + i64::from(delta) >= -HEADROOM
                    && i64::from(length) - i64::from(delta) >= i64::from(ETH_HLEN);
                self.hit(at, WrongCode::AdjustLimits, fits.into(), kernel.into());
                fits.then_some((i64::from(delta), 0))
            }
            65 if self.rule(WrongCode::AdjustLimits) => {
                let (sum, carry) = length.overflowing_add(delta as u32);
                let fits = carry && sum.wrapping_sub(ETH_HLEN) >> 31 == 0;
                let kernel = i64::from(length) + i64::from(delta) >= i64::from(ETH_HLEN);
                self.hit(at, WrongCode::AdjustLimits, fits.into(), kernel.into());
                fits.then_some((0, i64::from(delta)))
            }
            7 | 44 | 65 => return Ok(Act::Leave),
            _ => {
                self.forgotten[1..=5].fill(self.unset_high);
                return Ok(Act::Leave);
            }
        };
        let r0 = match done {
            None => EINVAL,
            Some((start, end)) => {
                if !at.move_packet(start, end) {
                    return self.undefined(
                        at,
                        WrongCode::HeadUnchecked,
                        "a packet of negative length",
                    );
                }
                0
            }
        };
        at.spoil_arguments();
        at.set(Reg::R0, r0);
        Ok(Act::Done)
    }
}

impl Copy {
    /// What the register holds afterwards, as the driver has it or as it should be.
    pub(super) fn left(&self, bytes: &[u8], right: bool) -> u64 {
        let size = self.size.bytes() as usize;
        let last = if self.descending {
            0
        } else {
            bytes.len() - size
        };
        let first_word = if self.descending {
            0
        } else {
            (bytes.len() - 1) / 4 * 4
        };
        let from = match self.size {
            _ if right => last,
            Size::B8 => first_word + (bytes.len() + 3) % 4,
            Size::B16 => first_word + ((bytes.len() % 4) ^ 2),
            Size::B32 => 0,
            Size::B64 => last,
        };
        let mut value = [0; 8];
        for (byte, from) in value[..size].iter_mut().zip(from..) {
            *byte = bytes.get(from).copied().unwrap_or(0);
        }
        u64::from_le_bytes(value)
    }
}

/// The words of stack from the one that an address is in. What was never written reads as 0.
fn words(at: &At<'_, '_>, address: u64) -> Vec<u32> {
    let first = address & !3;
    let byte = |at_byte: u64| {
        at.read(first.wrapping_add(at_byte), 1)
            .map_or(0, |bytes| bytes[0])
    };
    (0..3)
        .map(|word| u32::from_le_bytes([0, 1, 2, 3].map(|at_byte| byte(4 * word + at_byte))))
        .collect()
}

impl Semantics for DriverModel {
    fn step(&mut self, at: &mut At<'_, '_>) -> Result<Act, FaultKind> {
        let slot = at.slot();
        if let Some(copy) = self.copies.get(&slot).copied() {
            return self.copy(at, &copy);
        }
        match at.instruction() {
            Instruction::Alu {
                width,
                op,
                dst,
                src,
            } => self.arithmetic(at, (width, op), dst, src),
            Instruction::MoveSigned {
                width, dst, src, ..
            } if self.rule(WrongCode::SignIgnored) => {
                let Some(value) = at.register(src) else {
                    return Ok(Act::Leave);
                };
                self.hits.insert((slot, WrongCode::SignIgnored));
                at.set(dst, alu(AluOp::Mov, width, 0, value));
                Ok(Act::Done)
            }
            Instruction::Negate {
                width: Width::W32,
                dst,
            } => {
                let Some(value) = at.register(dst) else {
                    return Ok(Act::Leave);
                };
                let kept = if self.cleared[slot] {
                    0
                } else {
                    u64::from(self.upper(at, dst)) << 32
                };
                at.set(dst, kept | negate(Width::W32, value));
                Ok(Act::Done)
            }
            Instruction::Load {
                size,
                dst,
                base,
                off,
                ..
            } => self.load(at, (size, dst), base, off),
            Instruction::Store {
                size,
                base,
                off,
                src: Operand::Reg(src),
            } => self.store(at, size, base, off, src),
            Instruction::Atomic {
                op: AtomicOp::Add,
                size,
                base,
                off,
                src,
                fetch: false,
            } => self.atomic(at, size, base, off, src),
            Instruction::Branch { condition, offset } => Ok(self.branch(at, condition, offset)),
            Instruction::Call(Callee::Helper(id)) => self.call(at, id),
            Instruction::Call(_) | Instruction::Exit => {
                self.remember(at);
                Ok(Act::Leave)
            }
            _ => Ok(Act::Leave),
        }
    }
}
