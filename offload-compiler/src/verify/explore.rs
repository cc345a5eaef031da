//! Walks every path of a program, depth first, as the kernel does, and stops where a state is covered by
//! one that was walked to its end.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::isa::{Instruction, Reg};

use super::finding::{Code, Finding, Severity};
use super::input::{GlobalArg, Input};
use super::marks::{Mark, Marks};
use super::prune::{self, Closeness};
use super::state::{Frame, Purpose, State};
use super::structure::PrunePoint;
use super::value::{Pointer, Region, Tracked, Value};
use super::watch::{Moment, Watch};

/// A refusal ends the walk.
pub(super) type Step<T> = Result<T, Box<Finding>>;

/// What to do after an instruction.
pub(super) enum Next {
    /// Go on at this slot.
    At(usize),
    /// The path ends here.
    End,
}

/// The result of a verification.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// The error that refuses the program, if any, and warnings.
    pub findings: Vec<Finding>,
    /// Instructions followed, over all paths.
    pub processed: usize,
    /// States kept for comparison.
    pub states: usize,
    /// Whether some path reached a slot; of an accepted program, what is not reached is dead code.
    pub reached: Vec<bool>,
    /// Which ways each branch went: the slots of those that fell through on some path, and were taken on some.
    pub ways: HashSet<(usize, bool)>,
    /// Bytes of stack that each function uses, by its first slot.
    pub stack: HashMap<usize, u32>,
}

impl Verdict {
    /// Whether the program is safe as far as this check knows.
    pub fn is_accepted(&self) -> bool {
        self.error().is_none()
    }

    /// The finding that refuses the program.
    pub fn error(&self) -> Option<&Finding> {
        self.findings
            .iter()
            .find(|finding| finding.severity == Severity::Error)
    }
}

/// The branches taken on a path, innermost first.
#[derive(Debug)]
pub(super) struct Turn {
    slot: usize,
    taken: bool,
    before: Option<Rc<Turn>>,
}

impl Turn {
    /// A path's branches, outermost first.
    pub(super) fn list(mut at: Option<&Self>) -> Vec<(usize, bool)> {
        let mut out = Vec::new();
        while let Some(turn) = at {
            out.push((turn.slot, turn.taken));
            at = turn.before.as_deref();
        }
        out.reverse();
        out
    }
}

impl Drop for Turn {
    // A long path is a long list: dropping it by recursion would overflow the stack.
    fn drop(&mut self) {
        let mut next = self.before.take();
        while let Some(turn) = next {
            match Rc::try_unwrap(turn) {
                Ok(mut turn) => next = turn.before.take(),
                Err(_) => break,
            }
        }
    }
}

/// A path that waits to be walked.
struct Pending {
    state: State,
    slot: usize,
    parent: Option<usize>,
    turns: Option<Rc<Turn>>,
}

/// A state kept for comparison.
struct Checkpoint {
    state: State,
    parent: Option<usize>,
    /// Paths from here that are still being walked.
    open: usize,
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

/// A function that is verified on its own, with the arguments it can count on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Alone {
    /// A global function, by its first slot.
    Global(usize),
    /// A callback that the kernel calls later, by its first slot, for values of a map.
    Later { start: usize, map: u32 },
}

/// One verification in progress.
pub(super) struct Walk<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) marks: Marks,
    pub(super) warnings: Vec<Finding>,
    checkpoints: Vec<Checkpoint>,
    /// The checkpoints of each slot that are worth comparing with.
    at_slot: Vec<Vec<usize>>,
    prune_points: Vec<PrunePoint>,
    /// The registers that matter before each slot.
    live: Vec<u16>,
    pending: Vec<Pending>,
    pub(super) parent: Option<usize>,
    turns: Option<Rc<Turn>>,
    pub(super) ids: u32,
    processed: usize,
    since_checkpoint: (usize, usize),
    /// Functions to verify on their own: global ones that are called, and callbacks that run later.
    alone: Vec<Alone>,
    reached: Vec<bool>,
    ways: HashSet<(usize, bool)>,
    watch: Option<&'a mut dyn Watch>,
    /// The branch that proved so many bytes for packet pointers of an id, for messages.
    pub(super) checks: HashMap<(u32, u32), usize>,
    pub(super) stack_depth: HashMap<usize, i32>,
}

/// Verifies the program, then each of its global functions on its own.
pub fn verify(input: &Input<'_>) -> Verdict {
    verify_with(input, None)
}

/// Verifies the program and asks `watch` before each instruction of each path.
pub fn verify_watched(input: &Input<'_>, watch: &mut dyn Watch) -> Verdict {
    verify_with(input, Some(watch))
}

fn verify_with<'a>(input: &'a Input<'a>, watch: Option<&'a mut dyn Watch>) -> Verdict {
    let mut walk = Walk::new(input);
    walk.watch = watch;
    let mut findings = super::structure::check(input);
    if findings.iter().all(|f| f.severity != Severity::Error) {
        let outcome = walk
            .program()
            .and_then(|()| walk.functions_alone())
            .and_then(|()| super::structure::stack_sizes(input, &walk.stack_depth));
        if let Err(finding) = outcome {
            findings.push(*finding);
        }
    }
    findings.append(&mut walk.warnings);
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.insn));
    Verdict {
        findings,
        processed: walk.processed,
        states: walk.checkpoints.len(),
        stack: walk
            .stack_depth
            .iter()
            .map(|(&function, &bytes)| (function, bytes.max(0) as u32))
            .collect(),
        reached: walk.reached,
        ways: walk.ways,
    }
}

impl<'a> Walk<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        Self {
            input,
            marks: Marks::new(),
            warnings: Vec::new(),
            checkpoints: Vec::new(),
            at_slot: vec![Vec::new(); input.code.len()],
            prune_points: super::structure::prune_points(input),
            live: super::liveness::before_each_slot(input),
            pending: Vec::new(),
            parent: None,
            turns: None,
            ids: 0,
            processed: 0,
            since_checkpoint: (0, 0),
            alone: Vec::new(),
            reached: vec![false; input.code.len()],
            ways: HashSet::new(),
            watch: None,
            checks: HashMap::new(),
            stack_depth: HashMap::new(),
        }
    }

    /// A number that no pointer, link or reference has yet.
    pub(super) fn new_id(&mut self) -> u32 {
        self.ids += 1;
        self.ids
    }

    /// Verifies a function on its own later, once.
    pub(super) fn verify_alone(&mut self, function: Alone) {
        if !self.alone.contains(&function) {
            self.alone.push(function);
        }
    }

    fn program(&mut self) -> Step<()> {
        let context = self.parameter(Value::Pointer(Pointer::to(Region::Context)));
        self.function(0, Purpose::Program, &[context])
    }

    fn functions_alone(&mut self) -> Step<()> {
        let mut next = 0;
        while let Some(alone) = self.alone.get(next).cloned() {
            next += 1;
            match alone {
                Alone::Global(start) => {
                    let input = self.input;
                    let declared = input.function_at(start).and_then(|f| f.global.as_deref());
                    let mut parameters = Vec::new();
                    for arg in declared.unwrap_or_default().iter().take(5) {
                        let value = self.global_parameter(*arg, start)?;
                        parameters.push(self.parameter(value));
                    }
                    self.function(start, Purpose::Program, &parameters)?;
                }
                Alone::Later { start, map } => {
                    let parameters = self.map_callback_parameters(map);
                    self.function(start, Purpose::Later, &parameters)?;
                }
            }
        }
        Ok(())
    }

    fn parameter(&mut self, value: Value) -> Tracked {
        Tracked {
            value,
            mark: self.marks.fresh(),
        }
    }

    /// What callbacks for the entries of a map get in r1 to r3: the map, a key, its value.
    pub(super) fn map_callback_parameters(&mut self, map: u32) -> [Tracked; 3] {
        let key_size = self
            .input
            .maps
            .get(map as usize)
            .map_or(0, |shape| shape.key_size);
        [
            Region::Map(map),
            Region::Memory {
                size: key_size,
                writable: false,
            },
            Region::MapValue(map),
        ]
        .map(|region| self.parameter(Value::Pointer(Pointer::to(region))))
    }

    /// Walks all paths from the first slot of a function that is verified on its own.
    fn function(&mut self, start: usize, purpose: Purpose, parameters: &[Tracked]) -> Step<()> {
        let mut frame = Frame::new(start, 0, purpose);
        frame.registers[10] = self.parameter(Value::Pointer(Pointer::to(Region::Stack(0))));
        frame.registers[1..=parameters.len()].copy_from_slice(parameters);
        // States of one function never serve another.
        self.at_slot.iter_mut().for_each(Vec::clear);
        self.parent = None;
        self.turns = None;
        self.pending.push(Pending {
            state: State {
                frames: vec![frame],
                references: Vec::new(),
                lock: None,
                may_goto_rounds: 0,
                callback_entries: 0,
            },
            slot: start,
            parent: None,
            turns: None,
        });
        while let Some(pending) = self.pending.pop() {
            self.parent = pending.parent;
            self.turns = pending.turns;
            if let Err(mut finding) = self.path(pending.state, pending.slot) {
                finding.path = self.turns_so_far();
                return Err(finding);
            }
            self.close_path();
        }
        Ok(())
    }

    fn global_parameter(&mut self, arg: GlobalArg, start: usize) -> Step<Value> {
        Ok(match arg {
            GlobalArg::Context => Value::Pointer(Pointer::to(Region::Context)),
            GlobalArg::Number => Value::UNKNOWN,
            GlobalArg::Memory { size, nullable } => Value::Pointer(Pointer {
                nullable,
                id: self.new_id(),
                ..Pointer::to(Region::Memory {
                    size,
                    writable: true,
                })
            }),
            GlobalArg::Other => {
                return Err(Box::new(Finding::error(
                    Code::Unsupported,
                    start,
                    "an argument of this global function is of a kind that is not modelled",
                )));
            }
        })
    }

    fn turns_so_far(&self) -> Vec<(usize, bool)> {
        Turn::list(self.turns.as_deref())
    }

    /// Notes which way a branch goes on this path.
    pub(super) fn turn(&mut self, slot: usize, taken: bool) {
        self.ways.insert((slot, taken));
        self.turns = Some(Rc::new(Turn {
            slot,
            taken,
            before: self.turns.take(),
        }));
    }

    /// Leaves a path for later.
    pub(super) fn postpone(&mut self, state: State, slot: usize, turn: Option<(usize, bool)>) {
        self.ways.extend(turn);
        let turns = match turn {
            Some((slot, taken)) => Some(Rc::new(Turn {
                slot,
                taken,
                before: self.turns.clone(),
            })),
            None => self.turns.clone(),
        };
        if let Some(parent) = self.parent {
            self.checkpoints[parent].open += 1;
        }
        self.pending.push(Pending {
            state,
            slot,
            parent: self.parent,
            turns,
        });
    }

    /// The current path has ended: checkpoints without open paths are complete.
    fn close_path(&mut self) {
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

    fn path(&mut self, mut state: State, mut slot: usize) -> Step<()> {
        loop {
            let Some(instruction) = self.input.code.at(slot) else {
                return Err(Box::new(Finding::error(
                    Code::ControlFlow,
                    slot.min(self.input.code.len().saturating_sub(1)),
                    "the program runs on where there is no instruction",
                )));
            };
            let instruction = *instruction;
            self.processed += 1;
            self.since_checkpoint.1 += 1;
            if self.processed > self.input.rules.instructions
                || self.marks.len() > self.input.rules.history
            {
                return Err(Box::new(
                    Finding::error(
                        Code::TooComplex,
                        slot,
                        format!("{} instructions were followed and paths remain", self.processed - 1),
                    )
                    .help("split the program by tail calls, bound loops more tightly, or move work into global functions, which are verified once"),
                ));
            }
            if self.prune_points[slot] != PrunePoint::None && self.prune(&mut state, slot)? {
                return Ok(());
            }
            self.reached[slot] = true;
            if matches!(
                instruction,
                Instruction::Branch { .. } | Instruction::Jump { .. } | Instruction::Exit
            ) {
                self.since_checkpoint.0 += 1;
            }
            if let Some(watch) = &mut self.watch {
                watch.before(&Moment {
                    slot,
                    instruction: &instruction,
                    state: &state,
                    turns: self.turns.as_deref(),
                })?;
            }
            match self.step(&mut state, slot, &instruction)? {
                Next::At(next) => slot = next,
                Next::End => return Ok(()),
            }
        }
    }

    /// Whether the path can end here; otherwise, now and then, keeps the state for comparison
    /// (`is_state_visited`).
    fn prune(&mut self, state: &mut State, slot: usize) -> Step<bool> {
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
                    PrunePoint::None | PrunePoint::Plain => false,
                };
                if another_round && covers(Closeness::Within) {
                    self.close_loop(index, state);
                    return Ok(Compared::Covered);
                }
                if point != PrunePoint::CallsBack
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

    /// The value of a register that must have been initialised.
    pub(super) fn read(&mut self, state: &State, reg: Reg, slot: usize) -> Step<Tracked> {
        let tracked = *state.register(reg);
        if tracked.value == Value::Uninitialised {
            return Err(Box::new(
                Finding::error(
                    Code::UninitialisedRegister,
                    slot,
                    format!("{reg} is read, but nothing was put into it on this path"),
                )
                .help(if reg.number() <= 5 && reg.number() >= 1 {
                    "calls spoil r1 to r5: what is needed after a call has to be kept in r6 to r9 or on the stack"
                } else {
                    "give the variable a value on every path"
                }),
            ));
        }
        self.marks.read(tracked.mark);
        Ok(tracked)
    }

    /// The register's number decides about safety: states are comparable only where it is contained.
    pub(super) fn need(&mut self, mark: Mark) {
        self.marks.read(mark);
        self.marks.precise(mark);
    }

    /// Adds a warning once per slot and code.
    pub(super) fn warn(&mut self, mut finding: Finding) {
        finding.severity = Severity::Warning;
        if !self
            .warnings
            .iter()
            .any(|known| known.insn == finding.insn && known.code == finding.code)
        {
            finding.path = self.turns_so_far();
            self.warnings.push(finding);
        }
    }
}
