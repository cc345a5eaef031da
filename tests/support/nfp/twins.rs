//! A program in the interpreter, and its words in the simulator.

use std::collections::BTreeMap;

use nfp_target::isa::Word;
use nfp_target::profile::{AdjustHead, Profile};
use nfp_target::sim::{Exits, Figures, Image, ORIGIN, Outcome, Thread, Unset};
use offload_compiler::interp::{
    Act, At, FaultKind, Fixed, Limits, Machine, MapKind, MapSpec, Semantics, Uninitialised,
    XdpInput,
};
use offload_compiler::isa::{Callee, Instruction, Operand, Reg, Size};

use super::{SetElement, Unlinked};
use crate::Random;

/// What a map holds: the map's index, a key, its value.
pub type Element = (usize, Vec<u8>, Vec<u8>);

/// A machine with a program and its maps, in which some elements are.
///
/// # Panics
/// The interpreter lacks a map of the program.
pub fn machine(program: &Unlinked, random: &mut Random, limits: Limits) -> Machine {
    let mut machine = Machine::new(limits);
    machine.add_program(program.code.clone());
    for shape in &program.maps {
        let kind = MapKind::from_number(shape.kind).expect("a kind that the interpreter has");
        let map = machine
            .add_map(MapSpec {
                kind,
                key_size: shape.key_size,
                value_size: shape.value_size,
                max_entries: shape.max_entries,
                flags: shape.flags,
            })
            .expect("a map that the interpreter has");
        for entry in 0..shape.max_entries.min(8) {
            let key: Vec<u8> = match kind {
                MapKind::Hash => (0..shape.key_size)
                    .map(|_| *random.pick(&[0, 0, 1, 255]))
                    .collect(),
                _ => entry.to_le_bytes().to_vec(),
            };
            let value = random.bytes(shape.value_size as usize);
            // A perf event array that is not open says so to the program; ours always are.
            machine.update(map, &key, &value, 0).ok();
        }
    }
    machine
}

/// What the first maps hold, in order. Of arrays, which have an element for every key, those that are not 0.
///
/// # Panics
/// The machine has fewer maps.
pub fn contents(machine: &mut Machine, maps: usize) -> Vec<Element> {
    let mut all = Vec::new();
    for map in 0..maps {
        let spec = machine.map_spec(map).expect("the map is there");
        let is_array = matches!(spec.kind, MapKind::Array | MapKind::PerCpuArray);
        let mut key = None;
        while let Some(next) = (machine.next_key(map, key.as_deref())).expect("the map is there") {
            let value = machine.lookup(map, &next).expect("the key fits");
            let value = value.unwrap_or_default();
            if !is_array || value.iter().any(|byte| *byte != 0) {
                all.push((map, next.clone(), value));
            }
            key = Some(next);
        }
    }
    all.sort();
    all
}

/// The interpreter on a card: with the queue that an offloaded program may choose, and the card's room around a packet.
/// Keeps the keys that were looked for.
#[derive(Default)]
struct Watching {
    context: Option<u64>,
    queue: Option<u8>,
    looked_up: Vec<(usize, Vec<u8>)>,
    key_sizes: Vec<u32>,
    limits: AdjustHead,
    limited: bool,
}

/// Bytes that the kernel lets a program add in front: `XDP_PACKET_HEADROOM` without `struct xdp_frame`.
const HEADROOM: i64 = 216;
const ETH_HLEN: i64 = 14;

impl Watching {
    /// Whether the card has room for a change of the packet, by the helper's number.
    fn has_room(&mut self, at: &At<'_, '_>, helper: i32) -> bool {
        let delta = i64::from(at.register(Reg::R2).unwrap_or(0) as i32);
        let (moved, length) = at.packet();
        let (has_room, kernel_has) = match helper {
            44 => {
                let place = i64::from(ORIGIN) + moved + delta;
                let limits = i64::from(self.limits.lowest)..=i64::from(self.limits.highest);
                let rest = i64::from(length) - delta;
                (
                    limits.contains(&place),
                    moved + delta >= -HEADROOM && rest >= ETH_HLEN,
                )
            }
            _ => (delta <= 0, true),
        };
        self.limited |= kernel_has && !has_room;
        has_room
    }
}

impl Semantics for Watching {
    fn step(&mut self, at: &mut At<'_, '_>) -> Result<Act, FaultKind> {
        if self.context.is_none() {
            self.context = at.register(Reg::R1);
        }
        match at.instruction() {
            Instruction::Call(Callee::Helper(1)) => {
                if let (Some(handle), Some(key)) = (at.register(Reg::R1), at.register(Reg::R2))
                    && let map = (handle & 0xff) as usize
                    && let Some(&size) = self.key_sizes.get(map)
                    && let Ok(key) = at.read(key, size.into())
                {
                    self.looked_up.push((map, key.to_vec()));
                }
            }
            Instruction::Call(Callee::Helper(helper @ (44 | 65))) if !self.has_room(at, helper) => {
                at.spoil_arguments();
                at.set(Reg::R0, -22_i64 as u64);
                return Ok(Act::Done);
            }
            Instruction::Store {
                size: Size::B32,
                base,
                off: 16,
                src: Operand::Reg(src),
            } if at.register(base) == self.context => {
                let queue = at.register(src).unwrap_or(0) as u32;
                self.queue = Some(u8::try_from(queue).unwrap_or(64));
                return Ok(Act::Done);
            }
            _ => {}
        }
        Ok(Act::Leave)
    }
}

/// What both did with a packet.
#[derive(Debug, Clone)]
pub struct Run {
    /// The verdict as the program gave it.
    pub r0: u32,
    /// The packet afterwards.
    pub packet: Vec<u8>,
    /// What the words took.
    pub figures: Figures,
    /// The maps and keys of the lookups.
    pub looked_up: Vec<(usize, Vec<u8>)>,
    /// The card had no room for a change of the packet that the kernel would have made.
    pub limited: bool,
}

/// A program in the interpreter, and its words in the simulator, with the same maps.
pub struct Twins<'a> {
    program: &'a Unlinked,
    image: Image,
    /// The card's numbers of the maps.
    numbers: BTreeMap<u32, usize>,
    stack_bytes: u32,
    limits: AdjustHead,
    seed: u64,
    interpreter: Machine,
    simulator: Machine,
}

impl<'a> Twins<'a> {
    /// With words of ours, in which a map's number is its index and 1, or with the numbers that `map_ids` says. `seed`
    /// decides what is in the maps, and the random numbers that the program is given.
    ///
    /// # Panics
    /// The words are no image.
    pub fn new(
        program: &'a Unlinked,
        words: &[Word],
        map_ids: Option<&BTreeMap<usize, u32>>,
        profile: &Profile,
        seed: u64,
    ) -> Self {
        let limits = Limits {
            uninitialised: Uninitialised::Zero,
            ..Limits::default()
        };
        let interpreter = machine(program, &mut Random::new(seed), limits);
        Self {
            program,
            image: Image::load(words, Exits::find(words), profile).expect("an image"),
            numbers: match map_ids {
                Some(ids) => ids.iter().map(|(map, id)| (*id, *map)).collect(),
                None => (0..program.maps.len())
                    .map(|map| (map as u32 + 1, map))
                    .collect(),
            },
            stack_bytes: profile.stack_bytes,
            limits: profile.adjust_head.clone(),
            seed,
            simulator: interpreter.clone(),
            interpreter,
        }
    }

    /// What the maps hold.
    pub fn contents(&mut self) -> Vec<Element> {
        contents(&mut self.interpreter, self.program.maps.len())
    }

    /// Runs both on a packet.
    ///
    /// # Errors
    /// What they did differently, in words.
    ///
    /// # Panics
    /// The packet is longer than the card takes.
    pub fn run(&mut self, packet: &[u8]) -> Result<Run, String> {
        let mut worlds = [Fixed::new(self.seed), Fixed::new(self.seed)];
        let thread = Thread::new(
            &self.image,
            &mut self.simulator,
            &self.numbers,
            packet,
            self.stack_bytes,
            Unset::new(7),
            &mut worlds[0],
        )
        .expect("the packet is short enough");
        let ours = thread.run();
        let mut watching = Watching {
            key_sizes: self.program.maps.iter().map(|map| map.key_size).collect(),
            limits: self.limits.clone(),
            ..Watching::default()
        };
        let input = XdpInput::new(packet);
        let theirs = self
            .interpreter
            .run_xdp_by(0, &input, &mut worlds[1], &mut watching);
        let (ours, theirs) = match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (ours, theirs) => {
                let ours = ours.as_ref().map(told).map_err(ToString::to_string);
                return Err(format!("simulator {ours:?}\n    interpreter {theirs:?}"));
            }
        };
        let r0 = theirs.r0 as u32;
        let expected = (if r0 > 3 { 0 } else { r0 }, &*theirs.packet, watching.queue);
        if told(&ours) != expected {
            return Err(format!(
                "simulator {:x?}\n    interpreter {expected:x?}",
                told(&ours)
            ));
        }
        if contents(&mut self.simulator, self.program.maps.len()) != self.contents() {
            return Err("maps".into());
        }
        Ok(Run {
            r0,
            packet: theirs.packet,
            figures: ours.figures,
            looked_up: watching.looked_up,
            limited: watching.limited,
        })
    }
}

impl SetElement for Twins<'_> {
    fn set(&mut self, map: usize, key: &[u8], value: &[u8]) {
        for machine in [&mut self.interpreter, &mut self.simulator] {
            machine.update(map, key, value, 0).ok();
        }
    }
}

fn told(outcome: &Outcome) -> (u32, &[u8], Option<u8>) {
    (outcome.verdict as u32, &outcome.packet, outcome.queue)
}
