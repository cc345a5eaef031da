//! Lowered programs do what the originals do: the same verdict, packet and map contents, in the interpreter, on the
//! running kernel, and for the driver's words of the lowered program in the simulator of the card. Where the lowered program
//! is the card's part of a split, what it passes goes to the original behind it: the pair does what the original by itself
//! does, and each effect is there once.
//!
//! `EQUAL_PROGRAMS=N` makes the random test longer (100,000 pairs of program and packet are 2,000), `EQUAL_FROM=N` begins
//! elsewhere, `EQUAL_REAL=1` takes the large real programs, too. `EQUAL_SHOW=1` prints the programs that differ,
//! `EQUAL_WITHOUT=PASS,PASS` leaves passes out.

mod card;
mod effects;
mod interpreter;
mod kernel;
mod pair;
mod random;
mod real;
mod trial;

use kernel::Cpus;
use nfp_target::profile::Profile;
use nfp_target::target::Nfp;
use offload_compiler::lower::{Allow, Options};
use pair::Pair;
use tests::nfpsim::{Program, Simulator};
use trial::{Runs, compare};

/// Runs of each program.
const PACKETS: usize = 50;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

fn card() -> Nfp {
    Nfp::new(Profile::shipped("full").expect("it is shipped"))
}

/// What programs are lowered with: nothing that user space sees, or what most users will allow; with and without
/// optimisation; and a card that decides a part.
fn options() -> [Options; 5] {
    let allow = [
        Allow::Counters,
        Allow::Globals,
        Allow::Stores,
        Allow::Lru,
        Allow::Split,
    ];
    let options = |optimise, allowed| Options {
        optimise,
        allow: allow.into_iter().take(allowed).collect(),
        ..Options::default()
    };
    [
        options(false, 0),
        options(true, 0),
        options(false, 3),
        options(true, 3),
        options(true, 5),
    ]
}

/// Compares pairs on all machines, prints what was done, and fails where something differs.
fn judge(pairs: &[Pair], title: &str) {
    let profile = card().profile;
    let (this, possible) = tests::stay_on_one_cpu();
    let cpus = tests::require_root().then_some(Cpus { this, possible });
    let wanted: Vec<usize> = (0..pairs.len())
        .filter(|&index| pairs[index].accepted)
        .collect();
    let programs: Vec<Program> = wanted
        .iter()
        .map(|&index| pairs[index].lowered.program.clone())
        .collect();
    let mut words = vec![Vec::new(); pairs.len()];
    if let Some(simulator) = Simulator::obtain() {
        let answers = simulator
            .translate(&programs, &profile)
            .expect("the simulator answers");
        for (index, answer) in wanted.into_iter().zip(answers) {
            words[index] = answer.words;
        }
    }
    let mut runs = Runs::default();
    let mut differing = Vec::new();
    for (seed, (pair, words)) in pairs.iter().zip(&words).enumerate() {
        match compare(pair, words, &profile, cpus, PACKETS, seed as u64) {
            Ok(more) => runs += more,
            Err(differs) => {
                let mut text = format!("{} {:?}: {differs}", pair.name, pair.passes);
                if std::env::var_os("EQUAL_SHOW").is_some() {
                    let (before, after) = (pair.original.listing(), pair.lowered.listing());
                    text = format!("{text}\noriginal\n{before}lowered\n{after}");
                }
                differing.push(text);
            }
        }
    }
    let translated = words.iter().filter(|words| !words.is_empty()).count();
    let split = pairs.iter().filter(|pair| pair.split).count();
    eprintln!(
        "{title}: {} programs, {split} of them split, {} runs in the interpreter, {} of them handed from the card's part to the original, {} on the kernel; {translated} translated, {} runs on the card; \
         run otherwise by the card, where the driver is known to translate wrongly: {:?}",
        pairs.len(),
        runs.interpreter,
        runs.host,
        runs.kernel,
        runs.card,
        runs.wrong
    );
    assert!(
        differing.is_empty(),
        "{} of {} programs do something else once lowered:\n{}",
        differing.len(),
        pairs.len(),
        differing[..differing.len().min(10)].join("\n")
    );
}
