//! The kernel's structures, as far as programs look into them: which bytes are what (`btf_struct_walk`,
//! kernel/bpf/btf.c, Linux 6.18).

use std::collections::HashMap;

use crate::isa::{Callee, Code, Instruction};
use crate::object::btf::{Btf, Kind, Member, TypeBody};

use super::kernel_function::KernelFunction;

/// Structures within structures are followed this deep; the kernel's are not as deep.
const MAX_DEPTH: usize = 64;
/// Structures of numbers may lie this deep in each other (`__btf_type_is_scalar_struct`).
const MAX_NUMBERS_DEPTH: u32 = 3;

/// The type information of a kernel and of the modules that a program calls.
#[derive(Debug, Clone, Default)]
pub struct KernelTypes {
    /// The kernel's first, then those of modules.
    parts: Vec<Btf>,
}

/// A type in [`KernelTypes`]. One of the kernel's own is always given as such, also where a module refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeRef {
    /// 0 for the kernel, then the modules.
    pub part: u8,
    /// The type's id there.
    pub id: u32,
}

/// What lies at a place in a structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    /// A number, or a part of one.
    Number,
    /// The address of a structure.
    Structure(Reached),
    /// The address of anything else: the kernel lets it be read, and protects the read.
    Untyped,
}

/// A structure that a member has the address of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reached {
    /// Its type.
    pub ty: TypeRef,
    /// The member's name.
    pub member: String,
    /// What the member's type is tagged with.
    pub tag: Tag,
    /// It lies in a union: whether it is an address is not known.
    pub in_union: bool,
}

/// Tags of pointers in the kernel's structures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// None that matters.
    None,
    /// `__rcu`: there as long as an RCU section lasts, or null.
    Rcu,
    /// `__user` or `__percpu`: no address that can be used as it is.
    Elsewhere,
}

impl KernelTypes {
    /// The types of a kernel and, split on top of them, of modules.
    pub fn new(kernel: &Btf, modules: impl IntoIterator<Item = Btf>) -> Self {
        Self {
            parts: std::iter::once(kernel.clone())
                .chain(modules)
                .take(256)
                .collect(),
        }
    }

    /// The kernel functions that the code calls and that are there, by BTF id and part. A call names the part as the index
    /// into the load's `fd_array`, 0 for the kernel.
    pub fn functions_called_by(&self, code: &Code) -> HashMap<(i32, i16), KernelFunction> {
        let called = code
            .iter()
            .filter_map(|(_, instruction)| match *instruction {
                Instruction::Call(Callee::Kernel { btf_id, module }) => Some((btf_id, module)),
                _ => None,
            });
        called
            .filter_map(|(btf_id, module)| {
                let part = u8::try_from(module).ok()?;
                let function = KernelFunction::new(self, part, u32::try_from(btf_id).ok()?)?;
                Some(((btf_id, module), function))
            })
            .collect()
    }

    fn btf(&self, part: u8) -> Option<&Btf> {
        self.parts.get(usize::from(part))
    }

    /// A type as seen from a part, wrappers removed.
    fn reference(&self, part: u8, id: u32) -> Option<TypeRef> {
        let btf = self.btf(part)?;
        let id = btf.resolve(id);
        let part = if id < btf.first_own_id() { 0 } else { part };
        Some(TypeRef { part, id })
    }

    /// The kernel's own structure of this name.
    pub(super) fn structure(&self, name: &str) -> Option<TypeRef> {
        let id = self.btf(0)?.find(Kind::Struct, name)?;
        Some(TypeRef { part: 0, id })
    }

    /// The name of a type; empty where it has none.
    pub(super) fn name(&self, ty: TypeRef) -> &str {
        self.btf(ty.part).map_or("", |btf| btf.name(ty.id))
    }

    /// What `bpf_rdonly_cast` makes of an id of the kernel's own types; `None` for what it does not take.
    pub(super) fn cast_target(&self, id: u32) -> Option<CastTarget> {
        let btf = self.btf(0)?;
        if id == 0 {
            return Some(CastTarget::Memory);
        }
        let is_structure =
            id < btf.type_count() && matches!(btf.kind(id), Kind::Struct | Kind::Union);
        is_structure.then_some(CastTarget::Structure(TypeRef { part: 0, id }))
    }

    /// What `size` bytes at `offset` of a structure are; the kernel's reason where they are nothing that can be read.
    pub(super) fn field(&self, ty: TypeRef, offset: u32, size: u32) -> Result<Field, String> {
        let Some(btf) = self.btf(ty.part) else {
            return Err("the structure is not known".to_owned());
        };
        let mut in_union = false;
        let (mut id, mut offset) = (btf.resolve(ty.id), offset);
        for _ in 0..MAX_DEPTH {
            match step(btf, id, offset, size, &mut in_union)? {
                Inside::Structure {
                    id: inner,
                    offset: rest,
                } => {
                    id = btf.resolve(inner);
                    offset = rest;
                }
                Inside::Number => return Ok(Field::Number),
                Inside::Pointer { to, member } => {
                    return Ok(self.pointed(ty.part, to, member.name, in_union));
                }
            }
        }
        Err("the structure is too deep".to_owned())
    }

    fn pointed(&self, part: u8, to: u32, member: &str, in_union: bool) -> Field {
        let Some(btf) = self.btf(part) else {
            return Field::Untyped;
        };
        let tag = match btf.get(to) {
            Some(ty) if matches!(ty.body, TypeBody::TypeTag(_)) => match ty.name {
                "rcu" => Tag::Rcu,
                "user" | "percpu" => Tag::Elsewhere,
                _ => Tag::None,
            },
            _ => Tag::None,
        };
        match self.reference(part, to) {
            Some(ty) if self.is_structure(ty) => Field::Structure(Reached {
                ty,
                member: member.to_owned(),
                tag,
                in_union,
            }),
            _ => Field::Untyped,
        }
    }

    fn is_structure(&self, ty: TypeRef) -> bool {
        self.btf(ty.part)
            .is_some_and(|btf| matches!(btf.kind(ty.id), Kind::Struct | Kind::Union))
    }

    /// Whether the kernel lists a member of `holder` as one that keeps its holder's trust: it does so by structures named
    /// `holder__safe_rcu`, `holder__safe_trusted` and so on (`btf_nested_type_is_trusted`).
    pub(super) fn is_listed(&self, holder: TypeRef, reached: &Reached, suffix: &str) -> bool {
        let Some(btf) = self.btf(holder.part) else {
            return false;
        };
        let name = format!("{}{suffix}", btf.name(holder.id));
        let Some(TypeBody::Struct { members, .. } | TypeBody::Union { members, .. }) = btf
            .find(btf.kind(holder.id), &name)
            .and_then(|id| btf.get(id))
            .map(|ty| ty.body)
        else {
            return false;
        };
        members.iter().any(|member| {
            member.name == reached.member
                && matches!(btf.get(member.type_id).map(|ty| ty.body), Some(TypeBody::Ptr(to))
                    if self.reference(holder.part, to) == Some(reached.ty))
        })
    }

    /// Where a member of the kernel's own structures lies: its first byte, and the first one after it.
    pub(super) fn member_span(&self, ty: TypeRef, name: &str) -> Option<(u32, u32)> {
        let btf = self.btf(ty.part)?;
        let (TypeBody::Struct { members, .. } | TypeBody::Union { members, .. }) =
            btf.get(ty.id)?.body
        else {
            return None;
        };
        let member = members.iter().find(|member| member.name == name)?;
        let start = member.bit_offset / 8;
        Some((start, start.checked_add(btf.size_of(member.type_id)?)?))
    }

    /// The name, parameters and result of a function.
    pub(super) fn function(&self, part: u8, id: u32) -> Option<FunctionType<'_>> {
        let btf = self.btf(part)?;
        let ty = btf.get(id)?;
        let TypeBody::Func { proto, .. } = ty.body else {
            return None;
        };
        let TypeBody::FuncProto { returns, params } = btf.get(proto)?.body else {
            return None;
        };
        Some(FunctionType {
            name: ty.name,
            returns,
            parameters: params
                .iter()
                .map(|param| (param.name, param.type_id))
                .collect(),
        })
    }

    /// What a parameter or result is.
    pub(super) fn shape(&self, part: u8, id: u32) -> Shape<'_> {
        let Some(btf) = self.btf(part) else {
            return Shape::Other;
        };
        match btf.get(btf.resolve(id)).map(|ty| ty.body) {
            Some(TypeBody::Void) => Shape::Void,
            Some(TypeBody::Int { .. } | TypeBody::Enum { .. }) => Shape::Number,
            Some(TypeBody::Ptr(to)) => {
                let Some(target) = self.reference(part, to) else {
                    return Shape::Other;
                };
                Shape::Pointer(Target {
                    name: self.name(target),
                    structure: self.is_structure(target).then_some(target),
                    numbers: self.size_of_numbers(target),
                    is_void: target.id == 0,
                    size: self.btf(target.part).and_then(|btf| btf.size_of(target.id)),
                })
            }
            _ => Shape::Other,
        }
    }

    /// The size of a number or of a structure of nothing but numbers.
    fn size_of_numbers(&self, ty: TypeRef) -> Option<u32> {
        let btf = self.btf(ty.part)?;
        if is_number(btf, ty.id) || is_structure_of_numbers(btf, ty.id, 0) {
            return btf.size_of(ty.id);
        }
        None
    }
}

/// What a number can be read as the address of.
pub(super) enum CastTarget {
    /// Memory of unknown size.
    Memory,
    /// A structure.
    Structure(TypeRef),
}

/// A function of the kernel.
pub(super) struct FunctionType<'a> {
    /// Its name.
    pub name: &'a str,
    /// The type it returns.
    pub returns: u32,
    /// Names and types of its parameters.
    pub parameters: Vec<(&'a str, u32)>,
}

/// What a parameter or a result is.
pub(super) enum Shape<'a> {
    /// Nothing, as a result.
    Void,
    /// A number or a value of an enumeration.
    Number,
    /// An address.
    Pointer(Target<'a>),
    /// Anything else.
    Other,
}

/// What an address leads to.
pub(super) struct Target<'a> {
    /// The type's name; empty where it has none.
    pub name: &'a str,
    /// The type, where it is a structure or union.
    pub structure: Option<TypeRef>,
    /// Bytes, where it is a number or a structure of numbers.
    pub numbers: Option<u32>,
    /// `void *`.
    pub is_void: bool,
    /// Bytes, where they are known.
    pub size: Option<u32>,
}

/// One step into a structure.
enum Inside<'a> {
    /// The place lies in another structure.
    Structure { id: u32, offset: u32 },
    /// It is a number.
    Number,
    /// It is an address of this type.
    Pointer { to: u32, member: Member<'a> },
}

/// The member that holds `size` bytes at `offset`.
fn step<'a>(
    btf: &'a Btf,
    id: u32,
    offset: u32,
    size: u32,
    in_union: &mut bool,
) -> Result<Inside<'a>, String> {
    let Some(ty) = btf.get(id) else {
        return Err("the structure is not known".to_owned());
    };
    let (TypeBody::Struct {
        size: whole,
        members,
    }
    | TypeBody::Union {
        size: whole,
        members,
    }) = ty.body
    else {
        return Err(format!("{} is no structure", btf.c_name(id)));
    };
    if btf.kind(id) == Kind::Union && members.len() != 1 {
        *in_union = true;
    }
    let beyond = || format!("{size} bytes at {offset} lie beyond {}", btf.c_name(id));
    let end = offset.checked_add(size).ok_or_else(beyond)?;
    if end > whole {
        return open_array(btf, members.last(), offset).ok_or_else(beyond);
    }
    for member in members.iter() {
        let start = member.bit_offset / 8;
        if end <= start {
            break;
        }
        if member.bit_size > 0 {
            let end_bit = member.bit_offset + u32::from(member.bit_size);
            if offset <= start && end_bit.div_ceil(8) <= end {
                return Ok(Inside::Number);
            }
            continue;
        }
        if offset < start {
            break;
        }
        let (element, count) = flattened(btf, member.type_id);
        let Some(element_size) = btf.size_of(element) else {
            return Err(format!("field {} has no size", member.name));
        };
        let member_end = u64::from(start) + u64::from(element_size) * u64::from(count);
        if u64::from(offset) >= member_end || element_size == 0 {
            continue;
        }
        let start = start + (offset - start) / element_size * element_size;
        match btf.get(element).map(|ty| ty.body) {
            Some(TypeBody::Struct { .. } | TypeBody::Union { .. }) => {
                return Ok(Inside::Structure {
                    id: element,
                    offset: offset - start,
                });
            }
            Some(TypeBody::Ptr(to)) => {
                if size != element_size || offset != start {
                    return Err(format!(
                        "the address in field {} can only be read whole",
                        member.name
                    ));
                }
                return Ok(Inside::Pointer { to, member });
            }
            _ => {}
        }
        if u64::from(end) > member_end && !*in_union {
            return Err(format!("the read ends beyond field {}", member.name));
        }
        return Ok(Inside::Number);
    }
    Err(format!("{} has no field at {offset}", btf.c_name(id)))
}

/// Beyond the end of a structure whose last member is an array of open length.
fn open_array<'a>(btf: &'a Btf, last: Option<Member<'a>>, offset: u32) -> Option<Inside<'a>> {
    let last = last?;
    let start = last.bit_offset / 8;
    let TypeBody::Array { element, count: 0 } = btf.get(btf.resolve(last.type_id))?.body else {
        return None;
    };
    if offset < start {
        return None;
    }
    match btf.get(btf.resolve(element))?.body {
        TypeBody::Int { .. } => Some(Inside::Number),
        TypeBody::Struct { size, .. } | TypeBody::Union { size, .. } if size > 0 => {
            Some(Inside::Structure {
                id: element,
                offset: (offset - start) % size,
            })
        }
        _ => None,
    }
}

/// The element of an array of arrays, and how many there are; of anything else itself, once.
fn flattened(btf: &Btf, id: u32) -> (u32, u32) {
    let (mut id, mut total) = (btf.resolve(id), 1u32);
    for _ in 0..MAX_DEPTH {
        let Some(TypeBody::Array { element, count }) = btf.get(id).map(|ty| ty.body) else {
            break;
        };
        total = total.saturating_mul(count);
        id = btf.resolve(element);
    }
    (id, total)
}

fn is_number(btf: &Btf, id: u32) -> bool {
    matches!(
        btf.get(btf.resolve(id)).map(|ty| ty.body),
        Some(TypeBody::Int { .. } | TypeBody::Enum { .. })
    )
}

fn is_structure_of_numbers(btf: &Btf, id: u32, depth: u32) -> bool {
    let Some(TypeBody::Struct { members, .. } | TypeBody::Union { members, .. }) =
        btf.get(btf.resolve(id)).map(|ty| ty.body)
    else {
        return false;
    };
    members.iter().all(|member| {
        let ty = btf.resolve(member.type_id);
        match btf.get(ty).map(|ty| ty.body) {
            Some(TypeBody::Struct { .. } | TypeBody::Union { .. }) => {
                depth < MAX_NUMBERS_DEPTH && is_structure_of_numbers(btf, ty, depth + 1)
            }
            Some(TypeBody::Array { element, count }) => count > 0 && is_number(btf, element),
            _ => is_number(btf, ty),
        }
    })
}
