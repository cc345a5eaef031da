//! The maps of an attached program beside those of an interpreter that runs the same program.

use crate::exit::Failure;
use crate::map_halves::is_named;
use kernel::bpf::map::{ANY, Map, MapKind};
use offload_compiler::interp::{Loaded, Machine};
use offload_compiler::object::Object;
use std::collections::BTreeMap;

/// A map with more elements than this is neither copied nor compared.
const MOST_ELEMENTS: usize = 1 << 20;

/// The maps that both know by one name.
pub(crate) struct AttachedMaps {
    shared: Vec<Shared>,
}

/// An attached program's map, and the machine's.
struct Shared {
    name: String,
    map: Map,
    number: usize,
    /// Where each CPU counts for itself: what all had counted before, and where the machine began.
    before: Option<BTreeMap<Vec<u8>, Counts>>,
}

/// The words of a value, summed over the CPUs, and those that the machine was given.
struct Counts {
    all: Vec<u64>,
    machine: Vec<u64>,
}

impl AttachedMaps {
    /// Finds the attached program's maps by their names, and fills the machine's with what they hold now.
    pub(crate) fn lend(ids: &[u32], loaded: &mut Loaded, object: &Object) -> Result<Self, Failure> {
        let mut shared = Vec::new();
        for &id in ids {
            let cannot = |error| Failure::kernel(format!("cannot read map {id}"), &error);
            let map = Map::from_id(id).map_err(cannot)?;
            let info = map.info().map_err(cannot)?;
            let same_name = |name: &str| {
                // Data sections are called after the object's file, which may be another one here.
                is_named(&info, name) || name.starts_with('.') && info.name.ends_with(name)
            };
            let found = loaded
                .maps
                .iter()
                .find(|(index, _)| same_name(&object.maps[**index].name));
            let Some((&index, &number)) = found else {
                continue;
            };
            let is_data = holds_data(map.kind());
            if !is_data && !is_target(map.kind()) {
                continue;
            }
            let name = object.maps[index].name.clone();
            let before = copy(&map, &mut loaded.machine, number).map_err(cannot)?;
            if is_data {
                shared.push(Shared {
                    name,
                    map,
                    number,
                    before: before.filter(|_| map_is_per_cpu(&loaded.machine, number)),
                });
            }
        }
        Ok(Self { shared })
    }

    /// The first element that is not the same on both sides: a line.
    pub(crate) fn differing(&self, machine: &mut Machine) -> Option<String> {
        self.shared.iter().find_map(|shared| {
            let (key, how) = match &shared.before {
                Some(before) => shared.differing_counts(before, machine),
                None => shared.differing_value(machine),
            }?;
            Some(format!("{}, key {}: {how}", shared.name, hex(&key)))
        })
    }
}

impl Shared {
    fn differing_value(&self, machine: &mut Machine) -> Option<(Vec<u8>, String)> {
        for entry in self.map.entries().take(MOST_ELEMENTS) {
            let (key, value) = entry.ok()?;
            let ours = machine.lookup(self.number, &key).ok()?;
            if ours.as_deref() != Some(&value[..]) {
                let ours = ours.map_or_else(|| "nothing".to_owned(), |ours| hex(&ours));
                return Some((key, format!("{ours} and {}", hex(&value))));
            }
        }
        self.missing_key(machine)
    }

    /// Which CPU counts is chance: the sums have to grow alike.
    fn differing_counts(
        &self,
        before: &BTreeMap<Vec<u8>, Counts>,
        machine: &mut Machine,
    ) -> Option<(Vec<u8>, String)> {
        for entry in self.map.entries().take(MOST_ELEMENTS) {
            let (key, value) = entry.ok()?;
            let Some(ours) = machine.lookup(self.number, &key).ok()? else {
                return Some((key, format!("nothing and {}", hex(&value))));
            };
            let before = before.get(&key);
            let theirs = growth(&sum(&value, ours.len()), before.map(|before| &before.all));
            let ours = growth(&words(&ours), before.map(|before| &before.machine));
            if ours != theirs {
                return Some((key, format!("grown by {ours:?} and {theirs:?}")));
            }
        }
        self.missing_key(machine)
    }

    /// A key that only the machine has.
    fn missing_key(&self, machine: &Machine) -> Option<(Vec<u8>, String)> {
        let mut key = machine.next_key(self.number, None).ok()?;
        while let Some(current) = key {
            if self.map.lookup(&current).ok()?.is_none() {
                return Some((current, "something and nothing".to_owned()));
            }
            key = machine.next_key(self.number, Some(&current)).ok()?;
        }
        None
    }
}

/// Copies all elements; gives what was counted so far.
fn copy(
    map: &Map,
    machine: &mut Machine,
    number: usize,
) -> kernel::Result<Option<BTreeMap<Vec<u8>, Counts>>> {
    let per_cpu = map_is_per_cpu(machine, number);
    let value_size = machine
        .map_spec(number)
        .map_or(0, |spec| spec.value_size as usize);
    let mut before = BTreeMap::new();
    for entry in map.entries().take(MOST_ELEMENTS) {
        let (key, value) = entry?;
        let value = if per_cpu {
            let one = value_size.next_multiple_of(8);
            let all = sum(&value, one);
            let first = &value[..one];
            // What was set for every CPU is what one of them sees; what they have counted is shared out among them.
            let is_setting = value.chunks_exact(one).all(|value| value == first);
            let machine: Vec<u64> = if is_setting {
                words(first)
            } else {
                all.clone()
            };
            let bytes = machine.iter().flat_map(|word| word.to_ne_bytes()).collect();
            before.insert(key.clone(), Counts { all, machine });
            bytes
        } else {
            value
        };
        if let Err(error) = machine.update(number, &key, &value, ANY) {
            // Read-only data has the same content anyway; whatever else differs shows in what the program does.
            tracing::debug!(%error, "map element not copied");
        }
    }
    Ok(Some(before))
}

fn map_is_per_cpu(machine: &Machine, number: usize) -> bool {
    machine
        .map_spec(number)
        .is_some_and(|spec| spec.kind.is_per_cpu())
}

/// Kinds whose elements are bytes that both sides know.
pub(super) fn holds_data(kind: MapKind) -> bool {
    [
        MapKind::HASH,
        MapKind::ARRAY,
        MapKind::PERCPU_HASH,
        MapKind::PERCPU_ARRAY,
        MapKind::LRU_HASH,
        MapKind::LRU_PERCPU_HASH,
        MapKind::LPM_TRIE,
    ]
    .contains(&kind)
}

/// Kinds whose elements decide whether a redirect succeeds.
pub(super) fn is_target(kind: MapKind) -> bool {
    [MapKind::DEVMAP, MapKind::DEVMAP_HASH, MapKind::CPUMAP].contains(&kind)
}

/// The values of all CPUs, added up word by word: exact for counters of 8 bytes, and for smaller ones that do not overflow.
fn sum(values: &[u8], one: usize) -> Vec<u64> {
    let mut all = vec![0u64; one / 8];
    for value in values.chunks_exact(one.max(8)) {
        for (sum, word) in all.iter_mut().zip(words(value)) {
            *sum = sum.wrapping_add(word);
        }
    }
    all
}

fn words(value: &[u8]) -> Vec<u64> {
    let (words, _) = value.as_chunks();
    words.iter().map(|&word| u64::from_ne_bytes(word)).collect()
}

fn growth(now: &[u64], before: Option<&Vec<u64>>) -> Vec<u64> {
    let before = before.into_iter().flatten().copied();
    let before = before.chain(std::iter::repeat(0));
    now.iter()
        .zip(before)
        .map(|(now, before)| now.wrapping_sub(before))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_cpu_counters_are_added_up() {
        let values: Vec<u8> = [1u64, 2, 10, 20]
            .into_iter()
            .flat_map(u64::to_ne_bytes)
            .collect();
        assert_eq!(sum(&values, 16), [11, 22]);
        assert_eq!(growth(&[11, 22], Some(&vec![1, 2])), [10, 20]);
        assert_eq!(growth(&[11, 22], None), [11, 22]);
    }
}
