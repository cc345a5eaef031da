//! What a map is made of.

use crate::interp::fault::FaultKind;

/// The map types that an XDP program can use and the interpreter models, with the numbers of
/// `enum bpf_map_type` (`include/uapi/linux/bpf.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
#[allow(missing_docs)] // the kernel's own names
pub enum MapKind {
    Hash = 1,
    Array = 2,
    ProgArray = 3,
    PerfEventArray = 4,
    PerCpuHash = 5,
    PerCpuArray = 6,
    LruHash = 9,
    LruPerCpuHash = 10,
    LpmTrie = 11,
    ArrayOfMaps = 12,
    HashOfMaps = 13,
    DevMap = 14,
    CpuMap = 16,
    XskMap = 17,
    Queue = 22,
    Stack = 23,
    DevMapHash = 25,
    RingBuf = 27,
}

impl MapKind {
    const ALL: [Self; 18] = [
        Self::Hash,
        Self::Array,
        Self::ProgArray,
        Self::PerfEventArray,
        Self::PerCpuHash,
        Self::PerCpuArray,
        Self::LruHash,
        Self::LruPerCpuHash,
        Self::LpmTrie,
        Self::ArrayOfMaps,
        Self::HashOfMaps,
        Self::DevMap,
        Self::CpuMap,
        Self::XskMap,
        Self::Queue,
        Self::Stack,
        Self::DevMapHash,
        Self::RingBuf,
    ];

    /// The type of the kernel's number; `None` if the interpreter does not model it.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// Whether each CPU has values of its own.
    pub const fn is_per_cpu(self) -> bool {
        matches!(
            self,
            Self::PerCpuHash | Self::PerCpuArray | Self::LruPerCpuHash
        )
    }

    /// Whether it is a target of `bpf_redirect_map`.
    pub const fn is_redirect_target(self) -> bool {
        matches!(
            self,
            Self::DevMap | Self::DevMapHash | Self::CpuMap | Self::XskMap
        )
    }

    /// Whether keys are 32-bit indices.
    const fn is_indexed(self) -> bool {
        matches!(
            self,
            Self::Array
                | Self::ProgArray
                | Self::PerfEventArray
                | Self::PerCpuArray
                | Self::ArrayOfMaps
                | Self::DevMap
                | Self::DevMapHash
                | Self::CpuMap
                | Self::XskMap
        )
    }
}

/// A map to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapSpec {
    /// Map type.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most elements; of a ring buffer its size in bytes.
    pub max_entries: u32,
    /// `BPF_F_*` flags of the map's creation.
    pub flags: u32,
}

/// The kernel's limit on the size of a value, near enough (`KMALLOC_MAX_SIZE`).
const VALUE_MAX: u32 = 4 << 20;
/// `MAX_BPF_STACK`: keys come from the stack.
const KEY_MAX: u32 = 512;
/// Prefix length and at most 256 bytes of data (`LPM_DATA_SIZE_MAX`).
const TRIE_KEY: std::ops::RangeInclusive<u32> = 5..=260;

impl MapSpec {
    /// What the kernel checks at a map's creation.
    pub(super) fn check(&self) -> Result<(), MapError> {
        use MapKind as Kind;
        let keyless = matches!(self.kind, Kind::Queue | Kind::Stack | Kind::RingBuf);
        let key = match self.kind {
            Kind::LpmTrie => TRIE_KEY.contains(&self.key_size),
            kind if kind.is_indexed() => self.key_size == 4,
            _ if keyless => self.key_size == 0,
            _ => (1..=KEY_MAX).contains(&self.key_size),
        };
        let value = match self.kind {
            Kind::RingBuf => self.value_size == 0,
            Kind::ProgArray | Kind::PerfEventArray | Kind::ArrayOfMaps | Kind::HashOfMaps => {
                self.value_size == 4
            }
            _ => (1..=VALUE_MAX).contains(&self.value_size),
        };
        let entries = match self.kind {
            Kind::RingBuf => self.max_entries.is_power_of_two() && self.max_entries >= 4096,
            _ => self.max_entries > 0,
        };
        match (key, value, entries) {
            (false, _, _) => Err(MapError::KeySize(self.key_size)),
            (_, false, _) => Err(MapError::ValueSize(self.value_size)),
            (_, _, false) => Err(MapError::MaxEntries(self.max_entries)),
            _ => Ok(()),
        }
    }
}

/// What can go wrong with a map outside of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// There is no map of this number.
    #[error("no map {0}")]
    NoSuchMap(usize),
    /// Its kind has no keys of this size.
    #[error("a key of {0} bytes does not fit the map's kind")]
    KeySize(u32),
    /// Its kind has no values of this size.
    #[error("a value of {0} bytes does not fit the map's kind")]
    ValueSize(u32),
    /// Its kind cannot have so many elements.
    #[error("{0} entries do not fit the map's kind")]
    MaxEntries(u32),
    /// The kernel would answer with this errno, negated.
    #[error("refused with errno {}", -.0)]
    Refused(i64),
    /// The machine has no memory left.
    #[error(transparent)]
    Fault(#[from] FaultKind),
}
