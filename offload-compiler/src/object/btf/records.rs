//! The entries of a type (members, values, parameters), read where they lie.

use super::Btf;

/// A list of entries of equal size, each read when asked for.
#[derive(Clone, Copy)]
pub struct Records<'a, T> {
    btf: &'a Btf,
    bytes: &'a [u8],
    size: usize,
    read: fn(&'a Btf, Words<'a>) -> T,
}

impl<'a, T> Records<'a, T> {
    pub(super) fn new(
        btf: &'a Btf,
        bytes: &'a [u8],
        size: usize,
        read: fn(&'a Btf, Words<'a>) -> T,
    ) -> Self {
        Self {
            btf,
            bytes,
            size,
            read,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.size
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them, in constant time.
    pub fn get(&self, index: usize) -> Option<T> {
        let start = index.checked_mul(self.size)?;
        let bytes = self.bytes.get(start..start.checked_add(self.size)?)?;
        Some((self.read)(self.btf, Words(bytes)))
    }

    /// The last one.
    pub fn last(&self) -> Option<T> {
        self.get(self.len().checked_sub(1)?)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let Self { btf, read, .. } = *self;
        self.bytes
            .chunks_exact(self.size)
            .map(move |bytes| read(btf, Words(bytes)))
    }
}

impl<'a, T: 'a> IntoIterator for Records<'a, T> {
    type Item = T;
    type IntoIter = Box<dyn Iterator<Item = T> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Records<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Little-endian 32-bit words.
#[derive(Clone, Copy)]
pub(super) struct Words<'a>(pub(super) &'a [u8]);

impl Words<'_> {
    /// The word at an index; 0 outside.
    pub(super) fn at(self, index: usize) -> u32 {
        self.0
            .get(index * 4..)
            .and_then(|rest| rest.first_chunk::<4>())
            .map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }
}
