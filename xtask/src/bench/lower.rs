//! What lowering makes of programs: words of the driver's translation, and eBPF instructions, against the originals'.
//!
//! `ONLY=TEXT` takes programs with this text in their name, and prints them before and after.

use nfp_target::profile::Profile;
use nfp_target::target::Nfp;
use offload_compiler::isa::text;
use offload_compiler::lower::{Options, lower};
use offload_compiler::target;
use offload_compiler::verify::Input;
use support::kernel_answer::KernelAnswer;
use support::nfp::{FIXED_WORDS, translations};
use support::nfpsim::{Program, Simulator};
use support::real_programs::real_programs;

use super::judge;
use crate::error::{Error, Result};
use crate::install::{self, Install, XDP_LOADER};
use crate::steps::heading;

/// A program before and after.
struct Row {
    before: Program,
    after: Program,
}

impl Row {
    /// None where it cannot be lowered.
    fn new(name: &str, input: &Input<'_>, frags: bool, card: &Nfp) -> Option<Self> {
        let options = Options {
            optimise: true,
            ..Options::default()
        };
        let lowered = lower(&target::Program { input, frags }, card, &options).ok()?;
        Some(Self {
            before: Program::new(name, input),
            after: Program::new(name, &lowered.layout.input(&lowered.program)),
        })
    }
}

/// What both sides take, in words of the driver without those that every program has, or in instructions.
#[derive(Default)]
struct Ratios(Vec<f64>);

impl Ratios {
    fn add(&mut self, before: usize, after: usize) -> f64 {
        let ratio = count(after) / count(before);
        self.0.push(ratio);
        ratio
    }

    fn geometric_mean(&self) -> f64 {
        let logarithms: f64 = self.0.iter().map(|ratio| ratio.ln()).sum();
        (logarithms / count(self.0.len().max(1))).exp()
    }

    fn worst(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }
}

pub(super) fn run(install: Install) -> Result<()> {
    if !install::is_root() {
        return Err(Error::NotPermitted { what: "bench" });
    }
    // Its objects are among the programs.
    install::require(&[XDP_LOADER], install)?;
    let simulator = Simulator::build(install == Install::Missing).map_err(no_simulator)?;
    let card = Nfp::new(Profile::default());
    let only = std::env::var("ONLY").unwrap_or_default();
    let real = real_programs();
    let real = real
        .iter()
        .filter(|program| program.kernel == KernelAnswer::Accepts && program.name.contains(&only));
    let real: Vec<Row> = real
        .filter_map(|program| {
            let input = program.prepared.as_ref().ok()?.input();
            Row::new(&program.name, &input, program.frags, &card)
        })
        .collect();
    // Those that people wrote for the card.
    let written = translations();
    let written = written.iter().filter(|program| {
        program.profile == "full" && program.id.contains(':') && program.id.contains(&only)
    });
    let written: Vec<Row> = written
        .filter_map(|program| Row::new(&program.id, &program.ebpf.input(), false, &card))
        .collect();
    compare(&simulator, &card, "real programs", &real, !only.is_empty())?;
    compare(
        &simulator,
        &card,
        "programs for the card (tests/golden/nfp)",
        &written,
        !only.is_empty(),
    )
}

fn no_simulator(error: impl std::fmt::Display) -> Error {
    Error::Missing(format!("nfpsim: {error}"))
}

/// Prints what became of programs; their text, too, with `listings`.
fn compare(
    simulator: &Simulator,
    card: &Nfp,
    title: &str,
    rows: &[Row],
    listings: bool,
) -> Result<()> {
    let programs: Vec<Program> = rows
        .iter()
        .flat_map(|row| [row.before.clone(), row.after.clone()])
        .collect();
    let answers = simulator
        .translate(&programs, &card.profile)
        .map_err(no_simulator)?;
    heading(title);
    println!(
        "words: of the driver's translation, where it takes both, without the {FIXED_WORDS} that every program has\n"
    );
    println!(
        "{:>7} {:>7} {:>6}  {:>7} {:>7} {:>6}",
        "words", "lowered", "ratio", "eBPF", "lowered", "ratio"
    );
    let (mut words, mut whole, mut instructions) =
        (Ratios::default(), Ratios::default(), Ratios::default());
    for (row, answers) in rows.iter().zip(answers.chunks(2)) {
        let (before, after) = (row.before.code.len(), row.after.code.len());
        let ebpf = instructions.add(before, after);
        let [before_words, after_words] = [&answers[0], &answers[1]].map(|it| it.words.len());
        if before_words > 0 && after_words > 0 {
            whole.add(before_words, after_words);
            let (before, after) = (before_words - FIXED_WORDS, after_words - FIXED_WORDS);
            print!("{before:>7} {after:>7} {:>6.2}", words.add(before, after));
        } else {
            print!("{:>7} {:>7} {:>6}", "", "", "");
        }
        println!("  {before:>7} {after:>7} {ebpf:>6.2}  {}", row.before.id);
        if listings {
            for program in [&row.before, &row.after] {
                println!("{}", text::listing(&program.code, &text::Plain, false));
            }
        }
    }
    println!(
        "\n{} programs, {} of them taken by the driver before and after",
        rows.len(),
        words.0.len()
    );
    let mean = words.geometric_mean();
    judge("words, geometric mean", mean, "at most 0.85", mean <= 0.85);
    judge(
        "words, worst",
        words.worst(),
        "at most 1.02",
        words.worst() <= 1.02,
    );
    println!(
        "with the {FIXED_WORDS} that every program has: {:.2}",
        whole.geometric_mean()
    );
    let mean = instructions.geometric_mean();
    judge(
        "eBPF instructions of all programs, geometric mean",
        mean,
        "at most 0.80",
        mean <= 0.80,
    );
    Ok(())
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
