//! What the verifier knows, as far as it may be relied on.
//!
//! The verifier leaves a path where a walked one covers it, and looks at a number only where it had to be known. So the
//! ranges that it saw at an instruction are those of the paths it walked, not of all (the kernel's driver takes them for
//! all, and generates wrong code). What an address points into, its fixed distance and what of the packet was proved are
//! compared always: these hold on every path, and no more is used here.

use std::collections::BTreeSet;

use foldhash::HashMap;

use offload_compiler::isa::{Callee, Instruction, Operand, Reg};
use offload_compiler::verify::verify_watched;
use offload_compiler::verify::{Finding, Input, Known, Moment, Place, Rules, Verdict, Watch};

/// What a register holds before an instruction, on every path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// Nothing that was looked at.
    #[default]
    Unseen,
    /// A number.
    Number,
    /// The context.
    Context,
    /// The packet. Whether its distance from the packet's start is never negative, and never large.
    Packet { ahead: bool },
    /// The packet's end.
    PacketEnd,
    /// The stack of the frame with this depth.
    Stack { depth: u8, at: StackPlace },
    /// A map.
    Map(u32),
    /// A value of a map.
    MapValue(u32),
    /// The packet or a map's value on one path, a number on another: it may be compared with 0.
    Nullable,
    /// Other memory, or one thing on one path and another on another.
    Other,
}

/// Where in a frame an address points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StackPlace {
    /// At this distance from the frame's top on all paths.
    At(i32),
    /// At one of [`Facts::places`].
    OneOf,
    /// Anywhere.
    Anywhere,
}

/// Highest distance from the packet's start that is compared as a distance.
const FAR: u64 = 1 << 30;

impl Kind {
    fn of(known: &Known) -> Self {
        match known {
            Known::Nothing => Self::Unseen,
            Known::Number(_) => Self::Number,
            Known::Address {
                place,
                offset,
                variable,
                ..
            } => match *place {
                Place::Context if known.constant_offset() == Some(0) => Self::Context,
                Place::Packet => Self::Packet {
                    ahead: variable.s64.0.saturating_add(i64::from(*offset)) >= 0
                        && variable.s64.0 >= 0
                        && variable.u64.1 < FAR,
                },
                Place::PacketEnd => Self::PacketEnd,
                Place::Stack(depth) => Self::Stack {
                    depth,
                    at: known
                        .constant_offset()
                        .and_then(|at| at.try_into().ok())
                        .map_or(StackPlace::Anywhere, StackPlace::At),
                },
                Place::Map(map) => Self::Map(map),
                Place::MapValue(map) => Self::MapValue(map),
                _ => Self::Other,
            },
        }
    }

    fn join(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Unseen, kind) | (kind, Self::Unseen) => kind,
            (Self::Packet { .. }, Self::Packet { .. }) => Self::Packet { ahead: false },
            (Self::Stack { depth, at }, Self::Stack { depth: to, at: or }) if depth == to => {
                let at = match (at, or) {
                    (StackPlace::Anywhere, _) | (_, StackPlace::Anywhere) => StackPlace::Anywhere,
                    _ => StackPlace::OneOf,
                };
                Self::Stack { depth, at }
            }
            (one, other) if one.may_be_null() && other.may_be_null() => Self::Nullable,
            _ => Self::Other,
        }
    }

    /// The distance from the frame's top, where it is always the same.
    fn stack_place(self) -> Option<i32> {
        match self {
            Self::Stack {
                at: StackPlace::At(at),
                ..
            } => Some(at),
            _ => None,
        }
    }

    /// Whether our code can tell it from 0 as the program does.
    fn may_be_null(self) -> bool {
        matches!(
            self,
            Self::Number | Self::Packet { .. } | Self::MapValue(_) | Self::Nullable
        )
    }

    /// Whether it is a distance from the packet's start in our code.
    pub(super) fn is_packet(self) -> bool {
        matches!(self, Self::Packet { .. } | Self::PacketEnd)
    }
}

/// What is known before one instruction, for one chain of calls. A global function is verified by itself: its chains begin
/// in it, and depths are counted from its frame.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fact {
    /// Of destination and source; of a call, r1 to r5.
    pub kinds: [Kind; 5],
    /// Of a load from the packet: how many bytes from where the register points are proved to be there.
    pub reach: Option<i64>,
    seen: bool,
}

/// The facts of a program.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The numbers of chains of calls. That without calls, which most instructions are in, is 0.
    chains: HashMap<Vec<usize>, usize>,
    /// Of instructions without calls, by slot.
    of_main: Vec<Option<Fact>>,
    /// Of those in called functions, by chain and slot.
    of_called: HashMap<(usize, usize), Fact>,
    /// Where operands point that are not always at one place of the stack: by chain, slot, and number of the operand.
    places: HashMap<(usize, usize, usize), BTreeSet<i32>>,
    stored: BTreeSet<(u8, i32)>,
}

impl Facts {
    /// The number of a chain of calls.
    pub(super) fn chain(&self, calls: &[usize]) -> Option<usize> {
        if calls.is_empty() {
            return Some(0);
        }
        self.chains.get(calls).copied()
    }

    /// The words of the stack that are written to: depth of the frame, and distance from its top.
    pub(super) fn stored(&self) -> impl Iterator<Item = (u8, i32)> {
        self.stored.iter().copied()
    }

    /// The distances from the frame's top at which an operand may point that is [`StackPlace::OneOf`] several.
    pub(super) fn places(&self, chain: usize, slot: usize, operand: usize) -> Vec<i32> {
        let places = self.places.get(&(chain, slot, operand));
        places.into_iter().flatten().copied().collect()
    }

    /// What is known before the instruction at `slot` when reached through a chain of calls.
    pub(super) fn at(&self, chain: usize, slot: usize) -> Option<&Fact> {
        match chain {
            0 => self.of_main.get(slot)?.as_ref(),
            _ => self.of_called.get(&(chain, slot)),
        }
    }
}

/// Verifies a program as one that is offloaded, and keeps what holds on all paths.
pub(super) fn gather(input: &Input<'_>) -> (Verdict, Facts) {
    let input = &Input {
        rules: Rules {
            offloaded: true,
            ..input.rules
        },
        ..input.clone()
    };
    let mut facts = Facts::default();
    let verdict = verify_watched(input, &mut facts);
    (verdict, facts)
}

/// The registers whose kinds matter to an instruction.
fn registers(instruction: &Instruction) -> [Option<Reg>; 5] {
    let operand = |operand: Operand| match operand {
        Operand::Reg(reg) => Some(reg),
        Operand::Imm(_) => None,
    };
    let two = |one, other| [Some(one), other, None, None, None];
    match *instruction {
        Instruction::Alu { dst, src, .. } => two(dst, operand(src)),
        Instruction::Negate { dst, .. } | Instruction::Swap { dst, .. } => two(dst, None),
        Instruction::MoveSigned { dst, src, .. } => two(dst, Some(src)),
        Instruction::Load { base, .. } => two(base, None),
        Instruction::Store { base, src, .. } => two(base, operand(src)),
        Instruction::Atomic { base, src, .. } => two(base, Some(src)),
        Instruction::Branch { condition, .. } => two(condition.dst, operand(condition.src)),
        Instruction::Call(Callee::Helper(_)) => {
            [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5].map(Some)
        }
        Instruction::Exit => two(Reg::R0, None),
        _ => [None; 5],
    }
}

impl Watch for Facts {
    fn before(&mut self, moment: &Moment<'_>) -> Result<(), Box<Finding>> {
        let mut chain = 0;
        let fact = if moment.depth() == 0 {
            if self.of_main.len() <= moment.slot {
                self.of_main.resize(moment.slot + 1, None);
            }
            self.of_main[moment.slot].get_or_insert_default()
        } else {
            let next = self.chains.len() + 1;
            let calls = moment.call_sites().collect();
            chain = *self.chains.entry(calls).or_insert(next);
            self.of_called.entry((chain, moment.slot)).or_default()
        };
        let registers = registers(moment.instruction);
        for (operand, (kind, reg)) in fact.kinds.iter_mut().zip(registers).enumerate() {
            let Some(reg) = reg else {
                continue;
            };
            let (was, is) = (*kind, Kind::of(&moment.register(reg)));
            *kind = was.join(is);
            if let Kind::Stack {
                at: StackPlace::OneOf,
                ..
            } = kind
            {
                let places = self
                    .places
                    .entry((chain, moment.slot, operand))
                    .or_default();
                places.extend([was, is].into_iter().filter_map(Kind::stack_place));
            }
        }
        if let Instruction::Load { base, .. } = *moment.instruction {
            let reach = match (moment.register(base), moment.proved_reach(base)) {
                (
                    Known::Address {
                        offset, variable, ..
                    },
                    Some(reach),
                ) => Some(reach as i64 - variable.u64.1 as i64 - i64::from(offset)),
                _ => None,
            };
            fact.reach = match (fact.seen, fact.reach, reach) {
                (false, _, reach) => reach,
                (true, Some(was), Some(is)) => Some(was.min(is)),
                (true, ..) => None,
            };
        }
        fact.seen = true;
        if let Instruction::Store {
            size, base, off, ..
        } = *moment.instruction
            && let kind @ Kind::Stack { depth, .. } = Kind::of(&moment.register(base))
            && let Some(offset) = kind.stack_place()
        {
            let start = offset + i32::from(off);
            let words = start.div_euclid(4)..=(start + size.bytes() as i32 - 1).div_euclid(4);
            self.stored.extend(words.map(|word| (depth, 4 * word)));
        }
        Ok(())
    }
}
