//! The graph as a picture, drawn without an external program.
//!
//! Each function is laid out in layers ([`layout`]), functions stand side by side.

#![allow(clippy::cast_precision_loss)] // counts of blocks and characters are far below 2^52

mod layers;
mod layout;

use std::fmt::Write as _;

use layout::{Layout, Node};

use super::text::name;
use super::{BlockId, Cfg, Edge, Function};
use crate::isa::Code;
use crate::isa::text::Symbols;

/// Width of a character of the 12-pixel monospace font, in pixels.
const CHARACTER: f64 = 7.3;
/// Height of a line, in pixels.
const LINE: f64 = 16.0;
/// Between a block's border and its text, in pixels.
const PADDING: f64 = 8.0;
/// Around functions, in pixels.
const MARGIN: f64 = 24.0;
/// Height of a function's name, in pixels.
const TITLE: f64 = 36.0;

const STYLE: &str = "\
text{font:12px monospace;white-space:pre;fill:#1f2328}\
.title{font-weight:bold;font-size:16px}\
.name{font-weight:bold;fill:#59636e}\
.label{font-size:11px;fill:#59636e}\
rect{fill:#f6f8fa;stroke:#818b98}\
.loop{fill:#fff8e5}\
.unreachable{fill:#eee;stroke-dasharray:4 3}\
path{fill:none;stroke-width:1.4}\
.always{stroke:#59636e}.taken{stroke:#1a7f37}.not{stroke:#cf222e}\
.back{stroke-width:2.4}";

/// For element content and attributes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn lines(code: &Code, symbols: &dyn Symbols, function: &Function, block: BlockId) -> Vec<String> {
    function.blocks[block]
        .instructions(code)
        .map(|(slot, instruction)| format!("{slot:4}: {}", instruction.text(symbols)))
        .collect()
}

pub(super) fn render(cfg: &Cfg, code: &Code, symbols: &dyn Symbols) -> String {
    let mut body = String::new();
    let (mut x, mut height) = (MARGIN, 0f64);
    for function in &cfg.functions {
        let texts: Vec<Vec<String>> = function
            .blocks
            .node_indices()
            .map(|block| lines(code, symbols, function, block))
            .collect();
        let nodes: Vec<Node> = texts.iter().map(|lines| size(lines)).collect();
        let edges: Vec<(usize, usize)> = function
            .blocks
            .node_indices()
            .flat_map(|block| {
                function
                    .successors(block)
                    .into_iter()
                    .map(move |edge| (block, edge))
            })
            .map(|(from, (to, _))| (from.index(), to.index()))
            .collect();
        let layout = layout::layered(&nodes, &edges);
        let _ = writeln!(
            body,
            "<g transform=\"translate({x:.0} {MARGIN:.0})\"><text class=\"title\" y=\"16\">{}</text>",
            escaped(&function.name)
        );
        let _ = writeln!(body, "<g transform=\"translate(0 {TITLE:.0})\">");
        draw(&mut body, function, &layout, &texts);
        body.push_str("</g></g>\n");
        let title = function.name.chars().count() as f64 * CHARACTER * 16.0 / 12.0;
        x += layout.width.max(title) + 2.0 * MARGIN;
        height = height.max(layout.height);
    }
    let (width, height) = (x - MARGIN, height + TITLE + 2.0 * MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xml:space=\"preserve\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\">\n<title>Control flow of {}</title>\n\
         <style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" style=\"fill:#fff;stroke:none\"/>\n\
         {body}</svg>\n",
        escaped(&cfg.functions[0].name)
    )
}

fn size(lines: &[String]) -> Node {
    let longest = lines.iter().map(|line| line.chars().count()).max();
    Node {
        width: longest.unwrap_or(0) as f64 * CHARACTER + 2.0 * PADDING,
        height: (lines.len() + 1) as f64 * LINE + PADDING,
    }
}

fn draw(body: &mut String, function: &Function, layout: &Layout, texts: &[Vec<String>]) {
    let edges = function
        .blocks
        .node_indices()
        .flat_map(|block| function.successors(block));
    for ((_, edge), path) in edges.zip(&layout.edges) {
        let class = match edge {
            Edge::Next | Edge::Jump => "always",
            Edge::Taken(_) | Edge::OutOfBudget => "taken",
            Edge::NotTaken(_) | Edge::InBudget => "not",
        };
        let back = if path.back { " back" } else { "" };
        let _ = writeln!(
            body,
            "<path class=\"{class}{back}\" d=\"{}\"><title>{}</title></path>",
            path.data,
            escaped(&edge.to_string())
        );
    }
    let loops = function.loops();
    let dominators = function.dominators();
    for block in function.blocks.node_indices() {
        let (node, at) = (&layout.nodes[block.index()], &layout.at[block.index()]);
        let class = if !dominators.contains(block) {
            " class=\"unreachable\""
        } else if loops.iter().any(|its| its.contains(block)) {
            " class=\"loop\""
        } else {
            ""
        };
        let _ = writeln!(
            body,
            "<rect{class} x=\"{:.0}\" y=\"{:.0}\" width=\"{:.0}\" height=\"{:.0}\" rx=\"4\"/>",
            at.0, at.1, node.width, node.height
        );
        let x = at.0 + PADDING;
        let mut y = at.1 + LINE;
        let entered = loops
            .iter()
            .position(|its| its.entries.contains(&block))
            .map_or_else(String::new, |number| format!("  loop {number}"));
        let _ = writeln!(
            body,
            "<text class=\"name\" x=\"{x:.0}\" y=\"{y:.0}\">{}{entered}</text>",
            name(block)
        );
        for line in &texts[block.index()] {
            y += LINE;
            let _ = writeln!(
                body,
                "<text x=\"{x:.0}\" y=\"{y:.0}\">{}</text>",
                escaped(line)
            );
        }
    }
    // Labels last, over everything: where a line leaves its block.
    let edges = function
        .blocks
        .node_indices()
        .flat_map(|block| function.successors(block));
    for ((_, edge), path) in edges.zip(&layout.edges) {
        let label = match edge {
            Edge::Next | Edge::Jump => continue,
            Edge::Taken(_) => "then",
            Edge::NotTaken(_) => "else",
            Edge::OutOfBudget => "out of budget",
            Edge::InBudget => "in budget",
        };
        let _ = writeln!(
            body,
            "<text class=\"label\" x=\"{:.0}\" y=\"{:.0}\">{label}</text>",
            path.start.0 + 3.0,
            path.start.1 + 12.0
        );
    }
}
