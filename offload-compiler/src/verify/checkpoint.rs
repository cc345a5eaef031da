//! States kept for comparison: when to keep one, when a path can end at one (`is_state_visited`).

use super::explore::{Step, Walk};
use super::finding::{Code, Finding};
use super::prune::{self, Closeness};
use super::stack_object::same_iterator_goes_on;
use super::state::State;
use super::structure::PrunePoint;

/// A state kept for comparison.
pub(super) struct Checkpoint {
    state: State,
    parent: Option<usize>,
    /// Paths from here that are still being walked.
    pub(super) open: usize,
    /// A path from here was left at this older checkpoint, or at one that was left so itself: what matters here is
    /// not complete while paths from there are being walked.
    until: Option<usize>,
    /// How often comparing with it was in vain, and in success.
    misses: u32,
    hits: u32,
}

/// What comparing with the states of a slot gave.
enum Compared {
    /// The path can end here.
    Covered,
    /// Nothing covers it; whether it is worth keeping, as far as loops go.
    New { keep: bool },
}

impl Walk<'_> {
    /// The current path has ended: checkpoints without open paths are complete.
    pub(super) fn close_path(&mut self) {
        let mut at = self.parent;
        while let Some(index) = at {
            let checkpoint = &mut self.checkpoints[index];
            checkpoint.open = checkpoint.open.saturating_sub(1);
            if checkpoint.open > 0 {
                break;
            }
            at = checkpoint.parent;
        }
    }

    /// Whether the path can end here; otherwise, now and then, keeps the state for comparison
    /// (`is_state_visited`).
    pub(super) fn prune(&mut self, state: &mut State, slot: usize) -> Step<bool> {
        let point = self.prune_points[slot];
        let mut candidates = std::mem::take(&mut self.at_slot[slot]);
        let compared = self.compare(&mut candidates, state, slot, point);
        let done = match compared {
            Ok(Compared::Covered) => Ok(true),
            Ok(Compared::New { keep }) => {
                if keep {
                    candidates.push(self.checkpoints.len());
                    self.keep(state);
                }
                Ok(false)
            }
            Err(finding) => Err(finding),
        };
        self.at_slot[slot] = candidates;
        done
    }

    fn keep(&mut self, state: &mut State) {
        let kept = state.clone();
        self.memory.add_state(&kept);
        self.memory.add::<Checkpoint>(1);
        // The kept state holds the old nodes; what happens from here reaches them through the new ones.
        state.renew_marks(&mut self.marks);
        self.checkpoints.push(Checkpoint {
            state: kept,
            parent: self.parent,
            open: 1,
            until: None,
            misses: 0,
            hits: 0,
        });
        self.parent = Some(self.checkpoints.len() - 1);
        self.since_checkpoint = (0, 0);
    }

    fn compare(
        &mut self,
        candidates: &mut Vec<usize>,
        state: &State,
        slot: usize,
        point: PrunePoint,
    ) -> Step<Compared> {
        /// A forced state may be of use only when the loop has been walked often (`is_state_visited`).
        const PATIENCE: u32 = 64;
        let forced = point != PrunePoint::Plain;
        let mut keep = forced || (self.since_checkpoint.0 >= 2 && self.since_checkpoint.1 >= 8);
        let mut position = candidates.len();
        // The newest first: it is the most likely one.
        while position > 0 {
            position -= 1;
            let index = candidates[position];
            let old = &self.checkpoints[index];
            let every_number = self.input.rules.every_number_counts;
            let covers = |closeness| {
                let how = (closeness, every_number);
                prune::covers(&self.marks, &self.live, slot, &old.state, state, how)
            };
            let open = old.open > 0;
            if open {
                let another_round = match point {
                    PrunePoint::MayGoto => old.state.may_goto_rounds != state.may_goto_rounds,
                    PrunePoint::CallsBack => true,
                    PrunePoint::Iterates => same_iterator_goes_on(&old.state, state),
                    PrunePoint::None | PrunePoint::Plain => false,
                };
                if another_round && covers(Closeness::Within) {
                    self.close_loop(index, state);
                    return Ok(Compared::Covered);
                }
                if !matches!(point, PrunePoint::CallsBack | PrunePoint::Iterates)
                    && old.state.objects.iterator_rounds == state.objects.iterator_rounds
                    && old.state.may_goto_rounds == state.may_goto_rounds
                    && old.state.callback_entries == state.callback_entries
                    && covers(Closeness::Same)
                {
                    return Err(Box::new(
                        Finding::error(
                            Code::EndlessLoop,
                            slot,
                            "nothing changes from one round of this loop to the next: it never ends",
                        )
                        .help("count the rounds in a register or on the stack and leave at a bound"),
                    ));
                }
                // Rounds of a loop that is walked: states of each would only cost.
                if !forced && self.since_checkpoint.0 < 20 && self.since_checkpoint.1 < 100 {
                    keep = false;
                }
            } else {
                let incomplete = self.incomplete_until(index);
                let closeness = if incomplete.is_some() {
                    Closeness::Within
                } else {
                    Closeness::Contained
                };
                if covers(closeness) {
                    self.checkpoints[index].hits += 1;
                    let old = &self.checkpoints[index].state;
                    prune::inherit(&mut self.marks, old, state, incomplete.is_some());
                    if let Some(until) = incomplete {
                        self.path_is_incomplete(until);
                    }
                    return Ok(Compared::Covered);
                }
            }
            if keep {
                // A state that never helps costs each time.
                let old = &mut self.checkpoints[index];
                old.misses += 1;
                let patience = if forced && open { PATIENCE } else { 3 };
                if old.misses > old.hits * patience + patience {
                    candidates.remove(position);
                    self.memory.remove_state(&old.state);
                    old.state.frames = Vec::new();
                }
            }
        }
        Ok(Compared::New { keep })
    }

    /// The path has come back to a state that is still being walked, and brings nothing new.
    fn close_loop(&mut self, index: usize, state: &State) {
        self.checkpoints[index].hits += 1;
        let old = &self.checkpoints[index].state;
        prune::inherit(&mut self.marks, old, state, true);
        self.path_is_incomplete(index);
    }

    /// What matters on the current path depends on paths from `until` that are still being walked.
    fn path_is_incomplete(&mut self, until: usize) {
        let mut at = self.parent;
        while let Some(index) = at {
            if index < until {
                break;
            }
            let checkpoint = &mut self.checkpoints[index];
            checkpoint.until = Some(checkpoint.until.map_or(until, |known| known.min(until)));
            at = checkpoint.parent;
        }
    }

    /// The checkpoint that has to be walked to its end before it is known what matters of this one.
    fn incomplete_until(&self, index: usize) -> Option<usize> {
        let mut at = index;
        while let Some(until) = self.checkpoints[at].until {
            if self.checkpoints[until].open > 0 {
                return Some(until);
            }
            if until == at {
                return None;
            }
            at = until;
        }
        None
    }

    /// In a loop that is walked until nothing new comes, numbers that changed since the last round and mattered nowhere
    /// may be anything (`widen_imprecise_scalars`). The last round is that of the newest state of `slot` other than
    /// `besides`.
    pub(super) fn widen(&mut self, state: &mut State, slot: usize, besides: Option<usize>) {
        let before = self.at_slot[slot].iter().rev().copied().find(|&index| {
            let old = &self.checkpoints[index];
            old.open > 0 && Some(index) != besides && prune::same_calls(&old.state, state)
        });
        if let Some(before) = before {
            prune::widen(&mut self.marks, &self.checkpoints[before].state, state);
        }
    }
}
