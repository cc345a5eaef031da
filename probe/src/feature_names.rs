//! Names of the bits that a driver advertises, as the kernel's own specification has them
//! (Documentation/netlink/specs/netdev.yaml).

use kernel::netlink::netdev::XdpFeature;

/// The bits of `xdp-rx-metadata-features`, lowest first.
const RX_METADATA: [&str; 3] = ["timestamp", "hash", "vlan-tag"];
/// The bits of `xsk-features`, lowest first.
const XSK_FEATURES: [&str; 3] = ["tx-timestamp", "tx-checksum", "tx-launch-time-fifo"];

/// Names of `xdp-features` bits; unknown ones as "bit-N".
pub(crate) fn xdp_feature_names(bits: u64) -> Vec<String> {
    names(bits, &XdpFeature::ALL.map(XdpFeature::name))
}

/// Names of `xdp-rx-metadata-features` bits; unknown ones as "bit-N".
pub(crate) fn rx_metadata_names(bits: u64) -> Vec<String> {
    names(bits, &RX_METADATA)
}

/// Names of `xsk-features` bits; unknown ones as "bit-N".
pub(crate) fn xsk_feature_names(bits: u64) -> Vec<String> {
    names(bits, &XSK_FEATURES)
}

fn names(bits: u64, known: &[&str]) -> Vec<String> {
    (0..64)
        .filter(|bit| bits & (1 << bit) != 0)
        .map(|bit| {
            known
                .get(bit)
                .map_or_else(|| format!("bit-{bit}"), |name| (*name).to_owned())
        })
        .collect()
}
