//! Maps that no kernel makes, whatever its version: each kind's `map_alloc_check` (kernel/bpf, Linux 6.18).

use crate::object::map_kind as kind;
use crate::verify::{Code, Finding, Input, MapShape};

const HASH: u32 = 1;
const PERCPU_HASH: u32 = 5;
const PERCPU_ARRAY: u32 = 6;
const LRU_HASH: u32 = 9;
const LRU_PERCPU_HASH: u32 = 10;
const LPM_TRIE: u32 = 11;
const BLOOM_FILTER: u32 = 30;

const BPF_F_NO_PREALLOC: u32 = 1;
const BPF_F_NO_COMMON_LRU: u32 = 1 << 1;
const BPF_F_MMAPABLE: u32 = 1 << 10;
/// `PCPU_MIN_UNIT_SIZE`: values of per-CPU maps are no larger.
const LARGEST_PER_CPU_VALUE: u32 = 32 << 10;

/// The maps that the program uses and that cannot be made, at their first use.
pub(super) fn findings(input: &Input<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (index, map) in input.maps.iter().enumerate() {
        let first_use = input
            .map_at
            .iter()
            .filter(|(_, reference)| reference.map as usize == index)
            .map(|(&slot, _)| slot)
            .min();
        if let Some(slot) = first_use
            && let Some((what, help)) = refusal(map)
        {
            let message = format!("map {}: {what}", map.name);
            let finding = Finding::error(Code::MapDefinition, slot, message)
                .knowing("creating the map fails: Invalid argument")
                .help(help);
            findings.push(finding);
        }
    }
    findings
}

/// What is wrong with a map's definition, and what would help.
fn refusal(map: &MapShape) -> Option<(String, &'static str)> {
    let no = |what: &str, help| Some((what.to_owned(), help));
    let kind_name = super::map_kind_name(map.kind).unwrap_or("this kind");
    // Loaders put the number of CPUs there.
    if map.max_entries == 0 && map.kind != kind::PERF_EVENT_ARRAY {
        return no("max_entries is 0", "say how many entries it holds");
    }
    let (key, value) = (map.key_size, map.value_size);
    match map.kind {
        HASH | PERCPU_HASH | LRU_HASH | LRU_PERCPU_HASH => {
            let is_lru = matches!(map.kind, LRU_HASH | LRU_PERCPU_HASH);
            if is_lru && map.flags & BPF_F_NO_PREALLOC != 0 {
                return no(
                    "an LRU map is allocated at once, so BPF_F_NO_PREALLOC is refused",
                    "leave the flag out",
                );
            }
            if !is_lru && map.flags & BPF_F_NO_COMMON_LRU != 0 {
                return no("BPF_F_NO_COMMON_LRU is for LRU maps", "leave the flag out");
            }
            if key == 0 || value == 0 {
                return no(
                    "keys and values have to have a size",
                    "give key and value types",
                );
            }
        }
        kind::ARRAY | PERCPU_ARRAY => {
            if key != 4 {
                return Some((
                    format!("the keys of an array have four bytes, not {key}"),
                    "use __u32 as the key",
                ));
            }
            if value == 0 {
                return no("values have to have a size", "give a value type");
            }
            if map.kind == PERCPU_ARRAY && map.flags & BPF_F_MMAPABLE != 0 {
                return no(
                    "a per-CPU array cannot be mapped",
                    "leave BPF_F_MMAPABLE out",
                );
            }
            if map.flags & BPF_F_NO_PREALLOC != 0 {
                return no(
                    "an array is allocated at once, so BPF_F_NO_PREALLOC is refused",
                    "leave the flag out",
                );
            }
        }
        LPM_TRIE => {
            if map.flags & BPF_F_NO_PREALLOC == 0 {
                return no(
                    "a trie cannot be allocated at once",
                    "set BPF_F_NO_PREALLOC in map_flags",
                );
            }
            if !(5..=260).contains(&key) {
                return Some((
                    format!(
                        "the key is four bytes of prefix length and 1 to 256 bytes of data, not {key} in all"
                    ),
                    "begin the key with a __u32 prefixlen",
                ));
            }
            if value == 0 {
                return no("values have to have a size", "give a value type");
            }
        }
        kind::PROG_ARRAY | kind::XSKMAP | kind::PERF_EVENT_ARRAY if key != 4 || value != 4 => {
            return Some((
                format!("keys and values of a {kind_name} have four bytes, not {key} and {value}"),
                "use __u32 for both",
            ));
        }
        kind::DEVMAP | kind::DEVMAP_HASH | kind::CPUMAP if key != 4 || !matches!(value, 4 | 8) => {
            return Some((
                format!(
                    "keys of a {kind_name} have four bytes and values four or eight, not {key} and {value}"
                ),
                "use __u32 as the key, and __u32 or the kernel's structure for it as the value",
            ));
        }
        kind::QUEUE | kind::STACK | BLOOM_FILTER if key != 0 => {
            return Some((
                format!("a {kind_name} has no keys"),
                "leave the key type out",
            ));
        }
        kind::RINGBUF | kind::USER_RINGBUF if key != 0 || value != 0 => {
            return Some((
                format!("a {kind_name} has neither keys nor values"),
                "leave key and value types out; max_entries is its size in bytes",
            ));
        }
        _ => {}
    }
    if matches!(map.kind, PERCPU_HASH | PERCPU_ARRAY | LRU_PERCPU_HASH)
        && value.next_multiple_of(8) > LARGEST_PER_CPU_VALUE
    {
        return Some((
            format!(
                "a value of {value} bytes is more than the {LARGEST_PER_CPU_VALUE} of a CPU's area"
            ),
            "use a smaller value, or a map that is not per CPU",
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_rules() {
        let shape = |kind, key_size, value_size, max_entries, flags| MapShape {
            kind,
            key_size,
            value_size,
            flags,
            max_entries,
            ..MapShape::default()
        };
        let ok = |map: MapShape| refusal(&map).is_none();
        assert!(ok(shape(HASH, 4, 8, 1, 0)) && ok(shape(HASH, 4, 8, 1, BPF_F_NO_PREALLOC)));
        assert!(!ok(shape(HASH, 4, 8, 0, 0)) && !ok(shape(LRU_HASH, 4, 8, 1, BPF_F_NO_PREALLOC)));
        assert!(ok(shape(kind::ARRAY, 4, 8, 1, 0)) && !ok(shape(kind::ARRAY, 8, 8, 1, 0)));
        assert!(
            ok(shape(LPM_TRIE, 8, 4, 1, BPF_F_NO_PREALLOC)) && !ok(shape(LPM_TRIE, 8, 4, 1, 0))
        );
        assert!(!ok(shape(LPM_TRIE, 4, 4, 1, BPF_F_NO_PREALLOC)));
        assert!(ok(shape(kind::DEVMAP, 4, 8, 1, 0)) && !ok(shape(kind::XSKMAP, 4, 8, 1, 0)));
        assert!(ok(shape(kind::PERF_EVENT_ARRAY, 4, 4, 0, 0)));
        assert!(
            ok(shape(kind::RINGBUF, 0, 0, 4096, 0)) && !ok(shape(kind::RINGBUF, 4, 0, 4096, 0))
        );
        assert!(
            !ok(shape(PERCPU_ARRAY, 4, 32769, 1, 0)) && ok(shape(PERCPU_ARRAY, 4, 32768, 1, 0))
        );
    }
}
