//! The device itself: trial loads and maps, bound to it, each dropped when its answer is there.

use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kernel::bpf::map::{Map, MapKind, MapSpec};
use kernel::bpf::program::{Program, ProgramSpec};
use kernel::bpf::{map_ids, program_ids};
use kernel::netlink::Route;
use kernel::{Errno, Refusal};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::catalogue::{HASH, Shape, TrialMap};
use super::code::{self, Insn};
use super::survey::{Device, Loaded};
use crate::facts::{Facts, Snapshot};
use crate::judge::Needs;
use crate::judge::explain::{Binding, Tried, explain};
use crate::{Error, Result};

/// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`
const EVENTS: u32 = 4;
/// Descriptors for all maps that are kept at a time.
const DESCRIPTORS: u64 = 8192;
/// Bytes of the registers that are of interest.
const REGISTERS: usize = 0x90;
const PAUSE: Duration = Duration::from_millis(5);
/// How often a map for a trial is asked for, where there must be room.
const PATIENCE: u32 = 200;

/// An interface that takes programs.
pub(super) struct Card<'a> {
    facts: &'a Facts,
    ifindex: u32,
    /// Interfaces of the same card, which share its maps.
    ports: HashSet<u32>,
    stop: &'a AtomicBool,
    kept: Vec<Map>,
    kind: u32,
    /// What was there before.
    before: Bound,
    /// Programs and maps that were tried on it.
    pub(super) trials: u32,
}

/// Ids of what is bound to the device.
#[derive(Debug, Default)]
struct Bound {
    programs: HashSet<u32>,
    maps: HashSet<u32>,
}

impl<'a> Card<'a> {
    /// Opens it, if it takes a program at all.
    pub(super) fn open(
        snapshot: &'a Snapshot,
        facts: &'a Facts,
        stop: &'a AtomicBool,
    ) -> Result<Self> {
        raise_limit();
        let parent = facts.link.parent_device.as_ref();
        let is_port = |other: &&Facts| {
            other.link.ifindex == facts.link.ifindex
                || parent.is_some() && other.link.parent_device.as_ref() == parent
        };
        let ports = snapshot.interfaces().iter().filter(is_port);
        let ports = ports.map(|facts| facts.link.ifindex).collect();
        let mut card = Self {
            facts,
            ifindex: facts.link.ifindex,
            ports,
            stop,
            kept: Vec::new(),
            kind: HASH,
            before: Bound::default(),
            trials: 0,
        };
        card.before = card.bound()?;
        match Program::load(&ProgramSpec::pass(Some(card.ifindex))) {
            Ok(_) => Ok(card),
            Err(kernel::Error::Refused(refusal)) if !refusal.errno.is_permission() => {
                card.still_there()?;
                let tried = Tried::Load(Binding::Offload);
                let why = explain(tried, &refusal, snapshot, facts, &Needs::default());
                Err(Error::NoOffload(Box::new(why)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is bound to the card's interfaces now.
    fn bound(&self) -> Result<Bound> {
        let mut bound = Bound::default();
        // What goes away in between, or belongs to an interface that is gone, is not there.
        for id in program_ids() {
            let id = id?;
            let info = Program::from_id(id).and_then(|program| program.info());
            if info.is_ok_and(|info| info.ifindex == Some(self.ifindex)) {
                bound.programs.insert(id);
            }
        }
        for id in map_ids() {
            let id = id?;
            let info = Map::from_id(id).and_then(|map| map.info());
            if info.is_ok_and(|info| self.has_port(info.ifindex)) {
                bound.maps.insert(id);
            }
        }
        Ok(bound)
    }

    fn has_port(&self, ifindex: Option<u32>) -> bool {
        ifindex.is_some_and(|ifindex| self.ports.contains(&ifindex))
    }

    /// What is bound to the device now and was not before, by name: nothing, unless others have been at work.
    pub(super) fn left(&self) -> Result<Vec<String>> {
        let now = self.bound()?;
        let programs = now.programs.difference(&self.before.programs);
        let maps = now.maps.difference(&self.before.maps);
        Ok(programs
            .map(|id| format!("program {id}"))
            .chain(maps.map(|id| format!("map {id}")))
            .collect())
    }

    /// Fails where the interface is gone.
    pub(super) fn still_there(&self) -> Result<()> {
        match Route::open()?.link_by_index(self.ifindex) {
            Ok(_) => Ok(()),
            Err(error) if error.errno() == Some(Errno::ENODEV) => Err(Error::Vanished {
                name: self.facts.link.name.clone(),
                during: "caps",
            }),
            Err(error) => Err(error.into()),
        }
    }

    fn go_on(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        Ok(())
    }

    fn create(&self, shape: Shape, bound: bool) -> Result<std::result::Result<Map, Errno>> {
        let created = Map::create(&MapSpec {
            name: "caps",
            kind: MapKind(shape.kind),
            key_size: shape.key,
            value_size: shape.value,
            max_entries: shape.entries,
            flags: shape.flags,
            ifindex: bound.then_some(self.ifindex),
            ..MapSpec::default()
        });
        match created {
            Ok(map) => Ok(Ok(map)),
            Err(error) => Ok(Err(refusal(error)?.errno)),
        }
    }

    /// A map for a trial program; the errno where there is none.
    fn trial_map(&mut self, map: TrialMap, bound: bool) -> Result<std::result::Result<Map, Errno>> {
        let (kind, value, bound) = match map {
            TrialMap::Value => (self.kind, 8, bound),
            TrialMap::Events => (EVENTS, 4, false),
            TrialMap::Host(kind) => (kind, 4, false),
        };
        let shape = Shape {
            kind,
            key: 4,
            value,
            entries: 1,
            flags: 0,
        };
        let mut made = self.create(shape, bound)?;
        // Maps of earlier trials may not be freed yet.
        for _ in 0..PATIENCE {
            match made {
                Err(Errno::ENOMEM | Errno::ENOSPC) if bound => {
                    self.pause();
                    self.go_on()?;
                    made = self.create(shape, bound)?;
                }
                _ => break,
            }
        }
        Ok(made)
    }

    fn try_load(
        &mut self,
        code: &[Insn],
        maps: &[TrialMap],
        bound: bool,
    ) -> Result<std::result::Result<Program, (i32, String)>> {
        self.go_on()?;
        let mut made = Vec::new();
        for &map in maps {
            match self.trial_map(map, bound)? {
                Ok(map) => made.push(map),
                Err(errno) => return Ok(Err((errno.0, "no such map can be made".to_owned()))),
            }
        }
        let descriptor = |number: i32| {
            let map = usize::try_from(number).ok().and_then(|at| made.get(at));
            map.map_or(-1, |map| map.as_fd().as_raw_fd())
        };
        let insns = code::bytes(code, descriptor);
        let spec = ProgramSpec {
            name: "caps",
            insns: &insns,
            license: "GPL",
            ifindex: bound.then_some(self.ifindex),
            ..ProgramSpec::default()
        };
        match Program::load_with_statistics(&spec) {
            Ok((program, _)) => Ok(Ok(program)),
            Err(error) => {
                let refusal = refusal(error)?;
                let words = driver_words(refusal.verifier_log.as_deref().unwrap_or_default());
                Ok(Err((refusal.errno.0, words)))
            }
        }
    }
}

impl Device for Card<'_> {
    fn load(&mut self, code: &[Insn], maps: &[TrialMap]) -> Result<Loaded> {
        self.trials += 1;
        Ok(match self.try_load(code, maps, true)? {
            Ok(program) => {
                let code = program.jited()?;
                let (words, _) = code.as_chunks::<8>();
                Loaded::Taken(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
            }
            Err((errno, words)) => Loaded::Refused { errno, words },
        })
    }

    fn load_on_host(&mut self, code: &[Insn], maps: &[TrialMap]) -> Result<Option<i32>> {
        let loaded = self.try_load(code, maps, false)?;
        Ok(loaded.err().map(|(errno, _)| errno))
    }

    fn keep_map(&mut self, shape: Shape) -> Result<Option<i32>> {
        self.go_on()?;
        self.trials += 1;
        Ok(match self.create(shape, true)? {
            Ok(map) => {
                self.kept.push(map);
                None
            }
            Err(errno) => Some(errno.0),
        })
    }

    fn host_map(&mut self, shape: Shape) -> Result<Option<i32>> {
        Ok(self.create(shape, false)?.err().map(|errno| errno.0))
    }

    fn drop_maps(&mut self) {
        self.kept.clear();
    }

    fn pause(&mut self) {
        thread::sleep(PAUSE);
    }

    fn most_maps(&self) -> u32 {
        // Some descriptors are open already, and a program needs some.
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(DESCRIPTORS);
        u32::try_from(limit.saturating_sub(64)).unwrap_or(u32::MAX)
    }

    fn others(&mut self) -> Result<(u32, u32)> {
        let (mut count, mut elements) = (0, 0u32);
        for id in map_ids() {
            let Ok(info) = Map::from_id(id?).and_then(|map| map.info()) else {
                continue;
            };
            if self.has_port(info.ifindex) {
                count += 1;
                elements = elements.saturating_add(info.max_entries);
            }
        }
        Ok((count, elements))
    }

    fn use_kind(&mut self, kind: u32) {
        self.kind = kind;
    }

    fn registers(&mut self) -> Result<Option<Vec<u8>>> {
        let registers = kernel::netlink::registers(&self.facts.link.name)?;
        Ok(registers.map(|registers| {
            let mut bytes = registers.bytes;
            bytes.truncate(REGISTERS);
            bytes
        }))
    }

    fn check(&mut self) -> Result<()> {
        match Program::load(&ProgramSpec::pass(Some(self.ifindex))) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.still_there()?;
                Err(error.into())
            }
        }
    }
}

/// The kernel's no; another failure is one of the trial.
fn refusal(error: kernel::Error) -> Result<Refusal> {
    match error {
        kernel::Error::Refused(refusal) if refusal.errno != Errno::EMFILE => Ok(*refusal),
        error => Err(error.into()),
    }
}

/// The lines that the driver wrote into the verifier's log, which begin with its name in brackets.
fn driver_words(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with('[')).collect();
    lines.join("; ")
}

/// A map is a descriptor. Where the limit cannot be raised, the system's own answer tells later.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit
        .maximum
        .map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if limit.current.is_some_and(|current| current < wanted) {
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(wanted),
                ..limit
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_driver_wrote_are_its_words() {
        let log = "0: (b7) r2 = 0\n[nfp] unsupported function id: 5\nprocessed 1 insns\n";
        assert_eq!(driver_words(log), "[nfp] unsupported function id: 5");
        assert_eq!(driver_words(""), "");
    }
}
