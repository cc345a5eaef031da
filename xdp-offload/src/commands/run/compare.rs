//! Whether two engines do the same.

use super::name_of;
use crate::engine::{Engine, Kind, Ran};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::subject::Subject;
use crate::wire::padded;
use generic_fallback::load::Loader;
use offload_compiler::isa::functions;
use offload_compiler::object::Object;

/// Both engines have to do the same with a packet.
pub(super) fn packets(
    first: &Ran,
    second: &Ran,
    kinds: &[Kind],
    packet: &[u8],
) -> Result<(), Failure> {
    let Some(difference) = difference(first, second, kinds.contains(&Kind::Wire)) else {
        return Ok(());
    };
    let (one, other) = (kinds[0].name(), kinds[1].name());
    let remedy = if first.lost.is_some() || second.lost.is_some() {
        // `veth_xdp_flush` wakes a peer with a program only (drivers/net/veth.c, Linux 6.12); what is redirected to a veth
        // wakes one with GRO, too.
        "see whether the peer is up; a veth sends back only to a peer that has an XDP program, too"
    } else if kinds.contains(&Kind::Wire) && is_tagged(packet) {
        "a NIC that takes VLAN tags off hides them from the program: `ethtool -K IFACE rxvlan off`; or the attached program is another one"
    } else if kinds.contains(&Kind::Wire) {
        "the attached program or its maps may be others than OBJ's (`xdp-offload status`); else driver or NIC do not as the program says"
    } else if kinds.contains(&Kind::Nfp) {
        "words of a file may be another program's, or what the driver translates wrongly; else it is a bug of ours"
    } else {
        "programs that ask for time, random numbers or the CPU may differ; else it is a bug of ours"
    };
    let what = format!("{one} and {other} do not do the same");
    Err(Failure::new(Exit::No, what)
        .because(difference)
        .remedy(remedy))
}

/// Whether a frame has a VLAN tag (IEEE 802.1Q, 802.1ad).
fn is_tagged(frame: &[u8]) -> bool {
    [Some(&[0x81, 0x00][..]), Some(&[0x88, 0xa8])].contains(&frame.get(12..14))
}

/// What two engines did differently with a packet, in a line.
fn difference(first: &Ran, second: &Ran, on_wire: bool) -> Option<String> {
    let agree = match (first.effect(), second.effect()) {
        (None, Some(known)) | (Some(known), None) => ![2, 3].contains(&known),
        // The kernel's test run does not tell where a packet is redirected to.
        (one, other) => first.verdict == second.verdict || one == other,
    };
    if !agree {
        return Some(format!(
            "the verdicts are {} and {}",
            name_of(first.verdict),
            name_of(second.verdict)
        ));
    }
    if let Some(lost) = first.lost.as_ref().or(second.lost.as_ref()) {
        return Some(format!("{}, but {lost}", name_of(first.verdict)));
    }
    let bytes = |ran: &Ran| {
        let bytes = if on_wire {
            ran.frame()
        } else {
            ran.packet.as_deref()
        }?;
        Some(match ran.verdict {
            Some(3) if on_wire => padded(bytes),
            _ => bytes.to_vec(),
        })
    };
    let (one, other) = (bytes(first)?, bytes(second)?);
    if one.len() != other.len() {
        return Some(format!(
            "the packet has {} and {} bytes afterwards",
            one.len(),
            other.len()
        ));
    }
    let at = (one.iter().zip(&other)).position(|(one, other)| one != other)?;
    Some(format!(
        "byte {at} is 0x{:02x} and 0x{:02x} afterwards",
        one[at], other[at]
    ))
}

/// Both engines have to leave the same map contents behind.
pub(super) fn maps<'a>(
    first: &mut Engine<'a>,
    second: &mut Engine<'a>,
    kinds: &[Kind],
    (object, loader, program): (&Object, &Loader<'_>, usize),
) -> Result<(), Failure> {
    let Some(difference) = first.differing_map(second, object) else {
        return Ok(());
    };
    if kinds.contains(&Kind::Wire) {
        let others = first.incomparable_maps()?.or(second.incomparable_maps()?);
        let reason = others.or_else(|| asks_for_chance(object, loader, program));
        if let Some(reason) = reason {
            output::note(&format!("the maps differ, which says nothing: {reason}"));
            return Ok(());
        }
    }
    let (one, other) = (kinds[0].name(), kinds[1].name());
    let what = format!("{one} and {other} leave other map contents behind");
    Err(Failure::new(Exit::No, what).because(difference))
}

/// What a program asks for that is never the same in two runs.
fn asks_for_chance(object: &Object, loader: &Loader<'_>, program: usize) -> Option<String> {
    let subject = Subject::of_object(object, loader, program).ok()?;
    let asked = |id: &i32| {
        let name = functions::name(*id)?;
        let asks = name.contains("ktime")
            || [
                "bpf_jiffies64",
                "bpf_get_prandom_u32",
                "bpf_get_smp_processor_id",
            ]
            .contains(&name);
        asks.then(|| format!("the program calls {name}"))
    };
    subject.helpers().iter().find_map(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(verdict: Option<u32>, packet: Option<&[u8]>) -> Ran {
        Ran {
            verdict,
            packet: packet.map(<[u8]>::to_vec),
            ..Ran::default()
        }
    }

    #[test]
    fn a_verdict_that_nobody_tells_is_any_that_leaves_no_frame() {
        let untold = ran(None, None);
        for verdict in [0, 1] {
            let known = ran(Some(verdict), Some(&[1]));
            assert_eq!(difference(&known, &untold, true), None);
        }
        assert_eq!(
            difference(&ran(Some(2), Some(&[1])), &untold, true).as_deref(),
            Some("the verdicts are XDP_PASS and neither XDP_PASS nor XDP_TX")
        );
    }

    #[test]
    fn bytes_count_where_both_were_seen() {
        let one = ran(Some(2), Some(&[1, 2]));
        assert_eq!(difference(&one, &ran(Some(2), None), true), None);
        assert_eq!(
            difference(&one, &ran(Some(2), Some(&[1, 3])), true).as_deref(),
            Some("byte 1 is 0x02 and 0x03 afterwards")
        );
    }

    #[test]
    fn what_comes_back_over_a_cable_was_filled_up() {
        let short = ran(Some(3), Some(&[7; 56]));
        let filled = ran(Some(3), Some(&padded(&[7; 56])));
        assert_eq!(difference(&short, &filled, true), None);
        assert!(difference(&short, &filled, false).is_some());
    }

    #[test]
    fn metadata_stays_on_the_host() {
        let with_metadata = Ran {
            metadata: 4,
            ..ran(Some(2), Some(&[0, 0, 0, 9, 1, 2]))
        };
        let frame = ran(Some(2), Some(&[1, 2]));
        assert_eq!(difference(&with_metadata, &frame, true), None);
    }

    #[test]
    fn a_frame_that_was_lost_on_its_way_back_is_a_difference() {
        let lost = Ran {
            lost: Some("it was dropped".to_owned()),
            ..ran(Some(3), None)
        };
        assert_eq!(
            difference(&ran(Some(3), Some(&[1])), &lost, true).as_deref(),
            Some("XDP_TX, but it was dropped")
        );
    }
}
