//! Swapping the program of an interface for another one, again and again.

use super::maps::{holds_data, is_target};
use crate::exit::{Exit, Failure};
use crate::map_halves::is_named;
use generic_fallback::attach::{Attach, attach};
use generic_fallback::load::{Binding, LoadError, Loaded, Loader};
use generic_fallback::occupant::{self, Occupant};
use generic_fallback::plan::Action;
use kernel::bpf::map::{ANY, Map};
use kernel::netlink::Route;
use kernel::netlink::link::Mode;
use offload_compiler::object::Object;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// How long a stop may take to be seen.
const PAUSE: Duration = Duration::from_millis(10);

/// What takes the place of an attached program, and when.
#[derive(Clone, Copy)]
pub(crate) struct Replacement<'a> {
    /// The object.
    pub(crate) object: &'a Object,
    /// Its file's name.
    pub(crate) name: &'a str,
    /// The program in it.
    pub(crate) program: usize,
    /// How often.
    pub(crate) every: Duration,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Replaced {
    /// How often.
    pub(crate) times: u64,
    /// How often the programs put there have run.
    pub(crate) runs: u64,
}

/// Where it is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) ifindex: u32,
    pub(crate) mode: Mode,
    pub(crate) program_id: u32,
}

impl Replacement<'_> {
    /// Loads the program twice, with the map contents of the attached one, says that it is ready, and has the two take
    /// turns until `stop`.
    pub(crate) fn run(
        self,
        place: Place,
        ready: &Sender<()>,
        stop: &AtomicBool,
    ) -> Result<Replaced, Failure> {
        let mut route =
            Route::open().map_err(|error| Failure::kernel("cannot talk to the kernel", &error))?;
        let loader = Loader::new(self.object, self.name, None);
        let pair = [self.load(&loader, place)?, self.load(&loader, place)?];
        let _ = ready.send(());
        let mut replaced = Replaced::default();
        let mut next = Instant::now() + self.every;
        let mut turns = pair.iter().cycle();
        let mut there = place.program_id;
        while !stop.load(Ordering::Relaxed) {
            let left = next.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                std::thread::sleep(left.min(PAUSE));
                continue;
            }
            next = Instant::now() + self.every;
            if let Some(loaded) = turns.next() {
                swap(&mut route, place, there, loaded)?;
                there = loaded.id;
                replaced.times += 1;
            }
        }
        for loaded in &pair {
            let info = loaded.program.info();
            replaced.runs += info.map_or(0, |info| info.run_count);
            loaded.settle().map_err(|error| {
                Failure::new(Exit::Failed, "not all of its tail calls lead to programs")
                    .because(error)
            })?;
        }
        Ok(replaced)
    }

    fn load(&self, loader: &Loader<'_>, place: Place) -> Result<Loaded, Failure> {
        let load = |binding| loader.load(self.program, binding);
        let loaded = match place.mode {
            Mode::Offload => load(Binding::Offload(place.ifindex)),
            Mode::Native => match load(Binding::None) {
                Err(error) if error.needs_device() => load(Binding::Device(place.ifindex)),
                loaded => loaded,
            },
            Mode::Generic => load(Binding::None),
        };
        let loaded = loaded.map_err(|error| self.refused(&error))?;
        copy_maps(place.program_id, &loaded)
            .map_err(|error| Failure::kernel("cannot copy the attached program's maps", &error))?;
        Ok(loaded)
    }

    fn refused(&self, error: &LoadError) -> Failure {
        let name = &self.object.programs[self.program].name;
        let failure = Failure::new(Exit::No, format!("the kernel refuses '{name}'")).because(error);
        if error.is_permission() {
            failure.not_permitted()
        } else {
            failure
        }
    }
}

/// One swap, in one step.
fn swap(route: &mut Route, place: Place, there: u32, loaded: &Loaded) -> Result<(), Failure> {
    let Place { ifindex, mode, .. } = place;
    let cannot = |error: &kernel::Error| {
        Failure::kernel(format!("cannot replace program {there}"), error).remedy(
            "nobody else may attach or detach meanwhile; `xdp-offload status` shows what is attached",
        )
    };
    let link = route
        .link_by_index(ifindex)
        .map_err(|error| cannot(&error))?;
    let old = occupant::find(ifindex, &link.xdp)
        .into_iter()
        .find(|occupant: &Occupant| occupant.mode == mode && occupant.program_id == there)
        .ok_or_else(|| {
            let what = format!("program {there} is not attached any more");
            Failure::new(Exit::No, what).because("somebody else has replaced or detached it")
        })?;
    let action = Action::Replace(old);
    let request = Attach {
        ifindex,
        mode,
        program: &loaded.program,
        action: &action,
        link_pin: None,
    };
    attach(route, request).map_err(|error| cannot(&error))?;
    Ok(())
}

/// Gives a program what another one of the same maps holds. Data sections are the object's own.
fn copy_maps(from: u32, to: &Loaded) -> kernel::Result<()> {
    let ids = kernel::bpf::program::Program::from_id(from)?
        .info()?
        .map_ids;
    for id in ids {
        let theirs = Map::from_id(id)?;
        let info = theirs.info()?;
        if !holds_data(info.kind) && !is_target(info.kind) {
            continue;
        }
        let is_it = |name: &str| !name.starts_with('.') && is_named(&info, name);
        let Some(ours) = to.maps.iter().find(|map| !map.reused && is_it(&map.name)) else {
            continue;
        };
        let ours = &ours.map;
        if (ours.key_size(), ours.value_len()) != (theirs.key_size(), theirs.value_len()) {
            continue;
        }
        for entry in theirs.entries() {
            let (key, value) = entry?;
            if ours.lookup(&key)?.as_ref() != Some(&value) {
                ours.update(&key, &value, ANY)?;
            }
        }
    }
    Ok(())
}
