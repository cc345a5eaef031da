//! `mtu`: at each MTU the program is attached and detached, and the prober is asked. What it says has to be what the
//! kernel does.

use std::fmt::Write as _;

use serde::Deserialize;

use super::nic::{self, Peer, SupportWord};
use super::program::{self, RESTORE_TIME, Subject, done};
use super::{Attempt, Report, Stop};
use crate::spec::Outcome;

pub(super) fn run(attempt: &mut Attempt<'_>, subject: &Subject<'_>) -> Result<Report, Stop> {
    // The limit of a veth is that of its peer's MTU, and a cable has one MTU.
    let peer = match nic::peer(attempt, subject.cell, subject.interface)? {
        Peer::Interface(peer) => Some(peer),
        Peer::None | Peer::OutOfReach(_) => None,
    };
    let mut ends = vec![End::find(attempt, subject.ifname())?];
    if let Some(peer) = &peer {
        ends.push(End::find(attempt, peer)?);
    }
    let swept = sweep(attempt, subject, &ends);
    if let Err(Stop::Lost(error)) = swept {
        return Err(Stop::Lost(error));
    }
    for end in &ends {
        let set = end.set(end.link.mtu);
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        if let Err(reason) = done(attempt.command_within(RESTORE_TIME, "ip", &set))? {
            return Ok(Report::failed(format!(
                "the MTU of {} is not {} again: {reason}",
                end.name, end.link.mtu
            )));
        }
    }
    let steps = match swept? {
        Ok(steps) => steps,
        Err(report) => return Ok(report),
    };
    let frags = steps.iter().any(Step::is_above_the_probers_limit) && has_frags(attempt, subject)?;
    Ok(judge(&steps, frags))
}

/// One end of the cable.
struct End<'a> {
    name: &'a str,
    link: Link,
}

/// What `ip -json -details link` says of an interface.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Link {
    mtu: u32,
    #[serde(default)]
    min_mtu: u32,
    /// 0 for no limit.
    #[serde(default)]
    max_mtu: u32,
}

impl End<'_> {
    fn find<'a>(attempt: &mut Attempt<'_>, name: &'a str) -> Result<End<'a>, Stop> {
        let (netns, ifname) = nic::netns(name);
        let mut show = netns.clone();
        show.extend(["-json", "-details", "link", "show", "dev", ifname]);
        let output = attempt.command("ip", &show)?;
        if !output.is_success() {
            return Err(Stop::Failed(output.complaint()));
        }
        match output.json::<Vec<Link>>().map_err(Stop::Failed)?[..] {
            [link] => Ok(End { name, link }),
            _ => Err(Stop::Failed(format!("ip shows no link {name}"))),
        }
    }

    fn takes(&self, mtu: u32) -> bool {
        let most = match self.link.max_mtu {
            0 => u32::MAX,
            most => most,
        };
        (self.link.min_mtu..=most).contains(&mtu)
    }

    /// The command that gives it an MTU.
    fn set(&self, mtu: u32) -> Vec<String> {
        let (netns, ifname) = nic::netns(self.name);
        let mtu = mtu.to_string();
        netns
            .into_iter()
            .chain(["link", "set", "dev", ifname, "mtu", &mtu])
            .map(ToOwned::to_owned)
            .collect()
    }
}

/// What was found at one MTU.
#[derive(Debug)]
struct Step {
    mtu: u32,
    prober: SupportWord,
    /// Why the prober says it.
    says: Option<String>,
    /// The refusal, if it was one.
    refused: Option<Report>,
}

impl Step {
    fn is_above_the_probers_limit(&self) -> bool {
        self.prober == SupportWord::No && self.refused.is_none()
    }
}

/// All steps, or the report of the first that went wrong.
fn sweep(
    attempt: &mut Attempt<'_>,
    subject: &Subject<'_>,
    ends: &[End<'_>],
) -> Result<Result<Vec<Step>, Report>, Stop> {
    let mut steps = Vec::new();
    'mtus: for &mtu in &subject.cell.check.options.mtus {
        for end in ends {
            let set = end.set(mtu);
            let set: Vec<&str> = set.iter().map(String::as_str).collect();
            // An interface refuses some of those that it is said to take; then there is nothing to attach at.
            if !end.takes(mtu) || !attempt.command("ip", &set)?.is_success() {
                continue 'mtus;
            }
        }
        let list = nic::list(attempt, Some(subject.ifname()))?;
        let Some(interface) = list.first() else {
            let reason = format!("xdp-probe does not list {}", subject.ifname());
            return Ok(Err(Report::failed(reason)));
        };
        let support = interface.modes.of(subject.cell.mode);
        let report = program::attached(attempt, subject, |_, _| Ok(Report::of(Outcome::Held)))?;
        let refused = match report.outcome {
            Some(Outcome::Held) => None,
            Some(Outcome::Refused) => Some(report),
            _ => return Ok(Err(report)),
        };
        steps.push(Step {
            mtu,
            prober: support.word,
            says: support.reason.clone(),
            refused,
        });
    }
    Ok(Ok(steps))
}

/// Whether the program takes packets of several buffers: the prober's limits are those of programs that do not.
fn has_frags(attempt: &mut Attempt<'_>, subject: &Subject<'_>) -> Result<bool, Stop> {
    #[derive(Deserialize)]
    struct Check {
        programs: Vec<Program>,
    }
    #[derive(Deserialize)]
    struct Program {
        section: String,
    }
    let mut check = vec!["check", "--json"];
    check.extend(subject.named());
    let output = attempt.command("xdp-offload", &check)?;
    let check: Check = output.json().map_err(Stop::Failed)?;
    // The section's name says it (libbpf's section table).
    Ok(check
        .programs
        .iter()
        .any(|program| program.section.starts_with("xdp.frags")))
}

fn judge(steps: &[Step], frags: bool) -> Report {
    let held = |step: &&Step| step.refused.is_none();
    if !steps.iter().any(|step| step.refused.is_none()) {
        return match steps.first() {
            Some(first) => first.refused.clone().unwrap_or_default(),
            None => Report::skipped("the interface takes none of the MTUs"),
        };
    }
    let said = |words: &Option<String>| words.as_ref().map_or(String::new(), |w| format!(": {w}"));
    let wrong = steps
        .iter()
        .find_map(|step| match (&step.refused, step.prober) {
            (None, SupportWord::No) if !frags => Some(format!(
                "at MTU {} it is attached, and the prober says no{}",
                step.mtu,
                said(&step.says)
            )),
            (Some(refused), SupportWord::Yes) => Some(format!(
                "at MTU {} it is refused, and the prober says yes{}",
                step.mtu,
                said(&refused.reason)
            )),
            _ => None,
        });
    Report {
        found: Some(ranges(steps, held)),
        ..match wrong {
            Some(reason) => Report::wrong(reason),
            None => Report::of(Outcome::Held),
        }
    }
}

/// `1280..3506, 9000`: from the first to the last of MTUs beside each other.
fn ranges(steps: &[Step], held: impl Fn(&&Step) -> bool) -> String {
    let mut text = String::new();
    for range in steps.split(|step| !held(&step)) {
        let (Some(first), Some(last)) = (range.first(), range.last()) else {
            continue;
        };
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{}", first.mtu);
        if range.len() > 1 {
            let _ = write!(text, "..{}", last.mtu);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(mtu: u32, prober: SupportWord, refused: Option<&str>) -> Step {
        Step {
            mtu,
            prober,
            says: Some("too large".into()),
            refused: refused.map(|reason| Report {
                reason: Some(reason.into()),
                ..Report::of(Outcome::Refused)
            }),
        }
    }

    #[test]
    fn the_prober_has_to_say_what_the_kernel_does() {
        use SupportWord::{No, Unknown, Yes};
        let agreed = [
            step(1500, Yes, None),
            step(3506, Unknown, None),
            step(3507, No, Some("EINVAL")),
            step(9000, Unknown, Some("EINVAL")),
        ];
        let report = judge(&agreed, false);
        assert_eq!(report.outcome, Some(Outcome::Held));
        assert_eq!(report.found.as_deref(), Some("1500..3506"));

        let too_strict = [step(1500, Yes, None), step(2000, No, None)];
        let report = judge(&too_strict, false);
        assert_eq!(report.outcome, Some(Outcome::Wrong));
        assert_eq!(
            report.reason.as_deref(),
            Some("at MTU 2000 it is attached, and the prober says no: too large")
        );
        assert_eq!(judge(&too_strict, true).outcome, Some(Outcome::Held));

        let too_lenient = [
            step(1500, Yes, None),
            step(2000, Yes, Some("EINVAL")),
            step(3000, Yes, None),
        ];
        let report = judge(&too_lenient, true);
        assert_eq!(
            report.reason.as_deref(),
            Some("at MTU 2000 it is refused, and the prober says yes: EINVAL")
        );
        assert_eq!(report.found.as_deref(), Some("1500, 3000"));

        // What is refused at every MTU is refused for another reason.
        let never = [step(1500, Yes, Some("no such helper"))];
        let report = judge(&never, false);
        assert_eq!(report.outcome, Some(Outcome::Refused));
        assert_eq!(report.reason.as_deref(), Some("no such helper"));
        assert!(judge(&[], false).skipped);
    }
}
