//! The ELF container: sections, symbols, relocations, all checked against the file's length.

use std::collections::BTreeMap;

use object::LittleEndian;
use object::elf;
use object::read::elf::{FileHeader, Rel, SectionHeader, Sym};

use super::error::ObjectError;

/// Longest name of a section or symbol that is read. The kernel keeps 15 characters of a name, BTF 511.
const MAX_NAME: usize = 1024;

/// An ELF file.
#[derive(Debug)]
pub(super) struct Elf<'a> {
    /// All sections; index 0 is the null section.
    pub(super) sections: Vec<Section<'a>>,
    /// All symbols; index 0 is the null symbol.
    pub(super) symbols: Vec<Symbol>,
    /// Relocations by the index of the section that they change.
    pub(super) relocations: BTreeMap<usize, Vec<Relocation>>,
}

/// A section.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) name: String,
    /// Takes no place in the file: `.bss`.
    pub(super) nobits: bool,
    /// Holds code.
    pub(super) executable: bool,
    /// Holds what the program defines, rather than symbols, strings or relocations.
    pub(super) program_data: bool,
    /// Empty for `nobits`.
    pub(super) data: &'a [u8],
    pub(super) size: u64,
}

/// A symbol.
#[derive(Debug, Clone)]
pub(super) struct Symbol {
    pub(super) name: String,
    pub(super) value: u64,
    pub(super) size: u64,
    pub(super) kind: SymbolKind,
    pub(super) binding: Binding,
    /// Not seen by other objects (`visibility("hidden")`).
    pub(super) hidden: bool,
    pub(super) place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SymbolKind {
    None,
    Data,
    Function,
    Section,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binding {
    Local,
    Global,
    Weak,
    Other,
}

/// Where a symbol lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Defined elsewhere.
    Undefined,
    /// In a section.
    Section(usize),
    /// Absolute, common, or damaged.
    Special,
}

/// A relocation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relocation {
    /// Where, in bytes from the section's start.
    pub(super) offset: u64,
    /// Index of the symbol.
    pub(super) symbol: usize,
}

impl Symbol {
    /// Whether the symbol is left for the loader to find: `extern` variables and functions.
    pub(super) fn is_extern(&self) -> bool {
        self.place == Place::Undefined
            && matches!(self.binding, Binding::Global | Binding::Weak)
            && self.kind == SymbolKind::None
            && !self.name.is_empty()
    }

    /// The section that it is in.
    pub(super) fn section(&self) -> Option<usize> {
        match self.place {
            Place::Section(index) => Some(index),
            Place::Undefined | Place::Special => None,
        }
    }
}

impl<'a> Elf<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, ObjectError> {
        let header = header(bytes)?;
        let malformed = |error: object::read::Error| ObjectError::Malformed {
            detail: error.to_string(),
        };
        let headers = header
            .section_headers(LittleEndian, bytes)
            .map_err(|_| truncated("the section header table"))?;
        let name_table = header
            .section_strings_index(LittleEndian, bytes)
            .ok()
            .and_then(|index| headers.get(index.0))
            .and_then(|header| header.data(LittleEndian, bytes).ok())
            .ok_or_else(|| truncated("the table of section names"))?;

        let mut sections = Vec::with_capacity(headers.len());
        let mut taken = 0_u64;
        for (index, header) in headers.iter().enumerate() {
            let name = string_at(name_table, header.sh_name(LittleEndian))
                .ok_or_else(|| truncated(&format!("the name of section {index}")))?;
            let kind = header.sh_type(LittleEndian);
            let data = header
                .data(LittleEndian, bytes)
                .map_err(|_| truncated(&format!("section {index} '{name}'")))?;
            taken += data.len() as u64;
            sections.push(Section {
                nobits: kind == elf::SHT_NOBITS,
                executable: kind == elf::SHT_PROGBITS
                    && header.sh_flags(LittleEndian).contains(elf::SHF_EXECINSTR),
                program_data: kind == elf::SHT_PROGBITS || kind == elf::SHT_NOBITS,
                data,
                size: header.sh_size(LittleEndian),
                name,
            });
        }
        // Each section is copied at most once, so this bounds memory by the file's length.
        if taken > bytes.len() as u64 {
            return Err(ObjectError::Malformed {
                detail: "sections overlap".to_owned(),
            });
        }

        let mut symbols = Vec::new();
        let table = headers
            .iter()
            .find(|header| header.sh_type(LittleEndian) == elf::SHT_SYMTAB);
        if let Some(table) = table {
            symbols = read_symbols(headers, table, bytes)?;
        }
        let mut relocations = BTreeMap::<usize, Vec<Relocation>>::new();
        for (header, section) in headers.iter().zip(&sections) {
            let target = header.sh_info(LittleEndian) as usize;
            let applies = sections
                .get(target)
                .is_some_and(|target| target.program_data);
            if header.sh_type(LittleEndian) == elf::SHT_RELA
                && applies
                && sections[target].executable
            {
                return Err(ObjectError::Malformed {
                    detail: format!(
                        "section '{}' holds relocations with addends, which eBPF does not have",
                        section.name
                    ),
                });
            }
            let Some((records, _)) = header.rel(LittleEndian, bytes).map_err(malformed)? else {
                continue;
            };
            if !applies {
                continue;
            }
            relocations
                .entry(target)
                .or_default()
                .extend(records.iter().map(|record| Relocation {
                    offset: record.r_offset(LittleEndian),
                    symbol: record.r_sym(LittleEndian) as usize,
                }));
        }
        Ok(Self {
            sections,
            symbols,
            relocations,
        })
    }

    /// The first section of a name.
    pub(super) fn section_named(&self, name: &str) -> Option<(usize, &Section<'a>)> {
        self.sections
            .iter()
            .enumerate()
            .find(|(_, section)| section.name == name)
    }
}

fn header(bytes: &[u8]) -> Result<&elf::FileHeader64<LittleEndian>, ObjectError> {
    if bytes.get(..4) != Some(b"\x7fELF") {
        return Err(ObjectError::NotElf {
            found: bytes[..bytes.len().min(4)].to_vec(),
        });
    }
    let ident = bytes.get(..16).ok_or_else(|| truncated("the ELF header"))?;
    match (ident[4], ident[5]) {
        (2, 1) => {}
        (2, 2) => {
            // The machine is told first: a big-endian object of another machine is no eBPF object at all.
            let half = |at: usize| {
                bytes
                    .get(at..at + 2)
                    .map_or(0, |b| u16::from_be_bytes([b[0], b[1]]))
            };
            return Err(match half(18) {
                247 => ObjectError::BigEndian,
                machine => ObjectError::NotBpf {
                    machine,
                    kind: half(16),
                },
            });
        }
        (1, _) => return Err(ObjectError::Elf32),
        (class, data) => {
            return Err(ObjectError::Malformed {
                detail: format!("class {class} and byte order {data} do not exist"),
            });
        }
    }
    let header = bytes
        .get(..size_of::<elf::FileHeader64<LittleEndian>>())
        .and_then(|_| elf::FileHeader64::<LittleEndian>::parse(bytes).ok())
        .ok_or_else(|| truncated("the ELF header"))?;
    let machine = header.e_machine(LittleEndian);
    let kind = header.e_type(LittleEndian);
    // Compilers before the machine had a number wrote 0.
    if kind != elf::ET_REL || !(machine == elf::EM_BPF || machine == elf::EM_NONE) {
        return Err(ObjectError::NotBpf {
            machine: machine.0,
            kind: kind.0,
        });
    }
    Ok(header)
}

fn read_symbols(
    headers: &[elf::SectionHeader64<LittleEndian>],
    table: &elf::SectionHeader64<LittleEndian>,
    bytes: &[u8],
) -> Result<Vec<Symbol>, ObjectError> {
    let records: &[elf::Sym64<LittleEndian>] = table
        .data_as_array(LittleEndian, bytes)
        .map_err(|_| truncated("the symbol table"))?;
    let names = headers
        .get(table.sh_link(LittleEndian) as usize)
        .and_then(|header| header.data(LittleEndian, bytes).ok())
        .ok_or_else(|| truncated("the table of symbol names"))?;
    // Names may share bytes of the table; this bounds memory where very many share a long one.
    let mut name_bytes = 2 * bytes.len() + 0x1_0000;
    records
        .iter()
        .enumerate()
        .map(|(index, record)| {
            let name = string_at(names, record.st_name(LittleEndian))
                .ok_or_else(|| truncated(&format!("the name of symbol {index}")))?;
            name_bytes =
                name_bytes
                    .checked_sub(name.len())
                    .ok_or_else(|| ObjectError::Malformed {
                        detail: "symbol names take more than the file".to_owned(),
                    })?;
            let section = record.st_shndx(LittleEndian);
            Ok(Symbol {
                name,
                value: record.st_value(LittleEndian),
                size: record.st_size(LittleEndian),
                kind: match record.st_type() {
                    elf::STT_NOTYPE => SymbolKind::None,
                    elf::STT_OBJECT => SymbolKind::Data,
                    elf::STT_FUNC => SymbolKind::Function,
                    elf::STT_SECTION => SymbolKind::Section,
                    _ => SymbolKind::Other,
                },
                binding: match record.st_bind() {
                    elf::STB_LOCAL => Binding::Local,
                    elf::STB_GLOBAL => Binding::Global,
                    elf::STB_WEAK => Binding::Weak,
                    _ => Binding::Other,
                },
                hidden: matches!(record.st_visibility(), elf::STV_HIDDEN | elf::STV_INTERNAL),
                place: match section {
                    elf::SHN_UNDEF => Place::Undefined,
                    index if !index.is_reserved() && (index.0 as usize) < headers.len() => {
                        Place::Section(index.0 as usize)
                    }
                    _ => Place::Special,
                },
            })
        })
        .collect()
}

/// The string at an offset; `None` outside of the table or without an end.
fn string_at(table: &[u8], offset: u32) -> Option<String> {
    let rest = table.get(offset as usize..)?;
    let rest = &rest[..rest.len().min(MAX_NAME + 1)];
    let end = rest.iter().position(|&byte| byte == 0)?;
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

fn truncated(what: &str) -> ObjectError {
    ObjectError::Truncated {
        what: what.to_owned(),
    }
}
