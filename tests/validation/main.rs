//! Translation validation: can a small program and what one pass makes of it differ on any packet and any contents of its
//! maps? Both are written as formulas, and z3 looks for a case in which verdict, bytes or maps differ.
//!
//! Bounded: packets up to 1536 bytes, programs without loops, helpers of maps, clock and random numbers only.
//! `VALIDATION_PROGRAMS=N` takes more random ones.

mod chain;
mod encode;
mod generate;
mod programs;
mod question;
mod solver;
mod state;
mod term;
mod wrong;

use std::collections::BTreeMap;

use offload_compiler::isa::assemble;
use offload_compiler::lower::{LAST_PASSES, Options, PASSES};
use tests::nfp::Unlinked;

use chain::{Change, changes};
use question::question;
use solver::{Answer, Solver};

/// Random programs.
const PROGRAMS: usize = 80;

/// Passes about which is not asked here, and why; tests/equal and their golden tests hold them.
const NOT_HERE: [(&str, &str); 6] = [
    ("redirect-to-sender", "another verdict that does the same"),
    ("dropped-events", "what is dropped is the change"),
    ("unknown-statistics", "other numbers are the change"),
    ("interface-mtu", "its helper knows routes"),
    ("packet-dynptrs", "kernel functions are not encoded"),
    (
        "lru-hash",
        "which element an LRU map gives up is not encoded",
    ),
];

/// With optimisation.
fn optimised() -> Options {
    Options {
        optimise: true,
        ..Options::default()
    }
}

fn is_elsewhere(pass: &str) -> bool {
    NOT_HERE.iter().any(|(name, _)| *name == pass)
}

/// What came of questions, by pass.
#[derive(Default)]
struct Tally {
    proved: BTreeMap<&'static str, usize>,
    open: Vec<String>,
    not_encoded: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn ask(&mut self, solver: &mut Solver, name: &str, change: &Change) {
        let Some(text) = question(change) else {
            *self.not_encoded.entry(change.pass).or_default() += 1;
            return;
        };
        match solver.ask(&text) {
            Answer::No => *self.proved.entry(change.pass).or_default() += 1,
            Answer::Unknown => self.open.push(format!("{} of {name}", change.pass)),
            Answer::Yes => panic!(
                "{} changes what {name} does:\n{}\nafter\n{}\nwith {}",
                change.pass,
                change.before.listing(),
                change.after.listing(),
                solver.value("length")
            ),
        }
    }
}

#[test]
fn no_packet_tells_a_small_program_from_what_a_pass_makes_of_it() {
    if !tests::require_command("z3") {
        return;
    }
    let count = std::env::var("VALIDATION_PROGRAMS")
        .map_or(PROGRAMS, |text| text.parse().expect("a number"));
    let mut solver = Solver::start();
    let mut tally = Tally::default();
    for small in programs::small() {
        let changes = changes(&small.program, &small.options);
        for change in changes
            .into_iter()
            .filter(|change| !is_elsewhere(change.pass))
        {
            tally.ask(&mut solver, &small.name, &change);
        }
    }
    for number in 0..count as u64 {
        let text = generate::program(number);
        let code = assemble(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let program = Unlinked::new(code, Vec::new()).expect("it calls nothing");
        for change in changes(&program, &optimised()) {
            tally.ask(&mut solver, &format!("random program {number}"), &change);
        }
    }
    let proved: usize = tally.proved.values().sum();
    eprintln!(
        "{proved} changes proved, by pass {:?}; not encoded {:?}; undecided {:?}",
        tally.proved, tally.not_encoded, tally.open
    );
    for pass in PASSES.iter().chain(LAST_PASSES) {
        assert!(
            tally.proved.contains_key(pass.name) || is_elsewhere(pass.name),
            "{} is proved for no program",
            pass.name
        );
    }
    let open = tally.open.len();
    assert!(proved > 20 * open, "z3 leaves {open} open, {proved} proved");
}
