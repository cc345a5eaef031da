//! What a card and its firmware offer to a program: sizes, helpers, maps.
//!
//! A profile is a TOML file. What it leaves out is as in the profile `full`, which is complete. The shipped ones
//! are inside what the kernel driver accepts (Linux 6.12, drivers/net/ethernet/netronome/nfp/bpf/main.c); no card
//! was measured, and `source` says so. `xdp-probe caps` writes one of a real card.

use serde::{Deserialize, Serialize};

use crate::isa::reloc::Layout;

/// Longest profile file that is read, in bytes.
const MAX_FILE: usize = 1 << 16;
/// Highest address in the control store.
const MAX_ADDRESS: u16 = 0x3fff;

/// A card as a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Where the numbers come from.
    pub source: String,
    /// Version of the interface between driver and firmware: 2 or 3.
    pub abi: u8,
    /// Longest program in words, 64 to 16384.
    pub code_words: u32,
    /// Stack of a program with all its subprograms, in bytes, 0 to 16384.
    pub stack_bytes: u32,
    /// Bytes of a packet that a program may reach, 0 to 16384: 64 byte blocks less 32 bytes.
    pub packet_bytes: u32,
    /// Word address at which programs are loaded.
    pub start: u16,
    /// Address of the firmware's "next packet".
    pub next_packet: u16,
    /// Whether `bpf_xdp_adjust_tail` is there.
    pub adjust_tail: bool,
    /// Whether `bpf_get_prandom_u32` is there.
    pub random: bool,
    /// Whether a program may choose the receive queue.
    pub queue_select: bool,
    /// `bpf_xdp_adjust_head`.
    pub adjust_head: AdjustHead,
    /// Helpers of the firmware.
    pub helpers: Helpers,
    /// Maps.
    pub maps: Maps,
}

/// How far `bpf_xdp_adjust_head` can move the packet's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdjustHead {
    /// Whether it is there at all.
    pub supported: bool,
    /// Lowest offset of the packet in its buffer, in bytes.
    pub lowest: u8,
    /// Highest offset.
    pub highest: u8,
    /// Bytes that can always be added in front, unchecked.
    pub sure_front: u32,
    /// Bytes that can always be taken away, unchecked.
    pub sure_back: u32,
    /// Whether there is no metadata in front of the packet to take care of.
    pub no_metadata: bool,
}

/// Word addresses of the firmware's helpers; 0 where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Helpers {
    /// `bpf_map_lookup_elem`
    pub map_lookup: u16,
    /// `bpf_map_update_elem`
    pub map_update: u16,
    /// `bpf_map_delete_elem`
    pub map_delete: u16,
    /// `bpf_perf_event_output`
    pub perf_event_output: u16,
}

/// What maps the firmware keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Maps {
    /// Types it knows.
    pub types: Vec<MapType>,
    /// Most maps at a time.
    pub count: u32,
    /// Most elements of all maps together.
    pub elements: u32,
    /// Largest key in bytes.
    pub key_bytes: u32,
    /// Largest value in bytes.
    pub value_bytes: u32,
    /// Largest key and value together, each rounded up to 8 bytes.
    pub element_bytes: u32,
}

/// A map type that offload knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MapType {
    /// `BPF_MAP_TYPE_HASH`
    Hash,
    /// `BPF_MAP_TYPE_ARRAY`
    Array,
}

/// The profile `full`.
impl Default for Profile {
    fn default() -> Profile {
        Profile {
            name: "full".to_owned(),
            source: "assumed".to_owned(),
            abi: 3,
            code_words: 8192,
            stack_bytes: 512,
            packet_bytes: 2016,
            start: 2048,
            next_packet: 100,
            adjust_tail: true,
            random: true,
            queue_select: true,
            adjust_head: AdjustHead::default(),
            helpers: Helpers::default(),
            maps: Maps::default(),
        }
    }
}

impl Default for AdjustHead {
    fn default() -> AdjustHead {
        AdjustHead {
            supported: true,
            lowest: 32,
            highest: 248,
            sure_front: 64,
            sure_back: 128,
            no_metadata: true,
        }
    }
}

impl Default for Helpers {
    fn default() -> Helpers {
        Helpers {
            map_lookup: 200,
            map_update: 210,
            map_delete: 220,
            perf_event_output: 230,
        }
    }
}

impl Default for Maps {
    fn default() -> Maps {
        Maps {
            types: vec![MapType::Hash, MapType::Array],
            count: 64,
            elements: 1 << 20,
            key_bytes: 64,
            value_bytes: 64,
            element_bytes: 128,
        }
    }
}

/// A file that is no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Not TOML, an unknown key, a wrong type; with line and column.
    #[error("{0}")]
    Toml(Box<toml::de::Error>),
    /// A value that no card can have.
    #[error("{key} is {value}, which is not {allowed}")]
    Value {
        /// Which.
        key: &'static str,
        /// What it is.
        value: u64,
        /// What it may be.
        allowed: &'static str,
    },
    /// The file is too large.
    #[error("larger than {MAX_FILE} bytes")]
    TooLarge,
}

/// The shipped profiles by name.
const SHIPPED: [(&str, &str); 10] = [
    ("full", include_str!("../profiles/full.toml")),
    ("minimal", include_str!("../profiles/minimal.toml")),
    ("nomaps", include_str!("../profiles/nomaps.toml")),
    ("ahcheck", include_str!("../profiles/ahcheck.toml")),
    ("ahmeta", include_str!("../profiles/ahmeta.toml")),
    ("abi2", include_str!("../profiles/abi2.toml")),
    ("smallstack", include_str!("../profiles/smallstack.toml")),
    ("smallstore", include_str!("../profiles/smallstore.toml")),
    ("bigelem", include_str!("../profiles/bigelem.toml")),
    ("card64", include_str!("../profiles/card64.toml")),
];

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// The text is no profile, or describes no possible card.
    pub fn parse(text: &str) -> Result<Profile, ProfileError> {
        if text.len() > MAX_FILE {
            return Err(ProfileError::TooLarge);
        }
        let profile: Profile =
            toml::from_str(text).map_err(|error| ProfileError::Toml(Box::new(error)))?;
        profile.check()?;
        Ok(profile)
    }

    /// The shipped profile of this name.
    pub fn shipped(name: &str) -> Option<Profile> {
        let (_, text) = SHIPPED.iter().find(|(shipped, _)| *shipped == name)?;
        // A test reads each of them.
        Profile::parse(text).ok()
    }

    /// Names of the shipped profiles.
    pub fn shipped_names() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// Where the parts of a program at these indices, and the firmware's, come to lie.
    pub fn layout(&self, out: u16, abort: u16, push_registers: u16, pop_registers: u16) -> Layout {
        let Helpers {
            map_lookup,
            map_update,
            map_delete,
            perf_event_output,
        } = self.helpers;
        // By the helper's number in enum bpf_func_id.
        let helpers = [
            (1, map_lookup),
            (2, map_update),
            (3, map_delete),
            (25, perf_event_output),
        ];
        Layout {
            start: self.start,
            out,
            abort,
            push_registers,
            pop_registers,
            next_packet: self.next_packet,
            helpers: helpers
                .into_iter()
                .filter(|(_, address)| *address != 0)
                .collect(),
        }
    }

    fn check(&self) -> Result<(), ProfileError> {
        let within = |key, value: u64, range: std::ops::RangeInclusive<u64>, allowed| {
            if range.contains(&value) {
                Ok(())
            } else {
                Err(ProfileError::Value {
                    key,
                    value,
                    allowed,
                })
            }
        };
        let address = |key, value: u16| {
            within(
                key,
                value.into(),
                0..=MAX_ADDRESS.into(),
                "an address up to 16383",
            )
        };
        within("abi", self.abi.into(), 2..=3, "2 or 3")?;
        within(
            "code_words",
            self.code_words.into(),
            64..=16384,
            "64 to 16384",
        )?;
        within(
            "stack_bytes",
            self.stack_bytes.into(),
            0..=16384,
            "0 to 16384",
        )?;
        within(
            "packet_bytes",
            self.packet_bytes.into(),
            0..=16384,
            "0 to 16384",
        )?;
        address("start", self.start)?;
        address("next_packet", self.next_packet)?;
        address("helpers.map_lookup", self.helpers.map_lookup)?;
        address("helpers.map_update", self.helpers.map_update)?;
        address("helpers.map_delete", self.helpers.map_delete)?;
        address("helpers.perf_event_output", self.helpers.perf_event_output)?;
        let AdjustHead {
            supported,
            lowest,
            highest,
            ..
        } = self.adjust_head;
        if supported {
            let (lowest, highest) = (u64::from(lowest), u64::from(highest));
            within(
                "adjust_head.highest",
                highest,
                lowest..=255,
                "at or above adjust_head.lowest",
            )?;
        }
        for (key, value) in [
            ("maps.key_bytes", self.maps.key_bytes),
            ("maps.value_bytes", self.maps.value_bytes),
            ("maps.element_bytes", self.maps.element_bytes),
        ] {
            within(key, value.into(), 0..=1 << 20, "at most 1048576")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_profiles_are_named_as_their_files_and_say_their_source() {
        for (name, text) in SHIPPED {
            let profile = Profile::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(profile.name, name);
            assert!(
                text.contains("\nsource = "),
                "{name} names no source of its own"
            );
        }
    }

    #[test]
    fn the_file_full_is_complete_and_the_default() {
        let full = Profile::shipped("full").unwrap();
        assert_eq!(
            full,
            Profile {
                source: full.source.clone(),
                ..Profile::default()
            }
        );
        let keys = |text: &str| text.parse::<toml::Table>().unwrap();
        let (file, all) = (keys(SHIPPED[0].1), keys(&toml::to_string(&full).unwrap()));
        assert_eq!(file, all, "a key is missing in full.toml");
    }

    #[test]
    fn what_is_left_out_is_as_in_full() {
        let profile = Profile::parse("name = \"mine\"\nmaps.key_bytes = 8").unwrap();
        let maps = Maps {
            key_bytes: 8,
            ..Maps::default()
        };
        assert_eq!(
            profile,
            Profile {
                name: "mine".into(),
                maps,
                ..Profile::default()
            }
        );
    }

    #[test]
    fn a_missing_helper_has_no_address() {
        let layout = Profile::shipped("minimal").unwrap().layout(1, 2, 3, 4);
        assert_eq!(layout.helpers, vec![(1, 200)]);
        assert_eq!((layout.start, layout.next_packet), (2048, 100));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let wrong = |text: &str| Profile::parse(text).unwrap_err().to_string();
        assert!(wrong("[maps]\nkey_byte = 4").contains("line 2, column 1"));
        assert!(wrong("[maps]\nkey_byte = 4").contains("unknown field `key_byte`"));
        assert!(wrong("maps.types = [\"lru\"]").contains("unknown variant `lru`"));
        assert_eq!(wrong("abi = 4"), "abi is 4, which is not 2 or 3");
        assert_eq!(
            wrong("start = 16384"),
            "start is 16384, which is not an address up to 16383"
        );
        assert!(
            wrong("adjust_head = { lowest = 9, highest = 8 }")
                .starts_with("adjust_head.highest is 8")
        );
        assert_eq!(wrong(&"#".repeat(MAX_FILE + 1)), "larger than 65536 bytes");
    }
}
