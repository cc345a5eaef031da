//! Changing a type in place and adding types, as a loader must before the kernel takes what a compiler wrote, and as
//! `emit` does.

use std::sync::{Arc, OnceLock};

use super::{Btf, Kind, Part};

/// The words of a type, as [`Btf::set_word`] counts them.
pub(crate) mod word {
    /// Offset of the name.
    pub(crate) const NAME: usize = 0;
    /// Kind, flag and number of entries.
    pub(crate) const INFO: usize = 1;
    /// Size or type id.
    pub(crate) const SIZE_OR_TYPE: usize = 2;
    /// The first word after those that all types have.
    pub(crate) const EXTRA: usize = 3;
}

impl Btf {
    /// Sets a word of a type of this BTF itself. Does nothing outside of the type.
    pub(crate) fn set_word(&mut self, id: u32, index: usize, value: u32) {
        let Some(extra) = self.raw(id).map(|raw| raw.extra.len()) else {
            return;
        };
        let Some(position) = id.checked_sub(self.own.first_id) else {
            return;
        };
        if index * 4 >= 12 + extra {
            return;
        }
        let part = self.own_mut();
        let start = part.offsets[position as usize] as usize + index * 4;
        part.types[start..start + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// A word of a type, as [`Btf::set_word`] counts them; 0 outside.
    pub(crate) fn word(&self, id: u32, index: usize) -> u32 {
        let Some(raw) = self.raw(id) else { return 0 };
        match index {
            word::NAME => raw.name,
            word::INFO => raw.info,
            word::SIZE_OR_TYPE => raw.word,
            _ => raw.extra().at(index - word::EXTRA),
        }
    }

    /// Adds a string and gives its offset.
    pub(crate) fn add_string(&mut self, string: &str) -> u32 {
        let part = self.own_mut();
        let offset = part.first_string + part.strings.len() as u32;
        part.strings.extend_from_slice(string.as_bytes());
        part.strings.push(0);
        offset
    }

    /// Adds a type of the given words and gives its id. The words after the third must be whole entries of the
    /// kind, at most 65535 of them.
    pub(crate) fn add_type(&mut self, kind: Kind, name: u32, word: u32, extra: &[u32]) -> u32 {
        let id = self.type_count();
        let entries = match kind.extra_bytes(1) - kind.extra_bytes(0) {
            0 => 0,
            bytes => extra.len() * 4 / bytes,
        };
        let part = self.own_mut();
        part.offsets.push(part.types.len() as u32);
        for value in [name, u32::from(kind as u8) << 24 | entries as u32, word]
            .iter()
            .chain(extra)
        {
            part.types.extend_from_slice(&value.to_le_bytes());
        }
        id
    }

    /// Puts the variables of a data section into the order of their offsets, which the kernel asks for.
    pub(crate) fn sort_datasec(&mut self, id: u32) {
        if self.kind(id) != Kind::Datasec {
            return;
        }
        let Some(mut bytes) = self.raw(id).map(|raw| raw.extra.to_vec()) else {
            return;
        };
        let (entries, _) = bytes.as_chunks_mut::<12>();
        entries.sort_by_key(|e| u32::from_le_bytes([e[4], e[5], e[6], e[7]]));
        for (index, entry) in bytes.as_chunks::<4>().0.iter().enumerate() {
            self.set_word(id, word::EXTRA + index, u32::from_le_bytes(*entry));
        }
    }

    fn own_mut(&mut self) -> &mut Part {
        let part = Arc::make_mut(&mut self.own);
        part.index = OnceLock::new();
        part
    }
}
