//! The commands: facts in, output out.

mod caps;
mod drivers;
mod list;
mod show;
mod try_out;
mod watch;

use std::io::{self, Write};

use kernel::netlink::link::Route;

use crate::cli::{Cli, Command};
use crate::facts::{Facts, Snapshot};
use crate::{Error, Result};

/// Runs a parsed command line, printing to `out`.
pub fn run(cli: &Cli, out: &mut Output<'_>) -> Result<()> {
    let netns = cli.global.netns.as_deref();
    if let Some(netns) = netns {
        kernel::netns::enter(netns).map_err(|error| match error.errno() {
            Some(kernel::Errno::ENOENT) => Error::NoSuchNetns {
                name: netns.to_owned(),
            },
            _ => error.into(),
        })?;
    }
    match &cli.command {
        Command::List { interfaces, wide } => list::run(interfaces, *wide, netns, out),
        Command::Show { interface } => show::run(interface, netns, out),
        Command::Try {
            interfaces,
            force,
            only,
        } => try_out::run(interfaces, *force, only, netns, out),
        Command::Caps { interface, output } => caps::run(interface, output.as_deref(), netns, out),
        Command::Watch { interfaces } => watch::run(interfaces, out),
        Command::Drivers { name } => drivers::run(name.as_deref(), out),
        Command::Completions { shell } => {
            // Into a buffer: clap_complete panics where a pipe is closed.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut crate::cli::command(), "xdp-probe", &mut script);
            Ok(out.stream.write_all(&script)?)
        }
    }
}

/// The interface of this name; also an alternative one (`ip link property add altname`), which the kernel resolves.
fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a Facts> {
    snapshot.by_name(name).or_else(|error| {
        let link = Route::open()?
            .link_by_name(name)
            .map_err(|_| error.clone())?;
        snapshot.by_index(link.ifindex).ok_or(error)
    })
}

/// Where and how to print.
pub struct Output<'a> {
    /// Takes text with escape sequences, and drops them where there is no terminal.
    pub stream: &'a mut dyn Write,
    /// JSON instead of text.
    pub json: bool,
    /// Columns of the terminal; `None` for pipes and files.
    pub width: Option<u16>,
}

impl Output<'_> {
    /// One JSON value on a line.
    fn json(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut *self.stream, value)?;
        self.stream.write_all(b"\n")
    }

    /// Text as it is.
    fn text(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }
}
