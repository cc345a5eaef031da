//! `xdp-probe`: arguments in, exit code out. Everything else is the library's.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice};
use anstyle::AnsiColor;
use clap::Parser;
use probe::cli::{Cli, Color};
use probe::commands::{Output, run};
use probe::{Error, Result};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.global.color {
        Color::Auto => {}
        Color::Always => ColorChoice::AlwaysAnsi.write_global(),
        Color::Never => ColorChoice::Never.write_global(),
    }
    if cli.global.verbose > 0 {
        log(cli.global.verbose);
    }
    match print(&cli) {
        Ok(()) | Err(Error::Output(io::ErrorKind::BrokenPipe)) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn print(cli: &Cli) -> Result<()> {
    let stdout = io::stdout();
    let width = if stdout.is_terminal() {
        let size = rustix::termios::tcgetwinsize(&stdout).ok();
        size.map(|size| size.ws_col).filter(|columns| *columns > 0)
    } else {
        None
    };
    // JSON has no escape sequences, so nothing needs to look for them.
    let choice = if cli.global.json {
        ColorChoice::AlwaysAnsi
    } else {
        AutoStream::choice(&stdout)
    };
    let mut stream = BufWriter::with_capacity(1 << 16, AutoStream::new(stdout.lock(), choice));
    run(
        cli,
        &mut Output {
            stream: &mut stream,
            json: cli.global.json,
            width,
        },
    )?;
    Ok(stream.flush()?)
}

/// What went wrong, why, and what to do.
fn complain(error: &Error) {
    let style = AnsiColor::Red.on_default().bold();
    let mut stderr = anstream::stderr().lock();
    // Nothing can be told about a stderr that is closed.
    let _ = writeln!(stderr, "{style}error{style:#}: {error}");
    if let Some(remedy) = error.remedy() {
        let _ = writeln!(stderr, "  to do: {remedy}");
    }
}

fn log(verbose: u8) {
    let level = if verbose > 1 {
        tracing::Level::TRACE
    } else {
        tracing::Level::DEBUG
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}
