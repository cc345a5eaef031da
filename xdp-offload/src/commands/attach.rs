//! `attach`: the ladder.

use super::{facts, probe_interfaces};
use crate::choose::Selection;
use crate::exit::{Exit, Failure};
use crate::json::attach::{PlanReport, Report};
use crate::on_nic::NicArgs;
use crate::output;
use crate::render;
use generic_fallback::outcome::{Ending, Outcome};
use generic_fallback::plan::{Request, Wanted};
use generic_fallback::{Ladder, NicProgram};
use kernel::netlink::link::Mode;
use offload_compiler::object::Object;
use probe::{Facts, Snapshot};
use std::path::PathBuf;

/// Attach a program in the best mode that holds
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    xdp-offload attach filter.bpf.o eth0\n  \
    xdp-offload attach filter.bpf.o eth0 eth1 --atomic --native --no-fallback\n  \
    xdp-offload attach filter.bpf.o eth0 --replace --pin /sys/fs/bpf/filter\n\n\
    A mode that is refused is reported with the kernel's reason, and the next one is tried.")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// The interfaces
    #[arg(value_name = "IFACE", required = true)]
    interfaces: Vec<String>,

    /// Try the NIC itself first, whatever the probe says
    #[arg(long, group = "mode")]
    hw: bool,

    /// Start at native (driver) mode
    #[arg(long, group = "mode")]
    native: bool,

    /// Only generic (skb) mode
    #[arg(long, group = "mode")]
    generic: bool,

    /// Keep to the first mode: fail rather than run in a lower one
    #[arg(long)]
    no_fallback: bool,

    /// Swap an attached program for the new one, in one step
    #[arg(long)]
    replace: bool,

    /// All interfaces or none: take back what was done when one does not hold
    #[arg(long)]
    atomic: bool,

    /// Pin the maps here, and attach by a link pinned here; maps that are here already are used
    #[arg(long, value_name = "DIR")]
    pin: Option<PathBuf>,

    #[command(flatten)]
    nic: NicArgs,

    /// Print what would be tried, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Print JSON, a line an interface
    #[arg(long)]
    json: bool,
}

impl Args {
    fn request(&self) -> Request {
        let wanted = match (self.hw, self.native, self.generic) {
            (true, ..) => Wanted::Mode(Mode::Offload),
            (_, true, _) => Wanted::Mode(Mode::Native),
            (.., true) => Wanted::Mode(Mode::Generic),
            _ => Wanted::Best,
        };
        Request {
            wanted,
            fallback: !self.no_fallback,
            replace: self.replace,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut object = args.selection.read()?;
    let program = args.selection.one(&mut object)?;
    let pin_dir = args.pin.as_deref().map(absolute).transpose()?;
    let snapshot = probe_interfaces(&args.interfaces)?;
    let interfaces = args
        .interfaces
        .iter()
        .map(|name| facts(&snapshot, name))
        .collect::<Result<Vec<&Facts>, Failure>>()?;

    let name = args.selection.object_name();
    let mut ladder = Ladder::new(&object, &name, program, pin_dir)
        .map_err(|error| Failure::kernel("cannot talk to the kernel", &error))?;
    if args.dry_run {
        return dry_run(
            args,
            &ladder,
            &snapshot,
            &interfaces,
            (&object, &name, program),
        );
    }

    let mut outcomes: Vec<Outcome> = Vec::new();
    for facts in interfaces {
        let nic = nic_program(args, &ladder, &snapshot, facts, (&object, &name, program))?;
        let outcome = ladder.climb(&snapshot, facts, args.request(), &nic);
        let held = outcome.mode.is_some();
        outcomes.push(outcome);
        if args.atomic && !held {
            take_back(&mut ladder, &mut outcomes)?;
            break;
        }
    }
    let kept = ladder.keep();
    for outcome in &outcomes {
        if args.json {
            output::print_json(&Report::from(outcome))?;
        } else {
            output::print(&render::attach::outcome(outcome, output::width()))?;
        }
    }
    kept.map_err(|error| {
        Failure::new(
            Exit::Failed,
            "attached, but not all of its tail calls lead to the new programs",
        )
        .because(error)
    })?;
    Ok(exit(&outcomes))
}

/// An object, its name, and the program in it.
type Chosen<'a> = (&'a Object, &'a str, usize);

/// What the NIC would be given, made only where its rung is tried.
fn nic_program(
    args: &Args,
    ladder: &Ladder<'_>,
    snapshot: &Snapshot,
    facts: &Facts,
    (object, name, program): Chosen<'_>,
) -> Result<NicProgram, Failure> {
    if ladder
        .plan(snapshot, facts, args.request())
        .tries(Mode::Offload)
    {
        args.nic.program(object, name, program, facts)
    } else {
        Ok(NicProgram::AsIs)
    }
}

fn dry_run(
    args: &Args,
    ladder: &Ladder<'_>,
    snapshot: &Snapshot,
    interfaces: &[&Facts],
    chosen: Chosen<'_>,
) -> Result<Exit, Failure> {
    let (object, _, program) = chosen;
    let program = &object.programs[program].name;
    let mut exit = Exit::Done;
    for facts in interfaces {
        let nic = nic_program(args, ladder, snapshot, facts, chosen)?;
        let plan = ladder.plan_with(snapshot, facts, args.request(), &nic);
        if !plan.has_a_try() {
            exit = Exit::No;
        }
        let ifname = &facts.link.name;
        if args.json {
            output::print_json(&PlanReport::new(ifname, program, &plan))?;
        } else {
            output::print(&render::attach::plan(
                ifname,
                program,
                &plan,
                output::width(),
            ))?;
        }
    }
    Ok(exit)
}

/// `--atomic`: the last interface did not hold.
fn take_back(ladder: &mut Ladder<'_>, outcomes: &mut [Outcome]) -> Result<(), Failure> {
    let failures = ladder.roll_back();
    if let Some((culprit, others)) = outcomes.split_last_mut() {
        for outcome in others {
            outcome.take_back(&culprit.ifname);
        }
    }
    match failures.first() {
        None => Ok(()),
        Some(failure) => Err(Failure::kernel(
            format!("cannot put {} back as it was", failure.ifname),
            &failure.error,
        )
        .remedy("`xdp-offload status` shows what is attached now")),
    }
}

/// The worst ending counts.
fn exit(outcomes: &[Outcome]) -> Exit {
    let worst = outcomes.iter().map(Outcome::ending).max();
    match worst {
        None | Some(Ending::Held) => Exit::Done,
        Some(Ending::Refused) => Exit::No,
        Some(Ending::NotPermitted) => Exit::NotPermitted,
        Some(Ending::Failed) => Exit::Failed,
    }
}

fn absolute(path: &std::path::Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot use {}", path.display())).because(error)
    })
}
