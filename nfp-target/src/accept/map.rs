//! Maps that the driver keeps on the card (`nfp_bpf_map_alloc`).

use std::collections::HashSet;

use offload_compiler::verify::{Input, MapShape};

use super::{Reason, Refusal, Subject};
use crate::profile::{MapType, Maps};

/// `BPF_MAP_TYPE_HASH`
const HASH: u32 = 1;
/// `BPF_MAP_TYPE_ARRAY`
const ARRAY: u32 = 2;
/// `BPF_F_RDONLY` and `BPF_F_WRONLY`: what user space may do, of which no map keeps note
/// (`bpf_map_flags_retain_permanent`).
const USER_SPACE_FLAGS: u32 = 1 << 3 | 1 << 4;
/// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`: stays on the host (`bpf_map_offload_neutral`).
pub(super) const PERF_EVENT_ARRAY: u32 = 4;

/// The first reason of each map that the program uses, made one after the other.
pub(super) fn refusals(input: &Input<'_>, card: &Maps) -> Vec<Refusal> {
    let used: HashSet<u32> = input
        .map_at
        .values()
        .map(|reference| reference.map)
        .collect();
    let mut count = 0;
    let mut elements = 0u32;
    let mut refusals = Vec::new();
    for (index, map) in input.maps.iter().enumerate() {
        if !used.contains(&(index as u32)) {
            continue;
        }
        let reason = if !has_sizes(map) {
            Some(Reason::MapSizes {
                map: map.name.clone(),
            })
        } else if map.kind == PERF_EVENT_ARRAY {
            None
        } else {
            one(map, card, count, elements)
        };
        match reason {
            Some(reason) => {
                refusals.push(Refusal::new(Subject::Map(index as u32), reason));
            }
            None if map.kind == PERF_EVENT_ARRAY => {}
            None => {
                count += 1;
                elements = elements.saturating_add(map.max_entries);
            }
        }
    }
    refusals
}

/// What the kernel asks of a map before anything else (`array_map_alloc_check`, `fd_array_map_alloc_check`,
/// `htab_map_alloc_check`).
fn has_sizes(map: &MapShape) -> bool {
    let key = match map.kind {
        HASH => map.key_size != 0,
        ARRAY | PERF_EVENT_ARRAY => map.key_size == 4,
        _ => return true,
    };
    let value = match map.kind {
        PERF_EVENT_ARRAY => map.value_size == 4,
        _ => map.value_size != 0,
    };
    // Who loads it fills in the number of processors.
    let entries = map.max_entries != 0 || map.kind == PERF_EVENT_ARRAY;
    key && value && entries
}

fn one(map: &MapShape, card: &Maps, count: u32, elements: u32) -> Option<Reason> {
    let kind = match map.kind {
        HASH => Some(MapType::Hash),
        ARRAY => Some(MapType::Array),
        _ => None,
    };
    let name = || map.name.clone();
    // The kernel knows no other kinds on a device (kernel/bpf/offload.c `bpf_map_offload_map_alloc`) and says nothing.
    let Some(kind) = kind else {
        return Some(Reason::MapKindNever {
            map: name(),
            kind: map.kind,
        });
    };
    if card.types.is_empty() {
        return Some(Reason::NoMaps { map: name() });
    }
    if map.flags & !USER_SPACE_FLAGS != 0 {
        return Some(Reason::MapFlags {
            map: name(),
            flags: map.flags,
        });
    }
    if !card.types.contains(&kind) {
        return Some(Reason::MapKind { map: name() });
    }
    if count >= card.count {
        return Some(Reason::MapCount {
            map: name(),
            most: card.count,
        });
    }
    let left = card.elements.saturating_sub(elements);
    if left < map.max_entries {
        return Some(Reason::MapElements {
            map: name(),
            wanted: map.max_entries,
            left,
        });
    }
    let padded = map
        .key_size
        .next_multiple_of(8)
        .saturating_add(map.value_size.next_multiple_of(8));
    if padded > card.element_bytes {
        return Some(Reason::MapElementSize {
            map: name(),
            size: padded,
            most: card.element_bytes,
        });
    }
    if map.key_size > card.key_bytes {
        return Some(Reason::MapKeySize {
            map: name(),
            size: map.key_size,
            most: card.key_bytes,
        });
    }
    if map.value_size > card.value_bytes {
        return Some(Reason::MapValueSize {
            map: name(),
            size: map.value_size,
            most: card.value_bytes,
        });
    }
    None
}
