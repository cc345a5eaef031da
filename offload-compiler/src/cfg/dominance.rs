//! Dominators and post-dominators.

use petgraph::algo::dominators::{Dominators, simple_fast};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use super::{BlockId, Function};

/// A tree of dominance over the blocks of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dominance {
    /// Each block's parent; `None` for roots and for blocks outside of the tree.
    immediate: Vec<Option<BlockId>>,
    /// Times of entering and leaving each block on a walk of the tree; (0, 0) outside.
    times: Vec<(u32, u32)>,
}

impl Dominance {
    fn new(immediate: Vec<Option<BlockId>>, inside: impl Fn(usize) -> bool) -> Self {
        let mut children = vec![Vec::new(); immediate.len()];
        let mut roots = Vec::new();
        for (block, parent) in immediate.iter().enumerate() {
            match parent {
                Some(parent) => children[parent.index()].push(block),
                None if inside(block) => roots.push(block),
                None => {}
            }
        }
        let mut times = vec![(0, 0); immediate.len()];
        let mut clock = 0;
        let mut work: Vec<(usize, bool)> = roots.iter().rev().map(|root| (*root, false)).collect();
        while let Some((block, done)) = work.pop() {
            clock += 1;
            if done {
                times[block].1 = clock;
                continue;
            }
            times[block].0 = clock;
            work.push((block, true));
            work.extend(children[block].iter().rev().map(|child| (*child, false)));
        }
        Self { immediate, times }
    }

    /// The closest other block that dominates this one; `None` for a root and for a block that has no
    /// dominators, being unreachable or, in the tree of post-dominators, without a way to an exit.
    pub fn immediate(&self, block: BlockId) -> Option<BlockId> {
        self.immediate.get(block.index()).copied().flatten()
    }

    /// Whether the block is in the tree.
    pub fn contains(&self, block: BlockId) -> bool {
        self.times
            .get(block.index())
            .is_some_and(|times| times.0 != 0)
    }

    /// Whether `over` dominates `block`; each block in the tree dominates itself.
    pub fn dominates(&self, over: BlockId, block: BlockId) -> bool {
        if !self.contains(over) || !self.contains(block) {
            return false;
        }
        let (over, block) = (self.times[over.index()], self.times[block.index()]);
        over.0 <= block.0 && block.1 <= over.1
    }
}

pub(super) fn dominators(function: &Function) -> Dominance {
    let found = simple_fast(&function.blocks, function.entry());
    let immediate = immediates(&found, function.blocks.node_count(), None);
    Dominance::new(immediate, |block| block == function.entry().index())
}

pub(super) fn post_dominators(function: &Function) -> Dominance {
    // The graph backwards, from a node of its own that all exits lead to.
    let count = function.blocks.node_count();
    let mut backwards = DiGraph::<(), ()>::with_capacity(count + 1, 0);
    for _ in 0..=count {
        backwards.add_node(());
    }
    let end = NodeIndex::new(count);
    for edge in function.blocks.edge_references() {
        backwards.add_edge(edge.target(), edge.source(), ());
    }
    for exit in function.blocks.externals(petgraph::Direction::Outgoing) {
        backwards.add_edge(end, exit, ());
    }
    let found = simple_fast(&backwards, end);
    let immediate = immediates(&found, count, Some(end));
    Dominance::new(immediate, |block| {
        found.immediate_dominator(NodeIndex::new(block)) == Some(end)
    })
}

fn immediates(
    found: &Dominators<NodeIndex>,
    count: usize,
    end: Option<NodeIndex>,
) -> Vec<Option<BlockId>> {
    (0..count)
        .map(|block| {
            found
                .immediate_dominator(NodeIndex::new(block))
                .filter(|parent| Some(*parent) != end)
        })
        .collect()
}
