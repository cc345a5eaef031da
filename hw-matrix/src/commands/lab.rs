//! `hw-matrix lab`: builds the virtual lab, and starts, enters and stops its machines.

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use super::{End, Failure};
use crate::executor::shell_word;
use crate::lab::{Install, Lab, LabError, MODELS, Machine, Named, Nic, Spec, relay};

/// The virtual lab: machines with emulated NICs and offload devices, for tests without hardware
///
/// The lab is built from Debian's packages: two kernels, netdevsim, and the Netronome driver's offload without a card
/// (nfpsim). A machine sees the files of this host, read-only and under the same names, so all programs of this host run
/// in it; what it writes stays in its memory, except in folders given with --write. It has no network.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  hw-matrix lab build\n  hw-matrix lab run --nic igb -- xdp-probe try --force igb\n  hw-matrix lab start one --kernel 6.12 --nic virtio-net,queues=4 --nic nfpsim\n  hw-matrix lab run --in one -- xdp-offload attach firewall.bpf.o nfpsim --hw\n  hw-matrix lab shell one\n  hw-matrix lab stop one"
)]
pub(super) enum Arguments {
    Build(Build),
    Start(Start),
    Run(Run),
    Shell(Shell),
    Stop(Stop),
    List(List),
}

/// Build the lab, unless it is built already; some four minutes and 350 MB
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sudo hw-matrix lab build")]
pub(super) struct Build {
    /// Install no package: fail and name those that are missing
    #[arg(long)]
    no_install: bool,
}

/// Boot a machine that stays until it is stopped
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hw-matrix lab start one --nic igb --nic virtio-net,queues=4")]
pub(super) struct Start {
    /// Its name
    name: String,
    #[command(flatten)]
    machine: MachineOptions,
}

/// Run a command as root in a machine; its output, its errors and its exit code are passed on
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hw-matrix lab run --nic all -- xdp-probe list\n\nExit codes: the command's own, or 124: it ran out of time, 125: the machine died (a machine of its own is tried twice)"
)]
pub(super) struct Run {
    /// In this machine, which was started; without it in one that is booted for the command and ends with it
    #[arg(long = "in", value_name = "NAME", conflicts_with_all = ["kernel", "nics", "memory", "cpus", "write"])]
    name: Option<String>,
    #[command(flatten)]
    machine: MachineOptions,
    /// Seconds that the command may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    time: u64,
    /// Give it our standard input, which is read to its end first
    #[arg(short, long)]
    input: bool,
    /// The command
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// A shell in a machine that was started, on this terminal
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hw-matrix lab shell one")]
pub(super) struct Shell {
    /// Its name
    name: String,
}

/// End a machine
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hw-matrix lab stop --all")]
pub(super) struct Stop {
    /// Its name
    #[arg(required_unless_present = "all")]
    name: Option<String>,
    /// All machines of the lab
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

/// The lab's kernels, the NICs that a machine can have, and the machines that run
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hw-matrix lab list")]
pub(super) struct List {}

#[derive(Debug, Args)]
struct MachineOptions {
    /// Series of Linux, as `lab list` shows them [default: the oldest]
    #[arg(long, value_name = "SERIES")]
    kernel: Option<String>,
    /// A NIC: its model, and with commas name=NAME, queues=N, peer (a NIC at the other end of its wire, in the namespace
    /// NAME-peer), properties of QEMU's device; `all` for one of each model. As often as you like
    #[arg(long = "nic", value_name = "NIC")]
    nics: Vec<String>,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 768, value_parser = clap::value_parser!(u32).range(128..=65536))]
    memory: u32,
    /// Processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,
    /// A folder of this host that the machine may write to
    #[arg(long, value_name = "DIR")]
    write: Vec<PathBuf>,
}

impl MachineOptions {
    fn spec(&self) -> Result<Spec, Failure> {
        let mut nics = Vec::new();
        for text in &self.nics {
            let all = MODELS.map(|model| model.name);
            let each: &[&str] = if text == "all" { &all } else { &[text] };
            for text in each {
                nics.push(Nic::parse(text).map_err(|error| Failure::usage(error.to_string()))?);
            }
        }
        Nic::number(&mut nics);
        let writable = self
            .write
            .iter()
            .map(|folder| {
                folder
                    .canonicalize()
                    .map_err(|error| Failure::file(folder, &error))
            })
            .collect::<Result<_, _>>()?;
        Ok(Spec {
            kernel: self.kernel.clone(),
            nics,
            wires: Vec::new(),
            memory: self.memory,
            cpus: self.cpus,
            writable,
        })
    }
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Failure {
        let text = error.to_string();
        match error {
            LabError::Kernel { .. } | LabError::Name(_) | LabError::NotBuilt { .. } => {
                Failure::usage(text)
            }
            LabError::TimeLimit(_) => Failure { code: 124, text },
            LabError::Died { .. } | LabError::Hung { .. } => Failure { code: 125, text },
            _ => Failure::system(text),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<End, Failure> {
    match arguments {
        Arguments::Build(build) => {
            let begun = Instant::now();
            let install = if build.no_install {
                Install::Never
            } else {
                Install::Missing
            };
            let lab = Lab::build(install)?;
            writeln!(
                io::stdout(),
                "{}: Linux {}, {:.0} s",
                lab.folder().display(),
                lab.kernels().join(" and "),
                begun.elapsed().as_secs_f64()
            )?;
            Ok(End::Done)
        }
        Arguments::Start(start) => {
            Named::start(&Lab::open()?, &start.name, &start.machine.spec()?)?;
            Ok(End::Done)
        }
        Arguments::Run(run) => run_command(run),
        Arguments::Shell(Shell { name }) => shell(name),
        Arguments::Stop(stop) => {
            let lab = Lab::open()?;
            match &stop.name {
                Some(name) => Named::stop(&lab, name)?,
                None => {
                    for (name, ..) in Named::all(&lab) {
                        Named::stop(&lab, &name)?;
                    }
                }
            }
            Ok(End::Done)
        }
        Arguments::List(List {}) => list(),
    }
}

fn run_command(run: &Run) -> Result<End, Failure> {
    let lab = Lab::open()?;
    let command = in_folder_of_ours(&run.command);
    let mut input = Vec::new();
    if run.input {
        io::stdin().lock().read_to_end(&mut input)?;
    }
    let limit = Duration::from_secs(run.time);
    let (mut stdout, mut stderr) = (io::stdout(), io::stderr());
    let code = if let Some(name) = &run.name {
        let machine = Named::open(&lab, name)?;
        machine.pass_on(&command, &input, limit, &mut stdout, &mut stderr)?
    } else {
        let spec = run.machine.spec()?;
        let mut once = || {
            let machine = Machine::boot(&lab, &spec)?;
            machine.pass_on(&command, &input, limit, &mut stdout, &mut stderr)
        };
        match once() {
            Err(error @ (LabError::Died { .. } | LabError::Hung { .. })) => {
                let _ = writeln!(anstream::stderr(), "{error}\nonce more, in a new machine");
                once()?
            }
            other => other?,
        }
    };
    match u8::try_from(code) {
        Ok(0) => Ok(End::Done),
        code => Ok(End::Code(code.unwrap_or(1))),
    }
}

/// The words as a shell's command, in the folder that we are in.
fn in_folder_of_ours(words: &[String]) -> String {
    let mut text = String::new();
    if let Ok(folder) = std::env::current_dir() {
        text = format!("cd {} 2>/dev/null\n", shell_word(&folder.to_string_lossy()));
    }
    text.push_str("exec");
    for word in words {
        text.push(' ');
        text.push_str(&shell_word(word));
    }
    text
}

fn shell(name: &str) -> Result<End, Failure> {
    let machine = Named::open(&Lab::open()?, name)?;
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "a shell needs a terminal\n  help: hw-matrix lab run --in {name} -- COMMAND"
        )));
    }
    let size = rustix::termios::tcgetwinsize(io::stdin()).map_err(io::Error::from)?;
    let kind = std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned());
    let mut ended = Ok(());
    relay(&machine.console(), || {
        ended = machine.shell(size.ws_col, size.ws_row, &kind);
    })?;
    ended?;
    Ok(End::Done)
}

fn list() -> Result<End, Failure> {
    let lab = Lab::open()?;
    let mut out = io::stdout().lock();
    writeln!(out, "kernels")?;
    for kernel in lab.kernels() {
        writeln!(out, "  {kernel:<12} {}", lab.release(&kernel)?)?;
    }
    writeln!(out, "NICs")?;
    for model in &MODELS {
        writeln!(out, "  {:<12} {}", model.name, model.what)?;
    }
    let machines = Named::all(&lab);
    if !machines.is_empty() {
        writeln!(out, "machines")?;
    }
    for (name, what, alive) in machines {
        let state = if alive { "" } else { " (died)" };
        writeln!(out, "  {name:<12} {what}{state}")?;
    }
    Ok(End::Done)
}
