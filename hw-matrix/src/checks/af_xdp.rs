//! `af-xdp-copy` and `af-xdp-zerocopy`: a program attaches in the mode and a socket binds, as the prober has said.

use serde::Deserialize;

use super::nic::Interface;
use super::{Attempt, Report, Stop};
use crate::spec::{Mode, Outcome};

/// `socket` is the trial's name in `xdp-probe try`.
pub(super) fn run(
    attempt: &mut Attempt<'_>,
    interface: &Interface,
    mode: Mode,
    socket: &str,
) -> Result<Report, Stop> {
    // A socket gets its packets from a program, so both have to be possible.
    let only = format!("{},{socket}", mode.name());
    let tried = [
        "try",
        &interface.ifname,
        "--force",
        "--only",
        &only,
        "--json",
    ];
    let output = attempt.command("xdp-probe", &tried)?;
    if !output.is_success() {
        return Ok(Report::failed(output.complaint()));
    }
    Ok(output.json().map_or_else(Report::failed, judge))
}

#[derive(Debug, Deserialize)]
struct Tried {
    trials: Vec<Trial>,
    /// What could not be put back.
    lasting: Vec<Lasting>,
}

#[derive(Debug, Deserialize)]
struct Trial {
    what: String,
    /// "ok", "refused", "vanished" or "skipped".
    result: String,
    kernel_message: Option<String>,
    reason: Option<String>,
    remedy: Option<String>,
    /// What the prober said before.
    foreseen: String,
    /// Whether it was right; none where it did not know.
    agrees: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Lasting {
    what: String,
}

fn judge(tried: Tried) -> Report {
    if let Some(Lasting { what }) = tried.lasting.first() {
        return Report::wrong(format!("{what} is not as it was before"));
    }
    if tried.trials.is_empty() {
        return Report::failed("xdp-probe tried nothing");
    }
    for trial in tried.trials {
        let why = trial.kernel_message.or(trial.reason);
        if trial.agrees == Some(false) {
            let why = why.map_or(String::new(), |why| format!(": {why}"));
            return Report::wrong(format!(
                "{} is {}, and the prober says {}{why}",
                trial.what, trial.result, trial.foreseen
            ));
        }
        match trial.result.as_str() {
            "ok" => {}
            "refused" => {
                return Report {
                    reason: why.map(|why| format!("{}: {why}", trial.what)),
                    remedy: trial.remedy,
                    ..Report::of(Outcome::Refused)
                };
            }
            other => {
                let why = why.unwrap_or_default();
                return Report::failed(format!("{} {other}: {why}", trial.what));
            }
        }
    }
    Report::of(Outcome::Held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(trials: &str) -> Report {
        let text = format!(r#"{{"trials":[{trials}],"lasting":[]}}"#);
        judge(serde_json::from_str(&text).unwrap())
    }

    fn trial(what: &str, result: &str, foreseen: &str, agrees: &str) -> String {
        format!(
            r#"{{"what":"{what}","result":"{result}","kernel_message":null,"reason":"because","remedy":"do","foreseen":"{foreseen}","agrees":{agrees}}}"#
        )
    }

    #[test]
    fn the_prober_and_the_bind_have_to_agree() {
        let native = trial("native", "ok", "yes", "true");
        let bound = trial("af-xdp-zerocopy", "ok", "unknown", "null");
        assert_eq!(
            judged(&format!("{native},{bound}")).outcome,
            Some(Outcome::Held)
        );
        let refused = judged(&trial("af-xdp-zerocopy", "refused", "no", "true"));
        assert_eq!(refused.outcome, Some(Outcome::Refused));
        assert_eq!(refused.reason.as_deref(), Some("af-xdp-zerocopy: because"));
        assert_eq!(refused.remedy.as_deref(), Some("do"));
        let wrong = judged(&format!(
            "{native},{}",
            trial("af-xdp-copy", "refused", "yes", "false")
        ));
        assert_eq!(wrong.outcome, Some(Outcome::Wrong));
        assert_eq!(
            wrong.reason.as_deref(),
            Some("af-xdp-copy is refused, and the prober says yes: because")
        );
        let gone = judged(&trial("native", "vanished", "yes", "null"));
        assert_eq!(gone.outcome, None);
        assert_eq!(judged("").outcome, None);
    }
}
