//! Real datagrams for the parsers' tests; captures/README.md tells what each is.

use super::message::{Message, Messages};

pub(crate) const LINK_VETH_GENERIC: &str = include_str!("captures/link_veth_generic.hex");
pub(crate) const LINK_VIRTIO: &str = include_str!("captures/link_virtio.hex");
pub(crate) const REFUSED_WITH_TEXT: &str = include_str!("captures/refused_with_text.hex");
pub(crate) const REFUSED_WITHOUT_TEXT: &str = include_str!("captures/refused_without_text.hex");
pub(crate) const NETDEV_FAMILY: &str = include_str!("captures/netdev_family.hex");
pub(crate) const NETDEV_DUMP: &str = include_str!("captures/netdev_dump.hex");
pub(crate) const ETHTOOL_CHANNELS: &str = include_str!("captures/ethtool_channels.hex");
pub(crate) const ETHTOOL_RINGS: &str = include_str!("captures/ethtool_rings.hex");
pub(crate) const ETHTOOL_FEATURES: &str = include_str!("captures/ethtool_features.hex");
pub(crate) const ETHTOOL_NAMES: &str = include_str!("captures/ethtool_names.hex");

/// The datagram's bytes.
pub(crate) fn bytes(capture: &str) -> Vec<u8> {
    let digits: String = capture.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// The only message of a datagram, as `read` sees it.
pub(crate) fn only<T>(capture: &[u8], read: impl FnOnce(&Message<'_>) -> T) -> T {
    let messages: Vec<_> = Messages(capture).map(Result::unwrap).collect();
    assert_eq!(messages.len(), 1);
    read(&messages[0])
}

/// Calls `read` with the messages of `datagram` changed in one byte each, and cut at every length: what a test of
/// a parser that never panics starts from.
pub(crate) fn mutated(datagram: &[u8], read: impl Fn(&Message<'_>)) {
    let visit = |bytes: &[u8]| {
        for message in Messages(bytes).flatten() {
            read(&message);
        }
    };
    for at in 0..datagram.len() {
        visit(&datagram[..at]);
        for value in [0, 1, 3, 4, 0x7f, 0x80, 0xff] {
            let mut changed = datagram.to_vec();
            changed[at] = value;
            visit(&changed);
        }
    }
}
