//! The interface under trial: one attempt at a time, each undone before the next.

use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use kernel::bpf::program::{Program, ProgramSpec, XDP_HAS_FRAGS};
use kernel::netlink::ethtool::{Ethtool, FeatureState, Target};
use kernel::netlink::link::{Expected, Mode, Route, XdpRequest};
use kernel::netlink::netdev::Netdev;
use kernel::xsk::{self, XskMode};
use kernel::{Errno, Refusal};

use super::state::State;
use super::{Outcome, Step, What};
use crate::Result;
use crate::drivers::Version;
use crate::facts::{Facts, Snapshot};
use crate::judge::Needs;
use crate::judge::explain::{Binding, Tried, explain};

/// First kernel with `BPF_F_XDP_HAS_FRAGS`.
const FRAGS_SINCE: Version = Version(5, 18);
/// First kernel with `XDP_FLAGS_REPLACE`.
const REPLACE_SINCE: Version = Version(5, 7);
/// How long a link may take to come back: an emulated igb took 0.6 s, copper with autonegotiation takes up to 4 s.
const CARRIER_PATIENCE: Duration = Duration::from_secs(6);
const CARRIER_PAUSE: Duration = Duration::from_millis(50);

/// The interface and the sockets to it.
pub(super) struct Bench<'a> {
    snapshot: &'a Snapshot,
    facts: &'a Facts,
    route: Route,
    netdev: Option<Netdev>,
    ethtool: Option<Ethtool>,
}

impl<'a> Bench<'a> {
    pub(super) fn open(snapshot: &'a Snapshot, facts: &'a Facts) -> Result<Self> {
        Ok(Self {
            snapshot,
            facts,
            route: Route::open()?,
            netdev: Netdev::open()?,
            ethtool: Ethtool::open()?,
        })
    }

    pub(super) fn attempt(&mut self, what: What) -> Result<(Outcome, Option<State>)> {
        tracing::debug!(what = what.name(), "trying");
        match what.mode() {
            Some(mode) => self.attach(what, mode),
            None => self.bind(if what == What::XskCopy {
                XskMode::Copy
            } else {
                XskMode::ZeroCopy
            }),
        }
    }

    fn attach(&mut self, what: What, mode: Mode) -> Result<(Outcome, Option<State>)> {
        let skip = |why: String| Ok((Outcome::Skipped { why }, None));
        let attached = self.facts.link.xdp;
        let exclusive = match mode {
            Mode::Native => attached.generic,
            Mode::Generic => attached.native,
            Mode::Offload => None,
        };
        if let Some(id) = exclusive {
            return skip(format!(
                "program {id} is attached, and native and generic mode exclude each other"
            ));
        }
        let release = &self.snapshot.host.release;
        let frags = what == What::NativeFrags;
        if frags && !FRAGS_SINCE.reached_by(release) {
            return skip(format!("frags came with Linux {FRAGS_SINCE}"));
        }
        if attached.get(mode).is_some() && !REPLACE_SINCE.reached_by(release) {
            return skip(format!(
                "before Linux {REPLACE_SINCE} a program cannot be exchanged safely"
            ));
        }
        let offload = mode == Mode::Offload;
        let spec = ProgramSpec {
            flags: if frags { XDP_HAS_FRAGS } else { 0 },
            ..ProgramSpec::pass(offload.then_some(self.facts.link.ifindex))
        };
        let needs = Needs {
            frags,
            ..Needs::default()
        };
        let binding = if offload {
            Binding::Offload
        } else {
            Binding::None
        };
        let program = match Program::load(&spec) {
            Ok(program) => program,
            Err(error) => {
                return Ok((
                    self.refused(Step::Load, Tried::Load(binding), error, needs)?,
                    None,
                ));
            }
        };
        // With --force: what is there is exchanged, and put back afterwards.
        let previous = match attached.get(mode).map(Program::from_id).transpose() {
            Ok(previous) => previous,
            Err(error) => {
                return skip(format!(
                    "the program that is there cannot be opened, so not be put back: {error}"
                ));
            }
        };
        let expected = previous.as_ref().map_or(Expected::Nothing, |program| {
            Expected::Program(program.as_fd())
        });
        let request = XdpRequest {
            ifindex: self.facts.link.ifindex,
            program: Some(program.as_fd()),
            mode: Some(mode),
            expected,
        };
        let warning = match self.route.set_xdp(&request) {
            Ok(warning) => warning,
            Err(error) => {
                return Ok((
                    self.refused(Step::Attach, Tried::Attach(Some(mode)), error, needs)?,
                    None,
                ));
            }
        };
        let guard = Exchange {
            ifindex: self.facts.link.ifindex,
            mode,
            trial: &program,
            previous: previous.as_ref(),
            replace: REPLACE_SINCE.reached_by(release),
        };
        let during = self.observe();
        guard.undo(&mut self.route)?;
        let during = during?;
        self.await_carrier()?;
        Ok((Outcome::Held { warning }, Some(during)))
    }

    fn bind(&mut self, mode: XskMode) -> Result<(Outcome, Option<State>)> {
        let tried = Tried::BindXsk {
            zero_copy: mode == XskMode::ZeroCopy,
        };
        let outcome = match xsk::XskSocket::bind(self.facts.link.ifindex, 0, Some(mode)) {
            Ok(socket) => {
                let during = self.observe()?;
                drop(socket);
                (Outcome::Held { warning: None }, Some(during))
            }
            Err(error) if error.errno() == Some(Errno::EBUSY) => (
                Outcome::Skipped {
                    why: "another AF_XDP socket holds queue 0".to_owned(),
                },
                None,
            ),
            Err(error) => (
                self.refused(Step::Bind, tried, error, Needs::default())?,
                None,
            ),
        };
        self.await_carrier()?;
        Ok(outcome)
    }

    fn refused(
        &self,
        step: Step,
        tried: Tried,
        error: kernel::Error,
        needs: Needs,
    ) -> Result<Outcome> {
        match error {
            kernel::Error::Refused(refusal) if !gone(&refusal) => {
                let explanation = explain(tried, &refusal, self.snapshot, self.facts, &needs);
                Ok(Outcome::Refused {
                    step,
                    refusal,
                    explanation,
                })
            }
            error => Err(error.into()),
        }
    }

    pub(super) fn observe(&mut self) -> Result<State> {
        let ifindex = self.facts.link.ifindex;
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
        Ok(State {
            carrier: link.carrier,
            mtu: link.mtu,
            max_mtu: link.mtu_range.1,
            features,
            channels: channels.map(|channels| [channels.combined.0, channels.rx.0, channels.tx.0]),
            lro: offloads.lro,
            gro_hw: offloads.gro_hw,
            gro: offloads.gro,
        })
    }

    /// Waits until a link that had a carrier has it again.
    fn await_carrier(&mut self) -> Result<()> {
        let deadline = Instant::now() + CARRIER_PATIENCE;
        while self.facts.link.carrier
            && self.facts.link.is_up()
            && !self.route.link_by_index(self.facts.link.ifindex)?.carrier
            && Instant::now() < deadline
        {
            thread::sleep(CARRIER_PAUSE);
        }
        Ok(())
    }

    /// Turns on again what an attach has turned off for good.
    pub(super) fn restore(&mut self, before: &State) -> Result<()> {
        let now = self.observe()?;
        let Some(ethtool) = &mut self.ethtool else {
            return Ok(());
        };
        for (name, was, is) in [
            ("rx-lro", before.lro, now.lro),
            ("rx-gro-hw", before.gro_hw, now.gro_hw),
        ] {
            let on = |state: Option<FeatureState>| state.is_some_and(|state| state.active);
            if on(was)
                && !on(is)
                && let Err(error) = ethtool.set_feature(self.facts.link.ifindex, name, true)
            {
                tracing::warn!("{name} was turned off and cannot be turned on again: {error}");
            }
        }
        Ok(())
    }
}

/// The interface vanished under the trial.
fn gone(refusal: &Refusal) -> bool {
    refusal.errno == Errno::ENODEV
}

/// A trial program that is attached: undone on every way out.
struct Exchange<'a> {
    ifindex: u32,
    mode: Mode,
    trial: &'a Program,
    previous: Option<&'a Program>,
    replace: bool,
}

impl Exchange<'_> {
    /// Puts back what was there.
    fn undo(self, route: &mut Route) -> Result<()> {
        let done = self.put_back(route);
        std::mem::forget(self);
        Ok(done?)
    }

    fn put_back(&self, route: &mut Route) -> kernel::Result<()> {
        let expected = if self.replace {
            Expected::Program(self.trial.as_fd())
        } else {
            Expected::Anything
        };
        route.set_xdp(&XdpRequest {
            ifindex: self.ifindex,
            program: self.previous.map(AsFd::as_fd),
            mode: Some(self.mode),
            expected,
        })?;
        Ok(())
    }
}

impl Drop for Exchange<'_> {
    /// Only on unwinding: every other way goes through [`Exchange::undo`], which reports what fails.
    fn drop(&mut self) {
        if let Ok(mut route) = Route::open() {
            let _ = self.put_back(&mut route);
        }
    }
}
