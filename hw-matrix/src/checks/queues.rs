//! `queues`: at each number of channels the program is attached and detached.

use serde::Deserialize;

use super::nic;
use super::program::{self, RESTORE_TIME, Subject};
use super::{Attempt, Report, Stop};
use crate::executor::Output;
use crate::spec::Outcome;

/// The numbers that are tried, and the most that there can be.
const NUMBERS: [u32; 3] = [1, 2, 4];

pub(super) fn run(attempt: &mut Attempt<'_>, subject: &Subject<'_>) -> Result<Report, Stop> {
    let ifname = subject.ifname();
    let list = nic::list(attempt, Some(ifname))?;
    let channels = list.first().and_then(|interface| interface.channels);
    let Some((before, kind)) = channels.and_then(|channels| Some((channels, channels.kind()?)))
    else {
        return Ok(Report::skipped("its driver has no channels to set"));
    };
    let swept = sweep(attempt, subject, before, kind);
    if let Err(Stop::Lost(error)) = swept {
        return Err(Stop::Lost(error));
    }
    let set = kind.set(ifname, before.now(kind));
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    let restored = attempt.command_within(RESTORE_TIME, "ethtool", &set)?;
    let swept = swept?;
    Ok(match swept {
        // Nothing was set, so there is nothing to put back.
        Swept::Unsettable(reason) => Report::skipped(reason),
        _ if !is_set(&restored) => Report::failed(format!(
            "the channels of {ifname} are not as before: {}",
            restored.complaint()
        )),
        Swept::Steps(steps) => judge(&steps),
        Swept::Failed(report) => report,
    })
}

/// Channels as `xdp-probe list` tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Channels {
    rx: Count,
    tx: Count,
    combined: Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Count {
    now: u32,
    max: u32,
}

/// How a driver counts its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Each receives and sends.
    Combined,
    /// Those that receive and those that send apart.
    Apart,
}

impl Channels {
    /// None where there is just one, or they cannot be counted.
    fn kind(self) -> Option<Kind> {
        if self.combined.max > 1 {
            Some(Kind::Combined)
        } else {
            (self.rx.max > 1 && self.tx.max > 1).then_some(Kind::Apart)
        }
    }

    fn most(self, kind: Kind) -> u32 {
        match kind {
            Kind::Combined => self.combined.max,
            Kind::Apart => self.rx.max.min(self.tx.max),
        }
    }

    fn now(self, kind: Kind) -> (u32, u32) {
        match kind {
            Kind::Combined => (self.combined.now, self.combined.now),
            Kind::Apart => (self.rx.now, self.tx.now),
        }
    }
}

impl Kind {
    /// The arguments of ethtool that set the numbers of channels that receive and send.
    fn set(self, ifname: &str, (rx, tx): (u32, u32)) -> Vec<String> {
        let (rx, tx) = (rx.to_string(), tx.to_string());
        let numbers: &[&str] = match self {
            Kind::Combined => &["combined", &rx],
            Kind::Apart => &["rx", &rx, "tx", &tx],
        };
        let all = ["-L", ifname].into_iter().chain(numbers.iter().copied());
        all.map(ToOwned::to_owned).collect()
    }
}

/// ethtool ends with an error, too, where the number is as it was already.
fn is_set(output: &Output) -> bool {
    let said = |words: &str| String::from_utf8_lossy(&output.stderr).contains(words);
    output.is_success() || said("unmodified") || said("no channel parameters changed")
}

/// What was found at one number of channels.
#[derive(Debug)]
struct Step {
    channels: u32,
    /// The refusal, if it was one.
    refused: Option<Report>,
}

enum Swept {
    Steps(Vec<Step>),
    /// The driver sets no number at all.
    Unsettable(String),
    /// The first step that went wrong.
    Failed(Report),
}

fn sweep(
    attempt: &mut Attempt<'_>,
    subject: &Subject<'_>,
    before: Channels,
    kind: Kind,
) -> Result<Swept, Stop> {
    let mut steps = Vec::new();
    let mut refusal = None;
    for channels in numbers(before.most(kind)) {
        let set = kind.set(subject.ifname(), (channels, channels));
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        let output = attempt.command("ethtool", &set)?;
        if !is_set(&output) {
            refusal.get_or_insert(output.complaint());
            continue;
        }
        let report = program::attached(attempt, subject, |_, _| Ok(Report::of(Outcome::Held)))?;
        let refused = match report.outcome {
            Some(Outcome::Held) => None,
            Some(Outcome::Refused) => Some(report),
            _ => return Ok(Swept::Failed(report)),
        };
        steps.push(Step { channels, refused });
    }
    Ok(match refusal {
        Some(reason) if steps.is_empty() => Swept::Unsettable(reason),
        _ => Swept::Steps(steps),
    })
}

fn numbers(most: u32) -> Vec<u32> {
    let fitting = NUMBERS.into_iter().filter(|&number| number < most);
    fitting.chain([most]).collect()
}

/// `1, 2, not 4, 8`.
fn judge(steps: &[Step]) -> Report {
    let numbers = |held: bool| {
        let steps = steps.iter().filter(|step| step.refused.is_none() == held);
        let numbers: Vec<String> = steps.map(|step| step.channels.to_string()).collect();
        numbers.join(", ")
    };
    let (held, refused) = (numbers(true), numbers(false));
    match steps.first() {
        None => Report::skipped("no number of channels can be set"),
        Some(first) if held.is_empty() => first.refused.clone().unwrap_or_default(),
        Some(_) => Report {
            found: Some(match refused.as_str() {
                "" => held,
                refused => format!("{held}, not {refused}"),
            }),
            ..Report::of(Outcome::Held)
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_held_is_found_and_what_did_not_is_named() {
        let refusal = || {
            Some(Report {
                reason: Some("too many".into()),
                ..Report::of(Outcome::Refused)
            })
        };
        let step = |channels, refused| Step { channels, refused };
        let some = judge(&[step(1, None), step(2, None), step(8, refusal())]);
        assert_eq!(some.outcome, Some(Outcome::Held));
        assert_eq!(some.found.as_deref(), Some("1, 2, not 8"));
        let none = judge(&[step(1, refusal()), step(2, refusal())]);
        assert_eq!(none.outcome, Some(Outcome::Refused));
        assert_eq!(none.reason.as_deref(), Some("too many"));
        assert!(judge(&[]).skipped);
    }

    #[test]
    fn channels_are_set_as_the_driver_counts_them() {
        let count = |now, max| Count { now, max };
        let channels = |rx, tx, combined| Channels { rx, tx, combined };
        let none = count(0, 0);
        let igb = channels(none, none, count(2, 8));
        let veth = channels(count(1, 4), count(1, 2), none);
        assert_eq!(igb.kind(), Some(Kind::Combined));
        assert_eq!(numbers(igb.most(Kind::Combined)), [1, 2, 4, 8]);
        assert_eq!(veth.kind(), Some(Kind::Apart));
        assert_eq!(numbers(veth.most(Kind::Apart)), [1, 2]);
        assert_eq!(
            Kind::Apart.set("v", veth.now(Kind::Apart)),
            ["-L", "v", "rx", "1", "tx", "1"]
        );
        assert_eq!(
            Kind::Combined.set("i", (4, 4)),
            ["-L", "i", "combined", "4"]
        );
        assert_eq!(channels(none, none, count(1, 1)).kind(), None);
    }
}
