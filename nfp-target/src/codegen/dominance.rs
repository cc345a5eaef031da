//! Which blocks every way to a block passes.

use super::mir::Mir;

/// The tree of dominators. Blocks that cannot be reached are not in it.
pub(super) struct Dominance {
    /// The closest block that every way to each block passes.
    pub(super) above: Vec<usize>,
    /// Of each block, when a walk of the tree comes to it and when it leaves it.
    span: Vec<(u32, u32)>,
}

impl Dominance {
    /// `order` is that of [`Mir::order`].
    pub(super) fn new(mir: &Mir, order: &[usize]) -> Self {
        let above = above(mir, order);
        // Sizes of subtrees first: in the order, a block comes after the one above it.
        let mut size = vec![1u32; mir.blocks.len()];
        for &block in order.iter().skip(1).rev() {
            size[above[block]] += size[block];
        }
        let mut span = vec![(0, 0); mir.blocks.len()];
        let mut next = vec![1u32; mir.blocks.len()];
        if let Some(&entry) = order.first() {
            span[entry] = (0, size[entry]);
        }
        for &block in order.iter().skip(1) {
            let parent = above[block];
            let start = span[parent].0 + next[parent];
            next[parent] += size[block];
            span[block] = (start, start + size[block]);
        }
        Self { above, span }
    }

    /// Whether every way to the other passes the one, which may be the same.
    pub(super) fn dominates(&self, one: usize, other: usize) -> bool {
        let (start, end) = self.span[one];
        (start..end).contains(&self.span[other].0)
    }
}

fn above(mir: &Mir, order: &[usize]) -> Vec<usize> {
    let mut position = vec![usize::MAX; mir.blocks.len()];
    for (at, &block) in order.iter().enumerate() {
        position[block] = at;
    }
    let mut above = vec![usize::MAX; mir.blocks.len()];
    above[0] = 0;
    let mut changed = true;
    while changed {
        changed = false;
        for &block in order.iter().skip(1) {
            let mut common = usize::MAX;
            for &before in &mir.blocks[block].before {
                if position[before] == usize::MAX || above[before] == usize::MAX {
                    continue;
                }
                if common == usize::MAX {
                    common = before;
                    continue;
                }
                let mut other = before;
                while common != other {
                    while position[common] > position[other] {
                        common = above[common];
                    }
                    while position[other] > position[common] {
                        other = above[other];
                    }
                }
            }
            if above[block] != common {
                above[block] = common;
                changed = true;
            }
        }
    }
    above
}
