//! Climbing down the ladder: load and attach at each rung of the plan until one holds.

use crate::attach::{self, Attach, Undo};
use crate::effects::Watcher;
use crate::explain;
use crate::load::{Binding, LoadError, Loaded, Loader};
use crate::metadata::Metadata;
use crate::nic_program::{Made, NicProgram};
use crate::occupant::{self, Holder};
use crate::outcome::{Attempt, AttemptResult, Beside, Outcome};
use crate::plan::{Action, Decision, Halves, Plan, Request, Rung, plan, plan_halves};
use kernel::kmsg::KernelLog;
use kernel::netlink::Route;
use kernel::netlink::link::Mode;
use offload_compiler::object::Object;
use probe::settings::Settings;
use probe::{Facts, Needs, Snapshot};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Attaches one program of an object to interfaces, one [`Ladder::climb`] each.
///
/// Dropping it without [`Ladder::keep`] leaves attachments where they are but removes the pins it made.
pub struct Ladder<'a> {
    object: &'a Object,
    name: &'a str,
    program: usize,
    metadata: Metadata,
    loader: Loader<'a>,
    pin_dir: Option<PathBuf>,
    route: Route,
    watcher: Watcher,
    /// The program as native and generic mode take it, loaded once for all interfaces.
    shared: Option<Result<Rc<Loaded>, LoadError>>,
    held: Vec<Held>,
}

/// A rung that held.
struct Held {
    ifname: String,
    ifindex: u32,
    /// How the interface was set before.
    before: Option<Settings>,
    undo: Undo,
    loaded: Rc<Loaded>,
}

/// Where a rung is tried.
#[derive(Clone, Copy)]
struct Interface<'a> {
    snapshot: &'a Snapshot,
    facts: &'a Facts,
    nic: &'a NicProgram,
}

/// A rung that was just tried and held.
struct Standing {
    attempt: Attempt,
    program_id: u32,
    holder: Holder,
}

/// An interface that could not be put back as it was.
#[derive(Debug)]
pub struct RollbackFailure {
    /// The interface.
    pub ifname: String,
    /// What the kernel said.
    pub error: kernel::Error,
}

impl<'a> Ladder<'a> {
    /// For program number `program` of `object`, whose file is called `name`. With `pin_dir` maps are
    /// pinned there, and attachments are links pinned there as `link-IFNAME`.
    pub fn new(
        object: &'a Object,
        name: &'a str,
        program: usize,
        pin_dir: Option<PathBuf>,
    ) -> kernel::Result<Self> {
        Ok(Self {
            object,
            name,
            program,
            metadata: Metadata::of(object, program),
            loader: Loader::new(object, name, pin_dir.clone()),
            pin_dir,
            route: Route::open()?,
            watcher: Watcher::open(),
            shared: None,
            held: Vec::new(),
        })
    }

    /// What would be tried on an interface. Changes nothing.
    pub fn plan(&self, snapshot: &Snapshot, facts: &Facts, request: Request) -> Plan {
        let verdicts = probe::judge(snapshot, facts, &self.needs());
        let occupants = occupant::find(facts.link.ifindex, &facts.link.xdp);
        let mut plan = plan(&verdicts, &occupants, request);
        self.metadata.restrict(&mut plan);
        plan
    }

    /// The same, where it is known what the NIC would be given.
    pub fn plan_with(
        &self,
        snapshot: &Snapshot,
        facts: &Facts,
        request: Request,
        nic: &NicProgram,
    ) -> Plan {
        let mut plan = self.plan(snapshot, facts, request);
        if let NicProgram::Made(made) = nic
            && made.part
        {
            let Halves { nic, host } = self.plan_halves(snapshot, facts, request);
            if let Some(decision) = nic.filter(|decision| matches!(decision, Decision::Try(_))) {
                plan.rungs = vec![Rung::new(Mode::Offload, decision)];
                plan.rungs.extend(host.rungs);
            }
        }
        for rung in &mut plan.rungs {
            if rung.mode != Mode::Offload || !matches!(rung.decision, Decision::Try(_)) {
                continue;
            }
            match nic {
                NicProgram::AsIs => {}
                NicProgram::Made(made) => rung.notes.clone_from(&made.notes),
                NicProgram::Refused { reason, remedy } => {
                    rung.decision = Decision::Skip {
                        reason: reason.clone(),
                        remedy: remedy.clone(),
                    };
                }
            }
        }
        plan
    }

    /// Attaches to one interface, where the NIC's own rung is given `nic`. Where no rung holds the interface is as it was
    /// before.
    pub fn climb(
        &mut self,
        snapshot: &Snapshot,
        facts: &Facts,
        request: Request,
        nic: &NicProgram,
    ) -> Outcome {
        let at = Interface {
            snapshot,
            facts,
            nic,
        };
        let ifindex = facts.link.ifindex;
        let before = self.watcher.settings(ifindex);
        let mut outcome = match nic {
            NicProgram::Made(made) if made.part => self.climb_twice(at, request),
            _ => self.climb_down(at, self.plan(snapshot, facts, request)),
        };
        if let Some(before) = before {
            outcome.effects = if outcome.mode.is_some() {
                self.watcher.attached(ifindex, &before)
            } else {
                self.watcher.restored(ifindex, &before)
            };
            for held in self.held.iter_mut().filter(|held| held.ifindex == ifindex) {
                held.before.get_or_insert_with(|| before.clone());
            }
        }
        outcome
    }

    /// One rung after the other, until one holds.
    fn climb_down(&mut self, at: Interface<'_>, plan: Plan) -> Outcome {
        let program = &self.object.programs[self.program].name;
        let mut outcome = Outcome::new(&at.facts.link.name, program, plan.wanted);
        for rung in plan.rungs {
            let action = match rung.decision {
                Decision::Try(action) => action,
                Decision::Skip { reason, remedy } => {
                    outcome
                        .attempts
                        .push(Attempt::skipped(rung.mode, reason, remedy));
                    continue;
                }
            };
            let refused_above = outcome
                .attempts
                .iter()
                .any(|attempt| attempt.mode != Mode::Offload && attempt.is_refused_load());
            match self.try_rung(at, rung.mode, &action, refused_above) {
                Ok(held) => {
                    outcome.fell_back = outcome.below_what_was_asked(rung.mode);
                    outcome.attempts.push(held.attempt);
                    outcome.mode = Some(rung.mode);
                    outcome.program_id = Some(held.program_id);
                    outcome.replaced = action.replaces().map(|occupant| occupant.program_id);
                    outcome.holder = Some(held.holder);
                    break;
                }
                Err(refused) => {
                    outcome.attempts.push(refused.attempt);
                    if refused.ends_the_ladder {
                        break;
                    }
                }
            }
        }
        outcome
    }

    /// A part of the program on the NIC, and the program itself on the host. The host's comes first: so there is no moment
    /// in which packets pass that the program would have stopped.
    fn climb_twice(&mut self, at: Interface<'_>, request: Request) -> Outcome {
        let Halves { nic, host } = self.plan_halves(at.snapshot, at.facts, request);
        let Some(Decision::Try(action)) = nic else {
            // As if there were no such part.
            return self.climb_down(at, self.plan(at.snapshot, at.facts, request));
        };
        let mut outcome = self.climb_down(at, host);
        outcome.wanted = request.wanted;
        let Some(mode) = outcome.mode else {
            let reason =
                "the NIC would decide a part only, and nothing on the host would decide the rest";
            outcome
                .attempts
                .insert(0, Attempt::skipped(Mode::Offload, reason.to_owned(), None));
            return outcome;
        };
        match self.try_rung(at, Mode::Offload, &action, false) {
            Ok(held) => {
                outcome.attempts.insert(0, held.attempt);
                outcome.beside = outcome.program_id.map(|program_id| Beside {
                    mode,
                    program_id,
                    replaced: outcome.replaced,
                });
                outcome.mode = Some(Mode::Offload);
                outcome.fell_back = false;
                outcome.program_id = Some(held.program_id);
                outcome.replaced = action.replaces().map(|occupant| occupant.program_id);
                outcome.holder = Some(held.holder);
            }
            Err(refused) => {
                outcome.attempts.insert(0, refused.attempt);
                outcome.fell_back = true;
                if !request.fallback {
                    self.take_back_host(&mut outcome);
                }
            }
        }
        outcome
    }

    fn plan_halves(&self, snapshot: &Snapshot, facts: &Facts, request: Request) -> Halves {
        let verdicts = probe::judge(snapshot, facts, &self.needs());
        let occupants = occupant::find(facts.link.ifindex, &facts.link.xdp);
        let mut halves = plan_halves(&verdicts, &occupants, request);
        self.metadata.restrict(&mut halves.host);
        halves
    }

    /// `--no-fallback`: the host's half alone is not what was asked for.
    fn take_back_host(&mut self, outcome: &mut Outcome) {
        let Some(Held { undo, loaded, .. }) = self.held.pop() else {
            return;
        };
        let taken_back = undo.run(&mut self.route, &loaded.program);
        for attempt in &mut outcome.attempts {
            if attempt.result != AttemptResult::Ok {
                continue;
            }
            attempt.result = AttemptResult::Refused;
            attempt.reason =
                Some("it held and was taken back, because the NIC's part did not".to_owned());
            if let Err(error) = &taken_back {
                attempt.result = AttemptResult::Failed;
                attempt.reason = Some(format!("it held and cannot be taken back: {error}"));
            }
        }
        outcome.mode = None;
        outcome.program_id = None;
        outcome.replaced = None;
        outcome.holder = None;
    }

    /// Takes back what the climbs so far have attached, the last one first; pins go too.
    pub fn roll_back(&mut self) -> Vec<RollbackFailure> {
        let mut failures = Vec::new();
        while let Some(Held {
            ifname,
            ifindex,
            before,
            undo,
            loaded,
        }) = self.held.pop()
        {
            if let Err(error) = undo.run(&mut self.route, &loaded.program) {
                failures.push(RollbackFailure { ifname, error });
            } else if let Some(before) = before {
                for change in self.watcher.restored(ifindex, &before).changes {
                    tracing::warn!("{ifname}: {change}, which could not be put back");
                }
            }
        }
        failures
    }

    /// Ends with everything left as it is now: attachments, and the pins of programs that are attached.
    pub fn keep(self) -> Result<(), LoadError> {
        self.held.iter().try_for_each(|held| held.loaded.settle())
    }

    fn needs(&self) -> Needs {
        Needs {
            frags: self.object.programs[self.program].kind.frags(),
            // What is attached is the plan's to judge.
            replace: true,
        }
    }

    fn try_rung(
        &mut self,
        at: Interface<'_>,
        mode: Mode,
        action: &Action,
        refused_above: bool,
    ) -> Result<Standing, Box<explain::Refused>> {
        let Interface {
            snapshot,
            facts,
            nic,
        } = at;
        tracing::debug!(interface = facts.link.name, %mode, ?action, "trying");
        let mut on = explain::Context {
            snapshot,
            facts,
            needs: self.needs(),
            mode,
            kernel_log: Vec::new(),
        };
        let mut log = KernelLog::follow()
            .inspect_err(|error| tracing::debug!(%error, "the kernel's log is not read"))
            .ok();
        let mut new_in_log = || {
            log.as_mut().map_or_else(Vec::new, |log| {
                probe::kernel_log::about(facts, &log.new_records())
            })
        };
        let ifindex = facts.link.ifindex;
        let mut notes = None;
        let loaded = match nic {
            NicProgram::Refused { reason, remedy } if mode == Mode::Offload => {
                return Err(Box::new(explain::Refused {
                    attempt: Attempt::not_lowered(reason.clone(), remedy.clone()),
                    ends_the_ladder: false,
                }));
            }
            NicProgram::Made(made) if mode == Mode::Offload => {
                notes = (!made.notes.is_empty()).then(|| made.notes.join("; "));
                self.load_made(made, ifindex)
            }
            _ => {
                if mode == Mode::Native {
                    notes = self.metadata.untold(facts);
                }
                self.load(ifindex, mode)
            }
        };
        let loaded = loaded.map_err(|error| {
            on.kernel_log = new_in_log();
            Box::new(on.load_refused(&error, refused_above))
        })?;
        // Beside a part on the NIC there is a second attachment.
        let name = match nic {
            NicProgram::Made(made) if mode == Mode::Offload && made.part => "nic-link",
            _ => "link",
        };
        let link_pin = self
            .pin_dir
            .as_deref()
            .map(|dir| link_pin(dir, name, &facts.link.name));
        let attached = attach::attach(
            &mut self.route,
            Attach {
                ifindex,
                mode,
                program: &loaded.program,
                action,
                link_pin: link_pin.as_deref(),
            },
        )
        .map_err(|error| {
            on.kernel_log = new_in_log();
            Box::new(on.attach_refused(&error, action, link_pin.as_deref()))
        })?;
        let standing = Standing {
            attempt: Attempt {
                reason: notes,
                kernel_log: new_in_log(),
                ..Attempt::held(mode, attached.warning)
            },
            program_id: loaded.id,
            holder: attached.holder,
        };
        self.held.push(Held {
            ifname: facts.link.name.clone(),
            ifindex,
            before: None,
            undo: attached.undo,
            loaded,
        });
        Ok(standing)
    }

    /// What was made for a NIC. The maps of a part are others than the program's own, and pinned apart.
    fn load_made(&self, made: &Made, ifindex: u32) -> Result<Rc<Loaded>, LoadError> {
        let object = &made.object;
        let loader = match &self.pin_dir {
            Some(dir) if made.part => Loader::new(object, self.name, Some(dir.join("nic"))),
            // Where a map is pinned by its own wish, the program's is pinned already.
            None if made.part => Loader::for_trial(object, self.name),
            dir => Loader::new(object, self.name, dir.clone()),
        };
        loader
            .load(made.program, Binding::Offload(ifindex))
            .map(Rc::new)
    }

    fn load(&mut self, ifindex: u32, mode: Mode) -> Result<Rc<Loaded>, LoadError> {
        let bound = |binding| self.loader.load(self.program, binding).map(Rc::new);
        if mode == Mode::Offload {
            return bound(Binding::Offload(ifindex));
        }
        if mode == Mode::Native && self.metadata.is_asked() {
            return bound(Binding::Device(ifindex));
        }
        let shared = self
            .shared
            .get_or_insert_with(|| bound(Binding::None))
            .clone();
        match shared {
            // Generic mode takes no such program; there the reason stands as it is.
            Err(error) if mode == Mode::Native && error.needs_device() => {
                bound(Binding::Device(ifindex))
            }
            shared => shared,
        }
    }
}

/// Interface names may hold dots, names in a BPF file system may not; a colon is the other way round.
fn link_pin(dir: &Path, name: &str, ifname: &str) -> PathBuf {
    dir.join(format!("{name}-{}", ifname.replace('.', ":")))
}
