//! Which rungs to try, in which order, and what each does with a program that is already there.
//! Pure: from the probe's verdicts and a request to a plan.

use crate::occupant::{Holder, Occupant};
use kernel::netlink::link::Mode;
use probe::judge::{Support, Verdicts};

/// The mode that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The best one that the probe allows.
    Best,
    /// This one first, whatever the probe says.
    Mode(Mode),
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Best => f.pad("best"),
            Self::Mode(mode) => mode.fmt(f),
        }
    }
}

/// What the user asks of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Where to start.
    pub wanted: Wanted,
    /// Whether lower rungs may be tried when the first one does not hold.
    pub fallback: bool,
    /// Whether an attached program may be replaced.
    pub replace: bool,
}

/// The rungs, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What was asked for.
    pub wanted: Wanted,
    /// What to do at each rung. Rungs that were not asked for are absent.
    pub rungs: Vec<Rung>,
}

/// One rung of the ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// The mode that it stands for.
    pub mode: Mode,
    /// What to do there.
    pub decision: Decision,
    /// What is done to the program for it, in a line each.
    pub notes: Vec<String>,
}

impl Rung {
    pub(crate) fn new(mode: Mode, decision: Decision) -> Self {
        Self {
            mode,
            decision,
            notes: Vec::new(),
        }
    }
}

/// What to do at a rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Try it.
    Try(Action),
    /// Leave it out.
    Skip {
        /// Why.
        reason: String,
        /// What would help.
        remedy: Option<String>,
    },
}

/// How a rung is tried. None of them leaves the interface without a program that it had before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The mode is free.
    Add,
    /// The kernel swaps the two programs of one mode in one step.
    Replace(Occupant),
    /// The new one joins the old one, which sits in a mode that may be active at the same time, and
    /// then the old one goes. For a moment packets pass both.
    Move(Occupant),
}

impl Action {
    /// The program that the rung takes off.
    pub fn replaces(&self) -> Option<&Occupant> {
        match self {
            Self::Add => None,
            Self::Replace(occupant) | Self::Move(occupant) => Some(occupant),
        }
    }
}

impl Plan {
    /// Whether the rung of a mode is to be tried.
    pub fn tries(&self, mode: Mode) -> bool {
        self.rungs
            .iter()
            .any(|rung| rung.mode == mode && matches!(rung.decision, Decision::Try(_)))
    }

    /// Whether any rung is to be tried.
    pub fn has_a_try(&self) -> bool {
        self.rungs
            .iter()
            .any(|rung| matches!(rung.decision, Decision::Try(_)))
    }
}

/// Decides what to do at each rung.
///
/// `occupants` is what is attached now, at most one program a mode. A rung that the probe judged
/// "no" is left out with the probe's reason, except the one that was asked for by name: there the
/// kernel has the last word, and its words say more than a guess.
pub fn plan(verdicts: &Verdicts, occupants: &[Occupant], request: Request) -> Plan {
    let mut rungs = Vec::new();
    for mode in Mode::ALL {
        let asked = match request.wanted {
            Wanted::Best => false,
            // `Mode` is ordered best first.
            Wanted::Mode(first) if mode < first => continue,
            Wanted::Mode(first) => mode == first,
        };
        let decision = decide(mode, asked, verdicts, occupants, request.replace);
        let tried = matches!(decision, Decision::Try(_));
        rungs.push(Rung::new(mode, decision));
        if !request.fallback && (tried || asked) {
            break;
        }
    }
    Plan {
        wanted: request.wanted,
        rungs,
    }
}

/// Two programs on one interface: a part on the NIC, the whole on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halves {
    /// What to do at the NIC's rung; `None`: a lower one was asked for.
    pub nic: Option<Decision>,
    /// The rungs of the host's half, native first.
    pub host: Plan,
}

/// Decides for both halves. Each minds only what is in its place: offload goes with both other modes.
pub fn plan_halves(verdicts: &Verdicts, occupants: &[Occupant], request: Request) -> Halves {
    let (on_nic, on_host): (Vec<_>, Vec<_>) = occupants
        .iter()
        .cloned()
        .partition(|occupant| occupant.mode == Mode::Offload);
    let nic = plan(verdicts, &on_nic, request)
        .rungs
        .into_iter()
        .find(|rung| rung.mode == Mode::Offload)
        .map(|rung| rung.decision);
    let native = Request {
        wanted: Wanted::Mode(Mode::Native),
        ..request
    };
    Halves {
        nic,
        host: plan(verdicts, &on_host, native),
    }
}

fn decide(
    mode: Mode,
    asked: bool,
    verdicts: &Verdicts,
    occupants: &[Occupant],
    replace: bool,
) -> Decision {
    if let (false, Support::No { reason, remedy, .. }) = (asked, verdicts.mode(mode)) {
        return Decision::Skip {
            reason: reason.clone(),
            remedy: remedy.clone(),
        };
    }
    if let Some(there) = occupants.iter().find(|o| o.mode == mode) {
        return if replace {
            replacing(there)
        } else {
            Decision::Skip {
                reason: format!("{there} is attached in {mode} mode{}", held(there)),
                remedy: Some("--replace swaps it for the new program in one step".to_owned()),
            }
        };
    }
    if let Some(rival) = occupants.iter().find(|o| excludes(o.mode, mode)) {
        return Decision::Skip {
            reason: format!(
                "{rival} is attached in {} mode, and the kernel does not run {mode} mode beside it",
                rival.mode
            ),
            remedy: Some(format!(
                "take {0} mode (--{0} --replace), or detach {rival} first: \
                 packets then pass without a program until the attach",
                rival.mode
            )),
        };
    }
    match occupants.first().filter(|_| replace) {
        None => Decision::Try(Action::Add),
        Some(other) if other.holder == Holder::Interface => {
            Decision::Try(Action::Move(other.clone()))
        }
        Some(other) => Decision::Skip {
            reason: format!(
                "{other} is attached in {} mode{}, which keeps it there",
                other.mode,
                held(other)
            ),
            remedy: Some(format!(
                "replace it where it is: --{} --replace",
                other.mode
            )),
        },
    }
}

/// `--replace` in the mode where `there` is.
fn replacing(there: &Occupant) -> Decision {
    match &there.holder {
        Holder::Link { id, pin: None } => Decision::Skip {
            reason: format!(
                "{there} is held by bpf_link {id}, which is not pinned: another process owns it, \
                 and what is attached goes when that process ends"
            ),
            remedy: Some(
                "end that process, or `xdp-offload detach --id` to take its program off".to_owned(),
            ),
        },
        Holder::Interface | Holder::Link { .. } => Decision::Try(Action::Replace(there.clone())),
    }
}

fn held(there: &Occupant) -> String {
    match &there.holder {
        Holder::Interface => String::new(),
        link @ Holder::Link { .. } => format!(", held by {link}"),
    }
}

/// Native and generic exclude each other; offload goes with both (net/core/dev.c,
/// `dev_xdp_attach`, since 5.9: "Native and generic XDP can't be active at the same time").
fn excludes(a: Mode, b: Mode) -> bool {
    a != b && a != Mode::Offload && b != Mode::Offload
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe::{Evidence, EvidenceKind};

    fn yes() -> Support {
        Support::Yes {
            evidence: vec![evidence()],
            notes: Vec::new(),
        }
    }

    fn no(reason: &str) -> Support {
        Support::No {
            evidence: vec![evidence()],
            reason: reason.to_owned(),
            remedy: None,
        }
    }

    fn evidence() -> Evidence {
        Evidence {
            kind: EvidenceKind::Table,
            detail: "a test".to_owned(),
        }
    }

    /// A veth's verdicts: no offload.
    fn veth() -> Verdicts {
        Verdicts {
            native: yes(),
            generic: yes(),
            offload: no("veth cannot offload"),
            xsk_copy: yes(),
            xsk_zerocopy: no("x"),
            redirect_source: yes(),
            redirect_target: yes(),
            multi_buffer: yes(),
        }
    }

    /// A NIC that can do all.
    fn smart() -> Verdicts {
        Verdicts {
            offload: yes(),
            ..veth()
        }
    }

    /// Only generic.
    fn bridge() -> Verdicts {
        Verdicts {
            native: no("bridge has no native XDP"),
            ..veth()
        }
    }

    fn request(wanted: Wanted) -> Request {
        Request {
            wanted,
            fallback: true,
            replace: false,
        }
    }

    fn there(mode: Mode, holder: Holder) -> Occupant {
        Occupant {
            mode,
            program_id: 12,
            name: "old".to_owned(),
            holder,
        }
    }

    /// A word a rung: "native:add generic:skip(reason)".
    fn check(verdicts: &Verdicts, occupants: &[Occupant], request: Request, expected: &[&str]) {
        let got: Vec<String> = plan(verdicts, occupants, request)
            .rungs
            .iter()
            .map(|rung| match &rung.decision {
                Decision::Try(Action::Add) => format!("{}:add", rung.mode),
                Decision::Try(Action::Replace(o)) => {
                    format!("{}:replace {}", rung.mode, o.program_id)
                }
                Decision::Try(Action::Move(o)) => format!("{}:move from {}", rung.mode, o.mode),
                Decision::Skip { reason, .. } => format!("{}:skip {reason}", rung.mode),
            })
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn the_best_mode_leaves_out_what_the_probe_refuses() {
        check(
            &veth(),
            &[],
            request(Wanted::Best),
            &[
                "offload:skip veth cannot offload",
                "native:add",
                "generic:add",
            ],
        );
        check(
            &bridge(),
            &[],
            request(Wanted::Best),
            &[
                "offload:skip veth cannot offload",
                "native:skip bridge has no native XDP",
                "generic:add",
            ],
        );
    }

    #[test]
    fn what_the_probe_does_not_know_is_tried() {
        let verdicts = Verdicts {
            native: Support::Unknown {
                why: "no table row".to_owned(),
            },
            ..veth()
        };
        check(
            &verdicts,
            &[],
            request(Wanted::Best),
            &[
                "offload:skip veth cannot offload",
                "native:add",
                "generic:add",
            ],
        );
    }

    #[test]
    fn a_mode_asked_for_by_name_is_tried_whatever_the_probe_says() {
        check(
            &bridge(),
            &[],
            request(Wanted::Mode(Mode::Offload)),
            &[
                "offload:add",
                "native:skip bridge has no native XDP",
                "generic:add",
            ],
        );
        check(
            &bridge(),
            &[],
            request(Wanted::Mode(Mode::Native)),
            &["native:add", "generic:add"],
        );
        check(
            &veth(),
            &[],
            request(Wanted::Mode(Mode::Generic)),
            &["generic:add"],
        );
    }

    #[test]
    fn halves_mind_what_is_in_their_own_place_only() {
        let halves = |occupants: &[Occupant], replace| {
            plan_halves(
                &smart(),
                occupants,
                Request {
                    replace,
                    ..request(Wanted::Best)
                },
            )
        };
        let tries = |halves: &Halves| {
            let nic = halves.nic.clone().expect("best begins with the NIC");
            let host = halves.host.rungs.iter().map(|rung| rung.mode);
            (
                nic,
                host.collect::<Vec<_>>(),
                halves.host.rungs[0].decision.clone(),
            )
        };
        assert_eq!(
            tries(&halves(&[], false)),
            (
                Decision::Try(Action::Add),
                vec![Mode::Native, Mode::Generic],
                Decision::Try(Action::Add)
            )
        );
        let native = there(Mode::Native, Holder::Interface);
        let on_nic = there(Mode::Offload, Holder::Interface);
        // One alone is not moved away for the other half.
        let only_native = halves(std::slice::from_ref(&native), true);
        assert_eq!(only_native.nic, Some(Decision::Try(Action::Add)));
        assert_eq!(
            only_native.host.rungs[0].decision,
            Decision::Try(Action::Replace(native.clone()))
        );
        let both = halves(&[on_nic.clone(), native], true);
        assert_eq!(both.nic, Some(Decision::Try(Action::Replace(on_nic))));
    }

    #[test]
    fn without_fallback_only_the_first_rung_stays() {
        let strict = |wanted| Request {
            fallback: false,
            ..request(wanted)
        };
        check(
            &veth(),
            &[],
            strict(Wanted::Best),
            &["offload:skip veth cannot offload", "native:add"],
        );
        check(
            &veth(),
            &[],
            strict(Wanted::Mode(Mode::Offload)),
            &["offload:add"],
        );
        check(
            &veth(),
            &[there(Mode::Generic, Holder::Interface)],
            strict(Wanted::Mode(Mode::Native)),
            &[
                "native:skip program 12 (old) is attached in generic mode, and the kernel does not run native mode beside it",
            ],
        );
    }

    #[test]
    fn a_program_is_not_touched_without_replace() {
        check(
            &veth(),
            &[there(Mode::Native, Holder::Interface)],
            request(Wanted::Best),
            &[
                "offload:skip veth cannot offload",
                "native:skip program 12 (old) is attached in native mode",
                "generic:skip program 12 (old) is attached in native mode, and the kernel does not run generic mode beside it",
            ],
        );
        // Offload goes beside native and touches nothing.
        check(
            &smart(),
            &[there(Mode::Native, Holder::Interface)],
            request(Wanted::Mode(Mode::Offload)),
            &[
                "offload:add",
                "native:skip program 12 (old) is attached in native mode",
                "generic:skip program 12 (old) is attached in native mode, and the kernel does not run generic mode beside it",
            ],
        );
    }

    #[test]
    fn replacing_never_leaves_a_gap() {
        let replace = |wanted| Request {
            replace: true,
            ..request(wanted)
        };
        check(
            &veth(),
            &[there(Mode::Generic, Holder::Interface)],
            replace(Wanted::Mode(Mode::Native)),
            &[
                "native:skip program 12 (old) is attached in generic mode, and the kernel does not run native mode beside it",
                "generic:replace 12",
            ],
        );
        check(
            &smart(),
            &[there(Mode::Native, Holder::Interface)],
            replace(Wanted::Best),
            &[
                "offload:move from native",
                "native:replace 12",
                "generic:skip program 12 (old) is attached in native mode, and the kernel does not run generic mode beside it",
            ],
        );
    }

    #[test]
    fn a_link_is_replaced_only_where_it_outlives_its_owner() {
        let replace = Request {
            replace: true,
            ..request(Wanted::Mode(Mode::Native))
        };
        let pinned = Holder::Link {
            id: 7,
            pin: Some("/sys/fs/bpf/l".into()),
        };
        check(
            &veth(),
            &[there(Mode::Native, pinned)],
            replace,
            &[
                "native:replace 12",
                "generic:skip program 12 (old) is attached in native mode, and the kernel does not run generic mode beside it",
            ],
        );
        let owned = Holder::Link { id: 7, pin: None };
        assert!(
            !plan(&veth(), &[there(Mode::Native, owned)], replace).has_a_try(),
            "another process's link is not ours to change"
        );
    }
}
