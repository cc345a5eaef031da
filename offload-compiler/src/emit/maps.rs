//! `.maps`: map definitions by BTF, as `__uint()`, `__type()` and `__array()` of bpf_helpers.h make them
//! (tools/lib/bpf/libbpf.c, parse_btf_map_def, Linux 6.12).

use std::collections::{BTreeMap, HashSet};

use super::code::Written;
use super::container::{Container, Content, Named, Position, Reference, SymbolId};
use super::types::{Member, Types};
use super::{EmitError, Image, Use};
use crate::object::btf::{TypeBody, VarSecinfo};
use crate::object::{FIRST_VALUE, MapContent, MapDef, SlotTarget, map_kind};

const SECTION: &str = ".maps";

/// Bytes of a pointer in the section.
const POINTER: u64 = 8;

/// The longest section that is written, in bytes: two million slots.
const LONGEST: u64 = 16 << 20;

/// The definitions that were written.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    section: Option<Position>,
    /// Of the maps with slots: index, and where the slots start in the section.
    slots: Vec<(usize, u64)>,
}

/// Writes the definitions of all maps that are given to helpers, and says where each is.
pub(super) fn write(
    image: &Image<'_>,
    used: &BTreeMap<usize, Use>,
    container: &mut Container,
    types: &mut Types,
    places: &mut [Option<SymbolId>],
) -> Result<Definitions, EmitError> {
    let mut definitions = Definitions::default();
    let mut variables = Vec::new();
    let mut names = HashSet::new();
    let mut end = 0_u64;
    for (&index, _) in used.iter().filter(|(_, how)| **how == Use::Handle) {
        let map = &image.maps[index];
        let name = name(map);
        if !names.insert(name.clone()) {
            return Err(EmitError::NameTaken { what: "map", name });
        }
        let section = match definitions.section {
            Some(section) => section,
            None => *definitions
                .section
                .insert(container.section(SECTION, Content::Data)?),
        };
        write_first_value(map, &name, container)?;
        let (structure, size) = define(map, types)?;
        let slots = match &map.content {
            MapContent::Slots(slots) => slots
                .iter()
                .map(|&(slot, _)| u64::from(slot) + 1)
                .max()
                .unwrap_or(0),
            _ => 0,
        };
        let whole = u64::from(size) + slots * POINTER;
        if slots > 0 {
            definitions.slots.push((index, end + u64::from(size)));
        }
        if end + whole > LONGEST {
            return Err(EmitError::TooMany {
                what: "bytes of map definitions",
                count: end + whole,
                limit: LONGEST,
            });
        }
        places[index] = Some(container.symbol(Named {
            name: &name,
            section,
            offset: end,
            size: whole,
            is_function: false,
            global: true,
        })?);
        variables.push(VarSecinfo {
            type_id: types.variable(&name, structure, true),
            offset: end as u32,
            size: whole as u32,
        });
        end += whole;
    }
    if let Some(section) = definitions.section {
        container.append(section, &vec![0; end as usize]);
        types.data_section(SECTION, end as u32, &variables)?;
    }
    Ok(definitions)
}

impl Definitions {
    /// Lets the slots refer to what is in them.
    pub(super) fn write_slots(
        &self,
        image: &Image<'_>,
        places: &[Option<SymbolId>],
        code: &Written,
        container: &mut Container,
    ) -> Result<(), EmitError> {
        let Some(section) = self.section else {
            return Ok(());
        };
        for &(index, start) in &self.slots {
            let map = &image.maps[index];
            let MapContent::Slots(slots) = &map.content else {
                continue;
            };
            for &(slot, target) in slots {
                let symbol = match target {
                    SlotTarget::Map(inner) => places.get(inner).copied().flatten(),
                    SlotTarget::Program(program) => code.program(program),
                };
                let symbol = symbol.ok_or_else(|| {
                    let program = match target {
                        SlotTarget::Program(index) => image.object.programs.get(index),
                        SlotTarget::Map(_) => None,
                    };
                    let what = program.map_or("a map".to_owned(), |program| {
                        format!("program '{}'", program.name)
                    });
                    error(
                        map,
                        format!("its slot {slot} holds {what}, which is not written"),
                    )
                })?;
                let at = start + u64::from(slot) * POINTER;
                container.refer(section, at, symbol, Reference::Pointer)?;
            }
        }
        Ok(())
    }
}

/// The structure that defines a map, and its size.
fn define(map: &MapDef, types: &mut Types) -> Result<(u32, u32), EmitError> {
    let mut members = Vec::new();
    let mut add = |name, type_id| members.push(Member { name, type_id });
    add("type", types.number(map.kind));
    for (name, value) in [
        ("max_entries", map.max_entries),
        ("map_flags", map.flags),
        ("numa_node", map.numa_node),
        ("pinning", u32::from(map.pin_by_name)),
    ] {
        if value != 0 {
            add(name, types.number(value));
        }
    }
    if map.map_extra != 0 {
        add(
            "map_extra",
            match u32::try_from(map.map_extra) {
                Ok(small) => types.number(small),
                Err(_) => types.wide_number(&map.name, map.map_extra),
            },
        );
    }
    for (of_type, of_size, type_id, size) in [
        ("key", "key_size", map.key_type_id, map.key_size),
        ("value", "value_size", map.value_type_id, map.value_size),
    ] {
        // A type of another size is one that the map had before it was changed, and a section of data is none any more.
        let is_section = matches!(
            types.btf().get(type_id).map(|ty| ty.body),
            Some(TypeBody::Datasec { .. })
        );
        if type_id != 0 && !is_section && types.btf().size_of(type_id) == Some(size) {
            add(of_type, types.pointer(type_id));
        } else if size != 0 {
            add(of_size, types.number(size));
        }
    }
    let values = match (&map.inner, &map.content) {
        (Some(inner), _) => {
            if inner.inner.is_some() {
                return Err(error(map, "maps nest only two levels deep".to_owned()));
            }
            Some(define(inner, types)?.0)
        }
        (None, MapContent::Slots(_)) if map.kind == map_kind::PROG_ARRAY => Some(types.prototype()),
        (None, MapContent::Slots(slots)) if !slots.is_empty() => {
            return Err(error(
                map,
                "it has slots, but not what is in them".to_owned(),
            ));
        }
        _ => None,
    };
    if let Some(values) = values {
        let element = types.pointer(values);
        add("values", types.open_array(element));
    }
    Ok(types.structure(&members))
}

/// The name of the map's variable. A data section that programs now give to helpers becomes a map like any other.
fn name(map: &MapDef) -> String {
    if !map.is_data() {
        return map.name.clone();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    map.name
        .trim_start_matches('.')
        .chars()
        .map(plain)
        .collect()
}

/// What the map's value holds at first, in a section of our own: BTF definitions have no place for it.
fn write_first_value(map: &MapDef, name: &str, container: &mut Container) -> Result<(), EmitError> {
    match &map.content {
        MapContent::Data(bytes) if bytes.iter().any(|&byte| byte != 0) => {
            let section = format!("{FIRST_VALUE}{name}");
            let section = container.section(&section, Content::Metadata)?;
            container.append(section, bytes);
            Ok(())
        }
        MapContent::Kconfig => Err(error(
            map,
            "the kernel's configuration was not resolved".to_owned(),
        )),
        _ => Ok(()),
    }
}

fn error(map: &MapDef, detail: String) -> EmitError {
    EmitError::Map {
        map: map.name.clone(),
        detail,
    }
}
