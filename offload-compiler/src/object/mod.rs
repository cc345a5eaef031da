//! eBPF ELF objects: reading, linking, CO-RE.
//!
//! ```text
//! bytes -- Object::parse --> Object -- link(program, environment) --> Linked
//!            elf, btf, btf_ext         relocate, core, externs
//!            maps, programs, globals   line_info
//! ```
//!
//! It takes what libbpf takes for XDP (and `SEC("maps")`, which libbpf 1.x refuses). Input is hostile: every
//! size is checked before memory is taken.

pub mod btf;
mod environment;
mod error;
mod globals;
mod line_info;
mod linked;
mod maps;
mod programs;

pub use environment::{Environment, ModuleBtf, Requirements};
pub use error::{BtfError, GlobalError, LinkError, ObjectError};
pub use globals::{Global, GlobalValue};
pub use line_info::SourceLine;
pub use linked::{Linked, LinkedFunction, Patch, PatchTarget, Poisoned, RawInfo};
pub use maps::{MapContent, MapDef, MapOrigin, SlotTarget, map_kind};
pub use programs::{Program, ProgramKind};

use btf::Btf;

/// An eBPF object that was read.
#[derive(Debug, Clone)]
pub struct Object {
    /// The programs, in the order of sections and of functions in them. `kind` may be overwritten.
    pub programs: Vec<Program>,
    /// The maps: those defined, then the data sections.
    pub maps: Vec<MapDef>,
    license: String,
    btf: Option<Btf>,
}

impl Object {
    /// Reads an object.
    pub fn parse(bytes: &[u8]) -> Result<Self, ObjectError> {
        let _ = bytes;
        todo!("API first")
    }

    /// The licence from the section `license`; empty where there is none.
    pub fn license(&self) -> &str {
        &self.license
    }

    /// The object's types, ready for the kernel.
    pub fn btf(&self) -> Option<&Btf> {
        self.btf.as_ref()
    }

    /// The program of a name, if there is one.
    pub fn program_named(&self, name: &str) -> Option<usize> {
        self.programs
            .iter()
            .position(|program| program.name == name)
    }

    /// The map of a name, if there is one.
    pub fn map_named(&self, name: &str) -> Option<usize> {
        self.maps.iter().position(|map| map.name == name)
    }

    /// The global variables, in the order of the object's symbols.
    pub fn globals(&self) -> &[Global] {
        todo!("API first")
    }

    /// Sets the initial value of a global variable (`const volatile` or not).
    pub fn set_global(&mut self, name: &str, value: GlobalValue<'_>) -> Result<(), GlobalError> {
        let _ = (name, value);
        todo!("API first")
    }

    /// Which facts about the kernel the program's link asks for.
    pub fn requirements(&self, program: usize) -> Requirements {
        let _ = program;
        todo!("API first")
    }

    /// Puts the program and all it calls in one piece and resolves what depends on the kernel.
    pub fn link(&self, program: usize, environment: &Environment<'_>) -> Result<Linked, LinkError> {
        let _ = (program, environment);
        todo!("API first")
    }
}
