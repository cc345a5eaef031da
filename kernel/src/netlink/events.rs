//! Notifications: what changes while a watcher looks on.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::link::Link;
use super::netdev::NetdevFeatures;

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

/// A subscription to the events of the network namespace it was opened in.
pub struct Watch {}

impl Watch {
    /// Subscribes. Needs no privilege. A kernel without the netdev or ethtool family gives the other events.
    pub fn open() -> crate::Result<Self> {
        todo!()
    }

    /// The next event; `None` when `timeout` has passed without one, or a signal arrived. `timeout` `None` waits
    /// forever.
    pub fn next(&mut self, timeout: Option<Duration>) -> crate::Result<Option<Event>> {
        let _ = timeout;
        todo!()
    }

    /// The descriptors to poll for reading beside others.
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        todo!()
    }
}
