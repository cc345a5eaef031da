//! Maps that are defined by BTF in `.maps`: the members of a structure say what each is
//! (tools/lib/bpf/libbpf.c, parse_btf_map_def, Linux 6.12).

use super::btf::{Btf, Kind, Member, Records, Type, TypeBody};
use super::elf::Elf;
use super::error::ObjectError;
use super::maps::{MapContent, MapDef, MapOrigin, map_kind};

/// The section of map definitions.
pub(super) const SECTION: &str = ".maps";

/// Before a map's name: the section of what its only value holds at first. Ours alone: libbpf skips it and leaves the map
/// empty.
pub(crate) const FIRST_VALUE: &str = ".first_value.";

/// A map with its place in the section, which is how code refers to it.
#[derive(Debug)]
pub(super) struct PlacedMap {
    pub(super) def: MapDef,
    /// Bytes from the section's start.
    pub(super) offset: u64,
    /// Bytes that the definition takes.
    pub(super) size: u64,
    /// Where its `values` start, in bytes from its own start.
    pub(super) values_at: Option<u64>,
}

/// Reads all definitions, in the order of the section. The data section's offsets have been fixed up.
pub(super) fn read(elf: &Elf<'_>, btf: Option<&Btf>) -> Result<Vec<PlacedMap>, ObjectError> {
    let Some((_, section)) = elf.section_named(SECTION) else {
        return Ok(Vec::new());
    };
    let bad = |detail: &str| ObjectError::Malformed {
        detail: format!("section '{SECTION}': {detail}"),
    };
    let btf = btf.ok_or_else(|| {
        bad("its maps are described by BTF, and the object has none; build with `clang -g`")
    })?;
    let Some(TypeBody::Datasec { vars, .. }) = btf
        .find(Kind::Datasec, SECTION)
        .and_then(|id| btf.get(id))
        .map(|ty| ty.body)
    else {
        return Err(bad("BTF does not describe it; build with `clang -g`"));
    };
    vars.iter()
        .map(|var| {
            let name = btf.name(var.type_id);
            let error = |detail: String| map_error(name, detail);
            let Some(TypeBody::Var { type_id, .. }) = btf.get(var.type_id).map(|ty| ty.body) else {
                return Err(bad("it holds something that is no variable"));
            };
            if name.is_empty() {
                return Err(bad("it holds a map without a name"));
            }
            if u64::from(var.offset) + u64::from(var.size) > section.size {
                return Err(error(
                    "its definition lies outside of the section".to_owned(),
                ));
            }
            let ty = btf.get(btf.resolve(type_id));
            let Some(TypeBody::Struct { size, members }) = ty.map(|ty| ty.body) else {
                return Err(error("its definition is not a structure".to_owned()));
            };
            if size > var.size {
                return Err(error(format!(
                    "its definition has {size} bytes, its variable {}",
                    var.size
                )));
            }
            let mut reader = Reader::new(btf, name);
            reader.read(members)?;
            let mut def = reader.def;
            if let Some((_, first)) = elf.section_named(&format!("{FIRST_VALUE}{name}"))
                && def.kind == map_kind::ARRAY
                && def.max_entries == 1
                && first.size == u64::from(def.value_size)
                && first.data.len() as u64 == first.size
            {
                def.content = MapContent::Data(first.data.to_vec());
            }
            Ok(PlacedMap {
                def,
                offset: var.offset.into(),
                size: var.size.into(),
                values_at: reader.values_at,
            })
        })
        .collect()
}

struct Reader<'a> {
    btf: &'a Btf,
    name: &'a str,
    def: MapDef,
    is_inner: bool,
    values_at: Option<u64>,
}

impl<'a> Reader<'a> {
    fn new(btf: &'a Btf, name: &'a str) -> Self {
        Self {
            btf,
            name,
            def: MapDef::new(name.to_owned(), MapOrigin::Btf),
            is_inner: false,
            values_at: None,
        }
    }

    fn read(&mut self, members: Records<'a, Member<'a>>) -> Result<(), ObjectError> {
        /// A definition has eleven kinds of members, each of which makes sense once.
        const MAX_MEMBERS: usize = 32;
        if members.len() > MAX_MEMBERS {
            return Err(self.error(&format!("its definition has {} members", members.len())));
        }
        for (index, member) in members.iter().enumerate() {
            let member = &member;
            match member.name {
                "type" => self.def.kind = self.number(member)?,
                "max_entries" => self.def.max_entries = self.number(member)?,
                "map_flags" => self.def.flags = self.number(member)?,
                "numa_node" => self.def.numa_node = self.number(member)?,
                "key_size" => {
                    let size = self.number(member)?;
                    self.set_size("key", size)?;
                }
                "value_size" => {
                    let size = self.number(member)?;
                    self.set_size("value", size)?;
                }
                "key" => {
                    let (type_id, size) = self.pointee(member)?;
                    self.set_size("key", size)?;
                    self.def.key_type_id = type_id;
                }
                "value" => {
                    let (type_id, size) = self.pointee(member)?;
                    self.set_size("value", size)?;
                    self.def.value_type_id = type_id;
                }
                "map_extra" => self.def.map_extra = self.wide_number(member)?,
                "pinning" => {
                    self.def.pin_by_name = match self.number(member)? {
                        0 => false,
                        1 if !self.is_inner => true,
                        1 => return Err(self.error("an inner map cannot be pinned")),
                        other => {
                            return Err(self.error(&format!(
                                "pinning {other} is unknown: use LIBBPF_PIN_NONE or LIBBPF_PIN_BY_NAME"
                            )));
                        }
                    };
                }
                "values" => {
                    if index + 1 != members.len() {
                        return Err(self.error("'values' must be the last member"));
                    }
                    self.values(member)?;
                }
                other => {
                    return Err(self.error(&format!(
                        "unknown member '{other}'; known are type, key, value, key_size, value_size, max_entries, \
                         map_flags, numa_node, map_extra, pinning and values"
                    )));
                }
            }
        }
        if self.def.kind == 0 {
            return Err(self.error("it has no 'type'; add __uint(type, BPF_MAP_TYPE_...)"));
        }
        Ok(())
    }

    fn set_size(&mut self, what: &str, size: u32) -> Result<(), ObjectError> {
        let field = if what == "key" {
            &mut self.def.key_size
        } else {
            &mut self.def.value_size
        };
        if *field != 0 && *field != size {
            let before = *field;
            return Err(self.error(&format!("its {what} has {before} bytes and {size} bytes")));
        }
        *field = size;
        Ok(())
    }

    /// `__uint(name, number)`: a pointer to an array of that many elements.
    fn number(&self, member: &Member<'_>) -> Result<u32, ObjectError> {
        let TypeBody::Ptr(to) = self.resolved(member.type_id)?.body else {
            return Err(self.error(&format!("'{}' is not made by __uint()", member.name)));
        };
        match self.btf.get(to).map(|ty| ty.body) {
            Some(TypeBody::Array { count, .. }) => Ok(count),
            _ => Err(self.error(&format!("'{}' is not made by __uint()", member.name))),
        }
    }

    /// `__ulong(name, number)`: an enumeration of one value; or `__uint`.
    fn wide_number(&self, member: &Member<'_>) -> Result<u64, ObjectError> {
        match self.resolved(member.type_id)?.body {
            TypeBody::Enum { values, .. } if values.len() == 1 => {
                Ok(values.get(0).map_or(0, |only| only.value as u64))
            }
            _ => self.number(member).map(u64::from),
        }
    }

    /// `__type(name, type)`: a pointer to the type.
    fn pointee(&self, member: &Member<'_>) -> Result<(u32, u32), ObjectError> {
        let Some(TypeBody::Ptr(to)) = self.btf.get(member.type_id).map(|ty| ty.body) else {
            return Err(self.error(&format!("'{}' is not made by __type()", member.name)));
        };
        let size = self.btf.size_of(to).ok_or_else(|| {
            self.error(&format!(
                "the size of its {}'s type '{}' is not known",
                member.name,
                self.btf.c_name(to)
            ))
        })?;
        Ok((to, size))
    }

    /// `__array(values, definition)`: an open array of pointers to inner maps or programs.
    fn values(&mut self, member: &Member<'a>) -> Result<(), ObjectError> {
        if self.is_inner {
            return Err(self.error("maps nest only two levels deep"));
        }
        let of_maps = matches!(
            self.def.kind,
            map_kind::ARRAY_OF_MAPS | map_kind::HASH_OF_MAPS
        );
        if !of_maps && self.def.kind != map_kind::PROG_ARRAY {
            return Err(self.error(
                "only maps of maps and program arrays have 'values' (and 'type' must come before it)",
            ));
        }
        self.set_size("value", 4)?;
        let Some(TypeBody::Array { element, count: 0 }) =
            self.btf.get(member.type_id).map(|ty| ty.body)
        else {
            return Err(self.error("'values' is not made by __array()"));
        };
        let TypeBody::Ptr(to) = self.resolved(element)?.body else {
            return Err(self.error("'values' does not hold pointers"));
        };
        match self.resolved(to)?.body {
            TypeBody::FuncProto { .. } if !of_maps => {}
            TypeBody::Struct { members, .. } if of_maps => {
                let mut inner = Self::new(self.btf, self.name);
                inner.def.name = format!("{}.inner", self.name);
                inner.is_inner = true;
                inner.read(members)?;
                self.def.inner = Some(Box::new(inner.def));
            }
            _ => return Err(self.error("'values' holds neither map definitions nor functions")),
        }
        self.values_at = Some(u64::from(member.bit_offset / 8));
        self.def.content = MapContent::Slots(Vec::new());
        Ok(())
    }

    fn resolved(&self, id: u32) -> Result<Type<'a>, ObjectError> {
        self.btf
            .get(self.btf.resolve(id))
            .ok_or_else(|| self.error("its definition refers to a type that does not exist"))
    }

    fn error(&self, detail: &str) -> ObjectError {
        map_error(&self.def.name, detail.to_owned())
    }
}

pub(super) fn map_error(map: &str, detail: String) -> ObjectError {
    ObjectError::Map {
        map: map.to_owned(),
        detail,
    }
}
