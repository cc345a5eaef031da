//! Our NFP words in the simulator, the interpreter, and the running kernel's test run: each program on the same packets
//! with the same maps. Verdict, packet bytes and map contents must be equal, without exception. What the NFP driver takes
//! has a translation of ours.
//!
//! `NFP_CODE_PROGRAMS=100000` makes the random test longer, `NFP_CODE_SEED=N` begins elsewhere.

mod on_kernel;

use std::fmt;

use generic_fallback::load::Loader;
use nfp_target::accept::judge;
use nfp_target::codegen::{Options, Refusal, verify};
use nfp_target::profile::Profile;
use offload_compiler::isa::{Callee, Code, Instruction};
use offload_compiler::object::Object;
use tests::nfp::{Feed, SetElement, Twins, Unlinked, generate, seed_of, translations};

use on_kernel::{OnKernel, is_comparable};

/// Random programs. More than a third can be compared, on the packets of each at both levels: 100,000 pairs and more.
const PROGRAMS: u64 = 3_000;
const PAIRS: usize = 100_000;
/// Packets of each random program.
const PACKETS: usize = 50;
/// Packets of each golden program, which `nfp-target/tests/codegen.rs` runs on more without the kernel.
const GOLDEN_PACKETS: usize = 10;
/// Packets of each program of the corpus.
const CORPUS_PACKETS: usize = 200;

#[derive(Default)]
struct Tally {
    programs: usize,
    pairs: usize,
    /// What our code generator refuses.
    refused: usize,
    /// What the kernel refuses: a choice of the receive queue, for one.
    kernel_refuses: usize,
    /// What a test run cannot show: random numbers, events, large maps.
    not_comparable: usize,
    /// Whose changes of a packet the card has no room for, and the kernel has; the other two are compared.
    no_room: usize,
    differ: Vec<String>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} programs, {} program and packet pairs three ways; {} are not translated, {} refused by the kernel, {} not comparable, {} from some packet on without the kernel; {} differ",
            self.programs,
            self.pairs,
            self.refused,
            self.kernel_refuses,
            self.not_comparable,
            self.no_room,
            self.differ.len()
        )
    }
}

/// All machines of a program.
struct All<'a> {
    twins: Twins<'a>,
    /// As long as it has no more room around packets than the card.
    kernel: Option<OnKernel>,
}

impl SetElement for All<'_> {
    fn set(&mut self, map: usize, key: &[u8], value: &[u8]) {
        self.twins.set(map, key, value);
        if let Some(kernel) = &self.kernel {
            kernel.set(map, key, value);
        }
    }
}

impl All<'_> {
    fn run(&mut self, packet: &[u8]) -> Result<Vec<(usize, Vec<u8>)>, String> {
        let run = self.twins.run(packet)?;
        if run.limited {
            self.kernel = None;
        }
        let Some(kernel) = &self.kernel else {
            return Ok(run.looked_up);
        };
        let kernel = kernel.run(packet)?;
        if (kernel.verdict, &kernel.data) != (run.r0, &run.packet) {
            return Err(format!(
                "kernel {} {:02x?}\n    interpreter and simulator {} {:02x?}",
                kernel.verdict, kernel.data, run.r0, run.packet
            ));
        }
        Ok(run.looked_up)
    }

    fn compare_maps(&mut self) -> Result<(), String> {
        let Some(kernel) = &self.kernel else {
            return Ok(());
        };
        let (kernel, ours) = (kernel.contents(), self.twins.contents());
        if kernel == ours {
            return Ok(());
        }
        Err(format!(
            "maps: kernel {kernel:02x?}\n    interpreter and simulator {ours:02x?}"
        ))
    }
}

/// Whether something in it is the kernel's own: random numbers, events.
fn has_own(code: &Code) -> bool {
    code.iter()
        .any(|(_, instruction)| matches!(instruction, Instruction::Call(Callee::Helper(7 | 25))))
}

fn compare(id: &str, program: &Unlinked, packets: usize, profile: &Profile, tally: &mut Tally) {
    if !program.maps.iter().all(is_comparable) || has_own(&program.code) {
        tally.not_comparable += 1;
        return;
    }
    let input = program.input();
    let Ok(verified) = verify(&input) else {
        tally.refused += 1;
        return;
    };
    let is_taken = || judge(&input, profile).is_accepted();
    for optimise in [true, false] {
        let image = match verified.compile(profile, Options { optimise }) {
            Ok(image) => image,
            Err(error) => {
                assert!(!matches!(error.why, Refusal::Internal(_)), "{id}: {error}");
                assert!(!is_taken(), "{id}: the driver takes it, we do not: {error}");
                tally.refused += 1;
                return;
            }
        };
        let seed = seed_of(id);
        let mut twins = Twins::new(program, &image.words, None, profile, seed);
        let Ok(kernel) = OnKernel::load(program, &twins.contents()) else {
            tally.kernel_refuses += 1;
            return;
        };
        let mut all = All {
            twins,
            kernel: Some(kernel),
        };
        let mut feed = Feed::new(program, seed);
        let outcome = (0..packets).try_for_each(|number| {
            let packet = feed.next(&mut all);
            let told = |what| {
                format!("{id}, optimise {optimise}, packet {number} {packet:02x?}:\n    {what}")
            };
            feed.looked_up(all.run(&packet).map_err(told)?);
            tally.pairs += usize::from(all.kernel.is_some());
            Ok(())
        });
        tally.no_room += usize::from(all.kernel.is_none());
        let outcome = outcome.and_then(|()| {
            let told = |what| format!("{id}, optimise {optimise}: {what}");
            all.compare_maps().map_err(told)
        });
        tally.differ.extend(outcome.err());
    }
    tally.programs += 1;
}

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().expect("a number"))
}

fn finish(what: &str, tally: &Tally) {
    println!("{what}: {tally}");
    assert!(
        tally.differ.is_empty(),
        "{} differ:\n{}",
        tally.differ.len(),
        tally.differ[..tally.differ.len().min(10)].join("\n")
    );
}

#[test]
fn random_programs_do_the_same_on_kernel_interpreter_and_nfp() {
    if !tests::require_root() {
        return;
    }
    let first = number("NFP_CODE_SEED", 1) * 1_000_000_000;
    let programs = number("NFP_CODE_PROGRAMS", PROGRAMS);
    let (profile, mut tally) = (Profile::default(), Tally::default());
    for seed in first..first + programs {
        let made = generate::usual(seed);
        let code = Code::decode(&made.code).expect("what is generated decodes");
        let program = Unlinked::new(code, made.maps).expect("calls lead somewhere");
        compare(&made.id, &program, PACKETS, &profile, &mut tally);
    }
    finish("random programs", &tally);
    assert!(
        programs < PROGRAMS || tally.pairs >= PAIRS,
        "too few are compared: {tally}"
    );
}

#[test]
fn golden_programs_do_the_same_on_kernel_interpreter_and_nfp() {
    if !tests::require_root() {
        return;
    }
    let (profile, mut tally) = (Profile::default(), Tally::default());
    for golden in translations() {
        if golden.profile == profile.name {
            compare(
                &golden.id,
                &golden.ebpf,
                GOLDEN_PACKETS,
                &profile,
                &mut tally,
            );
        }
    }
    finish("golden programs", &tally);
    assert!(tally.programs > 4_000, "too few are compared: {tally}");
}

#[test]
fn the_corpus_does_the_same_on_kernel_interpreter_and_nfp() {
    if !tests::require_root() {
        return;
    }
    let (profile, mut tally) = (Profile::default(), Tally::default());
    for name in tests::corpus_names() {
        let bytes = std::fs::read(tests::corpus(&name)).expect("an object");
        let object = Object::parse(&bytes).expect("the corpus parses");
        let loader = Loader::for_trial(&object, &name);
        for (index, program) in object.programs.iter().enumerate() {
            if !program.kind.is_xdp() {
                continue;
            }
            let Ok((_, Ok(prepared))) = loader.prepare(index) else {
                tally.refused += 1;
                continue;
            };
            let id = format!("{name} {}", program.name);
            let unlinked = Unlinked::of(&prepared.input()).expect("calls lead somewhere");
            compare(&id, &unlinked, CORPUS_PACKETS, &profile, &mut tally);
        }
    }
    finish("the corpus", &tally);
    assert!(tally.programs >= 10, "too few are compared: {tally}");
}
