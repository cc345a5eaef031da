//! `soak`: many packets to an attached program, while it may be replaced.

use super::stop_at_signals;
use crate::choose::{Selection, read_object};
use crate::exit::{Exit, Failure};
use crate::json::soak::Report;
use crate::pcap::Capture;
use crate::wire::{Counts, Ends, Fate, Pace, Peer, Place, Replaced, Replacement, Wire, padded};
use crate::{duration, output, render};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Different packets that are sent at most: each is sent once alone before.
const MOST: usize = 1024;

/// Send packets to an attached program for a while: none may pass it by, none be lost
#[derive(Debug, clap::Args)]
#[command(
    after_help = "First each packet is sent alone: what becomes of it then is what is expected of it later. \
    Packets are told apart by their bytes. \
    A program whose verdict depends on those before, such as a rate limit, needs a rate below it.\n\
    What replaces the program begins with the map contents of the attached one, and stays attached.\n\n\
    Examples:\n  \
    xdp-offload soak eth0 --packets traffic.pcap --peer eth1\n  \
    xdp-offload soak eth0 --packets traffic.pcap --peer lab/eth1 --for 1m --replace filter.bpf.o"
)]
pub struct Args {
    /// The interface, with a program attached
    #[arg(value_name = "IFACE")]
    interface: String,

    /// The packets: a pcap file of Ethernet packets
    #[arg(long, value_name = "FILE")]
    packets: PathBuf,

    /// The interface at the other end of the cable, which sends the packets
    #[arg(long, value_name = "[NETNS/]IFACE")]
    peer: Peer,

    /// For how long
    #[arg(long = "for", value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    time: Duration,

    /// Packets a second; less where this host is too slow
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,

    /// Meanwhile replace the attached program with that of an object, in one step each time
    #[arg(long, value_name = "OBJ")]
    replace: Option<PathBuf>,

    /// The program in that object, by its name
    #[arg(long, value_name = "NAME", requires = "replace")]
    prog: Option<String>,

    /// How often to replace it
    #[arg(long, value_name = "TIME", default_value = "200ms", requires = "replace", value_parser = duration::parse)]
    every: Duration,

    /// How many packets may be lost
    #[arg(long, value_name = "N", default_value_t = 0)]
    lost: u64,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let selection = args.replace.as_ref().map(|object| Selection {
        object: object.clone(),
        prog: args.prog.clone(),
        section: None,
        set: Vec::new(),
    });
    let chosen = match &selection {
        None => None,
        Some(selection) => {
            let mut object = read_object(&selection.object)?;
            let program = selection.one(&mut object)?;
            Some((object, selection.object_name(), program))
        }
    };
    let replacement = chosen.as_ref().map(|(object, name, program)| Replacement {
        object,
        name,
        program: *program,
        every: args.every,
    });
    let frames = frames(&Capture::read(&args.packets)?);
    if frames.is_empty() {
        let file = args.packets.display();
        return Err(Failure::new(Exit::Usage, format!("{file} has no packets")));
    }
    let ends = Ends {
        dev: args.interface.clone(),
        peer: args.peer.clone(),
    };
    let stop = stop_at_signals()?;
    let mut wire = Wire::open(&ends, None)?;
    let frames = learn(&mut wire, frames)?;
    let pace = Pace {
        rate: args.rate,
        time: args.time,
    };
    let (counts, replaced) = match replacement {
        None => (wire.send_all(&frames, pace, &stop)?, Replaced::default()),
        Some(replacement) => replacing(&mut wire, replacement, &frames, pace, &stop)?,
    };
    let report = Report {
        schema: "xdp-offload/soak/v1",
        ifname: args.interface.clone(),
        mode: wire.attached.mode.into(),
        program: wire.attached.name.clone(),
        sent: counts.sent,
        expected_pass: counts.expected_pass,
        passed: counts.passed,
        expected_return: counts.expected_return,
        returned: counts.returned,
        unprotected: counts.unprotected,
        lost: counts.lost,
        missed: counts.missed,
        replaced: replaced.times,
        runs: wire
            .runs()?
            .map(|runs| (runs + replaced.runs).saturating_sub(frames.len() as u64)),
    };
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&render::soak::report(&report, wire.attached.mode))?;
    }
    judge(&counts, args)
}

/// The different packets of a file, as they are on a cable.
fn frames(capture: &Capture) -> Vec<Vec<u8>> {
    let mut seen = HashSet::new();
    let mut frames: Vec<Vec<u8>> = capture
        .packets
        .iter()
        .map(|packet| padded(&packet.bytes))
        .filter(|frame| seen.insert(frame.clone()))
        .collect();
    if frames.len() > MOST {
        output::note(&format!("only the first {MOST} different packets are sent"));
        frames.truncate(MOST);
    }
    frames
}

/// What becomes of each frame when it is alone.
fn learn(wire: &mut Wire, frames: Vec<Vec<u8>>) -> Result<Vec<(Vec<u8>, Fate)>, Failure> {
    let mut learnt = Vec::with_capacity(frames.len());
    for (index, frame) in frames.into_iter().enumerate() {
        let number = index + 1;
        let fate = wire.send_alone(&frame, None).map_err(|failure| Failure {
            what: format!("packet {number}: {}", failure.what),
            ..failure
        })?;
        if let Fate::ReturnFailed(_) = fate {
            output::note(&format!(
                "packet {number} is to be sent back and does not arrive; it is not expected to"
            ));
        }
        learnt.push((frame, fate));
    }
    Ok(learnt)
}

/// Sends while another thread replaces the program.
fn replacing(
    wire: &mut Wire,
    replacement: Replacement<'_>,
    frames: &[(Vec<u8>, Fate)],
    pace: Pace,
    stop: &AtomicBool,
) -> Result<(Counts, Replaced), Failure> {
    let (ifindex, _) = wire.ingress();
    let place = Place {
        ifindex,
        mode: wire.attached.mode,
        program_id: wire.attached.id,
    };
    let done = AtomicBool::new(false);
    let (ready, is_ready) = mpsc::channel();
    std::thread::scope(|scope| {
        let replacing = scope.spawn(|| {
            // What has to be known here is said by dropping it.
            let ready = ready;
            let replaced = replacement.run(place, &ready, &done);
            if replaced.is_err() {
                // No more packets for a program that is not what it should be.
                stop.store(true, Ordering::Relaxed);
            }
            replaced
        });
        let counts = match is_ready.recv() {
            Ok(()) => wire.send_all(frames, pace, stop),
            Err(mpsc::RecvError) => Ok(Counts::default()),
        };
        done.store(true, Ordering::Relaxed);
        let replaced = replacing
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((counts?, replaced))
    })
}

fn judge(counts: &Counts, args: &Args) -> Result<Exit, Failure> {
    let name = &args.interface;
    if counts.unprotected > 0 {
        return Err(Failure::new(
            Exit::No,
            format!(
                "{} packets reached {name}'s stack that the program keeps from it",
                counts.unprotected
            ),
        )
        .because("for a moment no program, or another one, was attached")
        .remedy(
            "`xdp-offload attach --replace` swaps programs in one step, where the driver does",
        ));
    }
    if counts.lost > args.lost {
        return Err(Failure::new(
            Exit::No,
            format!("{} packets were lost, {} may be", counts.lost, args.lost),
        )
        .because("they arrive when they are sent alone")
        .remedy("a lower --rate shows whether a queue was full; --lost N allows for some"));
    }
    Ok(Exit::Done)
}
