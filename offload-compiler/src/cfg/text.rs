//! The graph as text.

use std::fmt::Write as _;

use petgraph::visit::EdgeRef;

use super::{BlockId, Cfg, LoopKind};
use crate::isa::Code;
use crate::isa::text::Symbols;

fn list(blocks: &[BlockId]) -> String {
    let names: Vec<String> = blocks.iter().map(|block| name(*block)).collect();
    names.join(" ")
}

/// A block's name in all output: its number in its function.
pub(super) fn name(block: BlockId) -> String {
    format!("b{}", block.index())
}

pub(super) fn render(cfg: &Cfg, code: &Code, symbols: &dyn Symbols) -> String {
    let mut out = String::new();
    for index in 0..cfg.functions.len() {
        if index > 0 {
            out.push('\n');
        }
        render_function(&mut out, cfg, index, code, symbols);
    }
    out
}

fn render_function(out: &mut String, cfg: &Cfg, index: usize, code: &Code, symbols: &dyn Symbols) {
    let function = &cfg.functions[index];
    let _ = writeln!(
        out,
        "function {}: instructions {}..{}, {} block{}",
        function.name,
        function.slots.start,
        function.slots.end,
        function.blocks.node_count(),
        if function.blocks.node_count() == 1 {
            ""
        } else {
            "s"
        }
    );
    let node = petgraph::graph::NodeIndex::new(index);
    let mut sites: Vec<_> = cfg.calls.edges(node).collect();
    sites.sort_by_key(|edge| edge.weight().slot);
    for edge in sites {
        let verb = if edge.weight().callback {
            "passes"
        } else {
            "calls"
        };
        let callee = &cfg.functions[cfg.calls[edge.target()]].name;
        let _ = writeln!(out, "  {verb} {callee} at {}", edge.weight().slot);
    }
    let loops = function.loops();
    for (number, its) in loops.iter().enumerate() {
        let kind = match its.kind {
            LoopKind::Natural => "natural",
            LoopKind::Irreducible => "irreducible",
        };
        let _ = write!(
            out,
            "  loop {number}: {kind}, depth {}, entered at {}, back from {}, blocks {}",
            its.depth,
            list(&its.entries),
            list(&its.latches),
            list(&its.blocks)
        );
        if let Some(parent) = its.parent {
            let _ = write!(out, ", inside loop {parent}");
        }
        out.push('\n');
    }
    let (dominators, post) = (function.dominators(), function.post_dominators());
    for block in function.blocks.node_indices() {
        let slots = &function.blocks[block].slots;
        let _ = write!(out, "{} {}..{}", name(block), slots.start, slots.end);
        if !dominators.contains(block) {
            out.push_str(", unreachable");
        }
        if let Some(over) = dominators.immediate(block) {
            let _ = write!(out, ", dominated by {}", name(over));
        }
        if let Some(under) = post.immediate(block) {
            let _ = write!(out, ", post-dominated by {}", name(under));
        }
        let innermost = loops.iter().rposition(|its| its.contains(block));
        if let Some(number) = innermost {
            let _ = write!(out, ", in loop {number}");
        }
        out.push('\n');
        for (slot, instruction) in function.blocks[block].instructions(code) {
            let _ = writeln!(out, "  {slot:4}: {}", instruction.text(symbols));
        }
        for (target, edge) in function.successors(block) {
            let _ = writeln!(out, "        -> {} {edge}", name(target));
        }
    }
}
