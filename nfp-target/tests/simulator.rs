//! The simulator against the interpreter: the words of the kernel driver's JIT do on every packet what the eBPF program
//! does, but for the rules of the driver model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use nfp_target::driver_model::{DriverModel, WrongCode, detect};
use nfp_target::isa::{Instruction, Shift, Word, asm, decode, encode};
use nfp_target::profile::Profile;
use nfp_target::sim::{Exits, Figures, Image, Outcome, Stop, Thread, Unset, Verdict};
use offload_compiler::interp::{Act, At, FaultKind, Fixed, Limits, Machine, Semantics, XdpInput};
use offload_compiler::isa::{Callee, Instruction as Ebpf, Reg};
use proptest::prelude::*;
use tests::Random;
use tests::nfp::{Element, Translation, contents, lengths, machine, packet, translations};

/// Packets a program, unless `NFP_PACKETS` says otherwise.
const PACKETS: usize = 50;

/// What the driver knew of these instructions, as its words show. The kernel's verifier left a path earlier or later than
/// ours does, so that the ranges differ: program, slot, range of the source, highest destination.
const WALKED: &[(&str, usize, (u64, u64), u64)] = &[
    ("f1_00064", 23, (0, u64::MAX), u64::MAX),
    ("f1_00499", 77, (0, 0xffff), 0),
    ("f1_01135", 40, (0, 0xffff), 0),
    ("f1_01150", 100, (100, 100), 0xffff),
    ("f1_01364", 41, (0, 0), u64::MAX),
    ("f1_01410", 186, (0, 0), u64::MAX),
    ("f1_01633", 34, (8, 8), u64::MAX),
    ("f1_01761", 106, (0, 0xffff), 0),
    ("f1_02888", 21, (0, u64::MAX), u64::MAX),
    ("f1_02660", 43, (0, 0), u64::MAX),
    ("f1_02660", 143, (0, u64::MAX), u64::MAX),
];

/// The driver model, which remembers the keys that were not found.
struct Keys<'a> {
    model: &'a mut DriverModel,
    missed: Vec<(usize, Vec<u8>)>,
    maps: &'a [(usize, u32)],
}

impl Semantics for Keys<'_> {
    fn step(&mut self, at: &mut At<'_, '_>) -> Result<Act, FaultKind> {
        if let Ebpf::Call(Callee::Helper(1)) = at.instruction()
            && let (Some(handle), Some(key)) = (at.register(Reg::R1), at.register(Reg::R2))
            && let Some(&(map, size)) = self.maps.get((handle & 0xff) as usize)
            && let Ok(key) = at.read(key, size.into())
        {
            self.missed.push((map, key.to_vec()));
        }
        self.model.step(at)
    }
}

/// A division by 1, 28, ... has a last word that would shift by 0. Here it shifts by nothing.
fn repaired(words: &[Word]) -> (Vec<Word>, usize) {
    let mut repaired = words.to_vec();
    let mut count = 0;
    for at in 1..words.len() {
        let Ok(Instruction::Shift(mut shift)) = decode(words[at].instruction) else {
            continue;
        };
        // Shifts by a register follow a word that only takes the amount.
        let takes_amount = matches!(
            decode(words[at - 1].instruction),
            Ok(Instruction::Alu(alu)) if alu.destination == nfp_target::isa::Destination::None
        );
        if shift.shift == Shift::RightIndirect && !takes_amount {
            shift.shift = Shift::None;
            repaired[at].instruction = encode(&Instruction::Shift(shift)).unwrap();
            count += 1;
        }
    }
    (repaired, count)
}

#[derive(Default, Debug)]
struct Tally {
    programs: usize,
    runs: usize,
    stopped: usize,
    warned: usize,
    wrong: usize,
    hits: BTreeMap<WrongCode, usize>,
    differ: Vec<String>,
}

/// The number in an environment variable.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// What the kernel makes of r0, without redirects: the card has none.
fn verdict(r0: u64) -> u32 {
    if r0 as u32 > 3 { 0 } else { r0 as u32 }
}

fn told(outcome: &Outcome) -> (u32, &[u8], Option<u8>) {
    (outcome.verdict as u32, &outcome.packet, outcome.queue)
}

fn compare(program: &Translation, words: &[Word], without: Option<WrongCode>, tally: &mut Tally) {
    let profile = Profile::shipped(&program.profile).unwrap();
    let input = program.ebpf.input();
    let unset = Unset::new(number("NFP_SEED", 7) as u32);
    let mut model = DriverModel::new(&input, &profile, &unset);
    if let Some(rule) = without {
        model = model.without(rule);
    }
    for &(id, slot, source, destination) in WALKED {
        if id == program.id {
            model = model.knowing(slot, source, destination);
        }
    }
    let image = Image::load(words, Exits::find(words), &profile).unwrap();
    let seed = program
        .id
        .bytes()
        .fold(number("NFP_SEED", 1) as u64, |seed, byte| {
            seed * 31 % 1_000_003 + u64::from(byte)
        });
    let mut random = Random::new(seed);
    let mut ours = machine(&program.ebpf, &mut random, Limits::default());
    let mut theirs = ours.clone();
    let maps: BTreeMap<u32, usize> = program
        .map_ids
        .iter()
        .map(|(map, id)| (*id, *map))
        .collect();
    let shapes: Vec<(usize, u32)> = program
        .ebpf
        .maps
        .iter()
        .enumerate()
        .map(|(map, shape)| (map, shape.key_size))
        .collect();
    let constants = lengths(&program.ebpf.code);
    let detected = detect(&input, &profile);
    tally.warned += usize::from(!detected.is_empty());
    let (mut wrong, mut blamed) = (false, false);
    let mut hits = BTreeSet::new();
    let mut bytes_of = packet(&mut random, &constants);
    let mut missed: Vec<(usize, Vec<u8>)> = Vec::new();
    tally.programs += 1;
    for round in 0..number("NFP_PACKETS", PACKETS) {
        // Every other packet comes again, once what it looked for is there.
        if round % 2 == 1 && !missed.is_empty() {
            for (map, key) in &missed {
                let value = random.bytes(program.ebpf.maps[*map].value_size as usize);
                theirs.update(*map, key, &value, 1).ok();
                ours.update(*map, key, &value, 1).ok();
            }
        } else {
            bytes_of = packet(&mut random, &constants);
        }
        let kept = (ours.clone(), theirs.clone());
        let mut worlds = [Fixed::new(seed), Fixed::new(seed)];
        let thread = Thread::new(
            &image,
            &mut ours,
            &maps,
            &bytes_of,
            profile.stack_bytes,
            unset.clone(),
            &mut worlds[0],
        )
        .unwrap();
        let sim = thread.run();
        model.reset();
        let mut keys = Keys {
            model: &mut model,
            missed: Vec::new(),
            maps: &shapes,
        };
        let interp = theirs.run_xdp_by(0, &XdpInput::new(&bytes_of), &mut worlds[1], &mut keys);
        missed = keys.missed;
        tally.runs += 1;
        for &(slot, rule) in model.hits() {
            hits.insert(rule);
            let hidden = matches!(
                rule,
                // The register may be dead; else see below.
                WrongCode::WalkedRange | WrongCode::HeadUnchecked | WrongCode::CopyRegister
            );
            let walked = WALKED
                .iter()
                .any(|walked| walked.0 == program.id && walked.1 == slot);
            if !hidden && !walked && !detected.contains(&(slot, rule)) {
                let line = format!("{} {slot}: {} is not detected", program.id, rule.name());
                if !tally.differ.contains(&line) {
                    tally.differ.push(line);
                }
            }
        }
        let differs = match (&sim, &interp) {
            (Ok(sim), Ok(interp)) => {
                let theirs_told = (verdict(interp.r0), interp.packet.as_slice(), model.queue());
                (told(sim) != theirs_told).then(|| {
                    format!(
                        "verdict, packet or queue: {:x?}\n    {:x?}",
                        told(sim),
                        theirs_told
                    )
                })
            }
            (Err(_), Err(fault))
                if matches!(fault.kind, FaultKind::Undefined(_))
                    || model
                        .hits()
                        .iter()
                        .any(|(_, rule)| *rule == WrongCode::CopyMerged) =>
            {
                tally.stopped += 1;
                None
            }
            (Ok(_), Err(fault)) if matches!(fault.kind, FaultKind::Undefined(_)) => {
                tally.stopped += 1;
                None
            }
            _ => Some(format!("{:?}\n    {:?}", sim.as_ref().map(told), interp)),
        };
        if let (Ok(sim), false) = (&sim, model.hits().is_empty()) {
            let mut plain = kept.1.clone();
            let mut world = Fixed::new(seed);
            let right = plain.run_xdp(0, &XdpInput::new(&bytes_of), &mut world);
            let same = right.is_ok_and(|right| {
                sim.verdict as u32 == verdict(right.r0) && sim.packet == right.packet
            }) && contents(&mut plain, shapes.len())
                == contents(&mut ours, shapes.len());
            if !same {
                wrong = true;
                blamed |= (model.hits().iter())
                    .any(|(_, rule)| detected.iter().any(|(_, warned)| warned == rule))
                    || model.hits().iter().all(|(_, rule)| {
                        matches!(rule, WrongCode::WalkedRange | WrongCode::HeadUnchecked)
                    });
            }
        }
        let failed = sim.is_err() || interp.is_err();
        let differs = differs.or_else(|| {
            if failed {
                return None;
            }
            let (ours, theirs) = (
                contents(&mut ours, shapes.len()),
                contents(&mut theirs, shapes.len()),
            );
            let other = |these: &[Element], those: &[Element]| {
                these
                    .iter()
                    .filter(|it| !those.contains(it))
                    .cloned()
                    .collect::<Vec<_>>()
            };
            (ours != theirs).then(|| {
                format!(
                    "maps: {:x?}\n    {:x?}",
                    other(&ours, &theirs),
                    other(&theirs, &ours)
                )
            })
        });
        if let Some(differs) = differs {
            tally.differ.push(format!(
                "{}/{} packet {round}: hits {:?} {differs}",
                program.profile,
                program.id,
                model.hits()
            ));
            break;
        }
        if failed {
            (ours, theirs) = kept;
        }
    }
    tally.wrong += usize::from(wrong);
    if wrong && !blamed {
        let line = format!("{} runs wrongly, and nothing is detected", program.id);
        tally.differ.push(line);
    }
    for rule in hits {
        *tally.hits.entry(rule).or_default() += 1;
    }
}

#[test]
fn the_drivers_words_do_what_the_program_does() {
    let programs = translations();
    let only = std::env::var("NFP_ONLY").ok();
    let mut tally = Tally::default();
    for program in &programs {
        if only
            .as_ref()
            .is_some_and(|only| !program.id.contains(only.as_str()))
        {
            continue;
        }
        compare(program, &program.words, None, &mut tally);
        let (repaired, count) = repaired(&program.words);
        if count > 0 {
            compare(
                program,
                &repaired,
                Some(WrongCode::DivisionShift),
                &mut tally,
            );
        }
    }
    let Tally {
        programs,
        runs,
        stopped,
        warned,
        wrong,
        hits,
        differ,
    } = tally;
    println!(
        "{programs} programs, {runs} runs, {stopped} undefined, {wrong} programs wrong, {warned} warned of, {} differ",
        differ.len()
    );
    println!("{hits:#?}");
    for line in differ.iter().take(40) {
        println!("{}", &line[..line.len().min(300)]);
    }
    assert!(differ.is_empty(), "{} differ", differ.len());
}

/// `FLAG_INSN_SKIP_PREC_DEPENDENT`, `FLAG_INSN_SKIP_VERIFIER_OPT`, `FLAG_INSN_DO_ZEXT` of main.h, Linux 6.12.
const SKIPPED: u8 = 1 << 4;
const DEAD: u8 = 1 << 5;
const CLEARS: u8 = 1 << 6;

#[test]
fn upper_halves_and_copies_are_those_of_the_driver() {
    let (mut clears, mut other, mut differ) = (0, 0, Vec::new());
    for program in translations() {
        let profile = Profile::shipped(&program.profile).unwrap();
        let model = DriverModel::new(&program.ebpf.input(), &profile, &Unset::new(0));
        let copied = model.copied();
        for (slot, instruction) in program.ebpf.code.iter() {
            let flags = program.flags[slot];
            if flags & DEAD != 0 {
                continue;
            }
            clears += usize::from(flags & CLEARS != 0);
            other += usize::from(model.cleared()[slot] != (flags & CLEARS != 0));
            let memory = matches!(instruction, Ebpf::Load { .. } | Ebpf::Store { .. });
            // Our verifier finds that a branch before it always goes elsewhere, the kernel's does not.
            let unreached = program.id == "f1_01919";
            if memory && !unreached && copied.contains(&slot) != (flags & SKIPPED != 0) {
                let id = &program.id;
                differ.push(format!("{id} {slot} {instruction}"));
            }
        }
    }
    println!("{clears} clear their upper half, {other} others by our verification");
    assert_eq!(clears, 31_017, "as many as the driver's");
    // The kernel looks at paths, and leaves some earlier or later than we do.
    assert!(other <= 36, "{other} differ");
    assert!(differ.is_empty(), "{differ:#?}");
}

fn loaded(text: &str) -> Image {
    let words: Vec<Word> = text
        .lines()
        .map(|line| Word::plain(encode(&asm::parse(line.trim()).unwrap()).unwrap()))
        .collect();
    Image::load(&words, Exits::default(), &Profile::default()).unwrap()
}

fn run(image: &Image, packet: &[u8], budget: u64) -> Result<Outcome, Stop> {
    let mut machine = Machine::new(Limits::default());
    let maps = BTreeMap::new();
    let mut world = Fixed::new(0);
    Thread::new(
        image,
        &mut machine,
        &maps,
        packet,
        512,
        Unset::new(1),
        &mut world,
    )?
    .with_budget(budget)
    .run()
}

#[test]
fn what_cannot_run_is_told_by_word() {
    for (text, says) in [
        (
            "nop\nbr[.9]",
            "word 1: control goes to address 9, where neither the program nor the firmware is",
        ),
        (
            "nop",
            "word 0: control goes to address 2049, where neither the program nor the firmware is",
        ),
        ("br[.2048]", "word 0: budget of 1000 words used up"),
        (
            "immed[gprA_1, 0x9, <<16]\nalu[--, gprA_1, OR, 0x0]\nmem[read32_swap, $xfer_0, gprA_1, 0x0, 1], ctx_swap[sig1]",
            "word 2: read of 4 bytes at -12255352 of the packet, which has 60",
        ),
        (
            "nop\nmem[read32_swap, $xfer_0, gprB_1, <<8, gprA_0, 1], ctx_swap[sig1]",
            "are no map value's",
        ),
        (
            "alu[gprA_1, *l$index1[2], +, 0x0]\nmem[write8_swap, $xfer_0, gprA_1, 0x3c, 1], ctx_swap[sig1]",
            "word 1: write of 1 bytes at +60 of the packet, which has 60",
        ),
        (
            "nop\nbr[.2048], defer[1]\nbr[.2048]",
            "word 2: stands in a slot of a branch or of a command that waits",
        ),
        (
            "nop\nalu_shf[gprA_1, --, B, gprB_1, >>indirect]",
            "word 1: takes the A operand of the word before, which leaves none",
        ),
        (
            "mul_step[gprA_1, --], 32x32_last",
            "word 0: no step of the multiplication that was begun",
        ),
        (
            "immed[gprA_0, 0x7, <<16]\nbr[.100]",
            "word 1: action 0x00070000 is not known",
        ),
        ("br[.200]", "word 0: no map has number"),
    ] {
        let error = run(&loaded(text), &[0; 60], 1000).expect_err(text);
        assert!(error.to_string().contains(says), "{text}: {error}");
    }
}

#[test]
fn figures_are_those_of_a_run() {
    let program = (translations().into_iter())
        .find(|program| program.id == "filter.v1.O1:drop_all")
        .unwrap();
    let image = Image::load(
        &program.words,
        Exits::find(&program.words),
        &Profile::default(),
    )
    .unwrap();
    let outcome = run(&image, &[0; 60], 1000).unwrap();
    assert_eq!(outcome.verdict, Verdict::Drop);
    let expected = Figures {
        words: 15,
        empty_slots: 2,
        ..Figures::default()
    };
    assert_eq!(outcome.figures, expected);
}

proptest! {
    /// Words of the driver in any order, with some bits flipped: whatever they do, the thread ends.
    #[test]
    fn no_words_are_too_strange(
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0_u64..8, 0_u32..45), 1..80),
        packet in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let pool = pool();
        let words: Vec<Word> = picks
            .iter()
            .map(|(index, flip, bit)| {
                let word = *index.get(pool);
                Word::plain(if *flip == 0 { word ^ 1 << bit } else { word })
            })
            .collect();
        // Low addresses: branches of the words stay inside.
        let profile = Profile { start: 0, next_packet: 1000, ..Profile::default() };
        let image = Image::load(&words, Exits::default(), &profile).unwrap();
        let _ = run(&image, &packet, 2000);
    }
}

/// Different words of the driver, without their relocations.
fn pool() -> &'static [u64] {
    static POOL: OnceLock<Vec<u64>> = OnceLock::new();
    POOL.get_or_init(|| {
        translations()
            .iter()
            .step_by(7)
            .flat_map(|program| program.words.iter().map(|word| word.instruction))
            .collect::<BTreeSet<u64>>()
            .into_iter()
            .collect()
    })
}
