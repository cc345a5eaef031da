//! ethtool settings that decide about XDP, over the ethtool generic netlink family
//! (Documentation/netlink/specs/ethtool.yaml); the driver's name over the older ioctl.

pub(super) mod parse;

use std::collections::HashMap;

use super::Route;
use super::attr::{Attributes, Parsed, Writer};
use super::family::{Family, body, command};
use crate::{Errno, Error, Operation, Result};
use parse::{FeaturePositions, parse_channels, parse_features, parse_names, parse_rings};

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
    /// It was asked for (`wanted_features`), whether the driver lets it be on now or not.
    pub wanted: bool,
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

    /// ETHTOOL_MSG_FEATURES_SET: turns the feature of this name ("rx-lro", "rx-gro-hw") on or off. Needs
    /// CAP_NET_ADMIN.
    pub fn set_feature(&mut self, ifindex: u32, name: &str, on: bool) -> Result<()> {
        let header = Writer::default().put(ETHTOOL_A_HEADER_DEV_INDEX, &ifindex.to_ne_bytes());
        let mut bit = Writer::default().put_text(ETHTOOL_A_BITSET_BIT_NAME, name);
        if on {
            bit = bit.put(ETHTOOL_A_BITSET_BIT_VALUE, &[]);
        }
        let bits = Writer::default().put_nested(ETHTOOL_A_BITSET_BITS_BIT, &bit);
        let wanted = Writer::default().put_nested(ETHTOOL_A_BITSET_BITS, &bits);
        let request = Writer::after(&command(ETHTOOL_MSG_FEATURES_SET))
            .put_nested(ETHTOOL_A_HEADER, &header)
            .put_nested(ETHTOOL_A_FEATURES_WANTED, &wanted)
            .into_bytes();
        self.family
            .socket
            .request(Operation::SetEthtool, self.family.id, request, |_| Ok(()))?;
        Ok(())
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
const ETHTOOL_MSG_FEATURES_SET: u8 = 12;
const ETHTOOL_MSG_RINGS_GET: u8 = 15;
const ETHTOOL_MSG_CHANNELS_GET: u8 = 17;

/// The first attribute of every message, and what is in it.
const ETHTOOL_A_HEADER: u16 = 1;
const ETHTOOL_A_HEADER_DEV_INDEX: u16 = 1;
const ETHTOOL_A_HEADER_FLAGS: u16 = 3;

/// Bit sets as words of bits, not as lists of names: a tenth of the bytes.
const ETHTOOL_FLAG_COMPACT_BITSETS: u32 = 1;

/// The bits that are asked for; in ETHTOOL_MSG_FEATURES_SET those that are to change, by name.
const ETHTOOL_A_FEATURES_WANTED: u16 = 3;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BITS_BIT: u16 = 1;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;
const ETHTOOL_A_BITSET_BIT_VALUE: u16 = 3;

/// The string set of feature names, and the way to it.
const ETH_SS_FEATURES: u32 = 4;
const ETHTOOL_A_STRSET_STRINGSETS: u16 = 2;
const ETHTOOL_A_STRINGSETS_STRINGSET: u16 = 1;
const ETHTOOL_A_STRINGSET_ID: u16 = 1;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
