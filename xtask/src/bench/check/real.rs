//! The programs at hand: the largest one by one, all as a geometric mean.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::super::judge;
use super::super::measure::{Runs, ratio};
use super::prevail::{Answer, Prevail};
use super::programs::{Found, KernelTimes, Subject};
use crate::error::{Error, Result};
use crate::steps::target_folder;

/// Rows of the table: the largest by instructions that the kernel followed.
const SHOWN: usize = 10;
const ROUNDS: usize = 7;
/// prevail takes seconds for some.
const PREVAIL_ROUNDS: usize = 3;
/// At most this share of the faster one.
const AIM: f64 = 0.5;

/// The times of one program.
struct Row {
    ours: Duration,
    command: Duration,
    load: Duration,
    verification: Duration,
    prevail: Option<Duration>,
    prevail_says: &'static str,
}

pub(super) fn run(release: &Path, prevail: &Prevail) -> Result<()> {
    let mut found = Found::default();
    for object in objects() {
        found.add(&object)?;
    }
    let Found {
        mut subjects,
        only_kernel,
    } = found;
    if subjects.is_empty() {
        return Err(Error::Missing(
            "the kernel takes none of the programs at hand".to_owned(),
        ));
    }
    subjects.sort_by_key(|subject| std::cmp::Reverse((subject.followed, subject.insns)));
    let mut rows = Vec::new();
    for subject in &subjects {
        rows.push(measure(subject, release, prevail)?);
    }
    println!(
        "{} programs; {only_kernel} more call kernel functions or have what else we do not model\n\
         milliseconds, medians of {ROUNDS} runs ({PREVAIL_ROUNDS} of prevail). verify, load and prevail are CPU time:\n\
         verify: our library call on the linked program\n\
         load: the BPF_PROG_LOAD system call of the same instructions without a log; the JIT is in it\n\
         prevail: its library call on the same program; \"-\" where it does not take it\n\
         verifies: what the kernel tells as its time of verification in a load (the least, by the wall's clock)\n\
         check: the whole xdp-offload check process, by the wall's clock\n",
        subjects.len()
    );
    println!(
        "{:<44} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7}",
        "program",
        "insns",
        "followed",
        "verify",
        "load",
        "verifies",
        "prevail",
        "check",
        "/load",
        "/verif."
    );
    for (subject, row) in subjects.iter().zip(&rows).take(SHOWN) {
        row.print(subject);
    }
    summary(&rows);
    Ok(())
}

/// Objects of the corpus, of Debian's xdp-tools and of `cargo xtask selftests`.
fn objects() -> Vec<PathBuf> {
    let folders = [
        support::workspace().join("tests/corpus"),
        "/usr/lib/x86_64-linux-gnu/bpf".into(),
        "/usr/lib/aarch64-linux-gnu/bpf".into(),
        target_folder().join("selftests/objects"),
    ];
    let mut objects: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"))
        .collect();
    objects.sort();
    objects
}

/// We and the kernel take turns, so that what else the machine does meets both alike.
fn measure(subject: &Subject, release: &Path, prevail: &Prevail) -> Result<Row> {
    let (mut ours, mut command) = (Runs::default(), Runs::default());
    let mut kernel = KernelTimes::default();
    for _ in 0..ROUNDS {
        ours.add(subject.verify());
        subject.load(&mut kernel)?;
        command.time(
            Command::new(release.join("xdp-offload"))
                .arg("check")
                .arg(&subject.object)
                .args(["--prog", &subject.name]),
        )?;
    }
    let answer = prevail.verify(
        &subject.object,
        &subject.section,
        &subject.name,
        PREVAIL_ROUNDS,
    )?;
    let (prevail, prevail_says) = match answer {
        Answer::Accepts(runs) => (Some(runs.median()), ""),
        Answer::Refuses => (None, "-"),
        Answer::TooSlow => (None, ">20 s"),
    };
    Ok(Row {
        ours: ours.median(),
        command: command.median(),
        load: kernel.load.median(),
        verification: kernel.verification.least(),
        prevail,
        prevail_says,
    })
}

impl Row {
    fn print(&self, subject: &Subject) {
        let object = subject.object.file_stem().unwrap_or_default();
        let name = format!("{} {}", object.display(), subject.name);
        let prevail = self.prevail.map_or(self.prevail_says.to_owned(), precise);
        println!(
            "{name:<44} {:>6} {:>8} {:>8} {:>8} {:>8} {prevail:>8} {:>8} {:>7.2} {:>7.2}",
            subject.insns,
            subject.followed,
            precise(self.ours),
            precise(self.load),
            precise(self.verification),
            precise(self.command),
            ratio(self.ours, self.load),
            ratio(self.ours, self.verification),
        );
    }

    /// Our time as a share of the faster one's, the load counted whole.
    fn share(&self) -> f64 {
        let faster = self.prevail.map_or(self.load, |took| took.min(self.load));
        ratio(self.ours, faster)
    }
}

/// Milliseconds to the microsecond.
fn precise(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1000.0)
}

fn summary(rows: &[Row]) {
    let mean = |share: &dyn Fn(&Row) -> Option<f64>| {
        let logs: Vec<f64> = rows.iter().filter_map(share).map(f64::ln).collect();
        let mean = (logs.iter().sum::<f64>() / f64::from(logs.len() as u32)).exp();
        (mean, logs.len())
    };
    println!("\nour verification as a share of the others', geometric means:");
    let (load, count) = mean(&|row| Some(ratio(row.ours, row.load)));
    println!("  of BPF_PROG_LOAD            {load:.3} ({count} programs)");
    let measurable =
        |row: &Row| (!row.verification.is_zero()).then(|| ratio(row.ours, row.verification));
    let (verification, count) = mean(&measurable);
    println!("  of the kernel's verification {verification:.3} ({count} programs)");
    let (prevail, count) = mean(&|row| row.prevail.map(|took| ratio(row.ours, took)));
    println!("  of prevail's analysis       {prevail:.3} ({count} programs)");
    let (command, count) = mean(&|row| Some(ratio(row.command, row.load)));
    println!("  the whole check process, of BPF_PROG_LOAD: {command:.2} ({count} programs)\n");
    let largest = rows[0].share();
    judge(
        "largest program, share of the faster one",
        largest,
        "at most 0.5",
        largest <= AIM,
    );
    let (all, _) = mean(&|row| Some(row.share()));
    judge(
        "all programs, share of the faster one",
        all,
        "at most 0.5",
        all <= AIM,
    );
}
