//! A layered layout (after Sugiyama): layers by the longest path, few crossings by barycentres, straight
//! lines by least squares.
//!
//! Edges that end at the same block share a lane through the layers between, so that a hundred checks
//! that all jump to one exit make one line, not a hundred. Edges back up share lanes by their target too,
//! right of everything between the layers that they connect, inner loops before outer ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::layers::{Layers, SPACING, back_edges, ranks};

/// Distance between layers, in pixels.
const LAYER_GAP: f64 = 52.0;

/// A box, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) width: f64,
    pub(super) height: f64,
}

/// An edge's line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// As an SVG path.
    pub(super) data: String,
    /// Where it leaves its block.
    pub(super) start: (f64, f64),
    /// It leads up.
    pub(super) back: bool,
}

/// Where everything is.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) nodes: Vec<Node>,
    /// The upper left corner of each node.
    pub(super) at: Vec<(f64, f64)>,
    /// In the order of the edges.
    pub(super) edges: Vec<Line>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The centre of the lane back up to each node that has one.
type BackLanes = BTreeMap<usize, f64>;

/// Lays out a graph whose node 0 is the entry. Edges are pairs of nodes.
pub(super) fn layered(nodes: &[Node], edges: &[(usize, usize)]) -> Layout {
    let back = back_edges(nodes.len(), edges);
    let rank = ranks(nodes.len(), edges, &back);
    let mut layers = Layers::new(nodes, edges, &back, rank);
    layers.order();
    let x = layers.place();
    let lanes = layers.back_lanes(edges, &back, &x);
    layers.draw(nodes, edges, &back, &x, &lanes)
}

impl Layers {
    /// Where the lane back up to each target runs.
    fn back_lanes(&self, edges: &[(usize, usize)], back: &[bool], x: &[f64]) -> BackLanes {
        let mut spans: BTreeMap<usize, usize> = BTreeMap::new();
        for ((from, to), _) in edges.iter().zip(back).filter(|(_, back)| **back) {
            let last = spans.entry(*to).or_default();
            *last = self.layer_of[*from].max(*last);
        }
        let mut right: Vec<f64> = self
            .in_order
            .iter()
            .map(|layer| {
                let edges = layer
                    .iter()
                    .map(|node| x[*node] + self.boxes[*node].width / 2.0);
                edges.fold(0.0, f64::max)
            })
            .collect();
        let mut spans: Vec<(usize, usize)> = spans.into_iter().collect();
        spans.sort_by_key(|(to, last)| last - self.layer_of[*to]);
        let mut lanes = BackLanes::new();
        for (to, last) in spans {
            let span = &mut right[self.layer_of[to]..=last];
            let lane = span.iter().copied().fold(0.0, f64::max) + SPACING;
            span.fill(lane);
            lanes.insert(to, lane);
        }
        lanes
    }

    fn draw(
        &self,
        nodes: &[Node],
        edges: &[(usize, usize)],
        back: &[bool],
        x: &[f64],
        lanes: &BackLanes,
    ) -> Layout {
        let mut tops = Vec::with_capacity(self.in_order.len());
        let mut bottoms = Vec::with_capacity(self.in_order.len());
        // Room for lines that come into the first layer from above.
        let mut y = if back.contains(&true) {
            LAYER_GAP / 2.0
        } else {
            0.0
        };
        for layer in &self.in_order {
            tops.push(y);
            y += layer
                .iter()
                .map(|node| self.boxes[*node].height)
                .fold(0.0, f64::max);
            bottoms.push(y);
            y += LAYER_GAP;
        }
        let at: Vec<(f64, f64)> = nodes
            .iter()
            .enumerate()
            .map(|(node, its)| (x[node] - its.width / 2.0, tops[self.layer_of[node]]))
            .collect();
        let ports = self.ports(nodes, edges, back, x, lanes);
        let lines = edges
            .iter()
            .zip(back)
            .zip(&ports)
            .map(|((&(from, to), &back), &port)| {
                let (first, last) = (self.layer_of[from], self.layer_of[to]);
                let start = (port, at[from].1 + nodes[from].height);
                let end = (x[to], at[to].1);
                let mut data = format!("M{:.1} {:.1}", start.0, start.1);
                let mut here = start;
                if here.1 < bottoms[first] {
                    here.1 = bottoms[first];
                    let _ = write!(data, "V{:.1}", here.1);
                }
                if back {
                    // Down under its layer, up the lane, and in from above.
                    let lane = lanes[&to];
                    let below = here.1 + LAYER_GAP / 2.0;
                    curve_back(&mut data, here, (lane, here.1), below);
                    let _ = write!(data, "V{:.1}", end.1);
                    curve_back(&mut data, (lane, end.1), end, end.1 - LAYER_GAP / 2.0);
                } else {
                    for layer in first + 1..last {
                        let Some(&piece) = self.lanes.get(&(to, layer)) else {
                            break;
                        };
                        let lane = x[piece];
                        curve(&mut data, here, (lane, tops[layer]));
                        let _ = write!(data, "V{:.1}", bottoms[layer]);
                        here = (lane, bottoms[layer]);
                    }
                    curve(&mut data, here, end);
                }
                // An arrow's head.
                let _ = write!(
                    data,
                    "M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}",
                    end.0 - 4.0,
                    end.1 - 7.0,
                    end.0,
                    end.1,
                    end.0 + 4.0,
                    end.1 - 7.0
                );
                Line { data, start, back }
            })
            .collect();
        let right = (0..x.len())
            .map(|node| x[node] + self.boxes[node].width / 2.0)
            .chain(lanes.values().copied());
        Layout {
            nodes: nodes.to_vec(),
            at,
            edges: lines,
            width: right.fold(0.0, f64::max),
            height: y - LAYER_GAP / 2.0,
        }
    }

    /// Where each edge leaves its node: spread over the lower side, in the order of where they go.
    fn ports(
        &self,
        nodes: &[Node],
        edges: &[(usize, usize)],
        back: &[bool],
        x: &[f64],
        lanes: &BackLanes,
    ) -> Vec<f64> {
        let mut leaving: Vec<Vec<(f64, usize)>> = vec![Vec::new(); nodes.len()];
        for (edge, (&(from, to), &back)) in edges.iter().zip(back).enumerate() {
            let first = self.layer_of[from];
            let next = if back {
                lanes[&to]
            } else {
                x[self.lanes.get(&(to, first + 1)).copied().unwrap_or(to)]
            };
            leaving[from].push((next, edge));
        }
        let mut ports = vec![0.0; edges.len()];
        for (node, mut leaving) in leaving.into_iter().enumerate() {
            leaving.sort_by(|left, right| left.0.total_cmp(&right.0));
            let count = leaving.len() as f64;
            for (at, (_, edge)) in leaving.into_iter().enumerate() {
                let share = (at as f64 + 1.0) / (count + 1.0) - 0.5;
                ports[edge] = x[node] + share * nodes[node].width;
            }
        }
        ports
    }
}
/// A curve that leaves and arrives vertically.
fn curve(data: &mut String, from: (f64, f64), to: (f64, f64)) {
    let middle = f64::midpoint(from.1, to.1);
    let _ = write!(
        data,
        "C{:.1} {middle:.1} {:.1} {middle:.1} {:.1} {:.1}",
        from.0, to.0, to.0, to.1
    );
}

/// A curve that turns round at a height.
fn curve_back(data: &mut String, from: (f64, f64), to: (f64, f64), height: f64) {
    let _ = write!(
        data,
        "C{:.1} {height:.1} {:.1} {height:.1} {:.1} {:.1}",
        from.0, to.0, to.0, to.1
    );
}
