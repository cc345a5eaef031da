//! The interface under trial: one attempt at a time, each undone before the next.

use std::os::fd::AsFd;

use kernel::bpf::program::{Program, ProgramSpec, XDP_HAS_FRAGS};
use kernel::netlink::link::{Expected, Mode, Route, XdpRequest};
use kernel::xsk::{self, XskMode};
use kernel::{Errno, Refusal};

use super::{Outcome, Step, What};
use crate::Result;
use crate::drivers::Version;
use crate::facts::{Facts, Snapshot};
use crate::judge::Needs;
use crate::judge::explain::{Binding, Tried, explain};
use crate::settings::{Change, Observer, Settings};

/// First kernel with `BPF_F_XDP_HAS_FRAGS`.
const FRAGS_SINCE: Version = Version(5, 18);
/// First kernel with `XDP_FLAGS_REPLACE`.
const REPLACE_SINCE: Version = Version(5, 7);
/// The interface and the sockets to it.
pub(super) struct Bench<'a> {
    snapshot: &'a Snapshot,
    facts: &'a Facts,
    route: Route,
    observer: Observer,
    step: Step,
}

impl<'a> Bench<'a> {
    pub(super) fn open(snapshot: &'a Snapshot, facts: &'a Facts) -> Result<Self> {
        Ok(Self {
            snapshot,
            facts,
            route: Route::open()?,
            observer: Observer::open()?,
            step: Step::Observe,
        })
    }

    /// What was done last.
    pub(super) fn step(&self) -> Step {
        self.step
    }

    pub(super) fn attempt(
        &mut self,
        what: What,
        before: &Settings,
    ) -> Result<(Outcome, Option<Settings>)> {
        tracing::debug!(what = what.name(), "trying");
        match what.mode() {
            Some(mode) => self.attach(what, mode, before),
            None if what == What::XskCopy => self.bind(XskMode::Copy, before),
            None => self.bind(XskMode::ZeroCopy, before),
        }
    }

    fn attach(
        &mut self,
        what: What,
        mode: Mode,
        before: &Settings,
    ) -> Result<(Outcome, Option<Settings>)> {
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
        self.step = Step::Load;
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
        self.step = Step::Attach;
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
        self.step = Step::Observe;
        let during = self.settings();
        self.step = Step::Detach;
        guard.undo(&mut self.route)?;
        let during = during?;
        self.await_carrier(before)?;
        Ok((Outcome::Held { warning }, Some(during)))
    }

    fn bind(&mut self, mode: XskMode, before: &Settings) -> Result<(Outcome, Option<Settings>)> {
        let tried = Tried::BindXsk {
            zero_copy: mode == XskMode::ZeroCopy,
        };
        self.step = Step::Bind;
        let outcome = match xsk::XskSocket::bind(self.facts.link.ifindex, 0, Some(mode)) {
            Ok(socket) => {
                let during = self.settings()?;
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
        self.await_carrier(before)?;
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

    pub(super) fn settings(&mut self) -> Result<Settings> {
        self.observer.settings(self.facts.link.ifindex)
    }

    /// Puts settings back, and gives those that could not be.
    pub(super) fn restore(&mut self, before: &Settings) -> Result<Vec<Change>> {
        self.observer.restore(self.facts.link.ifindex, before)
    }

    fn await_carrier(&mut self, before: &Settings) -> Result<()> {
        let waited = self
            .observer
            .await_carrier(self.facts.link.ifindex, before)?;
        tracing::debug!(?waited, "carrier");
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
