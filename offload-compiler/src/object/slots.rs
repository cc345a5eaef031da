//! What map definitions put into maps of maps and program arrays: `.values = { [1] = &inner }`.

use std::collections::HashMap;

use super::btf_maps::{self, PlacedMap, map_error};
use super::elf::{Elf, Symbol};
use super::error::ObjectError;
use super::maps::{MapContent, SlotTarget, map_kind};
use super::programs::Program;

/// Bytes of a pointer in the definition.
const POINTER: u64 = 8;

/// Fills the slots of BTF-defined maps from the relocations of their section. `program_at` finds the program
/// that a symbol names.
pub(super) fn fill(
    elf: &Elf<'_>,
    maps: &mut [PlacedMap],
    programs: &[Program],
    program_at: impl Fn(&Symbol) -> Option<usize>,
) -> Result<(), ObjectError> {
    let Some((section, _)) = elf.section_named(btf_maps::SECTION) else {
        return Ok(());
    };
    let map_named: HashMap<String, usize> = maps
        .iter()
        .enumerate()
        .map(|(index, map)| (map.def.name.clone(), index))
        .collect();
    for relocation in elf.relocations.get(&section).into_iter().flatten() {
        let bad = |detail: String| ObjectError::Malformed {
            detail: format!(
                "section '{}', relocation at offset {}: {detail}",
                btf_maps::SECTION,
                relocation.offset
            ),
        };
        let symbol = elf
            .symbols
            .get(relocation.symbol)
            .ok_or_else(|| bad(format!("symbol {} does not exist", relocation.symbol)))?;
        let after = maps.partition_point(|map| map.offset <= relocation.offset);
        let map = after
            .checked_sub(1)
            .filter(|&map| relocation.offset - maps[map].offset + POINTER <= maps[map].size)
            .ok_or_else(|| bad("it lies in no map definition".to_owned()))?;
        let PlacedMap {
            def,
            offset,
            values_at,
            ..
        } = &maps[map];
        let error = |detail: String| map_error(&def.name, detail);
        let slot = values_at
            .and_then(|values| (relocation.offset - offset).checked_sub(values))
            .filter(|bytes| bytes.is_multiple_of(POINTER))
            .ok_or_else(|| error("something outside of its 'values' is initialised".to_owned()))?
            / POINTER;
        let target = if def.kind == map_kind::PROG_ARRAY {
            program_at(symbol)
                .filter(|&program| programs[program].name == symbol.name)
                .map(SlotTarget::Program)
        } else {
            (symbol.section() == Some(section))
                .then(|| map_named.get(&symbol.name).copied())
                .flatten()
                .map(SlotTarget::Map)
        };
        let target = target.ok_or_else(|| {
            error(format!(
                "its slot {slot} is '{}', which is neither a map nor a program of this object",
                symbol.name
            ))
        })?;
        if def.kind == map_kind::HASH_OF_MAPS && def.key_size != 4 {
            return Err(error(format!(
                "its slots are numbered, so its key must have 4 bytes, not {}",
                def.key_size
            )));
        }
        if let MapContent::Slots(slots) = &mut maps[map].def.content {
            slots.push((slot as u32, target));
        }
    }
    for map in maps {
        if let MapContent::Slots(slots) = &mut map.def.content {
            slots.sort_by_key(|&(slot, _)| slot);
            slots.dedup_by_key(|&mut (slot, _)| slot);
        }
    }
    Ok(())
}
