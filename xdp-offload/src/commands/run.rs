//! `run`: a program on the packets of a file.

mod compare;

use crate::choose::Selection;
use crate::engine::{Engine, Given, Kind, Ran, Words};
use crate::exit::{Exit, Failure};
use crate::json::run::{Packet as PacketReport, Report};
use crate::nfp;
use crate::pcap::{Capture, Packet};
use crate::sources::Sources;
use crate::subject::Subject;
use crate::target::CardArgs;
use crate::value::Shape;
use crate::wire::{Ends, Peer, padded};
use crate::{output, render};
use generic_fallback::load::Loader;
use kernel::bpf::test_run::verdict_name;
use offload_compiler::object::Object;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Run a program on the packets of a file and tell each one's verdict
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A map's file holds a list of {\"key\": .., \"value\": ..}, or what `xdp-offload map NAME dump --json` prints.\n\
    Clocks show the packets' times in the interpreter. Cycles of the engine nfp are assumed: no card was measured.\n\n\
    Examples:\n  \
    xdp-offload run filter.bpf.o --packets traffic.pcap\n  \
    xdp-offload run filter.bpf.o --packets traffic.pcap --map rules=rules.json --out passed.pcap\n  \
    xdp-offload run filter.bpf.o --packets traffic.pcap --compare interp,kernel\n  \
    xdp-offload run filter.bpf.o --packets traffic.pcap --compare interp,nfp\n  \
    xdp-offload run filter.bpf.o --packets traffic.pcap --engine nfp --words filter.nfp\n  \
    xdp-offload run filter.bpf.o --packets traffic.pcap --compare interp,wire --dev eth0 --peer eth1"
)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// The packets: a pcap file of Ethernet packets
    #[arg(long, value_name = "FILE")]
    packets: PathBuf,

    /// What runs the program
    #[arg(long, value_enum, default_value_t = Kind::Interp)]
    engine: Kind,

    /// Run both engines and stop at the first packet that they disagree about
    #[arg(long, value_name = "A,B", conflicts_with = "engine")]
    compare: Option<Pair>,

    /// NFP words that the engine nfp runs instead of compiling the program. Maps have numbers from 1, in the object's order of
    /// those that the program uses
    #[arg(long, value_name = "FILE")]
    words: Option<PathBuf>,

    /// The interface of the engine wire: the program is attached to it already
    #[arg(long, value_name = "IFACE")]
    dev: Option<String>,

    /// The interface at the other end of its cable, which sends the packets
    #[arg(long, value_name = "[NETNS/]IFACE")]
    peer: Option<Peer>,

    #[command(flatten)]
    card: CardArgs,

    /// Fill a map before the first packet
    #[arg(long, value_name = "NAME=FILE")]
    map: Vec<String>,

    /// Write the packets that pass, are sent back or redirected, as the program left them
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Two engines to compare.
#[derive(Debug, Clone, Copy)]
struct Pair(Kind, Kind);

impl std::str::FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, second) = text.split_once(',').ok_or("two engines are compared")?;
        let kind = |name| <Kind as clap::ValueEnum>::from_str(name, false);
        Ok(Self(kind(first)?, kind(second)?))
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut object = args.selection.read()?;
    let program = args.selection.one(&mut object)?;
    let name = args.selection.object_name();
    let loader = Loader::for_trial(&object, &name);
    let mut capture = Capture::read(&args.packets)?;
    let kinds = match args.compare {
        None => vec![args.engine],
        Some(Pair(first, second)) => vec![first, second],
    };
    let words = words(args, &kinds, &object, &loader, program)?;
    let ends = ends(args, &kinds)?;
    if ends.is_some() {
        for packet in &mut capture.packets {
            packet.bytes = padded(&packet.bytes);
        }
    }
    let given = Given {
        words: words.as_ref(),
        ends: ends.as_ref(),
    };
    let mut engines = Vec::with_capacity(kinds.len());
    for &kind in &kinds {
        engines.push(Engine::load(kind, &object, &loader, program, given)?);
    }
    for assignment in &args.map {
        fill(&object, assignment, &mut engines)?;
    }
    if let [first, second] = engines.as_mut_slice() {
        first.start_as(second, &object)?;
    }
    for note in engines.iter().flat_map(Engine::notes) {
        output::note(&note);
    }

    let mut report = Report {
        schema: "xdp-offload/run/v1",
        program: object.programs[program].name.clone(),
        engines: kinds.iter().map(|kind| kind.name()).collect(),
        packets: Vec::with_capacity(capture.packets.len()),
        verdicts: BTreeMap::new(),
    };
    let mut left = Vec::new();
    for (index, packet) in capture.packets.iter().enumerate() {
        let ran = run_on(&mut engines, &kinds, index + 1, packet, &capture)?;
        let its = describe(index + 1, packet, &ran);
        *report.verdicts.entry(its.verdict_name.clone()).or_default() += 1;
        report.packets.push(its);
        // XDP_PASS, XDP_TX, XDP_REDIRECT
        if let (Some(2..=4), Some(bytes)) = (ran.verdict, ran.packet) {
            left.push(Packet { bytes, ..*packet });
        }
    }
    if let [first, second] = engines.as_mut_slice() {
        compare::maps(first, second, &kinds, (&object, &loader, program))?;
    }
    if let Some(out) = &args.out {
        capture.with(left).write(out)?;
    }
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&render::run::report(&report))?;
    }
    Ok(Exit::Done)
}

/// The interfaces of the engine wire.
fn ends(args: &Args, kinds: &[Kind]) -> Result<Option<Ends>, Failure> {
    if !kinds.contains(&Kind::Wire) {
        if args.dev.is_some() || args.peer.is_some() {
            let what = "only the engine wire sends packets to an interface";
            return Err(Failure::new(Exit::Usage, what)
                .remedy("add --engine wire, or --compare interp,wire"));
        }
        return Ok(None);
    }
    match (&args.dev, &args.peer) {
        (Some(dev), Some(peer)) => Ok(Some(Ends {
            dev: dev.clone(),
            peer: peer.clone(),
        })),
        _ => Err(
            Failure::new(Exit::Usage, "the engine wire needs --dev and --peer").remedy(
                "--dev IFACE has the program, --peer [NETNS/]IFACE is the other end of its cable",
            ),
        ),
    }
}

/// What the simulated card runs: the words of a file, or the program's translation.
fn words(
    args: &Args,
    kinds: &[Kind],
    object: &Object,
    loader: &Loader<'_>,
    program: usize,
) -> Result<Option<Words>, Failure> {
    if !kinds.contains(&Kind::Nfp) {
        if args.words.is_some() || args.card.is_given() {
            return Err(Failure::new(Exit::Usage, "only the engine nfp runs words")
                .remedy("add --engine nfp, or --compare interp,nfp"));
        }
        return Ok(None);
    }
    let card = args.card.choose()?;
    if let Some(file) = &args.words {
        return Ok(Some(Words {
            code: nfp::read_words(file)?,
            places: Vec::new(),
            profile: card.profile,
        }));
    }
    let name = &object.programs[program].name;
    let subject = Subject::of_object(object, loader, program)
        .map_err(|error| Failure::new(Exit::No, format!("cannot link '{name}'")).because(error))?;
    nfp::translation(&subject, card, &mut Sources::of(&args.selection.object)).map(Some)
}

/// Runs all engines on a packet: they have to agree.
fn run_on(
    engines: &mut [Engine<'_>],
    kinds: &[Kind],
    number: usize,
    packet: &Packet,
    capture: &Capture,
) -> Result<Ran, Failure> {
    let numbered = |failure: Failure| Failure {
        what: format!("packet {number}: {}", failure.what),
        ..failure
    };
    let run = |engine: &mut Engine<'_>, expected: Option<&Ran>| {
        // A program on a real interface sees real clocks.
        let time = if kinds.contains(&Kind::Wire) {
            kernel::host::uptime_ns()
        } else {
            capture.time_ns(packet)
        };
        engine.run(&packet.bytes, time, expected).map_err(&numbered)
    };
    let mut all = match engines {
        // The wire comes last: it waits for what is expected of it.
        [first, second] if kinds[0] == Kind::Wire => {
            let expected = run(second, None)?;
            vec![run(first, Some(&expected))?, expected]
        }
        [first, second] => {
            let expected = run(first, None)?;
            let ran = run(second, Some(&expected))?;
            vec![expected, ran]
        }
        engines => {
            let mut all = Vec::with_capacity(engines.len());
            for engine in engines {
                all.push(run(engine, None)?);
            }
            all
        }
    };
    if let [first, second] = all.as_slice() {
        compare::packets(first, second, kinds, &packet.bytes).map_err(&numbered)?;
    }
    Ok(all.swap_remove(0))
}

fn name_of(verdict: Option<u32>) -> String {
    match verdict {
        None => "neither XDP_PASS nor XDP_TX".to_owned(),
        Some(verdict) => {
            verdict_name(verdict).map_or_else(|| format!("invalid ({verdict})"), str::to_owned)
        }
    }
}

fn describe(number: usize, packet: &Packet, ran: &Ran) -> PacketReport {
    PacketReport {
        number,
        verdict: ran.verdict,
        verdict_name: name_of(ran.verdict),
        length: packet.bytes.len(),
        length_after: ran.packet.as_ref().map(Vec::len),
        changed: ran.packet.as_ref().map(|after| packet.bytes != *after),
        redirect: ran.redirect.clone(),
        instructions: ran.instructions,
        cycles: ran.cycles,
        nanoseconds: ran.nanoseconds,
        lost: ran.lost.clone(),
    }
}

/// Fills a map of every engine by `NAME=FILE`.
pub(super) fn fill(
    object: &Object,
    assignment: &str,
    engines: &mut [Engine<'_>],
) -> Result<(), Failure> {
    let failure = |why: String| {
        Failure::new(Exit::Usage, format!("cannot fill a map by '{assignment}'")).because(why)
    };
    let (name, file) = assignment
        .split_once('=')
        .ok_or_else(|| failure("it is not NAME=FILE".to_owned()))?;
    let index = object.map_named(name).ok_or_else(|| {
        let names: Vec<&str> = object.maps.iter().map(|map| map.name.as_str()).collect();
        failure(format!("the object's maps are {}", names.join(", ")))
    })?;
    let def = &object.maps[index];
    let (keys, values) = (
        Shape::of(def.key_size, object.btf(), def.key_type_id),
        Shape::of(def.value_size, object.btf(), def.value_type_id),
    );
    for (number, entry) in entries(Path::new(file))
        .map_err(&failure)?
        .iter()
        .enumerate()
    {
        let at = |why: String| failure(format!("entry {}: {why}", number + 1));
        let part = |name: &str, shape: &Shape<'_>| {
            let value = entry
                .get(name)
                .ok_or_else(|| at(format!("it has no \"{name}\"")))?;
            shape.encode(value).map_err(|error| at(error.to_string()))
        };
        let key = part("key", &keys)?;
        let value = part("value", &values)?;
        for engine in &mut *engines {
            if !engine.fill(object, index, &key, &value).map_err(at)? {
                return Err(failure("the program does not use that map".to_owned()));
            }
        }
    }
    Ok(())
}

/// A list of entries, or a report that holds one.
fn entries(path: &Path) -> Result<Vec<Value>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let value: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    match value {
        Value::Array(entries) => Ok(entries),
        Value::Object(mut report) => match report.remove("entries") {
            Some(Value::Array(entries)) => Ok(entries),
            _ => Err("it holds no list of entries".to_owned()),
        },
        _ => Err("it holds no list of entries".to_owned()),
    }
}
