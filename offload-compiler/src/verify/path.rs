//! Which ways branches went: on one path, and over all of them.

/// A place in the history of branches; `None` before the first one.
pub(super) type At = Option<u32>;

/// The branches of all paths: a tree whose nodes name the branch before.
#[derive(Debug, Default)]
pub(super) struct Turns(Vec<Turn>);

#[derive(Debug)]
struct Turn {
    slot: u32,
    taken: bool,
    before: At,
}

impl Turns {
    /// A branch after `before`.
    #[allow(clippy::unnecessary_wraps, reason = "what a path carries")]
    pub(super) fn then(&mut self, before: At, slot: usize, taken: bool) -> At {
        let index = self.0.len() as u32;
        self.0.push(Turn {
            slot: slot as u32,
            taken,
            before,
        });
        Some(index)
    }

    /// Bytes that the tree takes.
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * size_of::<Turn>()
    }

    /// A path's branches, outermost first.
    pub(super) fn list(&self, mut at: At) -> Vec<(usize, bool)> {
        let mut out = Vec::new();
        while let Some(turn) = at.and_then(|index| self.0.get(index as usize)) {
            out.push((turn.slot as usize, turn.taken));
            at = turn.before;
        }
        out.reverse();
        out
    }
}

/// The ways that the branches of a program went, over all paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways(Vec<[bool; 2]>);

impl Ways {
    /// None yet, for a program of so many slots.
    pub(super) fn new(slots: usize) -> Self {
        Self(vec![[false; 2]; slots])
    }

    pub(super) fn insert(&mut self, slot: usize, taken: bool) {
        if let Some(ways) = self.0.get_mut(slot) {
            ways[usize::from(taken)] = true;
        }
    }

    /// Whether the branch at `slot` was taken on some path, or with `taken` false fell through on some.
    pub fn contains(&self, slot: usize, taken: bool) -> bool {
        self.0
            .get(slot)
            .is_some_and(|ways| ways[usize::from(taken)])
    }

    /// All of them: a branch's slot, and whether it was taken.
    pub fn iter(&self) -> impl Iterator<Item = (usize, bool)> {
        self.0.iter().enumerate().flat_map(|(slot, ways)| {
            [false, true]
                .into_iter()
                .filter(|&taken| ways[usize::from(taken)])
                .map(move |taken| (slot, taken))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_share_what_was_before_they_parted() {
        let mut turns = Turns::default();
        let both = turns.then(None, 3, true);
        let (one, other) = (turns.then(both, 7, false), turns.then(both, 7, true));
        assert_eq!(turns.list(one), [(3, true), (7, false)]);
        assert_eq!(turns.list(other), [(3, true), (7, true)]);
        assert!(turns.list(None).is_empty());
    }
}
