//! `cargo xtask test`: everything that tells whether the project works, in one run.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Write};
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use support::{Failed, Output};

use crate::demo;
use crate::error::{Error, Result};
use crate::install::{
    self, BPFTOOL, CC, CHROMIUM, CLANG, ETHTOOL, IP, Install, LIBBPF, LLVM_STRIP, PYTHON,
    PYTHON_VENV, SSHD, Tool, XDP_LOADER, XZ, Z3,
};
use crate::lab;
use crate::python;
use crate::samples;
use crate::selftests;
use crate::steps::{cargo, heading, short, show, target_folder};

/// What the tests as a whole use.
const TOOLS: [Tool; 14] = [
    IP,
    ETHTOOL,
    BPFTOOL,
    XDP_LOADER,
    CLANG,
    LLVM_STRIP,
    PYTHON,
    XZ,
    LIBBPF,
    CC,
    Z3,
    SSHD,
    PYTHON_VENV,
    CHROMIUM,
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
    run.step("python packages", lacks(&[PYTHON, PYTHON_VENV]), || {
        python::run(install)
    });
    run.step("build", None, || show(cargo().args(["build", "--quiet"])));
    run.step("test programs", None, || {
        show(cargo().args(["test", "--quiet", "--workspace", "--no-run"]))
    });
    run.step("virtual lab", lab::obstacle(install), || {
        lab::build(install)
    });
    // An emulated machine takes one processor: the other tests run beside it.
    let hardware = thread::spawn(|| {
        let mut words = Vec::new();
        let result = run_tests(&[], &lab::targets(), &mut words);
        (words, result)
    });
    run.step("tests", None, || {
        let targets = targets()?;
        let beside_the_code = ["--lib", "--bins"];
        run_tests(&beside_the_code, &targets, &mut io::stdout())
    });
    run.step("hardware tests", None, || {
        let (words, result) = hardware.join().expect("the thread does not panic");
        // Nobody to print for is no reason to lose the result.
        let _ = io::stdout().write_all(&words);
        result
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

/// The test targets of all crates, without those that use the lab.
fn targets() -> Result<BTreeSet<String>> {
    let output =
        Output::of(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?.ok()?;
    let metadata: serde_json::Value = serde_json::from_str(&output.stdout)
        .map_err(|error| Error::Wrong(format!("cargo metadata: {error}")))?;
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let targets = list(&metadata["packages"]).into_iter();
    Ok(targets
        .flat_map(|package| list(&package["targets"]))
        .filter(|target| list(&target["kind"]).iter().any(|kind| kind == "test"))
        .filter_map(|target| Some(target["name"].as_str()?.to_owned()))
        .filter(|name| !lab::TESTS.contains(&name.as_str()))
        .collect())
}

/// `cargo test` on what `options` select and on test targets. Its output is passed on, and the numbers of its many "test result" lines are
/// added up.
pub(crate) fn run_tests(
    options: &[&str],
    targets: &BTreeSet<String>,
    out: &mut dyn Write,
) -> Result<()> {
    let mut command = cargo();
    command
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(options);
    for target in targets {
        command.args(["--test", target]);
    }
    command
        .env("XDP_BINARIES", target_folder().join("debug"))
        .stdout(Stdio::piped());
    let line = Output::command_line(&command);
    let _ = writeln!(out, "$ {}", short(&line));
    let failed = |how: String| Failed {
        command: line.clone(),
        how,
        words: String::new(),
    };
    let mut child = command
        .spawn()
        .map_err(|error| failed(format!("did not start: {error}")))?;
    let mut sum = Sum::default();
    for line in BufReader::new(child.stdout.take().expect("stdout is piped")).lines() {
        let Ok(line) = line else { break };
        sum.add(&line);
        let _ = writeln!(out, "{line}");
    }
    let status = child
        .wait()
        .map_err(|error| failed(format!("was lost: {error}")))?;
    let _ = writeln!(out, "{} tests passed, {} failed", sum.passed, sum.failed);
    if status.success() {
        Ok(())
    } else {
        Err(failed(format!("ended with {status}")).into())
    }
}

/// What all test binaries together report.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
}

impl Sum {
    /// Adds a line such as "test result: ok. 7 passed; 0 failed; 0 ignored; ...", and no other.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|result| result.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_added() {
        let mut sum = Sum::default();
        sum.add("test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s");
        sum.add("test result: FAILED. 30 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        sum.add("test result_is_parsed ... ok");
        assert_eq!(
            sum,
            Sum {
                passed: 37,
                failed: 2
            }
        );
    }
}
