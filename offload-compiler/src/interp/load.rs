//! From an object to a machine: its maps with their first contents, and its programs.

use std::collections::BTreeMap;

use super::machine::{Limits, Machine};
use super::map::{MapError, MapKind, MapSpec};
use crate::isa::{Code, DecodeError, Insn};
use crate::object::{Linked, MapContent, MapDef, Object, PatchTarget, SlotTarget};

/// Pages of the kernels that are modelled; ring buffers have whole pages.
const PAGE_SIZE: u32 = 4096;

/// A program of an object on a machine.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The machine.
    pub machine: Machine,
    /// The number of the program that was asked for.
    pub program: usize,
    /// The machine's number of each map of the object that is used.
    pub maps: BTreeMap<usize, usize>,
}

/// Why an object cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum LoadError<E> {
    /// A program cannot be linked.
    #[error(transparent)]
    Link(E),
    /// A program holds what is no instruction.
    #[error("program {program}: {source}")]
    Decode {
        /// Its name.
        program: String,
        /// The instruction.
        source: DecodeError,
    },
    /// A map of a type that is not modelled.
    #[error("map {map}: maps of type {kind} are not modelled")]
    MapKind {
        /// Its name.
        map: String,
        /// `enum bpf_map_type`.
        kind: u32,
    },
    /// A map cannot be made or filled.
    #[error("map {map}: {source}")]
    Map {
        /// Its name.
        map: String,
        /// Why.
        source: MapError,
    },
}

impl Machine {
    /// Makes a machine for a program of an object, with all that the program uses. `link` links a
    /// program by its index; it is called for the programs in slots of program arrays too.
    pub fn load<E>(
        object: &Object,
        program: usize,
        limits: Limits,
        mut link: impl FnMut(usize) -> Result<Linked, E>,
    ) -> Result<Loaded, LoadError<E>> {
        let mut loading = Loading {
            object,
            machine: Self::new(limits),
            cpus: limits.cpus.max(1),
            maps: BTreeMap::new(),
            programs: BTreeMap::new(),
            wanted: vec![program],
        };
        let mut linked = Vec::new();
        let mut kconfig = None;
        // Programs are numbered as they are found; their code follows once all maps have numbers.
        while let Some(index) = loading.wanted.pop() {
            if loading.programs.contains_key(&index) {
                continue;
            }
            loading.programs.insert(index, linked.len());
            let its = link(index).map_err(LoadError::Link)?;
            for &map in &its.maps {
                loading.add_map(map)?;
            }
            kconfig = its.kconfig.clone().or(kconfig);
            linked.push((index, its));
        }
        for (index, its) in linked {
            let code =
                Code::decode(&loading.patched(&its)).map_err(|source| LoadError::Decode {
                    program: object.programs[index].name.clone(),
                    source,
                })?;
            loading.machine.add_program(code);
        }
        loading.fill(kconfig.as_deref())?;
        Ok(Loaded {
            machine: loading.machine,
            program: 0,
            maps: loading.maps,
        })
    }
}

struct Loading<'a> {
    object: &'a Object,
    machine: Machine,
    cpus: u32,
    /// Numbers on the machine by indices in the object.
    maps: BTreeMap<usize, usize>,
    programs: BTreeMap<usize, usize>,
    wanted: Vec<usize>,
}

impl Loading<'_> {
    fn def(&self, index: usize) -> &MapDef {
        &self.object.maps[index]
    }

    fn at_map<E>(&self, index: usize) -> impl FnOnce(MapError) -> LoadError<E> + use<E> {
        let map = self.def(index).name.clone();
        move |source| LoadError::Map { map, source }
    }

    /// Adds a map and those in its slots; puts the programs in its slots on the list.
    fn add_map<E>(&mut self, index: usize) -> Result<(), LoadError<E>> {
        let mut found = vec![index];
        while let Some(index) = found.pop() {
            if self.maps.contains_key(&index) {
                continue;
            }
            let def = self.def(index);
            let kind = MapKind::from_number(def.kind).ok_or_else(|| LoadError::MapKind {
                map: def.name.clone(),
                kind: def.kind,
            })?;
            let spec = MapSpec {
                kind,
                key_size: def.key_size,
                value_size: def.value_size,
                max_entries: def.max_entries_on(self.cpus, PAGE_SIZE),
                flags: def.flags,
            };
            let targets: Vec<SlotTarget> = match &def.content {
                MapContent::Slots(slots) => slots.iter().map(|(_, target)| *target).collect(),
                _ => Vec::new(),
            };
            let number = self.machine.add_map(spec).map_err(self.at_map(index))?;
            self.maps.insert(index, number);
            for target in targets {
                match target {
                    SlotTarget::Map(map) => found.push(map),
                    SlotTarget::Program(program) => self.wanted.push(program),
                }
            }
        }
        Ok(())
    }

    /// The code with the machine's numbers where file descriptors go.
    fn patched(&self, linked: &Linked) -> Vec<Insn> {
        let bytes = linked.with_fds(|target| match target {
            PatchTarget::Map { map } | PatchTarget::MapValue { map, .. } => {
                self.maps.get(&map).map_or(-1, |number| *number as i32)
            }
            PatchTarget::ModuleBtf { .. } => 0,
        });
        Insn::read_all(&bytes)
    }

    fn fill<E>(&mut self, kconfig: Option<&[u8]>) -> Result<(), LoadError<E>> {
        let numbers: Vec<(usize, usize)> = self.maps.iter().map(|(a, b)| (*a, *b)).collect();
        for (index, number) in numbers {
            let entries: Vec<(u32, Vec<u8>)> = match &self.def(index).content {
                MapContent::None => continue,
                MapContent::Data(data) => vec![(0, data.clone())],
                MapContent::Kconfig => match kconfig {
                    Some(data) => vec![(0, data.to_vec())],
                    None => continue,
                },
                MapContent::Slots(slots) => slots
                    .iter()
                    .filter_map(|(slot, target)| {
                        let number = match target {
                            SlotTarget::Map(map) => self.maps.get(map)?,
                            SlotTarget::Program(program) => self.programs.get(program)?,
                        };
                        Some((*slot, (*number as u32).to_le_bytes().to_vec()))
                    })
                    .collect(),
            };
            for (key, value) in entries {
                self.machine
                    .update(number, &key.to_le_bytes(), &value, 0)
                    .map_err(self.at_map(index))?;
            }
        }
        Ok(())
    }
}
