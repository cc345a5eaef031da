//! Map definitions as the kernel's `BPF_MAP_CREATE` wants them.

/// A map of the object, ready to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapDef {
    /// The variable's name; data sections have the section's name (`.rodata`).
    pub name: String,
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// As declared; see [`MapDef::max_entries_on`] for what to create.
    pub max_entries: u32,
    /// `map_flags`, `BPF_F_*`.
    pub flags: u32,
    /// NUMA node; meaningful where `flags` has `BPF_F_NUMA_NODE`.
    pub numa_node: u32,
    /// `map_extra`: hash functions of a bloom filter.
    pub map_extra: u64,
    /// Declared with `pinning` = `LIBBPF_PIN_BY_NAME`.
    pub pin_by_name: bool,
    /// Type id of the key in the object's BTF, 0 where unknown. See [`MapDef::kernel_btf_types`].
    pub key_type_id: u32,
    /// Type id of the value in the object's BTF, 0 where unknown.
    pub value_type_id: u32,
    /// What the entries of a map of maps are like.
    pub inner: Option<Box<MapDef>>,
    /// What the map holds before any program runs.
    pub content: MapContent,
    /// Where the definition comes from.
    pub origin: MapOrigin,
    /// To be frozen (`BPF_MAP_FREEZE`) once its content is written.
    pub freeze: bool,
}

/// What a map holds at first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MapContent {
    /// Nothing but what the kernel makes it: empty, or zeros (`.bss`).
    #[default]
    None,
    /// The value of key 0.
    Data(Vec<u8>),
    /// The value of key 0 depends on the kernel's configuration: take [`Linked::kconfig`](super::Linked::kconfig).
    Kconfig,
    /// Entries that are maps or programs: index and what goes there. Program slots are filled after loading.
    Slots(Vec<(u32, SlotTarget)>),
}

/// What an entry of a map of maps or of a program array refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlotTarget {
    /// Index into [`Object::maps`](super::Object::maps).
    Map(usize),
    /// Index into [`Object::programs`](super::Object::programs).
    Program(usize),
}

/// Where a map definition comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapOrigin {
    /// A BTF definition in `.maps`.
    Btf,
    /// A `struct bpf_map_def` or one of its longer relatives in `maps`.
    Legacy,
    /// A section of global variables.
    Data {
        /// The section.
        section: String,
    },
    /// The extern variables marked `__kconfig`.
    Kconfig,
}

/// `enum bpf_map_type` values that need special care (include/uapi/linux/bpf.h, Linux 6.12).
pub mod map_kind {
    /// `BPF_MAP_TYPE_ARRAY`.
    pub const ARRAY: u32 = 2;
    /// `BPF_MAP_TYPE_PROG_ARRAY`.
    pub const PROG_ARRAY: u32 = 3;
    /// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`.
    pub const PERF_EVENT_ARRAY: u32 = 4;
    /// `BPF_MAP_TYPE_STACK_TRACE`.
    pub const STACK_TRACE: u32 = 7;
    /// `BPF_MAP_TYPE_CGROUP_ARRAY`.
    pub const CGROUP_ARRAY: u32 = 8;
    /// `BPF_MAP_TYPE_ARRAY_OF_MAPS`.
    pub const ARRAY_OF_MAPS: u32 = 12;
    /// `BPF_MAP_TYPE_HASH_OF_MAPS`.
    pub const HASH_OF_MAPS: u32 = 13;
    /// `BPF_MAP_TYPE_DEVMAP`.
    pub const DEVMAP: u32 = 14;
    /// `BPF_MAP_TYPE_SOCKMAP`.
    pub const SOCKMAP: u32 = 15;
    /// `BPF_MAP_TYPE_CPUMAP`.
    pub const CPUMAP: u32 = 16;
    /// `BPF_MAP_TYPE_XSKMAP`.
    pub const XSKMAP: u32 = 17;
    /// `BPF_MAP_TYPE_SOCKHASH`.
    pub const SOCKHASH: u32 = 18;
    /// `BPF_MAP_TYPE_QUEUE`.
    pub const QUEUE: u32 = 22;
    /// `BPF_MAP_TYPE_STACK`.
    pub const STACK: u32 = 23;
    /// `BPF_MAP_TYPE_DEVMAP_HASH`.
    pub const DEVMAP_HASH: u32 = 25;
    /// `BPF_MAP_TYPE_RINGBUF`.
    pub const RINGBUF: u32 = 27;
    /// `BPF_MAP_TYPE_USER_RINGBUF`.
    pub const USER_RINGBUF: u32 = 31;
    /// `BPF_MAP_TYPE_ARENA`.
    pub const ARENA: u32 = 33;
}

impl MapDef {
    pub(crate) fn new(name: String, origin: MapOrigin) -> Self {
        Self {
            name,
            kind: 0,
            key_size: 0,
            value_size: 0,
            max_entries: 0,
            flags: 0,
            numa_node: 0,
            map_extra: 0,
            pin_by_name: false,
            key_type_id: 0,
            value_type_id: 0,
            inner: None,
            content: MapContent::None,
            origin,
            freeze: false,
        }
    }

    /// The `max_entries` to create the map with: a perf event array declared with 0 gets one entry a
    /// possible CPU, a ring buffer is rounded up to a power of two of pages; others stay as declared.
    pub fn max_entries_on(&self, possible_cpus: u32, page_size: u32) -> u32 {
        match self.kind {
            map_kind::PERF_EVENT_ARRAY if self.max_entries == 0 => possible_cpus,
            map_kind::RINGBUF | map_kind::USER_RINGBUF if self.max_entries != 0 => self
                .max_entries
                .max(page_size)
                .checked_next_power_of_two()
                .unwrap_or(self.max_entries),
            _ => self.max_entries,
        }
    }

    /// The key and value type ids to create the map with, if any. Kinds whose entries mean nothing to
    /// user space take none: the kernel refuses type ids for them.
    pub fn kernel_btf_types(&self) -> Option<(u32, u32)> {
        use map_kind as k;
        match self.kind {
            k::PERF_EVENT_ARRAY
            | k::STACK_TRACE
            | k::CGROUP_ARRAY
            | k::ARRAY_OF_MAPS
            | k::HASH_OF_MAPS
            | k::DEVMAP
            | k::SOCKMAP
            | k::CPUMAP
            | k::XSKMAP
            | k::SOCKHASH
            | k::QUEUE
            | k::STACK
            | k::DEVMAP_HASH
            | k::ARENA => None,
            _ if self.value_type_id == 0 => None,
            _ => Some((self.key_type_id, self.value_type_id)),
        }
    }

    /// Whether this is one of the object's sections of global variables, or its `__kconfig` variables.
    pub fn is_data(&self) -> bool {
        matches!(self.origin, MapOrigin::Data { .. } | MapOrigin::Kconfig)
    }
}
