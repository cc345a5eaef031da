//! `xdp-offload`: arguments in, calls down, rendering out.

mod choose;
pub mod cli;
mod code;
pub mod commands;
mod duration;
mod engine;
pub mod exit;
mod findings;
pub mod json;
mod lowering;
mod map_difference;
mod map_entry;
mod map_halves;
mod nfp;
mod on_nic;
mod output;
mod pcap;
mod render;
mod sources;
mod subject;
mod target;
mod value;
mod wire;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use exit::{Exit, Failure};
use std::io::Write;
use std::process::ExitCode;

/// The command line's definition, for man pages.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    output::colour(cli.color);
    log(cli.verbose);
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // Nobody is left to tell where stderr is gone too.
            let _ = writeln!(anstream::stderr(), "{}", output::failure(&failure));
            failure.exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    if let Some(netns) = &cli.netns {
        commands::enter(netns)?;
    }
    match cli.command {
        Command::Check(args) => commands::check::run(&args),
        Command::Compile(args) => commands::compile::run(&args),
        Command::Attach(args) => commands::attach::run(&args),
        Command::Detach(args) => commands::detach::run(&args),
        Command::Status(args) => commands::status::run(&args),
        Command::Map(args) => commands::map::run(&args),
        Command::Disasm(args) => commands::disasm::run(&args),
        Command::Cfg(args) => commands::cfg::run(&args),
        Command::Explain(args) => commands::explain::run(&args),
        Command::Run(args) => commands::run::run(&args),
        Command::Soak(args) => commands::soak::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), "xdp-offload", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
            Ok(Exit::Done)
        }
    }
}

fn log(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never)
        .init();
}
