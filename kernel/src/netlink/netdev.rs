//! The netdev generic netlink family (since 6.3, Documentation/netlink/specs/netdev.yaml).

use super::attr::{Attributes, Malformed, Parsed, Writer};
use super::family::{Family, body, command};
use super::message::Message;
use crate::{Errno, Operation, Refusal, Result};

/// NETDEV_CMD_DEV_GET's answer for one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NetdevFeatures {
    /// Interface index.
    pub ifindex: u32,
    /// NETDEV_A_DEV_XDP_FEATURES, bits of [`XdpFeature`]; unknown bits are kept.
    pub xdp: u64,
    /// NETDEV_A_DEV_XDP_RX_METADATA_FEATURES: 1 timestamp, 2 hash, 4 vlan-tag.
    pub rx_metadata: u64,
    /// NETDEV_A_DEV_XSK_FEATURES: 1 tx-timestamp, 2 tx-checksum, 4 tx-launch-time-fifo.
    pub xsk: u64,
    /// NETDEV_A_DEV_XDP_ZC_MAX_SEGS, present only with `xsk-zerocopy`.
    pub zc_max_segs: Option<u32>,
}

/// One bit of `xdp-features`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum XdpFeature {
    /// XDP_ABORTED, DROP, PASS and TX in native mode.
    Basic = 1,
    /// XDP_REDIRECT from this device.
    Redirect = 2,
    /// XDP_REDIRECT to this device (`ndo_xdp_xmit`).
    NdoXmit = 4,
    /// AF_XDP zero-copy.
    XskZerocopy = 8,
    /// Offload to the NIC.
    HwOffload = 16,
    /// Multi-buffer packets in native mode.
    RxSg = 32,
    /// Multi-buffer packets redirected to this device.
    NdoXmitSg = 64,
}

impl XdpFeature {
    /// All known bits, lowest first.
    pub const ALL: [Self; 7] = [
        Self::Basic,
        Self::Redirect,
        Self::NdoXmit,
        Self::XskZerocopy,
        Self::HwOffload,
        Self::RxSg,
        Self::NdoXmitSg,
    ];

    /// The name of netdev.yaml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Redirect => "redirect",
            Self::NdoXmit => "ndo-xmit",
            Self::XskZerocopy => "xsk-zerocopy",
            Self::HwOffload => "hw-offload",
            Self::RxSg => "rx-sg",
            Self::NdoXmitSg => "ndo-xmit-sg",
        }
    }
}

impl NetdevFeatures {
    /// Whether the driver advertises `feature` now (features change with what is attached).
    pub fn has(&self, feature: XdpFeature) -> bool {
        self.xdp & feature as u64 != 0
    }
}

/// A socket to the netdev family.
pub struct Netdev {
    family: Family,
}

impl Netdev {
    /// `None`: this kernel has no such family (before 6.3).
    pub fn open() -> Result<Option<Self>> {
        Ok(Family::open(FAMILY)?.map(|family| Self { family }))
    }

    /// All interfaces of the network namespace.
    pub fn dump(&mut self) -> Result<Vec<NetdevFeatures>> {
        let request = Writer::after(&command(NETDEV_CMD_DEV_GET)).into_bytes();
        self.family
            .socket
            .dump(Operation::GetNetdev, self.family.id, &request, |message| {
                parse_message(message).map(Some)
            })
    }

    /// One interface; a missing one is `Refused` with ENODEV.
    pub fn get(&mut self, ifindex: u32) -> Result<NetdevFeatures> {
        if ifindex == 0 {
            // The family's policy refuses the number itself, with ERANGE.
            return Err(Refusal::new(Operation::GetNetdev, Errno::ENODEV).into());
        }
        let request = Writer::after(&command(NETDEV_CMD_DEV_GET))
            .put(NETDEV_A_DEV_IFINDEX, &ifindex.to_ne_bytes())
            .into_bytes();
        let mut features = None;
        self.family
            .socket
            .request(Operation::GetNetdev, self.family.id, request, |message| {
                features = Some(parse_message(message)?);
                Ok(())
            })?;
        features.ok_or_else(|| {
            Malformed("an ack without an answer".to_owned()).of(Operation::GetNetdev)
        })
    }
}

/// The family's name, and its multicast group for changes.
pub(super) const FAMILY: &str = "netdev";
pub(super) const CHANGES: &str = "mgmt";

/// Commands and attributes (include/uapi/linux/netdev.h).
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_CMD_DEV_ADD_NTF: u8 = 2;
const NETDEV_CMD_DEV_CHANGE_NTF: u8 = 4;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
const NETDEV_A_DEV_XDP_ZC_MAX_SEGS: u16 = 4;
const NETDEV_A_DEV_XDP_RX_METADATA_FEATURES: u16 = 5;
const NETDEV_A_DEV_XSK_FEATURES: u16 = 6;

/// The answer to NETDEV_CMD_DEV_GET.
fn parse_message(message: &Message<'_>) -> Parsed<NetdevFeatures> {
    parse_device(body(message)?.1)
}

/// A notification of the group "mgmt"; `None` for those that tell no features (a device is gone, page pools).
pub(super) fn parse_notification(message: &Message<'_>) -> Parsed<Option<NetdevFeatures>> {
    match body(message)? {
        (NETDEV_CMD_DEV_ADD_NTF | NETDEV_CMD_DEV_CHANGE_NTF, attributes) => {
            parse_device(attributes).map(Some)
        }
        _ => Ok(None),
    }
}

fn parse_device(attributes: Attributes<'_>) -> Parsed<NetdevFeatures> {
    let mut features = NetdevFeatures::default();
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NETDEV_A_DEV_IFINDEX => features.ifindex = attribute.u32()?,
            NETDEV_A_DEV_XDP_FEATURES => features.xdp = attribute.uint()?,
            NETDEV_A_DEV_XDP_ZC_MAX_SEGS => features.zc_max_segs = Some(attribute.u32()?),
            NETDEV_A_DEV_XDP_RX_METADATA_FEATURES => features.rx_metadata = attribute.uint()?,
            NETDEV_A_DEV_XSK_FEATURES => features.xsk = attribute.uint()?,
            _ => {}
        }
    }
    if features.ifindex == 0 {
        return Err(Malformed("features of no interface".to_owned()));
    }
    Ok(features)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::captures::{NETDEV_DUMP, bytes, mutated};
    use crate::netlink::message::Messages;
    use neli::consts::nl::NlmF;
    use proptest::prelude::*;

    #[test]
    fn features_are_read() {
        let dump = bytes(NETDEV_DUMP);
        let features: Vec<_> = Messages(&dump)
            .map(Parsed::unwrap)
            .filter(|message| message.ack() == Ok(None))
            .map(|message| parse_message(&message).unwrap())
            .collect();
        assert_eq!(features.len(), 4);
        let virtio = features[3];
        assert_eq!(
            virtio,
            NetdevFeatures {
                ifindex: 4,
                xdp: 0x2b,
                zc_max_segs: Some(1),
                ..NetdevFeatures::default()
            }
        );
        assert!(virtio.has(XdpFeature::XskZerocopy) && !virtio.has(XdpFeature::NdoXmit));
    }

    #[test]
    fn notifications_of_features_alone_are_taken() {
        let device = Writer::default()
            .put(NETDEV_A_DEV_IFINDEX, &7_u32.to_ne_bytes())
            .put(NETDEV_A_DEV_XDP_FEATURES, &3_u64.to_ne_bytes())
            .into_bytes();
        let check = |command: u8, expected: Option<u32>| {
            let mut payload = vec![command, 1, 0, 0];
            payload.extend_from_slice(&device);
            let message = Message {
                kind: 20,
                flags: NlmF::empty(),
                sequence: 0,
                port: 0,
                payload: &payload,
            };
            let features = parse_notification(&message).unwrap();
            assert_eq!(features.map(|features| features.ifindex), expected);
        };
        check(NETDEV_CMD_DEV_ADD_NTF, Some(7));
        check(NETDEV_CMD_DEV_CHANGE_NTF, Some(7));
        check(3, None); // NETDEV_CMD_DEV_DEL_NTF
        check(6, None); // NETDEV_CMD_PAGE_POOL_ADD_NTF
    }

    #[test]
    fn changed_datagrams_do_not_panic() {
        mutated(&bytes(NETDEV_DUMP), |message| {
            let _ = (parse_message(message), parse_notification(message));
        });
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_device(Attributes(&bytes));
        }
    }
}
