//! Two sides, and what has to be on the same or on opposite ones.

use crate::codegen::lir::Reg;

/// Union-find with sides: which of two sides each member of a group is on.
pub(super) struct Parity {
    parent: Vec<Reg>,
    flipped: Vec<bool>,
}

impl Parity {
    pub(super) fn new(count: usize) -> Self {
        Self {
            parent: (0..count as Reg).collect(),
            flipped: vec![false; count],
        }
    }

    /// The group's head, and whether the side is the opposite of its.
    pub(super) fn find(&mut self, reg: Reg) -> (Reg, bool) {
        let (mut at, mut flipped) = (reg, false);
        while self.parent[at as usize] != at {
            flipped ^= self.flipped[at as usize];
            at = self.parent[at as usize];
        }
        // Shorten the way for the next time.
        let (mut walk, mut rest) = (reg, flipped);
        while self.parent[walk as usize] != walk {
            let (next, flip) = (self.parent[walk as usize], self.flipped[walk as usize]);
            self.parent[walk as usize] = at;
            self.flipped[walk as usize] = rest;
            rest ^= flip;
            walk = next;
        }
        (at, flipped)
    }

    /// Puts two on the same or on opposite sides; false if they are on the others already.
    pub(super) fn join(&mut self, one: Reg, other: Reg, opposite: bool) -> bool {
        let ((head, flip), (other_head, other_flip)) = (self.find(one), self.find(other));
        if head == other_head {
            return flip ^ other_flip == opposite;
        }
        self.parent[head as usize] = other_head;
        self.flipped[head as usize] = flip ^ other_flip ^ opposite;
        true
    }

    /// Whether two are on opposite sides, if that is decided.
    pub(super) fn side(&mut self, one: Reg, other: Reg) -> Option<bool> {
        let ((head, flip), (other_head, other_flip)) = (self.find(one), self.find(other));
        (head == other_head).then_some(flip ^ other_flip)
    }
}
