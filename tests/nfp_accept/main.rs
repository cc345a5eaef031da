//! Our model of what the NFP driver accepts, held against the driver itself in a virtual machine
//! (hw-matrix/lab/nfpsim): random programs near the borders, and those of tests/golden/nfp.
//!
//! `NFP_ACCEPT_PROGRAMS=100000` makes it longer, `NFP_ACCEPT_SEED=N` begins elsewhere; `NFP_ACCEPT_SHOW=N` prints
//! program N of the random ones and what both say.

mod compare;

use nfp_target::profile::Profile;
use offload_compiler::isa::Code;
use tests::nfp::{decisions, generate};
use tests::nfpsim::{Program, Simulator, judge};

use compare::Table;

/// Random programs beside the golden ones. Each that crashes the driver costs a boot.
const PROGRAMS: u64 = 3_000;
const PROFILES: [&str; 4] = ["full", "minimal", "card64", "smallstack"];
/// Least share of decisions that must be the driver's, with its cause, in percent.
const LEAST: f64 = 99.5;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn decisions_are_the_drivers() {
    let Some(simulator) = Simulator::obtain() else {
        return;
    };
    let profiles = PROFILES.map(|name| Profile::shipped(name).expect("it is shipped"));
    if let Some(program) = number("NFP_ACCEPT_SHOW") {
        return show(&simulator, &generate::program(program), &profiles);
    }
    let seed = number("NFP_ACCEPT_SEED").unwrap_or(1) * 1_000_000_000;
    let random = number("NFP_ACCEPT_PROGRAMS").unwrap_or(PROGRAMS);
    let mut programs: Vec<Program> = (seed..seed + random).map(generate::program).collect();
    programs.extend(known());

    let answers = simulator
        .ask(&programs, &profiles)
        .expect("the simulator answers");
    let mut table = Table::new(simulator.kernel());
    std::thread::scope(|scope| {
        let programs = &programs;
        let judging = profiles.each_ref().map(|profile| {
            let judge = move |program| judge(program, profile);
            scope.spawn(move || programs.iter().map(judge).collect::<Vec<_>>())
        });
        for ((profile, answers), judging) in profiles.iter().zip(&answers).zip(judging) {
            let judgements = judging.join().expect("no judgement panics");
            for ((program, answer), judgement) in programs.iter().zip(answers).zip(&judgements) {
                table.add(profile, program, answer, judgement.as_ref());
            }
        }
    });
    println!("{table}");
    let share = table.share();
    assert!(share >= LEAST, "only {share:.2} % are as the driver's");
    assert!(
        table.unexplained().is_empty(),
        "differ without a known reason:\n{}",
        table.unexplained().join("\n")
    );
}

/// Each golden program once: the profile `full` has all.
fn known() -> Vec<Program> {
    decisions()
        .into_iter()
        .filter(|decision| decision.profile == "full")
        .map(|decision| Program {
            id: decision.id,
            maps: decision.maps,
            code: decision.code,
        })
        .collect()
}

fn show(simulator: &Simulator, program: &Program, profiles: &[Profile]) {
    let answers = simulator
        .ask(std::slice::from_ref(program), profiles)
        .expect("the simulator answers");
    match Code::decode(&program.code) {
        Ok(code) => {
            for (slot, instruction) in code.iter() {
                println!("{slot}: {instruction}");
            }
        }
        Err(error) => println!("{error}"),
    }
    println!("{:#?}", program.maps);
    for (profile, answers) in profiles.iter().zip(answers) {
        println!(
            "{}: {answers:#?}\nours: {:#?}",
            profile.name,
            judge(program, profile)
        );
    }
}
