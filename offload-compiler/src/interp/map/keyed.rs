//! Hash tables, plain and LRU. Sorted, so that a run is deterministic.

use std::collections::BTreeMap;

use super::{Value, retire};
use crate::interp::helper::ENOENT;
use crate::interp::memory::Memory;

#[derive(Debug, Clone)]
struct Entry {
    value: Value,
    /// When it was last used; a key of `by_use`.
    used: u64,
}

/// A hash table.
#[derive(Debug, Clone)]
pub(super) struct Keyed {
    entries: BTreeMap<Vec<u8>, Entry>,
    /// Keys by their last use, the oldest first.
    by_use: BTreeMap<u64, Vec<u8>>,
    clock: u64,
    max_entries: usize,
    evicts: bool,
}

impl Keyed {
    pub(super) fn new(max_entries: u32, evicts: bool) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_use: BTreeMap::new(),
            clock: 0,
            max_entries: max_entries as usize,
            evicts,
        }
    }

    pub(super) fn get(&mut self, key: &[u8], used: bool) -> Option<&Value> {
        let entry = self.entries.get_mut(key)?;
        if used && self.evicts {
            self.by_use.remove(&entry.used);
            self.clock += 1;
            entry.used = self.clock;
            self.by_use.insert(self.clock, key.to_vec());
        }
        Some(&entry.value)
    }

    /// Whether a new element fits, after an LRU table has evicted its oldest if it must.
    pub(super) fn make_room(&mut self, memory: &mut Memory) -> bool {
        if self.entries.len() < self.max_entries {
            return true;
        }
        if !self.evicts {
            return false;
        }
        if let Some((_, key)) = self.by_use.pop_first()
            && let Some(entry) = self.entries.remove(&key)
        {
            retire(memory, &entry.value);
        }
        true
    }

    pub(super) fn insert(&mut self, memory: &mut Memory, key: &[u8], value: Value) {
        self.clock += 1;
        let used = self.clock;
        if let Some(old) = self.entries.insert(key.to_vec(), Entry { value, used }) {
            self.by_use.remove(&old.used);
            retire(memory, &old.value);
        }
        if self.evicts {
            self.by_use.insert(used, key.to_vec());
        }
    }

    pub(super) fn remove(&mut self, memory: &mut Memory, key: &[u8]) -> Result<(), i64> {
        let entry = self.entries.remove(key).ok_or(ENOENT)?;
        self.by_use.remove(&entry.used);
        retire(memory, &entry.value);
        Ok(())
    }

    /// After an unknown key the first one follows, as in the kernel.
    pub(super) fn next_key(&self, key: Option<&[u8]>) -> Option<Vec<u8>> {
        use std::ops::Bound;
        let after = match key {
            Some(key) if self.entries.contains_key(key) => Bound::Excluded(key),
            _ => Bound::Unbounded,
        };
        self.entries
            .range::<[u8], _>((after, Bound::Unbounded))
            .next()
            .map(|(key, _)| key.clone())
    }
}
