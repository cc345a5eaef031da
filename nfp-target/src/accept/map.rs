//! Maps that the driver keeps on the card (`nfp_bpf_map_alloc`).

use std::collections::HashSet;

use offload_compiler::verify::{Input, MapShape};

use super::{Reason, Refusal, Subject};
use crate::profile::{MapType, Maps};

/// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`: stays on the host (`bpf_map_offload_neutral`).
const PERF_EVENT_ARRAY: u32 = 4;

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
        let reason = if map.kind == PERF_EVENT_ARRAY {
            (map.key_size != 4 || map.value_size != 4).then(|| Reason::MapSizes {
                map: map.name.clone(),
            })
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

fn one(map: &MapShape, card: &Maps, count: u32, elements: u32) -> Option<Reason> {
    let kind = match map.kind {
        1 => Some(MapType::Hash),
        2 => Some(MapType::Array),
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
    if map.flags != 0 {
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
