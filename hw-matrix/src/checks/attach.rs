//! `attach`: a program is attached in just one mode, and detached again.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::nic::Interface;
use super::{Attempt, Report, Stop};
use crate::cell::Cell;
use crate::executor::Output;
use crate::spec::{MapEntry, Mode, Outcome};

/// Time for detaching after a cell's own time is up.
const DETACH_TIME: Duration = Duration::from_secs(30);

pub(super) fn run(
    attempt: &mut Attempt<'_>,
    interface: &Interface,
    cell: &Cell<'_>,
    objects: &Path,
) -> Result<Report, Stop> {
    let Some(program) = cell.program else {
        return Ok(Report::failed("the cell has no program"));
    };
    let ifname = interface.ifname.as_str();
    let object = attempt.put(&objects.join(&program.object))?;
    let mode = match cell.mode {
        Mode::Native => "--native",
        Mode::Generic => "--generic",
        Mode::Offload => "--hw",
    };
    let mut arguments = vec!["attach", &object, ifname, mode, "--no-fallback", "--json"];
    if let Some(prog) = &program.prog {
        arguments.extend(["--prog", prog]);
    }
    let output = match attempt.command("xdp-offload", &arguments) {
        Ok(output) => output,
        Err(Stop::Failed(reason)) => {
            return Ok(Report {
                remedy: Some(format!(
                    "a program may be left there: xdp-offload status {ifname}"
                )),
                ..Report::failed(reason)
            });
        }
        Err(lost) => return Err(lost),
    };
    let attached: Attached = match output.code {
        Some(0 | 3) => match output.json() {
            Ok(attached) => attached,
            Err(reason) => return Ok(Report::failed(reason)),
        },
        _ => return Ok(Report::failed(output.complaint())),
    };
    if let (Some(mode), Some(id)) = (attached.mode, attached.prog_id) {
        let filled = fill(attempt, ifname, &program.maps);
        let mode = mode.name();
        let detach = ["detach", ifname, "--mode", mode, "--id", &id.to_string()];
        let detached = done(attempt.command_within(DETACH_TIME, "xdp-offload", &detach))?;
        if let Err(reason) = detached {
            return Ok(Report::failed(format!(
                "attached, but not detached again: {reason}"
            )));
        }
        if let Err(reason) = filled? {
            return Ok(Report::failed(format!(
                "attached, but a map was not filled: {reason}"
            )));
        }
    }
    Ok(judge(attached, cell.mode))
}

/// Fills the maps of the program that is attached to the interface.
fn fill(
    attempt: &mut Attempt<'_>,
    ifname: &str,
    entries: &[MapEntry],
) -> Result<Result<(), String>, Stop> {
    for MapEntry { map, key, value } in entries {
        let set = ["map", map, "set", key, value, "--dev", ifname];
        let set = done(attempt.command("xdp-offload", &set))?;
        if let Err(reason) = set {
            return Ok(Err(format!("{map}: {reason}")));
        }
    }
    Ok(Ok(()))
}

/// Whether a command did what it should; a host that is lost goes on as that.
fn done(ended: Result<Output, Stop>) -> Result<Result<(), String>, Stop> {
    match ended {
        Ok(output) if output.is_success() => Ok(Ok(())),
        Ok(output) => Ok(Err(output.complaint())),
        Err(Stop::Failed(reason)) => Ok(Err(reason)),
        Err(lost) => Err(lost),
    }
}

/// What `xdp-offload attach --json` said, held against the mode that was asked for.
fn judge(attached: Attached, asked: Mode) -> Report {
    match (attached.mode, attached.prog_id) {
        (Some(mode), Some(_)) if mode == asked => Report {
            outcome: Some(Outcome::Attached),
            ..Report::default()
        },
        (Some(mode), Some(_)) => Report::failed(format!(
            "attached in {} mode though only {} was asked",
            mode.name(),
            asked.name()
        )),
        (None, None) => {
            let last = attached.attempts.into_iter().last();
            let (reason, remedy) = last.map_or((None, None), |last| {
                (last.kernel_message.or(last.reason), last.remedy)
            });
            Report {
                outcome: Some(Outcome::Refused),
                reason,
                remedy,
                ..Report::default()
            }
        }
        _ => Report::failed("xdp-offload names a mode without a program id, or the reverse"),
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
    fn only_the_asked_mode_is_an_attach_and_a_no_has_the_kernels_words() {
        let judged = |json: &str, asked| judge(serde_json::from_str(json).unwrap(), asked);
        let native = r#"{"mode":"native","prog_id":7}"#;
        assert_eq!(
            judged(native, Mode::Native).outcome,
            Some(Outcome::Attached)
        );
        let other = judged(native, Mode::Generic);
        assert_eq!(other.outcome, None);
        assert_eq!(
            other.reason.as_deref(),
            Some("attached in native mode though only generic was asked")
        );
        let refused = r#"{"mode":null,"prog_id":null,"attempts":[{"kernel_message":"too large","reason":"r","remedy":"smaller"}]}"#;
        let refused = judged(refused, Mode::Native);
        assert_eq!(refused.outcome, Some(Outcome::Refused));
        assert_eq!(
            (refused.reason.as_deref(), refused.remedy.as_deref()),
            (Some("too large"), Some("smaller"))
        );
        assert_eq!(
            judged(r#"{"mode":"native","prog_id":null}"#, Mode::Native).outcome,
            None
        );
    }
}
