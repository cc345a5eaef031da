//! Loops: natural ones, which are entered at one block, and irreducible ones.
//!
//! A loop is a strongly connected part of the graph; without the edges into its entries, the strongly
//! connected parts that are left are the loops inside of it (Steensgaard's forest). For reducible code
//! these are the natural loops, those with a common header merged.

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;
use petgraph::visit::EdgeRef;

use super::{BlockId, Edge, Function};

/// Loops nested deeper than this are not told apart: time and memory grow with blocks times depth, and
/// the kernel's own limit of instructions visited leaves room for no such program.
const MAX_DEPTH: usize = 64;

/// Whether a loop is entered at one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoopKind {
    /// Entered at one block only, which dominates the others.
    Natural,
    /// Entered at several blocks.
    Irreducible,
}

/// A loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loop {
    /// Natural or irreducible.
    pub kind: LoopKind,
    /// Where it is entered: of a natural loop the header alone.
    pub entries: Vec<BlockId>,
    /// Its blocks, those of inner loops too, ascending.
    pub blocks: Vec<BlockId>,
    /// Blocks with an edge back to an entry, ascending.
    pub latches: Vec<BlockId>,
    /// The loop around it, as an index of the list.
    pub parent: Option<usize>,
    /// 1 for an outermost loop.
    pub depth: usize,
}

impl Loop {
    /// Whether the block is in the loop.
    pub fn contains(&self, block: BlockId) -> bool {
        self.blocks.binary_search(&block).is_ok()
    }
}

pub(super) fn find(function: &Function) -> Vec<Loop> {
    let graph = &function.blocks;
    let mut loops: Vec<Loop> = Vec::new();
    // What is left of the graph in a loop, without the edges to its entries.
    let mut work: Vec<(Option<usize>, DiGraph<BlockId, ()>)> = vec![(
        None,
        graph.filter_map(|block, _| Some(block), |_, _: &Edge| Some(())),
    )];
    while let Some((parent, rest)) = work.pop() {
        for group in tarjan_scc(&rest) {
            let alone = group.len() == 1 && !rest.contains_edge(group[0], group[0]);
            if alone {
                continue;
            }
            let mut blocks: Vec<BlockId> = group.iter().map(|node| rest[*node]).collect();
            blocks.sort_unstable();
            let inside = |block: &BlockId| blocks.binary_search(block).is_ok();
            let mut entries: Vec<BlockId> = blocks
                .iter()
                .copied()
                .filter(|block| {
                    *block == function.entry()
                        || graph
                            .neighbors_directed(*block, petgraph::Direction::Incoming)
                            .any(|from| !inside(&from))
                })
                .collect();
            if entries.is_empty() {
                entries.push(blocks[0]); // unreachable code that loops
            }
            let is_entry = |block: BlockId| entries.binary_search(&block).is_ok();
            let latches = blocks
                .iter()
                .copied()
                .filter(|block| graph.neighbors(*block).any(is_entry))
                .collect();
            let mut inner = DiGraph::new();
            let nodes: Vec<_> = blocks.iter().map(|block| inner.add_node(*block)).collect();
            for node in &group {
                for edge in rest.edges(*node) {
                    let (from, to) = (rest[edge.source()], rest[edge.target()]);
                    if let (Ok(from), Ok(at)) =
                        (blocks.binary_search(&from), blocks.binary_search(&to))
                        && !is_entry(to)
                    {
                        inner.add_edge(nodes[from], nodes[at], ());
                    }
                }
            }
            let depth = parent.map_or(1, |parent: usize| loops[parent].depth + 1);
            loops.push(Loop {
                kind: if entries.len() == 1 {
                    LoopKind::Natural
                } else {
                    LoopKind::Irreducible
                },
                entries,
                blocks,
                latches,
                parent,
                depth,
            });
            if depth < MAX_DEPTH {
                work.push((Some(loops.len() - 1), inner));
            }
        }
    }
    sorted(&loops)
}

/// By depth and place, with `parent` following.
fn sorted(loops: &[Loop]) -> Vec<Loop> {
    let mut order: Vec<usize> = (0..loops.len()).collect();
    order.sort_by_key(|at| (loops[*at].depth, loops[*at].blocks[0]));
    let mut place = vec![0; loops.len()];
    for (new, old) in order.iter().enumerate() {
        place[*old] = new;
    }
    order
        .into_iter()
        .map(|at| Loop {
            parent: loops[at].parent.map(|parent| place[parent]),
            ..loops[at].clone()
        })
        .collect()
}
