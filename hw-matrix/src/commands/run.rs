//! `hw-matrix run`: runs the cells, writes results.jsonl as it goes and the reports at the end.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use super::diff::report_against;
use super::{End, Failure, parse_lab, read_text, select};
use crate::cell::Cell;
use crate::executor::Executors;
use crate::executor::local::Local;
use crate::executor::ssh::Ssh;
use crate::executor::vm::Vm;
use crate::history;
use crate::progress::{self, Progress};
use crate::results::{Header, Journal, Line, Results, SCHEMA, Status};
use crate::runner::{self, Plan, Summary};
use crate::spec::Lab;

/// The copy of the lab file in the folder of results: what the run was begun with.
const LAB_COPY: &str = "lab.toml";

/// Run the cells, several hosts side by side; write results.jsonl as it goes, junit.xml, results.ktap and report.html
/// at the end
///
/// A cell that does not pass is tried once more, and is flaky if it passes then. An attach cell attaches the program in
/// just its mode, never replaces a program that is there already, and detaches what it attached. A first Ctrl-C ends the
/// run after the cells that are running, a second one at once; --resume goes on either way.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hw-matrix run lab.toml --filter mode=generic --out monday --baseline sunday/results.jsonl\n  hw-matrix run --resume monday\n\nExit code 5: a cell failed, or is worse than in the baseline where there is one"
)]
pub(super) struct Arguments {
    /// The lab file
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    lab: Option<PathBuf>,
    /// Go on with a run that was cut off, in this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["filter", "out"])]
    resume: Option<PathBuf>,
    /// Only these cells, as in `list`
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// Folder for the results; made if missing, an earlier result in it is not overwritten
    #[arg(long, value_name = "DIR", default_value = "hw-matrix-results")]
    out: PathBuf,
    /// How many hosts run side by side; a host runs one cell at a time [default: the number of processors]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Compare with an earlier results.jsonl afterwards, as `diff` does [default: the lab file's `baseline`]
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Earlier runs, DIR/*/results.jsonl: shown in report.html; a host that died in each of the last three may die once
    #[arg(long, value_name = "DIR")]
    history: Option<PathBuf>,
    #[command(flatten)]
    tools: Tools,
}

/// Where the programs are that run on the hosts.
#[derive(Debug, Args)]
pub(super) struct Tools {
    /// Folder of xdp-probe and xdp-offload; the folder of this program if they are there, else the search path
    #[arg(long, value_name = "DIR")]
    tools: Option<PathBuf>,
}

impl Tools {
    fn folder(&self) -> PathBuf {
        self.tools.clone().unwrap_or_else(|| {
            std::env::current_exe()
                .ok()
                .and_then(|path| path.parent().map(Path::to_owned))
                .filter(|folder| {
                    folder.join("xdp-probe").exists() && folder.join("xdp-offload").exists()
                })
                .unwrap_or_default()
        })
    }
}

/// A run to be begun, or to be gone on with.
pub(super) struct Job<'a> {
    /// The lab file.
    pub(super) lab_file: PathBuf,
    /// Which of its cells.
    pub(super) filter: Option<String>,
    /// The folder of results.
    pub(super) out: &'a Path,
    /// What was found before the run was cut off.
    pub(super) before: Option<Results>,
    /// How many hosts side by side.
    pub(super) jobs: usize,
    /// Hosts that may die only once.
    pub(super) frail: Vec<String>,
    /// Where the programs are.
    pub(super) tools: &'a Tools,
}

pub(super) fn run(arguments: &Arguments) -> Result<End, Failure> {
    let jobs = arguments.jobs.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        usize::from,
    );
    let history = arguments.history.as_deref();
    let before = arguments.resume.as_deref().map(cut_off).transpose()?;
    // A run that goes on is not its own history.
    let begun = before.as_ref().map(|(_, before)| before.header.started);
    let past = super::report::past(history, begun.unwrap_or(u64::MAX))?;
    let frail = history::frail(&past);
    for host in &frail {
        let _ = writeln!(
            anstream::stderr(),
            "note: host {host} died or could not be used in each of the last runs, and may die only once in this one"
        );
    }
    let (lab_file, filter, before) = if let Some((lab_file, before)) = before {
        (lab_file, before.header.filter.clone(), Some(before))
    } else {
        let lab_file = arguments.lab.clone().unwrap_or_default();
        (lab_file, arguments.filter.clone(), None)
    };
    let out = arguments.resume.as_ref().unwrap_or(&arguments.out);
    let job = Job {
        lab_file,
        filter,
        out,
        before,
        jobs,
        frail,
        tools: &arguments.tools,
    };
    let text = read_text(&job.lab_file)?;
    let lab = parse_lab(&text, &job.lab_file)?;
    // Read before the run: a wrong name should not cost the time of a run.
    let base = match (&arguments.baseline, &lab.baseline) {
        (Some(path), _) => Some(super::diff::read(path)?),
        (None, Some(path)) => {
            let path = folder_of(&job.lab_file).join(path);
            let there = path.exists();
            there.then(|| super::diff::read(&path)).transpose()?
        }
        (None, None) => None,
    };
    let summary = job.run(&text, &lab, Progress::new)?;
    let results = super::diff::read(out)?;
    let past = super::report::past(history, results.header.started)?;
    super::report::write(out, &results, base.as_ref(), &past)?;
    let counts = progress::counts(&summary.counts);
    let path = out.join("results.jsonl");
    writeln!(anstream::stdout(), "{}: {counts}", path.display())?;
    if !summary.complete {
        let done: usize = summary.counts.values().sum();
        return Err(Failure::system(format!(
            "stopped after {done} cells\n  help: hw-matrix run --resume {}",
            out.display()
        )));
    }
    if let Some(base) = base {
        return report_against(&base, &results, false);
    }
    Ok(end_of(&summary))
}

/// How a run ends that is compared with nothing.
pub(super) fn end_of(summary: &Summary) -> End {
    if summary.counts.keys().any(|status| status.is_bad()) {
        End::Regressions
    } else {
        End::Done
    }
}

/// The lab file of a run that was cut off, and what it found.
fn cut_off(folder: &Path) -> Result<(PathBuf, Results), Failure> {
    let before = super::diff::read(&folder.join("results.jsonl"))?;
    let Some(lab_file) = before.header.lab_file.as_ref().map(PathBuf::from) else {
        return Err(Failure::usage(format!(
            "{}: the results do not name their lab file",
            folder.display()
        )));
    };
    if read_text(&folder.join(LAB_COPY))? != read_text(&lab_file)? {
        return Err(Failure::usage(format!(
            "{} is not what the run began with, {}\n  help: begin a new run, or put the old file back",
            lab_file.display(),
            folder.join(LAB_COPY).display()
        )));
    }
    if before.cut_off {
        let _ = writeln!(
            anstream::stderr(),
            "note: the last line of {} was cut off and is left out",
            folder.join("results.jsonl").display()
        );
    }
    Ok((lab_file, before))
}

impl Job<'_> {
    /// Runs the cells; `progress` is made once it is known how many there are.
    pub(super) fn run(
        mut self,
        text: &str,
        lab: &Lab,
        progress: impl FnOnce(usize, usize) -> Progress,
    ) -> Result<Summary, Failure> {
        let cells = select(lab, &self.lab_file, self.filter.as_deref())?;
        if cells.is_empty() {
            return Err(Failure::usage(
                "no cell fits the filter\n  help: `hw-matrix list` shows the cells",
            ));
        }
        let stop = stop_on_signals()?;
        let path = self.out.join("results.jsonl");
        let journal = self.journal(&path, text, lab, &cells)?;
        let done = self.before.as_ref().map_or(0, |before| {
            let ended = |status| status != Status::Interrupted;
            before.cells.values().filter(|r| ended(r.status)).count()
        });
        let mut progress = progress(done, cells.len());
        let executors = Executors {
            local: Local::new(self.tools.folder()),
            ssh: Ssh::new(self.tools.folder(), folder_of(&self.lab_file).to_owned()),
            vm: Vm::new(self.tools.folder()),
            reserve: lab.reserve.clone(),
        };
        let plan = Plan {
            cells,
            objects: folder_of(&self.lab_file).to_owned(),
            jobs: self.jobs,
            frail: std::mem::take(&mut self.frail),
            before: self.before.take(),
        };
        let ended = runner::run(&plan, &executors, journal, &stop, &mut |event| {
            progress.observe(&event);
        });
        progress.end();
        ended.map_err(|error| {
            Failure::system(format!(
                "{}: {error}; what was found so far is in it\n  help: make room, then hw-matrix run --resume {}",
                path.display(),
                self.out.display()
            ))
        })
    }

    /// The results file, begun or gone on with, and beside it the lab file as it is now.
    fn journal(
        &self,
        path: &Path,
        text: &str,
        lab: &Lab,
        cells: &[Cell<'_>],
    ) -> Result<Journal, Failure> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        let opened = if let Some(before) = &self.before {
            Journal::resume(path, before.length).and_then(|mut journal| {
                journal.line_on_disk(&Line::Resumed { at: now })?;
                Ok(journal)
            })
        } else {
            fs::create_dir_all(self.out).map_err(|error| Failure::file(self.out, &error))?;
            let header = Header {
                schema: SCHEMA.to_owned(),
                lab: lab.name.clone(),
                started: now,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                    .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned()),
                lab_file: fs::canonicalize(&self.lab_file)
                    .ok()
                    .map(|path| path.to_string_lossy().into_owned()),
                filter: self.filter.clone(),
                cells: Some(cells.len()),
            };
            Journal::create(path, header).and_then(|journal| {
                fs::write(self.out.join(LAB_COPY), text)?;
                Ok(journal)
            })
        };
        opened.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::usage(format!(
                "{} is there already\n  help: give another --out, or go on with it: hw-matrix run --resume {}",
                path.display(),
                self.out.display()
            )),
            io::ErrorKind::WouldBlock => {
                Failure::usage(format!("{}: another run is writing it", path.display()))
            }
            _ => Failure::file(path, &error),
        })
    }
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// Set by the first Ctrl-C, `kill` or closed terminal; a second one ends this program at once.
fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
