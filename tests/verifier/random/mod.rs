//! Random programs near the border between safe and unsafe, judged by both.
//!
//! `VERIFIER_PROGRAMS=1000000` makes more than the default, `VERIFIER_SEED=7` others, `VERIFIER_ONLY=7:1234` shows one.

mod memory;
mod mutation;
mod number;
mod program;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use offload_compiler::isa::Code;
use offload_compiler::verify::{Code as Ours, Verdict};
use tests::require_root;

use crate::judges::Judges;

/// How many programs are compared unless the environment says otherwise.
const PROGRAMS: u64 = 20_000;

/// Where the kernel refuses what it means to accept and says so (`verifier_bug`, Linux 6.18). We do not follow it there:
/// the programs are safe, and another version takes them.
const KERNEL_BUGS: [&str; 2] = [
    // Going back for the precision of a number, it arrives at a call with a register that it should have left before.
    "verifier bug: backtracking misuse",
    // bpf_loop with 0 rounds: the callback is removed as never run, and what loads its address stays.
    "verifier bug: No program to jit",
];

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn listing(code: &Code) -> String {
    let mut text = String::new();
    for (slot, instruction) in code.iter() {
        let _ = writeln!(text, "{slot}: {instruction}");
    }
    text
}

/// What came of all programs.
#[derive(Default)]
struct Tally {
    both_accept: usize,
    both_refuse: BTreeMap<String, usize>,
    accepted_wrongly: Vec<String>,
    refused_wrongly: Vec<String>,
    /// Refused for one of [`KERNEL_BUGS`]; another one counts as accepted wrongly, until it is known what it is.
    kernel_bugs: Vec<String>,
    /// The kernel gives up, we do not.
    too_complex: usize,
    /// We give up: the kernel is not asked, which takes it seconds.
    not_asked: usize,
    /// A change made an instruction that does not exist.
    meaningless: usize,
}

impl Tally {
    fn add(&mut self, id: &str, kernel: Result<(), String>, ours: &Verdict) {
        match (kernel, ours.error()) {
            (Ok(()), None) => self.both_accept += 1,
            (Ok(()), Some(finding)) => self.refused_wrongly.push(format!("{id}: {finding}")),
            (Err(_), Some(finding)) => {
                *self
                    .both_refuse
                    .entry(finding.code.to_string())
                    .or_default() += 1;
            }
            (Err(why), None) if KERNEL_BUGS.iter().any(|bug| why.contains(bug)) => {
                self.kernel_bugs.push(format!("{id}: {why}"));
            }
            (Err(why), None) if why.contains("too large") || why.contains("too complex") => {
                self.too_complex += 1;
            }
            (Err(why), None) => self.accepted_wrongly.push(format!("{id}: {why}")),
        }
    }

    fn accepted_by_kernel(&self) -> usize {
        self.both_accept + self.refused_wrongly.len()
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} accepted by both, {} refused by both, {} accepted wrongly, {} refused wrongly; the kernel blames itself for {}, \
             gives up on {}; not asked {}, meaningless {}\nrefused by both as {:?}\n",
            self.both_accept,
            self.both_refuse.values().sum::<usize>(),
            self.accepted_wrongly.len(),
            self.refused_wrongly.len(),
            self.kernel_bugs.len(),
            self.too_complex,
            self.not_asked,
            self.meaningless,
            self.both_refuse,
        );
        for (title, list) in [
            ("accepted wrongly", &self.accepted_wrongly),
            ("refused wrongly", &self.refused_wrongly),
            ("the kernel blames itself", &self.kernel_bugs),
        ] {
            for line in list.iter().take(40) {
                let _ = writeln!(text, "{title}: {line}");
            }
        }
        text
    }
}

#[test]
fn random_programs_are_judged_as_the_kernel_does() {
    if !require_root() {
        return;
    }
    let judges = Judges::create();
    let (mut seed, mut from) = (1, 0);
    let mut count = variable("VERIFIER_PROGRAMS").map_or(PROGRAMS, |text| text.parse().unwrap());
    if let Some(text) = variable("VERIFIER_SEED") {
        seed = text.parse().unwrap();
    }
    let show = variable("VERIFIER_ONLY");
    if let Some(text) = &show {
        let (a, b) = text.split_once(':').unwrap();
        (seed, from, count) = (a.parse().unwrap(), b.parse().unwrap(), 1);
    }
    let mut tally = Tally::default();
    for number in from..from + count {
        let code = program::generate(seed, number);
        let Ok(code) = Code::decode(&code.encode()) else {
            tally.meaningless += 1;
            continue;
        };
        let verdict = judges.ours(&code);
        if verdict
            .error()
            .is_some_and(|finding| finding.code == Ours::TooComplex)
        {
            tally.not_asked += 1;
            continue;
        }
        let answer = judges.kernel(&code);
        if show.is_some() {
            let (ours, log) = (verdict.error(), answer.as_ref().err());
            println!("{}\nkernel: {log:#?}\nours: {ours:?}", listing(&code));
        }
        let answer = answer.map_err(|refused| refused.words);
        tally.add(&format!("{seed}:{number}"), answer, &verdict);
    }
    let text = tally.text();
    let _ = writeln!(
        std::io::stderr(),
        "{count} random programs of seed {seed}: {text}"
    );
    assert!(tally.accepted_wrongly.is_empty(), "{text}");
    let (wrong, accepted) = (tally.refused_wrongly.len(), tally.accepted_by_kernel());
    assert!(
        wrong * 100 <= accepted * 3,
        "{wrong} of {accepted} are refused wrongly"
    );
    if show.is_none() {
        // Neither side of the border may be empty.
        let share = accepted as u64 * 100 / count;
        assert!((30..=80).contains(&share), "{share} % are accepted");
    }
}
