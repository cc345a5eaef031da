//! `check`: what is in an object, whether the running kernel takes it, and where it would run.

use super::{facts, probe_interfaces};
use crate::choose::{self, Selection};
use crate::exit::{Exit, Failure};
use crate::json::attach::PlanReport;
use crate::json::check::{Device, Diagnostic, MapDefinition, Program, Report, Verdict};
use crate::{output, render, structure};
use generic_fallback::load::{Binding, LoadError, Loader};
use generic_fallback::plan::{Plan, Request, Wanted};
use generic_fallback::{Ladder, permission};
use kernel::bpf::map::MapKind;
use offload_compiler::object::{Linked, Object, SourceLine};

/// Read an object, ask the running kernel's verifier, and tell which mode would hold
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    xdp-offload check filter.bpf.o\n  \
    xdp-offload check filter.bpf.o --dev eth0\n\n\
    Programs are loaded to hear the verifier, never attached, and nothing stays. Without CAP_BPF the verifier\n\
    is not asked.")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Tell which mode would hold on this interface, and why not a better one
    #[arg(long, value_name = "IFACE")]
    dev: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut object = args.selection.read()?;
    let mut chosen = match args.selection.named(&object)? {
        Some(named) => named,
        None if args.dev.is_some() => choose::entry_programs(&object),
        None => choose::xdp_programs(&object),
    };
    // What is not for an interface can be checked too, but has no mode there.
    let checkable = |&index: &usize| args.dev.is_none() && object.programs[index].kind.is_xdp();
    if chosen.len() < 2 && !chosen.iter().any(checkable) {
        // Says what is wrong with the only one, or that there is none.
        chosen = vec![args.selection.one(&mut object)?];
    }
    let name = args.selection.object_name();
    let loader = Loader::for_trial(&object, &name);
    let device = match &args.dev {
        Some(ifname) => Some(device(&object, &name, chosen[0], ifname)?),
        None => None,
    };
    let ifindex = device.as_ref().map(|(device, _)| device.ifindex);
    let programs: Vec<Program> = chosen
        .iter()
        .map(|&index| examine(&object, &loader, index, ifindex))
        .collect();
    let refused = programs
        .iter()
        .any(|program| program.verdict == Some(Verdict::Refuse))
        || device
            .as_ref()
            .is_some_and(|(device, _)| device.best.is_none());
    let (device, plan) = device.unzip();
    let report = Report {
        schema: "xdp-offload/check/v1",
        object: args.selection.object.display().to_string(),
        target: "kernel".to_owned(),
        programs,
        maps: object.maps.iter().map(map_definition).collect(),
        device,
    };
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&render::check::report(
            &report,
            plan.as_ref(),
            output::width(),
        ))?;
    }
    Ok(if refused { Exit::No } else { Exit::Done })
}

/// Links a program, looks at its code, and loads it for a moment.
fn examine(object: &Object, loader: &Loader<'_>, index: usize, device: Option<u32>) -> Program {
    let program = &object.programs[index];
    let mut report = Program {
        name: program.name.clone(),
        section: program.section.clone(),
        verdict: None,
        insns: None,
        helpers: Vec::new(),
        maps: Vec::new(),
        diagnostics: Vec::new(),
    };
    let linked = match loader.link(index) {
        Ok(linked) => linked,
        Err(error) => {
            report.verdict = Some(Verdict::Refuse);
            report.diagnostics.push(of_load(&error));
            return report;
        }
    };
    let structure = structure::examine(&linked.insns);
    report.insns = Some(linked.insns.len());
    report.helpers = structure.helpers.into_iter().collect();
    report.maps = linked
        .maps
        .iter()
        .filter_map(|&map| object.maps.get(map))
        .map(|map| map.name.clone())
        .collect();
    for (insn, message) in structure.problems {
        report.verdict = Some(Verdict::Refuse);
        report
            .diagnostics
            .push(of_structure(&linked, insn, message));
    }
    let answer = match (loader.load(index, Binding::None), device) {
        (Err(error), Some(ifindex)) if error.needs_device() => {
            loader.load(index, Binding::Device(ifindex))
        }
        (answer, _) => answer,
    };
    match answer {
        Ok(_) => report.verdict = report.verdict.or(Some(Verdict::Accept)),
        Err(error) if error.needs_device() => report.diagnostics.push(Diagnostic {
            severity: "note".to_owned(),
            help: Some("--dev IFACE names the device".to_owned()),
            ..diagnostic(
                "not-asked",
                "it asks the driver for metadata, so the verifier has to know the device"
                    .to_owned(),
                None,
            )
        }),
        Err(error) if error.is_permission() => report.diagnostics.push(not_asked()),
        Err(error) => {
            report.verdict = Some(Verdict::Refuse);
            report.diagnostics.push(of_load(&error));
        }
    }
    report
}

fn not_asked() -> Diagnostic {
    Diagnostic {
        severity: "note".to_owned(),
        help: Some(permission::remedy()),
        ..diagnostic(
            "not-asked",
            "the running kernel's verifier was not asked: not permitted".to_owned(),
            None,
        )
    }
}

fn of_structure(linked: &Linked, insn: usize, message: String) -> Diagnostic {
    Diagnostic {
        insn: Some(insn),
        ..diagnostic("structure", message, linked.source_line(insn).as_ref())
    }
}

/// A refused load as a diagnostic.
fn of_load(error: &LoadError) -> Diagnostic {
    let plain = |code: &str| diagnostic(code, error.to_string(), None);
    match error {
        LoadError::Link { .. } => plain("link"),
        LoadError::Unreadable { .. } => plain("load"),
        LoadError::CreateMap { .. }
        | LoadError::FillMap { .. }
        | LoadError::PinnedMapDiffers { .. }
        | LoadError::Pin { .. }
        | LoadError::NeedsPin { .. } => plain("map"),
        LoadError::Program(refused) => match &refused.finding {
            None => plain("load"),
            Some(finding) => Diagnostic {
                insn: finding.insn,
                help: refused.lacks.as_ref().map(|lacks| {
                    format!(
                        "this kernel has no {lacks}: guard the access with bpf_core_field_exists()"
                    )
                }),
                ..diagnostic("verifier", finding.to_string(), refused.line.as_ref())
            },
        },
    }
}

fn diagnostic(code: &str, message: String, line: Option<&SourceLine>) -> Diagnostic {
    Diagnostic {
        code: code.to_owned(),
        severity: "error".to_owned(),
        message,
        insn: None,
        file: line.map(|line| line.file.clone()),
        line: line.map(|line| line.line),
        column: line.map(|line| line.column).filter(|&column| column != 0),
        source: line.map(|line| line.text.trim().to_owned()),
        help: None,
    }
}

fn map_definition(map: &offload_compiler::object::MapDef) -> MapDefinition {
    MapDefinition {
        name: map.name.clone(),
        kind: MapKind(map.kind).to_string(),
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
    }
}

/// The ladder as `attach` would take it.
fn device(
    object: &Object,
    name: &str,
    program: usize,
    ifname: &str,
) -> Result<(Device, Plan), Failure> {
    let snapshot = probe_interfaces(&[ifname.to_owned()])?;
    let facts = facts(&snapshot, ifname)?;
    let request = Request {
        wanted: Wanted::Best,
        fallback: true,
        replace: true,
    };
    let plan = Ladder::new(object, name, program, None)
        .map_err(|error| Failure::kernel("cannot talk to the kernel", &error))?
        .plan(&snapshot, facts, request);
    let report = PlanReport::new(ifname, &object.programs[program].name, &plan);
    let best = report.rungs.iter().find(|rung| rung.tried);
    let device = Device {
        ifindex: facts.link.ifindex,
        ifname: ifname.to_owned(),
        best: best.map(|rung| rung.mode),
        rungs: report.rungs,
    };
    Ok((device, plan))
}
