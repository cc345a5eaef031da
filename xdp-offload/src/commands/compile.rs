//! `compile`: a program for an NFP, as words, assembly, a listing beside its source, or instructions for the driver.

mod emit;

use crate::choose::Selection;
use crate::exit::{Exit, Failure};
use crate::findings;
use crate::nfp::{self, Compiled, NotCompiled};
use crate::output;
use crate::sources::Sources;
use crate::subject::Subject;
use crate::target::CardArgs;
use generic_fallback::load::Loader;
use nfp_target::codegen::Options;
use nfp_target::target::Nfp;
use offload_compiler::target::{Program, Target};
use offload_compiler::verify::{Finding, Prepared, Severity};
use std::fs;
use std::path::{Path, PathBuf};

/// Translate a program for a Netronome NIC (NFP)
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    xdp-offload compile filter.bpf.o --emit listing           source, eBPF, NFP and cost side by side\n  \
    xdp-offload compile filter.bpf.o --emit nfp -o filter.nfp\n  \
    xdp-offload run filter.bpf.o --packets traffic.pcap --compare interp,nfp --words filter.nfp\n  \
    xdp-offload compile filter.bpf.o --emit asm -O0 --profile card64\n\n\
    What the card cannot run is shown at its source line; the exit code is then 3.")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// The file holds plain 8-byte eBPF instructions, no object; FILE.maps has a line a map
    #[arg(long, conflicts_with_all = ["prog", "section", "set"])]
    raw: bool,

    /// What to write
    #[arg(long, value_enum)]
    emit: Emit,

    /// Where to write it; text goes to the terminal where this is left out
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,

    /// 0 translates as it stands, 1 spends time on shorter and faster code
    #[arg(short = 'O', value_name = "LEVEL", default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(0..=1))]
    level: u8,

    #[command(flatten)]
    card: CardArgs,
}

/// What `compile` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Emit {
    /// NFP words: 16 hex digits a line, as the kernel driver's dump has them
    Nfp,
    /// NFP assembly, as the public disassembler prints it
    Asm,
    /// Each source line with its eBPF instructions, NFP words and their cost
    Listing,
    /// Plain 8-byte eBPF instructions that the NIC's driver takes; OUT.maps gets a line a map
    Ebpf,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let card = args.card.choose()?;
    if args.emit == Emit::Ebpf && args.output.is_none() {
        return Err(Failure::new(Exit::Usage, "plain instructions are no text")
            .remedy("name a file with -o"));
    }
    let subject = subject(args)?;
    let mut sources = Sources::of(&args.selection.object);
    let prepared = nfp::decoded(&subject)?;
    if args.emit == Emit::Ebpf {
        let (errors, warnings) = driver(&subject, prepared, &card);
        findings::say(&warnings, &subject.linked, &prepared.code, &mut sources);
        if !errors.is_empty() {
            return Err(nfp::refused(
                &NotCompiled::Refused(errors),
                &subject,
                prepared,
                &card,
                &mut sources,
            ));
        }
        emit::ebpf(&subject, prepared, args.output.as_deref())?;
        return Ok(Exit::Done);
    }
    let options = Options {
        optimise: args.level > 0,
    };
    let compiled = nfp::compile(&subject, prepared, &card, options)
        .map_err(|found| nfp::refused(&found, &subject, prepared, &card, &mut sources))?;
    let text = text(args.emit, &subject, prepared, &card, &compiled);
    match &args.output {
        None => output::print(&text)?,
        Some(path) => write(
            path,
            anstream::adapter::strip_str(&text).to_string().as_bytes(),
        )?,
    }
    Ok(Exit::Done)
}

fn text(
    emit: Emit,
    subject: &Subject,
    prepared: &Prepared,
    card: &Nfp,
    compiled: &Compiled,
) -> String {
    match emit {
        Emit::Asm => emit::asm(subject, prepared, card, compiled),
        Emit::Listing => crate::render::listing::listing(
            subject,
            prepared,
            &card.name(),
            compiled,
            output::width(),
        ),
        Emit::Nfp | Emit::Ebpf => emit::words(subject, prepared, card, compiled),
    }
}

fn subject(args: &Args) -> Result<Subject, Failure> {
    let name = args.selection.object_name();
    if args.raw {
        return Subject::raw(&args.selection.object, name);
    }
    let mut object = args.selection.read()?;
    let program = args.selection.one(&mut object)?;
    let loader = Loader::for_trial(&object, &name);
    Subject::of_object(&object, &loader, program).map_err(|error| {
        let name = &object.programs[program].name;
        Failure::new(Exit::No, format!("cannot link '{name}'")).because(error)
    })
}

/// What the NIC's driver would say of a program that it is to translate itself: why it refuses it, or what it would
/// translate wrongly.
fn driver(subject: &Subject, prepared: &Prepared, card: &Nfp) -> (Vec<Finding>, Vec<Finding>) {
    let input = prepared.input();
    let program = Program {
        input: &input,
        frags: subject.frags,
    };
    let mut errors = card.check(&program).findings;
    errors.retain(|finding| finding.severity == Severity::Error);
    let warnings = if errors.is_empty() {
        card.wrong_code(&input)
    } else {
        Vec::new()
    };
    (errors, warnings)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(error)
    })
}
