//! Effects on maps, where card and host have maps of their own: each packet's is there once.

use std::collections::BTreeSet;

use offload_compiler::interp::Machine;

use crate::interpreter::{Contents, contents, has_elements};
use crate::pair::Pair;

/// Elements of maps that are looked at after each packet.
const MOST: u32 = 256;

/// What the maps hold of the original by itself, of the card's part, and of the original on the host behind it.
pub(crate) struct Held {
    /// By the pair's twins.
    maps: Vec<[Contents; 3]>,
}

impl Held {
    pub(crate) fn now(pair: &Pair, machines: [&mut Machine; 3]) -> Self {
        let [original, card, host] = machines;
        let twins = pair.twins.iter().filter(|twin| {
            let shape = &pair.original.maps()[twin.original];
            has_elements(shape.kind) && shape.max_entries <= MOST
        });
        let held = twins.map(|twin| {
            let translated = |mut contents: Contents| {
                for value in contents.values_mut() {
                    *value = twin.translated(value);
                }
                contents
            };
            let mut part = contents(card, twin.lowered);
            for value in part.values_mut() {
                *value = twin.known(value);
            }
            [
                translated(contents(original, twin.original)),
                part,
                translated(contents(host, twin.original)),
            ]
        });
        Self {
            maps: held.collect(),
        }
    }

    /// Whether since then the side that decided a packet did to its maps what the original by itself did, and the other
    /// nothing.
    pub(crate) fn once(&self, now: &Self, on_host: bool) -> Result<(), String> {
        let (acting, idle) = if on_host { (2, 1) } else { (1, 2) };
        for (before, after) in self.maps.iter().zip(&now.maps) {
            if before[idle] != after[idle] {
                let who = if on_host { "card" } else { "host" };
                return Err(format!(
                    "the {who} has an effect of a packet that it does not decide: {:02x?}, before {:02x?}",
                    after[idle], before[idle]
                ));
            }
            let keys = before.iter().chain(after).flat_map(Contents::keys);
            for key in keys.collect::<BTreeSet<_>>() {
                let change = |side: usize| (before[side].get(key), after[side].get(key));
                if !same_change(change(0), change(acting)) {
                    return Err(format!(
                        "key {key:02x?} from and to:\n  original {:02x?}\n  pair     {:02x?}",
                        change(0),
                        change(acting)
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The same value then, or the same added to each word: what was counted before is elsewhere.
fn same_change(
    one: (Option<&Vec<u8>>, Option<&Vec<u8>>),
    other: (Option<&Vec<u8>>, Option<&Vec<u8>>),
) -> bool {
    let added = |change: (Option<&Vec<u8>>, Option<&Vec<u8>>), size: usize| {
        let (before, after) = (change.0?, change.1?);
        let number = |bytes: &[u8]| {
            let mut all = [0; 8];
            all[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(all)
        };
        let words = before.chunks(size).zip(after.chunks(size));
        let mask = u64::MAX >> (64 - 8 * size);
        Some(
            words
                .map(|(before, after)| number(after).wrapping_sub(number(before)) & mask)
                .collect::<Vec<_>>(),
        )
    };
    one.1 == other.1
        || [8, 4].iter().any(|&size| {
            let sums = (added(one, size), added(other, size));
            sums.0.is_some() && sums.0 == sums.1
        })
}
