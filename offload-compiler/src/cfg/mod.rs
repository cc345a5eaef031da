//! The control flow graph: functions, their basic blocks, and who calls whom.
//!
//! ```text
//! Code -- Cfg::build --> functions -- blocks, edges with conditions   Dominance   loops
//!                        calls                                        text, dot, svg
//! ```
//!
//! Functions are as the kernel divides code (`add_subprog`, kernel/bpf/verifier.c): each begins where a
//! call or a callback points and ends where the next one begins; jumps stay inside.

mod build;
mod dominance;
mod dot;
mod loops;
mod svg;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::ops::Range;

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use crate::isa::text::Symbols;
use crate::isa::{Code, Condition, Instruction};

pub use build::{CfgError, CfgErrorKind};
pub use dominance::Dominance;
pub use loops::{Loop, LoopKind};

/// A block of a function, as an index of [`Function::blocks`].
pub type BlockId = NodeIndex<u32>;

/// The control flow graph of a program.
#[derive(Debug, Clone)]
pub struct Cfg {
    /// In the order of the code; the program itself is first.
    pub functions: Vec<Function>,
    /// Nodes are indices of `functions`.
    pub calls: DiGraph<usize, CallSite>,
}

/// A function: the program itself or a subprogram.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name, or `main` and `function_12` by its first slot.
    pub name: String,
    /// Its slots.
    pub slots: Range<usize>,
    /// Blocks in the order of the code; the first is the entry.
    pub blocks: DiGraph<Block, Edge>,
}

/// Instructions that run one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its slots.
    pub slots: Range<usize>,
}

impl Block {
    /// Its instructions with their slots.
    pub fn instructions<'c>(
        &self,
        code: &'c Code,
    ) -> impl DoubleEndedIterator<Item = (usize, &'c Instruction)> + use<'c> {
        self.slots
            .clone()
            .filter_map(|slot| Some((slot, code.at(slot)?)))
    }
}

/// Why control goes from one block to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Always, to the next block in the code.
    Next,
    /// Always, by `goto`.
    Jump,
    /// By a branch whose condition holds.
    Taken(Condition),
    /// Past a branch whose condition does not hold.
    NotTaken(Condition),
    /// By `may_goto`, when the kernel's budget of iterations is used up.
    OutOfBudget,
    /// Past a `may_goto`.
    InBudget,
}

impl std::fmt::Display for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Next | Self::Jump => f.write_str("always"),
            Self::Taken(condition) => write!(f, "if {condition}"),
            Self::NotTaken(condition) => write!(f, "unless {condition}"),
            Self::OutOfBudget => f.write_str("out of budget"),
            Self::InBudget => f.write_str("in budget"),
        }
    }
}

/// A place where one function refers to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallSite {
    /// The slot of the instruction.
    pub slot: usize,
    /// The address is taken, for a helper to call back; else it is called here.
    pub callback: bool,
}

impl Cfg {
    /// Divides code into functions and blocks. `names` holds what is known of functions' names, by their
    /// first slot.
    pub fn build(code: &Code, names: &BTreeMap<usize, String>) -> Result<Self, CfgError> {
        build::build(code, names)
    }

    /// The function that a slot is in, as an index of `functions`.
    pub fn function_at(&self, slot: usize) -> Option<usize> {
        let at = self
            .functions
            .partition_point(|function| function.slots.end <= slot);
        (at < self.functions.len()).then_some(at)
    }

    /// Functions that call themselves, directly or through others; the kernel allows none.
    pub fn recursive(&self) -> Vec<usize> {
        let mut found: Vec<usize> = petgraph::algo::tarjan_scc(&self.calls)
            .into_iter()
            .filter(|group| {
                group.len() > 1
                    || group
                        .iter()
                        .any(|&node| self.calls.contains_edge(node, node))
            })
            .flatten()
            .map(|node| self.calls[node])
            .collect();
        found.sort_unstable();
        found
    }

    /// The graph as text, with each block's instructions.
    pub fn to_text(&self, code: &Code, symbols: &dyn Symbols) -> String {
        text::render(self, code, symbols)
    }

    /// The graph in Graphviz' language.
    pub fn to_dot(&self, code: &Code, symbols: &dyn Symbols) -> String {
        dot::render(self, code, symbols)
    }

    /// The graph as a picture.
    pub fn to_svg(&self, code: &Code, symbols: &dyn Symbols) -> String {
        svg::render(self, code, symbols)
    }
}

impl Function {
    /// The block where it begins.
    pub fn entry(&self) -> BlockId {
        BlockId::new(0)
    }

    /// The block that a slot is in.
    pub fn block_at(&self, slot: usize) -> Option<BlockId> {
        let blocks = self.blocks.raw_nodes();
        let at = blocks.partition_point(|block| block.weight.slots.end <= slot);
        let found = blocks.get(at)?.weight.slots.contains(&slot);
        found.then(|| BlockId::new(at))
    }

    /// Where control goes from a block, in the order of the targets' code.
    pub fn successors(&self, block: BlockId) -> Vec<(BlockId, Edge)> {
        let mut edges: Vec<(BlockId, Edge)> = self
            .blocks
            .edges(block)
            .map(|edge| (edge.target(), *edge.weight()))
            .collect();
        // Both edges of a branch to the next instruction have the same target.
        edges.sort_by_key(|(target, edge)| (*target, matches!(edge, Edge::NotTaken(_))));
        edges
    }

    /// Blocks that control never reaches; the kernel refuses a program that has any.
    pub fn unreachable(&self) -> Vec<BlockId> {
        let mut reached = vec![false; self.blocks.node_count()];
        let mut search = petgraph::visit::Dfs::new(&self.blocks, self.entry());
        while let Some(block) = search.next(&self.blocks) {
            reached[block.index()] = true;
        }
        self.blocks
            .node_indices()
            .filter(|block| !reached[block.index()])
            .collect()
    }

    /// Which blocks every path from the entry passes.
    pub fn dominators(&self) -> Dominance {
        dominance::dominators(self)
    }

    /// Which blocks every path to an exit passes.
    pub fn post_dominators(&self) -> Dominance {
        dominance::post_dominators(self)
    }

    /// The loops, outer ones before those inside.
    pub fn loops(&self) -> Vec<Loop> {
        loops::find(self)
    }
}
