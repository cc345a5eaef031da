//! Programs to an ELF object that libbpf, `bpftool` and `ip` load, and that [`Object::parse`] reads back.
//!
//! ```text
//! Image (object, maps, linked programs) -- write --> bytes
//!   code       each program in its section, what it calls in .text
//!   maps       .maps: definitions by BTF
//!   data       .rodata, .data and .bss, where programs still use them
//!   types      .BTF: the object's types under their ids, then those of the map definitions
//!   btf_ext    .BTF.ext: functions and source lines
//!   container  sections, symbols and relocations
//! ```
//!
//! What depends on the kernel (CO-RE, `__kconfig`, `__ksym`) is written as it was resolved.

mod btf_ext;
mod code;
mod container;
mod data;
mod error;
mod lowered;
mod maps;
mod types;

use std::collections::BTreeMap;

pub use error::EmitError;

use code::Code;
use container::{Container, Content};
use types::Types;

use crate::object::{Linked, MapContent, MapDef, Object, PatchTarget, SlotTarget};

/// What to write.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    /// Where types, source lines, variables and the licence come from.
    pub object: &'a Object,
    /// The object's maps, changed or not, at their indices there, then new ones. Those that neither a program nor a
    /// slot refers to are left out: a device creates what it is given.
    pub maps: Vec<MapDef>,
    /// The programs, in the order of the object.
    pub programs: Vec<ImageProgram>,
}

/// A program to write.
#[derive(Debug, Clone)]
pub struct ImageProgram {
    /// Index into [`Object::programs`], which has its name and section.
    pub program: usize,
    /// The code. Its maps are those of [`Image::maps`]; its functions follow each other without gaps, the program
    /// itself first.
    pub linked: Linked,
}

/// What programs use a map as, which decides how an object has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Something to give to helpers: a definition in `.maps`.
    Handle,
    /// Memory whose address is loaded: a data section.
    Memory,
}

impl<'a> Image<'a> {
    /// No programs yet, and the object's own maps.
    pub fn new(object: &'a Object) -> Self {
        Self {
            object,
            maps: object.maps.clone(),
            programs: Vec::new(),
        }
    }

    /// The maps that hold something at first which only this project's loader puts there: libbpf leaves them empty.
    pub fn first_values(&self) -> Result<Vec<&str>, EmitError> {
        let used = self.used_maps()?;
        let handles = used.iter().filter(|(_, how)| **how == Use::Handle);
        Ok(handles
            .map(|(&index, _)| &self.maps[index])
            .filter(|map| match &map.content {
                MapContent::Data(bytes) => bytes.iter().any(|&byte| byte != 0),
                _ => false,
            })
            .map(|map| map.name.as_str())
            .collect())
    }

    /// The bytes of the object.
    pub fn write(&self) -> Result<Vec<u8>, EmitError> {
        let used = self.used_maps()?;
        let code = Code::lay_out(self)?;
        let mut container = Container::default();
        let mut types = Types::new(self.object.btf());

        let sections = code.write_sections(&mut container)?;
        let mut places = vec![None; self.maps.len()];
        data::write(self, &used, &mut container, &mut types, &mut places)?;
        let definitions = maps::write(self, &used, &mut container, &mut types, &mut places)?;
        code.write_relocations(&sections, &places, &mut container)?;
        definitions.write_slots(self, &places, &sections, &mut container)?;
        self.write_license(&mut container, &mut types)?;
        types.drop_other_sections();
        btf_ext::write(&code, &mut container, &mut types)?;
        if let Some(bytes) = types.to_bytes()? {
            let section = container.section(".BTF", Content::Metadata)?;
            container.append(section, &bytes);
        }
        container.write()
    }

    /// The maps that code refers to and those in their slots.
    fn used_maps(&self) -> Result<BTreeMap<usize, Use>, EmitError> {
        let mut used = BTreeMap::new();
        let patches = self.programs.iter().flat_map(|p| &p.linked.patches);
        let mut open: Vec<(usize, Use)> = patches
            .filter_map(|patch| match patch.target {
                PatchTarget::Map { map } => Some((map, Use::Handle)),
                PatchTarget::MapValue { map, .. } => Some((map, Use::Memory)),
                PatchTarget::ModuleBtf { .. } => None,
            })
            .collect();
        while let Some((index, how)) = open.pop() {
            let map = self.maps.get(index).ok_or(EmitError::NoMap { index })?;
            match used.insert(index, how) {
                None => {}
                Some(other) if other == how => continue,
                Some(_) => {
                    return Err(EmitError::Map {
                        map: map.name.clone(),
                        detail: "programs both load its value's address and give it to helpers, and an object has \
                                 no map for both"
                            .to_owned(),
                    });
                }
            }
            if let MapContent::Slots(slots) = &map.content {
                open.extend(slots.iter().filter_map(|(_, target)| match target {
                    SlotTarget::Map(inner) => Some((*inner, Use::Handle)),
                    SlotTarget::Program(_) => None,
                }));
            }
        }
        Ok(used)
    }

    fn write_license(&self, container: &mut Container, types: &mut Types) -> Result<(), EmitError> {
        let mut license = self.object.license().as_bytes().to_vec();
        license.push(0);
        let version = self.object.kernel_version().map(u32::to_le_bytes);
        for (name, bytes) in [
            ("license", Some(license)),
            ("version", version.map(Vec::from)),
        ] {
            if let Some(bytes) = bytes {
                types.write_constant(name, bytes, container)?;
            }
        }
        Ok(())
    }
}
