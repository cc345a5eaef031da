//! The code in a file: of an object's programs, or plain instructions.

use crate::choose::{self, Selection};
use crate::exit::{Exit, Failure};
use generic_fallback::load::Loader;
use offload_compiler::isa::{Insn, text::Symbols};
use offload_compiler::object::{Linked, PatchTarget};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The kernel takes a million instructions of 8 bytes (`BPF_COMPLEXITY_LIMIT_INSNS`).
const BIGGEST_CODE: u64 = 8_000_000;

/// Where code is read from.
#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    #[command(flatten)]
    selection: Selection,

    /// The file holds plain 8-byte eBPF instructions, no object
    #[arg(long, conflicts_with_all = ["prog", "section", "set"])]
    raw: bool,
}

/// A program's code.
pub(crate) struct ProgramCode {
    /// Its name.
    pub(crate) name: String,
    /// Its section; empty for plain instructions.
    pub(crate) section: String,
    /// The code; references to maps are indices of `maps`.
    pub(crate) insns: Vec<Insn>,
    /// The names of the object's maps.
    pub(crate) maps: Vec<String>,
    /// What linking said of functions and source lines.
    pub(crate) linked: Option<Linked>,
}

impl Source {
    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.selection.object
    }

    /// Whether it was said that the file holds plain instructions.
    pub(crate) fn is_raw(&self) -> bool {
        self.raw
    }

    /// Takes the file for plain instructions.
    pub(crate) fn as_raw(&self) -> Result<Vec<ProgramCode>, Failure> {
        Ok(vec![self.read_raw()?])
    }

    /// The programs that were asked for, all XDP programs if none was named.
    pub(crate) fn read(&self) -> Result<Vec<ProgramCode>, Failure> {
        if self.raw {
            return Ok(vec![self.read_raw()?]);
        }
        let object = self.selection.read()?;
        let name = self.selection.object_name();
        let loader = Loader::for_trial(&object, &name);
        let maps: Vec<String> = object.maps.iter().map(|map| map.name.clone()).collect();
        let programs = self
            .selection
            .named(&object)?
            .unwrap_or_else(|| choose::xdp_programs(&object));
        if programs.is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                format!("{} has no XDP program", self.selection.object.display()),
            )
            .remedy("name a program of another kind with --prog"));
        }
        programs
            .into_iter()
            .map(|index| {
                let program = &object.programs[index];
                let linked = loader.link(index).map_err(|error| {
                    Failure::new(Exit::No, format!("cannot link '{}'", program.name)).because(error)
                })?;
                Ok(ProgramCode::of(
                    &program.name,
                    &program.section,
                    linked,
                    maps.clone(),
                ))
            })
            .collect()
    }

    fn read_raw(&self) -> Result<ProgramCode, Failure> {
        let path = &self.selection.object;
        let failure = || Failure::new(Exit::Usage, format!("cannot read {}", path.display()));
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(BIGGEST_CODE + 1).read_to_end(&mut bytes))
            .map_err(|error| failure().because(error))?;
        if bytes.len() as u64 > BIGGEST_CODE {
            return Err(failure().because("it has more than a million instructions"));
        }
        if bytes.is_empty() || !bytes.len().is_multiple_of(Insn::SIZE) {
            return Err(failure().because(format!(
                "{} bytes are no whole number of instructions",
                bytes.len()
            )));
        }
        Ok(ProgramCode {
            name: self.selection.object_name(),
            section: String::new(),
            insns: Insn::read_all(&bytes),
            maps: Vec::new(),
            linked: None,
        })
    }
}

impl ProgramCode {
    /// A linked program's. `maps` are the names of the object's maps.
    pub(crate) fn of(name: &str, section: &str, linked: Linked, maps: Vec<String>) -> Self {
        let bytes = linked.with_fds(|target| match target {
            PatchTarget::Map { map } | PatchTarget::MapValue { map, .. } => map as i32,
            PatchTarget::ModuleBtf { .. } => 0,
        });
        Self {
            name: name.to_owned(),
            section: section.to_owned(),
            insns: Insn::read_all(&bytes),
            maps,
            linked: Some(linked),
        }
    }

    /// The names of its functions, by their first slots.
    pub(crate) fn functions(&self) -> BTreeMap<usize, String> {
        let functions = self.linked.iter().flat_map(|linked| &linked.functions);
        functions
            .map(|function| (function.start, function.name.clone()))
            .collect()
    }

    /// `(file.c:31)` for an instruction, where it is known.
    pub(crate) fn place(&self, slot: usize) -> Option<String> {
        let line = self.linked.as_ref()?.source_line(slot)?;
        Some(format!("{}:{}", line.file, line.line))
    }
}

impl Symbols for ProgramCode {
    fn imm64(&self, first: &Insn, second: &Insn) -> Option<String> {
        let name = usize::try_from(first.imm)
            .ok()
            .and_then(|index| self.maps.get(index))?;
        match first.src {
            Insn::PSEUDO_MAP_FD => Some(format!("map[{name}]")),
            Insn::PSEUDO_MAP_VALUE => Some(format!("map[{name}][0]+{}", second.imm)),
            _ => None,
        }
    }
}
