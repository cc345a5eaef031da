//! The ELF container: sections, symbols and relocations of a relocatable eBPF object.

use std::collections::HashSet;

use object::elf;
use object::write::{
    Object, Relocation, RelocationFlags, SectionId, Symbol, SymbolFlags, SymbolSection,
};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolKind, SymbolScope};

pub(super) use object::write::SymbolId;

use super::EmitError;

/// Alignment of everything, in bytes: that of an instruction and of the largest integer.
const ALIGN: u64 = 8;

/// A pointer in data; the library has no name for it.
const R_BPF_64_ABS64: elf::RelocationType = elf::RelocationType(2);

/// An object being written.
pub(super) struct Container {
    elf: Object<'static>,
    sections: HashSet<String>,
}

/// What a section is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Instructions.
    Code,
    /// What programs or loaders may write.
    Data,
    /// Constants.
    ReadOnly,
    /// Zeros, which take no place in the file.
    Zeros,
    /// About the program: BTF.
    Metadata,
}

/// A section, to append to and to refer to.
pub(super) type Position = SectionId;

/// What a symbol names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) section: Position,
    /// Bytes from the section's start.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) size: u64,
    pub(super) is_function: bool,
    /// Seen by other objects; else of this object only.
    pub(super) global: bool,
}

/// The eBPF relocations (Documentation/bpf/llvm_reloc.rst, Linux 6.12).
#[derive(Debug, Clone, Copy)]
pub(super) enum Reference {
    /// `R_BPF_64_64`: a 64-bit load.
    Load,
    /// `R_BPF_64_ABS64`: a pointer in data.
    Pointer,
    /// `R_BPF_64_32`: a call.
    Call,
}

impl Default for Container {
    fn default() -> Self {
        Self {
            elf: Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little),
            sections: HashSet::new(),
        }
    }
}

impl Container {
    /// Adds an empty section.
    pub(super) fn section(&mut self, name: &str, content: Content) -> Result<Position, EmitError> {
        check_name(name)?;
        if !self.sections.insert(name.to_owned()) {
            return Err(EmitError::NameTaken {
                what: "section",
                name: name.to_owned(),
            });
        }
        let kind = match content {
            Content::Code => SectionKind::Text,
            Content::Data => SectionKind::Data,
            Content::ReadOnly => SectionKind::ReadOnlyData,
            Content::Zeros => SectionKind::UninitializedData,
            Content::Metadata => SectionKind::Other,
        };
        Ok(self
            .elf
            .add_section(Vec::new(), name.as_bytes().to_vec(), kind))
    }

    /// Appends to a section of anything but zeros.
    pub(super) fn append(&mut self, section: Position, bytes: &[u8]) {
        self.elf.append_section_data(section, bytes, ALIGN);
    }

    /// Appends to a section of zeros.
    pub(super) fn append_zeros(&mut self, section: Position, len: u64) {
        self.elf.append_section_bss(section, len, ALIGN);
    }

    pub(super) fn symbol(&mut self, named: Named<'_>) -> Result<SymbolId, EmitError> {
        check_name(named.name)?;
        Ok(self.elf.add_symbol(Symbol {
            name: named.name.as_bytes().to_vec(),
            value: named.offset,
            size: named.size,
            kind: if named.is_function {
                SymbolKind::Text
            } else {
                SymbolKind::Data
            },
            scope: if named.global {
                SymbolScope::Dynamic
            } else {
                SymbolScope::Compilation
            },
            weak: false,
            section: SymbolSection::Section(named.section),
            flags: SymbolFlags::None,
        }))
    }

    /// The symbol of a section itself.
    pub(super) fn section_symbol(&mut self, section: Position) -> SymbolId {
        self.elf.section_symbol(section)
    }

    /// Lets what is at an offset of a section refer to a symbol.
    pub(super) fn refer(
        &mut self,
        section: Position,
        offset: u64,
        symbol: SymbolId,
        reference: Reference,
    ) -> Result<(), EmitError> {
        let r_type = match reference {
            Reference::Load => elf::R_BPF_64_64,
            Reference::Pointer => R_BPF_64_ABS64,
            Reference::Call => elf::R_BPF_64_32,
        };
        let relocation = Relocation {
            offset,
            symbol,
            addend: 0,
            flags: RelocationFlags::Elf { r_type },
        };
        self.elf
            .add_relocation(section, relocation)
            .map_err(|error| EmitError::Container(error.to_string()))
    }

    /// The bytes of the file.
    pub(super) fn write(&self) -> Result<Vec<u8>, EmitError> {
        self.elf
            .write()
            .map_err(|error| EmitError::Container(error.to_string()))
    }
}

/// ELF and BTF strings end with a zero byte.
fn check_name(name: &str) -> Result<(), EmitError> {
    if name.is_empty() || name.contains('\0') {
        return Err(EmitError::Name {
            name: name.to_owned(),
        });
    }
    Ok(())
}
