//! The simulator of an NFP.

use super::{Ran, fill_machine, on_machine};
use crate::exit::{Exit, Failure};
use generic_fallback::load::Loader;
use nfp_target::cost::Costs;
use nfp_target::isa::Word;
use nfp_target::profile::Profile;
use nfp_target::sim::{Exits, Image, Thread, Unset};
use offload_compiler::interp::{Fixed, Loaded};
use offload_compiler::object::Object;
use std::collections::BTreeMap;

/// What a simulated card runs.
pub(crate) struct Words {
    /// The words.
    pub(crate) code: Vec<Word>,
    /// Where they come from in the program, where they are its translation.
    pub(crate) places: Vec<Option<Place>>,
    /// The card.
    pub(crate) profile: Profile,
}

/// Where a word comes from.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The slot.
    pub(crate) slot: usize,
    /// FILE:LINE, where it is known.
    pub(crate) line: Option<String>,
}

/// A simulated card with a program.
pub(crate) struct Card<'a> {
    name: &'a str,
    pub(super) loaded: Loaded,
    image: Image,
    places: Vec<Option<Place>>,
    profile: Profile,
    costs: Costs,
    /// The machine's maps by their numbers in the words.
    maps: BTreeMap<u32, usize>,
    world: Fixed,
}

impl<'a> Card<'a> {
    pub(super) fn load(
        object: &'a Object,
        loader: &Loader<'_>,
        program: usize,
        words: &Words,
    ) -> Result<Self, Failure> {
        let loaded = on_machine(object, loader, program)?;
        let profile = words.profile.clone();
        let exits = Exits::find(&words.code);
        let image = Image::load(&words.code, exits, &profile).map_err(|error| {
            Failure::new(Exit::Usage, "the words cannot be loaded").because(error)
        })?;
        // The driver numbers a program's maps as they are made.
        let maps = (1..).zip(loaded.maps.values().copied()).collect();
        Ok(Self {
            name: &object.programs[program].name,
            loaded,
            image,
            places: words.places.clone(),
            profile,
            costs: Costs::shipped(),
            maps,
            world: Fixed::new(0),
        })
    }

    pub(super) fn fill(&mut self, index: usize, key: &[u8], value: &[u8]) -> Result<bool, String> {
        fill_machine(&mut self.loaded, index, key, value)
    }

    pub(super) fn run(&mut self, packet: &[u8]) -> Result<Ran, Failure> {
        let stack = self.profile.stack_bytes;
        let ran = Thread::new(
            &self.image,
            &mut self.loaded.machine,
            &self.maps,
            packet,
            stack,
            Unset::new(0),
            &mut self.world,
        )
        .and_then(Thread::run)
        .map_err(|stop| {
            let place = match self.places.get(stop.at).and_then(Option::as_ref) {
                None => String::new(),
                Some(Place { slot, line: None }) => format!(" (instruction {slot})"),
                Some(Place {
                    slot,
                    line: Some(line),
                }) => format!(" (instruction {slot} at {line})"),
            };
            let name = self.name;
            Failure::new(
                Exit::No,
                format!("'{name}' stops at word {}{place}", stop.at),
            )
            .because(stop.kind)
        })?;
        Ok(Ran {
            verdict: Some(ran.verdict as u32),
            packet: Some(ran.packet),
            instructions: Some(ran.figures.words),
            cycles: Some(self.costs.cycles(&ran.figures)),
            ..Ran::default()
        })
    }
}
