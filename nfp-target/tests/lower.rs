//! Lowered programs do what the original ones do: in the interpreter, and as the driver's words would run them. The
//! programs are those whose decisions by the real driver are known (`tests/golden/nfp/README.md`).
//!
//! `NFP_EVERY=1` takes all of them, `NFP_EVERY=N` each Nth; `NFP_ONLY=ID` one; `NFP_OPTIMISE=1` optimises, too.

use std::collections::BTreeMap;

use nfp_target::driver_model::DriverModel;
use nfp_target::profile::Profile;
use nfp_target::sim::Unset;
use nfp_target::target::Nfp;
use offload_compiler::interp::{
    Event, Fixed, Limits, Machine, MapKind, MapSpec, World, XdpInput, XdpRun,
};
use offload_compiler::isa::Code;
use offload_compiler::lower::{Lowered, Options, lower};
use offload_compiler::target::Program;
use offload_compiler::verify::MapShape;
use tests::nfp::{Decision, Unlinked, decisions};

/// Packets a program.
const PACKETS: usize = 40;
/// Of the programs, each so many-th is taken unless `NFP_EVERY` says otherwise.
const EVERY: usize = 11;

/// splitmix64
struct Random(Fixed);

impl Random {
    fn next(&mut self) -> u32 {
        self.0.random()
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.next() as usize % of.len()]
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn all() -> Vec<Decision> {
    let only = std::env::var("NFP_ONLY").ok();
    let mut found = decisions();
    found.retain(|decision| {
        decision.profile == "full" && only.as_ref().is_none_or(|only| *only == decision.id)
    });
    found
}

fn packet(random: &mut Random) -> Vec<u8> {
    let length = random.pick(&[14, 20, 34, 42, 54, 60, 64, 65, 90, 128, 200, 256, 400]);
    let small = random.next().is_multiple_of(4);
    let mut bytes: Vec<u8> = (0..length)
        .map(|_| {
            if small {
                random.pick(&[0, 0, 1, 2, 255])
            } else {
                random.next() as u8
            }
        })
        .collect();
    let protocol = random.pick(&[1, 6, 17]);
    if random.next().is_multiple_of(3) {
        bytes[12..14].copy_from_slice(&[8, 0]);
        if let Some(place) = bytes.get_mut(23) {
            *place = protocol;
        }
    }
    bytes
}

fn machine(code: &Code, maps: &[MapShape], random: &mut Random) -> Option<Machine> {
    let mut machine = Machine::new(Limits::default());
    machine.add_program(code.clone());
    for shape in maps {
        let kind = MapKind::from_number(shape.kind)?;
        let spec = MapSpec {
            kind,
            key_size: shape.key_size,
            value_size: shape.value_size,
            max_entries: shape.max_entries,
            flags: shape.flags,
        };
        let map = machine.add_map(spec).ok()?;
        for entry in 0..shape.max_entries.min(8) {
            let key: Vec<u8> = match kind {
                MapKind::Hash => (0..shape.key_size)
                    .map(|_| random.pick(&[0, 0, 1, 255]))
                    .collect(),
                _ => entry.to_le_bytes().to_vec(),
            };
            let value: Vec<u8> = (0..shape.value_size).map(|_| random.next() as u8).collect();
            machine.update(map, &key, &value, 0).ok();
        }
    }
    Some(machine)
}

fn contents(machine: &mut Machine, maps: usize) -> Vec<(usize, Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    for map in 0..maps {
        let mut key = None;
        // A map that cannot be walked holds nothing that can be compared.
        while let Ok(Some(next)) = machine.next_key(map, key.as_deref()) {
            let value = machine.lookup(map, &next).ok().flatten();
            all.push((map, next.clone(), value.unwrap_or_default()));
            key = Some(next);
        }
    }
    all
}

/// What the world sees of a run.
fn seen(run: &XdpRun) -> (u32, &[u8], &[Event]) {
    (run.verdict(), &run.packet, &run.events)
}

#[derive(Default)]
struct Tally {
    programs: usize,
    accepted: (usize, usize),
    slots: (usize, usize),
    differ: Vec<String>,
    /// Programs that the driver would run wrongly, by what it does.
    wrong: BTreeMap<String, usize>,
    undone: BTreeMap<String, usize>,
    reasons: BTreeMap<String, usize>,
}

fn compare(decision: &Decision, options: &Options, profile: &Profile, tally: &mut Tally) {
    let Ok(code) = Code::decode(&decision.code) else {
        return;
    };
    let Some(unlinked) = Unlinked::new(code.clone(), decision.maps.clone()) else {
        return;
    };
    let input = unlinked.input();
    let original = Program {
        input: &input,
        frags: false,
    };
    let Ok(lowered) = lower(&original, &Nfp::new(profile.clone()), options) else {
        return;
    };
    tally.programs += 1;
    for undone in &lowered.undone {
        let what = format!("{}: {}", undone.pass, undone.why.code);
        *tally.undone.entry(what).or_default() += 1;
    }
    let before = decision.said == "accept";
    tally.accepted.0 += usize::from(before);
    tally.accepted.1 += usize::from(lowered.is_accepted());
    if before && !lowered.is_accepted() {
        let why = lowered.obstacles();
        tally.differ.push(format!(
            "{}: no longer accepted: {}",
            decision.id,
            why.first().map_or(String::new(), ToString::to_string)
        ));
    }
    if let Some(error) = lowered.verdict.error() {
        *tally.reasons.entry(error.message.clone()).or_default() += 1;
    }
    tally.slots.0 += code.len();
    tally.slots.1 += lowered.layout.code.len();
    let seed = decision.id.bytes().fold(1, |seed: u64, byte| {
        seed.wrapping_mul(31).wrapping_add(byte.into())
    });
    if let Err(difference) = run(decision, &code, &lowered, profile, seed, tally) {
        tally.differ.push(format!("{}: {difference}", decision.id));
    }
}

fn run(
    decision: &Decision,
    code: &Code,
    lowered: &Lowered,
    profile: &Profile,
    seed: u64,
    tally: &mut Tally,
) -> Result<(), String> {
    let mut random = Random(Fixed::new(seed));
    let Some(mut theirs) = machine(code, &decision.maps, &mut random) else {
        return Ok(());
    };
    let mut ours = theirs.clone();
    let program = ours.add_program(lowered.layout.code.clone());
    let input = lowered.layout.input(&lowered.program);
    let mut model = (lowered.is_accepted())
        .then(|| DriverModel::new(&input, profile, &Unset::new(seed as u32)));
    let mut card = ours.clone();
    let mut wrong: Option<String> = None;
    for _ in 0..PACKETS {
        let packet = packet(&mut random);
        let mut worlds = [Fixed::new(seed), Fixed::new(seed), Fixed::new(seed)];
        let input = XdpInput::new(&packet);
        let expected = theirs.run_xdp(0, &input, &mut worlds[0]);
        let found = ours.run_xdp(program, &input, &mut worlds[1]);
        match (&expected, &found) {
            (Ok(expected), Ok(found)) if seen(expected) == seen(found) => {}
            (Err(_), Err(_)) => return Ok(()),
            _ => return Err(format!("{packet:02x?}: {expected:?} became {found:?}")),
        }
        let maps = decision.maps.len();
        let expected_contents = contents(&mut theirs, maps);
        if expected_contents != contents(&mut ours, maps) {
            return Err(format!("{packet:02x?}: maps differ"));
        }
        if let Some(model) = &mut model
            && wrong.is_none()
        {
            model.reset();
            let run = card.run_xdp_by(program, &input, &mut worlds[2], model);
            let same = match (&expected, &run) {
                (Ok(expected), Ok(run)) => {
                    let verdict = match expected.verdict() {
                        verdict @ 0..4 => verdict,
                        _ => 0,
                    };
                    let theirs = match run.verdict() {
                        verdict @ 0..4 => verdict,
                        _ => 0,
                    };
                    verdict == theirs && expected.packet == run.packet
                }
                _ => false,
            };
            if !same {
                let rules = model.hits().iter().map(|(_, rule)| rule.name());
                wrong = Some(rules.collect::<Vec<_>>().join(" "));
            }
        }
    }
    if let Some(wrong) = wrong {
        if std::env::var_os("NFP_ONLY").is_some() {
            println!("{}: {wrong}", decision.id);
        }
        *tally.wrong.entry(wrong).or_default() += 1;
    }
    Ok(())
}

#[test]
fn lowered_programs_do_what_the_original_ones_do() {
    let profile = Profile::shipped("full").unwrap();
    let options = Options {
        optimise: number("NFP_OPTIMISE", 1) == 1,
        ..Options::default()
    };
    let only = std::env::var_os("NFP_ONLY").is_some();
    let every = if only { 1 } else { number("NFP_EVERY", EVERY) };
    let mut tally = Tally::default();
    for decision in all().iter().step_by(every) {
        compare(decision, &options, &profile, &mut tally);
    }
    println!(
        "{} programs, accepted {} before, {} after; {} slots before, {} after",
        tally.programs, tally.accepted.0, tally.accepted.1, tally.slots.0, tally.slots.1
    );
    for (title, counts) in [
        ("run wrongly by the driver", &tally.wrong),
        ("undone", &tally.undone),
        ("still refused", &tally.reasons),
    ] {
        for (what, count) in counts {
            println!("{title}: {count} {what}");
        }
    }
    assert!(tally.differ.is_empty(), "{}", tally.differ.join("\n"));
    assert!(only || tally.programs > 0);
}
