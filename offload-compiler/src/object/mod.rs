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
mod btf_ext;
mod btf_maps;
mod code;
mod core;
mod data_maps;
mod elf;
mod environment;
mod error;
mod externs;
mod globals;
mod info;
mod kconfig;
mod kernel_btf;
mod layout;
mod legacy_maps;
mod line_info;
mod linked;
mod maps;
mod programs;
mod relocate;
mod requirements;
mod rewritten;
mod slots;

use std::collections::HashMap;

pub use environment::{Environment, ModuleBtf, Requirements, SymbolLookup};
pub use error::{BtfError, GlobalError, LinkError, ObjectError};
pub use globals::{Global, GlobalValue};
pub use line_info::SourceLine;
pub use linked::{Linked, LinkedFunction, Patch, PatchTarget, Poisoned, RawInfo};
pub use maps::{MapContent, MapDef, MapOrigin, SlotTarget, map_kind};
pub use programs::{Program, ProgramKind};
pub use rewritten::NewCode;

use btf::Btf;
pub(crate) use btf_maps::FIRST_VALUE;

use btf_maps::PlacedMap;
use code::Code;
use elf::{Elf, Symbol};
use externs::Externs;

/// An eBPF object that was read.
#[derive(Debug, Clone)]
pub struct Object {
    /// The programs, in the order of sections and of functions in them. `kind` may be overwritten.
    pub programs: Vec<Program>,
    /// The maps: those defined, then the data sections, then the `__kconfig` variables.
    pub maps: Vec<MapDef>,
    license: String,
    kernel_version: Option<u32>,
    btf: Option<Btf>,
    globals: Vec<Global>,
    code: Code,
    symbols: Vec<Symbol>,
    externs: Externs,
    /// By ELF section index.
    section_names: Vec<String>,
    /// ELF section index -> index of the code section.
    code_section_of: HashMap<usize, usize>,
    /// ELF section index -> what maps it holds.
    section_maps: HashMap<usize, SectionMaps>,
    kconfig_map: Option<usize>,
}

/// The maps that a section of an object makes.
#[derive(Debug, Clone)]
enum SectionMaps {
    /// It is the value of one map.
    Data(usize),
    /// It defines maps at offsets.
    Definitions(HashMap<u64, usize>),
}

impl Object {
    /// Reads an object.
    pub fn parse(bytes: &[u8]) -> Result<Self, ObjectError> {
        let elf = Elf::parse(bytes)?;
        let (mut btf, mut info) = read_type_information(&elf)?;
        let externs = externs::read(&elf, btf.as_ref());
        let (code, code_section_of) = Code::read(&elf, &mut info)?;
        if let Some(btf) = &mut btf {
            kernel_btf::prepare(btf, &elf, &code, &externs);
        }
        let programs = code.programs();
        let mut section_maps = HashMap::new();
        let maps = read_maps(
            &elf,
            btf.as_ref(),
            &externs,
            &mut section_maps,
            &programs,
            |symbol| {
                let section = *code_section_of.get(&symbol.section()?)?;
                let slot = symbol.value as usize / crate::isa::Insn::SIZE;
                let function = code.function_at(section, slot)?;
                programs
                    .iter()
                    .position(|program| program.function == function)
            },
        )?;
        let globals = globals::read(&elf, btf.as_ref(), &maps, |section| {
            match section_maps.get(&section) {
                Some(&SectionMaps::Data(map)) => Some(map),
                _ => None,
            }
        });
        Ok(Self {
            programs,
            kconfig_map: (externs.kconfig_size > 0).then(|| maps.len() - 1),
            maps,
            license: license(&elf),
            kernel_version: kernel_version(&elf),
            btf,
            globals,
            code,
            section_names: elf
                .sections
                .into_iter()
                .map(|section| section.name)
                .collect(),
            symbols: elf.symbols,
            externs,
            code_section_of,
            section_maps,
        })
    }

    /// The licence from the section `license`; empty where there is none.
    pub fn license(&self) -> &str {
        &self.license
    }

    /// The kernel version from the section `version`, which kernels before 5.0 ask for with some program types.
    pub fn kernel_version(&self) -> Option<u32> {
        self.kernel_version
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
        &self.globals
    }

    /// Sets the initial value of a global variable (`const volatile` or not).
    pub fn set_global(&mut self, name: &str, value: GlobalValue<'_>) -> Result<(), GlobalError> {
        globals::set(
            &self.globals,
            &mut self.maps,
            self.btf.as_ref(),
            name,
            value,
        )
    }

    /// Which facts about the kernel the program's link asks for. What cannot be linked asks for none.
    pub fn requirements(&self, program: usize) -> Requirements {
        requirements::of(self, program)
    }

    /// Whether the program asks for something that is not in the kernel's own BTF, but may be in a module's.
    pub fn needs_modules(&self, program: usize, kernel: &Btf) -> bool {
        requirements::needs_modules(self, program, kernel)
    }

    /// The kernel functions (kfuncs) that the program calls, in no order. What cannot be linked calls none.
    pub fn kernel_functions(&self, program: usize) -> Vec<&str> {
        requirements::kernel_functions(self, program)
    }

    /// Puts the program and all it calls in one piece and resolves what depends on the kernel.
    pub fn link(&self, program: usize, environment: &Environment<'_>) -> Result<Linked, LinkError> {
        relocate::link(self, program, environment)
    }
}

/// `.BTF`, and `.BTF.ext` by section of code.
fn read_type_information(
    elf: &Elf<'_>,
) -> Result<(Option<Btf>, HashMap<String, btf_ext::CodeInfo>), ObjectError> {
    let Some((_, section)) = elf.section_named(".BTF") else {
        return Ok((None, HashMap::new()));
    };
    let wrap = |section| move |source| ObjectError::Btf { section, source };
    let btf = Btf::parse(section.data).map_err(wrap(".BTF"))?;
    let info = match elf.section_named(".BTF.ext") {
        Some((_, section)) => btf_ext::parse(section.data, &btf).map_err(wrap(".BTF.ext"))?,
        None => HashMap::new(),
    };
    Ok((Some(btf), info))
}

fn read_maps(
    elf: &Elf<'_>,
    btf: Option<&Btf>,
    externs: &Externs,
    section_maps: &mut HashMap<usize, SectionMaps>,
    programs: &[Program],
    program_at: impl Fn(&Symbol) -> Option<usize>,
) -> Result<Vec<MapDef>, ObjectError> {
    let mut defined = btf_maps::read(elf, btf)?;
    slots::fill(elf, &mut defined, programs, program_at)?;
    let mut sections = legacy_maps::read(elf)?;
    if let Some((index, _)) = elf.section_named(btf_maps::SECTION) {
        sections.insert(0, (index, defined));
    }
    let mut maps = Vec::new();
    for (section, placed) in sections {
        let mut places = HashMap::new();
        for PlacedMap { def, offset, .. } in placed {
            places.insert(offset, maps.len());
            maps.push(def);
        }
        section_maps.insert(section, SectionMaps::Definitions(places));
    }
    for (section, def) in data_maps::read(elf, btf)? {
        section_maps.insert(section, SectionMaps::Data(maps.len()));
        maps.push(def);
    }
    if externs.kconfig_size > 0 {
        maps.push(data_maps::kconfig(externs.kconfig_size, btf));
    }
    Ok(maps)
}

/// The kernel compares the licence with a list of names, the longest of which has 24 characters.
fn license(elf: &Elf<'_>) -> String {
    const LONGEST: usize = 127;
    let bytes = elf
        .section_named("license")
        .map_or(&[][..], |(_, section)| section.data);
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let end = bytes.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

fn kernel_version(elf: &Elf<'_>) -> Option<u32> {
    let (_, section) = elf.section_named("version")?;
    section
        .data
        .first_chunk::<4>()
        .copied()
        .map(u32::from_le_bytes)
}
