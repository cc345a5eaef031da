//! ethtool settings that decide about XDP, over the ethtool generic netlink family
//! (Documentation/netlink/specs/ethtool.yaml); the driver's name over the older ioctl.

use std::collections::HashMap;

use super::Route;
use super::attr::{Attribute, Attributes, Malformed, Parsed, Writer};
use super::family::{Family, body, command};
use super::message::Message;
use crate::{Errno, Error, Operation, Result};

pub use super::driver_info::{DriverInfo, DriverInfoReader, driver_info};

/// ETHTOOL_MSG_CHANNELS_GET: current and maximal numbers of queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Channels {
    /// Receive-only queues, current and maximum.
    pub rx: (u32, u32),
    /// Transmit-only queues, current and maximum.
    pub tx: (u32, u32),
    /// Queues that do both, current and maximum.
    pub combined: (u32, u32),
}

/// ETHTOOL_MSG_RINGS_GET: current and maximal ring sizes, in descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rings {
    /// Receive ring, current and maximum.
    pub rx: (u32, u32),
    /// Transmit ring, current and maximum.
    pub tx: (u32, u32),
}

/// The device features (ETHTOOL_MSG_FEATURES_GET) that stand in XDP's way.
/// `None`: the kernel does not name the feature for this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OffloadFeatures {
    /// "large-receive-offload" / "rx-lro".
    pub lro: Option<FeatureState>,
    /// "rx-gro-hw".
    pub gro_hw: Option<FeatureState>,
    /// "rx-gro".
    pub gro: Option<FeatureState>,
    /// "rx-checksum" (virtio_net: GUEST_CSUM).
    pub rx_checksum: Option<FeatureState>,
}

/// One ethtool feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeatureState {
    /// It is on.
    pub active: bool,
    /// `ethtool -K` can change it (part of hw_features and not fixed).
    pub changeable: bool,
}

/// Which interfaces to ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// All of the network namespace, in one dump.
    All,
    /// The one with this ifindex.
    One(u32),
}

/// A socket to the ethtool family. Its answers are keyed by ifindex; a device without the setting
/// (EOPNOTSUPP) is absent from them: a normal answer, not a failure.
pub struct Ethtool {
    family: Family,
    /// Where the features stand in the bit sets of this kernel, once asked.
    positions: Option<FeaturePositions>,
}

impl Ethtool {
    /// `None`: this kernel has no such family (before 5.6, or built without it).
    pub fn open() -> Result<Option<Self>> {
        Ok(Family::open(FAMILY)?.map(|family| Self {
            family,
            positions: None,
        }))
    }

    /// ETHTOOL_MSG_CHANNELS_GET.
    ///
    /// # Errors
    /// `Refused` with ENODEV where there is no interface [`Target::One`]; the same for all settings.
    pub fn channels(&mut self, target: Target) -> Result<HashMap<u32, Channels>> {
        self.get(ETHTOOL_MSG_CHANNELS_GET, target, parse_channels)
    }

    /// ETHTOOL_MSG_RINGS_GET.
    pub fn rings(&mut self, target: Target) -> Result<HashMap<u32, Rings>> {
        self.get(ETHTOOL_MSG_RINGS_GET, target, parse_rings)
    }

    /// ETHTOOL_MSG_FEATURES_GET.
    pub fn features(&mut self, target: Target) -> Result<HashMap<u32, OffloadFeatures>> {
        let positions = match self.positions {
            Some(positions) => positions,
            None => self.feature_positions()?,
        };
        self.positions = Some(positions);
        self.get(ETHTOOL_MSG_FEATURES_GET, target, |attributes| {
            parse_features(attributes, &positions)
        })
    }

    fn get<T>(
        &mut self,
        command: u8,
        target: Target,
        parse: impl Fn(Attributes<'_>) -> Parsed<(u32, T)>,
    ) -> Result<HashMap<u32, T>> {
        match target {
            Target::One(ifindex) => self.get_one(command, ifindex, &parse),
            Target::All => match self.get_all(command, &parse) {
                // A dump ends at the first device whose driver fails; the others can still answer.
                Err(Error::Refused(refusal)) if !refusal.errno.is_permission() => {
                    tracing::debug!("{refusal}; asking each interface");
                    self.get_each(command, &parse)
                }
                answer => answer,
            },
        }
    }

    fn get_all<T>(
        &mut self,
        command: u8,
        parse: &impl Fn(Attributes<'_>) -> Parsed<(u32, T)>,
    ) -> Result<HashMap<u32, T>> {
        let answers = self.family.socket.dump(
            Operation::GetEthtool,
            self.family.id,
            &request(command, None),
            |message| parse(body(message)?.1).map(Some),
        )?;
        Ok(answers.into_iter().collect())
    }

    fn get_one<T>(
        &mut self,
        command: u8,
        ifindex: u32,
        parse: &impl Fn(Attributes<'_>) -> Parsed<(u32, T)>,
    ) -> Result<HashMap<u32, T>> {
        let mut answers = HashMap::new();
        let asked = self.family.socket.request(
            Operation::GetEthtool,
            self.family.id,
            request(command, Some(ifindex)),
            |message| {
                answers.extend([parse(body(message)?.1)?]);
                Ok(())
            },
        );
        match asked {
            Err(error) if error.errno() != Some(Errno::EOPNOTSUPP) => Err(error),
            _ => Ok(answers),
        }
    }

    /// One request for each interface; what fails is absent.
    fn get_each<T>(
        &mut self,
        command: u8,
        parse: &impl Fn(Attributes<'_>) -> Parsed<(u32, T)>,
    ) -> Result<HashMap<u32, T>> {
        let mut answers = HashMap::new();
        for link in Route::open()?.links()? {
            match self.get_one(command, link.ifindex, parse) {
                Ok(answer) => answers.extend(answer),
                Err(Error::Refused(refusal)) => tracing::debug!("{}: {refusal}", link.name),
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
    }

    /// Asks for the names of the feature bits, which are those of the kernel, not of a device.
    fn feature_positions(&mut self) -> Result<FeaturePositions> {
        let set = Writer::default().put(ETHTOOL_A_STRINGSET_ID, &ETH_SS_FEATURES.to_ne_bytes());
        let sets = Writer::default().put_nested(ETHTOOL_A_STRINGSETS_STRINGSET, &set);
        let request = Writer::after(&command(ETHTOOL_MSG_STRSET_GET))
            .put_nested(ETHTOOL_A_HEADER, &Writer::default())
            .put_nested(ETHTOOL_A_STRSET_STRINGSETS, &sets)
            .into_bytes();
        let mut positions = FeaturePositions::default();
        self.family
            .socket
            .request(Operation::GetEthtool, self.family.id, request, |message| {
                parse_names(body(message)?.1, &mut positions)
            })?;
        Ok(positions)
    }
}

/// The family's name, and its multicast group for changes.
pub(super) const FAMILY: &str = "ethtool";
pub(super) const CHANGES: &str = "monitor";

/// Requests (include/uapi/linux/ethtool_netlink.h, as all below).
const ETHTOOL_MSG_STRSET_GET: u8 = 1;
const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
const ETHTOOL_MSG_RINGS_GET: u8 = 15;
const ETHTOOL_MSG_CHANNELS_GET: u8 = 17;

/// Notifications; these numbers are counted apart from those of the requests.
const ETHTOOL_MSG_FEATURES_NTF: u8 = 13;
const ETHTOOL_MSG_RINGS_NTF: u8 = 17;
const ETHTOOL_MSG_CHANNELS_NTF: u8 = 19;

/// The first attribute of every message, and what is in it.
const ETHTOOL_A_HEADER: u16 = 1;
const ETHTOOL_A_HEADER_DEV_INDEX: u16 = 1;
const ETHTOOL_A_HEADER_FLAGS: u16 = 3;

/// Bit sets as two words lists, not as a list of names: a tenth of the bytes.
const ETHTOOL_FLAG_COMPACT_BITSETS: u32 = 1;

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

/// The string set of feature names, and the way to it.
const ETH_SS_FEATURES: u32 = 4;
const ETHTOOL_A_STRSET_STRINGSETS: u16 = 2;
const ETHTOOL_A_STRINGSETS_STRINGSET: u16 = 1;
const ETHTOOL_A_STRINGSET_ID: u16 = 1;
const ETHTOOL_A_STRINGSET_STRINGS: u16 = 3;
const ETHTOOL_A_STRINGS_STRING: u16 = 1;
const ETHTOOL_A_STRING_INDEX: u16 = 1;
const ETHTOOL_A_STRING_VALUE: u16 = 2;

/// A request about one interface, or a dump of all.
fn request(number: u8, ifindex: Option<u32>) -> Vec<u8> {
    let mut header = Writer::default();
    if let Some(ifindex) = ifindex {
        header = header.put(ETHTOOL_A_HEADER_DEV_INDEX, &ifindex.to_ne_bytes());
    }
    header = header.put(
        ETHTOOL_A_HEADER_FLAGS,
        &ETHTOOL_FLAG_COMPACT_BITSETS.to_ne_bytes(),
    );
    Writer::after(&command(number))
        .put_nested(ETHTOOL_A_HEADER, &header)
        .into_bytes()
}

/// The bit numbers of the features that [`OffloadFeatures`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct FeaturePositions {
    lro: Option<u32>,
    gro_hw: Option<u32>,
    gro: Option<u32>,
    rx_checksum: Option<u32>,
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

fn parse_channels(attributes: Attributes<'_>) -> Parsed<(u32, Channels)> {
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

fn parse_rings(attributes: Attributes<'_>) -> Parsed<(u32, Rings)> {
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

fn parse_features(
    attributes: Attributes<'_>,
    positions: &FeaturePositions,
) -> Parsed<(u32, OffloadFeatures)> {
    let mut ifindex = 0;
    let (mut hw, mut active, mut nochange): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            ETHTOOL_A_HEADER => ifindex = ifindex_in(attribute)?,
            ETHTOOL_A_FEATURES_HW => hw = compact_bits(attribute)?,
            ETHTOOL_A_FEATURES_ACTIVE => active = compact_bits(attribute)?,
            ETHTOOL_A_FEATURES_NOCHANGE => nochange = compact_bits(attribute)?,
            _ => {}
        }
    }
    let state = |position: Option<u32>| {
        position.map(|bit| FeatureState {
            active: is_set(active, bit),
            changeable: is_set(hw, bit) && !is_set(nochange, bit),
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
fn parse_names(attributes: Attributes<'_>, positions: &mut FeaturePositions) -> Parsed<()> {
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
pub(super) fn parse_notification(message: &Message<'_>) -> Parsed<Option<u32>> {
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
        let state = |active, changeable| Some(FeatureState { active, changeable });
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
    fn one_by_one_gives_what_the_dump_gives() {
        let Some(mut ethtool) = Ethtool::open().unwrap() else {
            return; // a kernel without the family
        };
        let dump = ethtool.features(Target::All).unwrap();
        let positions = ethtool.positions.unwrap();
        let each = ethtool
            .get_each(ETHTOOL_MSG_FEATURES_GET, &|attributes: Attributes<'_>| {
                parse_features(attributes, &positions)
            })
            .unwrap();
        assert_eq!(each, dump);
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
