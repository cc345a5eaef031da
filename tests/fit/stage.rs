//! The same programs, as they are and as the compiler leaves them.

use nfp_target::accept::Judgement;
use nfp_target::profile::Profile;
use tests::nfpsim::{Decision, Program, Simulator, SimulatorError, judge, known_difference};
use tests::real_programs::RealProgram;

use crate::blocker::{KERNEL_FUNCTION, blockers};

/// What was done to the programs.
pub(crate) struct Stage {
    /// The head of a column.
    pub(crate) title: &'static str,
    /// Each program afterwards.
    pub(crate) programs: Vec<Program>,
}

/// What became of a program on a card.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The driver loads and attaches it.
    pub(crate) fits: bool,
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
        Self {
            title: "as it is",
            programs: programs.collect(),
        }
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
    let answers = simulator.ask(&all, profiles)?;
    let by_profile = profiles.iter().zip(answers).map(|(profile, answers)| {
        let mut outcomes = all.iter().zip(answers).map(|(program, answer)| {
            let judgement = judge(program, profile);
            let blockers = blockers(judgement.as_ref());
            Outcome {
                fits: answer.loaded && answer.attached,
                differs: difference(&Decision::theirs(&answer), judgement.as_ref(), &blockers),
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
