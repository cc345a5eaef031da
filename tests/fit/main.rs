//! What fits the card: each real XDP program that the running kernel takes natively, given to the kernel's own NFP driver
//! in a virtual machine (hw-matrix/lab/nfpsim), and what stands in the way of the others.
//!
//! `BLESS=1` writes docs/offload-report.md; without, no program that fits there may have stopped to. `ONLY=TEXT` takes
//! programs with this text in their name. `MODEL=1` asks our model of the driver only, which takes seconds, and prints what
//! is refused.

mod blocker;
mod left;
mod report;
mod stage;

use nfp_target::profile::Profile;
use nfp_target::target::Nfp;
use offload_compiler::lower::Allow;
use tests::kernel_answer::KernelAnswer;
use tests::nfpsim::Simulator;
use tests::real_programs::{RealProgram, Source, real_programs};
use tests::{require, require_root};

use report::Report;
use stage::Stage;

/// The card with all that the driver knows, and one with what its firmware is said to have.
const PROFILES: [&str; 2] = ["full", "card64"];
/// What changes in the view of user space that most users will take.
const ALLOWED: [Allow; 3] = [Allow::Counters, Allow::Globals, Allow::Stores];

#[test]
fn no_program_that_fits_stops_to_and_each_refusal_has_its_reason() {
    if !require_root() {
        return;
    }
    let profiles = PROFILES.map(|name| Profile::shipped(name).expect("it is shipped"));
    let only = std::env::var("ONLY").unwrap_or_default();
    let programs = real_programs().into_iter();
    let programs = programs.filter(|program| program.name.contains(&only));
    let (native, others): (Vec<RealProgram>, Vec<RealProgram>) = programs
        .partition(|program| program.kernel == KernelAnswer::Accepts && program.prepared.is_ok());
    let card = Nfp::new(profiles[0].clone());
    let stages = || {
        vec![
            Stage::original(&native),
            Stage::lowered("pure", &native, &card, &[]),
            Stage::lowered("allowed", &native, &card, &ALLOWED),
            Stage::lowered("all", &native, &card, &Allow::ALL),
        ]
    };
    if std::env::var_os("MODEL").is_some() {
        stage::ask_the_model(&stages(), &profiles[0]);
        return;
    }
    let Some(simulator) = Simulator::obtain() else {
        return;
    };
    for source in Source::ALL {
        let there = native.iter().any(|program| program.source == source);
        if only.is_empty() && !require(there, &format!("needs {}", source.title())) {
            return;
        }
    }
    let stages = stages();
    let answers = stage::ask(&simulator, &stages, &profiles).expect("the simulator answers");
    Report::new(&simulator.kernel(), &native, &others, &stages, &answers).finish();
}
