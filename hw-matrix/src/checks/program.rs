//! The cell's program on the interface: attached in just the cell's mode, its maps filled, and taken off again whatever
//! happens meanwhile.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::nic::Interface;
use super::{Attempt, Report, Stop};
use crate::cell::Cell;
use crate::executor::Output;
use crate::spec::{MapEntry, Mode, Outcome, Program};

/// Time for putting something back after a cell's own time is up.
pub(super) const RESTORE_TIME: Duration = Duration::from_secs(30);

/// What a check works with.
pub(super) struct Subject<'a> {
    pub(super) interface: &'a Interface,
    pub(super) cell: &'a Cell<'a>,
    pub(super) program: &'a Program,
    /// The folder that the program's paths are relative to.
    pub(super) folder: &'a Path,
    /// The object on the host.
    pub(super) object: String,
}

impl Subject<'_> {
    pub(super) fn ifname(&self) -> &str {
        &self.interface.ifname
    }

    /// The object and which of its programs, as every command takes them.
    pub(super) fn named(&self) -> Vec<&str> {
        let prog = self.program.prog.as_deref();
        std::iter::once(self.object.as_str())
            .chain(prog.into_iter().flat_map(|prog| ["--prog", prog]))
            .collect()
    }
}

/// Attaches the program, fills its maps, does what is to be done with its id, which that may change, and detaches it.
/// Where it is not attached, why not is the report.
pub(super) fn attached(
    attempt: &mut Attempt<'_>,
    subject: &Subject<'_>,
    meanwhile: impl FnOnce(&mut Attempt<'_>, &mut u32) -> Result<Report, Stop>,
) -> Result<Report, Stop> {
    attached_with(attempt, subject, &[], meanwhile)
}

/// The same, with further options of `xdp-offload attach`.
pub(super) fn attached_with(
    attempt: &mut Attempt<'_>,
    subject: &Subject<'_>,
    options: &[&str],
    meanwhile: impl FnOnce(&mut Attempt<'_>, &mut u32) -> Result<Report, Stop>,
) -> Result<Report, Stop> {
    let mut id = match attach(attempt, subject, options)? {
        Attach::Held(id) => id,
        Attach::Not(report) => return Ok(report),
    };
    let report = match fill(attempt, subject) {
        Ok(Ok(())) => meanwhile(attempt, &mut id),
        Ok(Err(reason)) => Ok(Report::failed(format!(
            "attached, but a map was not filled: {reason}"
        ))),
        Err(stop) => Err(stop),
    };
    if let Err(Stop::Lost(error)) = report {
        return Err(Stop::Lost(error));
    }
    match detach(attempt, subject.ifname(), subject.cell.mode, id)? {
        Ok(()) => report,
        Err(reason) => {
            let reason = format!("attached, but not detached again: {reason}");
            Ok(match report {
                // Somebody else took it off: what that did is the better reason.
                Ok(Report {
                    outcome: Some(Outcome::Wrong),
                    reason: Some(wrong),
                    ..
                }) => Report::wrong(format!("{wrong}; {reason}")),
                _ => Report::failed(reason),
            })
        }
    }
}

/// What an attach came to.
#[derive(Debug, PartialEq)]
pub(super) enum Attach {
    /// The program is there, with this id.
    Held(u32),
    /// It is not, and this is why.
    Not(Report),
}

/// Attaches the program, with further options of `xdp-offload attach`.
pub(super) fn attach(
    attempt: &mut Attempt<'_>,
    subject: &Subject<'_>,
    options: &[&str],
) -> Result<Attach, Stop> {
    let (ifname, asked) = (subject.ifname(), subject.cell.mode);
    let flag = match asked {
        Mode::Native => "--native",
        Mode::Generic => "--generic",
        Mode::Offload => "--hw",
    };
    let mut arguments = vec![
        "attach",
        &subject.object,
        ifname,
        flag,
        "--no-fallback",
        "--json",
    ];
    arguments.extend(&subject.named()[1..]);
    arguments.extend(options);
    let output = match attempt.command("xdp-offload", &arguments) {
        Ok(output) => output,
        Err(Stop::Failed(reason)) => {
            return Ok(Attach::Not(Report {
                remedy: Some(format!(
                    "a program may be left there: xdp-offload status {ifname}"
                )),
                ..Report::failed(reason)
            }));
        }
        Err(lost) => return Err(lost),
    };
    let said: Attached = match output.code {
        Some(0 | 3) => match output.json() {
            Ok(said) => said,
            Err(reason) => return Ok(Attach::Not(Report::failed(reason))),
        },
        _ => return Ok(Attach::Not(Report::failed(output.complaint()))),
    };
    let other = said
        .mode
        .zip(said.prog_id)
        .filter(|(mode, _)| *mode != asked);
    if let Some((mode, id)) = other
        && let Err(reason) = detach(attempt, ifname, mode, id)?
    {
        let reason = format!("attached in {} mode, and left there: {reason}", mode.name());
        return Ok(Attach::Not(Report::failed(reason)));
    }
    Ok(judge(said, asked))
}

/// Detaches a program, also after the cell's time is up.
pub(super) fn detach(
    attempt: &mut Attempt<'_>,
    ifname: &str,
    mode: Mode,
    id: u32,
) -> Result<Result<(), String>, Stop> {
    let id = id.to_string();
    let detach = ["detach", ifname, "--mode", mode.name(), "--id", &id];
    done(attempt.command_within(RESTORE_TIME, "xdp-offload", &detach))
}

/// Fills the maps of the program that is attached to the interface.
fn fill(attempt: &mut Attempt<'_>, subject: &Subject<'_>) -> Result<Result<(), String>, Stop> {
    for MapEntry { map, key, value } in &subject.program.maps {
        let mut set = vec!["map", map, "set", key, value, "--dev", subject.ifname()];
        if subject.cell.mode == Mode::Offload && !(is_plain(key) && is_plain(value)) {
            // The kernel keeps a NIC's maps without their types; an object may have none, either.
            set.extend(["--object", &subject.object]);
        }
        let set = done(attempt.command("xdp-offload", &set))?;
        if let Err(reason) = set {
            return Ok(Err(format!("{map}: {reason}")));
        }
    }
    Ok(Ok(()))
}

/// Whether a key or value is a number or bytes, which have no need of a type.
fn is_plain(text: &str) -> bool {
    text.starts_with("hex:") || text.starts_with("0x") || text.parse::<i128>().is_ok()
}

/// As `xdp-offload` takes a time.
pub(super) fn duration(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{}s", time.as_secs())
    } else {
        format!("{}ms", time.as_millis())
    }
}

/// Whether a command did what it should; a host that is lost goes on as that.
pub(super) fn done(ended: Result<Output, Stop>) -> Result<Result<(), String>, Stop> {
    match ended {
        Ok(output) if output.is_success() => Ok(Ok(())),
        Ok(output) => Ok(Err(output.complaint())),
        Err(Stop::Failed(reason)) => Ok(Err(reason)),
        Err(lost) => Err(lost),
    }
}

/// What `xdp-offload attach --json` said, held against the mode that was asked for.
fn judge(said: Attached, asked: Mode) -> Attach {
    match (said.mode, said.prog_id) {
        (Some(mode), Some(id)) if mode == asked => Attach::Held(id),
        (Some(mode), Some(_)) => Attach::Not(Report::failed(format!(
            "attached in {} mode though only {} was asked",
            mode.name(),
            asked.name()
        ))),
        (None, None) => {
            let last = said.attempts.into_iter().last();
            let (reason, remedy) = last.map_or((None, None), |last| {
                (last.kernel_message.or(last.reason), last.remedy)
            });
            Attach::Not(Report {
                reason,
                remedy,
                ..Report::of(Outcome::Refused)
            })
        }
        _ => Attach::Not(Report::failed(
            "xdp-offload names a mode without a program id, or the reverse",
        )),
    }
}

#[derive(Debug, Deserialize)]
struct Attached {
    mode: Option<Mode>,
    prog_id: Option<u32>,
    #[serde(default)]
    attempts: Vec<Rung>,
}

#[derive(Debug, Deserialize)]
struct Rung {
    kernel_message: Option<String>,
    reason: Option<String>,
    remedy: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_and_names_need_types() {
        for (text, plain) in [
            ("53", true),
            ("-1", true),
            ("0x1f", true),
            ("hex:0a0b", true),
            ("{\"port\": 53}", false),
            ("XDP_DROP", false),
        ] {
            assert_eq!(is_plain(text), plain, "{text}");
        }
    }

    #[test]
    fn only_the_asked_mode_is_an_attach_and_a_no_has_the_kernels_words() {
        let judged = |json: &str, asked| judge(serde_json::from_str(json).unwrap(), asked);
        let not = |json: &str, asked| match judged(json, asked) {
            Attach::Not(report) => report,
            Attach::Held(id) => panic!("program {id}"),
        };
        let native = r#"{"mode":"native","prog_id":7}"#;
        assert_eq!(judged(native, Mode::Native), Attach::Held(7));
        let other = not(native, Mode::Generic);
        assert_eq!(other.outcome, None);
        assert_eq!(
            other.reason.as_deref(),
            Some("attached in native mode though only generic was asked")
        );
        let refused = r#"{"mode":null,"prog_id":null,"attempts":[{"kernel_message":"too large","reason":"r","remedy":"smaller"}]}"#;
        let refused = not(refused, Mode::Native);
        assert_eq!(refused.outcome, Some(Outcome::Refused));
        assert_eq!(
            (refused.reason.as_deref(), refused.remedy.as_deref()),
            (Some("too large"), Some("smaller"))
        );
        let neither = not(r#"{"mode":"native","prog_id":null}"#, Mode::Native);
        assert_eq!(neither.outcome, None);
    }
}
