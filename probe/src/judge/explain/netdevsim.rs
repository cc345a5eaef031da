//! netdevsim, the kernel's own test device: most of its refusals are switches in debugfs that somebody turned off, and it
//! seldom says which (drivers/net/netdevsim/bpf.c, Linux 6.12).

use kernel::{Errno, Refusal};

use super::{Binding, Explanation, Tried};
use crate::judge::Case;

/// What netdevsim means by a refusal; `None` where it is like any other driver.
pub(super) fn explain(case: &Case<'_>, tried: Tried, refusal: &Refusal) -> Option<Explanation> {
    if case.driver() != "netdevsim" {
        return None;
    }
    let text = refusal.ext_ack.as_deref().unwrap_or_default();
    let log = refusal.verifier_log.as_deref().unwrap_or_default();
    let switch = match (tried, refusal.errno) {
        // nsim_bpf_verify_insn says hello at the last instruction, and refuses there.
        (Tried::Load(Binding::Offload), Errno::EOPNOTSUPP) if log.contains("[netdevsim] ") => {
            "bpf_bind_verifier_accept"
        }
        (Tried::Load(Binding::Offload), Errno::EOPNOTSUPP) => "bpf_bind_accept",
        (Tried::CreateMap { offload: true }, Errno::EOPNOTSUPP) => "ports/0/bpf_map_accept",
        (Tried::CreateMap { offload: true }, Errno::ENOMEM) => {
            // NSIM_BPF_MAX_KEYS
            return Some(Explanation::new(
                "a map on netdevsim has 2 entries at most",
                "give it a max_entries of 1 or 2, or use --native: real NICs have room for more",
            ));
        }
        (Tried::CreateMap { offload: true }, Errno::EINVAL) => {
            return Some(Explanation::new(
                "a map on netdevsim is a plain array or hash, without flags",
                "xdp-offload compile --allow counters,globals makes plain maps of others where it can; or use --native",
            ));
        }
        (Tried::Attach(_), Errno::EOPNOTSUPP)
            if text.contains("XDP offload disabled in DebugFS") =>
        {
            "ports/0/bpf_xdpoffload_accept"
        }
        (Tried::Attach(_), Errno::EOPNOTSUPP)
            if text.contains("driver XDP disabled in DebugFS") =>
        {
            "ports/0/bpf_xdpdrv_accept"
        }
        _ => return None,
    };
    let name = switch.rsplit('/').next().unwrap_or(switch);
    let device = case.facts.bus_info.as_deref();
    let device = device
        .filter(|device| device.starts_with("netdevsim"))
        .unwrap_or("netdevsimN");
    let other_port = if name == switch {
        ""
    } else {
        " (ports/N for another port)"
    };
    Some(Explanation::new(
        format!("netdevsim's switch {name} is off"),
        format!("echo Y > /sys/kernel/debug/netdevsim/{device}/{switch}{other_port}"),
    ))
}
