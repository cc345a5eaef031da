//! A layered layout (after Sugiyama): layers by the longest path, few crossings by barycentres, straight
//! lines by least squares.
//!
//! Edges that end at the same block share a lane through the layers between, so that a hundred checks
//! that all jump to one exit make one line, not a hundred. Edges back up share lanes by their target too,
//! right of everything between the layers that they connect, inner loops before outer ones.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

/// Least distance between things side by side, in pixels.
const SPACING: f64 = 28.0;
/// Width of a lane, in pixels.
const LANE: f64 = 2.0;
/// Distance between layers, in pixels.
const LAYER_GAP: f64 = 52.0;
/// Sweeps down and up to reduce crossings; more change little.
const ORDER_SWEEPS: usize = 16;
/// Sweeps down and up to straighten lines.
const PLACE_SWEEPS: usize = 24;
/// With more pieces of lanes than this, only edges through so few layers have one; others are drawn
/// straight, over what is between.
const MAX_PIECES: usize = 100_000;
/// See [`MAX_PIECES`].
const SHORT: usize = 4;
/// Lanes are straightened before blocks.
const LANE_WEIGHT: f64 = 4.0;

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

/// A piece of a lane down: the node that it leads to, and the layer.
type Lane = (usize, usize);

/// The centre of the lane back up to each node that has one.
type BackLanes = BTreeMap<usize, f64>;

/// Nodes and the pieces of lanes, all of them in layers.
struct Layers {
    /// How many boxes are nodes.
    nodes: usize,
    /// First the nodes, then lanes' pieces.
    boxes: Vec<Node>,
    layer_of: Vec<usize>,
    lanes: BTreeMap<Lane, usize>,
    /// From one layer to the next.
    down: Vec<Vec<usize>>,
    up: Vec<Vec<usize>>,
    in_order: Vec<Vec<usize>>,
}

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

/// Edges that a depth-first search finds to lead to a node on its path.
fn back_edges(count: usize, edges: &[(usize, usize)]) -> Vec<bool> {
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (edge, (from, _)) in edges.iter().enumerate() {
        out[*from].push(edge);
    }
    let mut back = vec![false; edges.len()];
    let (mut seen, mut on_path) = (vec![false; count], vec![false; count]);
    for root in 0..count {
        if seen[root] {
            continue;
        }
        seen[root] = true;
        on_path[root] = true;
        let mut path = vec![(root, 0)];
        while let Some((node, next)) = path.last_mut() {
            let Some(&edge) = out[*node].get(*next) else {
                on_path[*node] = false;
                path.pop();
                continue;
            };
            *next += 1;
            let target = edges[edge].1;
            if on_path[target] {
                back[edge] = true;
            } else if !seen[target] {
                seen[target] = true;
                on_path[target] = true;
                path.push((target, 0));
            }
        }
    }
    back
}

/// Each node's layer: the longest path to it.
fn ranks(count: usize, edges: &[(usize, usize)], back: &[bool]) -> Vec<usize> {
    let forward = || {
        edges
            .iter()
            .zip(back)
            .filter(|(_, back)| !**back)
            .map(|(edge, _)| *edge)
    };
    let mut waiting = vec![0usize; count];
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (from, to) in forward() {
        waiting[to] += 1;
        out[from].push(to);
    }
    let mut rank = vec![0; count];
    let mut ready: Vec<usize> = (0..count).filter(|node| waiting[*node] == 0).collect();
    while let Some(node) = ready.pop() {
        for &to in &out[node] {
            rank[to] = rank[to].max(rank[node] + 1);
            waiting[to] -= 1;
            if waiting[to] == 0 {
                ready.push(to);
            }
        }
    }
    rank
}

impl Layers {
    fn new(nodes: &[Node], edges: &[(usize, usize)], back: &[bool], rank: Vec<usize>) -> Self {
        let depth = rank.iter().max().map_or(1, |rank| rank + 1);
        let mut layers = Self {
            nodes: nodes.len(),
            boxes: nodes.to_vec(),
            layer_of: rank,
            lanes: BTreeMap::new(),
            down: vec![Vec::new(); nodes.len()],
            up: vec![Vec::new(); nodes.len()],
            in_order: vec![Vec::new(); depth],
        };
        let mut highest: BTreeMap<usize, usize> = BTreeMap::new();
        for ((from, to), _) in edges.iter().zip(back).filter(|(_, back)| !**back) {
            let first = highest.entry(*to).or_insert(usize::MAX);
            *first = layers.layer_of[*from].min(*first);
        }
        let pieces: usize = highest
            .iter()
            .map(|(to, first)| layers.layer_of[*to] - first)
            .sum();
        let longest = if pieces > MAX_PIECES {
            SHORT
        } else {
            usize::MAX
        };
        for (&(from, to), &back) in edges.iter().zip(back) {
            let (first, last) = (layers.layer_of[from], layers.layer_of[to]);
            if back || last - first > longest {
                continue;
            }
            let mut above = from;
            for layer in first + 1..last {
                let piece = layers.lane(to, layer);
                layers.connect(above, piece);
                above = piece;
            }
            layers.connect(above, to);
        }
        // The order of a walk from the entry is a good first one.
        let mut seen = vec![false; layers.boxes.len()];
        for root in 0..layers.boxes.len() {
            let mut work = vec![root];
            while let Some(node) = work.pop() {
                if std::mem::replace(&mut seen[node], true) {
                    continue;
                }
                let layer = layers.layer_of[node];
                layers.in_order[layer].push(node);
                work.extend(layers.down[node].iter().rev());
            }
        }
        layers
    }

    fn lane(&mut self, to: usize, layer: usize) -> usize {
        if let Some(piece) = self.lanes.get(&(to, layer)) {
            return *piece;
        }
        let piece = self.boxes.len();
        self.boxes.push(Node {
            width: LANE,
            height: 0.0,
        });
        self.layer_of.push(layer);
        self.down.push(Vec::new());
        self.up.push(Vec::new());
        self.lanes.insert((to, layer), piece);
        piece
    }

    fn is_lane(&self, node: usize) -> bool {
        node >= self.nodes
    }

    fn connect(&mut self, above: usize, below: usize) {
        if !self.down[above].contains(&below) {
            self.down[above].push(below);
            self.up[below].push(above);
        }
    }

    /// Reorders layers to have few crossings; keeps the best order seen.
    fn order(&mut self) {
        let mut best = (self.crossings(), self.in_order.clone());
        for sweep in 0..ORDER_SWEEPS {
            let downwards = sweep % 2 == 0;
            let depth = self.in_order.len();
            for step in 1..depth {
                let layer = if downwards { step } else { depth - 1 - step };
                let fixed = if downwards { layer - 1 } else { layer + 1 };
                let place = self.places(fixed);
                let neighbours = if downwards { &self.up } else { &self.down };
                let mut keyed: Vec<(f64, usize)> = self.in_order[layer]
                    .iter()
                    .enumerate()
                    .map(|(own, node)| {
                        let near: Vec<f64> = neighbours[*node]
                            .iter()
                            .filter_map(|near| place.get(near).copied())
                            .collect();
                        let centre = if near.is_empty() {
                            own as f64 / self.in_order[layer].len() as f64
                        } else {
                            near.iter().sum::<f64>() / near.len() as f64
                        };
                        (centre, *node)
                    })
                    .collect();
                keyed.sort_by(|left, right| left.0.total_cmp(&right.0));
                self.in_order[layer] = keyed.into_iter().map(|(_, node)| node).collect();
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.in_order.clone());
            }
        }
        self.in_order = best.1;
    }

    /// Where in its layer each node is, from 0 to 1.
    fn places(&self, layer: usize) -> HashMap<usize, f64> {
        let count = self.in_order[layer].len() as f64;
        self.in_order[layer]
            .iter()
            .enumerate()
            .map(|(at, node)| (*node, at as f64 / count))
            .collect()
    }

    /// Pairs of lines that cross between two layers: inversions, counted in a Fenwick tree.
    fn crossings(&self) -> u64 {
        let mut total = 0;
        for pair in self.in_order.windows(2) {
            let place: HashMap<usize, usize> = pair[1]
                .iter()
                .enumerate()
                .map(|(at, node)| (*node, at))
                .collect();
            let mut tree = vec![0u64; pair[1].len() + 1];
            let mut seen = 0;
            for node in &pair[0] {
                let mut ends: Vec<usize> =
                    self.down[*node].iter().map(|below| place[below]).collect();
                ends.sort_unstable();
                for end in &ends {
                    // Lines seen before that end right of this one's end.
                    let (mut at, mut not_right) = (end + 1, 0);
                    while at > 0 {
                        not_right += tree[at];
                        at &= at - 1;
                    }
                    total += seen - not_right;
                }
                for end in ends {
                    seen += 1;
                    let mut at = end + 1;
                    while at < tree.len() {
                        tree[at] += 1;
                        at += at & at.wrapping_neg();
                    }
                }
            }
        }
        total
    }

    /// The horizontal centre of each box.
    fn place(&self) -> Vec<f64> {
        let mut x = vec![0.0; self.boxes.len()];
        for layer in &self.in_order {
            let mut right = 0.0;
            for node in layer {
                x[*node] = right + self.boxes[*node].width / 2.0;
                right += self.boxes[*node].width + SPACING;
            }
        }
        for sweep in 0..PLACE_SWEEPS {
            let downwards = sweep % 2 == 0;
            let depth = self.in_order.len();
            for step in 0..depth {
                let layer = if downwards { step } else { depth - 1 - step };
                self.straighten(&mut x, layer, downwards);
            }
        }
        let left = |node: usize| x[node] - self.boxes[node].width / 2.0;
        let least = (0..x.len()).map(left).fold(f64::INFINITY, f64::min);
        if least.is_finite() {
            for x in &mut x {
                *x -= least;
            }
        }
        x
    }

    /// Moves a layer's boxes as near to their neighbours as their order and spacing allow: isotonic
    /// regression, by pooling adjacent violators.
    fn straighten(&self, x: &mut [f64], layer: usize, downwards: bool) {
        struct Pool {
            sum: f64,
            weight: f64,
            count: usize,
        }
        let order = &self.in_order[layer];
        let mut shifts = Vec::with_capacity(order.len());
        let mut shift = 0.0;
        for (at, node) in order.iter().enumerate() {
            if at > 0 {
                let before = self.boxes[order[at - 1]].width;
                shift += f64::midpoint(before, self.boxes[*node].width) + SPACING;
            }
            shifts.push(shift);
        }
        let mut pools: Vec<Pool> = Vec::new();
        for (node, shift) in order.iter().zip(&shifts) {
            let (near, far) = if downwards {
                (&self.up[*node], &self.down[*node])
            } else {
                (&self.down[*node], &self.up[*node])
            };
            let near = if near.is_empty() { far } else { near };
            // A lane follows itself; a block follows its lines, but not lanes that pass it by.
            let passes_by = |piece: usize| {
                let beside = if downwards {
                    &self.down[piece]
                } else {
                    &self.up[piece]
                };
                beside.iter().any(|its| self.is_lane(*its))
            };
            let followed: Vec<f64> = near
                .iter()
                .filter(|near| match (self.is_lane(*node), self.is_lane(**near)) {
                    (true, near_is_lane) => near_is_lane,
                    (false, near_is_lane) => !near_is_lane || !passes_by(**near),
                })
                .map(|near| x[*near])
                .collect();
            let follows_itself = self.is_lane(*node) && !followed.is_empty();
            let wish = if !followed.is_empty() {
                followed.iter().sum::<f64>() / followed.len() as f64
            } else if near.is_empty() {
                x[*node]
            } else {
                near.iter().map(|near| x[*near]).sum::<f64>() / near.len() as f64
            };
            let weight = if follows_itself { LANE_WEIGHT } else { 1.0 };
            let mut pool = Pool {
                sum: (wish - shift) * weight,
                weight,
                count: 1,
            };
            while let Some(last) = pools.last()
                && last.sum / last.weight > pool.sum / pool.weight
            {
                pool.sum += last.sum;
                pool.weight += last.weight;
                pool.count += last.count;
                pools.pop();
            }
            pools.push(pool);
        }
        let centres = pools
            .iter()
            .flat_map(|pool| std::iter::repeat_n(pool.sum / pool.weight, pool.count));
        for ((node, shift), centre) in order.iter().zip(&shifts).zip(centres) {
            x[*node] = centre + shift;
        }
    }

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
