//! A refusal of the ladder in words: the probe knows drivers, this knows loads, pins and occupants.

use crate::load::{Binding, LoadError, RefusedProgram};
use crate::occupant::Holder;
use crate::outcome::{Attempt, AttemptResult, Step};
use crate::permission;
use crate::plan::Action;
use kernel::netlink::link::Mode;
use kernel::{Errno, Operation};
use probe::{Explanation, Facts, Needs, Snapshot, Tried};
use std::path::Path;

/// On which rung of which interface something was refused.
pub(crate) struct Context<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) facts: &'a Facts,
    pub(crate) needs: Needs,
    pub(crate) mode: Mode,
    /// What the kernel wrote into its log about it.
    pub(crate) kernel_log: Vec<String>,
}

/// A rung that did not hold.
pub(crate) struct Refused {
    pub(crate) attempt: Attempt,
    /// Whether lower rungs cannot do better: no permission, no interface, a pin that is in the way.
    pub(crate) ends_the_ladder: bool,
}

impl Context<'_> {
    /// A load that was refused, perhaps at a rung above already, where it was the very same.
    pub(crate) fn load_refused(&self, error: &LoadError, refused_above: bool) -> Refused {
        if refused_above {
            let reason = "the same program was refused at the rung above".to_owned();
            return Refused {
                attempt: Attempt {
                    step: Step::Load,
                    ..Attempt::skipped(self.mode, reason, None)
                },
                ends_the_ladder: false,
            };
        }
        let errno = error.errno();
        let (explanation, message) = self.explain_load(error);
        let failed = error.is_permission() || errno.is_some_and(|errno| self.breaks(errno));
        Refused {
            attempt: Attempt {
                mode: self.mode,
                step: Step::Load,
                result: if failed {
                    AttemptResult::Failed
                } else {
                    AttemptResult::Refused
                },
                errno,
                kernel_message: message,
                kernel_log: self.kernel_log.clone(),
                reason: Some(explanation.reason),
                remedy: explanation.remedy,
            },
            ends_the_ladder: failed || is_about_pins(error),
        }
    }

    fn explain_load(&self, error: &LoadError) -> (Explanation, Option<String>) {
        let offload = self.mode == Mode::Offload;
        if error.is_permission() {
            let explanation = Explanation {
                reason: format!("not permitted: {error}"),
                remedy: Some(permission::remedy()),
            };
            return (explanation, None);
        }
        match error {
            LoadError::Program(refused) => self.explain_program(refused, offload),
            LoadError::CreateMap {
                map,
                shape,
                broken_rule,
                source,
            } => {
                let what = format!("no map '{map}' of this form can be created ({shape})");
                let explanation = match source.refusal() {
                    Some(refusal) if offload => {
                        let why = self.ask_probe(Tried::CreateMap { offload }, refusal);
                        Explanation {
                            reason: format!("{what}: {}", why.reason),
                            remedy: why.remedy,
                        }
                    }
                    refusal => Explanation {
                        reason: what,
                        remedy: broken_rule
                            .map(ToOwned::to_owned)
                            .or_else(|| map_remedy(refusal?.errno)),
                    },
                };
                (explanation, None)
            }
            LoadError::NeedsPin { .. } => (
                Explanation {
                    reason: error.to_string(),
                    remedy: Some(
                        "--pin DIR, a folder of /sys/fs/bpf, keeps it for as long as you like"
                            .to_owned(),
                    ),
                },
                None,
            ),
            LoadError::PinnedMapDiffers { path, .. } => (
                Explanation {
                    reason: error.to_string(),
                    remedy: Some(format!(
                        "take another folder with --pin, or remove {} if nobody needs it",
                        path.display()
                    )),
                },
                None,
            ),
            LoadError::Pin {
                path,
                errno: Some(Errno::ENODEV),
                ..
            } => (
                Explanation {
                    reason: format!(
                        "the map pinned at {} is orphaned: the NIC that it was on is gone",
                        path.display()
                    ),
                    remedy: Some(format!(
                        "remove the pins in {}",
                        path.parent().unwrap_or(path).display()
                    )),
                },
                None,
            ),
            LoadError::Link { .. }
            | LoadError::FillMap { .. }
            | LoadError::Unreadable { .. }
            | LoadError::Pin { .. } => (
                Explanation {
                    reason: error.to_string(),
                    remedy: None,
                },
                None,
            ),
        }
    }

    fn explain_program(
        &self,
        refused: &RefusedProgram,
        offload: bool,
    ) -> (Explanation, Option<String>) {
        let Some(finding) = &refused.finding else {
            let explanation = match refused.source.refusal() {
                Some(refusal) => self.ask_probe(Tried::Load(binding(refused)), refusal),
                None => Explanation {
                    reason: refused.to_string(),
                    remedy: None,
                },
            };
            return (explanation, None);
        };
        let place = match &refused.line {
            Some(line) => format!(" at {}:{}: `{}`", line.file, line.line, line.text.trim()),
            None => finding
                .insn
                .map_or_else(String::new, |insn| format!(" at instruction {insn}")),
        };
        let who = if offload && finding.is_by_driver() {
            "the driver"
        } else if offload {
            "the verifier or the driver"
        } else {
            "the verifier"
        };
        let correct = || "correct the program there; -v shows the verifier's whole log".to_owned();
        let explanation = Explanation {
            reason: format!("{who} refuses '{}'{place}", refused.program),
            remedy: Some(match (&refused.lacks, refused.source.refusal()) {
                (Some(lacks), _) => format!(
                    "this kernel has no {lacks}: guard the access with bpf_core_field_exists()"
                ),
                (None, Some(refusal)) if offload && finding.is_by_driver() => self
                    .ask_probe(Tried::Load(binding(refused)), refusal)
                    .remedy
                    .unwrap_or_else(correct),
                (None, _) => correct(),
            }),
        };
        (explanation, Some(finding.to_string()))
    }

    /// An attach that was refused.
    pub(crate) fn attach_refused(
        &self,
        error: &kernel::Error,
        action: &Action,
        link_pin: Option<&Path>,
    ) -> Refused {
        let refusal = error.refusal();
        let errno = error.errno();
        let explanation = self.explain_attach(error, action, link_pin);
        let about_pin =
            refusal.is_some_and(|r| matches!(r.operation, Operation::Pin | Operation::OpenPinned));
        let failed = refusal.is_none()
            || errno.is_some_and(|errno| self.breaks(errno) || errno == Errno::EPERM);
        Refused {
            attempt: Attempt {
                mode: self.mode,
                step: Step::Attach,
                result: if failed {
                    AttemptResult::Failed
                } else {
                    AttemptResult::Refused
                },
                errno,
                kernel_message: refusal.and_then(|refusal| refusal.ext_ack.clone()),
                kernel_log: self.kernel_log.clone(),
                reason: Some(explanation.reason),
                remedy: explanation.remedy,
            },
            ends_the_ladder: failed || about_pin,
        }
    }

    fn explain_attach(
        &self,
        error: &kernel::Error,
        action: &Action,
        link_pin: Option<&Path>,
    ) -> Explanation {
        let name = &self.facts.link.name;
        let Some(refusal) = error.refusal() else {
            return Explanation {
                reason: error.to_string(),
                remedy: None,
            };
        };
        match (refusal.operation, refusal.errno) {
            (_, Errno::ENODEV) => Explanation {
                reason: format!("the interface {name} is gone: it was there when it was probed"),
                remedy: Some("`ip link` shows what there is".to_owned()),
            },
            (Operation::Pin | Operation::OpenPinned, errno) => Explanation {
                reason: format!(
                    "cannot pin the link at {}: {errno}",
                    link_pin.unwrap_or(Path::new("")).display()
                ),
                remedy: match errno {
                    Errno::EEXIST => Some("the link of another attachment is pinned there: take another folder with --pin"),
                    Errno::EINVAL => Some("something else is pinned there: take another folder with --pin"),
                    _ => None,
                }
                .map(str::to_owned),
            },
            (_, Errno::EPERM) => Explanation {
                reason: format!("not permitted to attach to {name}"),
                remedy: Some(permission::remedy()),
            },
            (_, Errno::EBUSY) if matches!(action, Action::Replace(_)) => {
                let there = action.replaces();
                let by = match there.map(|there| &there.holder) {
                    Some(link @ Holder::Link { .. }) => link.to_string(),
                    _ => "a bpf_link".to_owned(),
                };
                Explanation {
                    reason: format!(
                        "{} is held by {by}, and only the link's owner can replace it",
                        there.map(ToString::to_string).unwrap_or_default()
                    ),
                    remedy: Some("end the owner, or detach it: `xdp-offload detach --id`".to_owned()),
                }
            }
            (_, Errno::EEXIST) if matches!(action, Action::Replace(_)) => Explanation {
                reason: format!("another program was attached to {name} meanwhile; it was not touched"),
                remedy: Some("`xdp-offload status` shows it; try again".to_owned()),
            },
            _ => self.ask_probe(Tried::Attach(Some(self.mode)), refusal),
        }
    }

    fn ask_probe(&self, tried: Tried, refusal: &kernel::Refusal) -> Explanation {
        let refusal = kernel::Refusal {
            kernel_log: self.kernel_log.clone(),
            ..refusal.clone()
        };
        probe::explain(tried, &refusal, self.snapshot, self.facts, &self.needs)
    }

    /// The system is out of something, or the interface is: another mode does not help. What a NIC is out of, the host
    /// may have.
    fn breaks(&self, errno: Errno) -> bool {
        match errno {
            Errno::ENODEV | Errno::ENFILE | Errno::EMFILE => true,
            Errno::ENOMEM | Errno::EIO => self.mode != Mode::Offload,
            _ => false,
        }
    }
}

/// What was tried, in the probe's words.
fn binding(refused: &RefusedProgram) -> probe::judge::explain::Binding {
    use probe::judge::explain::Binding as Tried;
    match refused.binding {
        Binding::None => Tried::None,
        Binding::Offload(_) => Tried::Offload,
        Binding::Device(_) => Tried::DeviceBound,
    }
}

/// Pins that are in the way are in the way at every rung.
fn is_about_pins(error: &LoadError) -> bool {
    matches!(
        error,
        LoadError::Pin { .. } | LoadError::PinnedMapDiffers { .. } | LoadError::NeedsPin { .. }
    )
}

fn map_remedy(errno: Errno) -> Option<String> {
    let remedy = match errno {
        Errno::EINVAL => "the kernel does not take these sizes or flags for this kind of map",
        Errno::E2BIG => "a key, a value or the whole map is too big: make it smaller",
        Errno::ENOMEM => {
            "the kernel has not so much memory to give: fewer entries, or BPF_F_NO_PREALLOC"
        }
        Errno::ENOTSUPP | Errno::EOPNOTSUPP => "this kernel was built without this kind of map",
        _ => return None,
    };
    Some(remedy.to_owned())
}
