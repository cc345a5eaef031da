//! What is asked of a host before its first cell, and its kernel's words afterwards.

use std::time::{Duration, Instant};

use crate::executor::{Command, Session, SessionError};
use crate::filter::glob_matches;
use crate::results::HostFacts;
use crate::spec::Host;

/// Time for each of these small commands.
const LIMIT: Duration = Duration::from_secs(30);
/// Time for each command of the lab file that prepares a host.
const PREPARE: Duration = Duration::from_mins(1);
/// Most of the kernel's words that are kept of a cell, in bytes.
const MAX_WORDS: usize = 16 << 10;

/// A host that can be asked.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) facts: HostFacts,
    /// The host's uptime in seconds, and when it was that.
    uptime: Option<(f64, Instant)>,
}

/// Asks for kernel release, boot id and uptime, and prepares the host. A kernel that the lab file does not mean, and a
/// preparation that fails, are errors in the facts.
pub(super) fn ready(session: &mut dyn Session, host: &Host) -> Result<Ready, SessionError> {
    let files = [
        "/proc/sys/kernel/osrelease",
        "/proc/sys/kernel/random/boot_id",
        "/proc/uptime",
    ];
    let output = session.run(&Command::new("cat", files, LIMIT))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let mut line = || lines.next().map(|line| line.trim().to_owned());
    let (kernel, boot_id, uptime) = (line(), line(), line());
    let uptime = uptime
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .map(|seconds| (seconds, Instant::now()));
    let error = match (&kernel, &host.release) {
        (None, _) => Some(format!(
            "it does not tell its kernel: {}",
            output.complaint()
        )),
        (Some(runs), Some(meant)) if !glob_matches(meant, runs) => Some(format!(
            "it runs Linux {runs}, and the lab file says {meant}"
        )),
        _ => prepare(session, host)?,
    };
    Ok(Ready {
        facts: HostFacts {
            host: host.name.clone(),
            kernel,
            boot_id,
            error,
        },
        uptime,
    })
}

/// Why the host is not ready for its cells; none if it is.
fn prepare(session: &mut dyn Session, host: &Host) -> Result<Option<String>, SessionError> {
    for line in &host.prepare {
        let command = Command::new("sh", ["-c", line], PREPARE);
        let why = match session.run(&command) {
            Ok(output) if output.is_success() => continue,
            Ok(output) => output.complaint(),
            Err(SessionError::Command(reason)) => reason,
            Err(error) => return Err(error),
        };
        return Ok(Some(format!("not prepared, by `{line}`: {why}")));
    }
    Ok(None)
}

impl Ready {
    /// What the kernel logged since `begun`; nothing if that cannot be had.
    pub(super) fn kernel_words(&self, session: &mut dyn Session, begun: Instant) -> Option<String> {
        let (seconds, at) = self.uptime?;
        let since = seconds + begun.saturating_duration_since(at).as_secs_f64();
        let no_arguments: [&str; 0] = [];
        let output = session
            .run(&Command::new("dmesg", no_arguments, LIMIT))
            .ok()
            .filter(|output| output.is_success() || !output.stdout.is_empty())?;
        logged_since(&String::from_utf8_lossy(&output.stdout), since)
    }
}

/// The lines of `dmesg` from `since` on, in seconds of uptime; of many the last ones. Lines without a time belong to
/// the one before.
fn logged_since(dmesg: &str, since: f64) -> Option<String> {
    // /proc/uptime counts hundredths.
    let since = since - 0.01;
    let time = |line: &str| -> Option<f64> {
        let (time, _) = line.strip_prefix('[')?.split_once(']')?;
        time.trim().parse().ok()
    };
    let mut at = None;
    let mut offset = 0;
    for line in dmesg.split_inclusive('\n') {
        if time(line).is_some_and(|time| time >= since) {
            at = Some(offset);
            break;
        }
        offset += line.len();
    }
    let mut words = dmesg[at?..].trim_end();
    if words.len() > MAX_WORDS {
        let mut from = words.len() - MAX_WORDS;
        while !words.is_char_boundary(from) {
            from += 1;
        }
        words = &words[from..];
    }
    (!words.is_empty()).then(|| words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_those_of_the_cell() {
        let dmesg = "[    0.000000] Linux\n[  100.50] before\n[  101.20] igb: XDP\n  and more\n";
        assert_eq!(
            logged_since(dmesg, 101.2).as_deref(),
            Some("[  101.20] igb: XDP\n  and more")
        );
        assert_eq!(logged_since(dmesg, 200.0), None);
        assert_eq!(logged_since("", 0.0), None);
        let long = format!("[ 5.0] {}\n", "ü".repeat(MAX_WORDS));
        assert!(logged_since(&long, 1.0).unwrap().len() <= MAX_WORDS);
    }
}
