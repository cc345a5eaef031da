//! Walks every path of a program, depth first, as the kernel does, and stops where a state is covered by
//! one that was walked to its end.

use std::collections::HashMap;
use std::rc::Rc;

use crate::isa::{Instruction, Reg};

use super::finding::{Code, Finding, Severity};
use super::input::{GlobalArg, Input};
use super::marks::{Mark, Marks};
use super::prune::{self, Closeness};
use super::state::{Frame, Purpose, State};
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
    /// How often comparing with it was in vain, and in success.
    misses: u32,
    hits: u32,
}

/// One verification in progress.
pub(super) struct Walk<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) marks: Marks,
    pub(super) warnings: Vec<Finding>,
    checkpoints: Vec<Checkpoint>,
    at_slot: HashMap<usize, Vec<usize>>,
    prune_points: Vec<bool>,
    pending: Vec<Pending>,
    parent: Option<usize>,
    turns: Option<Rc<Turn>>,
    ids: u32,
    processed: usize,
    jumps: usize,
    since_checkpoint: (usize, usize),
    reached: Vec<bool>,
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
            .function(0, None)
            .and_then(|()| walk.global_functions())
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
    }
}

impl<'a> Walk<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        Self {
            input,
            marks: Marks::new(),
            warnings: Vec::new(),
            checkpoints: Vec::new(),
            at_slot: HashMap::new(),
            prune_points: super::structure::prune_points(input),
            pending: Vec::new(),
            parent: None,
            turns: None,
            ids: 0,
            processed: 0,
            jumps: 0,
            since_checkpoint: (0, 0),
            reached: vec![false; input.code.len()],
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

    fn global_functions(&mut self) -> Step<()> {
        for function in self.input.functions {
            if let Some(args) = &function.global
                && function.start != 0
                && self.is_called(function.start)
            {
                self.function(function.start, Some(args))?;
            }
        }
        Ok(())
    }

    /// Whether some instruction refers to the function at `start`.
    fn is_called(&self, start: usize) -> bool {
        super::structure::references(self.input).any(|target| target == start)
    }

    /// Walks all paths from the first slot of a function that is verified on its own.
    fn function(&mut self, start: usize, args: Option<&Vec<GlobalArg>>) -> Step<()> {
        let mut frame = Frame::new(start, 0, Purpose::Program);
        let mark = self.marks.fresh();
        frame.registers[10] = Tracked {
            value: Value::Pointer(Pointer::to(Region::Stack(0))),
            mark,
        };
        let context = [GlobalArg::Context];
        let args = args.map_or(&context[..], Vec::as_slice);
        for (index, arg) in args.iter().enumerate().take(5) {
            let value = self.global_parameter(*arg, start)?;
            let mark = self.marks.fresh();
            frame.registers[index + 1] = Tracked { value, mark };
        }
        // States of one function never serve another.
        self.at_slot.clear();
        self.parent = None;
        self.turns = None;
        self.pending.push(Pending {
            state: State {
                frames: vec![frame],
                references: Vec::new(),
                lock: None,
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
        self.turns = Some(Rc::new(Turn {
            slot,
            taken,
            before: self.turns.take(),
        }));
    }

    /// Leaves a path for later.
    pub(super) fn postpone(&mut self, state: State, slot: usize, turn: Option<(usize, bool)>) {
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
            if self.prune_points[slot] && self.prune(&mut state, slot)? {
                return Ok(());
            }
            self.reached[slot] = true;
            if matches!(
                instruction,
                Instruction::Branch { .. } | Instruction::Jump { .. } | Instruction::Exit
            ) {
                self.jumps += 1;
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

    /// Whether the path can end here; otherwise, now and then, keeps the state for comparison.
    fn prune(&mut self, state: &mut State, slot: usize) -> Step<bool> {
        let mut candidates = self.at_slot.remove(&slot).unwrap_or_default();
        let forced = super::structure::is_forced_checkpoint(self.input, slot);
        let outcome = self.compare(&mut candidates, state, slot, forced);
        // A state that never helps costs each time.
        candidates.retain(|&index| {
            let checkpoint = &self.checkpoints[index];
            checkpoint.open > 0 || checkpoint.misses <= checkpoint.hits * 3 + 3
        });
        let keep = match outcome {
            Ok(Some(true)) | Err(_) => false,
            Ok(Some(false)) => false,
            Ok(None) => forced || (self.since_checkpoint.0 >= 2 && self.since_checkpoint.1 >= 8),
        };
        if keep {
            let kept = state.clone();
            self.checkpoints.push(Checkpoint {
                state: kept,
                parent: self.parent,
                open: 1,
                misses: 0,
                hits: 0,
            });
            let index = self.checkpoints.len() - 1;
            self.parent = Some(index);
            candidates.push(index);
            self.since_checkpoint = (0, 0);
            state.renew_marks(&mut self.marks);
            // The kept state holds the old nodes; what happens from here reaches them through the new ones.
        }
        self.at_slot.insert(slot, candidates);
        Ok(outcome? == Some(true))
    }

    /// `Some(true)`: covered. `Some(false)`: do not keep another state here. `None`: nothing covers it.
    fn compare(
        &mut self,
        candidates: &mut [usize],
        state: &mut State,
        slot: usize,
        forced: bool,
    ) -> Step<Option<bool>> {
        let mut keep = None;
        for &mut index in candidates {
            let open = self.checkpoints[index].open > 0;
            if open {
                if !self.is_ancestor(index) {
                    continue;
                }
                let old = &self.checkpoints[index].state;
                if forced {
                    if prune::covers(&self.marks, old, state, Closeness::Within) {
                        let old = old.clone();
                        self.inherit_all(&old, state);
                        return Ok(Some(true));
                    }
                    continue;
                }
                if prune::covers(&self.marks, old, state, Closeness::Same) {
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
                if self.since_checkpoint.0 < 20 && self.since_checkpoint.1 < 100 {
                    keep = Some(false);
                }
                continue;
            }
            if prune::covers(
                &self.marks,
                &self.checkpoints[index].state,
                state,
                Closeness::Contained,
            ) {
                self.checkpoints[index].hits += 1;
                prune::inherit(&mut self.marks, &self.checkpoints[index].state, state);
                return Ok(Some(true));
            }
            self.checkpoints[index].misses += 1;
        }
        Ok(keep)
    }

    /// In a loop that converges, all that mattered so far may matter again.
    fn inherit_all(&mut self, old: &State, new: &State) {
        prune::inherit(&mut self.marks, old, new);
    }

    fn is_ancestor(&self, index: usize) -> bool {
        let mut at = self.parent;
        while let Some(parent) = at {
            if parent == index {
                return true;
            }
            if parent < index {
                return false;
            }
            at = self.checkpoints[parent].parent;
        }
        false
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
