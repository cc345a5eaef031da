//! Global variables: setting `const volatile` configuration and initial data before load.

use std::collections::HashMap;

use super::btf::{Btf, TypeBody};
use super::data_maps::BPF_F_RDONLY_PROG;
use super::elf::{Elf, SymbolKind};
use super::error::GlobalError;
use super::maps::{MapContent, MapDef};

/// Largest `.bss` that is given content of its own, in bytes.
const MAX_ZEROED: u32 = 256 << 20;

/// A global variable in a data section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    /// Its name.
    pub name: String,
    /// Index of its section's map in [`Object::maps`](super::Object::maps).
    pub map: usize,
    /// Where it starts in the map's value, in bytes.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
    /// Its type in the object's BTF, 0 where unknown.
    pub type_id: u32,
    /// Whether programs can only read it (`.rodata`).
    pub read_only: bool,
}

/// A value for a global variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GlobalValue<'a> {
    /// Exactly the variable's bytes.
    Bytes(&'a [u8]),
    /// A number that fits the variable, as signed or as unsigned.
    Integer(i128),
}

/// The variables in data sections, from the ELF symbols; types come from BTF. `map_of_section` gives the map of
/// an ELF section.
pub(super) fn read(
    elf: &Elf<'_>,
    btf: Option<&Btf>,
    maps: &[MapDef],
    map_of_section: impl Fn(usize) -> Option<usize>,
) -> Vec<Global> {
    let mut types = HashMap::new();
    for map in maps {
        let section = btf.and_then(|btf| Some((btf, btf.get(map.value_type_id)?.body)));
        if let Some((btf, TypeBody::Datasec { vars, .. })) = section {
            for var in vars {
                let type_id = match btf.get(var.type_id).map(|ty| ty.body) {
                    Some(TypeBody::Var { type_id, .. }) => type_id,
                    _ => 0,
                };
                types.insert((map.name.as_str(), btf.name(var.type_id)), type_id);
            }
        }
    }
    elf.symbols
        .iter()
        .filter(|symbol| symbol.kind == SymbolKind::Data && symbol.size > 0)
        .filter_map(|symbol| {
            let map = map_of_section(symbol.section()?)?;
            let def = maps.get(map)?;
            let end = symbol.value.checked_add(symbol.size)?;
            (end <= u64::from(def.value_size)).then(|| Global {
                name: symbol.name.clone(),
                map,
                offset: symbol.value as u32,
                size: symbol.size as u32,
                type_id: types
                    .get(&(def.name.as_str(), symbol.name.as_str()))
                    .copied()
                    .unwrap_or(0),
                read_only: def.flags & BPF_F_RDONLY_PROG != 0,
            })
        })
        .collect()
}

/// Writes a value into the content of the map that a variable lives in.
pub(super) fn set(
    globals: &[Global],
    maps: &mut [MapDef],
    btf: Option<&Btf>,
    name: &str,
    value: GlobalValue<'_>,
) -> Result<(), GlobalError> {
    let mut named = globals.iter().filter(|global| global.name == name);
    let global = named.next().ok_or_else(|| GlobalError::Unknown {
        name: name.to_owned(),
        known: globals.iter().map(|global| global.name.clone()).collect(),
    })?;
    let others = named.count();
    if others > 0 {
        return Err(GlobalError::Ambiguous {
            name: name.to_owned(),
            count: others + 1,
        });
    }
    let bytes = match value {
        GlobalValue::Bytes(bytes) if bytes.len() as u64 == u64::from(global.size) => bytes.to_vec(),
        GlobalValue::Bytes(bytes) => {
            return Err(GlobalError::Size {
                name: name.to_owned(),
                expected: global.size.into(),
                given: bytes.len() as u64,
            });
        }
        GlobalValue::Integer(number) => integer_bytes(global, btf, number)?,
    };
    let def = &mut maps[global.map];
    if !matches!(def.content, MapContent::Data(_)) {
        // `.bss` has no content until something is put there.
        if def.value_size > MAX_ZEROED {
            return Err(GlobalError::SectionTooLarge {
                name: name.to_owned(),
                bytes: def.value_size.into(),
                limit: MAX_ZEROED.into(),
            });
        }
        def.content = MapContent::Data(vec![0; def.value_size as usize]);
    }
    if let MapContent::Data(content) = &mut def.content {
        let start = global.offset as usize;
        if let Some(place) = content.get_mut(start..start + bytes.len()) {
            place.copy_from_slice(&bytes);
        }
    }
    Ok(())
}

fn integer_bytes(global: &Global, btf: Option<&Btf>, number: i128) -> Result<Vec<u8>, GlobalError> {
    let size = global.size;
    let not_integer = || GlobalError::NotInteger {
        name: global.name.clone(),
        size: size.into(),
    };
    let body = btf
        .filter(|_| global.type_id != 0)
        .and_then(|btf| btf.get(btf.resolve(global.type_id)))
        .map(|ty| ty.body);
    let is_bool = match body {
        Some(TypeBody::Int { bool, .. }) => bool,
        None | Some(TypeBody::Enum { .. }) => false,
        Some(_) => return Err(not_integer()),
    };
    if !matches!(size, 1 | 2 | 4 | 8) {
        return Err(not_integer());
    }
    let bits = size * 8;
    let range = if is_bool {
        0..2
    } else {
        -(1_i128 << (bits - 1))..1_i128 << bits
    };
    if !range.contains(&number) {
        return Err(GlobalError::Range {
            name: global.name.clone(),
            size: size.into(),
            value: number,
        });
    }
    Ok(number.to_le_bytes()[..size as usize].to_vec())
}
