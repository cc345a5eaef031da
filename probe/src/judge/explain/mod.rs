//! Why the kernel refused: from its errno, its text, and what is known about the interface.
//!
//! Many refusals carry no text at all, so each is keyed on what was tried, the errno, and the facts.

mod by_errno;
mod by_text;
mod netdevsim;

use kernel::netlink::link::Mode;
use kernel::{Errno, Refusal};

use super::{Case, Needs, Support, judge};
use crate::facts::{Facts, Snapshot};

/// What was tried when the kernel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// Creating a map; `offload`: bound to the device.
    CreateMap {
        /// With `map_ifindex`.
        offload: bool,
    },
    /// Loading a program.
    Load(Binding),
    /// Attaching, by netlink or by link; `None` leaves the mode to the kernel.
    Attach(Option<Mode>),
    /// Detaching.
    Detach(Option<Mode>),
    /// Binding an AF_XDP socket.
    BindXsk {
        /// With `XDP_ZEROCOPY`; otherwise with `XDP_COPY`.
        zero_copy: bool,
    },
}

/// What a program is bound to when it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// To nothing: it may be attached anywhere.
    None,
    /// To the device, which is to run it (`prog_ifindex`).
    Offload,
    /// To the device, for its metadata kfuncs (`prog_ifindex` and `BPF_F_XDP_DEV_BOUND_ONLY`).
    DeviceBound,
}

/// A refusal in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Why, in one sentence.
    pub reason: String,
    /// What to do; `None` where nothing is known to help.
    pub remedy: Option<String>,
}

impl Explanation {
    fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// Explains `refusal` of what was `tried` on the interface `facts` of `snapshot`, with a program of these `needs`.
/// Pure; the kernel's own text stays in `refusal`.
///
/// Looks at the text first, since it is the kernel's own reason, or else at what it wrote into its log, then at what the
/// facts forbid, then at the errno alone.
pub fn explain(
    tried: Tried,
    refusal: &Refusal,
    snapshot: &Snapshot,
    facts: &Facts,
    needs: &Needs,
) -> Explanation {
    let case = Case::new(snapshot, facts, needs);
    if let Some(explanation) = netdevsim::explain(&case, tried, refusal) {
        return explanation;
    }
    let text = refusal
        .ext_ack
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty());
    if let Some(text) = text
        && let Some(explanation) = by_text::explain(&case, tried, text)
    {
        return explanation;
    }
    if text.is_none()
        && let Some(explanation) = refusal
            .kernel_log
            .iter()
            .find_map(|line| by_text::explain(&case, tried, line))
    {
        return explanation;
    }
    if refusal.errno.is_permission()
        && let Some(explanation) = by_permission(&case, tried, refusal)
    {
        return explanation;
    }
    let general = by_errno::explain(&case, tried, refusal);
    let foreseen = by_verdict(&case, tried, refusal.errno);
    let in_log = || {
        refusal
            .kernel_log
            .last()
            .map(|line| format!("the kernel's log says: {line}"))
    };
    let reason = text
        .map(|text| format!("the kernel says: {text}"))
        .or_else(in_log);
    match (reason, foreseen) {
        // A text that is not in the table: it is the reason, and what the facts forbid may be the remedy.
        (Some(reason), foreseen) => Explanation {
            reason,
            remedy: foreseen
                .and_then(|foreseen| foreseen.remedy)
                .or(general.remedy),
        },
        (None, Some(foreseen)) => foreseen,
        (None, None) => general,
    }
}

/// What the facts foresaw, in their figures, or else `otherwise`.
fn foreseen_or(case: &Case<'_>, otherwise: Explanation) -> Explanation {
    by_verdict(case, Tried::Attach(Some(Mode::Native)), Errno::EINVAL).unwrap_or(otherwise)
}

/// The verdict about what was tried, where it is a no that this errno may stand for.
fn by_verdict(case: &Case<'_>, tried: Tried, errno: Errno) -> Option<Explanation> {
    if matches!(
        errno,
        Errno::EPERM | Errno::EACCES | Errno::ENODEV | Errno::EBADF | Errno::EAGAIN
    ) {
        return None;
    }
    let verdicts = judge(case.snapshot, case.facts, case.needs);
    let verdict = match tried {
        // What a program needs is nothing to a map.
        Tried::CreateMap { offload: true } if case.needs.frags => {
            let plain = Needs {
                frags: false,
                ..*case.needs
            };
            judge(case.snapshot, case.facts, &plain).offload
        }
        Tried::Attach(Some(mode)) => verdicts.mode(mode).clone(),
        // Without a mode flag the kernel takes native where the driver has it, and does not fall back.
        Tried::Attach(None) => verdicts.native,
        Tried::Load(Binding::Offload) | Tried::CreateMap { offload: true } => verdicts.offload,
        Tried::BindXsk { zero_copy: true } => verdicts.xsk_zerocopy,
        Tried::BindXsk { zero_copy: false } => verdicts.xsk_copy,
        Tried::Load(Binding::None | Binding::DeviceBound)
        | Tried::CreateMap { offload: false }
        | Tried::Detach(_) => {
            return None;
        }
    };
    match verdict {
        Support::No { reason, remedy, .. } => Some(Explanation { reason, remedy }),
        Support::Yes { .. } | Support::Unknown { .. } => None,
    }
}

/// EPERM and EACCES: which capability is missing.
fn by_permission(case: &Case<'_>, tried: Tried, refusal: &Refusal) -> Option<Explanation> {
    let host = &case.snapshot.host;
    let (missing, needed) = match tried {
        Tried::BindXsk { .. } => (super::permission::missing_to_bind(host), "CAP_NET_RAW"),
        Tried::Attach(_) | Tried::Detach(_) => {
            (super::permission::missing_to_attach(host), "CAP_NET_ADMIN")
        }
        Tried::Load(_) | Tried::CreateMap { .. } => (
            super::permission::missing_to_attach(host),
            "CAP_BPF and CAP_NET_ADMIN",
        ),
    };
    if !missing.is_empty() {
        return Some(Explanation::new(
            format!("this process lacks {}", missing.join(" and ")),
            "run it as root (sudo), or give it the capability",
        ));
    }
    if refusal.errno == Errno::EACCES && matches!(tried, Tried::Load(_)) {
        return None; // the verifier's way to refuse
    }
    Some(Explanation::new(
        format!(
            "it is not permitted, although this process has {needed}: a user namespace, a security module or seccomp stands before it"
        ),
        "run it in the initial user namespace (containers: with the host's privileges), and look into the audit log",
    ))
}

fn two_modes() -> Explanation {
    Explanation::new(
        "more than one mode was asked for, or none while several hold programs",
        "name exactly one mode",
    )
}

/// Offload was asked for with a program that was not loaded for the device.
fn unbound(case: &Case<'_>) -> Explanation {
    Explanation::new(
        format!(
            "the program was not loaded for {}: offload takes only a program that is bound to the NIC",
            case.name()
        ),
        "load it for the device (xdp-offload attach --hw does), or use native mode (--native)",
    )
}

fn already(case: &Case<'_>, mode: Mode) -> String {
    let found = case
        .facts
        .link
        .xdp
        .get(mode)
        .map(|id| (mode, id))
        .or_else(|| case.facts.link.xdp.iter().next());
    match found {
        Some((mode, id)) => format!("program {id} is attached already, in {mode} mode"),
        None => "a program is attached already".to_owned(),
    }
}
