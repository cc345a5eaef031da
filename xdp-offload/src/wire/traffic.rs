//! Many frames, whose fates are known: which of them arrive where they should not, and which do not arrive.

use super::{Fate, Wire};
use crate::exit::Failure;
use kernel::Errno;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Frames that are sent in one go at most: a veth's ring holds 256.
const BURST: u64 = 64;
/// What has not arrived when nothing came for so long is lost.
const QUIET: Duration = Duration::from_secs(2);

/// How fast and how long to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Frames a second.
    pub(crate) rate: u32,
    /// How long.
    pub(crate) time: Duration,
}

/// How many frames went where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Frames sent.
    pub(crate) sent: u64,
    /// Those of them that were to reach the network stack.
    pub(crate) expected_pass: u64,
    /// Those that did.
    pub(crate) passed: u64,
    /// Those that were to come back.
    pub(crate) expected_return: u64,
    /// Those that did.
    pub(crate) returned: u64,
    /// Frames that reached the network stack and should not have, at least not as they were.
    pub(crate) unprotected: u64,
    /// Frames that should have arrived and did not.
    pub(crate) lost: u64,
    /// Frames that came and could not be looked at, because this host was too busy: they count as arrived.
    pub(crate) missed: u64,
}

/// What arrives at one end, by its bytes.
#[derive(Debug, Default)]
struct Tally(HashMap<Vec<u8>, Count>);

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    expected: u64,
    arrived: u64,
}

impl Tally {
    fn expect(&mut self, frame: &[u8]) {
        if let Some(count) = self.0.get_mut(frame) {
            count.expected += 1;
        }
    }

    /// Counts frames that are known here; true if one was.
    fn count(&mut self, frames: impl Iterator<Item = Vec<u8>>) -> bool {
        let mut any = false;
        for frame in frames {
            if let Some(count) = self.0.get_mut(&frame) {
                count.arrived += 1;
                any = true;
            }
        }
        any
    }

    fn expected(&self) -> u64 {
        self.0.values().map(|count| count.expected).sum()
    }

    fn arrived_as_expected(&self) -> u64 {
        let counts = self.0.values();
        counts.map(|count| count.arrived.min(count.expected)).sum()
    }

    fn too_many(&self) -> u64 {
        let counts = self.0.values();
        counts
            .map(|count| count.arrived.saturating_sub(count.expected))
            .sum()
    }
}

impl Wire {
    /// Sends frames round robin, each with the fate that it has when it is sent alone, until the time is over or `stop`.
    pub(crate) fn send_all(
        &mut self,
        frames: &[(Vec<u8>, Fate)],
        pace: Pace,
        stop: &AtomicBool,
    ) -> Result<Counts, Failure> {
        let (mut near, mut far) = (Tally::default(), Tally::default());
        for (frame, fate) in frames {
            // As it was sent it shows that the program did not run.
            near.0.entry(frame.clone()).or_default();
            match fate {
                Fate::Passed(bytes) => near.0.entry(bytes.clone()).or_default(),
                Fate::Returned(bytes) => far.0.entry(bytes.clone()).or_default(),
                _ => continue,
            };
        }
        self.trace = None;
        self.take_in_all()?;
        self.near.arrived.clear();
        self.far.arrived.clear();
        self.missed()?;

        let mut counts = Counts::default();
        let mut round = frames.iter().cycle();
        let start = Instant::now();
        let mut due_before = 0;
        while start.elapsed() < pace.time && !stop.load(Ordering::Relaxed) {
            let due = (start.elapsed().as_secs_f64() * f64::from(pace.rate)) as u64;
            // What was overslept is left out: catching up would overrun queues.
            let burst = (due - due_before).min(BURST);
            due_before = due;
            for (frame, fate) in round.by_ref().take(burst as usize) {
                if !self.send_one(frame)? {
                    continue;
                }
                counts.sent += 1;
                match fate {
                    Fate::Passed(bytes) => near.expect(bytes),
                    Fate::Returned(bytes) => far.expect(bytes),
                    _ => {}
                }
            }
            self.count(&mut near, &mut far)?;
            self.wait()?;
        }
        let mut last = Instant::now();
        let missing = |near: &Tally, far: &Tally| {
            near.arrived_as_expected() < near.expected()
                || far.arrived_as_expected() < far.expected()
        };
        while last.elapsed() < QUIET && missing(&near, &far) {
            self.wait()?;
            if self.count(&mut near, &mut far)? {
                last = Instant::now();
            }
        }
        counts.missed = self.missed()?;
        counts.expected_pass = near.expected();
        counts.passed = near.arrived_as_expected();
        counts.expected_return = far.expected();
        counts.returned = far.arrived_as_expected();
        counts.unprotected = near.too_many();
        let expected = counts.expected_pass + counts.expected_return;
        counts.lost = expected.saturating_sub(counts.passed + counts.returned + counts.missed);
        Ok(counts)
    }

    /// False: the interface takes no frame just now.
    fn send_one(&mut self, frame: &[u8]) -> Result<bool, Failure> {
        match self.far.socket.sender().send(frame) {
            Ok(()) => Ok(true),
            Err(error) => match error.errno() {
                Some(Errno::ENOBUFS | Errno::EAGAIN | Errno::ENETDOWN) => Ok(false),
                _ => Err(Failure::kernel(
                    format!("{} does not send", self.far.link.name),
                    &error,
                )),
            },
        }
    }

    /// True if something came that is expected.
    fn count(&mut self, near: &mut Tally, far: &mut Tally) -> Result<bool, Failure> {
        self.take_in_all()?;
        let some_near = near.count(self.near.arrived.drain(..));
        let some_far = far.count(self.far.arrived.drain(..));
        Ok(some_near || some_far)
    }

    fn take_in_all(&mut self) -> Result<(), Failure> {
        self.near.take_in()?;
        self.far.take_in()
    }

    /// Frames that had no room in the sockets since the last call.
    fn missed(&self) -> Result<u64, Failure> {
        let mut all = 0;
        for end in [&self.near, &self.far] {
            let missed = end.socket.missed().map_err(|error| {
                Failure::kernel(format!("cannot listen on {}", end.link.name), &error)
            })?;
            all += u64::from(missed);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_is_held_against_what_was_sent() {
        let mut tally = Tally::default();
        for frame in [vec![1], vec![2]] {
            tally.0.insert(frame, Count::default());
        }
        tally.expect(&[1]);
        tally.expect(&[1]);
        tally.expect(&[3]);
        assert!(tally.count([vec![1], vec![2], vec![3]].into_iter()));
        assert!(!tally.count([vec![3]].into_iter()));
        assert_eq!(tally.expected(), 2);
        assert_eq!(tally.arrived_as_expected(), 1);
        assert_eq!(tally.too_many(), 1, "2 was to go nowhere");
    }
}
