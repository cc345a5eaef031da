//! Walks every path of a program, depth first, as the kernel does, and stops where a state is covered by
//! one that was walked to its end.

use std::collections::HashMap;

use crate::isa::{Instruction, Reg};

use super::checkpoint::Checkpoint;
use super::finding::{Code, Finding, Severity};
use super::input::{GlobalArg, Input};
use super::marks::{Mark, Marks};
use super::memory_budget::MemoryUse;
use super::path::{self, Turns, Ways};
use super::state::{Frame, Objects, Purpose, State};
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
    /// The registers whose content before each slot may matter, a bit each: register `n` is bit `n`.
    pub live: Vec<u16>,
    /// Which ways each branch went.
    pub ways: Ways,
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

/// A path that waits to be walked.
struct Pending {
    state: State,
    slot: usize,
    parent: Option<usize>,
    turns: path::At,
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
    pub(super) checkpoints: Vec<Checkpoint>,
    /// The checkpoints of each slot that are worth comparing with.
    pub(super) at_slot: Vec<Vec<usize>>,
    pub(super) prune_points: Vec<PrunePoint>,
    /// The registers that matter before each slot.
    pub(super) live: Vec<u16>,
    pending: Vec<Pending>,
    pub(super) parent: Option<usize>,
    turns: path::At,
    history: Turns,
    pub(super) memory: MemoryUse,
    pub(super) ids: u32,
    processed: usize,
    pub(super) since_checkpoint: (usize, usize),
    /// Functions to verify on their own: global ones that are called, and callbacks that run later.
    alone: Vec<Alone>,
    reached: Vec<bool>,
    ways: Ways,
    watch: Option<&'a mut dyn Watch>,
    /// Comparisons with the packet's end, the last one last: an id of packet pointers, the bytes that it proved for them,
    /// and its slot. For messages.
    pub(super) checks: Vec<(u32, u32, usize)>,
    /// Bytes of stack that the function at each slot uses, as far as is known.
    stack_depth: Vec<Option<i32>>,
    /// Whether a function moves the packet's ends, by its first slot, where that was asked.
    moves_packet: HashMap<usize, bool>,
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
            .and_then(|()| super::structure::stack_sizes(input, &walk.stack_depth()));
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
            .stack_depth()
            .into_iter()
            .map(|(function, bytes)| (function, bytes.max(0) as u32))
            .collect(),
        reached: walk.reached,
        live: walk.live,
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
            memory: MemoryUse::default(),
            ids: 0,
            processed: 0,
            since_checkpoint: (0, 0),
            alone: Vec::new(),
            reached: vec![false; input.code.len()],
            ways: Ways::new(input.code.len()),
            history: Turns::default(),
            watch: None,
            checks: Vec::new(),
            stack_depth: vec![None; input.code.len()],
            moves_packet: HashMap::new(),
        }
    }

    /// Bytes that everything remembered of the paths takes.
    fn memory_bytes(&self) -> usize {
        self.marks.bytes() + self.history.bytes() + self.memory.bytes()
    }

    /// A number that no pointer, link or reference has yet.
    pub(super) fn new_id(&mut self) -> u32 {
        self.ids += 1;
        self.ids
    }

    /// A frame of a function is used down to `low`.
    pub(super) fn note_depth(&mut self, function: usize, low: i32) {
        if let Some(known) = self.stack_depth.get_mut(function) {
            *known = Some(known.unwrap_or(0).max(-low));
        }
    }

    /// Bytes of stack that each function uses, by its first slot.
    fn stack_depth(&self) -> HashMap<usize, i32> {
        let known = |(function, &bytes): (usize, &Option<i32>)| Some((function, bytes?));
        self.stack_depth
            .iter()
            .enumerate()
            .filter_map(known)
            .collect()
    }

    /// Whether a function, or one that it calls, moves the packet's ends.
    pub(super) fn moves_packet(&mut self, function: usize) -> bool {
        let input = self.input;
        *self
            .moves_packet
            .entry(function)
            .or_insert_with(|| super::structure::moves_packet(input, function))
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
                objects: Objects::default(),
            },
            slot: start,
            parent: None,
            turns: None,
        });
        while let Some(pending) = self.pending.pop() {
            self.memory.remove_state(&pending.state);
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
        self.history.list(self.turns)
    }

    /// Notes which way a branch goes on this path.
    pub(super) fn turn(&mut self, slot: usize, taken: bool) {
        self.ways.insert(slot, taken);
        self.turns = self.history.then(self.turns, slot, taken);
    }

    /// Leaves a path for later.
    pub(super) fn postpone(&mut self, state: State, slot: usize, turn: Option<(usize, bool)>) {
        let turns = match turn {
            Some((slot, taken)) => {
                self.ways.insert(slot, taken);
                self.history.then(self.turns, slot, taken)
            }
            None => self.turns,
        };
        if let Some(parent) = self.parent {
            self.checkpoints[parent].open += 1;
        }
        self.memory.add_state(&state);
        self.pending.push(Pending {
            state,
            slot,
            parent: self.parent,
            turns,
        });
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
            self.check_complexity(slot)?;
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
                    turns: (&self.history, self.turns),
                })?;
            }
            let next = self.step(&mut state, slot, &instruction)?;
            if self.pending.len() > self.input.rules.waiting_paths {
                return Err(too_complex(
                    slot,
                    format!("{} paths wait to be walked", self.pending.len()),
                ));
            }
            match next {
                Next::At(next) => slot = next,
                Next::End => return Ok(()),
            }
        }
    }

    fn check_complexity(&self, slot: usize) -> Step<()> {
        if self.processed > self.input.rules.instructions {
            return Err(too_complex(
                slot,
                format!(
                    "{} instructions were followed and paths remain",
                    self.processed - 1
                ),
            ));
        }
        if self.memory_bytes() > self.input.rules.memory {
            return Err(too_complex(
                slot,
                format!(
                    "what has to be remembered of its paths takes more than {} MiB",
                    self.input.rules.memory >> 20
                ),
            ));
        }
        Ok(())
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

    /// Whether there is such a warning of the slot: another one would not be added.
    pub(super) fn warned(&self, slot: usize, code: Code) -> bool {
        self.warnings
            .iter()
            .any(|known| known.insn == slot && known.code == code)
    }

    /// Adds a warning once per slot and code.
    pub(super) fn warn(&mut self, mut finding: Finding) {
        finding.severity = Severity::Warning;
        if !self.warned(finding.insn, finding.code) {
            finding.path = self.turns_so_far();
            self.memory.add::<(usize, bool)>(finding.path.len());
            self.warnings.push(finding);
        }
    }
}

#[allow(clippy::unnecessary_box_returns, reason = "what a step returns")]
fn too_complex(slot: usize, what: String) -> Box<Finding> {
    Box::new(Finding::error(Code::TooComplex, slot, what).help(
        "split the program by tail calls, bound loops more tightly, or move work into global functions, which are verified once",
    ))
}
