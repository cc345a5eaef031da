//! A lowered program as something to write.

use super::{EmitError, Image, ImageProgram};
use crate::lower::{Lowered, Map, MapChange};
use crate::object::{
    Linked, LinkedFunction, MapContent, MapDef, MapOrigin, NewCode, Patch, PatchTarget,
};

/// Programs cannot write it.
const BPF_F_RDONLY_PROG: u32 = 1 << 7;

impl Image<'_> {
    /// Adds a program of the object that was lowered; `linked` is what was lowered. Maps that it changed are changed for
    /// all: programs that want one map in different forms cannot be written together.
    pub fn add_lowered(
        &mut self,
        program: usize,
        linked: &Linked,
        lowered: &Lowered,
    ) -> Result<(), EmitError> {
        let own = self.object.maps.len();
        let mut index_of = vec![None; lowered.program.maps.len()];
        let mut patches = Vec::with_capacity(lowered.layout.map_at.len());
        for (&slot, reference) in &lowered.layout.map_at {
            let number = reference.map as usize;
            let known = index_of.get(number).copied().flatten();
            let map = match (known, lowered.program.maps.get(number)) {
                (Some(map), _) => map,
                (None, None) => return Err(EmitError::NoMap { index: number }),
                (None, Some(map)) => {
                    let def = self.define(map, linked)?;
                    // The only one of its kind that stays in place; parts of a map are maps of their own.
                    let in_place = map
                        .from
                        .map(|from| from as usize)
                        .filter(|&from| from == number && from < own);
                    let index = self.place(in_place, def)?;
                    index_of[number] = Some(index);
                    index
                }
            };
            patches.push(Patch {
                insn: slot,
                target: match reference.value_offset {
                    None => PatchTarget::Map { map },
                    Some(offset) => PatchTarget::MapValue { map, offset },
                },
            });
        }
        patches.sort_by_key(|patch| patch.insn);
        let functions = lowered.layout.functions.iter();
        let code = NewCode {
            insns: lowered.layout.code.encode(),
            patches,
            functions: functions
                .map(|function| LinkedFunction {
                    name: function.name.clone(),
                    start: function.start,
                    len: function.len,
                })
                .collect(),
            origins: lowered.layout.origins.clone(),
        };
        self.programs.push(ImageProgram {
            program,
            linked: linked.rewritten(code),
        });
        Ok(())
    }

    /// Where a map goes: over the object's own, or after all others.
    fn place(&mut self, in_place: Option<usize>, def: MapDef) -> Result<usize, EmitError> {
        let Some(index) = in_place else {
            self.maps.push(def);
            return Ok(self.maps.len() - 1);
        };
        let is_used = self
            .programs
            .iter()
            .any(|program| program.linked.maps.contains(&index));
        if is_used && self.maps[index] != def {
            return Err(EmitError::Map {
                map: def.name,
                detail: "the programs need it in different forms; write one of them alone"
                    .to_owned(),
            });
        }
        self.maps[index] = def;
        Ok(index)
    }

    /// The definition of a map as the lowered program wants it: the original's, with what was changed.
    fn define(&self, map: &Map, linked: &Linked) -> Result<MapDef, EmitError> {
        let shape = &map.shape;
        let mut def = match map.from.map(|from| from as usize) {
            None => MapDef {
                kind: shape.kind,
                flags: shape.flags,
                ..MapDef::new(shape.name.clone(), MapOrigin::Btf)
            },
            Some(from) => self
                .object
                .maps
                .get(from)
                .cloned()
                .ok_or(EmitError::NoMap { index: from })?,
        };
        if def.content == MapContent::Kconfig
            && let Some(bytes) = &linked.kconfig
        {
            def.content = MapContent::Data(bytes.clone());
        }
        let changed = |to: fn(&MapChange) -> bool| map.changes.iter().any(to);
        if changed(|change| matches!(change, MapChange::Kind { .. })) {
            def.kind = shape.kind;
        }
        if changed(|change| matches!(change, MapChange::Flags { .. })) {
            def.flags = shape.flags;
        }
        let parts: Vec<_> = map
            .changes
            .iter()
            .filter_map(|change| match *change {
                MapChange::Part { start, len, at } => Some((start, len, at)),
                _ => None,
            })
            .collect();
        def.name.clone_from(&shape.name);
        def.key_size = shape.key_size;
        def.value_size = shape.value_size;
        def.max_entries = shape.max_entries;
        def.freeze &= def.flags & BPF_F_RDONLY_PROG != 0;
        if !parts.is_empty() {
            def.value_type_id = 0;
        }
        if let MapContent::Data(whole) = &def.content {
            let all = [(0, whole.len() as u32, 0)];
            let parts = if parts.is_empty() { &all[..] } else { &parts };
            def.content = MapContent::Data(first_value(whole, shape.value_size, parts)?);
        }
        Ok(def)
    }
}

/// A value of so many bytes of which parts come from another one: their starts there, lengths, and places.
fn first_value(whole: &[u8], size: u32, parts: &[(u32, u32, u32)]) -> Result<Vec<u8>, EmitError> {
    const LONGEST: u32 = 256 << 20;
    if size > LONGEST {
        return Err(EmitError::TooMany {
            what: "bytes of a map's first value",
            count: size.into(),
            limit: LONGEST.into(),
        });
    }
    let mut value = vec![0; size as usize];
    for &(start, len, at) in parts {
        let range = |start: u32| start as usize..(start as usize).saturating_add(len as usize);
        if let (Some(from), Some(to)) = (whole.get(range(start)), value.get_mut(range(at))) {
            to.copy_from_slice(from);
        }
    }
    Ok(value)
}
