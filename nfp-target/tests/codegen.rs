//! Our words against the interpreter: on every packet they do what the eBPF program does. No exceptions, and no model of
//! anyone's mistakes.

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use nfp_target::codegen::{Options, Refusal, compile};
use nfp_target::isa::Word;
use nfp_target::profile::Profile;
use nfp_target::sim::{Exits, Figures, Image, Outcome, Thread, Unset};
use offload_compiler::interp::{
    Act, At, FaultKind, Fixed, Limits, Machine, MapKind, MapSpec, Semantics, World, XdpInput,
};
use offload_compiler::isa::{AluOp, Callee, Instruction, Operand, Reg, Size};
use support::Program;

/// Packets a program.
const PACKETS: usize = 50;
/// Words that every image has.
const FRAME: usize = 23;

struct Random(Fixed);

impl Random {
    fn next(&mut self) -> u32 {
        self.0.random()
    }

    fn below(&mut self, end: u32) -> u32 {
        self.next() % end
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u32) as usize]
    }

    fn bytes(&mut self, len: u32) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// A packet that gets past some of a program's checks.
fn packet(random: &mut Random, lengths: &[u32]) -> Vec<u8> {
    let length = if random.below(3) == 0 || lengths.is_empty() {
        random.pick(&[14, 20, 34, 42, 54, 60, 64, 65, 90, 128, 200, 256, 400])
    } else {
        random.pick(lengths) + random.pick(&[0, 0, 1, 8, 40])
    };
    let mut bytes: Vec<u8> = match random.below(4) {
        // Small numbers, so that comparisons with constants come out both ways.
        0 => (0..length)
            .map(|_| random.pick(&[0, 0, 1, 2, 255]))
            .collect(),
        _ => random.bytes(length),
    };
    let mut put = |at: usize, new: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + new.len()) {
            place.copy_from_slice(new);
        }
    };
    match random.below(5) {
        0 => {
            put(12, &[8, 0, 0x45]);
            put(23, &[random.pick(&[1, 6, 17, 4, 47])]);
        }
        1 => {
            put(12, &[0x86, 0xdd, 0x60]);
            put(20, &[random.pick(&[6, 17, 58])]);
        }
        2 => {
            put(12, &[0x81, 0, 0, 5, 8, 0, 0x45]);
            put(27, &[random.pick(&[6, 17])]);
        }
        _ => {}
    }
    for at in [34, 36, 38, 40] {
        if random.below(3) == 0 {
            put(at, &[0, random.pick(&[53, 80, 22, 123, 67])]);
        }
    }
    bytes
}

/// The program's constants that may be lengths.
fn lengths(program: &Program) -> Vec<u32> {
    let constants = program
        .code
        .iter()
        .filter_map(|(_, instruction)| match instruction {
            Instruction::Alu {
                op: AluOp::Add,
                src: Operand::Imm(imm),
                ..
            } => u32::try_from(*imm)
                .ok()
                .filter(|imm| (14..1500).contains(imm)),
            _ => None,
        });
    constants.collect::<BTreeSet<_>>().into_iter().collect()
}

fn machine(program: &Program, random: &mut Random) -> Machine {
    let mut machine = Machine::new(Limits {
        uninitialised: offload_compiler::interp::Uninitialised::Zero,
        ..Limits::default()
    });
    machine.add_program(program.code.clone());
    for shape in &program.maps {
        let kind = MapKind::from_number(shape.kind).unwrap();
        let map = machine
            .add_map(MapSpec {
                kind,
                key_size: shape.key_size,
                value_size: shape.value_size,
                max_entries: shape.max_entries,
                flags: shape.flags,
            })
            .unwrap();
        for entry in 0..shape.max_entries.min(8) {
            let key: Vec<u8> = match kind {
                MapKind::Hash => (0..shape.key_size)
                    .map(|_| random.pick(&[0, 0, 1, 255]))
                    .collect(),
                _ => entry.to_le_bytes().to_vec(),
            };
            let value = random.bytes(shape.value_size);
            machine.update(map, &key, &value, 0).ok();
        }
    }
    machine
}

type Element = (usize, Vec<u8>, Vec<u8>);

fn contents(machine: &mut Machine, maps: usize) -> Vec<Element> {
    let mut all = Vec::new();
    for map in 0..maps {
        let mut key = None;
        while let Some(next) = machine.next_key(map, key.as_deref()).unwrap() {
            let value = machine.lookup(map, &next).unwrap().unwrap_or_default();
            // Arrays have an element for every key, and only some were ever looked at.
            if value.iter().any(|byte| *byte != 0) {
                all.push((map, next.clone(), value));
            }
            key = Some(next);
        }
    }
    all
}

/// The interpreter, with the queue that an offloaded program may choose, and the keys that were looked for.
#[derive(Default)]
struct Watching {
    context: Option<u64>,
    queue: Option<u8>,
    looked_up: Vec<(usize, Vec<u8>)>,
    maps: Vec<(usize, u32)>,
}

impl Semantics for Watching {
    fn step(&mut self, at: &mut At<'_, '_>) -> Result<Act, FaultKind> {
        if self.context.is_none() {
            self.context = at.register(Reg::R1);
        }
        match at.instruction() {
            Instruction::Call(Callee::Helper(1)) => {
                if let (Some(handle), Some(key)) = (at.register(Reg::R1), at.register(Reg::R2))
                    && let Some(&(map, size)) = self.maps.get((handle & 0xff) as usize)
                    && let Ok(key) = at.read(key, size.into())
                {
                    self.looked_up.push((map, key.to_vec()));
                }
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

fn told(outcome: &Outcome) -> (u32, &[u8], Option<u8>) {
    (outcome.verdict as u32, &outcome.packet, outcome.queue)
}

/// Whose numbers of maps the words have.
#[derive(Clone, Copy)]
enum Numbers {
    Ours,
    Drivers,
}

/// Runs a program's words and the program on the same packets; what they did differently, and what it took.
fn compare(
    program: &Program,
    words: &[Word],
    numbers: Numbers,
    profile: &Profile,
) -> Result<Vec<Figures>, String> {
    let loaded = Image::load(words, Exits::find(words), profile).unwrap();
    let seed = program
        .id
        .bytes()
        .fold(1u64, |seed, byte| seed * 31 % 1_000_003 + u64::from(byte));
    let mut random = Random(Fixed::new(seed));
    let mut ours = machine(program, &mut random);
    let mut theirs = ours.clone();
    let maps: BTreeMap<u32, usize> = match numbers {
        Numbers::Drivers => (program.map_ids.iter())
            .map(|(map, id)| (*id, *map))
            .collect(),
        Numbers::Ours => (0..program.maps.len())
            .map(|map| (map as u32 + 1, map))
            .collect(),
    };
    let shapes: Vec<(usize, u32)> = program
        .maps
        .iter()
        .enumerate()
        .map(|(map, shape)| (map, shape.key_size))
        .collect();
    let constants = lengths(program);
    let unset = Unset::new(7);
    let mut bytes = packet(&mut random, &constants);
    let mut looked_up: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut figures = Vec::new();
    for round in 0..PACKETS {
        // Every other packet comes again, once what it looked for is there.
        if round % 2 == 1 && !looked_up.is_empty() {
            for (map, key) in &looked_up {
                let value = random.bytes(program.maps[*map].value_size);
                theirs.update(*map, key, &value, 1).ok();
                ours.update(*map, key, &value, 1).ok();
            }
        } else {
            bytes = packet(&mut random, &constants);
        }
        let mut worlds = [Fixed::new(seed), Fixed::new(seed)];
        let thread = Thread::new(
            &loaded,
            &mut ours,
            &maps,
            &bytes,
            profile.stack_bytes,
            unset.clone(),
            &mut worlds[0],
        )
        .unwrap();
        let sim = thread.run();
        let mut watching = Watching {
            maps: shapes.clone(),
            ..Watching::default()
        };
        let interp = theirs.run_xdp_by(0, &XdpInput::new(&bytes), &mut worlds[1], &mut watching);
        looked_up = std::mem::take(&mut watching.looked_up);
        let (sim, interp) = match (sim, interp) {
            (Ok(sim), Ok(interp)) => (sim, interp),
            (sim, interp) => {
                return Err(format!(
                    "packet {round}: {:?}\n    {:?}",
                    sim.as_ref().map(told),
                    interp
                ));
            }
        };
        let r0 = interp.r0 as u32;
        let expected = (
            if r0 > 3 { 0 } else { r0 },
            interp.packet.as_slice(),
            watching.queue,
        );
        if told(&sim) != expected {
            return Err(format!(
                "packet {round} {bytes:02x?}: {:x?}\n    {expected:x?}",
                told(&sim)
            ));
        }
        let (ours, theirs) = (
            contents(&mut ours, shapes.len()),
            contents(&mut theirs, shapes.len()),
        );
        if ours != theirs {
            return Err(format!("packet {round}: maps"));
        }
        figures.push(sim.figures);
    }
    Ok(figures)
}

/// Words executed and commands, on the average.
fn means(all: &[Figures]) -> [f64; 2] {
    let sum = |of: fn(&Figures) -> u64| {
        all.iter()
            .map(|figures| f64::from(of(figures) as u32))
            .sum::<f64>()
    };
    let commands = |figures: &Figures| figures.packet_commands + figures.value_commands;
    [sum(|figures| figures.words), sum(commands)].map(|sum| sum / f64::from(all.len() as u32))
}

/// Geometric means of ratios, each of words of the image, words executed, commands.
#[derive(Default)]
struct Ratios([(f64, f64); 3]);

impl Ratios {
    fn add(&mut self, ratios: [f64; 3]) {
        for ((sum, count), ratio) in self.0.iter_mut().zip(ratios) {
            // Where both have none, there is no ratio.
            if ratio.is_finite() && ratio > 0.0 {
                *sum += ratio.ln();
                *count += 1.0;
            }
        }
    }

    fn means(&self) -> [f64; 3] {
        self.0.map(|(sum, count)| (sum / count).exp())
    }
}

/// Compares all programs; gives the ratios to the driver's words, for those that people wrote.
fn run(options: Options) -> [f64; 3] {
    let only = std::env::var("NFP_ONLY").unwrap_or_default();
    let (mut same, mut refused, mut differ) = (0, 0, Vec::new());
    let mut ratios = Ratios::default();
    let profile = Profile::shipped("full").unwrap();
    let programs = support::programs();
    let wanted = |program: &&Program| program.profile == "full" && program.id.contains(&only);
    for program in programs.iter().filter(wanted) {
        let parts = program.parts();
        let image = match compile(&program.input(&parts), &profile, options) {
            Ok(image) => image,
            Err(error) => {
                assert!(
                    !matches!(error.why, Refusal::Internal(_)),
                    "{}: {error}",
                    program.id
                );
                refused += 1;
                continue;
            }
        };
        let ours = match compare(program, &image.words, Numbers::Ours, &profile) {
            Ok(figures) => figures,
            Err(difference) => {
                differ.push(format!("{}: {difference}", program.id));
                continue;
            }
        };
        same += 1;
        if program.id.contains(':')
            && let Ok(theirs) = compare(program, &program.words, Numbers::Drivers, &profile)
        {
            let size = |words: usize| f64::from((words - FRAME) as u32);
            let sizes = [image.words.len(), program.words.len()].map(size);
            let (ours, theirs) = (means(&ours), means(&theirs));
            println!(
                "{:26} words {:3} {:3}  executed {:5.1} {:5.1}  commands {:4.1} {:4.1}",
                program.id, sizes[0], sizes[1], ours[0], theirs[0], ours[1], theirs[1]
            );
            ratios.add([
                sizes[0] / sizes[1],
                ours[0] / theirs[0],
                ours[1] / theirs[1],
            ]);
        }
    }
    let means = ratios.means();
    println!(
        "{same} do the same on {PACKETS} packets each, {refused} are refused; to the driver's {means:.3?}"
    );
    assert!(
        differ.is_empty(),
        "{} differ:\n{}",
        differ.len(),
        differ.join("\n")
    );
    assert!(
        !only.is_empty() || same > 50 * refused,
        "{same} translated, {refused} refused"
    );
    means
}

#[test]
fn optimised_words_do_what_the_program_does_and_less_than_the_drivers() {
    let [words, executed, commands] = run(Options { optimise: true });
    assert!(
        words <= 0.46 && executed <= 0.35 && commands <= 0.8,
        "{words} {executed} {commands}"
    );
}

#[test]
fn plain_words_do_what_the_program_does() {
    run(Options { optimise: false });
}
