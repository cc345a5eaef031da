//! What a person sees while cells run: bars on a terminal, a line a cell elsewhere.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::results::{CellResult, HostFacts, Status};
use crate::runner::Event;

/// How many hosts have a line of their own below the bar.
const MAX_HOSTS: usize = 16;

/// Shows a run.
#[derive(Debug)]
pub enum Progress {
    /// Lines on standard output: for CI, files and pipes.
    Lines {
        /// Cells so far.
        done: usize,
        /// Cells in all.
        total: usize,
    },
    /// Bars on standard error, what did not pass above them.
    Bars(Box<Bars>),
    /// Nothing.
    Silent,
}

/// The bars of a run.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    cells: ProgressBar,
    hosts: BTreeMap<String, ProgressBar>,
    counts: BTreeMap<Status, usize>,
}

impl Progress {
    /// Bars if both streams are a terminal and this is no CI, else lines. `done` of `total` cells have their results.
    pub fn new(done: usize, total: usize) -> Progress {
        let terminal = io::stdout().is_terminal() && io::stderr().is_terminal();
        if !terminal || std::env::var_os("CI").is_some() {
            return Progress::Lines { done, total };
        }
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let cells = all.add(ProgressBar::new(total as u64));
        cells.set_style(style("{bar:32} {pos}/{len} {elapsed}, {eta} left  {msg}"));
        cells.set_position(done as u64);
        cells.enable_steady_tick(Duration::from_secs(1));
        Progress::Bars(Box::new(Bars {
            all,
            cells,
            hosts: BTreeMap::new(),
            counts: BTreeMap::new(),
        }))
    }

    /// Shows what happened. A closed terminal is no reason to end the run: results.jsonl is what counts.
    pub fn observe(&mut self, event: &Event<'_>) {
        match self {
            Progress::Silent => {}
            Progress::Bars(bars) => bars.observe(event),
            Progress::Lines { done, total } => match event {
                Event::Host(facts) if facts.error.is_some() => {
                    let _ = writeln!(anstream::stderr(), "{}", host_line(facts));
                }
                Event::Ended(result) => {
                    *done += 1;
                    let _ = writeln!(anstream::stdout(), "[{done}/{total}] {}", line(result));
                }
                _ => {}
            },
        }
    }

    /// Removes the bars.
    pub fn end(self) {
        if let Progress::Bars(bars) = self {
            let _ = bars.all.clear();
        }
    }
}

impl Bars {
    fn observe(&mut self, event: &Event<'_>) {
        match event {
            Event::Host(facts) => {
                if facts.error.is_some() {
                    let _ = self.all.println(host_line(facts));
                }
            }
            Event::Started {
                host,
                cell,
                attempt,
            } => {
                if self.hosts.len() >= MAX_HOSTS && !self.hosts.contains_key(*host) {
                    return;
                }
                let all = &self.all;
                let bar = self.hosts.entry((*host).to_owned()).or_insert_with(|| {
                    let bar = all.add(ProgressBar::new_spinner());
                    bar.set_style(style("  {elapsed:>4} {wide_msg}"));
                    bar
                });
                bar.reset_elapsed();
                let again = if *attempt > 1 { " (again)" } else { "" };
                bar.set_message(format!("{cell}{again}"));
            }
            Event::Left { host } => {
                if let Some(bar) = self.hosts.remove(*host) {
                    bar.finish_and_clear();
                }
            }
            Event::Ended(result) => {
                *self.counts.entry(result.status).or_insert(0) += 1;
                if result.status.is_bad() || result.status == Status::Flaky {
                    let _ = self.all.println(line(result));
                }
                self.cells.inc(1);
                self.cells.set_message(counts(&self.counts));
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// `5 pass, 1 fail`.
pub fn counts(counts: &BTreeMap<Status, usize>) -> String {
    let words: Vec<String> = counts
        .iter()
        .map(|(status, count)| format!("{count} {}", status.name()))
        .collect();
    words.join(", ")
}

fn host_line(facts: &HostFacts) -> String {
    let error = facts.error.as_deref().unwrap_or("ready");
    format!("host {}: {error}", facts.host)
}

/// One cell: `FAIL id: refused, expected attached: reason`.
pub fn line(result: &CellResult) -> String {
    let mut parts = vec![format!(
        "{} {}",
        result.status.name().to_uppercase(),
        result.cell
    )];
    parts.extend(
        result
            .outcome
            .map(|outcome| match (result.status, result.expected) {
                (Status::Fail | Status::KnownBad, Some(expected)) => {
                    format!("{}, expected {}", outcome.name(), expected.name())
                }
                _ => outcome.name().to_owned(),
            }),
    );
    if result.status == Status::Flaky {
        parts.push("at the second attempt; the first".to_owned());
    }
    parts.extend(result.found.clone());
    parts.extend(result.figure.map(|figure| format!("{:.2}", figure.value)));
    parts.extend(result.reason.clone());
    if let (Status::KnownBad, Some(known)) = (result.status, &result.known_bad) {
        parts.push(format!("known: {known}"));
    }
    let text = parts.join(": ");
    match &result.remedy {
        Some(remedy) if result.status.is_bad() => format!("{text}\n    help: {remedy}"),
        _ => text,
    }
}
