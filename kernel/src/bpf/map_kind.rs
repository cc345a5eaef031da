//! The kinds of maps and what the kernel's rules for each of them are.

use std::fmt;

/// enum bpf_map_type. Kinds that are newer than this list are carried by number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapKind(pub u32);

macro_rules! kinds {
    ($($number:literal $constant:ident $name:literal,)*) => {
        impl MapKind {
            $(#[doc = concat!("BPF_MAP_TYPE_", stringify!($constant))]
            pub const $constant: Self = Self($number);)*

            /// All kinds that have a name, in the kernel's order.
            pub const ALL: &'static [Self] = &[$(Self::$constant,)*];

            /// The name as bpftool prints it, such as "lpm_trie".
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$constant => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

// include/uapi/linux/bpf.h of Linux 6.18; the names as in tools/bpf/bpftool/Documentation.
kinds! {
    1 HASH "hash",
    2 ARRAY "array",
    3 PROG_ARRAY "prog_array",
    4 PERF_EVENT_ARRAY "perf_event_array",
    5 PERCPU_HASH "percpu_hash",
    6 PERCPU_ARRAY "percpu_array",
    7 STACK_TRACE "stack_trace",
    8 CGROUP_ARRAY "cgroup_array",
    9 LRU_HASH "lru_hash",
    10 LRU_PERCPU_HASH "lru_percpu_hash",
    11 LPM_TRIE "lpm_trie",
    12 ARRAY_OF_MAPS "array_of_maps",
    13 HASH_OF_MAPS "hash_of_maps",
    14 DEVMAP "devmap",
    15 SOCKMAP "sockmap",
    16 CPUMAP "cpumap",
    17 XSKMAP "xskmap",
    18 SOCKHASH "sockhash",
    19 CGROUP_STORAGE "cgroup_storage",
    20 REUSEPORT_SOCKARRAY "reuseport_sockarray",
    21 PERCPU_CGROUP_STORAGE "percpu_cgroup_storage",
    22 QUEUE "queue",
    23 STACK "stack",
    24 SK_STORAGE "sk_storage",
    25 DEVMAP_HASH "devmap_hash",
    26 STRUCT_OPS "struct_ops",
    27 RINGBUF "ringbuf",
    28 INODE_STORAGE "inode_storage",
    29 TASK_STORAGE "task_storage",
    30 BLOOM_FILTER "bloom_filter",
    31 USER_RINGBUF "user_ringbuf",
    32 CGRP_STORAGE "cgrp_storage",
    33 ARENA "arena",
}

impl MapKind {
    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.name() == Some(name))
    }

    /// Whether a key is an index, from 0 to the number of entries; one beyond is E2BIG.
    pub fn is_indexed(self) -> bool {
        matches!(
            self,
            Self::ARRAY
                | Self::PERCPU_ARRAY
                | Self::PROG_ARRAY
                | Self::PERF_EVENT_ARRAY
                | Self::ARRAY_OF_MAPS
                | Self::DEVMAP
                | Self::CPUMAP
                | Self::XSKMAP
        )
    }

    /// Whether each CPU has a value of its own.
    pub fn is_per_cpu(self) -> bool {
        matches!(
            self,
            Self::PERCPU_HASH
                | Self::PERCPU_ARRAY
                | Self::LRU_PERCPU_HASH
                | Self::PERCPU_CGROUP_STORAGE
        )
    }

    /// Whether the values are other maps, so that creating one takes an inner map.
    pub fn holds_maps(self) -> bool {
        matches!(self, Self::ARRAY_OF_MAPS | Self::HASH_OF_MAPS)
    }

    /// Whether a walk starts over when its last key is gone, because keys have no order of their own.
    /// In the array-like kinds a key is an index.
    pub(super) fn walk_starts_over(self) -> bool {
        matches!(
            self,
            Self::HASH
                | Self::PERCPU_HASH
                | Self::LRU_HASH
                | Self::LRU_PERCPU_HASH
                | Self::LPM_TRIE
                | Self::HASH_OF_MAPS
                | Self::DEVMAP_HASH
                | Self::SOCKHASH
        ) || self.name().is_none()
    }

    /// Whether the kernel takes types for key and value. These kinds keep the kernel's own things
    /// and refuse them with ENOTSUPP (`map_check_btf` in kernel/bpf/syscall.c).
    pub(super) fn takes_btf(self) -> bool {
        !matches!(
            self,
            Self::PROG_ARRAY
                | Self::PERF_EVENT_ARRAY
                | Self::CGROUP_ARRAY
                | Self::STACK_TRACE
                | Self::ARRAY_OF_MAPS
                | Self::HASH_OF_MAPS
                | Self::DEVMAP
                | Self::DEVMAP_HASH
                | Self::CPUMAP
                | Self::XSKMAP
                | Self::SOCKMAP
                | Self::SOCKHASH
                | Self::QUEUE
                | Self::STACK
                | Self::RINGBUF
                | Self::USER_RINGBUF
                | Self::ARENA
        )
    }

    /// The bytes that one element takes on its way from or to the kernel (`bpf_map_value_size` in
    /// kernel/bpf/syscall.c). Safety rests on this: the kernel reads or writes as many.
    pub(super) fn transfer_size(self, value_size: u32, possible_cpus: u32) -> usize {
        let value_size = value_size as usize;
        if self.is_per_cpu() {
            value_size
                .next_multiple_of(8)
                .saturating_mul(possible_cpus as usize)
        } else if self.holds_maps()
            || matches!(
                self,
                Self::PROG_ARRAY | Self::PERF_EVENT_ARRAY | Self::CGROUP_ARRAY
            )
        {
            // A descriptor going in, an id coming out.
            size_of::<u32>()
        } else {
            value_size
        }
    }
}

impl fmt::Display for MapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&format!("type {}", self.0)),
        }
    }
}

impl fmt::Debug for MapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MapKind({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in MapKind::ALL {
            assert_eq!(MapKind::from_name(kind.name().unwrap()), Some(*kind));
        }
        assert_eq!(MapKind::from_name("unspec"), None);
        assert_eq!(MapKind(4711).to_string(), "type 4711");
    }

    #[test]
    fn numbers_have_no_gap() {
        let numbers: Vec<u32> = MapKind::ALL.iter().map(|k| k.0).collect();
        assert_eq!(numbers, (1..=33).collect::<Vec<_>>());
    }

    #[test]
    fn per_cpu_values_take_eight_byte_steps_for_each_cpu() {
        assert_eq!(MapKind::ARRAY.transfer_size(5, 4), 5);
        assert_eq!(MapKind::PERCPU_ARRAY.transfer_size(5, 4), 32);
        assert_eq!(MapKind::LRU_PERCPU_HASH.transfer_size(16, 3), 48);
        assert_eq!(MapKind::PROG_ARRAY.transfer_size(4, 4), 4);
    }
}
