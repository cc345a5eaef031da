//! Settings of an interface that change with what is attached to it: read before and after, compared, put back.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use kernel::Errno;
use kernel::netlink::ethtool::{Ethtool, FeatureState, Target};
use kernel::netlink::link::{Link, OperState, Route};
use kernel::netlink::netdev::Netdev;

use crate::Result;
use crate::feature_names::xdp_feature_names;

/// How long a link may take to come back: an emulated igb took 0.6 to 2 s and more on a busy host, copper with autonegotiation
/// takes up to 4 s, and the kernel may call it operational a second later.
const CARRIER_PATIENCE: Duration = Duration::from_secs(20);
const CARRIER_PAUSE: Duration = Duration::from_millis(50);

/// A setting that took another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which setting: "carrier", "mtu", "max-mtu", "xdp-features", "channels", "rx-lro", "rx-gro-hw", "rx-gro".
    pub what: &'static str,
    /// Before.
    pub from: String,
    /// Afterwards.
    pub to: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.what, self.from, self.to)
    }
}

/// What an attach may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    up: bool,
    carrier: bool,
    /// Follows the carrier up to a second later (net/core/link_watch.c, Linux 6.12); no setting of its own.
    operstate: OperState,
    mtu: u32,
    max_mtu: u32,
    features: Option<u64>,
    channels: Option<[u32; 3]>,
    lro: Option<FeatureState>,
    gro_hw: Option<FeatureState>,
    gro: Option<FeatureState>,
}

impl Settings {
    /// Whether a link that had a carrier is as it was. Where the kernel did not call it operational yet (the carrier had come
    /// a moment ago), it may do so meanwhile.
    fn is_back(&self, carrier: bool, operstate: OperState) -> bool {
        carrier && (operstate == self.operstate || operstate == OperState::Up)
    }

    /// What is different later.
    pub fn changes(&self, later: &Self) -> Vec<Change> {
        let on = |state: Option<FeatureState>| match state {
            Some(state) if state.active => "on".to_owned(),
            Some(_) => "off".to_owned(),
            None => "absent".to_owned(),
        };
        let features = |bits: Option<u64>| {
            bits.map_or_else(String::new, |bits| xdp_feature_names(bits).join(" "))
        };
        let queues = |queues: Option<[u32; 3]>| {
            queues.map_or_else(String::new, |[combined, rx, tx]| {
                format!("combined {combined}, rx {rx}, tx {tx}")
            })
        };
        let pairs = [
            (
                "carrier",
                self.carrier.to_string(),
                later.carrier.to_string(),
            ),
            ("mtu", self.mtu.to_string(), later.mtu.to_string()),
            (
                "max-mtu",
                self.max_mtu.to_string(),
                later.max_mtu.to_string(),
            ),
            (
                "xdp-features",
                features(self.features),
                features(later.features),
            ),
            ("channels", queues(self.channels), queues(later.channels)),
            ("rx-lro", on(self.lro), on(later.lro)),
            ("rx-gro-hw", on(self.gro_hw), on(later.gro_hw)),
            ("rx-gro", on(self.gro), on(later.gro)),
        ];
        pairs
            .into_iter()
            .filter(|(_, from, to)| from != to)
            .map(|(what, from, to)| Change { what, from, to })
            .collect()
    }
}

/// The sockets to read settings from.
pub struct Observer {
    route: Route,
    netdev: Option<Netdev>,
    ethtool: Option<Ethtool>,
}

impl Observer {
    /// In the calling thread's network namespace.
    pub fn open() -> Result<Self> {
        Ok(Self {
            route: Route::open()?,
            netdev: Netdev::open()?,
            ethtool: Ethtool::open()?,
        })
    }

    /// The settings of an interface now; ENODEV where it is gone.
    pub fn settings(&mut self, ifindex: u32) -> Result<Settings> {
        let link = self.route.link_by_index(ifindex)?;
        let features = match &mut self.netdev {
            Some(netdev) => Some(netdev.get(ifindex)?.xdp),
            None => None,
        };
        let (channels, offloads) = match &mut self.ethtool {
            Some(ethtool) => {
                let target = Target::One(ifindex);
                (
                    ethtool.channels(target)?.remove(&ifindex),
                    ethtool
                        .features(target)?
                        .remove(&ifindex)
                        .unwrap_or_default(),
                )
            }
            None => Default::default(),
        };
        Ok(Settings {
            up: link.is_up(),
            carrier: link.carrier,
            operstate: link.operstate,
            mtu: link.mtu,
            max_mtu: link.mtu_range.1,
            features,
            channels: channels.map(|channels| [channels.combined.0, channels.rx.0, channels.tx.0]),
            lro: offloads.lro,
            gro_hw: offloads.gro_hw,
            gro: offloads.gro,
        })
    }

    /// Waits until a link that had a carrier `before` has it again and the kernel calls it as operational as before, for 20
    /// seconds at most, and tells how long the carrier took: `None` where it never went.
    pub fn await_carrier(&mut self, ifindex: u32, before: &Settings) -> Result<Option<Duration>> {
        if !(before.up && before.carrier) {
            return Ok(None);
        }
        let started = Instant::now();
        let mut waited = None;
        loop {
            let link: Link = self.route.link_by_index(ifindex)?;
            if before.is_back(link.carrier, link.operstate)
                || !link.is_up()
                || started.elapsed() >= CARRIER_PATIENCE
            {
                return Ok(waited);
            }
            thread::sleep(CARRIER_PAUSE);
            if !link.carrier {
                waited = Some(started.elapsed());
            }
        }
    }

    /// Turns on again what was turned off since `before`, and gives what is still different then.
    pub fn restore(&mut self, ifindex: u32, before: &Settings) -> Result<Vec<Change>> {
        let now = self.settings(ifindex)?;
        let pairs = [
            ("rx-lro", before.lro, now.lro),
            ("rx-gro-hw", before.gro_hw, now.gro_hw),
        ];
        for (name, was, is) in pairs {
            if is_on(was) && !is_on(is) {
                self.turn_on(ifindex, name)?;
            }
        }
        Ok(before.changes(&self.settings(ifindex)?))
    }

    /// Turns on what `ethtool -K` was told to turn on, and what a program that is gone now had kept off.
    pub fn turn_on_wanted(&mut self, ifindex: u32) -> Result<()> {
        let now = self.settings(ifindex)?;
        for (name, is) in [("rx-lro", now.lro), ("rx-gro-hw", now.gro_hw)] {
            if is.is_some_and(|is| is.wanted && is.changeable && !is.active) {
                self.turn_on(ifindex, name)?;
            }
        }
        Ok(())
    }

    /// A driver may have turned a feature off behind the back of the kernel's core (vmxnet3), which then takes it for on and
    /// has nothing to do: so it is turned off first.
    fn turn_on(&mut self, ifindex: u32, name: &str) -> Result<()> {
        let Some(ethtool) = &mut self.ethtool else {
            return Ok(());
        };
        for on in [false, true] {
            match ethtool.set_feature(ifindex, name, on) {
                Err(error) if error.errno() == Some(Errno::ENODEV) => return Err(error.into()),
                Err(error) => tracing::debug!("{name} cannot be turned on again: {error}"),
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

fn is_on(state: Option<FeatureState>) -> bool {
    state.is_some_and(|state| state.active)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            up: true,
            carrier: true,
            operstate: OperState::Up,
            mtu: 1500,
            max_mtu: 9600,
            features: Some(0x23),
            channels: Some([2, 0, 0]),
            lro: Some(FeatureState {
                active: true,
                changeable: true,
                wanted: true,
            }),
            gro_hw: None,
            gro: None,
        }
    }

    #[test]
    fn a_link_is_back_when_it_is_operational_as_before() {
        let up = settings();
        assert!(!up.is_back(false, OperState::Down));
        assert!(!up.is_back(true, OperState::Down), "half a second to go");
        assert!(up.is_back(true, OperState::Up));
        // Looked at in that half second.
        let rising = Settings {
            operstate: OperState::Down,
            ..settings()
        };
        assert!(rising.is_back(true, OperState::Up));
        // A port that waits for 802.1X.
        let dormant = Settings {
            operstate: OperState::Dormant,
            ..settings()
        };
        assert!(dormant.is_back(true, OperState::Dormant));
    }

    #[test]
    fn changes_name_old_and_new_values() {
        assert!(settings().changes(&settings()).is_empty());
        // What a virtio_net with free queues and a vmxnet3 with LRO do.
        let during = Settings {
            features: Some(0x67),
            channels: Some([4, 0, 0]),
            lro: Some(FeatureState {
                active: false,
                changeable: true,
                wanted: true,
            }),
            ..settings()
        };
        let changes: Vec<String> = settings()
            .changes(&during)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            changes,
            [
                "xdp-features: basic redirect rx-sg -> basic redirect ndo-xmit rx-sg ndo-xmit-sg",
                "channels: combined 2, rx 0, tx 0 -> combined 4, rx 0, tx 0",
                "rx-lro: on -> off",
            ]
        );
    }
}
