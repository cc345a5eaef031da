//! What attaching and detaching do to an interface besides: features, queues and LRO that change, a link that goes down for
//! a moment.

use probe::settings::{Change, Observer, Settings};
use std::time::Duration;

/// What changed besides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// Settings that are not what they were.
    pub changes: Vec<Change>,
    /// How long the link was down, to 50 ms; it is up again, unless `changes` has its carrier.
    pub link_down: Option<Duration>,
}

/// Reads settings before and after. Where they cannot be read, nothing is known to have changed: that the interface is gone
/// is the ladder's to tell.
pub struct Watcher {
    observer: Option<Observer>,
}

impl Watcher {
    /// In the calling thread's network namespace.
    pub fn open() -> Self {
        Self {
            observer: known(Observer::open()),
        }
    }

    /// How an interface is set now.
    pub fn settings(&mut self, ifindex: u32) -> Option<Settings> {
        known(self.observer.as_mut()?.settings(ifindex))
    }

    /// After an attach: waits for the link and compares.
    pub fn attached(&mut self, ifindex: u32, before: &Settings) -> Effects {
        self.compare(ifindex, before, |observer| {
            Ok(before.changes(&observer.settings(ifindex)?))
        })
    }

    /// After an attempt that left nothing: waits for the link, puts settings back, and gives what could not be.
    pub fn restored(&mut self, ifindex: u32, before: &Settings) -> Effects {
        self.compare(ifindex, before, |observer| {
            observer.restore(ifindex, before)
        })
    }

    /// After a detach: waits for the link, turns on what the user wants on and the program kept off, and compares.
    pub fn detached(&mut self, ifindex: u32, before: &Settings) -> Effects {
        self.compare(ifindex, before, |observer| {
            observer.turn_on_wanted(ifindex)?;
            Ok(before.changes(&observer.settings(ifindex)?))
        })
    }

    fn compare(
        &mut self,
        ifindex: u32,
        before: &Settings,
        changes: impl FnOnce(&mut Observer) -> probe::Result<Vec<Change>>,
    ) -> Effects {
        let Some(observer) = &mut self.observer else {
            return Effects::default();
        };
        let link_down = known(observer.await_carrier(ifindex, before)).flatten();
        Effects {
            changes: known(changes(observer)).unwrap_or_default(),
            link_down,
        }
    }
}

fn known<T>(answer: probe::Result<T>) -> Option<T> {
    answer
        .inspect_err(|error| tracing::debug!(%error, "settings not known"))
        .ok()
}
