//! Timing commands from start to exit.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use support::{Failed, Output};

use super::path_of;
use crate::error::{Error, Result, at};
use crate::install::TIME;

/// The durations of one command's runs.
#[derive(Debug, Default)]
pub(super) struct Runs(Vec<Duration>);

impl Runs {
    /// Runs a command, its output thrown away, and keeps how long it took.
    pub(super) fn time(&mut self, command: &mut Command) -> Result<()> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let started = Instant::now();
        let status = command.stderr(Stdio::null()).status();
        let took = started.elapsed();
        let how = match status {
            Ok(status) if status.success() => {
                self.0.push(took);
                return Ok(());
            }
            Ok(status) => format!("ended with {status}"),
            Err(error) => format!("did not start: {error}"),
        };
        Err(Failed {
            command: Output::command_line(command),
            how,
            words: String::new(),
        }
        .into())
    }

    /// Keeps how long something else took.
    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// The shortest duration; zero without runs.
    pub(super) fn least(&self) -> Duration {
        self.0.iter().min().copied().unwrap_or_default()
    }

    /// The middle duration; zero without runs.
    pub(super) fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// A line of a table: name, fastest, median, slowest, number of runs.
    pub(super) fn print(&self, name: &str) {
        let least = self.least();
        let most = self.0.iter().max().copied().unwrap_or_default();
        println!(
            "{name:<28} {:>10} {:>10} {:>10}  {:>4}",
            milliseconds(least),
            milliseconds(self.median()),
            milliseconds(most),
            self.0.len()
        );
    }
}

/// The heading of the lines that [`Runs::print`] prints.
pub(super) fn print_heading() {
    println!(
        "{:<28} {:>10} {:>10} {:>10}  {:>4}",
        "milliseconds", "min", "median", "max", "runs"
    );
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1000.0)
}

/// How long something keeps the calling thread's CPU, the kernel's work for it included: what else a busy machine does
/// is not in it.
pub(super) fn on_cpu<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let now = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let started = now();
    let result = work();
    (result, now().saturating_sub(started))
}

/// How many times the first is the second.
pub(super) fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// The most memory that a command had resident, in MB (1,000,000 bytes), by time(1): wait4(2) would count this process' pages too.
pub(super) fn peak_memory(program: &Path, arguments: &[&str]) -> Result<f64> {
    let report = tempfile::NamedTempFile::new().map_err(at(Path::new("a temporary file")))?;
    Output::of(
        Command::new(path_of(TIME)?)
            .args(["--format=%M", "--output"])
            .arg(report.path())
            .arg(program)
            .args(arguments),
    )?
    .ok()?;
    let text = std::fs::read_to_string(report.path()).map_err(at(report.path()))?;
    text.trim()
        .parse()
        .map(|kibibytes: u32| f64::from(kibibytes) * 1024.0 / 1e6)
        .map_err(|_| Error::Wrong(format!("time(1) reported no memory: {text}")))
}
