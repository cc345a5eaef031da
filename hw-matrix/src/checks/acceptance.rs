//! `acceptance`: what `xdp-offload check` says of the card is what its driver says of the program as it is.

use serde::Deserialize;

use super::program::{self, Subject};
use super::{Attempt, Report, Stop};
use crate::spec::Outcome;

/// Why nothing is compared.
const NO_SAY: &str = "`xdp-offload check` does not say whether this NIC takes the program";

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
    let Some(Offload { verdict }) = said else {
        return Ok(Report::skipped(NO_SAY));
    };
    let held = |_: &mut Attempt<'_>, _: &mut u32| Ok(Report::of(Outcome::Held));
    let as_it_is = program::attached_with(attempt, subject, &["--as-is"], held)?;
    let report = judge(*verdict, as_it_is);
    if report.outcome != Some(Outcome::Refused) {
        return Ok(report);
    }
    // What is refused as it is may be rewritten on its way to the card.
    let attached = program::attached(attempt, subject, held)?;
    Ok(match attached.outcome {
        Some(Outcome::Held) => found("lowered", attached),
        Some(Outcome::Refused) => found("refuse", attached),
        _ => attached,
    })
}

#[derive(Debug, Deserialize)]
struct Check {
    programs: Vec<Checked>,
}

#[derive(Debug, Deserialize)]
struct Checked {
    /// None where the interface is no card that is modelled, or the program has what is not.
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

/// The driver's word on the program as it is, `driver`, beside ours: held, refused, or that nothing is known.
fn judge(said: Verdict, driver: Report) -> Report {
    match (said, driver.outcome) {
        (Verdict::Accept, Some(Outcome::Refused)) => {
            let why = driver.reason.unwrap_or_default();
            Report {
                remedy: driver.remedy,
                ..Report::wrong(format!("the check says accept, and it is refused: {why}"))
            }
        }
        (Verdict::Refuse, Some(Outcome::Held)) => {
            Report::wrong("the check says refuse, and the card takes it")
        }
        (Verdict::Accept, Some(Outcome::Held)) => found("accept", driver),
        _ => driver,
    }
}

/// Where the attach held or was refused, what that comes to.
fn found(what: &str, report: Report) -> Report {
    match report.outcome {
        Some(Outcome::Held | Outcome::Refused) => Report {
            found: Some(what.to_owned()),
            ..report
        },
        _ => report,
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
        for (said, driver, outcome, found) in [
            (Verdict::Accept, held(), Outcome::Held, Some("accept")),
            (Verdict::Refuse, refused(), Outcome::Refused, None),
            (Verdict::Accept, refused(), Outcome::Wrong, None),
            (Verdict::Refuse, held(), Outcome::Wrong, None),
        ] {
            let report = judge(said, driver);
            assert_eq!(report.outcome, Some(outcome), "{said:?}");
            assert_eq!(report.found.as_deref(), found, "{said:?}");
        }
        let wrong = judge(Verdict::Accept, refused());
        assert_eq!(
            wrong.reason.as_deref(),
            Some("the check says accept, and it is refused: too long")
        );
    }

    #[test]
    fn what_failed_finds_nothing() {
        let failed = found("lowered", judge(Verdict::Refuse, Report::failed("no")));
        assert_eq!((failed.outcome, failed.found), (None, None));
        let held = found("lowered", Report::of(Outcome::Held));
        assert_eq!(held.found.as_deref(), Some("lowered"));
    }
}
