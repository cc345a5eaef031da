//! `acceptance`: what `xdp-offload check` says of the card is what happens when the program is attached there.

use serde::Deserialize;

use super::program::{self, Subject};
use super::{Attempt, Report, Stop};
use crate::spec::Outcome;

pub(super) fn run(attempt: &mut Attempt<'_>, subject: &Subject<'_>) -> Result<Report, Stop> {
    let mut check = vec!["check"];
    check.extend(subject.named());
    check.extend(["--dev", subject.ifname(), "--json"]);
    let output = attempt.command("xdp-offload", &check)?;
    // Code 3 is a reasoned no.
    if !matches!(output.code, Some(0 | 3)) {
        return Ok(Report::failed(output.complaint()));
    }
    let check: Check = match output.json() {
        Ok(check) => check,
        Err(reason) => return Ok(Report::failed(reason)),
    };
    let said = check
        .programs
        .first()
        .and_then(|program| program.offload.as_ref());
    let attached = program::attached(attempt, subject, |_, _| Ok(Report::of(Outcome::Held)))?;
    Ok(judge(said.map(|offload| offload.verdict), attached))
}

#[derive(Debug, Deserialize)]
struct Check {
    programs: Vec<Checked>,
}

#[derive(Debug, Deserialize)]
struct Checked {
    /// None where the interface is no card that is modelled.
    offload: Option<Offload>,
}

#[derive(Debug, Deserialize)]
struct Offload {
    verdict: Verdict,
}

/// Whether the card takes the program as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Accept,
    Refuse,
}

/// `attached` is held, refused, or that nothing is known.
fn judge(said: Option<Verdict>, attached: Report) -> Report {
    let found = match (said, attached.outcome) {
        (Some(Verdict::Accept), Some(Outcome::Refused)) => {
            let why = attached.reason.unwrap_or_default();
            return Report {
                remedy: attached.remedy,
                ..Report::wrong(format!("the check says accept, and it is refused: {why}"))
            };
        }
        (Some(Verdict::Accept), Some(Outcome::Held)) => "accept",
        // What is refused as it is may be rewritten on its way to the card.
        (Some(Verdict::Refuse), Some(Outcome::Held)) => "lowered",
        (Some(Verdict::Refuse), Some(Outcome::Refused)) => "refuse",
        (None, Some(Outcome::Held | Outcome::Refused)) => "not modelled",
        _ => return attached,
    };
    Report {
        found: Some(found.to_owned()),
        ..attached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_and_the_card_have_to_agree() {
        let refused = || Report {
            reason: Some("too long".into()),
            ..Report::of(Outcome::Refused)
        };
        let held = || Report::of(Outcome::Held);
        for (said, attached, outcome, found) in [
            (Some(Verdict::Accept), held(), Outcome::Held, Some("accept")),
            (
                Some(Verdict::Refuse),
                held(),
                Outcome::Held,
                Some("lowered"),
            ),
            (
                Some(Verdict::Refuse),
                refused(),
                Outcome::Refused,
                Some("refuse"),
            ),
            (Some(Verdict::Accept), refused(), Outcome::Wrong, None),
            (None, held(), Outcome::Held, Some("not modelled")),
        ] {
            let report = judge(said, attached);
            assert_eq!(report.outcome, Some(outcome), "{said:?}");
            assert_eq!(report.found.as_deref(), found, "{said:?}");
        }
        let wrong = judge(Some(Verdict::Accept), refused());
        assert_eq!(
            wrong.reason.as_deref(),
            Some("the check says accept, and it is refused: too long")
        );
        assert_eq!(judge(None, Report::failed("no")).outcome, None);
    }
}
