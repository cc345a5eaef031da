//! Proves verdicts: attaches a minimal program in each mode, binds AF_XDP sockets, looks at what that changes, and
//! puts everything back.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kernel::bpf::program::{Program, ProgramSpec, XDP_HAS_FRAGS};
use kernel::netlink::ethtool::{Ethtool, FeatureState, Target};
use kernel::netlink::link::{Expected, Mode, Route, XdpRequest};
use kernel::netlink::netdev::Netdev;
use kernel::xsk::{self, XskMode};
use kernel::{Errno, Refusal};

use crate::drivers::Version;
use crate::facts::{Facts, Snapshot};
use crate::judge::explain::{Binding, Explanation, Tried, explain};
use crate::judge::{Evidence, EvidenceKind, Needs, Support, Verdicts, judge};
use crate::render::json::xdp_feature_names;
use crate::{Error, Result};

/// First kernel with `BPF_F_XDP_HAS_FRAGS`.
const FRAGS_SINCE: Version = Version(5, 18);
/// First kernel with `XDP_FLAGS_REPLACE`.
const REPLACE_SINCE: Version = Version(5, 7);
/// How long a link may take to come back: an emulated igb took 0.6 s, copper with autonegotiation takes up to 4 s.
const CARRIER_PATIENCE: Duration = Duration::from_secs(6);
const CARRIER_PAUSE: Duration = Duration::from_millis(50);

/// What can be tried on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A plain program in native mode.
    Native,
    /// An xdp.frags program in native mode.
    NativeFrags,
    /// A plain program in generic mode.
    Generic,
    /// A program loaded for the NIC.
    Offload,
    /// An AF_XDP socket in copy mode on queue 0.
    XskCopy,
    /// An AF_XDP socket in zero-copy mode on queue 0.
    XskZerocopy,
}

impl What {
    /// In the order in which they are tried.
    pub const ALL: [Self; 6] = [
        Self::Native,
        Self::NativeFrags,
        Self::Generic,
        Self::Offload,
        Self::XskCopy,
        Self::XskZerocopy,
    ];

    /// For output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::NativeFrags => "native-frags",
            Self::Generic => "generic",
            Self::Offload => "offload",
            Self::XskCopy => "af-xdp-copy",
            Self::XskZerocopy => "af-xdp-zerocopy",
        }
    }

    fn mode(self) -> Option<Mode> {
        match self {
            Self::Native | Self::NativeFrags => Some(Mode::Native),
            Self::Generic => Some(Mode::Generic),
            Self::Offload => Some(Mode::Offload),
            Self::XskCopy | Self::XskZerocopy => None,
        }
    }
}

/// One thing that was tried.
#[derive(Debug, Clone)]
pub struct Trial {
    /// What.
    pub what: What,
    /// How it ended.
    pub outcome: Outcome,
    /// The verdict from before the trial.
    pub foreseen: Support,
    /// What was different while it was attached or bound.
    pub changes: Vec<Change>,
}

impl Trial {
    /// Whether the verdict was right; `None` where there was none, or nothing was tried.
    pub fn agrees(&self) -> Option<bool> {
        match (&self.outcome, &self.foreseen) {
            (Outcome::Skipped { .. }, _) | (_, Support::Unknown { .. }) => None,
            (Outcome::Held { .. }, foreseen) => Some(foreseen.is_yes()),
            (Outcome::Refused { .. }, foreseen) => Some(foreseen.is_no()),
        }
    }
}

/// How a trial ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It worked.
    Held {
        /// What the kernel said about its success.
        warning: Option<String>,
    },
    /// The kernel refused.
    Refused {
        /// What was refused.
        step: Step,
        /// In the kernel's words.
        refusal: Box<Refusal>,
        /// In ours.
        explanation: Explanation,
    },
    /// It was not tried.
    Skipped {
        /// Why.
        why: String,
    },
}

/// The steps of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Loading the program.
    Load,
    /// Attaching it.
    Attach,
    /// Binding the socket.
    Bind,
}

impl Step {
    /// For output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Attach => "attach",
            Self::Bind => "bind",
        }
    }
}

/// A setting that took another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which setting.
    pub what: &'static str,
    /// Before.
    pub from: String,
    /// Afterwards.
    pub to: String,
}

/// What came out of all trials of an interface.
#[derive(Debug, Clone)]
pub struct Report {
    /// In order.
    pub trials: Vec<Trial>,
    /// Settings that are not what they were before and could not be put back.
    pub lasting: Vec<Change>,
    /// The verdicts, with the trials as evidence.
    pub verdicts: Verdicts,
}

/// Why a trial would disturb what runs: a program is attached, or attaching takes down a link that is up.
pub fn objection(facts: &Facts) -> Option<Explanation> {
    let name = &facts.link.name;
    if let Some((mode, id)) = facts.link.xdp.iter().next() {
        return Some(Explanation {
            reason: format!(
                "program {id} is attached to {name} in {mode} mode, and a trial would take its place for a moment"
            ),
            remedy: Some(format!(
                "detach it, or say --force: xdp-probe try {name} --force"
            )),
        });
    }
    if !facts.link.is_up() {
        return None;
    }
    let reason = match facts.driver_row() {
        Some(row) if row.bounces => {
            format!(
                "{name} is up, and {} takes the link down for a moment when a program is attached",
                facts.driver_label()
            )
        }
        // A real device of a driver that nobody has tried: most drivers restart their queues.
        None if facts.link.parent_device.is_some() => {
            format!(
                "{name} is up, and {} may take the link down when a program is attached",
                facts.driver_label()
            )
        }
        _ => return None,
    };
    Some(Explanation {
        reason,
        remedy: Some(format!(
            "set it down first, or say --force: xdp-probe try {name} --force"
        )),
    })
}

/// Tries everything on one interface. Ends early, with everything put back, once `stop` is set.
pub fn run(snapshot: &Snapshot, facts: &Facts, stop: &AtomicBool) -> Result<Report> {
    let mut bench = Bench::open(snapshot, facts)?;
    let before = bench.observe()?;
    let mut verdicts = judge(snapshot, facts, &Needs::default());
    let with_frags = judge(
        snapshot,
        facts,
        &Needs {
            frags: true,
            ..Needs::default()
        },
    );
    let mut trials = Vec::new();
    for what in What::ALL {
        let foreseen = match what {
            What::Native => &verdicts.native,
            What::NativeFrags => &with_frags.native,
            What::Generic => &verdicts.generic,
            What::Offload => &verdicts.offload,
            What::XskCopy => &verdicts.xsk_copy,
            What::XskZerocopy => &verdicts.xsk_zerocopy,
        }
        .clone();
        let (outcome, during) = if stop.load(Ordering::Relaxed) {
            (
                Outcome::Skipped {
                    why: "interrupted".to_owned(),
                },
                None,
            )
        } else {
            bench.attempt(what)?
        };
        let changes = during.map_or_else(Vec::new, |during| before.changes(&during));
        trials.push(Trial {
            what,
            outcome,
            foreseen,
            changes,
        });
    }
    bench.restore(&before)?;
    let lasting = before.changes(&bench.observe()?);
    for trial in &trials {
        prove(&mut verdicts, trial);
    }
    Ok(Report {
        trials,
        lasting,
        verdicts,
    })
}

/// Makes a trial the first evidence of its verdict.
fn prove(verdicts: &mut Verdicts, trial: &Trial) {
    let verdict = match trial.what {
        What::Native => &mut verdicts.native,
        What::Generic => &mut verdicts.generic,
        What::Offload => &mut verdicts.offload,
        What::XskCopy => &mut verdicts.xsk_copy,
        What::XskZerocopy => &mut verdicts.xsk_zerocopy,
        What::NativeFrags => return,
    };
    let (mut evidence, notes) =
        match std::mem::replace(verdict, Support::Unknown { why: String::new() }) {
            Support::Yes { evidence, notes } => (evidence, notes),
            Support::No { evidence, .. } => (evidence, Vec::new()),
            Support::Unknown { .. } => (Vec::new(), Vec::new()),
        };
    *verdict = match &trial.outcome {
        Outcome::Held { warning } => {
            let said = warning.as_ref().map_or_else(String::new, |warning| {
                format!(" (the kernel says: {warning})")
            });
            evidence.insert(
                0,
                Evidence::new(
                    EvidenceKind::Trial,
                    format!("{} held{said}", trial.what.name()),
                ),
            );
            Support::Yes { evidence, notes }
        }
        Outcome::Refused {
            step,
            refusal,
            explanation,
        } => {
            let said = refusal
                .ext_ack
                .as_ref()
                .map_or_else(String::new, |text| format!(": {text}"));
            evidence.insert(
                0,
                Evidence::new(
                    EvidenceKind::Trial,
                    format!(
                        "{} refused at {}: {}{said}",
                        trial.what.name(),
                        step.name(),
                        refusal.errno
                    ),
                ),
            );
            Support::No {
                evidence,
                reason: explanation.reason.clone(),
                remedy: explanation.remedy.clone(),
            }
        }
        Outcome::Skipped { .. } => trial.foreseen.clone(),
    };
}

/// The interface and the sockets to it.
struct Bench<'a> {
    snapshot: &'a Snapshot,
    facts: &'a Facts,
    route: Route,
    netdev: Option<Netdev>,
    ethtool: Option<Ethtool>,
}

impl<'a> Bench<'a> {
    fn open(snapshot: &'a Snapshot, facts: &'a Facts) -> Result<Self> {
        Ok(Self {
            snapshot,
            facts,
            route: Route::open()?,
            netdev: Netdev::open()?,
            ethtool: Ethtool::open()?,
        })
    }

    fn attempt(&mut self, what: What) -> Result<(Outcome, Option<State>)> {
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

    fn observe(&mut self) -> Result<State> {
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
    fn restore(&mut self, before: &State) -> Result<()> {
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

/// What a trial may change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    carrier: bool,
    mtu: u32,
    max_mtu: u32,
    features: Option<u64>,
    channels: Option<[u32; 3]>,
    lro: Option<FeatureState>,
    gro_hw: Option<FeatureState>,
    gro: Option<FeatureState>,
}

impl State {
    fn changes(&self, later: &Self) -> Vec<Change> {
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

/// Refuses where a trial would disturb what runs, unless `force`d; names what is not permitted.
pub fn check(snapshot: &Snapshot, facts: &Facts, force: bool) -> Result<()> {
    use crate::judge::permission;

    let mut missing = permission::missing_to_attach(&snapshot.host);
    missing.extend(permission::missing_to_bind(&snapshot.host));
    if !missing.is_empty() {
        return Err(Error::NotPermitted {
            missing: missing.join(", "),
        });
    }
    match objection(facts).filter(|_| !force) {
        Some(objection) => Err(Error::WouldDisturb(Box::new(objection))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::Operation;

    fn state() -> State {
        State {
            carrier: true,
            mtu: 1500,
            max_mtu: 9600,
            features: Some(0x23),
            channels: Some([2, 0, 0]),
            lro: Some(FeatureState {
                active: true,
                changeable: true,
            }),
            gro_hw: None,
            gro: None,
        }
    }

    #[test]
    fn changes_name_old_and_new_values() {
        assert!(state().changes(&state()).is_empty());
        // What a virtio_net with free queues and a vmxnet3 with LRO do.
        let during = State {
            features: Some(0x67),
            channels: Some([4, 0, 0]),
            lro: Some(FeatureState {
                active: false,
                changeable: true,
            }),
            ..state()
        };
        let changes: Vec<String> = state()
            .changes(&during)
            .iter()
            .map(|change| format!("{}: {} -> {}", change.what, change.from, change.to))
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

    #[test]
    fn a_trial_is_the_first_evidence_and_may_contradict() {
        let snapshot = Snapshot::default();
        let mut verdicts = judge(&snapshot, &Facts::default(), &Needs::default());
        let foreseen = Support::Yes {
            evidence: vec![Evidence::new(
                EvidenceKind::Advertised,
                "xdp-features has basic",
            )],
            notes: Vec::new(),
        };
        verdicts.native = foreseen.clone();
        let refusal = Refusal {
            ext_ack: Some("no".to_owned()),
            ..Refusal::new(Operation::AttachXdp, Errno::EINVAL)
        };
        let explanation = Explanation {
            reason: "it says no".to_owned(),
            remedy: None,
        };
        let trial = Trial {
            what: What::Native,
            outcome: Outcome::Refused {
                step: Step::Attach,
                refusal: Box::new(refusal),
                explanation,
            },
            foreseen,
            changes: Vec::new(),
        };
        assert_eq!(trial.agrees(), Some(false));
        prove(&mut verdicts, &trial);
        let Support::No {
            evidence, reason, ..
        } = verdicts.native
        else {
            panic!("the kernel is right")
        };
        assert_eq!(reason, "it says no");
        assert_eq!(
            evidence[0].detail,
            "native refused at attach: Invalid argument (EINVAL): no"
        );
        assert_eq!(evidence[1].kind, EvidenceKind::Advertised);
    }
}
