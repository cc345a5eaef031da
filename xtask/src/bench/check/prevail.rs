//! prevail, the polynomial-time verifier, in its Rust form from crates.io.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::super::measure::Runs;
use crate::error::{Error, Result};
use crate::steps::{cargo, show, target_folder};

/// What takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// `xtask/prevail-timer`, whose Cargo.toml names prevail's version.
#[derive(Debug)]
pub(super) struct Prevail(PathBuf);

/// What prevail says of a program.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is safe; the times from its instructions to that verdict.
    Accepts(Runs),
    /// It is not, or this is not a program that it can read.
    Refuses,
    /// It was given up after [`PATIENCE`].
    TooSlow,
}

impl Prevail {
    /// Builds it into `target/prevail`; nothing else of the project carries it.
    pub(super) fn obtain() -> Result<Self> {
        let manifest = support::workspace().join("xtask/prevail-timer/Cargo.toml");
        let target = target_folder().join("prevail");
        let mut build = cargo();
        build.args([
            "build",
            "--release",
            "--quiet",
            "--locked",
            "--manifest-path",
        ]);
        show(build.arg(manifest).arg("--target-dir").arg(&target))?;
        Ok(Self(target.join("release/prevail-timer")))
    }

    /// Verifies a program of an object so many times.
    pub(super) fn verify(
        &self,
        object: &Path,
        section: &str,
        function: &str,
        rounds: usize,
    ) -> Result<Answer> {
        let failed = |source| Error::System {
            what: "prevail-timer",
            source,
        };
        let mut child = Command::new(&self.0)
            .arg(object)
            .args([section, function, &rounds.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let started = Instant::now();
        while child.try_wait().map_err(failed)?.is_none() {
            if started.elapsed() > PATIENCE {
                child.kill().map_err(failed)?;
                child.wait().map_err(failed)?;
                return Ok(Answer::TooSlow);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let output = child.wait_with_output().map_err(failed)?;
        if !output.status.success() {
            return Ok(Answer::Refuses);
        }
        let mut runs = Runs::default();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let microseconds: f64 = line
                .parse()
                .map_err(|_| Error::Wrong(format!("prevail-timer printed {line}")))?;
            runs.add(Duration::from_secs_f64(microseconds / 1e6));
        }
        Ok(Answer::Accepts(runs))
    }
}
