//! Runs cells, several hosts side by side, and writes down what happens as it happens.
//!
//! ```text
//! scheduler (pure) --which cell--> a worker's session --report--> judge (pure) --> journal, then the observer
//! ```

mod host;
mod judge;
pub mod scheduler;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::cell::Cell;
use crate::checks::Attempt;
use crate::executor::{Executor, Session, SessionError};
use crate::results::{CellResult, HostFacts, Journal, Line, Results, Status};
use crate::spec::{self, Host};

use host::Ready;
use judge::{Ending, judge};
use scheduler::{Next, Scheduler, Task, Then};

/// How often a host may die in one run before its other cells are given up.
pub const MAX_DEATHS: u32 = 3;

/// What is to be run.
#[derive(Debug)]
pub struct Plan<'lab> {
    /// The cells.
    pub cells: Vec<Cell<'lab>>,
    /// The folder that programs' paths are relative to.
    pub objects: PathBuf,
    /// How many hosts run side by side, at least 1.
    pub jobs: usize,
    /// Hosts by name that may die only once: they died or could not be used in earlier runs.
    pub frail: Vec<String>,
    /// What an earlier run found that was cut off and goes on here.
    pub before: Option<Results>,
}

/// What an observer is told.
#[derive(Debug)]
pub enum Event<'a> {
    /// A host is ready, or is not.
    Host(&'a HostFacts),
    /// An attempt at a cell began.
    Started {
        /// The host's name.
        host: &'a str,
        /// The cell's id.
        cell: &'a str,
        /// From 1.
        attempt: u32,
    },
    /// A cell ended.
    Ended(&'a CellResult),
    /// A host runs nothing any more.
    Left {
        /// The host's name.
        host: &'a str,
    },
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Cells in each status, those of the earlier run included.
    pub counts: BTreeMap<Status, usize>,
    /// Whether every cell has a result.
    pub complete: bool,
}

/// Runs the cells. `observer` is told what happens, from several threads but never twice at a time. Once `stop` is set
/// no cell begins any more; those that run may end.
///
/// # Errors
/// If the results cannot be written, after what ran has ended.
pub fn run(
    plan: &Plan<'_>,
    executor: &dyn Executor,
    journal: Journal,
    stop: &AtomicBool,
    observer: &mut (dyn FnMut(Event<'_>) + Send),
) -> io::Result<Summary> {
    let ids: Vec<String> = plan.cells.iter().map(ToString::to_string).collect();
    let mut shared = Shared {
        scheduler: Scheduler::new(Vec::new(), &[]),
        journal,
        observer,
        counts: BTreeMap::new(),
        failure: None,
    };
    let mut run = Layout::default();
    for (index, cell) in plan.cells.iter().enumerate() {
        let before = plan.before.as_ref().and_then(|b| b.cells.get(&ids[index]));
        match (before, cell.excluded) {
            (Some(result), _) if result.status != Status::Interrupted => {
                *shared.counts.entry(result.status).or_insert(0) += 1;
            }
            (Some(result), _) if result.attempts >= 2 => {
                let reason = "the run ended twice while this cell was running";
                shared.record(judge::crash(cell, &ids[index], reason, None));
            }
            (_, Some(why)) => {
                let reason = format!("excluded: {why}");
                shared.record(judge::not_run(cell, &ids[index], Status::Skip, reason));
            }
            _ => run.add(index, cell),
        }
    }
    let deaths: Vec<u32> = run
        .hosts
        .iter()
        .map(|host| {
            let frail = plan.frail.contains(&host.name);
            if frail { 1 } else { MAX_DEATHS }
        })
        .collect();
    shared.scheduler = Scheduler::new(run.tasks, &deaths);
    let total = ids.len();
    let workers = plan.jobs.clamp(1, run.hosts.len().max(1));
    let run = Run {
        plan,
        executor,
        ids,
        hosts: run.hosts,
        cells: run.cells,
        shared: Mutex::new(shared),
        ended: Condvar::new(),
        stop,
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| run.work());
        }
    });
    let mut shared = run
        .shared
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let complete = shared.counts.values().sum::<usize>() == total;
    if complete {
        let counts = shared.counts.clone();
        shared.write(&Line::Done { counts }, true);
    }
    match shared.failure {
        Some(error) => Err(error),
        None => Ok(Summary {
            counts: shared.counts,
            complete,
        }),
    }
}

/// The cells that are left to run, as the scheduler sees them.
#[derive(Default)]
struct Layout<'lab> {
    tasks: Vec<Task>,
    /// For each task the index of its cell.
    cells: Vec<usize>,
    hosts: Vec<&'lab Host>,
    by_name: HashMap<&'lab str, usize>,
    nics: HashMap<String, usize>,
}

impl<'lab> Layout<'lab> {
    fn add(&mut self, index: usize, cell: &Cell<'lab>) {
        let hosts = &mut self.hosts;
        let host = *self.by_name.entry(&cell.host.name).or_insert_with(|| {
            hosts.push(cell.host);
            hosts.len() - 1
        });
        let own = format!("{}/{}", cell.host.name, cell.nic.name);
        let nics = std::iter::once(own)
            .chain(cell.nic.peer.clone())
            .map(|nic| {
                let next = self.nics.len();
                *self.nics.entry(nic).or_insert(next)
            })
            .collect();
        self.tasks.push(Task {
            host,
            nics,
            retry: cell.known_bad.is_none(),
        });
        self.cells.push(index);
    }
}

/// What the workers share behind a lock. Nothing slow happens while it is held.
struct Shared<'a> {
    scheduler: Scheduler,
    journal: Journal,
    observer: &'a mut (dyn FnMut(Event<'_>) + Send),
    counts: BTreeMap<Status, usize>,
    failure: Option<io::Error>,
}

impl Shared<'_> {
    /// A line that cannot be written ends the run: nothing is run that is not written down.
    fn write(&mut self, line: &Line, on_disk: bool) {
        if self.failure.is_some() {
            return;
        }
        let written = if on_disk {
            self.journal.line_on_disk(line)
        } else {
            self.journal.line(line)
        };
        if let Err(error) = written {
            self.failure = Some(error);
            self.scheduler.stop();
        }
    }

    fn record(&mut self, result: CellResult) {
        let line = Line::Result(result);
        self.write(&line, false);
        if let (Line::Result(result), None) = (line, &self.failure) {
            *self.counts.entry(result.status).or_insert(0) += 1;
            (self.observer)(Event::Ended(&result));
        }
    }
}

struct Run<'a, 'lab> {
    plan: &'a Plan<'lab>,
    executor: &'a dyn Executor,
    ids: Vec<String>,
    hosts: Vec<&'lab Host>,
    cells: Vec<usize>,
    shared: Mutex<Shared<'a>>,
    ended: Condvar,
    stop: &'a AtomicBool,
}

impl<'a, 'lab> Run<'a, 'lab> {
    fn lock(&self) -> MutexGuard<'_, Shared<'a>> {
        // A worker that panicked left whole lines behind; the others go on.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One worker: takes host after host until none is left.
    fn work(&self) {
        loop {
            let host = self.lock().scheduler.claim();
            let Some(host) = host else { return };
            self.host(host);
            let name = &self.hosts[host].name;
            (self.lock().observer)(Event::Left { host: name });
        }
    }

    fn host(&self, index: usize) {
        let host = self.hosts[index];
        let opened = self
            .executor
            .open(host)
            .and_then(|mut session| Ok((host::ready(session.as_mut(), host)?, session)));
        match opened {
            Err(error @ SessionError::Unavailable(_)) => {
                self.give_up(index, Status::Skip, &error.to_string(), None);
            }
            Err(error) => self.give_up(index, Status::Error, &error.to_string(), None),
            Ok((ready, mut session)) => {
                if let Some(error) = &ready.facts.error {
                    self.give_up(index, Status::Error, error, Some(&ready.facts));
                } else {
                    self.announce(&ready.facts);
                    self.cells_of(index, session.as_mut(), ready);
                }
                if let Err(error) = session.close() {
                    let facts = HostFacts {
                        host: host.name.clone(),
                        error: Some(format!("not left as it was found: {error}")),
                        ..HostFacts::default()
                    };
                    (self.lock().observer)(Event::Host(&facts));
                }
            }
        }
    }

    fn cells_of(&self, index: usize, session: &mut dyn Session, mut ready: Ready) {
        let host = self.hosts[index];
        let went_down = self.went_down(&ready.facts, host);
        let mut failed: Option<Ending> = None;
        loop {
            let (task, attempt) = match self.next(index) {
                Next::Run { task, attempt } => (task, attempt),
                Next::Wait | Next::Finished => return,
            };
            let cell = &self.plan.cells[self.cells[task]];
            let id = &self.ids[self.cells[task]];
            if went_down && self.was_interrupted(id) {
                let reason =
                    "the host went down while this cell was running in the run that was cut off";
                let mut shared = self.lock();
                shared.record(judge::crash(cell, id, reason, None));
                shared
                    .scheduler
                    .ended(task, attempt, scheduler::Ended::Well);
                self.ended.notify_all();
                continue;
            }
            self.start(host, id, attempt);
            let begun = Instant::now();
            let mut trial = Attempt::new(session, cell.check.timeout);
            let report = trial.run(cell, &self.plan.objects);
            let log = trial.into_log();
            let mut ending = Ending {
                report,
                log,
                kernel_log: None,
                took: begun.elapsed(),
            };
            let how = ending.how(cell);
            match (how, &ending.report) {
                (scheduler::Ended::Badly, _) => {
                    ending.kernel_log = ready.kernel_words(session, begun);
                }
                (_, Err(SessionError::Lost { words, .. })) => ending.kernel_log.clone_from(words),
                _ => {}
            }
            let then = {
                let mut shared = self.lock();
                let then = shared.scheduler.ended(task, attempt, how);
                if then == Then::Again {
                    failed = Some(ending);
                } else {
                    shared.record(judge(cell, id, attempt, failed.take(), ending));
                }
                if let Then::Stopped(left) = &then {
                    let reason = format!(
                        "host {} is not used any more: it died {} times, last in {id}",
                        host.name,
                        shared.scheduler.deaths(index)
                    );
                    for &task in left {
                        let (cell, id) = self.cell(task);
                        shared.record(judge::not_run(cell, id, Status::Skip, reason.clone()));
                    }
                }
                self.ended.notify_all();
                then
            };
            if how != scheduler::Ended::Died || matches!(then, Then::Stopped(_)) {
                continue;
            }
            match session.reset().and_then(|()| host::ready(session, host)) {
                Ok(again) => {
                    ready = again;
                    self.announce(&ready.facts);
                }
                Err(error) => {
                    let reason = format!("it died in {id} and did not come back: {error}");
                    return self.give_up(index, Status::Error, &reason, None);
                }
            }
        }
    }

    fn cell(&self, task: usize) -> (&Cell<'lab>, &str) {
        let index = self.cells[task];
        (&self.plan.cells[index], &self.ids[index])
    }

    /// The host's next cell, when its NICs are free.
    fn next(&self, host: usize) -> Next {
        let mut shared = self.lock();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                shared.scheduler.stop();
            }
            match shared.scheduler.next(host) {
                Next::Wait => {
                    shared = self
                        .ended
                        .wait(shared)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                next => return next,
            }
        }
    }

    fn start(&self, host: &Host, id: &str, attempt: u32) {
        let mut shared = self.lock();
        let line = Line::Started {
            cell: id.to_owned(),
            attempt,
        };
        // Only what runs here can take this machine down.
        let here = matches!(host.executor, spec::Executor::Local { .. });
        shared.write(&line, here);
        (shared.observer)(Event::Started {
            host: &host.name,
            cell: id,
            attempt,
        });
    }

    fn announce(&self, facts: &HostFacts) {
        let mut shared = self.lock();
        shared.write(&Line::Host(facts.clone()), true);
        (shared.observer)(Event::Host(facts));
    }

    /// Every cell that the host has left is an error.
    fn give_up(&self, index: usize, status: Status, why: &str, facts: Option<&HostFacts>) {
        let host = &self.hosts[index].name;
        self.announce(&HostFacts {
            host: host.clone(),
            error: Some(why.to_owned()),
            ..facts.cloned().unwrap_or_default()
        });
        let mut shared = self.lock();
        for task in shared.scheduler.give_up(index) {
            let (cell, id) = self.cell(task);
            let reason = format!("host {host} cannot be used: {why}");
            shared.record(judge::not_run(cell, id, status, reason));
        }
    }

    fn was_interrupted(&self, id: &str) -> bool {
        let before = self.plan.before.as_ref().and_then(|b| b.cells.get(id));
        before.is_some_and(|result| result.status == Status::Interrupted)
    }

    /// Whether the host was booted since the run that was cut off. A virtual machine always is.
    fn went_down(&self, now: &HostFacts, host: &Host) -> bool {
        let before = self.plan.before.as_ref();
        let before = before
            .and_then(|results| results.hosts.get(&host.name))
            .and_then(|facts| facts.boot_id.as_ref());
        !matches!(host.executor, spec::Executor::Vm { .. })
            && before.is_some_and(|before| Some(before) != now.boot_id.as_ref())
    }
}
