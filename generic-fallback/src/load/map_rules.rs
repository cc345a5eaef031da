//! What the kernel asks of a map of each kind. It refuses with EINVAL and no text, so the rule that a definition breaks
//! is named here. From the `map_alloc_check` functions of Linux 6.12: kernel/bpf/{arraymap,hashtab,lpm_trie,devmap,
//! cpumap,ringbuf}.c and net/xdp/xskmap.c.

use kernel::bpf::map::MapKind;

const BPF_F_NO_PREALLOC: u32 = 1;
/// A trie's key: the prefix length in four bytes, then 1 to 256 bytes of data.
const TRIE_KEY: std::ops::RangeInclusive<u32> = 5..=260;

/// A map as it was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) kind: MapKind,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
    /// The kernel's page size in bytes.
    pub(super) page: u32,
}

/// The rule that `form` breaks, as an order to its author; `None` where none is known.
pub(super) fn broken(form: Form) -> Option<&'static str> {
    match form.kind {
        MapKind::RINGBUF => ring_buffer(form),
        _ if form.max_entries == 0 && form.kind != MapKind::PERF_EVENT_ARRAY => {
            Some("give it max_entries: 0 entries are none")
        }
        MapKind::ARRAY | MapKind::PERCPU_ARRAY => index_key(form).or_else(|| some_value(form)),
        MapKind::HASH | MapKind::PERCPU_HASH | MapKind::LRU_HASH | MapKind::LRU_PERCPU_HASH => {
            some_key(form).or_else(|| some_value(form))
        }
        MapKind::LPM_TRIE => trie(form),
        MapKind::PROG_ARRAY
        | MapKind::PERF_EVENT_ARRAY
        | MapKind::XSKMAP
        | MapKind::ARRAY_OF_MAPS => index_key(form)
            .or_else(|| (form.value_size != 4).then_some("its values have to be 4 bytes")),
        MapKind::DEVMAP | MapKind::DEVMAP_HASH | MapKind::CPUMAP => index_key(form).or_else(|| {
            (![4, 8].contains(&form.value_size)).then_some("its values have to be 4 or 8 bytes")
        }),
        _ => None,
    }
}

fn index_key(form: Form) -> Option<&'static str> {
    (form.key_size != 4).then_some("its key has to be an index of 4 bytes")
}

fn some_key(form: Form) -> Option<&'static str> {
    (form.key_size == 0).then_some("give it a key: 0 bytes are none")
}

fn some_value(form: Form) -> Option<&'static str> {
    (form.value_size == 0).then_some("give it a value: 0 bytes are none")
}

fn trie(form: Form) -> Option<&'static str> {
    if form.flags & BPF_F_NO_PREALLOC == 0 {
        Some("give it __uint(map_flags, BPF_F_NO_PREALLOC): an LPM trie is never preallocated")
    } else if !TRIE_KEY.contains(&form.key_size) {
        Some("its key has to be 5 to 260 bytes: the prefix length in 4 bytes, then the address")
    } else {
        some_value(form)
    }
}

fn ring_buffer(form: Form) -> Option<&'static str> {
    if form.key_size != 0 || form.value_size != 0 {
        Some("a ring buffer has neither key nor value")
    } else if !form.max_entries.is_power_of_two() || !form.max_entries.is_multiple_of(form.page) {
        Some("its max_entries, the size in bytes, has to be a power of two and whole pages")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(kind: MapKind, sizes: (u32, u32, u32), flags: u32) -> Form {
        Form {
            kind,
            key_size: sizes.0,
            value_size: sizes.1,
            max_entries: sizes.2,
            flags,
            page: 4096,
        }
    }

    #[test]
    fn maps_as_they_should_be_break_no_rule() {
        for good in [
            form(MapKind::ARRAY, (4, 8, 1), 0),
            form(MapKind::HASH, (12, 1, 1), 0),
            form(MapKind::LPM_TRIE, (8, 8, 1), BPF_F_NO_PREALLOC),
            form(MapKind::RINGBUF, (0, 0, 8192), 0),
            form(MapKind::DEVMAP, (4, 8, 1), 0),
            form(MapKind::PERF_EVENT_ARRAY, (4, 4, 0), 0),
        ] {
            assert_eq!(broken(good), None, "{good:?}");
        }
    }

    #[test]
    fn the_broken_rule_is_named() {
        for (bad, word) in [
            (form(MapKind::LPM_TRIE, (8, 8, 1), 0), "NO_PREALLOC"),
            (form(MapKind::LPM_TRIE, (4, 8, 1), 1), "5 to 260"),
            (form(MapKind::ARRAY, (8, 8, 1), 0), "4 bytes"),
            (form(MapKind::ARRAY, (4, 0, 1), 0), "value"),
            (form(MapKind::HASH, (4, 8, 0), 0), "max_entries"),
            (form(MapKind::HASH, (0, 8, 1), 0), "key"),
            (form(MapKind::RINGBUF, (4, 0, 4096), 0), "neither"),
            (form(MapKind::RINGBUF, (0, 0, 6000), 0), "power of two"),
            (form(MapKind::XSKMAP, (4, 8, 1), 0), "4 bytes"),
            (form(MapKind::CPUMAP, (4, 12, 1), 0), "4 or 8"),
        ] {
            assert!(
                broken(bad).is_some_and(|rule| rule.contains(word)),
                "{bad:?}"
            );
        }
    }
}
