//! Climbing down the ladder: load and attach at each rung of the plan until one holds.

use crate::attach::{self, Attach, Undo};
use crate::explain;
use crate::load::{Binding, LoadError, Loaded, Loader};
use crate::occupant;
use crate::outcome::{Attempt, Outcome};
use crate::plan::{Action, Decision, Plan, Request, plan};
use kernel::netlink::Route;
use kernel::netlink::link::Mode;
use offload_compiler::object::Object;
use probe::{Facts, Needs, Snapshot};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Attaches one program of an object to interfaces, one [`Ladder::climb`] each.
///
/// Dropping it without [`Ladder::keep`] leaves attachments where they are but removes the pins it made.
pub struct Ladder<'a> {
    object: &'a Object,
    program: usize,
    loader: Loader<'a>,
    pin_dir: Option<PathBuf>,
    route: Route,
    /// The program as native and generic mode take it, loaded once for all interfaces.
    shared: Option<Result<Rc<Loaded>, LoadError>>,
    held: Vec<Held>,
}

/// A rung that held.
struct Held {
    ifname: String,
    undo: Undo,
    loaded: Rc<Loaded>,
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
            program,
            loader: Loader::new(object, name, pin_dir.clone()),
            pin_dir,
            route: Route::open()?,
            shared: None,
            held: Vec::new(),
        })
    }

    /// What would be tried on an interface. Changes nothing.
    pub fn plan(&self, snapshot: &Snapshot, facts: &Facts, request: Request) -> Plan {
        let verdicts = probe::judge(snapshot, facts, &self.needs());
        let occupants = occupant::find(facts.link.ifindex, &facts.link.xdp);
        plan(&verdicts, &occupants, request)
    }

    /// Attaches to one interface. Where no rung holds the interface is as it was before.
    pub fn climb(&mut self, snapshot: &Snapshot, facts: &Facts, request: Request) -> Outcome {
        let plan = self.plan(snapshot, facts, request);
        let mut outcome = Outcome {
            ifname: facts.link.name.clone(),
            program: self.object.programs[self.program].name.clone(),
            wanted: plan.wanted,
            mode: None,
            fell_back: false,
            attempts: Vec::new(),
            program_id: None,
            replaced: None,
            holder: None,
            taken_back_for: None,
        };
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
            tracing::debug!(interface = facts.link.name, mode = %rung.mode, ?action, "trying");
            let refused_above = outcome
                .attempts
                .iter()
                .any(|attempt| attempt.mode != Mode::Offload && attempt.is_refused_load());
            match self.try_rung(snapshot, facts, rung.mode, &action, refused_above) {
                Ok((attached, loaded)) => {
                    outcome.fell_back = outcome.below_what_was_asked(rung.mode);
                    outcome
                        .attempts
                        .push(Attempt::held(rung.mode, attached.warning));
                    outcome.mode = Some(rung.mode);
                    outcome.program_id = Some(loaded.id);
                    outcome.replaced = action.replaces().map(|occupant| occupant.program_id);
                    outcome.holder = Some(attached.holder);
                    self.held.push(Held {
                        ifname: facts.link.name.clone(),
                        undo: attached.undo,
                        loaded,
                    });
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

    /// Takes back what the climbs so far have attached, the last one first; pins go too.
    pub fn roll_back(&mut self) -> Vec<RollbackFailure> {
        let mut failures = Vec::new();
        while let Some(Held {
            ifname,
            undo,
            loaded,
        }) = self.held.pop()
        {
            if let Err(error) = undo.run(&mut self.route, &loaded.program) {
                failures.push(RollbackFailure { ifname, error });
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
        snapshot: &Snapshot,
        facts: &Facts,
        mode: Mode,
        action: &Action,
        refused_above: bool,
    ) -> Result<(attach::Attached, Rc<Loaded>), Box<explain::Refused>> {
        let on = explain::Context {
            snapshot,
            facts,
            needs: self.needs(),
            mode,
        };
        let loaded = self
            .load(facts.link.ifindex, mode)
            .map_err(|error| Box::new(on.load_refused(&error, refused_above)))?;
        let link_pin = self
            .pin_dir
            .as_deref()
            .map(|dir| link_pin(dir, &facts.link.name));
        let attached = attach::attach(
            &mut self.route,
            Attach {
                ifindex: facts.link.ifindex,
                mode,
                program: &loaded.program,
                action,
                link_pin: link_pin.as_deref(),
            },
        )
        .map_err(|error| Box::new(on.attach_refused(&error, action, link_pin.as_deref())))?;
        Ok((attached, loaded))
    }

    fn load(&mut self, ifindex: u32, mode: Mode) -> Result<Rc<Loaded>, LoadError> {
        let bound = |binding| self.loader.load(self.program, binding).map(Rc::new);
        if mode == Mode::Offload {
            return bound(Binding::Offload(ifindex));
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
fn link_pin(dir: &Path, ifname: &str) -> PathBuf {
    dir.join(format!("link-{}", ifname.replace('.', ":")))
}
