//! `compile`: a program for an NFP, lowered to what its driver takes: as an object, a report, words, assembly, a listing
//! beside its source, or plain instructions.

mod emit;

use crate::choose::Selection;
use crate::commands::run;
use crate::engine::{Engine, Given, Kind};
use crate::exit::{Exit, Failure};
use crate::findings;
use crate::lowering;
use crate::nfp::{self, Compiled};
use crate::output;
use crate::pcap::Capture;
use crate::sources::Sources;
use crate::subject::Subject;
use crate::target::CardArgs;
use generic_fallback::load::Loader;
use kernel::netlink::link::Link;
use nfp_target::codegen;
use nfp_target::target::Nfp;
use offload_compiler::lower::{self, Allow, Lowered};
use offload_compiler::object::Object;
use offload_compiler::target::Target;
use offload_compiler::verify::Prepared;
use std::fs;
use std::path::{Path, PathBuf};

/// Lower a program to what a Netronome NIC (NFP) takes, or translate it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    xdp-offload compile filter.bpf.o -o filter.nfp.o --allow counters,globals\n  \
    xdp-offload compile filter.bpf.o --emit report            what is rewritten, at its source line\n  \
    xdp-offload compile filter.bpf.o --dev eth0 -o eth0.nfp.o  its index and MTU are constants\n  \
    xdp-offload compile filter.bpf.o --emit report --allow split --packets traffic.pcap\n  \
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
    #[arg(long, value_enum, default_value_t = Emit::Object)]
    emit: Emit,

    /// Rewrites that change what user space sees: `xdp-offload explain NAME` says how
    #[arg(long, value_name = "NAME,..", value_delimiter = ',',
        value_parser = clap::builder::PossibleValuesParser::new(Allow::ALL.map(Allow::name)))]
    allow: Vec<String>,

    /// Where to write it; text goes to the terminal where this is left out
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,

    /// 0 changes only what it must, 1 spends time on shorter and faster code
    #[arg(short = 'O', value_name = "LEVEL", default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(0..=1))]
    level: u8,

    /// The interface that it is for: its index and MTU become constants
    #[arg(long, value_name = "IFACE")]
    dev: Option<String>,

    /// Run the lowered program on these packets, and add to the report how many of them the card decides
    #[arg(long, value_name = "FILE")]
    packets: Option<PathBuf>,

    /// Fill a map for that: the entries that FILE holds, as `map NAME dump --json` writes them
    #[arg(long, value_name = "NAME=FILE", requires = "packets")]
    map: Vec<String>,

    /// Print the report as JSON (schema: xdp-offload/compile/v1)
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    card: CardArgs,
}

/// What `compile` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Emit {
    /// An object with the lowered program, its maps, types and source lines, for libbpf, bpftool and ip
    Object,
    /// Each rewrite as a difference at its source line
    Report,
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
    let mut card = args.card.choose()?;
    let link = match &args.dev {
        Some(name) => Some(super::interface(&mut super::open_route()?, name)?),
        None => None,
    };
    if let Some(link) = &link {
        card.mtu = link.mtu;
    }
    if args.json && args.emit != Emit::Report {
        return Err(Failure::new(Exit::Usage, "--json is a form of the report")
            .remedy("ask for it with --emit report"));
    }
    if args.packets.is_some() && (args.emit != Emit::Report || args.json || args.raw) {
        return Err(
            Failure::new(Exit::Usage, "--packets adds to the report of an object")
                .remedy("ask for it with --emit report, without --json and --raw"),
        );
    }
    let binary = matches!(args.emit, Emit::Object | Emit::Ebpf);
    if binary && args.output.is_none() {
        return Err(
            Failure::new(Exit::Usage, "an object or plain instructions are no text")
                .remedy("name a file with -o, or ask for --emit report"),
        );
    }
    if args.raw && args.emit == Emit::Object {
        return Err(Failure::new(
            Exit::Usage,
            "plain instructions come without the types and maps of an object",
        )
        .remedy("--emit ebpf writes plain instructions"));
    }
    let (object, subject) = subject(args)?;
    let mut work = Work {
        args,
        options: options(args, link.as_ref()),
        card,
        prepared: nfp::decoded(&subject)?,
        subject: &subject,
        sources: Sources::of(&args.selection.object),
    };
    match (args.emit, &object) {
        (Emit::Object, Some((object, program))) => work.object(object, *program),
        (Emit::Object, None) => Ok(Exit::Usage),
        (Emit::Report, object) => work.report(object.as_ref()),
        (Emit::Ebpf, _) => work.plain(),
        (Emit::Nfp | Emit::Asm | Emit::Listing, _) => work.words(),
    }
}

fn options(args: &Args, link: Option<&Link>) -> lower::Options {
    lower::Options {
        optimise: args.level > 0,
        allow: lowering::allowed(&args.allow),
        ifindex: link.map(|link| link.ifindex),
        mtu: link.map(|link| link.mtu),
    }
}

/// One program on its way to a card.
struct Work<'a> {
    args: &'a Args,
    options: lower::Options,
    card: Nfp,
    subject: &'a Subject,
    prepared: &'a Prepared,
    sources: Sources,
}

impl Work<'_> {
    fn lowered(&self) -> Result<Lowered, Failure> {
        lowering::lowered(self.subject, self.prepared, &self.card, &self.options)
    }

    /// The lowered program, which the card takes.
    fn accepted(&mut self) -> Result<Lowered, Failure> {
        let lowered = self.lowered()?;
        if lowered.is_accepted() {
            return Ok(lowered);
        }
        Err(self.refused(&lowered))
    }

    fn refused(&mut self, lowered: &Lowered) -> Failure {
        lowering::refused(
            lowered,
            self.subject,
            self.prepared,
            &self.card,
            &self.options,
            &mut self.sources,
        )
    }

    /// Of what was allowed, says on stderr what there was nothing to do for.
    fn say_what_was_not_needed(&self, lowered: &Lowered) {
        for allow in lowered.unneeded(&self.options) {
            output::note(&format!("--allow {allow}: there was nothing to do"));
        }
    }

    fn object(&mut self, object: &Object, program: usize) -> Result<Exit, Failure> {
        let lowered = self.accepted()?;
        self.say_what_was_not_needed(&lowered);
        let (bytes, notes) = lowering::object(object, program, self.subject, &lowered)?;
        for note in notes {
            output::note(&note);
        }
        self.write(&bytes)
    }

    fn report(&mut self, object: Option<&(Object, usize)>) -> Result<Exit, Failure> {
        let lowered = self.lowered()?;
        if self.args.json {
            let report = lowering::json(
                (self.subject, self.prepared),
                (&self.card, &self.options),
                &lowered,
            );
            output::print_json(&report)?;
            return Ok(if lowered.is_accepted() {
                Exit::Done
            } else {
                Exit::No
            });
        }
        let mut text = lowering::text(self.subject, self.prepared, &self.card, &lowered);
        if let (Some(packets), Some((object, program))) = (&self.args.packets, object)
            && lowered.is_accepted()
        {
            text += &self.decided(&lowered, object, *program, packets)?;
        }
        self.put(&text)?;
        self.say_what_was_not_needed(&lowered);
        if lowered.is_accepted() {
            Ok(Exit::Done)
        } else {
            Err(self.refused(&lowered))
        }
    }

    /// How many packets of a file the card decides: what it drops, sends back or aborts on. The others it passes up.
    fn decided(
        &self,
        lowered: &Lowered,
        object: &Object,
        program: usize,
        packets: &Path,
    ) -> Result<String, Failure> {
        let (made, program) = lowering::made(object, program, self.subject, lowered)?;
        let name = self.args.selection.object_name();
        let loader = Loader::for_trial(&made, &name);
        let capture = Capture::read(packets)?;
        let mut engine = Engine::load(Kind::Interp, &made, &loader, program, Given::default())?;
        for assignment in &self.args.map {
            run::fill(&made, assignment, std::slice::from_mut(&mut engine))?;
        }
        let mut decided = 0;
        for packet in &capture.packets {
            let ran = engine.run(&packet.bytes, capture.time_ns(packet), None)?;
            // Aborted, dropped, sent back; all else goes to the host.
            decided += usize::from(matches!(ran.effect(), Some(0 | 1 | 3)));
        }
        Ok(format!(
            "of {} packets the card decides {decided}\n",
            capture.packets.len()
        ))
    }

    fn plain(&mut self) -> Result<Exit, Failure> {
        let lowered = self.accepted()?;
        self.say_what_was_not_needed(&lowered);
        let subject = lowering::subject(self.subject, self.prepared, &lowered);
        let prepared = nfp::decoded(&subject)?;
        let warnings = self.card.wrong_code(&prepared.input());
        findings::say(
            &warnings,
            &subject.linked,
            &prepared.code,
            &mut self.sources,
        );
        emit::ebpf(&subject, prepared, self.args.output.as_deref())?;
        Ok(Exit::Done)
    }

    /// The words of our own translation, which takes more than the driver does: lowered only where it must be.
    fn words(&mut self) -> Result<Exit, Failure> {
        let options = codegen::Options {
            optimise: self.args.level > 0,
        };
        match nfp::compile(self.subject, self.prepared, &self.card, options) {
            Ok(compiled) => self.put(&text(
                self.args.emit,
                self.subject,
                self.prepared,
                &self.card,
                &compiled,
            )),
            Err(found) => {
                let lowered = self.lowered()?;
                if !lowered.is_accepted() {
                    return Err(self.refused(&lowered));
                }
                let subject = lowering::subject(self.subject, self.prepared, &lowered);
                let prepared = nfp::decoded(&subject)?;
                let Ok(compiled) = nfp::compile(&subject, prepared, &self.card, options) else {
                    return Err(nfp::refused(
                        &found,
                        self.subject,
                        self.prepared,
                        &self.card,
                        &mut self.sources,
                    ));
                };
                self.put(&text(
                    self.args.emit,
                    &subject,
                    prepared,
                    &self.card,
                    &compiled,
                ))
            }
        }
    }

    /// Text to the terminal, or without its colours into the file.
    fn put(&self, text: &str) -> Result<Exit, Failure> {
        match &self.args.output {
            None => output::print(text).map(|()| Exit::Done),
            Some(_) => self.write(anstream::adapter::strip_str(text).to_string().as_bytes()),
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<Exit, Failure> {
        if let Some(path) = &self.args.output {
            write(path, bytes)?;
        }
        Ok(Exit::Done)
    }
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
        _ => emit::words(subject, prepared, card, compiled),
    }
}

fn subject(args: &Args) -> Result<(Option<(Object, usize)>, Subject), Failure> {
    let name = args.selection.object_name();
    if args.raw {
        return Ok((None, Subject::raw(&args.selection.object, name)?));
    }
    let mut object = args.selection.read()?;
    let program = args.selection.one(&mut object)?;
    let loader = Loader::for_trial(&object, &name);
    let subject = Subject::of_object(&object, &loader, program).map_err(|error| {
        let name = &object.programs[program].name;
        Failure::new(Exit::No, format!("cannot link '{name}'")).because(error)
    })?;
    Ok((Some((object, program)), subject))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(error)
    })
}
