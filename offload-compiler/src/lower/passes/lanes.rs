//! What the bytes of registers are within a block: constants, bytes of memory, bytes of other values.

use crate::isa::{AluOp, Imm64, Instruction, Operand, Reg, Size, Swap, Width};
use crate::lower::facts::{Content, Facts};
use crate::lower::liveness::step_effect;
use crate::lower::program::{Op, Position};
use crate::verify::Place;

/// Where addresses count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// The upper end of the frame of this depth.
    Stack(u8),
    /// The packet's start.
    Packet,
    /// The start of what this value points to, in the packet.
    InPacket(u32),
    /// The start of the value of this map that this value points into.
    InMap(u32, u32),
}

/// The address of a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) anchor: Anchor,
    pub(super) at: i64,
}

impl Address {
    pub(super) const fn plus(self, bytes: i64) -> Self {
        Self {
            anchor: self.anchor,
            at: self.at + bytes,
        }
    }

    /// Whether so many bytes at one and so many at another may meet.
    pub(super) fn meets(self, bytes: i64, other: Self, other_bytes: i64) -> bool {
        use Anchor::{InMap, InPacket, Packet, Stack};
        match (self.anchor, other.anchor) {
            (one, another) if one == another => {
                self.at < other.at + other_bytes && other.at < self.at + bytes
            }
            (Packet | InPacket(_), Packet | InPacket(_)) => true,
            (InMap(map, _), InMap(other, _)) => map == other,
            (Stack(_) | Packet | InPacket(_) | InMap(..), _) => false,
        }
    }
}

/// What a byte of a register is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Constant(u8),
    /// A byte of memory, as it was before the step of this index.
    Memory(Address, usize),
    /// A byte of a value that is known by its number only.
    Value(u32, u8),
}

/// The bytes of a register, lowest first.
pub(super) type Lanes = [Lane; 8];

pub(super) fn constant(number: u64) -> Lanes {
    number.to_le_bytes().map(Lane::Constant)
}

const ZERO: Lane = Lane::Constant(0);

/// The registers at a place of a block.
pub(super) struct Registers {
    lanes: [Lanes; 11],
    /// Each is a value plus a number of bytes.
    values: [(u32, i64); 11],
    next: u32,
}

impl Registers {
    /// At the start of a block.
    pub(super) fn new() -> Self {
        let mut registers = Self {
            lanes: [constant(0); 11],
            values: [(0, 0); 11],
            next: 0,
        };
        for reg in Reg::ALL {
            registers.forget(reg);
        }
        registers
    }

    pub(super) fn lanes(&self, reg: Reg) -> &Lanes {
        &self.lanes[reg.index()]
    }

    pub(super) fn operand(&self, operand: Operand) -> Lanes {
        match operand {
            Operand::Reg(reg) => *self.lanes(reg),
            Operand::Imm(imm) => constant(i64::from(imm) as u64),
        }
    }

    fn forget(&mut self, reg: Reg) {
        self.next += 1;
        self.values[reg.index()] = (self.next, 0);
        self.lanes[reg.index()] = std::array::from_fn(|byte| Lane::Value(self.next, byte as u8));
    }

    /// Where an access is; none where that is not known well enough.
    pub(super) fn address(
        &self,
        facts: &Facts,
        at: Position,
        base: Reg,
        off: i16,
    ) -> Option<Address> {
        let content = facts.register(at, base);
        let Content::Address {
            place,
            nullable: false,
            ..
        } = content
        else {
            return None;
        };
        let (value, plus) = self.values[base.index()];
        let off = i64::from(off);
        match (place, content.distance()) {
            (Place::Stack(frame), Some(distance)) => Some(Address {
                anchor: Anchor::Stack(frame),
                at: distance + off,
            }),
            (Place::Packet, Some(distance)) => Some(Address {
                anchor: Anchor::Packet,
                at: distance + off,
            }),
            (Place::Packet, None) => Some(Address {
                anchor: Anchor::InPacket(value),
                at: plus + off,
            }),
            (Place::MapValue(map), Some(distance)) => Some(Address {
                anchor: Anchor::InMap(map, value),
                at: distance + off,
            }),
            _ => None,
        }
    }

    /// A register of those that `holds` says still have what they had, and an offset, by which an address can be accessed.
    pub(super) fn base(
        &self,
        facts: &Facts,
        at: Position,
        address: Address,
        holds: impl Fn(Reg) -> bool,
    ) -> Option<(Reg, i16)> {
        let mut found = Reg::ALL.iter().filter_map(|&reg| {
            let zero = self.address(facts, at, reg, 0)?;
            let off = i16::try_from(address.at.checked_sub(zero.at)?).ok()?;
            // Offsets below 0 some targets do not have, but of the stack.
            let fits = off >= 0 || matches!(address.anchor, Anchor::Stack(_));
            (zero.anchor == address.anchor && fits && holds(reg)).then_some((reg, off))
        });
        match address.anchor {
            Anchor::Stack(_) => found.find(|&(reg, _)| reg == Reg::R10),
            _ => found.next(),
        }
    }

    /// After a step; `live` says whether what it gives is read later. Of what is not, a verifier knows nothing for certain:
    /// it leaves paths on which only that is another.
    pub(super) fn step(&mut self, facts: &Facts, at: Position, op: &Op, live: bool) {
        let (_, defines) = step_effect(op);
        let known = match op {
            Op::Plain(instruction) => self.result(facts, at, instruction),
            _ => None,
        };
        let moved = self.moved(op);
        for reg in Reg::ALL {
            if defines.contains(reg) {
                self.forget(reg);
            }
        }
        let Some(dst) = op.written() else { return };
        if let Some(value) = moved {
            self.values[dst.index()] = value;
        }
        if let Some(lanes) = known {
            self.lanes[dst.index()] = lanes;
        }
        let after = Position {
            index: at.index + 1,
            ..at
        };
        if live && let Content::Number(range) = facts.register(after, dst) {
            let lanes = &mut self.lanes[dst.index()];
            for (byte, lane) in lanes.iter_mut().enumerate() {
                if range.u64.1 >> (8 * byte) == 0 {
                    *lane = ZERO;
                }
            }
        }
    }

    /// The value that the destination is then, plus so many bytes.
    fn moved(&self, op: &Op) -> Option<(u32, i64)> {
        match *op {
            Op::Plain(Instruction::Alu {
                width: Width::W64,
                op: AluOp::Mov,
                src: Operand::Reg(src),
                ..
            }) => Some(self.values[src.index()]),
            Op::Plain(Instruction::Alu {
                width: Width::W64,
                op: AluOp::Add,
                dst,
                src: Operand::Imm(imm),
            }) => {
                let (value, plus) = self.values[dst.index()];
                Some((value, plus + i64::from(imm)))
            }
            _ => None,
        }
    }

    fn result(&self, facts: &Facts, at: Position, instruction: &Instruction) -> Option<Lanes> {
        match *instruction {
            Instruction::Load {
                size,
                signed: false,
                base,
                off,
                ..
            } => {
                let address = self.address(facts, at, base, off)?;
                let memory = |byte: usize| Lane::Memory(address.plus(byte as i64), at.index);
                Some(std::array::from_fn(|byte| {
                    if byte < size.bytes() as usize {
                        memory(byte)
                    } else {
                        ZERO
                    }
                }))
            }
            Instruction::LoadImm64 {
                value: Imm64::Number(number),
                ..
            } => Some(constant(number)),
            Instruction::Alu {
                width,
                op,
                dst,
                src,
            } => {
                let lanes = combined(op, width, self.lanes(dst), src, &self.operand(src))?;
                Some(match width {
                    Width::W64 => lanes,
                    Width::W32 => truncated(lanes, 4),
                })
            }
            Instruction::Swap {
                swap: Swap::ToBig | Swap::Always,
                size,
                dst,
            } => {
                let bytes = size.bytes() as usize;
                let mut lanes = truncated(*self.lanes(dst), bytes);
                lanes[..bytes].reverse();
                Some(lanes)
            }
            _ => None,
        }
    }
}

fn truncated(mut lanes: Lanes, bytes: usize) -> Lanes {
    lanes[bytes..].fill(ZERO);
    lanes
}

/// What an operation makes of bytes, where it leaves bytes whole.
fn combined(op: AluOp, width: Width, left: &Lanes, src: Operand, right: &Lanes) -> Option<Lanes> {
    let bytes = width.bits() as usize / 8;
    match (op, src) {
        (AluOp::Mov, _) => Some(*right),
        (AluOp::Or | AluOp::Add | AluOp::Xor, _) => {
            let mut lanes = *left;
            for (lane, &right) in lanes[..bytes].iter_mut().zip(right) {
                *lane = match (*lane, right) {
                    (ZERO, other) | (other, ZERO) => other,
                    _ => return None,
                };
            }
            Some(lanes)
        }
        (AluOp::And, Operand::Imm(_)) => {
            let mut lanes = *left;
            for (lane, &right) in lanes[..bytes].iter_mut().zip(right) {
                *lane = match (*lane, right) {
                    (ZERO, _) | (_, ZERO) => ZERO,
                    (other, Lane::Constant(255)) => other,
                    _ => return None,
                };
            }
            Some(lanes)
        }
        (AluOp::Lsh | AluOp::Rsh, Operand::Imm(by)) if by % 8 == 0 => {
            let by = usize::try_from(by / 8).ok().filter(|&by| by < bytes)?;
            Some(std::array::from_fn(|byte| {
                let from = if op == AluOp::Lsh {
                    byte.checked_sub(by)
                } else {
                    Some(byte + by)
                };
                from.filter(|&from| from < bytes)
                    .map_or(ZERO, |from| left[from])
            }))
        }
        _ => None,
    }
}

/// The address of the first of so many bytes, where they lie one behind the other in memory and nothing is above them; and
/// the steps before which they were read.
pub(super) fn in_memory(lanes: &[Lane]) -> Option<(Address, Vec<usize>)> {
    let Lane::Memory(first, _) = *lanes.first()? else {
        return None;
    };
    let mut times = Vec::new();
    for (byte, lane) in lanes.iter().enumerate() {
        match *lane {
            Lane::Memory(address, time) if address == first.plus(byte as i64) => {
                if !times.contains(&time) {
                    times.push(time);
                }
            }
            _ => return None,
        }
    }
    Some((first, times))
}

/// How many bytes a number has, by its lanes: 2, 4 or 8; above are zeros.
pub(super) fn width(lanes: &Lanes) -> Option<Size> {
    [Size::B16, Size::B32, Size::B64].into_iter().find(|size| {
        let (low, high) = lanes.split_at(size.bytes() as usize);
        low.iter().all(|lane| *lane != ZERO) && high.iter().all(|lane| *lane == ZERO)
    })
}
