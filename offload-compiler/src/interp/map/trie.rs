//! The longest-prefix-match trie, as a sorted table of prefixes (kernel/bpf/lpm_trie.c for the answers).

use std::collections::BTreeMap;

use super::{EXIST, NOEXIST, Value, retire};
use crate::interp::helper::{EEXIST, EINVAL, ENOENT, ENOSPC};
use crate::interp::memory::Memory;

/// The prefix length and the data with all bits after the prefix zero.
type Prefix = (u32, Vec<u8>);

#[derive(Debug, Clone, Default)]
pub(super) struct Trie {
    /// With each value the key as it was given, whose bits after the prefix the kernel keeps.
    entries: BTreeMap<Prefix, (Vec<u8>, Value)>,
}

/// A key is the prefix length in host order and the data, most significant bit first.
fn split(key: &[u8]) -> (u32, &[u8]) {
    let mut length = [0; 4];
    length.copy_from_slice(&key[..4]);
    (u32::from_le_bytes(length), &key[4..])
}

fn masked(data: &[u8], length: u32) -> Prefix {
    let bits = length as usize;
    let kept = data
        .iter()
        .enumerate()
        .map(|(at, byte)| match bits.saturating_sub(at * 8) {
            0 => 0,
            left @ 1..=7 => byte & !(0xff >> left),
            _ => *byte,
        })
        .collect();
    (length, kept)
}

impl Trie {
    pub(super) fn longest(&self, key: &[u8]) -> Option<&Value> {
        let (length, data) = split(key);
        let most = data.len() as u32 * 8;
        if length > most {
            return None;
        }
        (0..=length)
            .rev()
            .find_map(|length| self.entries.get(&masked(data, length)))
            .map(|(_, value)| value)
    }

    pub(super) fn check_update(&self, key: &[u8], flags: u64, max_entries: u32) -> Result<(), i64> {
        let (length, data) = split(key);
        if length > data.len() as u32 * 8 {
            return Err(EINVAL);
        }
        let exists = self.entries.contains_key(&masked(data, length));
        match (exists, flags) {
            (true, NOEXIST) => Err(EEXIST),
            (false, EXIST) => Err(ENOENT),
            (false, _) if self.entries.len() >= max_entries as usize => Err(ENOSPC),
            _ => Ok(()),
        }
    }

    pub(super) fn insert(&mut self, memory: &mut Memory, key: &[u8], value: Value) {
        let (length, data) = split(key);
        let old = self
            .entries
            .insert(masked(data, length), (key.to_vec(), value));
        if let Some((_, value)) = old {
            retire(memory, &value);
        }
    }

    pub(super) fn remove(&mut self, memory: &mut Memory, key: &[u8]) -> Result<(), i64> {
        let (length, data) = split(key);
        if length > data.len() as u32 * 8 {
            return Err(EINVAL);
        }
        let (_, value) = self.entries.remove(&masked(data, length)).ok_or(ENOENT)?;
        retire(memory, &value);
        Ok(())
    }

    pub(super) fn next_key(&self, key: Option<&[u8]>) -> Option<Vec<u8>> {
        use std::ops::Bound;
        let after = key
            .map(|key| {
                let (length, data) = split(key);
                masked(data, length)
            })
            .filter(|prefix| self.entries.contains_key(prefix))
            .map_or(Bound::Unbounded, Bound::Excluded);
        self.entries
            .range((after, Bound::Unbounded))
            .next()
            .map(|(_, (key, _))| key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn masks_at_any_bit() {
        assert_eq!(masked(&[0xff, 0xff], 0), (0, vec![0, 0]));
        assert_eq!(masked(&[0xff, 0xff], 3), (3, vec![0xe0, 0]));
        assert_eq!(masked(&[0xff, 0xff], 8), (8, vec![0xff, 0]));
        assert_eq!(masked(&[0xff, 0xff], 15), (15, vec![0xff, 0xfe]));
        assert_eq!(masked(&[0xff, 0xff], 16), (16, vec![0xff, 0xff]));
    }
}
