//! Which values mattered: the history that makes two states comparable.
//!
//! Each value in a register or stack slot carries a [`Mark`], a node of a graph that points to the nodes
//! it was computed from. A use marks its node *read*; a use whose safety depended on the number itself
//! (an offset, a size, a decided branch) marks it *precise*, and with it all that it was computed from.
//! A checkpoint gives every value a fresh node whose parent is the old one, so that what is marked after the
//! checkpoint can be told from what was marked before it. A state explored to its end then says what
//! had to be equal: dead values and imprecise numbers need not be.
//!
//! The kernel finds the same by walking its instruction history backwards (`mark_chain_precision`) and by
//! static liveness; following the values themselves needs neither.

use std::collections::HashMap;

/// A node of the history; 0 is "nothing before".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark(u32);

impl Mark {
    /// No history.
    pub(super) const NONE: Self = Self(0);
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    parents: [u32; 2],
    /// The one parent holds the same value: a read of this is a read of that.
    copy: bool,
    read: bool,
    precise: bool,
    /// It has followers.
    followed: bool,
}

/// All nodes of one verification.
#[derive(Debug)]
pub(super) struct Marks {
    nodes: Vec<Node>,
    /// Nodes of paths that were not walked because of a state that was not complete then: what is marked there
    /// later is marked here.
    followers: HashMap<u32, Vec<u32>>,
    /// How many followers there are in all; each takes a list of its own at worst.
    following: usize,
    work: Vec<u32>,
}

impl Marks {
    /// No history yet.
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::default()],
            followers: HashMap::new(),
            following: 0,
            work: Vec::new(),
        }
    }

    /// Bytes that the nodes take, and what follows them.
    pub(super) fn bytes(&self) -> usize {
        self.nodes.len() * size_of::<Node>() + self.following * size_of::<[u32; 12]>()
    }

    fn push(&mut self, node: Node) -> Mark {
        let index = self.nodes.len() as u32;
        self.nodes.push(node);
        Mark(index)
    }

    /// A value computed from `a` and `b`.
    pub(super) fn computed(&mut self, a: Mark, b: Mark) -> Mark {
        if a.0 == 0 && b.0 == 0 {
            return self.fresh();
        }
        self.push(Node {
            parents: [a.0, b.0],
            ..Node::default()
        })
    }

    /// A value that came from outside: a constant, a load from memory, a call.
    pub(super) fn fresh(&mut self) -> Mark {
        self.push(Node::default())
    }

    /// The same value at a checkpoint or in another place.
    pub(super) fn same(&mut self, of: Mark) -> Mark {
        self.push(Node {
            parents: [of.0, 0],
            copy: true,
            ..Node::default()
        })
    }

    /// The value was looked at.
    pub(super) fn read(&mut self, mark: Mark) {
        if mark == Mark::NONE || self.is_read(mark) {
            return;
        }
        self.work.push(mark.0);
        while let Some(at) = self.work.pop() {
            let Some(node) = self.nodes.get_mut(at as usize) else {
                continue;
            };
            if at == 0 || node.read {
                continue;
            }
            node.read = true;
            if node.copy {
                self.work.push(node.parents[0]);
            }
            if node.followed
                && let Some(followers) = self.followers.get(&at)
            {
                self.work.extend(followers);
            }
        }
    }

    /// Something depended on the number itself.
    pub(super) fn precise(&mut self, mark: Mark) {
        if mark == Mark::NONE || self.is_precise(mark) {
            return;
        }
        self.work.push(mark.0);
        while let Some(at) = self.work.pop() {
            let Some(node) = self.nodes.get_mut(at as usize) else {
                continue;
            };
            if at == 0 || node.precise {
                continue;
            }
            node.precise = true;
            self.work
                .extend(node.parents.into_iter().filter(|&parent| parent != 0));
            if node.followed
                && let Some(followers) = self.followers.get(&at)
            {
                self.work.extend(followers);
            }
        }
    }

    /// Whether the value was looked at.
    pub(super) fn is_read(&self, mark: Mark) -> bool {
        self.nodes[mark.0 as usize].read
    }

    /// Whether something depended on the number.
    pub(super) fn is_precise(&self, mark: Mark) -> bool {
        self.nodes[mark.0 as usize].precise
    }

    /// `newer` took the place of `older` because their states were comparable: it matters as much. With `later`,
    /// what is marked from now on counts too.
    pub(super) fn inherit(&mut self, older: Mark, newer: Mark, later: bool) {
        if older == newer || older == Mark::NONE || newer == Mark::NONE {
            return;
        }
        let (read, precise) = (self.is_read(older), self.is_precise(older));
        if read {
            self.read(newer);
        }
        if precise {
            self.precise(newer);
        }
        if later && !(read && precise) {
            self.nodes[older.0 as usize].followed = true;
            self.followers.entry(older.0).or_default().push(newer.0);
            self.following += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_passes_through_copies_only() {
        let mut marks = Marks::new();
        let a = marks.fresh();
        let copy = marks.same(a);
        let sum = marks.computed(a, copy);
        marks.read(sum);
        assert!(!marks.is_read(a));
        marks.read(copy);
        assert!(marks.is_read(a));
    }

    #[test]
    fn precision_passes_through_everything() {
        let mut marks = Marks::new();
        let (a, b, other) = (marks.fresh(), marks.fresh(), marks.fresh());
        let sum = marks.computed(a, b);
        let later = marks.same(sum);
        marks.precise(later);
        assert!(marks.is_precise(a) && marks.is_precise(b) && marks.is_precise(sum));
        assert!(!marks.is_precise(other));
    }
}
