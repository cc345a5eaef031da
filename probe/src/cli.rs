//! The command line of `xdp-probe`: one place for help, man page and completions.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::trial::What;

/// Which XDP modes does each network interface support, and if not, why not?
#[derive(Debug, Parser)]
#[command(
    name = "xdp-probe",
    version,
    styles = STYLES,
    after_help = "Examples:\n  xdp-probe list\n  xdp-probe show eth0\n  sudo xdp-probe try eth0\n\n\
                  Exit codes: 0 done, 1 the system failed, 2 usage, 3 a reasoned no, 4 not permitted"
)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// What holds for every command
    #[command(flatten)]
    pub global: Global,
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold());

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Print JSON (schemas: xdp-probe/COMMAND/v1)
    #[arg(long, global = true)]
    pub json: bool,
    /// Look into this network namespace: a name of /run/netns, or a path such as /proc/42/ns/net
    #[arg(long, global = true, value_name = "NAME")]
    pub netns: Option<String>,
    /// When to colour; `auto` follows the terminal and NO_COLOR
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// Log what is asked and answered to stderr; -vv with every detail
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Also into pipes
    Always,
    /// Never
    Never,
}

/// What `xdp-probe` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// One row an interface: what it supports in each mode, and why not. Needs no privilege, changes nothing
    #[command(
        after_help = "Examples:\n  xdp-probe list\n  xdp-probe list eth0 eth1 --wide\n  xdp-probe list --json | jq '.interfaces[] | {ifname, best}'"
    )]
    List {
        /// Only these interfaces
        #[arg(value_name = "IFACE")]
        interfaces: Vec<String>,
        /// More columns, on lines as long as they need
        #[arg(long)]
        wide: bool,
    },
    /// Every fact, verdict, reason and remedy for one interface
    #[command(after_help = "Example:\n  xdp-probe show eth0")]
    Show {
        /// The interface
        #[arg(value_name = "IFACE")]
        interface: String,
    },
    /// Prove the verdicts: attach a minimal program in each mode, bind AF_XDP sockets, put everything back
    #[command(
        after_help = "Refuses with code 3 where a program is attached, or where attaching may take down a link that is up.\n\nExamples:\n  sudo xdp-probe try eth0\n  sudo xdp-probe try eth0 eth1 --force --json\n  sudo xdp-probe try eth0 --only native,af-xdp-copy"
    )]
    Try {
        /// The interfaces, one after the other
        #[arg(value_name = "IFACE", required = true)]
        interfaces: Vec<String>,
        /// Also where a program is attached (it is exchanged for a moment), or the link may go down
        #[arg(long)]
        force: bool,
        /// Only these trials
        #[arg(long, value_name = "TRIAL", value_delimiter = ',')]
        only: Vec<What>,
    },
    /// Measure what an offload device accepts, by trial loads; write its profile (TOML) for xdp-offload
    #[command(
        after_help = "Programs and maps are loaded for the device and dropped again; nothing is attached, and nothing is left. A device that is no NFP has no profile: what it accepts is told.\n\nExamples:\n  sudo xdp-probe caps enp3s0np0 -o card.toml\n  xdp-offload check firewall.bpf.o --profile card.toml"
    )]
    Caps {
        /// The interface
        #[arg(value_name = "IFACE")]
        interface: String,
        /// Write the profile there, and tell people about it on stdout; otherwise stdout has both
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// A line an event: links, MTU, features, programs attached and detached
    #[command(after_help = "Examples:\n  xdp-probe watch\n  xdp-probe watch eth0 --json")]
    Watch {
        /// Only these interfaces
        #[arg(value_name = "IFACE")]
        interfaces: Vec<String>,
    },
    /// The shipped table: what is known about drivers, and where it is from
    #[command(after_help = "Examples:\n  xdp-probe drivers\n  xdp-probe drivers ena")]
    Drivers {
        /// One driver, with limits, notes and sources
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Print a completion script
    #[command(hide = true)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// The whole command line, for man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
