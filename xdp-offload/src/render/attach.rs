//! What came of an attach: a headline, then each rung with why and what to do.

use super::effects;
use crate::output::{BAD, GOOD, NAME, QUIET, styled, wrap};
use anstyle::Style;
use generic_fallback::occupant::Holder;
use generic_fallback::outcome::{Attempt, AttemptResult, Outcome};
use generic_fallback::plan::{Action, Decision, Plan, Wanted};
use kernel::netlink::link::Mode;

/// Where the text behind mode and result starts.
pub(super) const INDENT: usize = 20;

/// One interface's outcome.
pub(crate) fn outcome(outcome: &Outcome, width: usize) -> String {
    let mut out = headline(outcome);
    for attempt in &outcome.attempts {
        out.push_str(&rung(attempt, width));
    }
    out.push_str(&effects::lines(&outcome.ifname, &outcome.effects, width));
    out
}

fn headline(outcome: &Outcome) -> String {
    let ifname = styled(NAME, &outcome.ifname);
    let program = &outcome.program;
    let Some(mode) = outcome.mode else {
        let left = if outcome.effects.changes.is_empty() {
            "; the interface is as it was"
        } else {
            ", and the interface not as it was"
        };
        return format!(
            "{ifname}: {program} is {}{left}\n",
            styled(BAD, "not attached")
        );
    };
    let mut line = format!("{ifname}: {program} runs in {} mode", styled(GOOD, mode));
    if let Some(id) = outcome.program_id {
        line += &format!(", program {id}");
    }
    if let Some(old) = outcome.replaced {
        line += &format!(", in place of program {old}");
    }
    if let Some(link @ Holder::Link { .. }) = &outcome.holder {
        line += &format!(", held by {link}");
    }
    if let Some(beside) = &outcome.beside {
        line += &format!(
            "; what it passes is decided in {} mode, program {}",
            styled(GOOD, beside.mode),
            beside.program_id
        );
        if let Some(old) = beside.replaced {
            line += &format!(", in place of program {old}");
        }
    }
    if outcome.fell_back {
        line += match outcome.wanted {
            Wanted::Best => " (fell back: a better mode did not hold)",
            Wanted::Mode(Mode::Offload) => " (fell back: offload was asked for)",
            Wanted::Mode(Mode::Native) => " (fell back: native was asked for)",
            Wanted::Mode(Mode::Generic) => "",
        };
    }
    line.push('\n');
    line
}

fn rung(attempt: &Attempt, width: usize) -> String {
    let result = match attempt.result {
        AttemptResult::Ok => (GOOD, "held"),
        AttemptResult::Skipped => (QUIET, "left out"),
        AttemptResult::Refused => (BAD, "refused"),
        AttemptResult::Failed => (BAD, "failed"),
    };
    let mut lines = Vec::new();
    if let Some(reason) = &attempt.reason {
        lines.push(match attempt.result {
            AttemptResult::Refused | AttemptResult::Failed => {
                format!("at {}: {reason}", attempt.step)
            }
            AttemptResult::Ok | AttemptResult::Skipped => reason.clone(),
        });
    }
    if let Some(words) = kernel_words(attempt) {
        lines.push(format!("kernel: {words}"));
    }
    lines.extend(
        attempt
            .kernel_log
            .iter()
            .map(|line| format!("kernel log: {line}")),
    );
    if let Some(remedy) = &attempt.remedy {
        lines.push(format!("do: {remedy}"));
    }
    entry(attempt.mode, result, &lines, width)
}

/// The errno and the text, as far as there are any.
fn kernel_words(attempt: &Attempt) -> Option<String> {
    match (&attempt.errno, &attempt.kernel_message) {
        (Some(errno), Some(message)) => Some(format!("{errno}: {message}")),
        (Some(errno), None) if attempt.kernel_log.is_empty() => {
            Some(format!("{errno}, without a word more"))
        }
        (Some(errno), None) => Some(errno.to_string()),
        (None, Some(message)) => Some(message.clone()),
        (None, None) => None,
    }
}

/// `native   refused  at attach: ...`, the lines one below the other.
fn entry(mode: Mode, (style, word): (Style, &str), lines: &[String], width: usize) -> String {
    /// The longest word, "left out".
    const WORD: usize = 8;
    let mut out = format!("  {mode:8} {}", styled(style, word));
    for (number, line) in lines.iter().enumerate() {
        if number == 0 {
            out.extend(std::iter::repeat_n(' ', WORD + 1 - word.len()));
        } else {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', INDENT));
        }
        out.push_str(&wrap(line, INDENT, width));
    }
    out.push('\n');
    out
}

/// What would be tried.
pub(crate) fn plan(ifname: &str, program: &str, plan: &Plan, width: usize) -> String {
    let first = plan
        .rungs
        .iter()
        .find(|rung| matches!(rung.decision, Decision::Try(_)));
    let mut out = match first {
        Some(rung) => format!(
            "{}: {program} would be tried in {} mode first; nothing was changed\n",
            styled(NAME, ifname),
            rung.mode
        ),
        None => format!(
            "{}: {program} would {}; nothing was changed\n",
            styled(NAME, ifname),
            styled(BAD, "not be attached")
        ),
    };
    for rung in &plan.rungs {
        let (result, lines) = match &rung.decision {
            Decision::Try(action) => {
                let mut lines = match action {
                    Action::Add => Vec::new(),
                    Action::Replace(old) => vec![format!("in place of {old}, in one step")],
                    Action::Move(old) => {
                        vec![format!(
                            "beside {old} in {} mode, which then goes",
                            old.mode
                        )]
                    }
                };
                lines.extend(rung.notes.iter().cloned());
                ((GOOD, "try"), lines)
            }
            Decision::Skip { reason, remedy } => {
                let mut lines = vec![reason.clone()];
                lines.extend(remedy.iter().map(|remedy| format!("do: {remedy}")));
                ((QUIET, "leave"), lines)
            }
        };
        out.push_str(&entry(rung.mode, result, &lines, width));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::golden;
    use generic_fallback::effects::Effects;
    use generic_fallback::occupant::Occupant;
    use generic_fallback::outcome::{Beside, Step};
    use generic_fallback::plan::Rung;
    use kernel::Errno;

    fn held(mode: Mode, attempts: Vec<Attempt>) -> Outcome {
        Outcome {
            ifname: "eth0".to_owned(),
            program: "filter".to_owned(),
            wanted: Wanted::Best,
            mode: Some(mode),
            fell_back: false,
            attempts,
            program_id: Some(41),
            replaced: None,
            holder: Some(Holder::Interface),
            beside: None,
            taken_back_for: None,
            effects: Effects::default(),
        }
    }

    fn refused(mode: Mode, step: Step, errno: Errno, message: Option<&str>) -> Attempt {
        Attempt {
            mode,
            step,
            result: AttemptResult::Refused,
            errno: Some(errno),
            kernel_message: message.map(str::to_owned),
            kernel_log: Vec::new(),
            reason: Some(
                "the reason, in a sentence that is long enough to be broken into two lines"
                    .to_owned(),
            ),
            remedy: Some("what helps".to_owned()),
        }
    }

    fn skipped() -> Attempt {
        Attempt::skipped(
            Mode::Offload,
            "e1000e runs no programs in hardware".to_owned(),
            None,
        )
    }

    fn occupant(mode: Mode) -> Occupant {
        Occupant {
            mode,
            program_id: 12,
            name: "old".to_owned(),
            holder: Holder::Interface,
        }
    }

    #[test]
    fn the_best_mode_held() {
        let best = held(
            Mode::Native,
            vec![skipped(), Attempt::held(Mode::Native, None)],
        );
        golden::check("attach-held", &outcome(&best, 80));
    }

    #[test]
    fn a_part_on_the_nic_is_named_with_the_program_beside_it() {
        let made = Attempt {
            reason: Some("rewritten for the NIC at 7 places (--allow split)".to_owned()),
            ..Attempt::held(Mode::Offload, None)
        };
        let both = Outcome {
            beside: Some(Beside {
                mode: Mode::Native,
                program_id: 40,
                replaced: Some(12),
            }),
            ..held(Mode::Offload, vec![made, Attempt::held(Mode::Native, None)])
        };
        golden::check("attach-split", &outcome(&both, 80));
    }

    #[test]
    fn a_fallback_says_what_was_asked_for_and_a_warning_is_shown() {
        let warning = Some("vmxnet3: LRO is not supported with XDP".to_owned());
        let fallback = Outcome {
            wanted: Wanted::Mode(Mode::Offload),
            fell_back: true,
            replaced: Some(12),
            holder: Some(Holder::Link {
                id: 7,
                pin: Some("/sys/fs/bpf/filter/link-eth0".into()),
            }),
            ..held(
                Mode::Native,
                vec![
                    Attempt {
                        kernel_log: vec![
                            "NFP net bpf: Translation failed with error -95 (translated: 3)"
                                .to_owned(),
                        ],
                        ..refused(Mode::Offload, Step::Load, Errno::EINVAL, None)
                    },
                    Attempt::held(Mode::Native, warning),
                ],
            )
        };
        golden::check("attach-fallback", &outcome(&fallback, 80));
    }

    #[test]
    fn nothing_held() {
        let text = Some("Underlying driver does not support XDP in native mode");
        let nothing = Outcome {
            wanted: Wanted::Mode(Mode::Native),
            mode: None,
            program_id: None,
            holder: None,
            ..held(
                Mode::Native,
                vec![
                    refused(Mode::Native, Step::Attach, Errno::EOPNOTSUPP, text),
                    refused(Mode::Generic, Step::Attach, Errno::EBUSY, None),
                ],
            )
        };
        golden::check("attach-nothing-held", &outcome(&nothing, 80));
        golden::check("attach-nothing-held-wide", &outcome(&nothing, 200));
    }

    #[test]
    fn a_plan_tells_what_each_rung_would_do() {
        let rung = |mode, decision| Rung {
            mode,
            decision,
            notes: Vec::new(),
        };
        let three = Plan {
            wanted: Wanted::Best,
            rungs: vec![
                rung(
                    Mode::Offload,
                    Decision::Try(Action::Move(occupant(Mode::Native))),
                ),
                rung(
                    Mode::Native,
                    Decision::Try(Action::Replace(occupant(Mode::Native))),
                ),
                rung(
                    Mode::Generic,
                    Decision::Skip {
                        reason: "native is in the way".to_owned(),
                        remedy: Some("detach it".to_owned()),
                    },
                ),
            ],
        };
        golden::check("attach-plan", &plan("eth0", "filter", &three, 80));
    }
}
