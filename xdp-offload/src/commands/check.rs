//! `check`: what is in an object, whether a target takes it and why not, and where it would run.

mod trial;

use super::{facts, probe_interfaces};
use crate::choose::Selection;
use crate::exit::{Exit, Failure};
use crate::findings;
use crate::json::attach::PlanReport;
use crate::json::check::{
    Cycles, Device, Diagnostic, MapDefinition, Offload, Program, Report, Verdict,
};
use crate::nfp;
use crate::on_nic::is_nfp;
use crate::sources::Sources;
use crate::subject::{self, Subject};
use crate::target::{Chosen, TargetArgs};
use crate::{output, render};
use generic_fallback::Ladder;
use generic_fallback::load::Loader;
use generic_fallback::plan::{Plan, Request, Wanted};
use kernel::bpf::map::MapKind;
use nfp_target::codegen::Options;
use nfp_target::profile::Profile;
use nfp_target::target::Nfp;
use offload_compiler::diagnostic;
use offload_compiler::isa;
use offload_compiler::object::{Linked, Object};
use offload_compiler::target::{self as capabilities, Target};
use offload_compiler::verify::{Code, Finding, MapShape, Severity};

/// Tell whether a target takes a program, and if not, why, at the source line
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    xdp-offload check filter.bpf.o                          for the running kernel\n  \
    xdp-offload check filter.bpf.o --target kernel:5.15     for another one\n  \
    xdp-offload check filter.bpf.o --target nfp             for a Netronome NIC\n  \
    xdp-offload check filter.bpf.o --dev eth0               and which mode would hold there\n\n\
    Needs no privilege and loads nothing. `xdp-offload explain CODE` says more about a message.")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    target: TargetArgs,

    /// The file holds plain 8-byte eBPF instructions, no object; FILE.maps has a line a map
    #[arg(long, conflicts_with_all = ["prog", "section", "set", "dev", "load"])]
    raw: bool,

    /// Tell which mode would hold on this interface, and why not a better one
    #[arg(long, value_name = "IFACE")]
    dev: Option<String>,

    /// Load the programs for a moment, to hear the running kernel's own verifier; nothing is attached
    #[arg(long)]
    load: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A program's result, for scripts and for people.
pub(crate) struct Checked {
    /// For scripts.
    pub(crate) program: Program,
    /// What was found, as text.
    pub(crate) text: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut target = args.target.choose()?;
    let mut sources = Sources::of(&args.selection.object);
    let mut card = None;
    let mut maps = Vec::new();
    let mut found = None;
    let mut programs = Vec::new();
    if args.raw {
        let subject = Subject::raw(&args.selection.object, args.selection.object_name())?;
        if let Ok(prepared) = &subject.prepared {
            maps = prepared.maps.iter().map(map_of_shape).collect();
        }
        programs.push(examine(&subject, &target, None, &mut sources));
    } else {
        let mut object = args.selection.read()?;
        let chosen = subject::chosen(&args.selection, &mut object, args.dev.is_some())?;
        let name = args.selection.object_name();
        let loader = Loader::for_trial(&object, &name);
        if let Some(ifname) = &args.dev {
            let looked = look_at(&object, &name, chosen[0], ifname)?;
            match &mut target {
                Chosen::Nfp(nfp) => nfp.mtu = looked.mtu,
                Chosen::Running(_) | Chosen::Version(_) => card = looked.card,
            }
            found = Some((looked.device, looked.plan));
        }
        let ifindex = found.as_ref().map(|(device, _)| device.ifindex);
        for index in chosen {
            let mut checked = match Subject::of_object(&object, &loader, index) {
                Ok(subject) => examine(&subject, &target, card.as_ref(), &mut sources),
                Err(error) => not_linked(&object, index, trial::of_load(&error)),
            };
            if args.load && checked.program.insns.is_some() {
                add_trial(&mut checked, trial::load(&loader, index, ifindex));
            }
            programs.push(checked);
        }
        maps = object.maps.iter().map(map_definition).collect();
    }
    let refused = programs
        .iter()
        .any(|checked| checked.program.verdict == Some(Verdict::Refuse))
        || found
            .as_ref()
            .is_some_and(|(device, _)| device.best.is_none());
    let (device, plan) = found.unzip();
    let (programs, texts): (Vec<Program>, Vec<Vec<String>>) = programs
        .into_iter()
        .map(|checked| (checked.program, checked.text))
        .unzip();
    let report = Report {
        schema: "xdp-offload/check/v1",
        object: args.selection.object.display().to_string(),
        target: target.spec(),
        programs,
        maps,
        device,
    };
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&render::check::report(
            &report,
            &target.as_target().name(),
            &texts,
            plan.as_ref(),
            output::width(),
        ))?;
    }
    Ok(if refused { Exit::No } else { Exit::Done })
}

/// Asks the target about a program, and the interface's NIC where programs can be on it.
fn examine(
    subject: &Subject,
    target: &Chosen,
    card: Option<&Nfp>,
    sources: &mut Sources,
) -> Checked {
    let mut checked = Checked {
        program: Program {
            name: subject.name.clone(),
            section: subject.section.clone(),
            verdict: None,
            offload: None,
            insns: Some(subject.linked.insns.len()),
            nfp_words: None,
            cycles: None,
            helpers: subject.helpers(),
            maps: subject.maps.clone(),
            diagnostics: Vec::new(),
        },
        text: Vec::new(),
    };
    let empty = isa::Code::default();
    let (findings, code) = match &subject.prepared {
        Err(error) => {
            let message = format!("this is no instruction: {}", error.kind);
            let finding = Finding::error(Code::InvalidInstruction, error.slot, message);
            (vec![finding], &empty)
        }
        Ok(prepared) => {
            let program = capabilities::Program {
                input: &prepared.input(),
                frags: subject.frags,
            };
            checked.program.offload = card
                .and_then(|card| verdict(&card.check(&program).findings))
                .map(Offload::as_it_is);
            let mut findings = target.as_target().check(&program).findings;
            if let (Chosen::Nfp(nfp), Some(Verdict::Accept)) = (target, verdict(&findings)) {
                findings.extend(nfp.wrong_code(program.input));
            }
            (findings, &prepared.code)
        }
    };
    checked.program.verdict = verdict(&findings);
    if let Chosen::Nfp(nfp) = target {
        checked.program.offload = checked.program.verdict.map(Offload::as_it_is);
        add_cost(&mut checked.program, subject, nfp);
    }
    for finding in &findings {
        add_finding(&mut checked, finding, &subject.linked, code, sources);
    }
    checked
}

/// What the program costs on a card that takes it, by our translation.
fn add_cost(program: &mut Program, subject: &Subject, card: &Nfp) {
    let (Some(Verdict::Accept), Ok(prepared)) = (program.verdict, &subject.prepared) else {
        return;
    };
    if let Ok(compiled) = nfp::compile(subject, prepared, card, Options::default()) {
        program.nfp_words = Some(compiled.image.words.len());
        let packet = compiled.estimate.packet;
        program.cycles = Some(Cycles {
            min: packet.min,
            max: packet.max,
        });
    }
}

/// What is not modelled decides nothing.
fn verdict(findings: &[Finding]) -> Option<Verdict> {
    let mut errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .peekable();
    if errors.peek().is_none() {
        return Some(Verdict::Accept);
    }
    errors
        .any(|finding| finding.code != Code::Unsupported)
        .then_some(Verdict::Refuse)
}

fn add_finding(
    checked: &mut Checked,
    finding: &Finding,
    linked: &Linked,
    code: &isa::Code,
    sources: &mut Sources,
) {
    let mut finding = finding.clone();
    if finding.code == Code::Unsupported {
        finding.severity = Severity::Warning;
        finding
            .help
            .get_or_insert_with(|| "--load asks the running kernel's verifier".to_owned());
    }
    let found = diagnostic::Diagnostic::of(&finding, linked, code);
    checked.text.push(findings::render(&found, code, sources));
    checked.program.diagnostics.push(Diagnostic::of(&found));
}

fn not_linked(object: &Object, index: usize, why: Diagnostic) -> Checked {
    let program = &object.programs[index];
    Checked {
        text: vec![render::check::diagnostic(&why, output::width())],
        program: Program {
            name: program.name.clone(),
            section: program.section.clone(),
            verdict: Some(Verdict::Refuse),
            offload: None,
            insns: None,
            nfp_words: None,
            cycles: None,
            helpers: Vec::new(),
            maps: Vec::new(),
            diagnostics: vec![why],
        },
    }
}

/// The running kernel's word is final about the running kernel, and beside it for another target.
fn add_trial(checked: &mut Checked, (verdict, found): (Option<Verdict>, Option<Diagnostic>)) {
    let program = &mut checked.program;
    program.verdict = match (program.verdict, verdict) {
        (Some(Verdict::Refuse), _) | (_, Some(Verdict::Refuse)) => Some(Verdict::Refuse),
        (ours, kernels) => kernels.or(ours),
    };
    if let Some(found) = found {
        checked
            .text
            .push(render::check::diagnostic(&found, output::width()));
        program.diagnostics.push(found);
    }
}

fn map_of_shape(map: &MapShape) -> MapDefinition {
    MapDefinition {
        name: map.name.clone(),
        kind: MapKind(map.kind).to_string(),
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
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

/// What is known of the interface that was named.
struct Looked {
    device: Device,
    plan: Plan,
    /// Bytes.
    mtu: u32,
    /// The NIC as a target, where programs can be on NICs of its kind.
    card: Option<Nfp>,
}

/// The ladder as `attach` would take it.
fn look_at(object: &Object, name: &str, program: usize, ifname: &str) -> Result<Looked, Failure> {
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
    let mtu = facts.link.mtu;
    Ok(Looked {
        device,
        plan,
        mtu,
        card: is_nfp(facts).then(|| Nfp {
            mtu,
            ..Nfp::new(Profile::default())
        }),
    })
}
