//! The driver: passes in rounds, each verified, within a budget.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::facts::Facts;
use super::forms::{Doubt, Forms};
use super::passes::{LAST_PASSES, PASSES};
use super::program::{Layout, Position, Program, ProgramError, Step};
use super::rewrite::{self, Allow, Rewrite};
use super::split::{Left, Share, split};
use crate::target::{self, Availability, Need, Target};
use crate::verify::{Finding, Input, Rules, Verdict};

/// Rounds over all passes: each may enable another, a few times.
const ROUNDS: usize = 6;
/// Rewrites of one run of a pass that are found to be refused, and left out, before the rest of its run is given up.
const LEFT_OUT: usize = 4;
/// Instructions that verifications may follow, all passes together: no input takes more than some seconds.
const MOST_FOLLOWED: usize = 20_000_000;
/// Slots of a program, so that every branch reaches its target.
const MOST_SLOTS: usize = 30_000;

/// What the one who asks wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Also make it smaller and faster.
    pub optimise: bool,
    /// Changes of what user space sees that are allowed.
    pub allow: BTreeSet<Allow>,
    /// The interface that the program is bound to: `ingress_ifindex` is always this.
    pub ifindex: Option<u32>,
    /// The MTU of that interface, in bytes, as `bpf_check_mtu` gives it.
    pub mtu: Option<u32>,
}

/// A pass: one kind of rewrite.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    /// Its name, in reports.
    pub name: &'static str,
    /// What has to be allowed for it.
    pub allow: Option<Allow>,
    /// It is no more than an optimisation.
    pub optimises: bool,
    /// Makes the rewrites that the context permits.
    pub run: fn(&mut Program, &mut Context<'_>),
}

/// What a pass works with.
pub struct Context<'a> {
    /// What is known of the program as it was when the pass began.
    pub facts: &'a Facts,
    /// What the target takes.
    pub forms: &'a Forms,
    /// What is wanted.
    pub options: &'a Options,
    target: &'a dyn Target,
    state: &'a State,
    pass: &'a Pass,
    log: Vec<Rewrite>,
    room: usize,
    sites: usize,
    limit: usize,
    left_out: &'a BTreeSet<usize>,
}

impl Context<'_> {
    /// Asked before each rewrite, which may add so many slots: whether it may be made. The order of questions is the
    /// same each time the pass runs on the same program: what turned out to be refused is left out the next time.
    pub fn permits(&mut self, slots: usize) -> bool {
        let site = self.sites;
        self.sites += 1;
        if site >= self.limit || self.left_out.contains(&site) || slots > self.room {
            return false;
        }
        self.room -= slots;
        true
    }

    /// Whether the target has maps of a kind (`enum bpf_map_type`).
    pub fn has_map(&self, kind: u32) -> bool {
        self.target.has(Need::Map { kind, map: 0 }) == Availability::Yes
    }

    /// What the target would run wrongly of the program as it was when the pass began.
    pub fn doubts(&self) -> Vec<(Position, Doubt)> {
        let State {
            program, layout, ..
        } = self.state;
        let given = target::Program {
            input: &layout.input(program),
            frags: false,
        };
        let doubts = self.target.doubts(&given).into_iter();
        doubts
            .filter_map(|(slot, doubt)| Some(((*layout.positions.get(slot)?)?, doubt)))
            .collect()
    }

    /// Notes a rewrite.
    pub fn note(&mut self, program: &Program, at: Option<usize>, before: &[Step], after: &[Step]) {
        self.note_text(
            at,
            rewrite::text(before, &program.maps),
            rewrite::text(after, &program.maps),
        );
    }

    /// Notes a rewrite of something that is not a row of instructions.
    pub fn note_text(&mut self, at: Option<usize>, before: Vec<String>, after: Vec<String>) {
        self.log.push(Rewrite {
            pass: self.pass.name,
            at,
            before,
            after,
            needs_allow: self.pass.allow,
        });
    }
}

/// A rewrite that was tried and taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The pass's name.
    pub pass: &'static str,
    /// Why: the verifier's finding; its slot is that of the original program, where there is one.
    pub why: Finding,
}

/// A lowered program, and what the target says of it.
#[derive(Debug, Clone)]
pub struct Lowered {
    /// As it can be changed further.
    pub program: Program,
    /// As it is loaded.
    pub layout: Layout,
    /// What was changed, in the order in which it was.
    pub rewrites: Vec<Rewrite>,
    /// What could not be proved.
    pub undone: Vec<Undone>,
    /// How much the card decides of a program that it takes in part only, with [`Allow::Split`] or [`Allow::Redirect`]; the original program
    /// has to be attached natively beside it. `None`: this is the whole program.
    pub share: Option<Share>,
    /// What the target says of it; slots are those of `layout`.
    pub verdict: Verdict,
}

impl Lowered {
    /// Whether the target takes it.
    pub fn is_accepted(&self) -> bool {
        self.verdict.is_accepted()
    }

    /// What was allowed and not made use of.
    pub fn unneeded(&self, options: &Options) -> Vec<Allow> {
        let used = |allow: &Allow| {
            let mut needed = self.rewrites.iter().map(|rewrite| rewrite.needs_allow);
            needed.any(|needed| needed == Some(*allow))
        };
        let allowed = options.allow.iter().copied();
        allowed.filter(|allow| !used(allow)).collect()
    }

    /// What stands in the way, by slots of the original program.
    pub fn obstacles(&self) -> Vec<Finding> {
        let errors = self.verdict.findings.iter();
        errors
            .filter(|finding| finding.severity == crate::verify::Severity::Error)
            .map(|finding| at_origin(finding.clone(), &self.layout))
            .collect()
    }
}

/// Why there is nothing to lower.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// The verifier refuses the program as it is.
    #[error("the program itself is refused: {0}")]
    Refused(Box<Finding>),
    /// It is not in one piece.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

fn at_origin(mut finding: Finding, layout: &Layout) -> Finding {
    let origin = |slot: usize| layout.origins.get(slot).copied().flatten();
    // The nearest instruction before that stands for one of the original.
    let before = |slot: usize| (0..=slot).rev().find_map(origin).unwrap_or(0);
    finding.insn = before(finding.insn);
    for (slot, _) in &mut finding.related {
        *slot = before(*slot);
    }
    for (slot, _) in &mut finding.path {
        *slot = before(*slot);
    }
    finding
}

/// Rewrites a program until the target takes it, or nothing more can be done.
pub fn lower(
    original: &target::Program<'_>,
    target: &dyn Target,
    options: &Options,
) -> Result<Lowered, LowerError> {
    lower_by((PASSES, LAST_PASSES), original, target, options)
}

/// The same with passes of one's own choice, and such that run where the program is refused after those.
///
/// # Errors
/// As [`lower`].
pub fn lower_by(
    (passes, last): (&[Pass], &[Pass]),
    original: &target::Program<'_>,
    target: &dyn Target,
    options: &Options,
) -> Result<Lowered, LowerError> {
    let input = original.input;
    let forms = target.forms();
    let given = |newest: bool| -> Result<State, LowerError> {
        let rules = Rules {
            offloaded: forms.offloaded,
            known_lookups: newest && input.rules.known_lookups,
            known_negations: newest && input.rules.known_negations,
            ..input.rules
        };
        let mut program = Program::new(&Input {
            rules,
            ..input.clone()
        })?;
        let layout = program.lay_out()?;
        let facts = Facts::gather(&program, &layout);
        match facts.verdict.error() {
            Some(error) => Err(LowerError::Refused(Box::new(at_origin(
                error.clone(),
                &layout,
            )))),
            None => Ok(State {
                program,
                layout,
                facts,
            }),
        }
    };
    // What only the newest kernels prove must not be relied on where an older one proves the program, too.
    let state = given(false).or_else(|_| given(true))?;
    let most = (target.limits().instructions as usize).min(MOST_SLOTS);
    let mut work = Work {
        state,
        target,
        forms,
        options,
        most,
        effort: Effort::default(),
        rewrites: Vec::new(),
        undone: Vec::new(),
    };
    work.rounds(passes);
    let check = |program: &Program, layout: &Layout| {
        target.check(&target::Program {
            input: &layout.input(program),
            frags: original.frags,
        })
    };
    let mut verdict = check(&work.state.program, &work.state.layout);
    if !verdict.is_accepted() && work.rounds(last) {
        work.rounds(passes);
        verdict = check(&work.state.program, &work.state.layout);
    }
    let mut share = None;
    let left = [
        (Allow::Split, Left::Anything),
        (Allow::Redirect, Left::Redirects),
    ];
    let left = left
        .into_iter()
        .find(|(allow, _)| options.allow.contains(allow));
    if let Some((allow, left)) = left.filter(|_| !verdict.is_accepted()) {
        share = work.split(allow, left, &check);
        if share.is_some() {
            work.rounds(passes);
            verdict = check(&work.state.program, &work.state.layout);
        }
    }
    let State {
        program, layout, ..
    } = work.state;
    Ok(Lowered {
        program,
        layout,
        rewrites: work.rewrites,
        undone: work.undone,
        share,
        verdict,
    })
}

/// A program that is proved safe.
#[derive(Clone)]
pub(super) struct State {
    pub(super) program: Program,
    pub(super) layout: Layout,
    pub(super) facts: Facts,
}

/// Instructions that were followed so far.
#[derive(Debug, Default)]
pub(super) struct Effort(Cell<usize>);

impl State {
    /// Lays a program out and verifies it, unless that was done too much already.
    pub(super) fn prove(mut program: Program, effort: &Effort) -> Result<Self, Box<Finding>> {
        use crate::verify::Code;
        if effort.0.get() > MOST_FOLLOWED {
            let why = "proving the rewrites of this program takes too long";
            return Err(Box::new(Finding::error(Code::TooComplex, 0, why)));
        }
        program.join_blocks();
        let layout = program
            .lay_out()
            .map_err(|error| Box::new(Finding::error(Code::ControlFlow, 0, error.to_string())))?;
        let facts = Facts::gather(&program, &layout);
        effort.0.set(effort.0.get() + facts.verdict.processed);
        match facts.verdict.error() {
            Some(error) => Err(Box::new(at_origin(error.clone(), &layout))),
            None => Ok(Self {
                program,
                layout,
                facts,
            }),
        }
    }
}

struct Work<'a> {
    state: State,
    target: &'a dyn Target,
    forms: Forms,
    options: &'a Options,
    most: usize,
    effort: Effort,
    rewrites: Vec<Rewrite>,
    undone: Vec<Undone>,
}

/// What became of a run of a pass.
enum Outcome {
    /// It found nothing to do.
    Nothing,
    /// The program is safe.
    Safe(Box<State>, Vec<Rewrite>),
    /// It is not, after so many rewrites.
    Unsafe(Finding, usize),
}

impl Work<'_> {
    /// Runs the passes that are wanted until none finds anything more. Whether one found something.
    fn rounds(&mut self, passes: &[Pass]) -> bool {
        let first = self.rewrites.len();
        for _ in 0..ROUNDS {
            let before = self.rewrites.len();
            for pass in passes {
                if pass
                    .allow
                    .is_none_or(|allow| self.options.allow.contains(&allow))
                    && (self.options.optimise || !pass.optimises)
                {
                    self.run(pass);
                }
            }
            if self.rewrites.len() == before {
                break;
            }
        }
        self.rewrites.len() > first
    }

    /// Leaves to the host what the target does not take.
    fn split(
        &mut self,
        allow: Allow,
        left: Left,
        check: &dyn Fn(&Program, &Layout) -> Verdict,
    ) -> Option<Share> {
        let card = split(self.state.clone(), left, check, &self.effort)?;
        for (at, steps) in &card.cuts {
            self.rewrites.push(Rewrite {
                pass: "split",
                at: *at,
                before: rewrite::text(steps, &card.state.program.maps),
                after: vec!["pass the packet on to the host".to_owned()],
                needs_allow: Some(allow),
            });
        }
        self.state = card.state;
        Some(card.share)
    }

    /// Runs a pass; of its rewrites, those after which the program is refused are left out.
    fn run(&mut self, pass: &Pass) {
        let mut left_out = BTreeSet::new();
        loop {
            let (why, sites) = match self.attempt(pass, usize::MAX, &left_out) {
                Outcome::Nothing => return,
                Outcome::Safe(state, rewrites) => {
                    self.state = *state;
                    self.rewrites.extend(rewrites);
                    return;
                }
                Outcome::Unsafe(why, sites) => (why, sites),
            };
            let known = self
                .undone
                .iter()
                .any(|undone| undone.pass == pass.name && undone.why == why);
            if !known {
                self.undone.push(Undone {
                    pass: pass.name,
                    why,
                });
            }
            if left_out.len() >= LEFT_OUT {
                return;
            }
            left_out.insert(self.culprit(pass, sites, &left_out));
        }
    }

    /// The first rewrite after which the program is refused, by halving.
    fn culprit(&self, pass: &Pass, sites: usize, left_out: &BTreeSet<usize>) -> usize {
        let (mut safe, mut refused) = (0, sites);
        while safe + 1 < refused {
            let middle = usize::midpoint(safe, refused);
            match self.attempt(pass, middle, left_out) {
                Outcome::Unsafe(..) => refused = middle,
                _ => safe = middle,
            }
        }
        refused - 1
    }

    fn attempt(&self, pass: &Pass, limit: usize, left_out: &BTreeSet<usize>) -> Outcome {
        let mut program = self.state.program.clone();
        let mut context = Context {
            facts: &self.state.facts,
            target: self.target,
            state: &self.state,
            forms: &self.forms,
            options: self.options,
            pass,
            log: Vec::new(),
            room: self.most.saturating_sub(program.slots()),
            sites: 0,
            limit,
            left_out,
        };
        (pass.run)(&mut program, &mut context);
        let (log, sites) = (context.log, context.sites);
        if log.is_empty() {
            return Outcome::Nothing;
        }
        match State::prove(program, &self.effort) {
            Ok(state) => Outcome::Safe(Box::new(state), log),
            Err(finding) => Outcome::Unsafe(*finding, sites),
        }
    }
}
