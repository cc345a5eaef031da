//! One end of a wire.

use super::Peer;
use crate::commands::{enter, interface, no_such_interface, open_route};
use crate::exit::{Exit, Failure};
use kernel::Errno;
use kernel::netlink::link::Link;
use kernel::packet::{Frame, PacketSender, PacketSocket};
use std::collections::VecDeque;

/// Frames that are taken in at a time, and frames of the host's own that are remembered until they arrive at the other end.
const MOST: usize = 1024;

/// An interface, and all frames that it takes in and sends.
pub(super) struct Tap {
    pub(super) link: Link,
    pub(super) socket: PacketSocket,
    /// What came in.
    pub(super) arrived: VecDeque<Vec<u8>>,
    /// What the host itself sent, such as neighbour discovery or an answer to a frame that it took in.
    own: VecDeque<Frame>,
    /// How many that were.
    pub(super) own_frames: u64,
}

impl Tap {
    /// On an interface of this network namespace.
    pub(super) fn open(name: &str) -> Result<Self, Failure> {
        let link = interface(&mut open_route()?, name)?;
        if !link.is_up() {
            return Err(
                Failure::new(Exit::No, format!("{name} is down")).remedy(format!(
                    "`ip link set dev {name} up` lets it take and send frames"
                )),
            );
        }
        let socket = PacketSocket::open(link.ifindex).map_err(|error| match error.errno() {
            Some(Errno::ENODEV) => no_such_interface(name),
            _ => Failure::kernel(format!("cannot listen on {name}"), &error),
        })?;
        Ok(Self {
            link,
            socket,
            arrived: VecDeque::new(),
            own: VecDeque::new(),
            own_frames: 0,
        })
    }

    /// On an interface of the peer's network namespace.
    pub(super) fn open_peer(peer: &Peer) -> Result<Self, Failure> {
        in_netns_of(peer, || Self::open(&peer.ifname))
    }

    /// Sends a frame.
    pub(super) fn send(&self, frame: &[u8]) -> Result<(), Failure> {
        self.socket.sender().send(frame).map_err(|error| {
            let name = &self.link.name;
            let failure = Failure::kernel(format!("{name} does not send it"), &error);
            match error.errno() {
                Some(Errno::EMSGSIZE) => failure.remedy(format!(
                    "it has {} bytes; {name}'s MTU is {} behind an Ethernet header of 14",
                    frame.len(),
                    self.link.mtu
                )),
                _ => failure,
            }
        })
    }

    /// Reads what has come and gone since the last call, as much as is looked at in one go.
    pub(super) fn take_in(&mut self) -> Result<(), Failure> {
        for _ in 0..MOST {
            let received = self.socket.receive().map_err(|error| {
                Failure::kernel(format!("cannot listen on {}", self.link.name), &error)
            })?;
            let Some(frame) = received else {
                break;
            };
            if !frame.outgoing {
                self.arrived.push_back(frame.bytes);
                continue;
            }
            self.own_frames += 1;
            self.own.push_back(frame);
            if self.own.len() > MOST {
                self.own.pop_front();
            }
        }
        Ok(())
    }

    /// Whether the host itself sent what arrived at the other end; each frame counts once.
    pub(super) fn has_sent(&mut self, arrived: &[u8]) -> bool {
        let found = self.own.iter().position(|frame| is_same(frame, arrived));
        found.and_then(|at| self.own.remove(at)).is_some()
    }
}

/// What sends from a peer, and hears nothing.
pub(crate) fn peer_sender(peer: &Peer) -> Result<(Link, PacketSender), Failure> {
    in_netns_of(peer, || {
        let link = interface(&mut open_route()?, &peer.ifname)?;
        let sender = PacketSender::open(link.ifindex).map_err(|error| {
            Failure::kernel(format!("cannot send from {}", peer.ifname), &error)
        })?;
        Ok((link, sender))
    })
}

/// Opens something in the peer's network namespace; this thread stays where it is.
fn in_netns_of<T: Send>(
    peer: &Peer,
    open: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    let Some(netns) = &peer.netns else {
        return open();
    };
    let inside = || {
        enter(netns)?;
        open()
    };
    std::thread::scope(|scope| scope.spawn(inside).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Whether a frame arrived as it was sent, but for a checksum that the NIC has filled in.
fn is_same(sent: &Frame, arrived: &[u8]) -> bool {
    if sent.bytes == arrived {
        return true;
    }
    if !sent.checksum_open || sent.bytes.len() != arrived.len() {
        return false;
    }
    let mut pairs = sent.bytes.iter().zip(arrived);
    let first = pairs.position(|(one, other)| one != other);
    let last = (sent.bytes.iter().zip(arrived)).rposition(|(one, other)| one != other);
    first
        .zip(last)
        .is_some_and(|(first, last)| last - first < 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_the_same_behind_its_checksum() {
        let sent = |checksum_open| Frame {
            bytes: vec![1, 2, 3, 4, 5],
            outgoing: true,
            checksum_open,
        };
        assert!(is_same(&sent(false), &[1, 2, 3, 4, 5]));
        assert!(is_same(&sent(true), &[1, 2, 9, 9, 5]));
        assert!(!is_same(&sent(false), &[1, 2, 9, 9, 5]));
        assert!(!is_same(&sent(true), &[1, 9, 3, 9, 5]));
        assert!(!is_same(&sent(true), &[1, 2, 3, 4]));
    }
}
