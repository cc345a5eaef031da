//! Packages of the Python Package Index that tests run, in an environment of their own.

use std::fs;
use std::process::Command;

use crate::error::{Result, at};
use crate::install::{Install, PYTHON, PYTHON_VENV, require};
use crate::steps::{show, target_folder};

/// What reads our JUnit and KTAP, and what reserves places: the peers of tests.
const PACKAGES: [&str; 3] = ["labgrid==26.0.1", "junitparser==4.0.2", "tap.py==3.2.1"];

/// Makes the environment, `target/python`, unless it is there.
pub(crate) fn run(install: Install) -> Result<()> {
    let folder = target_folder().join("python");
    let stamp = folder.join("packages");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        println!("{} is up to date", folder.display());
        return Ok(());
    }
    require(&[PYTHON, PYTHON_VENV], install)?;
    show(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    show(
        Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(PACKAGES),
    )?;
    fs::write(&stamp, wanted).map_err(at(&stamp))
}
