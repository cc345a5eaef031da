//! What the ethtool family's answers and notifications say (include/uapi/linux/ethtool_netlink.h).

use super::{
    Channels, ETHTOOL_A_FEATURES_WANTED, ETHTOOL_A_HEADER, ETHTOOL_A_HEADER_DEV_INDEX,
    ETHTOOL_A_STRINGSETS_STRINGSET, ETHTOOL_A_STRSET_STRINGSETS, FeatureState, OffloadFeatures,
    Rings,
};
use crate::netlink::attr::{Attribute, Attributes, Malformed, Parsed};
use crate::netlink::family::body;
use crate::netlink::message::Message;

/// Notifications; these numbers are counted apart from those of the requests.
const ETHTOOL_MSG_FEATURES_NTF: u8 = 13;
const ETHTOOL_MSG_RINGS_NTF: u8 = 17;
const ETHTOOL_MSG_CHANNELS_NTF: u8 = 19;

const ETHTOOL_A_CHANNELS_RX_MAX: u16 = 2;
const ETHTOOL_A_CHANNELS_TX_MAX: u16 = 3;
const ETHTOOL_A_CHANNELS_COMBINED_MAX: u16 = 5;
const ETHTOOL_A_CHANNELS_RX_COUNT: u16 = 6;
const ETHTOOL_A_CHANNELS_TX_COUNT: u16 = 7;
const ETHTOOL_A_CHANNELS_COMBINED_COUNT: u16 = 9;

const ETHTOOL_A_RINGS_RX_MAX: u16 = 2;
const ETHTOOL_A_RINGS_TX_MAX: u16 = 5;
const ETHTOOL_A_RINGS_RX: u16 = 6;
const ETHTOOL_A_RINGS_TX: u16 = 9;

const ETHTOOL_A_FEATURES_HW: u16 = 2;
const ETHTOOL_A_FEATURES_ACTIVE: u16 = 4;
const ETHTOOL_A_FEATURES_NOCHANGE: u16 = 5;

const ETHTOOL_A_BITSET_VALUE: u16 = 4;

/// What is in a string set.
const ETHTOOL_A_STRINGSET_STRINGS: u16 = 3;
const ETHTOOL_A_STRINGS_STRING: u16 = 1;
const ETHTOOL_A_STRING_INDEX: u16 = 1;
const ETHTOOL_A_STRING_VALUE: u16 = 2;

/// The bit numbers of the features that [`OffloadFeatures`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FeaturePositions {
    pub(super) lro: Option<u32>,
    pub(super) gro_hw: Option<u32>,
    pub(super) gro: Option<u32>,
    pub(super) rx_checksum: Option<u32>,
}

/// Whose interface's settings a message holds.
fn ifindex_in(header: Attribute<'_>) -> Parsed<u32> {
    for attribute in header.nested() {
        let attribute = attribute?;
        if attribute.kind == ETHTOOL_A_HEADER_DEV_INDEX {
            return attribute.u32();
        }
    }
    Err(Malformed("settings of no interface".to_owned()))
}

pub(super) fn parse_channels(attributes: Attributes<'_>) -> Parsed<(u32, Channels)> {
    let (mut ifindex, mut channels) = (0, Channels::default());
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            ETHTOOL_A_HEADER => ifindex = ifindex_in(attribute)?,
            ETHTOOL_A_CHANNELS_RX_COUNT => channels.rx.0 = attribute.u32()?,
            ETHTOOL_A_CHANNELS_RX_MAX => channels.rx.1 = attribute.u32()?,
            ETHTOOL_A_CHANNELS_TX_COUNT => channels.tx.0 = attribute.u32()?,
            ETHTOOL_A_CHANNELS_TX_MAX => channels.tx.1 = attribute.u32()?,
            ETHTOOL_A_CHANNELS_COMBINED_COUNT => channels.combined.0 = attribute.u32()?,
            ETHTOOL_A_CHANNELS_COMBINED_MAX => channels.combined.1 = attribute.u32()?,
            _ => {}
        }
    }
    Ok((ifindex, channels))
}

pub(super) fn parse_rings(attributes: Attributes<'_>) -> Parsed<(u32, Rings)> {
    let (mut ifindex, mut rings) = (0, Rings::default());
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            ETHTOOL_A_HEADER => ifindex = ifindex_in(attribute)?,
            ETHTOOL_A_RINGS_RX => rings.rx.0 = attribute.u32()?,
            ETHTOOL_A_RINGS_RX_MAX => rings.rx.1 = attribute.u32()?,
            ETHTOOL_A_RINGS_TX => rings.tx.0 = attribute.u32()?,
            ETHTOOL_A_RINGS_TX_MAX => rings.tx.1 = attribute.u32()?,
            _ => {}
        }
    }
    Ok((ifindex, rings))
}

pub(super) fn parse_features(
    attributes: Attributes<'_>,
    positions: &FeaturePositions,
) -> Parsed<(u32, OffloadFeatures)> {
    let mut ifindex = 0;
    let [mut hw, mut wanted, mut active, mut nochange]: [&[u8]; 4] = [&[]; 4];
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            ETHTOOL_A_HEADER => ifindex = ifindex_in(attribute)?,
            ETHTOOL_A_FEATURES_HW => hw = compact_bits(attribute)?,
            ETHTOOL_A_FEATURES_WANTED => wanted = compact_bits(attribute)?,
            ETHTOOL_A_FEATURES_ACTIVE => active = compact_bits(attribute)?,
            ETHTOOL_A_FEATURES_NOCHANGE => nochange = compact_bits(attribute)?,
            _ => {}
        }
    }
    let state = |position: Option<u32>| {
        position.map(|bit| FeatureState {
            active: is_set(active, bit),
            changeable: is_set(hw, bit) && !is_set(nochange, bit),
            wanted: is_set(wanted, bit),
        })
    };
    let features = OffloadFeatures {
        lro: state(positions.lro),
        gro_hw: state(positions.gro_hw),
        gro: state(positions.gro),
        rx_checksum: state(positions.rx_checksum),
    };
    Ok((ifindex, features))
}

/// The value of a bit set in its compact form.
fn compact_bits(bitset: Attribute<'_>) -> Parsed<&[u8]> {
    for attribute in bitset.nested() {
        let attribute = attribute?;
        if attribute.kind == ETHTOOL_A_BITSET_VALUE {
            return Ok(attribute.payload);
        }
    }
    Err(Malformed("a bit set not in its compact form".to_owned()))
}

/// One bit of a list of 32-bit words in the host's byte order; bits past its end are clear.
fn is_set(words: &[u8], bit: u32) -> bool {
    let (words, _) = words.as_chunks::<4>();
    words
        .get(bit as usize / 32)
        .is_some_and(|word| u32::from_ne_bytes(*word) & (1 << (bit % 32)) != 0)
}

/// The answer to ETHTOOL_MSG_STRSET_GET: sets of strings with their numbers.
pub(super) fn parse_names(
    attributes: Attributes<'_>,
    positions: &mut FeaturePositions,
) -> Parsed<()> {
    each_in(attributes, ETHTOOL_A_STRSET_STRINGSETS, &mut |sets| {
        each_in(sets, ETHTOOL_A_STRINGSETS_STRINGSET, &mut |set| {
            each_in(set, ETHTOOL_A_STRINGSET_STRINGS, &mut |strings| {
                each_in(strings, ETHTOOL_A_STRINGS_STRING, &mut |string| {
                    let (mut index, mut name) = (None, String::new());
                    for attribute in string {
                        let attribute = attribute?;
                        match attribute.kind {
                            ETHTOOL_A_STRING_INDEX => index = Some(attribute.u32()?),
                            ETHTOOL_A_STRING_VALUE => name = attribute.text(),
                            _ => {}
                        }
                    }
                    match name.as_str() {
                        "rx-lro" => positions.lro = index,
                        "rx-gro-hw" => positions.gro_hw = index,
                        "rx-gro" => positions.gro = index,
                        "rx-checksum" => positions.rx_checksum = index,
                        _ => {}
                    }
                    Ok(())
                })
            })
        })
    })
}

/// Calls `visit` with what is in each attribute of one kind.
fn each_in<'a>(
    attributes: Attributes<'a>,
    kind: u16,
    visit: &mut dyn FnMut(Attributes<'a>) -> Parsed<()>,
) -> Parsed<()> {
    for attribute in attributes {
        let attribute = attribute?;
        if attribute.kind == kind {
            visit(attribute.nested())?;
        }
    }
    Ok(())
}

/// A notification of the group "monitor": whose channels, rings or features have changed.
pub(in crate::netlink) fn parse_notification(message: &Message<'_>) -> Parsed<Option<u32>> {
    let (ETHTOOL_MSG_FEATURES_NTF | ETHTOOL_MSG_RINGS_NTF | ETHTOOL_MSG_CHANNELS_NTF, attributes) =
        body(message)?
    else {
        return Ok(None);
    };
    for attribute in attributes {
        let attribute = attribute?;
        if attribute.kind == ETHTOOL_A_HEADER {
            return ifindex_in(attribute).map(Some);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::captures::{
        ETHTOOL_CHANNELS, ETHTOOL_FEATURES, ETHTOOL_NAMES, ETHTOOL_RINGS, bytes, mutated, only,
    };
    use proptest::prelude::*;

    fn parsed<T>(capture: &str, parse: impl Fn(Attributes<'_>) -> Parsed<(u32, T)>) -> (u32, T) {
        only(&bytes(capture), |message| {
            parse(body(message).unwrap().1).unwrap()
        })
    }

    fn positions() -> FeaturePositions {
        let mut positions = FeaturePositions::default();
        only(&bytes(ETHTOOL_NAMES), |message| {
            parse_names(body(message).unwrap().1, &mut positions).unwrap();
        });
        positions
    }

    #[test]
    fn channels_and_rings() {
        let channels = Channels {
            combined: (1, 1),
            ..Channels::default()
        };
        assert_eq!(parsed(ETHTOOL_CHANNELS, parse_channels), (4, channels));
        let rings = Rings {
            rx: (256, 256),
            tx: (256, 256),
        };
        assert_eq!(parsed(ETHTOOL_RINGS, parse_rings), (4, rings));
    }

    #[test]
    fn feature_names_have_positions() {
        assert_eq!(
            positions(),
            FeaturePositions {
                lro: Some(15),
                gro_hw: Some(55),
                gro: Some(14),
                rx_checksum: Some(40),
            }
        );
    }

    #[test]
    fn features_as_ethtool_shows_them() {
        // `ethtool -k`: rx-checksumming: on [fixed], generic-receive-offload: on,
        // large-receive-offload: off [fixed], rx-gro-hw: on [fixed].
        let state = |active, changeable| {
            Some(FeatureState {
                active,
                changeable,
                wanted: active && changeable,
            })
        };
        let positions = positions();
        assert_eq!(
            parsed(ETHTOOL_FEATURES, |attributes| {
                parse_features(attributes, &positions)
            }),
            (
                4,
                OffloadFeatures {
                    lro: state(false, false),
                    gro_hw: state(true, false),
                    gro: state(true, true),
                    rx_checksum: state(true, false),
                }
            )
        );
    }

    #[test]
    fn a_kernel_without_a_name_gives_none() {
        let (_, features) = parsed(ETHTOOL_FEATURES, |attributes| {
            parse_features(attributes, &FeaturePositions::default())
        });
        assert_eq!(features, OffloadFeatures::default());
    }

    #[test]
    fn bits_past_the_end_are_clear() {
        assert!(is_set(&[0, 0, 0, 0x80], 31));
        assert!(!is_set(&[0, 0, 0, 0x80], 30));
        assert!(!is_set(&[0xff; 6], 32), "half a word is none");
        assert!(!is_set(&[], u32::MAX));
    }

    #[test]
    fn changed_datagrams_do_not_panic() {
        let read = |message: &Message<'_>| {
            let _ = parse_notification(message);
            if let Ok((_, attributes)) = body(message) {
                read_as_everything(attributes);
            }
        };
        for capture in [
            ETHTOOL_CHANNELS,
            ETHTOOL_RINGS,
            ETHTOOL_FEATURES,
            ETHTOOL_NAMES,
        ] {
            mutated(&bytes(capture), read);
        }
    }

    fn read_as_everything(attributes: Attributes<'_>) {
        let mut positions = FeaturePositions {
            lro: Some(u32::MAX),
            ..FeaturePositions::default()
        };
        let _ = parse_channels(attributes.clone());
        let _ = parse_rings(attributes.clone());
        let _ = parse_features(attributes.clone(), &positions);
        let _ = parse_names(attributes, &mut positions);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            read_as_everything(Attributes(&bytes));
        }
    }
}
