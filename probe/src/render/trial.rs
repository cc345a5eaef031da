//! `try`: what was tried and what came out, as text and as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::json::{AfXdp, Answer, ModeName, Modes};
use super::paint;
use super::show::Page;
use crate::facts::{Facts, Snapshot};
use crate::judge::Support;
use crate::settings;
use crate::trial::{self, Outcome, Report};

/// `try --json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Try<'a> {
    /// "xdp-probe/try/v1".
    pub schema: &'static str,
    /// The running kernel's release.
    pub kernel: &'a str,
    /// The network namespace that was asked for with --netns; null for the caller's own.
    pub netns: Option<&'a str>,
    /// Interface name.
    pub ifname: &'a str,
    /// Driver name.
    pub driver: Option<&'a str>,
    /// In the order in which they were made.
    pub trials: Vec<Trial>,
    /// What could not be put back; empty if all is as it was.
    pub lasting: Vec<Change>,
    /// The verdicts, proved.
    pub modes: Modes,
    /// The verdicts about AF_XDP, proved.
    pub af_xdp: AfXdp,
    /// The best mode that held.
    pub best: Option<ModeName>,
}

const VANISHED: &str =
    "the interface is not there any more: unplugged, deleted, or its driver unloaded";

/// One trial.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Trial {
    /// "native", "native-frags", "generic", "offload", "af-xdp-copy", "af-xdp-zerocopy".
    pub what: &'static str,
    /// How it ended.
    pub result: TrialResult,
    /// What was refused: "load", "attach", "bind"; at which step it vanished: also "observe", "detach".
    pub step: Option<&'static str>,
    /// The kernel's errno.
    pub errno: Option<i32>,
    /// The kernel's text, of a refusal or about a success.
    pub kernel_message: Option<String>,
    /// Why it was refused or skipped.
    pub reason: Option<String>,
    /// What to do.
    pub remedy: Option<String>,
    /// The verdict from before the trial.
    pub foreseen: Answer,
    /// Whether that was right; null where there was none, or nothing was tried.
    pub agrees: Option<bool>,
    /// What was different meanwhile.
    pub changes: Vec<Change>,
}

/// How a trial ended.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrialResult {
    /// It worked.
    Ok,
    /// The kernel refused.
    Refused,
    /// The interface went away meanwhile.
    Vanished,
    /// It was not tried.
    Skipped,
}

/// A setting that took another value.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Change {
    /// Which.
    pub what: &'static str,
    /// Before.
    pub from: String,
    /// Then.
    pub to: String,
}

impl From<settings::Change> for Change {
    fn from(change: settings::Change) -> Self {
        Self {
            what: change.what,
            from: change.from,
            to: change.to,
        }
    }
}

impl<'a> Try<'a> {
    /// The report of one interface.
    pub fn new(
        snapshot: &'a Snapshot,
        netns: Option<&'a str>,
        facts: &'a Facts,
        report: Report,
    ) -> Self {
        let verdicts = report.verdicts;
        Self {
            schema: "xdp-probe/try/v1",
            kernel: &snapshot.host.release.text,
            netns,
            ifname: &facts.link.name,
            driver: facts.driver_name(),
            trials: report.trials.into_iter().map(Trial::from).collect(),
            lasting: report.lasting.into_iter().map(Change::from).collect(),
            best: verdicts.best().map(ModeName::from),
            modes: Modes {
                native: verdicts.native.into(),
                generic: verdicts.generic.into(),
                offload: verdicts.offload.into(),
            },
            af_xdp: AfXdp {
                copy: verdicts.xsk_copy.into(),
                zerocopy: verdicts.xsk_zerocopy.into(),
            },
        }
    }
}

impl From<trial::Trial> for Trial {
    fn from(trial: trial::Trial) -> Self {
        let mut json = Self {
            what: trial.what.name(),
            result: TrialResult::Ok,
            step: None,
            errno: None,
            kernel_message: None,
            reason: None,
            remedy: None,
            foreseen: match trial.foreseen {
                Support::Yes { .. } => Answer::Yes,
                Support::No { .. } => Answer::No,
                Support::Unknown { .. } => Answer::Unknown,
            },
            agrees: trial.agrees(),
            changes: trial.changes.into_iter().map(Change::from).collect(),
        };
        match trial.outcome {
            Outcome::Held { warning } => json.kernel_message = warning,
            Outcome::Refused {
                step,
                refusal,
                explanation,
            } => {
                json.result = TrialResult::Refused;
                json.step = Some(step.name());
                json.errno = Some(refusal.errno.0);
                json.kernel_message = refusal.ext_ack;
                json.reason = Some(explanation.reason);
                json.remedy = explanation.remedy;
            }
            Outcome::Vanished { step } => {
                json.result = TrialResult::Vanished;
                json.step = Some(step.name());
                json.reason = Some(VANISHED.to_owned());
            }
            Outcome::Skipped { why } => {
                json.result = TrialResult::Skipped;
                json.reason = Some(why);
            }
        }
        json
    }
}

/// The report for people.
pub fn page(facts: &Facts, report: &Report, width: Option<u16>) -> String {
    let mut page = Page::new(width);
    page.heading(&format!("{} ({})", facts.link.name, facts.driver_label()));
    for trial in &report.trials {
        let unforeseen = if trial.agrees() == Some(false) {
            " (not foreseen)"
        } else {
            ""
        };
        let what = trial.what.name();
        match &trial.outcome {
            Outcome::Held { warning } => {
                page.line(what, &format!("{}{unforeseen}", paint::good("ok")));
                if let Some(warning) = warning {
                    page.line("", &format!("the kernel says: {warning}"));
                }
            }
            Outcome::Refused {
                step,
                refusal,
                explanation,
            } => {
                page.line(
                    what,
                    &format!("{} at {}{unforeseen}", paint::bad("refused"), step.name()),
                );
                let said = refusal
                    .ext_ack
                    .as_ref()
                    .map_or_else(String::new, |text| format!(": {text}"));
                page.line("", &explanation.reason);
                page.line("", &format!("kernel: {}{said}", refusal.errno));
                if let Some(remedy) = &explanation.remedy {
                    page.line("", &format!("to do: {remedy}"));
                }
            }
            Outcome::Vanished { step } => {
                let what_happened = format!("{} at {}", paint::bad("vanished"), step.name());
                page.line(what, &what_happened);
                page.line("", VANISHED);
            }
            Outcome::Skipped { why } => {
                page.line(what, &format!("{}: {why}", paint::doubtful("skipped")));
            }
        }
        for change in &trial.changes {
            page.line("", &format!("meanwhile {change}"));
        }
    }
    if report.trials.iter().any(trial::Trial::vanished) {
        page.line("afterwards", "the interface is gone");
    } else if report.lasting.is_empty() {
        page.line("afterwards", "everything is as it was");
    }
    for change in &report.lasting {
        page.line("not restored", &change.to_string());
    }
    let best = report.verdicts.best();
    page.line(
        "best mode",
        &best.map_or_else(|| "none".to_owned(), |mode| paint::bold(&mode.to_string())),
    );
    paint::finish(&page.text)
}
