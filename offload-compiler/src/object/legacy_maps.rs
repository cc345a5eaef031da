//! Maps that are defined by a C structure in `maps`, as before BTF: five words (`struct bpf_map_def`) and, in
//! several dialects, more behind them.

use super::btf_maps::{PlacedMap, map_error};
use super::elf::{Elf, Section, Symbol, SymbolKind};
use super::error::ObjectError;
use super::maps::{MapDef, MapOrigin, map_kind};

/// Whether a section holds map definitions: `maps`, or `maps/NAME` as some compilers other than clang write.
fn is_definitions(section: &str) -> bool {
    section == "maps" || section.starts_with("maps/")
}

/// Bytes of type, key size, value size, entries and flags.
const KNOWN: usize = 20;

/// No dialect's definition is nearly as long.
const LONGEST: usize = 256;

/// What the words behind the flags mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Nothing; they must be zero.
    Plain,
    /// 28 bytes: the kernel's samples until 5.4 have the index of the inner map and the NUMA node; aya has an
    /// id and pinning.
    Samples,
    /// iproute2's `struct bpf_elf_map`: id, pinning, id of the inner map, index in it (36 bytes).
    Iproute2,
}

/// Reads all definitions: by section, in the order of their places.
pub(super) fn read(elf: &Elf<'_>) -> Result<Vec<(usize, Vec<PlacedMap>)>, ObjectError> {
    let sections = elf.sections.iter().enumerate();
    sections
        .filter(|(_, section)| is_definitions(&section.name))
        .map(|(index, section)| Ok((index, read_section(elf, index, section)?)))
        .collect()
}

fn read_section(
    elf: &Elf<'_>,
    index: usize,
    section: &Section<'_>,
) -> Result<Vec<PlacedMap>, ObjectError> {
    let mut symbols: Vec<&Symbol> = elf
        .symbols
        .iter()
        .filter(|symbol| {
            symbol.section() == Some(index)
                && matches!(symbol.kind, SymbolKind::Data | SymbolKind::None)
                && !symbol.name.is_empty()
                && symbol.value < section.size
        })
        .collect();
    symbols.sort_by_key(|symbol| symbol.value);
    symbols.dedup_by_key(|symbol| symbol.value);

    let mut maps = Vec::with_capacity(symbols.len());
    let mut inner_of = Vec::new();
    for (position, symbol) in symbols.iter().enumerate() {
        let end = match symbol.size {
            0 => symbols
                .get(position + 1)
                .map_or(section.size, |next| next.value),
            size => symbol.value.saturating_add(size),
        };
        let bytes = section
            .data
            .get(symbol.value as usize..end as usize)
            .filter(|bytes| (KNOWN..=LONGEST).contains(&bytes.len()))
            .ok_or_else(|| {
                map_error(
                    &symbol.name,
                    format!(
                        "its definition is no struct bpf_map_def of {KNOWN} to {LONGEST} bytes"
                    ),
                )
            })?;
        let (def, inner) = read_one(&symbol.name, bytes)?;
        inner_of.push(inner);
        maps.push(PlacedMap {
            def,
            offset: symbol.value,
            size: bytes.len() as u64,
            values_at: None,
        });
    }
    for (position, inner) in inner_of.into_iter().enumerate() {
        let Some(inner) = inner else { continue };
        let template = match inner {
            Inner::Index(index) => maps.get(index as usize).map(|map| &map.def),
            Inner::Id(id) => symbols
                .iter()
                .zip(&maps)
                .find(|(symbol, _)| id_of(section.data, symbol) == Some(id))
                .map(|(_, map)| &map.def),
        };
        let template = template
            .filter(|template| template.inner.is_none() && !is_map_of_maps(template.kind))
            .cloned()
            .ok_or_else(|| {
                map_error(
                    &maps[position].def.name,
                    "its inner map is not defined in this object, or is a map of maps itself"
                        .to_owned(),
                )
            })?;
        maps[position].def.inner = Some(Box::new(template));
    }
    Ok(maps)
}

/// How a map of maps names what it holds.
enum Inner {
    Index(u32),
    Id(u32),
}

fn read_one(name: &str, bytes: &[u8]) -> Result<(MapDef, Option<Inner>), ObjectError> {
    let words: Vec<u32> = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .take(9)
        .map(|word| u32::from_le_bytes(*word))
        .collect();
    let mut def = MapDef {
        kind: words[0],
        key_size: words[1],
        value_size: words[2],
        max_entries: words[3],
        flags: words[4],
        ..MapDef::new(name.to_owned(), MapOrigin::Legacy)
    };
    let dialect = match bytes.len() {
        28 => Dialect::Samples,
        36 => Dialect::Iproute2,
        _ => Dialect::Plain,
    };
    let word = |index: usize| words.get(index).copied().unwrap_or(0);
    let inner = match dialect {
        Dialect::Samples => {
            const BPF_F_NUMA_NODE: u32 = 1 << 2;
            if def.flags & BPF_F_NUMA_NODE != 0 {
                def.numa_node = word(6);
            } else {
                def.pin_by_name = word(6) == 1;
            }
            is_map_of_maps(def.kind).then(|| Inner::Index(word(5)))
        }
        Dialect::Iproute2 => {
            // PIN_OBJECT_NS and PIN_GLOBAL_NS differ in the directory only.
            def.pin_by_name = word(6) != 0;
            (is_map_of_maps(def.kind) && word(7) != 0).then(|| Inner::Id(word(7)))
        }
        Dialect::Plain => {
            if let Some(at) = bytes[KNOWN..].iter().position(|&byte| byte != 0) {
                return Err(map_error(
                    name,
                    format!(
                        "its definition of {} bytes sets something at byte {}, past struct bpf_map_def; \
                         define the map by BTF in SEC(\".maps\")",
                        bytes.len(),
                        KNOWN + at
                    ),
                ));
            }
            None
        }
    };
    Ok((def, inner))
}

/// iproute2's id of a definition: the word behind the flags.
fn id_of(section: &[u8], symbol: &Symbol) -> Option<u32> {
    let word = section
        .get(symbol.value as usize + KNOWN..)?
        .first_chunk::<4>()?;
    Some(u32::from_le_bytes(*word))
}

fn is_map_of_maps(kind: u32) -> bool {
    matches!(kind, map_kind::ARRAY_OF_MAPS | map_kind::HASH_OF_MAPS)
}
