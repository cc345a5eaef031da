//! The same programs, as they are and as the compiler leaves them.

use std::collections::BTreeSet;

use nfp_target::accept::Judgement;
use nfp_target::profile::Profile;
use nfp_target::target::Nfp;
use offload_compiler::lower::{Allow, Options, Share, lower};
use offload_compiler::target;
use offload_compiler::verify::{Input, Prepared, Rules};
use tests::nfpsim::{Decision, Program, Simulator, SimulatorError, judge, known_difference};
use tests::real_programs::RealProgram;

use crate::blocker::{KERNEL_FUNCTION, blockers};

/// The index of the interface that programs are lowered for; any will do.
const IFINDEX: u32 = 2;

/// What was done to the programs.
pub(crate) struct Stage {
    /// The head of a column.
    pub(crate) title: &'static str,
    /// Each program afterwards.
    pub(crate) programs: Vec<Program>,
    /// How much of each the card decides, where that is a part only.
    shares: Vec<Option<Share>>,
}

/// What became of a program on a card.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The driver loads and attaches it, and at least one path ends on the card.
    pub(crate) fits: bool,
    /// How much the card decides, where that is a part only.
    pub(crate) share: Option<Share>,
    /// All that keeps it from that, as we see it.
    pub(crate) blockers: Vec<String>,
    /// How our model differs from the driver, without a known reason.
    pub(crate) differs: Option<String>,
}

impl Stage {
    /// As they are.
    pub(crate) fn original(programs: &[RealProgram]) -> Self {
        let programs = programs.iter().filter_map(|program| {
            let prepared = program.prepared.as_ref().ok()?;
            Some(Program::new(&program.name, &prepared.input()))
        });
        let programs: Vec<Program> = programs.collect();
        Self {
            title: "as it is",
            shares: vec![None; programs.len()],
            programs,
        }
    }

    /// Rewritten for the card, with what is allowed. What cannot be lowered stays as it is.
    pub(crate) fn lowered(
        title: &'static str,
        programs: &[RealProgram],
        card: &Nfp,
        allow: &[Allow],
    ) -> Self {
        let options = Options {
            ifindex: Some(IFINDEX),
            mtu: Some(card.mtu),
            allow: allow.iter().copied().collect::<BTreeSet<_>>(),
            ..Options::default()
        };
        let programs = programs.iter().filter_map(|program| {
            let prepared = program.prepared.as_ref().ok()?;
            let input = as_the_driver_knows(prepared);
            let original = target::Program {
                input: &input,
                frags: program.frags,
            };
            Some(match lower(&original, card, &options) {
                Ok(lowered) => {
                    let input = lowered.layout.input(&lowered.program);
                    (Program::new(&program.name, &input), lowered.share)
                }
                Err(_) => (Program::new(&program.name, &input), None),
            })
        });
        let (programs, shares) = programs.unzip();
        Self {
            title,
            programs,
            shares,
        }
    }
}

/// A program for the kernel of the simulator, Linux 6.12.
fn as_the_driver_knows(prepared: &Prepared) -> Input<'_> {
    let input = prepared.input();
    Input {
        rules: Rules {
            known_lookups: false,
            known_negations: false,
            ..input.rules
        },
        ..input
    }
}

/// Prints what our model of the driver takes, and why not the rest.
pub(crate) fn ask_the_model(stages: &[Stage], profile: &Profile) {
    for stage in stages {
        let mut fitting = 0;
        for (program, share) in stage.programs.iter().zip(&stage.shares) {
            let judgement = judge(program, profile);
            let taken = judgement.as_ref().is_some_and(Judgement::is_accepted);
            let decides = share.is_none_or(|share| share.decided > 0.0);
            if taken && decides {
                fitting += 1;
            } else {
                let blockers = blockers(judgement.as_ref()).join("; ");
                println!("{}: {}: {blockers}", stage.title, program.id);
            }
        }
        println!("{}: {fitting} of {}", stage.title, stage.programs.len());
    }
}

/// The outcomes by profile, stage and program.
pub(crate) fn ask(
    simulator: &Simulator,
    stages: &[Stage],
    profiles: &[Profile],
) -> Result<Vec<Vec<Vec<Outcome>>>, SimulatorError> {
    let all: Vec<Program> = stages
        .iter()
        .flat_map(|stage| stage.programs.iter().cloned())
        .collect();
    let shares: Vec<Option<Share>> = stages
        .iter()
        .flat_map(|stage| stage.shares.iter().copied())
        .collect();
    let answers = simulator.ask(&all, profiles)?;
    let by_profile = profiles.iter().zip(answers).map(|(profile, answers)| {
        let given = all.iter().zip(&shares).zip(answers);
        let mut outcomes = given.map(|((program, &share), answer)| {
            let judgement = judge(program, profile);
            let mut blockers = blockers(judgement.as_ref());
            let differs = difference(&Decision::theirs(&answer), judgement.as_ref(), &blockers);
            let decides = share.is_none_or(|share| share.decided > 0.0);
            if !decides {
                blockers.push("the card decides nothing".to_owned());
            }
            Outcome {
                fits: answer.loaded && answer.attached && decides,
                share,
                differs,
                blockers,
            }
        });
        stages
            .iter()
            .map(|stage| outcomes.by_ref().take(stage.programs.len()).collect())
            .collect()
    });
    Ok(by_profile.collect())
}

fn difference(
    theirs: &Decision,
    judgement: Option<&Judgement>,
    blockers: &[String],
) -> Option<String> {
    let ours = Decision::ours(judgement);
    // Ids of kernel functions are the running kernel's; the simulator's has others.
    let foreign = blockers.iter().any(|blocker| blocker == KERNEL_FUNCTION);
    let same = ours == Decision::Chance
        || theirs.same(&ours)
        || foreign && !theirs.is_accepted()
        || known_difference(theirs, &ours).is_some();
    (!same).then(|| format!("{theirs}; ours: {ours}"))
}
