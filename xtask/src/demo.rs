//! `cargo xtask demo`: the main job on this kernel, on a veth pair that is made for it and removed again.
//!
//! Everything is done by the commands that a user has; what is seen here can be typed. Each count is compared
//! with what was sent, so the demo is a test as well.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Cable, NEAR_ADDRESS, Output};

use crate::error::{Error, Result};
use crate::install::{self, IP, Install};
use crate::steps::{cargo, heading};

/// verdicts.bpf.c gives UDP to this port plus N the verdict N.
const FIRST_PORT: u16 = 7000;
/// The port whose packets pass.
const PASS_PORT: u16 = FIRST_PORT + 2;
/// The verdicts by number, each with how many packets ask for it: all different, so that none is taken for another.
const SENT: [(&str, u32); 5] = [
    ("ABORTED", 10),
    ("DROP", 20),
    ("PASS", 30),
    ("TX", 40),
    ("REDIRECT", 50),
];
/// Shows the sample's counters; `--dev` because other programs may have a map of that name.
const DUMP: [&str; 5] = ["map", "verdicts", "dump", "--dev", "near0"];
/// How long packets may take from one end of a veth pair to the other on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shows it, and fails if anything is not as it should be.
pub(crate) fn run(install: Install) -> Result<()> {
    install::require(&[IP], install)?;
    if !install::is_root() {
        return Err(Error::NotPermitted { what: "demo" });
    }
    let started = Instant::now();
    let interrupted = watch_for_signals()?;
    let demo = Demo {
        binaries: build().map_err(|error| {
            if interrupted.load(Ordering::Relaxed) {
                Error::Interrupted
            } else {
                error
            }
        })?,
        interrupted,
        cable: Cable::lay("demo")?,
    };

    heading("The interfaces of this host");
    demo.probe(&["list"])?;

    heading("A veth pair in a namespace of its own");
    demo.probe(&["list", "--netns", demo.netns()])?;

    heading("Will the sample run there? It picks one of the five verdicts by UDP port");
    let verdicts = support::corpus("verdicts");
    demo.offload(&[
        "check".as_ref(),
        verdicts.as_os_str(),
        "--dev".as_ref(),
        "near0".as_ref(),
    ])?;

    heading("Attach it in the best mode");
    demo.attach(&verdicts, &[])?;
    let mode = demo.attached_mode()?;

    let total: u32 = SENT.iter().map(|(_, packets)| packets).sum();
    heading(&format!(
        "Send {total} packets to it, from the far end of the pair"
    ));
    let listener = demo.listen()?;
    for (port, (verdict, packets)) in (FIRST_PORT..).zip(SENT) {
        println!("{packets} to UDP port {port}, for {verdict}");
        demo.send(port, packets)?;
    }
    let counts = demo.counts()?;
    let arrived = receive(&listener, SENT[2].1)?;
    demo.offload(&DUMP)?;
    println!("{arrived} packets reached a socket behind {NEAR_ADDRESS}:{PASS_PORT}");

    heading("Replace it with one that drops everything, without a gap");
    demo.attach(&support::corpus("drop"), &["--replace"])?;
    demo.offload(&["status"])?;
    demo.send(PASS_PORT, 25)?;
    let dropped = 25 - receive(&listener, 0)?;
    println!("{dropped} of 25 packets to the port that passed before are dropped");

    heading("Detach it");
    demo.offload(&["detach", "near0"])?;
    demo.offload(&["status"])?;
    demo.send(PASS_PORT, 25)?;
    let back = receive(&listener, 25)?;
    println!("{back} of 25 packets arrive again");
    let left = demo.attached()?;

    heading("What happened");
    let counted: Vec<String> = SENT
        .iter()
        .zip(&counts)
        .map(|((verdict, _), count)| format!("{verdict} {count}"))
        .collect();
    println!("attached  in {mode} mode, replaced, detached; everything made is removed");
    println!("counted   {} of {total} packets sent", counted.join(", "));
    println!("took      {:.1} s", started.elapsed().as_secs_f64());
    let sent: Vec<u64> = SENT
        .iter()
        .map(|(_, packets)| u64::from(*packets))
        .collect();
    expect("mode", &"native".to_owned(), &mode)?;
    expect("verdict counts", &sent, &counts)?;
    expect("packets that passed", &SENT[2].1, &arrived)?;
    expect("packets dropped after the replacement", &25, &dropped)?;
    expect("packets that passed after the detach", &25, &back)?;
    expect("programs left", &Vec::<Value>::new(), &left)
}

/// What the demo made; dropping it removes all of it.
struct Demo {
    interrupted: Arc<AtomicBool>,
    binaries: PathBuf,
    cable: Cable,
}

impl Demo {
    fn netns(&self) -> &str {
        self.cable.near.name()
    }

    /// Shows `xdp-probe` at work on this host.
    fn probe(&self, arguments: &[&str]) -> Result<()> {
        self.show("xdp-probe", arguments)
    }

    /// Shows `xdp-offload` at work in the namespace.
    fn offload<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<()> {
        let mut all: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        all.extend(["--netns", self.netns()].map(OsStr::new));
        self.show("xdp-offload", &all)
    }

    fn attach(&self, object: &Path, options: &[&str]) -> Result<()> {
        let mut arguments: Vec<&OsStr> = vec!["attach".as_ref(), object.as_ref(), "near0".as_ref()];
        arguments.extend(options.iter().map(AsRef::<OsStr>::as_ref));
        self.offload(&arguments)
    }

    fn show<A: AsRef<OsStr>>(&self, name: &str, arguments: &[A]) -> Result<()> {
        self.go_on()?;
        println!("$ {name} {}", words(arguments));
        let output = Output::of(Command::new(self.binaries.join(name)).args(arguments))?;
        print!("{}", output.stdout);
        eprint!("{}", output.stderr);
        self.go_on()?;
        output.ok()?;
        Ok(())
    }

    /// What a subcommand of `xdp-offload` says in JSON about the namespace; not shown.
    fn ask(&self, arguments: &[&str]) -> Result<Value> {
        self.go_on()?;
        let output = Output::of(
            Command::new(self.binaries.join("xdp-offload"))
                .args(arguments)
                .args(["--json", "--netns", self.netns()]),
        )?
        .ok()?;
        serde_json::from_str(&output.stdout)
            .map_err(|error| Error::Wrong(format!("`{}`: {error}", output.command)))
    }

    /// What `status` lists.
    fn attached(&self) -> Result<Vec<Value>> {
        let status = self.ask(&["status"])?;
        let interfaces = status["interfaces"].as_array().into_iter().flatten();
        Ok(interfaces
            .filter_map(|interface| interface["attached"].as_array())
            .flatten()
            .cloned()
            .collect())
    }

    fn attached_mode(&self) -> Result<String> {
        let attached = self.attached()?;
        let mode = attached.first().and_then(|entry| entry["mode"].as_str());
        mode.map(ToOwned::to_owned)
            .ok_or_else(|| Error::Wrong("status lists no program after the attach".into()))
    }

    /// The counter of each verdict, once all packets are counted or patience ends.
    fn counts(&self) -> Result<Vec<u64>> {
        let total: u64 = SENT.iter().map(|(_, packets)| u64::from(*packets)).sum();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counts = counts_of(&self.ask(&DUMP)?)?;
            if counts.iter().sum::<u64>() >= total || Instant::now() > deadline {
                return Ok(counts);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn send(&self, port: u16, packets: u32) -> Result<()> {
        self.go_on()?;
        self.cable
            .send_udp(port, packets)
            .map_err(|source| Error::System {
                what: "sending UDP",
                source,
            })
    }

    /// A socket behind the program, on the port whose packets pass.
    fn listen(&self) -> Result<UdpSocket> {
        self.cable
            .near
            .inside(|| UdpSocket::bind((NEAR_ADDRESS, PASS_PORT)))
            .map_err(|source| Error::System {
                what: "listening for UDP",
                source,
            })
    }

    /// Ends the demo, by way of the guards, once somebody asked for it.
    fn go_on(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    }
}

fn words<A: AsRef<OsStr>>(arguments: &[A]) -> String {
    let here = support::workspace();
    let words: Vec<String> = arguments
        .iter()
        .map(|word| {
            let path = Path::new(word.as_ref());
            path.strip_prefix(here)
                .unwrap_or(path)
                .display()
                .to_string()
        })
        .collect();
    words.join(" ")
}

/// Receives until `expected` packets are here; with nothing more to expect, waits a moment for any that should not be.
fn receive(listener: &UdpSocket, expected: u32) -> Result<u32> {
    const MOMENT: Duration = Duration::from_millis(200);

    let mut packets = 0;
    let mut buffer = [0; 64];
    loop {
        let wait = if packets < expected { PATIENCE } else { MOMENT };
        let received = listener
            .set_read_timeout(Some(wait))
            .and_then(|()| listener.recv(&mut buffer));
        match received {
            Ok(_) => packets += 1,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(packets),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(Error::System {
                    what: "receiving UDP",
                    source,
                });
            }
        }
    }
}

/// The values of the counter map by key.
fn counts_of(dump: &Value) -> Result<Vec<u64>> {
    let entries = dump["entries"].as_array();
    let counts: Option<BTreeMap<u64, u64>> = entries.and_then(|entries| {
        entries
            .iter()
            .map(|entry| Some((entry["key"].as_u64()?, entry["value"].as_u64()?)))
            .collect()
    });
    counts
        .map(|counts| counts.into_values().collect())
        .ok_or_else(|| Error::Wrong(format!("not a dump of counters: {dump}")))
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, actual: &T) -> Result<()> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::Wrong(format!(
        "{what}: {actual:?} instead of {expected:?}"
    )))
}

/// Builds the commands as users get them; the folder they lie in.
fn build() -> Result<PathBuf> {
    crate::steps::show(cargo().args(["build", "--quiet"]))?;
    Ok(crate::steps::target_folder().join("debug"))
}

/// Ctrl-C, a closed terminal and `kill` only set a flag: the step under way ends and the guards clean up.
fn watch_for_signals() -> Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(|source| {
            Error::System {
                what: "watching for signals",
                source,
            }
        })?;
    }
    Ok(interrupted)
}
