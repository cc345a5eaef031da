//! The layers of a graph: which box is in which, in which order, and where.

use std::collections::{BTreeMap, HashMap};

use super::layout::Node;

/// Least distance between things side by side, in pixels.
pub(super) const SPACING: f64 = 28.0;
/// Width of a lane, in pixels.
const LANE: f64 = 2.0;
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

/// A piece of a lane down: the node that it leads to, and the layer.
type Lane = (usize, usize);

/// Nodes and the pieces of lanes, all of them in layers.
pub(super) struct Layers {
    /// How many boxes are nodes.
    pub(super) nodes: usize,
    /// First the nodes, then lanes' pieces.
    pub(super) boxes: Vec<Node>,
    pub(super) layer_of: Vec<usize>,
    pub(super) lanes: BTreeMap<Lane, usize>,
    /// From one layer to the next.
    pub(super) down: Vec<Vec<usize>>,
    pub(super) up: Vec<Vec<usize>>,
    pub(super) in_order: Vec<Vec<usize>>,
}

/// Edges that a depth-first search finds to lead to a node on its path.
pub(super) fn back_edges(count: usize, edges: &[(usize, usize)]) -> Vec<bool> {
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
pub(super) fn ranks(count: usize, edges: &[(usize, usize)], back: &[bool]) -> Vec<usize> {
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
    pub(super) fn new(
        nodes: &[Node],
        edges: &[(usize, usize)],
        back: &[bool],
        rank: Vec<usize>,
    ) -> Self {
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
    pub(super) fn order(&mut self) {
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
    pub(super) fn place(&self) -> Vec<f64> {
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
}
