//! The shipped driver table, `drivers.toml`: what is known about drivers that do not tell themselves.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use kernel::host::KernelRelease;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One row of the table; the fields are described at the head of `drivers.toml`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Driver {
    /// The name that ethtool or sysfs gives.
    pub name: String,
    /// Other names of the same driver.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// `IFLA_INFO_KIND` of software devices that it drives.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// First kernel with native mode; `None`: never, as far as known.
    pub native: Option<Version>,
    /// XDP_REDIRECT of packets that arrive here.
    #[serde(default)]
    pub redirect: bool,
    /// When it can be a redirect target.
    #[serde(default)]
    pub xmit: Xmit,
    /// First kernel with AF_XDP zero-copy.
    pub zero_copy: Option<Version>,
    /// First kernel with multi-buffer packets.
    pub frags: Option<Version>,
    /// First kernel that runs programs on the NIC.
    pub offload: Option<Version>,
    /// Largest MTU that takes a program without frags, bytes, with pages of 4 KiB.
    pub mtu: Option<u32>,
    /// Whose MTU is meant.
    #[serde(default)]
    pub mtu_of: MtuOf,
    /// What large receive offload does to an attach.
    pub lro: Option<Coalescing>,
    /// What hardware GRO does to an attach.
    pub gro_hw: Option<Coalescing>,
    /// What the driver asks of its queues.
    pub queues: Option<Queues>,
    /// Attaching to an interface that is up takes its link down for a moment.
    #[serde(default)]
    pub bounces: bool,
    /// Why it takes native programs that it does not advertise.
    pub silent: Option<String>,
    /// On what it depends that native is advertised, and supported.
    pub depends: Option<String>,
    /// What a user should know.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Where this row comes from; never empty.
    pub sources: Vec<Source>,
}

/// When a driver has `ndo_xdp_xmit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Xmit {
    /// At all times.
    Always,
    /// While a native program is attached.
    WithProgram,
    /// Never.
    #[default]
    Never,
}

/// Whose MTU a limit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MtuOf {
    /// The interface's own.
    #[default]
    #[serde(rename = "self")]
    Own,
    /// That of the other end (veth).
    Peer,
}

/// What an offload that coalesces packets does to an attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Coalescing {
    /// The attach is refused while it is on.
    Refuses,
    /// The attach turns it off.
    TurnedOff,
}

/// What a driver asks of its queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Queues {
    /// At most half of the channels that it can have.
    Half,
    /// Only combined channels.
    Combined,
    /// A free transmit queue for each CPU.
    Free,
}

/// Where a row comes from.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// How it became known.
    pub how: How,
    /// What was seen, and where.
    pub text: String,
}

/// How a fact became known.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It was run on a kernel.
    Measured,
    /// It was read in a driver's source or in a list.
    Read,
    /// It was not verified.
    Recalled,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Measured => "measured",
            Self::Read => "read",
            Self::Recalled => "recalled",
        })
    }
}

/// A kernel version of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "String")]
pub struct Version(pub u32, pub u32);

impl Version {
    /// Whether `release` is this version or a later one. Distribution kernels may have more than their number
    /// says (Red Hat's 4.18 and 5.14 above all).
    pub fn reached_by(self, release: &KernelRelease) -> bool {
        release.version >= (self.0, self.1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.0, self.1))
    }
}

impl std::str::FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once('.')
            .and_then(|(major, minor)| Some(Self(major.parse().ok()?, minor.parse().ok()?)))
            .ok_or_else(|| format!("'{text}' is not a kernel version such as 6.3"))
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Driver {
    /// The best way in which anything in this row became known.
    pub fn best_source(&self) -> How {
        self.sources
            .iter()
            .map(|source| source.how)
            .min()
            .unwrap_or(How::Recalled)
    }
}

#[derive(Deserialize)]
struct Table {
    driver: Vec<Driver>,
}

struct Index {
    drivers: Vec<Driver>,
    by_name: HashMap<String, usize>,
    by_kind: HashMap<String, usize>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let table: Table =
        toml::from_str(include_str!("../drivers.toml")).expect("a test parses the shipped table");
    let mut by_name = HashMap::new();
    let mut by_kind = HashMap::new();
    for (position, driver) in table.driver.iter().enumerate() {
        for name in std::iter::once(&driver.name).chain(&driver.aliases) {
            by_name.insert(name.clone(), position);
        }
        for kind in &driver.kinds {
            by_kind.insert(kind.clone(), position);
        }
    }
    Index {
        drivers: table.driver,
        by_name,
        by_kind,
    }
});

/// All rows, in the order of the file: software devices, virtual machines, server NICs, embedded, without native.
pub fn table() -> &'static [Driver] {
    &INDEX.drivers
}

/// The row of the driver with this name or alias.
pub fn by_name(name: &str) -> Option<&'static Driver> {
    INDEX
        .by_name
        .get(name)
        .map(|&position| &INDEX.drivers[position])
}

/// The row of the driver of this `IFLA_INFO_KIND`.
pub fn by_kind(kind: &str) -> Option<&'static Driver> {
    INDEX
        .by_kind
        .get(kind)
        .map(|&position| &INDEX.drivers[position])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_source_and_names_are_unique() {
        let mut names: Vec<&str> = Vec::new();
        let mut kinds: Vec<&str> = Vec::new();
        for driver in table() {
            assert!(!driver.sources.is_empty(), "{} has no source", driver.name);
            names.extend(
                std::iter::once(&driver.name)
                    .chain(&driver.aliases)
                    .map(String::as_str),
            );
            kinds.extend(driver.kinds.iter().map(String::as_str));
        }
        for list in [&mut names, &mut kinds] {
            let count = list.len();
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), count);
        }
    }

    #[test]
    fn abilities_of_native_mode_come_with_native_mode() {
        for driver in table() {
            let native = driver.native;
            for (what, since) in [("zero_copy", driver.zero_copy), ("frags", driver.frags)] {
                if let Some(since) = since {
                    assert!(
                        native.is_some_and(|native| native <= since),
                        "{}: {what} before native",
                        driver.name
                    );
                }
            }
            if native.is_none() {
                assert!(
                    !driver.redirect && driver.mtu.is_none() && driver.queues.is_none(),
                    "{}",
                    driver.name
                );
            }
        }
    }

    #[test]
    fn versions_compare_by_number() {
        let release = |major, minor| KernelRelease {
            text: String::new(),
            version: (major, minor),
            code: 0,
        };
        assert!(Version(5, 9).reached_by(&release(5, 10)));
        assert!(!Version(5, 10).reached_by(&release(5, 9)));
        assert!("6".parse::<Version>().is_err());
    }
}
