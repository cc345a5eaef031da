//! Refusals that come with a text. The texts are those of net/core/dev.c, kernel/bpf/offload.c and the drivers,
//! Linux 6.12 to 7.3.

use kernel::Errno;
use kernel::netlink::link::Mode;

use super::{Explanation, Tried, already, by_verdict, foreseen_or, two_modes, unbound};
use crate::judge::Case;

/// The texts of refusals. The first that occurs in the kernel's text counts.
pub(super) fn explain(case: &Case<'_>, tried: Tried, text: &str) -> Option<Explanation> {
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

        // --- netdevsim; its switches are in netdevsim.rs
        } else if has("non-bound program") {
            unbound(case)

        // --- nfp, in the kernel's log (nfp_bpf_jit)
        } else if has("Translation failed with error") {
            Explanation::new(
                "the driver has no translation for an instruction of the program; the verifier had none to complain of",
                "xdp-offload check OBJECT --target nfp names the instruction; compile rewrites what it can",
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
