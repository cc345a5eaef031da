//! Sections of global variables, each of which becomes an array map of one value.

use super::btf::{Btf, Kind, TypeBody, VarLinkage};
use super::elf::{Elf, Section};
use super::error::ObjectError;
use super::maps::{MapContent, MapDef, MapOrigin, map_kind};

/// The program cannot write it.
pub(super) const BPF_F_RDONLY_PROG: u32 = 1 << 7;
/// User space can map it into memory.
pub(super) const BPF_F_MMAPABLE: u32 = 1 << 10;

/// The maps of all data sections, each with its section's index.
pub(super) fn read(elf: &Elf<'_>, btf: Option<&Btf>) -> Result<Vec<(usize, MapDef)>, ObjectError> {
    let mut maps = Vec::new();
    for (index, section) in elf.sections.iter().enumerate() {
        let Some(read_only) = classify(section) else {
            continue;
        };
        let value_size = u32::try_from(section.size).map_err(|_| ObjectError::TooMany {
            what: "bytes of a data section",
            count: section.size,
            limit: u32::MAX.into(),
        })?;
        let type_id = btf.and_then(|btf| btf.find(Kind::Datasec, &section.name));
        let mut flags = if read_only { BPF_F_RDONLY_PROG } else { 0 };
        if let (Some(btf), Some(id)) = (btf, type_id)
            && has_visible_variable(btf, id)
        {
            flags |= BPF_F_MMAPABLE;
        }
        maps.push((
            index,
            MapDef {
                kind: map_kind::ARRAY,
                key_size: 4,
                value_size,
                max_entries: 1,
                flags,
                value_type_id: type_id.unwrap_or(0),
                content: if section.nobits {
                    MapContent::None
                } else {
                    MapContent::Data(section.data.to_vec())
                },
                freeze: read_only,
                ..MapDef::new(
                    section.name.clone(),
                    MapOrigin::Data {
                        section: section.name.clone(),
                    },
                )
            },
        ));
    }
    Ok(maps)
}

/// The map of the `__kconfig` variables.
pub(super) fn kconfig(size: u32, btf: Option<&Btf>) -> MapDef {
    const SECTION: &str = ".kconfig";
    let type_id = btf.and_then(|btf| btf.find(Kind::Datasec, SECTION));
    MapDef {
        kind: map_kind::ARRAY,
        key_size: 4,
        value_size: size,
        max_entries: 1,
        flags: BPF_F_RDONLY_PROG | if type_id.is_some() { BPF_F_MMAPABLE } else { 0 },
        value_type_id: type_id.unwrap_or(0),
        content: MapContent::Kconfig,
        freeze: true,
        ..MapDef::new(SECTION.to_owned(), MapOrigin::Kconfig)
    }
}

/// Whether a section holds global variables, and if so whether they are constant.
fn classify(section: &Section<'_>) -> Option<bool> {
    let named = |name: &str| {
        section.name == name
            || section
                .name
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('.'))
    };
    if section.size == 0 || section.executable || !section.program_data {
        return None;
    }
    match section.nobits {
        false if named(".rodata") => Some(true),
        false if named(".data") => Some(false),
        true if named(".bss") => Some(false),
        _ => None,
    }
}

/// User space sees only what is not static, so only then mapping the section makes sense.
fn has_visible_variable(btf: &Btf, datasec: u32) -> bool {
    let Some(TypeBody::Datasec { vars, .. }) = btf.get(datasec).map(|ty| ty.body) else {
        return false;
    };
    vars.iter().any(|var| {
        matches!(
            btf.get(var.type_id).map(|ty| ty.body),
            Some(TypeBody::Var { linkage, .. }) if linkage != VarLinkage::Static
        )
    })
}
