//! `cargo xtask`: what would be shell scripts elsewhere. `cargo xtask demo` shows the main job on this kernel,
//! `cargo xtask test` runs every test.

mod bench;
mod demo;
mod error;
mod install;
mod lab;
mod man;
mod python;
mod samples;
mod selftests;
mod steps;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bench::Benchmark;
use crate::install::Install;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
    /// Do without what is not installed: what needs it is skipped, with the reason printed
    #[arg(long, global = true)]
    no_install: bool,
}

#[derive(Subcommand)]
enum Task {
    /// Probe, check, attach, count, replace and detach on a veth pair in a namespace of its own
    Demo,
    /// Run every test: formatting, lints, unit and end-to-end tests, samples, the kernel's selftests, the demo
    Test,
    /// Build the virtual lab, and run the tests that use its machines
    Lab,
    /// Build the corpus' objects from their C sources
    Samples {
        /// Only compare: fail if an object is not what its source compiles to
        #[arg(long)]
        check: bool,
    },
    /// Compile the XDP selftests and samples of Debian's newest kernel source into target/selftests
    Selftests,
    /// Install what tests use of the Python Package Index into target/python
    Python,
    /// Write man pages and shell completions into target/man and target/completions
    Man,
    /// Measure our commands beside the usual ones
    Bench {
        #[command(subcommand)]
        benchmark: Benchmark,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let install = if arguments.no_install {
        Install::Never
    } else {
        Install::Missing
    };
    let result = match arguments.task {
        Task::Demo => demo::run(install),
        Task::Test => test::run(install),
        Task::Lab => lab::run(install),
        Task::Samples { check } => samples::run(check, install),
        Task::Selftests => selftests::run(install),
        Task::Python => python::run(install),
        Task::Man => man::run(),
        Task::Bench { benchmark } => bench::run(benchmark, install),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
