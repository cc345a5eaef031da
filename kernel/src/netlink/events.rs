//! Notifications: what changes while a watcher looks on.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use neli::consts::socket::NlFamily;

use super::attr::Parsed;
use super::ethtool;
use super::family::Family;
use super::link::parse::parse_message;
use super::link::{Link, Route};
use super::message::Message;
use super::netdev::{self, Netdev, NetdevFeatures};
use super::socket::{self, Socket};
use crate::{Errno, Operation, Result};

/// Something has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An interface is new or changed (RTM_NEWLINK); attaching and detaching XDP programs arrives this way.
    Link(Box<Link>),
    /// An interface is gone (RTM_DELLINK).
    LinkDeleted {
        /// Its index.
        ifindex: u32,
        /// Its last name.
        name: String,
    },
    /// What a driver advertises is new or changed.
    Features(NetdevFeatures),
    /// An ethtool setting of this interface has changed (channels, rings or features): read it again.
    Settings {
        /// The interface.
        ifindex: u32,
    },
    /// The kernel dropped notifications because they were read too slowly (ENOBUFS). The state of all interfaces
    /// follows as `Link` and `Features` events; what they do not name is gone.
    Lost,
}

/// Datagrams; a socket's buffer holds some hundreds.
const MAX_DISCARDED: u32 = 100_000;

/// A subscription to the events of the network namespace it was opened in.
pub struct Watch {
    links: Socket,
    features: Option<Socket>,
    settings: Option<Socket>,
    waiting: VecDeque<Event>,
}

impl Watch {
    /// Subscribes. Needs no privilege. A kernel without the netdev or ethtool family gives the other
    /// events.
    pub fn open() -> Result<Self> {
        let mut links = Socket::open(NlFamily::Route)?;
        links.join(libc::RTNLGRP_LINK)?;
        Ok(Self {
            links,
            features: subscribe(netdev::FAMILY, netdev::CHANGES)?,
            settings: subscribe(ethtool::FAMILY, ethtool::CHANGES)?,
            waiting: VecDeque::new(),
        })
    }

    /// The next event; `None` when `timeout` has passed without one, or a signal arrived. `timeout`
    /// `None` waits forever.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Option<Event>> {
        // A timeout past the end of time is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(Some(event));
            }
            if !socket::wait(Operation::Watch, &self.fds(), deadline)? {
                return Ok(None);
            }
            self.collect()?;
        }
    }

    /// The descriptors to poll for reading beside others; then call [`Self::next`] with a timeout of
    /// zero until it gives `None`.
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        [
            Some(&self.links),
            self.features.as_ref(),
            self.settings.as_ref(),
        ]
        .into_iter()
        .flatten()
        .map(Socket::fd)
        .collect()
    }

    /// Reads what has arrived, one datagram from each socket.
    fn collect(&mut self) -> Result<()> {
        let waiting = &mut self.waiting;
        let mut lost = false;
        lost |= drain(&mut self.links, |message| {
            waiting.extend(parse_link_event(message)?);
            Ok(())
        })?;
        if let Some(features) = &mut self.features {
            lost |= drain(features, |message| {
                waiting.extend(netdev::parse_notification(message)?.map(Event::Features));
                Ok(())
            })?;
        }
        if let Some(settings) = &mut self.settings {
            lost |= drain(settings, |message| {
                let ifindex = ethtool::parse::parse_notification(message)?;
                waiting.extend(ifindex.map(|ifindex| Event::Settings { ifindex }));
                Ok(())
            })?;
        }
        if lost {
            self.resynchronize()?;
        }
        Ok(())
    }

    /// Tells of the loss, then the state of everything. What is still queued is older than that and would
    /// undo it, so it is dropped first; what arrives from then on is newer or repeats it.
    fn resynchronize(&mut self) -> Result<()> {
        self.waiting.push_back(Event::Lost);
        let sockets = [self.features.as_mut(), self.settings.as_mut()];
        for socket in sockets.into_iter().flatten().chain([&mut self.links]) {
            discard(socket)?;
        }
        for link in Route::open()?.links()? {
            self.waiting.push_back(Event::Link(Box::new(link)));
        }
        if let Some(mut netdev) = Netdev::open()? {
            let all = netdev.dump()?;
            self.waiting.extend(all.into_iter().map(Event::Features));
        }
        Ok(())
    }
}

/// A socket in a family's multicast group; `None` where the kernel has no such family or group.
fn subscribe(family: &str, group: &str) -> Result<Option<Socket>> {
    let Some(mut family) = Family::open(family)? else {
        return Ok(None);
    };
    let Some(group) = family.group(group) else {
        return Ok(None);
    };
    family.socket.join(group)?;
    Ok(Some(family.socket))
}

/// Hands one datagram's messages to `each`, without waiting for one. True: the kernel dropped some.
fn drain(socket: &mut Socket, each: impl FnMut(&Message<'_>) -> Parsed<()>) -> Result<bool> {
    match socket.receive(Operation::Watch, Some(Instant::now()), each) {
        Ok(_) => Ok(false),
        Err(error) if error.errno() == Some(Errno::ENOBUFS) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Empties a socket. Bounded, should somebody write faster than this reads.
fn discard(socket: &mut Socket) -> Result<()> {
    for _ in 0..MAX_DISCARDED {
        match socket.receive(Operation::Watch, Some(Instant::now()), |_| Ok(())) {
            Ok(Some(())) => {}
            Err(error) if error.errno() == Some(Errno::ENOBUFS) => {}
            Ok(None) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn parse_link_event(message: &Message<'_>) -> Parsed<Option<Event>> {
    let link = parse_message(message)?;
    Ok(link.map(|link| match message.kind {
        libc::RTM_DELLINK => Event::LinkDeleted {
            ifindex: link.ifindex,
            name: link.name,
        },
        _ => Event::Link(Box::new(link)),
    }))
}
