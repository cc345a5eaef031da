//! `cargo xtask test`: everything that tells whether the project works, in one run.

use std::process::Command;
use std::time::Instant;

use crate::demo;
use crate::error::{Error, Result};
use crate::install::{
    self, BPFTOOL, CLANG, ETHTOOL, IP, Install, LLVM_STRIP, PYTHON, Tool, XDP_LOADER, XZ,
};
use crate::samples;
use crate::selftests;
use crate::steps::{cargo, heading, show, target_folder};

/// What the tests as a whole use.
const TOOLS: [Tool; 8] = [
    IP, ETHTOOL, BPFTOOL, XDP_LOADER, CLANG, LLVM_STRIP, PYTHON, XZ,
];

/// Runs all of it. A step that fails does not keep the next ones from running; a step that cannot run is skipped
/// with its reason, which is a failure where `CI=true`.
pub(crate) fn run(install: Install) -> Result<()> {
    let mut run = Run {
        started: Instant::now(),
        passed: 0,
        failed: Vec::new(),
        skipped: Vec::new(),
    };
    let missing = install::ensure(&TOOLS, install)?;
    let lacks = |tools: &[Tool]| {
        let reasons: Vec<String> = missing
            .iter()
            .filter(|(tool, _)| tools.contains(tool))
            .map(|(_, reason)| reason.clone())
            .collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    };

    run.step("formatting", None, || {
        show(cargo().args(["fmt", "--all", "--check"]))
    });
    run.step("lints", None, || {
        show(
            cargo()
                .args(["clippy", "--quiet", "--workspace", "--all-targets"])
                .args(["--", "-D", "warnings"]),
        )
    });
    run.step("samples", lacks(&[CLANG, LLVM_STRIP]), || {
        samples::run(true, Install::Never)
    });
    run.step(
        "kernel selftests",
        lacks(&[CLANG, BPFTOOL, PYTHON, XZ]),
        || selftests::run(install),
    );
    run.step("build", None, || show(cargo().args(["build", "--quiet"])));
    run.step("tests", None, || show(&mut test_command()));
    run.step("documentation tests", None, || {
        show(cargo().args(["test", "--quiet", "--workspace", "--doc"]))
    });
    let no_demo = lacks(&[IP]).or_else(|| (!install::is_root()).then(|| "needs root".to_owned()));
    run.step("demo", no_demo, || demo::run(Install::Never));
    run.end()
}

/// What has happened so far.
struct Run {
    started: Instant,
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Run {
    fn step(&mut self, name: &str, obstacle: Option<String>, work: impl FnOnce() -> Result<()>) {
        heading(name);
        if let Some(reason) = obstacle {
            println!("skipped: {reason}");
            self.skipped.push(format!("{name}: {reason}"));
            return;
        }
        match work() {
            Ok(()) => self.passed += 1,
            Err(error) => {
                println!("failed: {error}");
                self.failed.push(format!("{name}: {error}"));
            }
        }
    }

    fn end(mut self) -> Result<()> {
        heading("Summary");
        if std::env::var("CI").as_deref() == Ok("true") {
            self.failed.append(&mut self.skipped);
        }
        for reason in &self.skipped {
            println!("skipped  {reason}");
        }
        for reason in &self.failed {
            println!("failed   {reason}");
        }
        println!(
            "{} steps passed, {} failed, {} skipped, in {:.0} s",
            self.passed,
            self.failed.len(),
            self.skipped.len(),
            self.started.elapsed().as_secs_f64()
        );
        if self.failed.is_empty() {
            Ok(())
        } else {
            Err(Error::Wrong("not everything passed".into()))
        }
    }
}

/// nextest where it is installed, cargo's own runner otherwise.
fn test_command() -> Command {
    let mut command = cargo();
    if install::find("cargo-nextest").is_some() {
        command.args(["nextest", "run", "--no-fail-fast"]);
    } else {
        command.args(["test", "--quiet", "--no-fail-fast"]);
    }
    command
        .args(["--workspace", "--all-targets"])
        .env("XDP_BINARIES", target_folder().join("debug"));
    command
}
