//! What RTM_NEWLINK and RTM_DELLINK say (include/uapi/linux/if_link.h).

use super::{AttachedXdp, Bond, Link, OperState};
use crate::netlink::attr::{Attributes, Malformed, Parsed};
use crate::netlink::message::Message;

/// The attributes of an answer in IFLA_XDP (include/uapi/linux/if_link.h).
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;
const IFLA_XDP_HW_PROG_ID: u16 = 7;

/// Values of IFLA_XDP_ATTACHED.
const XDP_ATTACHED_DRV: u8 = 1;
const XDP_ATTACHED_SKB: u8 = 2;
const XDP_ATTACHED_HW: u8 = 3;

/// The attributes in IFLA_INFO_DATA of a bond.
const IFLA_BOND_MODE: u16 = 1;
const IFLA_BOND_XMIT_HASH_POLICY: u16 = 14;

/// The attribute in IFLA_INFO_DATA of a vxlan that names its lower device.
const IFLA_VXLAN_LINK: u16 = 3;

/// An RTM_NEWLINK or RTM_DELLINK. `None`: any other message, or one that describes a part of an interface only,
/// as bridge ports and wireless events do.
pub(in crate::netlink) fn parse_message(message: &Message<'_>) -> Parsed<Option<Link>> {
    if !matches!(message.kind, libc::RTM_NEWLINK | libc::RTM_DELLINK) {
        return Ok(None);
    }
    let Some((header, attributes)) = message.payload.split_first_chunk::<16>() else {
        return Err(Malformed("a link without its header".to_owned()));
    };
    if i32::from(header[0]) != libc::AF_UNSPEC {
        return Ok(None);
    }
    let word = |at: usize| {
        u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let mut link = Link {
        ifindex: word(4),
        hardware_type: u16::from_ne_bytes([header[2], header[3]]),
        flags: word(8),
        ..Link::default()
    };
    for attribute in Attributes(attributes) {
        let attribute = attribute?;
        match attribute.kind {
            libc::IFLA_IFNAME => link.name = attribute.text(),
            libc::IFLA_ADDRESS => link.address = attribute.payload.to_vec(),
            libc::IFLA_MTU => link.mtu = attribute.u32()?,
            libc::IFLA_MIN_MTU => link.mtu_range.0 = attribute.u32()?,
            libc::IFLA_MAX_MTU => link.mtu_range.1 = attribute.u32()?,
            libc::IFLA_OPERSTATE => link.operstate = OperState::from_kernel(attribute.u8()?),
            libc::IFLA_CARRIER => link.carrier = attribute.u8()? != 0,
            libc::IFLA_NUM_RX_QUEUES => link.rx_queues = attribute.u32()?,
            libc::IFLA_NUM_TX_QUEUES => link.tx_queues = attribute.u32()?,
            libc::IFLA_MASTER => link.master = nonzero(attribute.u32()?),
            libc::IFLA_LINK => link.lower = nonzero(attribute.u32()?),
            libc::IFLA_LINK_NETNSID => link.lower_netns = Some(attribute.i32()?),
            libc::IFLA_PARENT_DEV_BUS_NAME => link.parent_bus = Some(attribute.text()),
            libc::IFLA_PARENT_DEV_NAME => link.parent_device = Some(attribute.text()),
            libc::IFLA_LINKINFO => parse_info(attribute.nested(), &mut link)?,
            libc::IFLA_XDP => link.xdp = parse_xdp(attribute.nested())?,
            _ => {}
        }
    }
    Ok((!link.name.is_empty()).then_some(link))
}

impl OperState {
    fn from_kernel(number: u8) -> Self {
        match number {
            1 => Self::NotPresent,
            2 => Self::Down,
            3 => Self::LowerLayerDown,
            4 => Self::Testing,
            5 => Self::Dormant,
            6 => Self::Up,
            _ => Self::Unknown,
        }
    }
}

fn nonzero(number: u32) -> Option<u32> {
    (number != 0).then_some(number)
}

fn parse_info(attributes: Attributes<'_>, link: &mut Link) -> Parsed<()> {
    let mut data = None;
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            libc::IFLA_INFO_KIND => link.kind = Some(attribute.text()),
            libc::IFLA_INFO_SLAVE_KIND => link.slave_kind = Some(attribute.text()),
            libc::IFLA_INFO_DATA => data = Some(attribute.nested()),
            _ => {}
        }
    }
    // What the data mean depends on the kind.
    match (link.kind.as_deref(), data) {
        (Some("bond"), Some(data)) => {
            let mut bond = Bond::default();
            for attribute in data {
                let attribute = attribute?;
                match attribute.kind {
                    IFLA_BOND_MODE => bond.mode = attribute.u8()?,
                    IFLA_BOND_XMIT_HASH_POLICY => bond.xmit_hash_policy = attribute.u8()?,
                    _ => {}
                }
            }
            link.bond = Some(bond);
        }
        // A vxlan names its lower device here, not in IFLA_LINK.
        (Some("vxlan"), Some(data)) => {
            for attribute in data {
                let attribute = attribute?;
                if attribute.kind == IFLA_VXLAN_LINK {
                    link.lower = nonzero(attribute.u32()?);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn parse_xdp(attributes: Attributes<'_>) -> Parsed<AttachedXdp> {
    let mut xdp = AttachedXdp::default();
    let (mut attached, mut only) = (0, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            IFLA_XDP_ATTACHED => attached = attribute.u8()?,
            IFLA_XDP_PROG_ID => only = nonzero(attribute.u32()?),
            IFLA_XDP_DRV_PROG_ID => xdp.native = nonzero(attribute.u32()?),
            IFLA_XDP_SKB_PROG_ID => xdp.generic = nonzero(attribute.u32()?),
            IFLA_XDP_HW_PROG_ID => xdp.offload = nonzero(attribute.u32()?),
            _ => {}
        }
    }
    // Kernels before 4.19 name one program and its mode; later ones do beside the id per mode.
    let slot = match attached {
        XDP_ATTACHED_DRV => &mut xdp.native,
        XDP_ATTACHED_SKB => &mut xdp.generic,
        XDP_ATTACHED_HW => &mut xdp.offload,
        _ => return Ok(xdp),
    };
    *slot = slot.or(only);
    Ok(xdp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attr::Writer;
    use crate::netlink::captures::{LINK_VETH_GENERIC, LINK_VIRTIO, bytes, mutated, only};
    use neli::consts::nl::NlmF;
    use proptest::prelude::*;

    fn link(capture: &str) -> Link {
        only(&bytes(capture), parse_message).unwrap().unwrap()
    }

    /// An RTM_NEWLINK of the interface 7 with these attributes.
    fn parsed(family: u8, attributes: Writer) -> Parsed<Option<Link>> {
        let mut payload = super::super::interface_header(7).to_vec();
        payload[0] = family;
        payload.extend(attributes.into_bytes());
        parse_message(&Message {
            kind: libc::RTM_NEWLINK,
            flags: NlmF::empty(),
            sequence: 0,
            port: 0,
            payload: &payload,
        })
    }

    fn named() -> Writer {
        Writer::default().put_text(libc::IFLA_IFNAME, "x0")
    }

    #[test]
    fn a_veth_with_a_program() {
        assert_eq!(
            link(LINK_VETH_GENERIC),
            Link {
                ifindex: 2,
                name: "vb".to_owned(),
                hardware_type: 1,
                flags: (libc::IFF_BROADCAST | libc::IFF_MULTICAST) as u32,
                mtu: 1500,
                // A program that knows no fragments lowers the maximum.
                mtu_range: (68, 3506),
                operstate: OperState::Down,
                carrier: false,
                address: vec![0x8a, 0xf5, 0x52, 0xbb, 0x8e, 0xda],
                rx_queues: 2,
                tx_queues: 2,
                kind: Some("veth".to_owned()),
                lower: Some(3),
                xdp: AttachedXdp {
                    generic: Some(715),
                    ..AttachedXdp::default()
                },
                ..Link::default()
            }
        );
    }

    #[test]
    fn a_real_device_has_a_parent_and_no_kind() {
        let link = link(LINK_VIRTIO);
        assert_eq!((link.name.as_str(), link.ifindex), ("eth0", 4));
        assert_eq!(link.parent_bus.as_deref(), Some("virtio"));
        assert_eq!(link.parent_device.as_deref(), Some("virtio2"));
        assert_eq!((link.kind.as_deref(), link.lower), (None, None));
        assert_eq!((link.mtu, link.mtu_range), (1400, (68, 65535)));
        assert!(link.is_up() && link.carrier && link.xdp.is_empty());
        assert_eq!(link.operstate.to_string(), "up");
    }

    #[test]
    fn programs_by_mode() {
        let check = |attributes: &[(u16, u32)], attached: u8, expected: AttachedXdp| {
            let mut xdp = Writer::default();
            for (kind, id) in attributes {
                xdp = xdp.put(*kind, &id.to_ne_bytes());
            }
            // The kernel puts the mode between the ids.
            let xdp = xdp.put(IFLA_XDP_ATTACHED, &[attached]);
            let link = parsed(0, named().put_nested(libc::IFLA_XDP, &xdp));
            assert_eq!(link.unwrap().unwrap().xdp, expected);
        };
        let none = AttachedXdp::default();
        let native = AttachedXdp {
            native: Some(5),
            ..none
        };
        check(&[], 0, none);
        check(
            &[(IFLA_XDP_DRV_PROG_ID, 5), (IFLA_XDP_PROG_ID, 5)],
            1,
            native,
        );
        check(&[(IFLA_XDP_PROG_ID, 5)], 1, native); // before 4.19
        check(
            &[(IFLA_XDP_PROG_ID, 6)],
            2,
            AttachedXdp {
                generic: Some(6),
                ..none
            },
        );
        check(
            &[(IFLA_XDP_PROG_ID, 7)],
            3,
            AttachedXdp {
                offload: Some(7),
                ..none
            },
        );
        // XDP_ATTACHED_MULTI
        check(
            &[(IFLA_XDP_DRV_PROG_ID, 5), (IFLA_XDP_HW_PROG_ID, 7)],
            4,
            AttachedXdp {
                native: Some(5),
                offload: Some(7),
                ..none
            },
        );
        // A mode of the future.
        check(&[(IFLA_XDP_PROG_ID, 5)], 9, none);
    }

    #[test]
    fn a_bond_and_its_slave() {
        let data = Writer::default()
            .put(IFLA_BOND_MODE, &[4])
            .put(IFLA_BOND_XMIT_HASH_POLICY, &[5]);
        let info = Writer::default()
            .put_text(libc::IFLA_INFO_KIND, "bond")
            .put_nested(libc::IFLA_INFO_DATA, &data);
        let bond = parsed(0, named().put_nested(libc::IFLA_LINKINFO, &info));
        assert_eq!(
            bond.unwrap().unwrap().bond,
            Some(Bond {
                mode: 4,
                xmit_hash_policy: 5
            })
        );
        let info = Writer::default().put_text(libc::IFLA_INFO_SLAVE_KIND, "bond");
        let slave = named()
            .put(libc::IFLA_MASTER, &3_u32.to_ne_bytes())
            .put_nested(libc::IFLA_LINKINFO, &info);
        let slave = parsed(0, slave).unwrap().unwrap();
        assert_eq!(slave.slave_kind.as_deref(), Some("bond"));
        assert_eq!(
            (slave.master, slave.kind, slave.bond),
            (Some(3), None, None)
        );
    }

    #[test]
    fn the_peer_in_another_namespace() {
        let peer = named()
            .put(libc::IFLA_LINK, &9_u32.to_ne_bytes())
            .put(libc::IFLA_LINK_NETNSID, &0_i32.to_ne_bytes());
        let link = parsed(0, peer).unwrap().unwrap();
        assert_eq!((link.lower, link.lower_netns), (Some(9), Some(0)));
    }

    #[test]
    fn what_describes_a_part_only_is_no_link() {
        // A bridge tells of its ports so, on the same multicast group.
        assert_eq!(parsed(libc::AF_BRIDGE as u8, named()), Ok(None));
        // IFLA_WIRELESS alone.
        assert_eq!(parsed(0, Writer::default().put(11, &[0; 8])), Ok(None));
    }

    #[test]
    fn values_of_the_wrong_length_are_told() {
        assert_eq!(
            parsed(0, named().put(libc::IFLA_MTU, &[1, 2])),
            Err(Malformed("attribute 4 has 2 bytes instead of 4".to_owned()))
        );
    }

    #[test]
    fn changed_datagrams_do_not_panic() {
        for capture in [LINK_VETH_GENERIC, LINK_VIRTIO] {
            mutated(&bytes(capture), |message| {
                let _ = parse_message(message);
            });
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_message(&Message {
                kind: libc::RTM_NEWLINK,
                flags: NlmF::empty(),
                sequence: 0,
                port: 0,
                payload: &payload,
            });
            let mut link = Link::default();
            let _ = (parse_xdp(Attributes(&payload)), parse_info(Attributes(&payload), &mut link));
        }
    }
}
