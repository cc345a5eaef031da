//! `bench`: how fast a program is in each mode.

#![allow(
    clippy::cast_precision_loss,
    reason = "what is counted in a day stays far below 2^52"
)]

use super::{facts, probe_interfaces, stop_at_signals};
use crate::choose::Selection;
use crate::exit::{Exit, Failure};
use crate::json::bench::{How, Measured, Report};
use crate::on_nic::NicArgs;
use crate::pcap::Capture;
use crate::wire::{Peer, padded, peer_sender};
use crate::{duration, output, render};
use generic_fallback::outcome::{Attempt, AttemptResult, Outcome};
use generic_fallback::plan::{Request, Wanted};
use generic_fallback::{Ladder, NicProgram, occupant};
use kernel::Errno;
use kernel::bpf::RunStatistics;
use kernel::bpf::program::Program;
use kernel::bpf::test_run::{TestRun, XdpContext};
use kernel::netlink::link::{Link, Mode};
use kernel::packet::{BATCH, PacketSender};
use offload_compiler::object::Object;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Live frames that one test run makes.
const REPEAT: u32 = 1 << 13;
/// Bytes of a packet that nobody has given.
const LENGTH: usize = 64;

/// Measure a program in each mode that an interface holds
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --peer packets are sent as fast as one thread can: packets a second that the program saw, \
    and the kernel's time in it. Without, the kernel makes packets (live frames of its test run), \
    whose verdicts are carried out: what the program sends back leaves by the NIC. \
    Nothing may be attached before; nothing is afterwards.\n\n\
    Examples:\n  \
    xdp-offload bench filter.bpf.o eth0\n  \
    xdp-offload bench filter.bpf.o eth0 --peer eth1 --for 10s --packets traffic.pcap"
)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// The interface
    #[arg(value_name = "IFACE")]
    interface: String,

    /// The interface at the other end of its cable, which sends packets
    #[arg(long, value_name = "[NETNS/]IFACE")]
    peer: Option<Peer>,

    /// For how long in each mode
    #[arg(long = "for", value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    time: Duration,

    /// The packets: a pcap file of Ethernet packets; a UDP packet of 64 bytes where none is given
    #[arg(long, value_name = "FILE")]
    packets: Option<PathBuf>,

    #[command(flatten)]
    nic: NicArgs,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where packets come from.
enum Source {
    Peer(PacketSender),
    TestRun,
}

/// What a mode is measured with.
struct Bench<'a> {
    args: &'a Args,
    object: &'a Object,
    name: &'a str,
    program: usize,
    source: Source,
    frames: Vec<Vec<u8>>,
    stop: &'a AtomicBool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut object = args.selection.read()?;
    let program = args.selection.one(&mut object)?;
    let snapshot = probe_interfaces(std::slice::from_ref(&args.interface))?;
    let link = &facts(&snapshot, &args.interface)?.link;
    refuse_occupied(link)?;
    let (source, far) = match &args.peer {
        None => (Source::TestRun, None),
        Some(peer) => {
            let (link, sender) = peer_sender(peer)?;
            (Source::Peer(sender), Some(link))
        }
    };
    let frames = match &args.packets {
        None => vec![frame(link, far.as_ref())],
        Some(file) => {
            let packets = Capture::read(file)?.packets;
            packets.iter().map(|packet| padded(&packet.bytes)).collect()
        }
    };
    if frames.is_empty() {
        return Err(Failure::new(Exit::Usage, "there are no packets"));
    }
    let stop = stop_at_signals()?;
    let bench = Bench {
        args,
        object: &object,
        name: &args.selection.object_name(),
        program,
        source,
        frames,
        stop: &stop,
    };
    // A file's packets are not only for the interface's own address.
    let _promiscuous = bench.args.packets.as_ref().map(|_| hold_promiscuous(link));
    let mut modes = Vec::new();
    for mode in Mode::ALL {
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::new(Exit::Failed, "stopped by a signal")
                .because("nothing is attached any more"));
        }
        modes.push(bench.mode(mode)?);
    }
    let report = Report {
        schema: "xdp-offload/bench/v1",
        ifname: link.name.clone(),
        program: object.programs[program].name.clone(),
        ratio: ratio(&modes),
        modes,
    };
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&render::bench::report(&report, output::width()))?;
    }
    let any_held = report.modes.iter().any(|measured| measured.held);
    Ok(if any_held { Exit::Done } else { Exit::No })
}

fn hold_promiscuous(link: &Link) -> Option<PacketSender> {
    let holder = PacketSender::open(link.ifindex).ok()?;
    holder.take_any_address().ok()?;
    Some(holder)
}

fn refuse_occupied(link: &Link) -> Result<(), Failure> {
    let there = occupant::find(link.ifindex, &link.xdp);
    let Some(first) = there.first() else {
        return Ok(());
    };
    let name = &link.name;
    Err(
        Failure::new(Exit::No, format!("{name} has a program attached"))
            .because(format!("{first}, in {} mode", first.mode))
            .remedy(format!(
                "`xdp-offload detach {name}` takes it off; it is not replaced for a measurement"
            )),
    )
}

impl Bench<'_> {
    /// Attaches in one mode, measures, and takes the program off again.
    fn mode(&self, mode: Mode) -> Result<Measured, Failure> {
        let snapshot = probe_interfaces(std::slice::from_ref(&self.args.interface))?;
        let facts = facts(&snapshot, &self.args.interface)?;
        refuse_occupied(&facts.link)?;
        let nic = match mode {
            Mode::Offload => {
                let nic = &self.args.nic;
                nic.program(self.object, self.name, self.program, facts)?
            }
            Mode::Native | Mode::Generic => NicProgram::AsIs,
        };
        let request = Request {
            wanted: Wanted::Mode(mode),
            fallback: false,
            replace: false,
        };
        let mut ladder = Ladder::new(self.object, self.name, self.program, None)
            .map_err(|error| Failure::kernel("cannot talk to the kernel", &error))?;
        let outcome = ladder.climb(&snapshot, facts, request, &nic);
        let mut measured = Measured {
            mode: mode.into(),
            held: outcome.mode.is_some(),
            reason: None,
            packets_per_second: None,
            ns_per_packet: None,
            how: None,
        };
        let result = match outcome.program_id {
            None => {
                measured.reason = Some(why_not(&outcome));
                Ok(())
            }
            Some(_) if mode == Mode::Offload => {
                measured.reason = Some("what a NIC runs is not counted".to_owned());
                Ok(())
            }
            Some(id) => self.measure(id, facts.link.ifindex, &mut measured),
        };
        if let Some(failure) = ladder.roll_back().first() {
            let what = format!("cannot take the program off {} again", failure.ifname);
            return Err(Failure::kernel(what, &failure.error)
                .remedy("`xdp-offload status` shows what is attached now"));
        }
        result.map(|()| measured)
    }

    fn measure(&self, id: u32, ifindex: u32, measured: &mut Measured) -> Result<(), Failure> {
        let program = Program::from_id(id)
            .map_err(|error| Failure::kernel(format!("cannot open program {id}"), &error))?;
        match &self.source {
            Source::Peer(sender) => self.flood(sender, &program, measured),
            Source::TestRun => self.test_run(&program, ifindex, measured),
        }
    }

    /// Packets from the peer.
    fn flood(
        &self,
        sender: &PacketSender,
        program: &Program,
        measured: &mut Measured,
    ) -> Result<(), Failure> {
        let _statistics = RunStatistics::enable()
            .map_err(|error| Failure::kernel("cannot count program runs", &error))?;
        let info = || {
            program
                .info()
                .map_err(|error| Failure::kernel("cannot look at the program", &error))
        };
        let frames = self.frames.iter().cycle().map(Vec::as_slice);
        let round = self.frames.len().div_ceil(BATCH) * BATCH;
        let frames: Vec<&[u8]> = frames.take(round).collect();
        let before = info()?;
        let start = Instant::now();
        for batch in frames.chunks(BATCH).cycle() {
            if start.elapsed() >= self.args.time || self.stop.load(Ordering::Relaxed) {
                break;
            }
            if let Err(error) = sender.send_many(batch) {
                match error.errno() {
                    // Full, or down for a moment: what arrives counts.
                    Some(Errno::ENOBUFS | Errno::EAGAIN | Errno::EINTR) => {}
                    Some(Errno::ENETDOWN) => std::thread::sleep(Duration::from_millis(1)),
                    _ => return Err(Failure::kernel("the peer does not send", &error)),
                }
            }
        }
        let after = info()?;
        let elapsed = start.elapsed().as_secs_f64();
        let runs = after.run_count.saturating_sub(before.run_count);
        if runs == 0 {
            measured.reason = Some("no packet from the peer reached the program".to_owned());
            return Ok(());
        }
        let time = after.run_time.saturating_sub(before.run_time);
        measured.packets_per_second = Some(runs as f64 / elapsed);
        measured.ns_per_packet = Some(time.as_nanos() as f64 / runs as f64);
        measured.how = Some(How::Wire);
        Ok(())
    }

    /// Packets that the kernel makes.
    fn test_run(
        &self,
        program: &Program,
        ifindex: u32,
        measured: &mut Measured,
    ) -> Result<(), Failure> {
        let mut packets = 0u64;
        let start = Instant::now();
        for frame in self.frames.iter().cycle() {
            if start.elapsed() >= self.args.time || self.stop.load(Ordering::Relaxed) {
                break;
            }
            let run = TestRun {
                data: frame,
                context: Some(XdpContext {
                    ingress_ifindex: ifindex,
                    ..XdpContext::default()
                }),
                repeat: REPEAT,
            };
            match program.run_live(&run, 0) {
                Ok(()) => packets += u64::from(REPEAT),
                Err(error) if error.errno() == Some(Errno::EINTR) => {}
                Err(error) => {
                    return Err(
                        Failure::kernel("the kernel does not run live frames", &error)
                            .remedy("it does since Linux 5.18; --peer sends packets instead"),
                    );
                }
            }
        }
        if packets > 0 {
            let elapsed = start.elapsed().as_secs_f64();
            measured.packets_per_second = Some(packets as f64 / elapsed);
            measured.ns_per_packet = Some(elapsed * 1e9 / packets as f64);
            measured.how = Some(How::TestRun);
        }
        Ok(())
    }
}

/// Why a mode did not hold.
fn why_not(outcome: &Outcome) -> String {
    let refused = |attempt: &&Attempt| attempt.result != AttemptResult::Ok;
    let Some(attempt) = outcome.attempts.iter().rfind(refused) else {
        return "no reason is told".to_owned();
    };
    let words = [attempt.reason.as_ref(), attempt.kernel_message.as_ref()];
    let words: Vec<&str> = words.into_iter().flatten().map(String::as_str).collect();
    match (words.is_empty(), attempt.errno) {
        (false, _) => words.join("; "),
        (true, Some(errno)) => errno.to_string(),
        (true, None) => "no reason is told".to_owned(),
    }
}

/// Native to generic, both from a wire.
fn ratio(modes: &[Measured]) -> Option<f64> {
    let rate = |mode: Mode| {
        let wanted = mode.into();
        modes
            .iter()
            .find(|measured| measured.mode == wanted && measured.how == Some(How::Wire))?
            .packets_per_second
    };
    Some(rate(Mode::Native)? / rate(Mode::Generic)?)
}

/// A UDP packet between addresses for benchmarks (RFC 2544, C.2.2), to the interface's own hardware address so that a NIC
/// takes it in.
fn frame(near: &Link, far: Option<&Link>) -> Vec<u8> {
    let hardware = |link: Option<&Link>| {
        let address = link.map(|link| link.address.as_slice());
        address.and_then(|address| address.first_chunk::<6>().copied())
    };
    let mut frame = Vec::with_capacity(LENGTH);
    frame.extend(hardware(Some(near)).unwrap_or([2, 0, 0, 0, 0, 1]));
    frame.extend(hardware(far).unwrap_or([2, 0, 0, 0, 0, 2]));
    frame.extend([8, 0]);
    let length = (LENGTH - 14) as u8;
    // Version and header length, length, don't fragment, 64 hops, UDP, a checksum for these very bytes.
    frame.extend([0x45, 0, 0, length, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend([198, 18, 0, 1, 198, 19, 0, 1]);
    let sum: u32 = frame[14..34]
        .chunks_exact(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    // From and to the port for discarding (RFC 863), without a checksum.
    frame.extend([0, 9, 0, 9, 0, length - 20, 0, 0]);
    frame.resize(LENGTH, 0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_whole() {
        let near = Link {
            address: vec![2, 3, 4, 5, 6, 7],
            ..Link::default()
        };
        let frame = frame(&near, None);
        assert_eq!(frame.len(), 64);
        assert_eq!(frame[..6], [2, 3, 4, 5, 6, 7]);
        let sum: u32 = frame[14..34]
            .chunks_exact(2)
            .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
            .sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "RFC 1071");
    }

    #[test]
    fn only_what_came_from_a_wire_is_compared() {
        let measured = |mode: Mode, rate, how| Measured {
            mode: mode.into(),
            held: true,
            reason: None,
            packets_per_second: Some(rate),
            ns_per_packet: None,
            how: Some(how),
        };
        let both = |how| {
            [
                measured(Mode::Native, 300.0, how),
                measured(Mode::Generic, 100.0, how),
            ]
        };
        assert_eq!(ratio(&both(How::Wire)), Some(3.0));
        assert_eq!(ratio(&both(How::TestRun)), None);
        assert_eq!(ratio(&both(How::Wire)[..1]), None);
    }
}
