//! Creation of maps on the card.

use offload_compiler::verify::MapShape;

use super::{Reason, Refusal, Subject};
use crate::profile::{MapType, Profile};

/// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`: stays on the host, and the card sends to it.
const PERF_EVENT_ARRAY: u32 = 4;

/// The first reason of each map, in the driver's order of checks.
pub(super) fn refusals(maps: &[MapShape], profile: &Profile) -> Vec<Refusal> {
    let mut left = profile.maps.elements;
    let mut count = 0;
    let mut refusals = Vec::new();
    for (index, map) in maps.iter().enumerate() {
        // On the host it is created without the card. Used for anything but events, it is refused at the call.
        if map.kind == PERF_EVENT_ARRAY {
            continue;
        }
        count += 1;
        match reason(map, profile, left, count) {
            None => left -= map.max_entries,
            Some(reason) => refusals.push(Refusal {
                subject: Subject::Map(index as u32),
                reason,
            }),
        }
    }
    refusals
}

fn reason(map: &MapShape, profile: &Profile, left: u32, count: u32) -> Option<Reason> {
    let limits = &profile.maps;
    let kind = match map.kind {
        1 => Some(MapType::Hash),
        2 => Some(MapType::Array),
        _ => None,
    };
    if !kind.is_some_and(|kind| limits.types.contains(&kind)) {
        return Some(Reason::MapKind(map.kind));
    }
    if map.flags != 0 {
        return Some(Reason::MapFlags(map.flags));
    }
    if count > limits.count {
        return Some(Reason::MapCount {
            limit: limits.count,
        });
    }
    if map.max_entries > left {
        return Some(Reason::MapElements {
            wanted: map.max_entries,
            left,
        });
    }
    let size =
        u64::from(map.key_size).next_multiple_of(8) + u64::from(map.value_size).next_multiple_of(8);
    if size > limits.element_bytes.into() {
        return Some(Reason::MapElementSize {
            size,
            limit: limits.element_bytes,
        });
    }
    if map.key_size > limits.key_bytes {
        return Some(Reason::MapKeySize {
            size: map.key_size,
            limit: limits.key_bytes,
        });
    }
    if map.value_size > limits.value_bytes {
        return Some(Reason::MapValueSize {
            size: map.value_size,
            limit: limits.value_bytes,
        });
    }
    None
}
