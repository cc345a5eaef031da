//! Finding types by name.

use super::Btf;

/// The length of a name without its flavor: CO-RE takes `task_struct___v2` for `task_struct`.
/// The separator is three underscores between two characters that are none.
pub(in crate::object) fn essential_len(name: &[u8]) -> usize {
    name.windows(5)
        .rposition(|w| w[0] != b'_' && &w[1..4] == b"___" && w[4] != b'_')
        .map_or(name.len(), |start| start + 1)
}

/// A name without its flavor.
pub(in crate::object) fn essential(name: &str) -> &str {
    name.get(..essential_len(name.as_bytes())).unwrap_or(name)
}

/// Hash chains over the essential names of the types that a BTF itself holds. Built on the first look-up:
/// the kernel's has some 150,000 types, and most objects ask for none of them.
#[derive(Debug, Clone)]
pub(super) struct NameIndex {
    /// Bucket -> the chain's first type id, 0 where empty.
    heads: Vec<u32>,
    /// Position of a type -> the chain's next type id, 0 at its end.
    next: Vec<u32>,
    first_id: u32,
}

impl NameIndex {
    pub(super) fn build(btf: &Btf) -> Self {
        let first_id = btf.first_own_id();
        let count = btf.type_count().saturating_sub(first_id) as usize;
        let mut index = Self {
            heads: vec![0; (count / 2).next_power_of_two()],
            next: vec![0; count],
            first_id,
        };
        // Backwards, so that chains ascend.
        for position in (0..count).rev() {
            let id = first_id + position as u32;
            let name = btf.name_bytes(id);
            if name.is_empty() {
                continue;
            }
            let bucket = index.bucket(&name[..essential_len(name)]);
            index.next[position] = index.heads[bucket];
            index.heads[bucket] = id;
        }
        index
    }

    fn bucket(&self, essential: &[u8]) -> usize {
        // FNV-1a: fast on short names, and an object that makes it collide slows down only its own look-ups.
        let hash = essential
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        (hash ^ (hash >> 32)) as usize & (self.heads.len() - 1)
    }

    /// The ids in the chain of a name, ascending: all types of this essential name, and others.
    pub(super) fn chain(&self, essential: &[u8]) -> impl Iterator<Item = u32> {
        let mut id = self.heads[self.bucket(essential)];
        std::iter::from_fn(move || {
            let found = (id != 0).then_some(id)?;
            id = self
                .next
                .get((found - self.first_id) as usize)
                .copied()
                .unwrap_or(0);
            Some(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::essential;

    #[test]
    fn a_flavor_is_what_follows_the_last_triple_underscore() {
        assert_eq!(essential("task_struct___v2"), "task_struct");
        assert_eq!(essential("a___b___c"), "a___b");
        assert_eq!(essential("__kernel"), "__kernel");
        assert_eq!(essential("a____b"), "a____b");
        assert_eq!(essential("a___"), "a___");
        assert_eq!(essential("___a"), "___a");
        assert_eq!(essential(""), "");
    }
}
