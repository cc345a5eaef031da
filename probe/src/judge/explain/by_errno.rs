//! Refusals that come with nothing but an errno.

use kernel::netlink::link::Mode;
use kernel::{Errno, Refusal};

use super::{Binding, Explanation, Tried, already, two_modes, unbound};
use crate::judge::Case;

/// The errno alone, with what is known about the driver.
pub(super) fn explain(case: &Case<'_>, tried: Tried, refusal: &Refusal) -> Explanation {
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
        // bpf_prog_get_type_dev (kernel/bpf/syscall.c): nothing else of generic mode answers so.
        (Tried::Attach(Some(Mode::Generic)), Errno::EINVAL) => Explanation::new(
            "generic mode takes no program that was loaded for a NIC",
            "attach it with --hw, or load it without binding it to the device",
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
