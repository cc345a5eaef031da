//! What a step does that lasts, and what it hangs on: the two things that decide whether the card may run it.

use crate::isa::{Callee, Instruction, Reg};
use crate::lower::accesses::{Access, How, Part, accesses, part};
use crate::lower::facts::{Content, Facts};
use crate::lower::liveness::Liveness;
use crate::lower::program::{FunctionId, Op, Position, Program};
use crate::verify::Place;

/// What a step means for the host, which sees every packet that the card passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    /// Nothing: it may run on both.
    None,
    /// It changes the packet, a map or the world: once is right, twice is not.
    Acts,
    /// What it gives may be another thing on the host, so nothing that follows may be decided by the card.
    Depends,
}

/// Helpers whose result is the same on both, and that change nothing (bpf_helpers(7)).
const PURE: [i32; 1] = [
    28, // csum_diff
];
/// Helpers that act and give an error code, which depends on what the packet is.
const ON_PACKET: [i32; 2] = [
    44, // xdp_adjust_head
    65, // xdp_adjust_tail
];
const LOOKUP: i32 = 1;
const UPDATE: i32 = 2;
const DELETE: i32 = 3;
const EVENT: i32 = 25;
/// `BPF_MAP_TYPE_ARRAY`: its keys are fixed.
const ARRAY: u32 = 2;
/// `BPF_MAP_TYPE_HASH`
const HASH: u32 = 1;

/// Where the program itself writes to maps. What others write, user space writes on both sides.
#[derive(Debug, Default)]
pub(super) struct Written(Vec<Access>);

impl Written {
    pub(super) fn of(program: &Program, facts: &Facts) -> Self {
        let mut accesses = accesses(program, facts);
        accesses.retain(|access| access.how != How::Read);
        Self(accesses)
    }

    /// Whether a read may give what the program wrote.
    fn reaches(&self, read: &Access) -> bool {
        self.0.iter().any(|write| write.meets(read))
    }

    /// Whether the program itself changes what a lookup finds.
    fn changes_keys(&self, map: u32) -> bool {
        let mut changes =
            (self.0.iter()).filter(|one| matches!(one.how, How::Element | How::Given));
        changes.any(|one| one.map.is_none_or(|other| other == map))
    }
}

/// The effects of a program's steps.
pub(super) struct Effects<'a> {
    program: &'a Program,
    facts: &'a Facts,
    written: &'a Written,
    live: Liveness,
    functions: Vec<Effect>,
}

impl<'a> Effects<'a> {
    pub(super) fn of(program: &'a Program, facts: &'a Facts, written: &'a Written) -> Self {
        let mut effects = Self {
            program,
            facts,
            written,
            live: Liveness::of(program),
            functions: vec![Effect::None; program.functions.len()],
        };
        // Functions call each other without recursion, at most eight deep (MAX_CALL_FRAMES).
        for _ in 0..8 {
            for index in 0..program.functions.len() {
                effects.functions[index] = effects.function(index);
            }
        }
        effects
    }

    fn function(&self, index: usize) -> Effect {
        let blocks = self.program.functions[index].blocks.iter();
        blocks
            .flat_map(|&block| {
                let steps = self.program[block].steps.len();
                (0..steps).map(move |index| Position { block, index })
            })
            .map(|position| self.at(position))
            .max()
            .unwrap_or(Effect::None)
    }

    /// The effect of the step at a place.
    pub(super) fn at(&self, position: Position) -> Effect {
        match &self.program[position.block].steps[position.index].op {
            Op::LoadMap { .. } => Effect::None,
            Op::Call(FunctionId(id)) => self
                .functions
                .get(*id as usize)
                .copied()
                .unwrap_or(Effect::Depends),
            Op::LoadFunction { .. } => Effect::Depends,
            Op::Plain(instruction) => self.instruction(position, instruction),
        }
    }

    fn instruction(&self, position: Position, instruction: &Instruction) -> Effect {
        let register = |reg| self.facts.register(position, reg);
        match *instruction {
            Instruction::Load {
                size, base, off, ..
            }
            | Instruction::LoadAcquire {
                size, base, off, ..
            } => self.load(position, &register(base), part(&register(base), off, size)),
            Instruction::Store { base, .. } | Instruction::StoreRelease { base, .. } => {
                match register(base).place() {
                    Some(Place::Stack(_)) => Effect::None,
                    _ => Effect::Acts,
                }
            }
            Instruction::Atomic { base, fetch, .. } => match register(base).place() {
                Some(Place::Stack(_)) => Effect::None,
                _ if fetch => Effect::Depends,
                _ => Effect::Acts,
            },
            Instruction::Exchange { base, .. } | Instruction::CompareExchange { base, .. } => {
                match register(base).place() {
                    Some(Place::Stack(_)) => Effect::None,
                    _ => Effect::Depends,
                }
            }
            Instruction::Call(Callee::Helper(id)) => self.helper(position, id),
            Instruction::Call(_)
            | Instruction::LoadPacket { .. }
            | Instruction::CastAddress { .. }
            | Instruction::MayGoto { .. } => Effect::Depends,
            _ => Effect::None,
        }
    }

    fn load(&self, position: Position, from: &Content, part: Option<Part>) -> Effect {
        match from.place() {
            Some(Place::Context | Place::Packet | Place::Stack(_)) => Effect::None,
            Some(Place::MapValue(map)) => {
                let read = Access {
                    position,
                    how: How::Read,
                    map: Some(map),
                    part,
                };
                if self.written.reaches(&read) {
                    Effect::Depends
                } else {
                    Effect::None
                }
            }
            _ => Effect::Depends,
        }
    }

    fn helper(&self, position: Position, id: i32) -> Effect {
        match id {
            LOOKUP => match self.facts.register(position, Reg::R1).place() {
                Some(Place::Map(map)) => {
                    let kind = self.kind(map);
                    let same = kind == ARRAY || kind == HASH && !self.written.changes_keys(map);
                    if same { Effect::None } else { Effect::Depends }
                }
                _ => Effect::Depends,
            },
            // Whether an element was there may differ on the host.
            UPDATE | DELETE if self.live.after(position).contains(Reg::R0) => Effect::Depends,
            UPDATE | DELETE | EVENT => Effect::Acts,
            id if ON_PACKET.contains(&id) => Effect::Acts,
            id if PURE.contains(&id) => Effect::None,
            _ => Effect::Depends,
        }
    }

    fn kind(&self, map: u32) -> u32 {
        let map = self.program.maps.get(map as usize);
        map.map_or(0, |map| map.shape.kind)
    }
}
