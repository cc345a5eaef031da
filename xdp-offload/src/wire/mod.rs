//! A program on a real interface: frames are sent to it from a peer, and both ends are watched for what becomes of them.

mod attached;
mod fate;
mod maps;
mod replacement;
mod tap;
mod traffic;

pub(crate) use attached::Attached;
pub(crate) use fate::Fate;
pub(crate) use maps::AttachedMaps;
pub(crate) use replacement::{Place, Replaced, Replacement};
pub(crate) use tap::peer_sender;
pub(crate) use traffic::{Counts, Pace};

use crate::exit::{Exit, Failure};
use fate::Seen;
use kernel::Errno;
use kernel::bpf::RunStatistics;
use kernel::packet::await_receivers;
use kernel::trace::XdpTrace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::str::FromStr;
use std::time::{Duration, Instant};
use tap::Tap;

/// Ethernet's shortest frame without its checksum (IEEE 802.3, 3.2.8): NICs fill shorter ones up.
const SHORTEST: usize = 60;
/// By then a frame has reached the program.
const LIMIT: Duration = Duration::from_secs(2);
/// What has not shown itself for so long, after the program ran, does not come.
const GRACE: Duration = Duration::from_millis(50);
/// The same after sending, where nobody says when the program ran.
const BLIND_GRACE: Duration = Duration::from_millis(100);
/// How often the program's runs are read.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};

/// The interface with the program, and the one that sends to it.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// The interface.
    pub(crate) dev: String,
    /// Its peer.
    pub(crate) peer: Peer,
}

/// `[NETNS/]IFACE`: an interface, of another network namespace (a name or a path) if need be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    netns: Option<String>,
    ifname: String,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // An interface's name holds no slash, the path of a namespace does.
        let (netns, ifname) = match text.rsplit_once('/') {
            None => (None, text),
            Some((netns, ifname)) => (Some(netns.to_owned()), ifname),
        };
        if ifname.is_empty() || netns.as_deref() == Some("") {
            return Err("a peer is IFACE, or NETNS/IFACE".to_owned());
        }
        Ok(Self {
            netns,
            ifname: ifname.to_owned(),
        })
    }
}

/// Both ends, ready for frames.
pub(crate) struct Wire {
    near: Tap,
    far: Tap,
    /// What is attached to the near end.
    pub(crate) attached: Attached,
    /// Tells verdicts apart that leave no frame.
    trace: Option<XdpTrace>,
    /// Why there is none.
    untraced: Option<kernel::Error>,
    /// Has the kernel count the runs.
    statistics: Option<RunStatistics>,
    runs_before: u64,
    sent: u64,
}

impl Wire {
    /// Looks for the program on the interface (`name`: it has to be called so) and listens at both ends.
    pub(crate) fn open(ends: &Ends, name: Option<&str>) -> Result<Self, Failure> {
        let near = Tap::open(&ends.dev)?;
        let attached = Attached::find(&near.link, name)?;
        let far = Tap::open_peer(&ends.peer)?;
        let statistics = match RunStatistics::enable() {
            Ok(statistics) => Some(statistics),
            // Linux before 5.8
            Err(error) if error.errno() == Some(Errno::EINVAL) => None,
            Err(error) => return Err(Failure::kernel("cannot count program runs", &error)),
        };
        let (trace, untraced) = match XdpTrace::open(&attached.all, near.link.ifindex) {
            Ok(trace) => (Some(trace), None),
            Err(error) => (None, Some(error)),
        };
        let runs_before = attached.runs()?;
        Ok(Self {
            near,
            far,
            attached,
            trace,
            untraced,
            statistics,
            runs_before,
            sent: 0,
        })
    }

    /// The interface's index and MTU.
    pub(crate) fn ingress(&self) -> (u32, u32) {
        (self.near.link.ifindex, self.near.link.mtu)
    }

    /// Why XDP_ABORTED, XDP_DROP and XDP_REDIRECT cannot be told apart; `None`: they can.
    pub(crate) fn untraced(&self) -> Option<&kernel::Error> {
        self.untraced.as_ref()
    }

    /// How often the program ran; `None` where runs are not counted.
    pub(crate) fn runs(&self) -> Result<Option<u64>, Failure> {
        if !self.counts() {
            return Ok(None);
        }
        Ok(Some(self.attached.runs()? - self.runs_before))
    }

    /// How often it ran on frames that others sent.
    pub(crate) fn runs_for_others(&self) -> Result<Option<u64>, Failure> {
        Ok(self.runs()?.map(|runs| runs.saturating_sub(self.sent)))
    }

    /// Whether it shows when the program ran. What runs on a NIC is not counted.
    fn counts(&self) -> bool {
        self.statistics.is_some() && !self.attached.on_nic
    }

    /// Sends a frame while nothing else is on its way, and sees what becomes of it. `patience` is how long to wait for it to
    /// show itself after the program ran.
    pub(crate) fn send_alone(
        &mut self,
        frame: &[u8],
        patience: Option<Duration>,
    ) -> Result<Fate, Failure> {
        let counts = self.counts();
        // Runs first, then what others have sent: a frame of theirs in between is taken for this one's run, and not this
        // one's run for theirs, which would be waited for in vain.
        let runs = self.attached.runs()?;
        // What is still here belongs to nobody.
        self.look(&mut Seen::default())?;
        let others = self.far.own_frames;
        self.far.send(frame)?;
        self.sent += 1;
        let sent = Instant::now();
        let mut seen = Seen::default();
        // Until when to wait, once the program ran.
        let mut until = (!counts).then(|| sent + patience.unwrap_or_default().max(BLIND_GRACE));
        loop {
            self.look(&mut seen)?;
            if let Some(fate) = seen.fate(frame) {
                if counts && self.attached.runs()? == runs {
                    return Err(self.passed_by());
                }
                if matches!(fate, Fate::Redirected { .. }) {
                    // It may still come by, when the next frame is on its way.
                    await_receivers();
                    self.wait()?;
                }
                return Ok(fate);
            }
            match until {
                None if self.attached.runs()? - runs > self.far.own_frames - others => {
                    await_receivers();
                    until = Some(Instant::now() + patience.unwrap_or(GRACE));
                    continue;
                }
                None if sent.elapsed() > LIMIT => return Err(self.never_ran()),
                Some(until)
                    if Instant::now() > until && !(seen.comes_back() && sent.elapsed() < LIMIT) =>
                {
                    return Ok(seen.nothing_came(self.trace.is_some()));
                }
                _ => {}
            }
            self.wait()?;
        }
    }

    /// Takes in what both ends and the kernel's events show; frames of the hosts' own stacks are none of ours.
    fn look(&mut self, seen: &mut Seen) -> Result<(), Failure> {
        // What a stack sends is seen at its own end before it arrives at the other: so that end is read after this one.
        self.far.take_in()?;
        let arrived = self.far.arrived.len();
        self.near.take_in()?;
        self.far.take_in()?;
        for frame in self.near.arrived.drain(..) {
            if !self.far.has_sent(&frame) {
                seen.passed.push(frame);
            }
        }
        for frame in self.far.arrived.drain(..arrived) {
            if !self.near.has_sent(&frame) {
                seen.returned.push(frame);
            }
        }
        if let Some(trace) = &mut self.trace {
            let events = trace
                .events()
                .map_err(|error| Failure::kernel("cannot read XDP's events", &error))?;
            seen.events.extend(events);
        }
        Ok(())
    }

    /// Until a frame comes, or for a moment.
    fn wait(&self) -> Result<(), Failure> {
        let mut ends = [
            PollFd::new(&self.near.socket, PollFlags::IN),
            PollFd::new(&self.far.socket, PollFlags::IN),
        ];
        match poll(&mut ends, Some(&PAUSE)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(Failure::new(Exit::Failed, "cannot wait for frames").because(errno)),
        }
    }

    fn passed_by(&self) -> Failure {
        let (near, Attached { id, name, .. }) = (&self.near.link.name, &self.attached);
        Failure::new(Exit::No, format!("it passed by the program on {near}"))
            .because(format!("program {id} ({name}) did not run on it"))
            .remedy("somebody may have detached or replaced it: `xdp-offload status` shows what is attached")
    }

    fn never_ran(&self) -> Failure {
        let (near, far) = (&self.near.link.name, &self.far.link.name);
        let seconds = LIMIT.as_secs();
        Failure::new(
            Exit::No,
            format!("it never reached the program on {near}"),
        )
        .because(format!(
            "program {} ({}), in {} mode, did not run within {seconds} s of {far} sending it",
            self.attached.id, self.attached.name, self.attached.mode
        ))
        .remedy(format!(
            "see that {far} is the other end of {near}'s cable, that both are up, and that the program is still attached"
        ))
    }
}

/// A frame as it is on a cable: no shorter than Ethernet's shortest.
pub(crate) fn padded(frame: &[u8]) -> Vec<u8> {
    let mut padded = frame.to_vec();
    padded.resize(frame.len().max(SHORTEST), 0);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_may_be_in_another_namespace() {
        let peer = |text: &str| text.parse::<Peer>().map(|peer| (peer.netns, peer.ifname));
        assert_eq!(peer("eth1"), Ok((None, "eth1".to_owned())));
        assert_eq!(
            peer("blue/eth1"),
            Ok((Some("blue".to_owned()), "eth1".to_owned()))
        );
        assert_eq!(
            peer("/proc/7/ns/net/eth1"),
            Ok((Some("/proc/7/ns/net".to_owned()), "eth1".to_owned()))
        );
        assert!(peer("blue/").is_err() && peer("/eth1").is_err() && peer("").is_err());
    }

    #[test]
    fn short_frames_are_filled_up() {
        assert_eq!(padded(&[7; 59]), [&[7; 59][..], &[0]].concat());
        assert_eq!(padded(&[7; 61]), [7; 61]);
    }
}
