//! `cargo xtask lab`: the virtual lab, and the tests that run in it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use hw_matrix::lab::Lab;

use crate::error::{Error, Result};
use crate::install::{self, Install};
use crate::steps::{cargo, heading, show};
use crate::test::run_tests;

/// The test targets of `tests/Cargo.toml` that use machines of the lab.
pub(crate) const TESTS: [&str; 9] = [
    "caps",
    "equal",
    "fit",
    "lab",
    "lab_matrix",
    "lab_offload",
    "lab_probe",
    "nfp_accept",
    "nfp_attach",
];

/// [`TESTS`], as names.
pub(crate) fn targets() -> BTreeSet<String> {
    TESTS.map(str::to_owned).into()
}

/// Builds the lab, and runs the tests in it.
pub(crate) fn run(install: Install) -> Result<()> {
    heading("virtual lab");
    build(install)?;
    heading("hardware tests");
    show(cargo().args(["build", "--quiet"]))?;
    run_tests(&[], &targets(), &mut std::io::stdout())
}

/// Why the lab cannot be built; none where it is there already.
pub(crate) fn obstacle(install: Install) -> Option<String> {
    if Lab::open().is_ok() {
        None
    } else if install == Install::Never {
        Some("it is not built, and --no-install was given".to_owned())
    } else {
        (!install::is_root()).then(|| "building it needs root here".to_owned())
    }
}

/// Builds the lab where it is not, and says how long it took and how large it is.
pub(crate) fn build(install: Install) -> Result<()> {
    let begun = Instant::now();
    let was_there = Lab::open().is_ok();
    let install = if install == Install::Missing && install::is_root() {
        hw_matrix::lab::Install::Missing
    } else {
        hw_matrix::lab::Install::Never
    };
    let lab = Lab::build(install).map_err(|error| Error::Missing(error.to_string()))?;
    let releases: Vec<String> = lab
        .kernels()
        .iter()
        .filter_map(|kernel| lab.release(kernel).ok())
        .collect();
    println!(
        "Linux {}: {} MB in {}, {}",
        releases.join(" and "),
        size(lab.folder()) / 1_000_000,
        lab.folder().display(),
        if was_there {
            "built before".to_owned()
        } else {
            format!("built in {:.0} s", begun.elapsed().as_secs_f64())
        }
    );
    Ok(())
}

/// What a folder's files take, in bytes.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            Some(if metadata.is_dir() {
                size(&entry.path())
            } else {
                metadata.len()
            })
        })
        .sum()
}
