//! `bench machines`: hw-matrix on 1, 2 and 4 machines of the virtual lab side by side.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hw_matrix::results;
use support::{Output, workspace};

use crate::error::{Error, Result};

/// Cells of four machines, all NICs of one kernel.
const CELLS: &str =
    "host=*-612 & (check=probe | check=attach & mode=generic & (program=pass | program=drop))";

/// The same cells each time; a run's time is that from its start to its reports, boots included.
pub(super) fn run(programs: &Path) -> Result<()> {
    let folder = tempfile::tempdir().map_err(|error| Error::Wrong(error.to_string()))?;
    let folder = folder.path();
    let lab_file = folder.join("lab.toml");
    let committed = workspace().join("hw-matrix/examples/virtual-lab/lab.toml");
    let corpus = workspace().join("tests/corpus").display().to_string();
    let text = read(&committed)?.replace("../../../tests/corpus", &corpus);
    fs::write(&lab_file, text).map_err(|error| Error::Wrong(error.to_string()))?;

    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{processors} processors here; {CELLS}");
    let mut alone = None;
    for jobs in [1, 2, 4] {
        let out = folder.join(format!("jobs-{jobs}"));
        let mut command = Command::new(programs.join("hw-matrix"));
        command.arg("run").arg(&lab_file).arg("--out").arg(&out);
        command.args(["--filter", CELLS, "--jobs", &jobs.to_string()]);
        let begun = Instant::now();
        Output::of(&mut command)?.ok()?;
        let took = begun.elapsed();
        let ran = results::read(read(&out.join("results.jsonl"))?.as_bytes())
            .map_err(|error| Error::Wrong(error.to_string()))?;
        let cells = u32::try_from(ran.cells.len()).unwrap_or(u32::MAX).max(1);
        let within: u64 = ran.cells.values().map(|cell| cell.duration_ms).sum();
        let alone = *alone.get_or_insert(took);
        println!(
            "{jobs} side by side: {:.0} s for {cells} cells, {:.2} s a cell ({:.2} s in it), speed-up {:.2}",
            took.as_secs_f64(),
            (took / cells).as_secs_f64(),
            (Duration::from_millis(within) / cells).as_secs_f64(),
            alone.div_duration_f64(took)
        );
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Error::Wrong(format!("{}: {error}", path.display())))
}
