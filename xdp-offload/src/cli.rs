//! The command line: one place for help, man page and completions.

use crate::commands::{
    attach, bench, cfg, check, compile, detach, disasm, explain, map, run, soak, status,
};
use clap::{ColorChoice, Parser, Subcommand};

/// Runs XDP programs where the NIC runs them best, and says where and why.
#[derive(Debug, Parser)]
#[command(
    name = "xdp-offload",
    version,
    max_term_width = 100,
    after_help = "Examples:\n  \
        xdp-offload check filter.bpf.o --dev eth0    which mode would hold, and why not a better one\n  \
        xdp-offload attach filter.bpf.o eth0         attach in the best mode that holds\n  \
        xdp-offload status                           what is attached where\n  \
        xdp-offload map rules dump                   what a map of it holds\n\n\
        Exit codes: 0 done, 1 the system failed, 2 usage or a file that is not what it claims,\n\
        3 a reasoned No, 4 not permitted."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// When to colour: auto (a terminal, unless NO_COLOR is set), always, never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,

    /// Log what is done to stderr; twice for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Work in this network namespace: a name of `ip netns`, or a path
    #[arg(long, global = true, value_name = "NAME")]
    pub netns: Option<String>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify an object's programs, say at which source line one is unsafe, and which mode would hold
    Check(check::Args),
    /// Lower a program to what a Netronome NIC takes
    Compile(compile::Args),
    /// Attach a program in the best mode that holds
    Attach(attach::Args),
    /// Detach programs
    Detach(detach::Args),
    /// Show what is attached where, in which mode, held by what
    Status(status::Args),
    /// Show and change the maps of attached programs
    Map(map::Args),
    /// Run a program on the packets of a file
    Run(run::Args),
    /// Send packets to an attached program for a while: none may pass it by, none be lost
    Soak(soak::Args),
    /// Measure a program in each mode that an interface holds
    Bench(bench::Args),
    /// Print eBPF instructions or NFP words as text
    Disasm(disasm::Args),
    /// Show a program's control flow
    Cfg(cfg::Args),
    /// Tell what a diagnostic means and what to do
    Explain(explain::Args),
    /// Print shell completions
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}
