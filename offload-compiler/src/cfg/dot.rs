//! The graph in Graphviz' language.

use std::fmt::Write as _;

use petgraph::visit::EdgeRef;

use super::text::name;
use super::{BlockId, Cfg, Edge};
use crate::isa::Code;
use crate::isa::text::Symbols;

/// Inside of a quoted string.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

pub(super) fn render(cfg: &Cfg, code: &Code, symbols: &dyn Symbols) -> String {
    let mut out = String::from("digraph cfg {\n  node [shape=box, fontname=monospace];\n");
    out.push_str("  edge [fontname=monospace];\n");
    let node = |function: usize, block: BlockId| format!("f{function}_{}", name(block));
    for (index, function) in cfg.functions.iter().enumerate() {
        let _ = writeln!(out, "  subgraph cluster_{index} {{");
        let _ = writeln!(out, "    label=\"{}\";", quoted(&function.name));
        for block in function.blocks.node_indices() {
            let mut label = format!("{}\\l", name(block));
            for (slot, instruction) in function.blocks[block].instructions(code) {
                let _ = write!(label, "{slot:4}: {}\\l", quoted(&instruction.text(symbols)));
            }
            let _ = writeln!(out, "    {} [label=\"{label}\"];", node(index, block));
        }
        let dominators = function.dominators();
        for block in function.blocks.node_indices() {
            for (target, edge) in function.successors(block) {
                let label = match edge {
                    Edge::Next | Edge::Jump => String::new(),
                    other => other.to_string(),
                };
                let back = if dominators.dominates(target, block) {
                    ", style=bold"
                } else {
                    ""
                };
                let _ = writeln!(
                    out,
                    "    {} -> {} [label=\"{}\"{back}];",
                    node(index, block),
                    node(index, target),
                    quoted(&label)
                );
            }
        }
        out.push_str("  }\n");
    }
    for edge in cfg.calls.edge_references() {
        let caller = cfg.calls[edge.source()];
        let callee = cfg.calls[edge.target()];
        let site = edge.weight();
        if let Some(block) = cfg.functions[caller].block_at(site.slot) {
            let label = if site.callback { "callback" } else { "call" };
            let _ = writeln!(
                out,
                "  {} -> {} [label={label}, style=dashed];",
                node(caller, block),
                node(callee, BlockId::new(0)),
            );
        }
    }
    out.push_str("}\n");
    out
}
