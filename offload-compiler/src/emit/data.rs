//! Data sections: maps of one value whose address programs load. libbpf knows them by their names and makes their flags of
//! these and of whether a variable in them is seen by others (tools/lib/bpf/libbpf.c, bpf_object__init_internal_map,
//! Linux 6.12).

use std::collections::{BTreeMap, HashMap, HashSet};

use super::container::{Container, Content, Named, SymbolId};
use super::types::{self, Types};
use super::{EmitError, Image, Use};
use crate::object::btf::{Kind, VarSecinfo};
use crate::object::{Global, MapContent, MapDef, MapOrigin, map_kind};

/// Programs cannot write it.
const BPF_F_RDONLY_PROG: u32 = 1 << 7;
/// User space can map it into memory.
const BPF_F_MMAPABLE: u32 = 1 << 10;

/// Writes the sections of all maps whose values programs address, and says where each is.
pub(super) fn write(
    image: &Image<'_>,
    used: &BTreeMap<usize, Use>,
    container: &mut Container,
    types: &mut Types,
    places: &mut [Option<SymbolId>],
) -> Result<(), EmitError> {
    let mut globals: HashMap<usize, Vec<&Global>> = HashMap::new();
    for global in image.object.globals() {
        globals.entry(global.map).or_default().push(global);
    }
    // Names of global symbols are of the whole object.
    let mut names = HashSet::new();
    for (&index, _) in used.iter().filter(|(_, how)| **how == Use::Memory) {
        let map = &image.maps[index];
        let bytes = content(image, map)?;
        let read_only = map.flags & BPF_F_RDONLY_PROG != 0;
        let content = match bytes {
            _ if read_only => Content::ReadOnly,
            Some(_) => Content::Data,
            None => Content::Zeros,
        };
        let name = section_name(map, content);
        let section = container.section(&name, content)?;
        match (content, bytes) {
            (Content::Zeros, _) => container.append_zeros(section, map.value_size.into()),
            (_, Some(bytes)) => container.append(section, bytes),
            (_, None) => return Err(error(map, "it is constant and has no content")),
        }
        places[index] = Some(container.section_symbol(section));

        let mappable = map.flags & BPF_F_MMAPABLE != 0;
        let visible = describe(map, &name, mappable, types)?;
        let own = globals.get(&index).map_or(&[][..], Vec::as_slice);
        for global in own {
            let is_visible = visible.contains_key(&global.name);
            container.symbol(Named {
                name: &global.name,
                section,
                offset: global.offset.into(),
                size: global.size.into(),
                is_function: false,
                global: is_visible && names.insert(global.name.clone()),
            })?;
        }
        // Externs that were resolved have no symbols of their own.
        for (name, var) in visible {
            if names.insert(name.clone()) {
                types::define(container, section, &name, &var)?;
            }
        }
    }
    Ok(())
}

/// The content of a map, all of it; `None`: zeros.
fn content<'a>(image: &'a Image<'_>, map: &'a MapDef) -> Result<Option<&'a [u8]>, EmitError> {
    let known = map.flags & !(BPF_F_RDONLY_PROG | BPF_F_MMAPABLE) == 0;
    if map.kind != map_kind::ARRAY || map.key_size != 4 || map.max_entries != 1 || !known {
        return Err(error(
            map,
            "programs load its value's address, and it is no array of one value without other flags",
        ));
    }
    let bytes = match &map.content {
        MapContent::Data(bytes) => bytes,
        MapContent::Kconfig => image
            .programs
            .iter()
            .find_map(|program| program.linked.kconfig.as_ref())
            .ok_or_else(|| error(map, "the kernel's configuration was not resolved"))?,
        MapContent::None | MapContent::Slots(_) => return Ok(None),
    };
    if bytes.len() as u64 != u64::from(map.value_size) {
        return Err(error(map, "its content is not as long as its value"));
    }
    Ok(Some(bytes))
}

/// The name that says what the section is: the map's own if it does, else with the right one in front.
fn section_name(map: &MapDef, content: Content) -> String {
    let family = match content {
        Content::ReadOnly => ".rodata",
        Content::Zeros => ".bss",
        _ => ".data",
    };
    let own = match &map.origin {
        MapOrigin::Data { section } => section,
        _ => &map.name,
    };
    let says = own == family
        || own
            .strip_prefix(family)
            .is_some_and(|rest| rest.starts_with('.'));
    if says {
        own.clone()
    } else {
        format!("{family}.{}", own.trim_start_matches('.'))
    }
}

/// Lets BTF describe the section, and gives the variables in it that others see.
fn describe(
    map: &MapDef,
    name: &str,
    mappable: bool,
    types: &mut Types,
) -> Result<BTreeMap<String, VarSecinfo>, EmitError> {
    let id = map.value_type_id;
    let cannot_map = || {
        error(
            map,
            "it is to be mapped into memory, but has no variable that others see",
        )
    };
    if types.btf().kind(id) != Kind::Datasec {
        if mappable {
            return Err(cannot_map());
        }
        if id != 0 && types.btf().size_of(id) == Some(map.value_size) {
            let var = VarSecinfo {
                type_id: types.variable(&map.name, id, false),
                offset: 0,
                size: map.value_size,
            };
            types.data_section(name, map.value_size, &[var])?;
        }
        return Ok(BTreeMap::new());
    }
    if !types.keep(id, name, map.value_size) {
        return Err(error(map, "another section has its description"));
    }
    let mut visible = BTreeMap::new();
    for (var, name, is_visible) in types.variables(id) {
        if is_visible && !mappable {
            types.hide(var.type_id);
        } else if is_visible {
            visible.insert(name, var);
        }
    }
    if mappable && visible.is_empty() {
        return Err(cannot_map());
    }
    Ok(visible)
}

fn error(map: &MapDef, detail: &str) -> EmitError {
    EmitError::Map {
        map: map.name.clone(),
        detail: detail.to_owned(),
    }
}
