//! Why the kernel refused: from its errno, its text, and what is known about the interface.
//!
//! Many refusals carry no text at all, so each is keyed on what was tried, the errno, and the facts. The texts are those of
//! net/core/dev.c, kernel/bpf/offload.c, net/xdp and the drivers, Linux 6.12 to 7.3.

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
/// Looks at the text first, since it is the kernel's own reason, then at what the facts forbid, then at the errno alone.
pub fn explain(
    tried: Tried,
    refusal: &Refusal,
    snapshot: &Snapshot,
    facts: &Facts,
    needs: &Needs,
) -> Explanation {
    let case = Case::new(snapshot, facts, needs);
    let text = refusal
        .ext_ack
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty());
    if let Some(text) = text
        && let Some(explanation) = by_text(&case, tried, text)
    {
        return explanation;
    }
    if refusal.errno.is_permission()
        && let Some(explanation) = by_permission(&case, tried, refusal)
    {
        return explanation;
    }
    let general = by_errno(&case, tried, refusal);
    let foreseen = by_verdict(&case, tried, refusal.errno);
    match (text, foreseen) {
        // A text that is not in the table: it is the reason, and what the facts forbid may be the remedy.
        (Some(text), foreseen) => Explanation {
            reason: format!("the kernel says: {text}"),
            remedy: foreseen
                .and_then(|foreseen| foreseen.remedy)
                .or(general.remedy),
        },
        (None, Some(foreseen)) => foreseen,
        (None, None) => general,
    }
}

/// The texts of refusals. The first that occurs in the kernel's text counts.
fn by_text(case: &Case<'_>, tried: Tried, text: &str) -> Option<Explanation> {
    let name = case.name();
    let driver = case.driver();
    let mode = |fallback| match tried {
        Tried::Attach(Some(mode)) | Tried::Detach(Some(mode)) => mode,
        _ => fallback,
    };
    let has = |part: &str| text.contains(part);

    // --- net/core/dev.c
    Some(
        if has("Underlying driver does not support XDP in native mode") {
            match by_verdict(case, Tried::Attach(Some(Mode::Native)), Errno::EOPNOTSUPP) {
                Some(foreseen) if mode(Mode::Native) == Mode::Native => foreseen,
                _ => Explanation::new(
                    format!("{driver} has no native mode, and so no offload"),
                    "use generic mode (--generic)",
                ),
            }
        } else if has("XDP program already attached") {
            Explanation::new(
                already(case, mode(Mode::Native)),
                "replace it atomically (--replace), or detach it first",
            )
        } else if has("Native and generic XDP can't be active at the same time") {
            let other = if case.facts.link.xdp.native.is_some() {
                Mode::Native
            } else {
                Mode::Generic
            };
            Explanation::new(
                format!(
                    "a program is attached in {other} mode, and native and generic mode exclude each other"
                ),
                format!("detach it first: xdp-offload detach {name} --mode {other}"),
            )
        } else if has("More than one program loaded, unset mode is ambiguous") {
            Explanation::new(
                format!("{name} has programs in more than one mode, so the mode has to be named"),
                format!("name it, as in: xdp-offload detach {name} --mode offload"),
            )
        } else if has("Only one XDP mode flag can be set") {
            two_modes()
        } else if has("Program bound to different device") {
            Explanation::new(
                format!("the program was loaded for another device than {name}"),
                format!(
                    "load it once more for {name}: a bound program runs on its own device only"
                ),
            )
        } else if has("Can't attach device-bound programs in generic mode") {
            Explanation::new(
                "the program is bound to the device, and generic mode takes unbound programs only",
                "attach it in native mode, or load it without binding",
            )
        } else if has("Using offloaded program without HW_MODE flag is not supported") {
            Explanation::new(
                format!(
                    "the program was loaded for offload, so it cannot run in {} mode",
                    mode(Mode::Native)
                ),
                "attach it with --hw, or load it without binding it to the device",
            )
        } else if has("programs can not be attached to a device") {
            let map = if has("CPUMAP") { "cpumap" } else { "devmap" };
            Explanation::new(
                format!(
                    "the program belongs into a {map}: it was loaded for the entries of that map (xdp/{map})"
                ),
                format!("attach the program that redirects, and put this one into its {map}"),
            )
        } else if has("Cannot attach when an upper device already has a program") {
            let upper = case
                .snapshot
                .uppers(case.facts)
                .find(|upper| !upper.link.xdp.is_empty());
            let upper = upper.map_or("a device above it", |upper| upper.link.name.as_str());
            Explanation::new(
                format!(
                    "{upper} has a program, and the kernel allows one only on either of the two"
                ),
                format!("detach the program of {upper} first"),
            )
        } else if has("Can't replace active BPF XDP link") || has("Can't replace active XDP link") {
            Explanation::new(
                "the program is attached by a BPF link, which only its owner can replace or detach",
                "stop the process that holds the link, or remove its pin (bpftool link)",
            )
        } else if has("Active program does not match expected") {
            Explanation::new(
                "another program has been attached in the meantime; it was left alone",
                format!("look at it (xdp-offload status {name}) and try again"),
            )
        } else if has("tcp-data-split") {
            Explanation::new(
                "the device splits headers from data (tcp-data-split), which a program without frags cannot see whole",
                format!("ethtool -G {name} tcp-data-split off, or build the program as xdp.frags"),
            )
        } else if has("memory provider") {
            Explanation::new(
                "a receive queue takes its memory from a device (devmem or io_uring zero-copy), which excludes XDP",
                "stop the program that uses it",
            )

        // --- bonding
        } else if has("Slave has XDP program loaded")
            || has("Slave device does not support XDP")
            || has("for the current bonding mode")
        {
            foreseen_or(
                case,
                Explanation::new(
                    format!("the kernel says: {text}"),
                    "attach to the slaves instead, or use generic mode (--generic)",
                ),
            )

        // --- veth
        } else if has("Peer MTU is too large") {
            foreseen_or(
                case,
                Explanation::new(
                    "the peer's MTU is too large for a program without frags",
                    "lower the peer's MTU to 3506, or build the program as xdp.frags",
                ),
            )
        } else if has("number of rx queues not less than peer tx queues") {
            foreseen_or(
                case,
                Explanation::new(
                    format!("{name} has fewer rx queues than its peer has tx queues"),
                    format!("raise them with: ethtool -L {name} rx N (or lower the peer's tx)"),
                ),
            )

        // --- virtio_net
        } else if has("Can't set XDP while host is implementing") {
            foreseen_or(
                case,
                Explanation::new(
                    "the host merges or checksums packets for this device (LRO, GRO_HW or CSUM), and it cannot be turned off from inside",
                    "use generic mode (--generic), or start the VM with ctrl_guest_offloads=on or the guest offloads off",
                ),
            )
        } else if has("any_header_sg required") {
            foreseen_or(
                case,
                Explanation::new(
                    "the device puts headers into a buffer of their own (no any_header_sg)",
                    "use a newer machine type or disable-legacy=on in QEMU, or mrg_rxbuf=off",
                ),
            )
        } else if has("Too few free TX rings") {
            foreseen_or(
                case,
                Explanation::new(
                    "virtio_net wants a transmit queue more for each CPU, and the device has too few",
                    format!(
                        "lower the channels in use (ethtool -L {name} combined N), or give the device more queues"
                    ),
                ),
            )

        // --- netdevsim
        } else if has("non-bound program") {
            unbound(case)
        } else if has("disabled in DebugFS") {
            Explanation::new(
                "a switch of netdevsim forbids this mode",
                format!("turn it on in debugfs (the text names it): {text}"),
            )

        // --- any driver, by what its text is about; the table of rules has the figures
        } else if has("RX buffer size is too small") || has("MTU") || has("mtu ") {
            foreseen_or(
                case,
                Explanation::new(
                    format!(
                        "the MTU {} is too large for this program: {text}",
                        case.facts.link.mtu
                    ),
                    format!(
                        "lower the MTU of {name}, or build the program as xdp.frags where the driver has multi-buffer packets"
                    ),
                ),
            )
        } else if has("LRO") {
            foreseen_or(
                case,
                Explanation::new(
                    format!("{driver} takes no program while LRO is on"),
                    format!("ethtool -K {name} lro off"),
                ),
            )
        } else if has("allocating XDP queues") {
            foreseen_or(
                case,
                Explanation::new(
                    format!(
                        "{driver} has too few free queues: XDP needs as many again as are in use"
                    ),
                    format!("ethtool -L {name} combined N, with N at most half of the maximum"),
                ),
            )
        } else {
            return None;
        },
    )
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

/// The errno alone, with what is known about the driver.
fn by_errno(case: &Case<'_>, tried: Tried, refusal: &Refusal) -> Explanation {
    let name = case.name();
    let driver = case.driver();
    let errno = refusal.errno;
    match (tried, errno) {
        (_, Errno::ENODEV) => Explanation::new(
            format!("{name} is not there any more, or lies in another network namespace"),
            "list what is there: xdp-probe list (--netns NAME for another namespace)",
        ),
        (_, Errno::EINTR | Errno::EAGAIN) => {
            Explanation::new("the kernel was interrupted or busy", "try again")
        }
        (Tried::Attach(_) | Tried::Detach(_), Errno::EBADF) => Explanation::new(
            "the descriptor is not a loaded program (any more)",
            "load the program again",
        ),

        // Loading and maps.
        (Tried::Load(Binding::Offload), Errno::EINVAL | Errno::EOPNOTSUPP) => Explanation::new(
            format!("{driver} does not run this program in hardware; the kernel gives no reason"),
            "xdp-offload check OBJECT --target nfp names what the hardware lacks; or use --native",
        ),
        (Tried::Load(Binding::DeviceBound), Errno::EINVAL | Errno::EOPNOTSUPP) => Explanation::new(
            format!("{driver} gives programs no metadata (kfuncs), so none can be bound to {name}"),
            "load the program without binding it to the device",
        ),
        (Tried::CreateMap { offload: true }, Errno::ENOMEM) => Explanation::new(
            "the device has no room for a map of this size",
            "make the map smaller (max_entries, key and value size)",
        ),
        (Tried::CreateMap { offload: true }, Errno::EINVAL | Errno::EOPNOTSUPP) => {
            Explanation::new(
                format!(
                    "{driver} has no such map in hardware: it takes plain arrays and hashes without flags"
                ),
                "xdp-offload check OBJECT --target nfp names the map and what would help",
            )
        }
        (Tried::CreateMap { .. }, Errno::E2BIG) => Explanation::new(
            "the map is too large",
            "make it smaller (max_entries, value size)",
        ),
        (Tried::CreateMap { .. }, Errno::EINVAL) => Explanation::new(
            format!(
                "this kernel ({}) does not know the map's type or flags, or its sizes do not fit the type",
                case.release().text
            ),
            "compare type, flags, key and value size with the kernel's documentation of the map",
        ),
        (Tried::CreateMap { .. } | Tried::Load(_), Errno::ENOMEM) => Explanation::new(
            "the kernel has no memory for it, or the process's memory limit is reached",
            "raise the limit (ulimit -l unlimited), or make it smaller",
        ),
        (Tried::Load(_), Errno::EACCES | Errno::EINVAL) if refusal.verifier_log.is_some() => {
            Explanation::new(
                "the kernel's verifier refuses the program",
                "read the verifier's last lines; xdp-offload check OBJECT explains them",
            )
        }
        (Tried::Load(_), Errno::EINVAL) => Explanation::new(
            format!(
                "this kernel ({}) does not take the program as it is: its type, flags or instructions",
                case.release().text
            ),
            "xdp-offload check OBJECT looks for the cause",
        ),
        (Tried::Load(_), Errno::E2BIG) => Explanation::new(
            "the program is too large, or the verifier's budget of a million instructions ran out",
            "make it smaller, bound its loops more tightly",
        ),
        (Tried::Load(_), Errno::ENOSPC) => Explanation::new(
            "the verifier's log is larger than its buffer",
            "ask for a shorter log",
        ),

        // AF_XDP.
        (Tried::BindXsk { .. }, Errno::EBUSY) => Explanation::new(
            "another AF_XDP socket holds this queue, or was closed a moment ago",
            "use another queue, or try again in a moment",
        ),
        (Tried::BindXsk { .. }, Errno::EAFNOSUPPORT) => Explanation::new(
            "this kernel has no AF_XDP sockets",
            "use a kernel with CONFIG_XDP_SOCKETS",
        ),
        (Tried::BindXsk { .. }, Errno::ENOBUFS | Errno::ENOMEM) => Explanation::new(
            "the socket's memory cannot be locked: the process's limit is reached",
            "raise it: ulimit -l unlimited",
        ),
        (Tried::BindXsk { .. }, Errno::ENETDOWN) => Explanation::new(
            format!("{name} is down"),
            format!("ip link set dev {name} up"),
        ),
        (Tried::BindXsk { zero_copy: true }, Errno::EOPNOTSUPP) => Explanation::new(
            format!("{driver} has no zero-copy in its present state"),
            "use copy mode",
        ),
        (Tried::BindXsk { zero_copy: true }, Errno::EINVAL | Errno::ENOENT) => Explanation::new(
            format!(
                "{driver} cannot map this socket's memory: the queue does not exist, the frames do not suit it, or it does no DMA"
            ),
            "use copy mode, or an existing queue with frames of 4096 bytes",
        ),
        (Tried::BindXsk { .. }, Errno::EINVAL) => Explanation::new(
            format!("{name} has no such queue"),
            format!("use a queue below the channels that ethtool -l {name} shows"),
        ),

        // Attaching.
        (Tried::Attach(Some(Mode::Offload)), Errno::EINVAL) => unbound(case),
        (Tried::Attach(Some(Mode::Offload)), Errno::EOPNOTSUPP) => Explanation::new(
            format!("{driver} runs no programs in hardware"),
            "use native mode (--native) or generic mode (--generic)",
        ),
        (Tried::Attach(mode), Errno::EBUSY)
            if mode.is_none_or(|mode| case.facts.link.xdp.get(mode).is_some()) =>
        {
            Explanation::new(
                already(case, mode.unwrap_or(Mode::Native)),
                "replace it atomically (--replace), or detach it first",
            )
        }
        (Tried::Attach(_), Errno::EBUSY) => Explanation::new(
            format!("{driver} is busy: a program, a link or an AF_XDP socket is in the way"),
            format!("look at what is attached: xdp-offload status {name}"),
        ),
        (Tried::Attach(_), Errno::EEXIST) => Explanation::new(
            format!(
                "a program is attached to {name} in another mode, to a device above it, or has been exchanged meanwhile"
            ),
            format!("look at what is attached: xdp-offload status {name}"),
        ),
        (Tried::Attach(Some(Mode::Native) | None), Errno::EOPNOTSUPP) => Explanation::new(
            format!(
                "{driver} does not take a native program in its present state; the driver gives no reason"
            ),
            "use generic mode (--generic); the kernel log (dmesg) may tell more",
        ),
        (Tried::Attach(_), Errno::ENOMEM | Errno::ENOSPC) => Explanation::new(
            format!("{driver} has too few queues or too little memory for XDP"),
            format!("use fewer channels: ethtool -L {name} combined N"),
        ),
        (Tried::Attach(_), Errno::ERANGE) => Explanation::new(
            format!("{driver} takes no program at this MTU"),
            "lower the MTU, or build the program as xdp.frags",
        ),
        (Tried::Attach(_), Errno::EINVAL) => Explanation::new(
            format!(
                "{driver} does not take the program; it gives no reason (often the MTU, the queues or LRO)"
            ),
            "look into the kernel log (dmesg): many drivers tell the reason only there; generic mode (--generic) works meanwhile",
        ),
        (Tried::Detach(_), Errno::EBUSY) => Explanation::new(
            "the program is attached by a BPF link, which only its owner can detach",
            "stop the process that holds the link, or remove its pin (bpftool link)",
        ),
        (Tried::Detach(_), Errno::EEXIST) => Explanation::new(
            "another program is attached than the one that was to be detached; it was left alone",
            format!("look at it: xdp-offload status {name}"),
        ),
        (Tried::Detach(_), Errno::EINVAL) => two_modes(),
        _ => Explanation {
            reason: format!("the kernel gives no reason but {errno}"),
            remedy: Some("look into the kernel log (dmesg)".to_owned()),
        },
    }
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
