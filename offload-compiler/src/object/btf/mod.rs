//! BTF, the BPF type format (Documentation/bpf/btf.rst, Linux 6.12): reading, searching, and writing for the kernel.

mod edit;
mod kernel;
mod names;
mod parse;
mod read;
mod records;
mod types;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

pub use records::Records;
pub use types::{
    BtfFeatures, Enumerator, FuncLinkage, Kind, Member, Param, Type, TypeBody, VarLinkage,
    VarSecinfo,
};

pub(crate) use edit::word;
pub(super) use names::essential;

use names::{NameIndex, essential_len};
use records::Words;

/// Longest name of a type or member that is read; the kernel takes at most 511 characters.
const MAX_NAME: usize = 1024;

/// How far wrappers (typedefs, `const`, arrays) are followed; real types stay under ten.
const MAX_DEPTH: usize = 64;

/// Bytes of a pointer in eBPF.
const POINTER_SIZE: u32 = 8;

/// Type information: of an object, of the kernel, or of a kernel module on top of the kernel's.
/// A clone shares the bytes.
#[derive(Clone)]
pub struct Btf {
    base: Option<Box<Btf>>,
    own: Arc<Part>,
}

/// The types and strings that one BTF itself holds.
#[derive(Clone)]
struct Part {
    types: Vec<u8>,
    strings: Vec<u8>,
    /// Where each type starts in `types`.
    offsets: Vec<u32>,
    /// The id of the first type.
    first_id: u32,
    /// The offset of the first string.
    first_string: u32,
    index: OnceLock<NameIndex>,
}

/// A type as it lies in the bytes.
#[derive(Clone, Copy)]
struct Raw<'a> {
    name: u32,
    info: u32,
    /// A size or a type id.
    word: u32,
    extra: &'a [u8],
}

impl<'a> Raw<'a> {
    fn kind(self) -> Kind {
        Kind::from_number((self.info >> 24 & 0x1f) as u8).unwrap_or(Kind::Void)
    }

    fn flag(self) -> bool {
        self.info >> 31 != 0
    }

    fn extra(self) -> Words<'a> {
        Words(self.extra)
    }
}

impl Btf {
    /// Reads and checks BTF with nothing below it. Names are indexed only when something is looked up.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Self, super::BtfError> {
        parse::parse(bytes.into(), None)
    }

    /// No types but `void`, to add to.
    pub(crate) fn empty() -> Self {
        Self {
            base: None,
            own: Arc::new(Part {
                types: Vec::new(),
                strings: vec![0],
                offsets: Vec::new(),
                first_id: 1,
                first_string: 0,
                index: OnceLock::new(),
            }),
        }
    }

    /// Reads a kernel module's BTF, whose type ids and strings continue those of `base`.
    pub fn parse_split(bytes: impl Into<Vec<u8>>, base: &Self) -> Result<Self, super::BtfError> {
        parse::parse(bytes.into(), Some(Box::new(base.clone())))
    }

    /// One more than the highest type id, base included. Type 0 is `void`.
    pub fn type_count(&self) -> u32 {
        self.own.first_id + self.own.offsets.len() as u32
    }

    /// The first type id that is not the base's.
    pub fn first_own_id(&self) -> u32 {
        self.own.first_id
    }

    /// A type; `None` if there is none of this id.
    pub fn get(&self, id: u32) -> Option<Type<'_>> {
        if id == 0 {
            return Some(Type {
                id,
                name: "",
                body: TypeBody::Void,
            });
        }
        let raw = self.raw(id)?;
        Some(Type {
            id,
            name: self.string(raw.name).unwrap_or_default(),
            body: self.body(raw),
        })
    }

    /// The kind of a type; `Void` where there is none of this id.
    pub fn kind(&self, id: u32) -> Kind {
        self.raw(id).map_or(Kind::Void, Raw::kind)
    }

    /// The name of a type; empty where it has none.
    pub fn name(&self, id: u32) -> &str {
        self.raw(id)
            .and_then(|raw| self.string(raw.name))
            .unwrap_or_default()
    }

    /// The name at an offset of the string section; `None` outside of it, if not UTF-8, or if longer than 1 KiB.
    pub fn string(&self, offset: u32) -> Option<&str> {
        std::str::from_utf8(self.string_bytes(offset, MAX_NAME)?).ok()
    }

    /// Text at an offset of the string section, such as a source line: cut after 4 KiB, with what is not
    /// UTF-8 replaced.
    pub fn text(&self, offset: u32) -> Option<Cow<'_, str>> {
        const MAX_TEXT: usize = 4096;
        let rest = self.strings_from(offset)?;
        let rest = &rest[..rest.len().min(MAX_TEXT)];
        let end = rest.iter().position(|&byte| byte == 0);
        Some(String::from_utf8_lossy(&rest[..end.unwrap_or(rest.len())]))
    }

    /// The first type of this kind and name.
    pub fn find(&self, kind: Kind, name: &str) -> Option<u32> {
        let in_base = self.base.as_ref().and_then(|base| base.find(kind, name));
        in_base.or_else(|| self.find_own(kind, name))
    }

    /// As [`Btf::find`], without the base.
    pub fn find_own(&self, kind: Kind, name: &str) -> Option<u32> {
        let essential = essential(name);
        self.index()
            .chain(essential.as_bytes())
            .find(|&id| self.kind(id) == kind && self.name_bytes(id) == name.as_bytes())
    }

    /// All types of an essential name, without the base, ascending.
    pub(super) fn candidates<'a>(&'a self, essential: &'a str) -> impl Iterator<Item = u32> + 'a {
        self.index().chain(essential.as_bytes()).filter(move |&id| {
            let name = self.name_bytes(id);
            name.get(..essential_len(name)) == Some(essential.as_bytes())
        })
    }

    /// The type behind `const`, `volatile`, `restrict`, typedefs and type tags.
    pub fn resolve(&self, id: u32) -> u32 {
        let mut id = id;
        for _ in 0..MAX_DEPTH {
            match self.raw(id) {
                Some(raw) if raw.kind().is_wrapper() => id = raw.word,
                _ => return id,
            }
        }
        0
    }

    /// Bytes that a value of the type takes; `None` for what has no size, or one over `u32`.
    pub fn size_of(&self, id: u32) -> Option<u32> {
        let mut id = id;
        let mut count = 1_u32;
        for _ in 0..MAX_DEPTH {
            let raw = self.raw(id)?;
            match raw.kind() {
                Kind::Int
                | Kind::Struct
                | Kind::Union
                | Kind::Enum
                | Kind::Enum64
                | Kind::Float
                | Kind::Datasec => return count.checked_mul(raw.word),
                Kind::Ptr => return count.checked_mul(POINTER_SIZE),
                Kind::Array => {
                    id = raw.extra().at(0);
                    count = count.checked_mul(raw.extra().at(2))?;
                }
                Kind::Var => id = raw.word,
                kind if kind.is_wrapper() => id = raw.word,
                _ => return None,
            }
        }
        None
    }

    /// The type in C, such as `struct iphdr *`.
    pub fn c_name(&self, id: u32) -> String {
        let mut suffix = String::new();
        let mut id = id;
        for _ in 0..MAX_DEPTH {
            let Some(ty) = self.get(id) else { break };
            let named = |keyword: &str| {
                let name = if ty.name.is_empty() { "{...}" } else { ty.name };
                format!("{keyword}{name}{suffix}")
            };
            id = match ty.body {
                TypeBody::Void => return format!("void{suffix}"),
                TypeBody::Ptr(to) => {
                    suffix.insert_str(0, if suffix.starts_with('*') { "*" } else { " *" });
                    to
                }
                TypeBody::Array { element, count } => {
                    suffix = format!("{suffix}[{count}]");
                    element
                }
                TypeBody::Const(to)
                | TypeBody::Volatile(to)
                | TypeBody::Restrict(to)
                | TypeBody::TypeTag(to) => to,
                TypeBody::Struct { .. } | TypeBody::Fwd { union: false } => {
                    return named("struct ");
                }
                TypeBody::Union { .. } | TypeBody::Fwd { union: true } => return named("union "),
                TypeBody::Enum { .. } => return named("enum "),
                TypeBody::FuncProto { .. } => return format!("function{suffix}"),
                _ => return named(""),
            };
        }
        format!("?{suffix}")
    }

    fn raw(&self, id: u32) -> Option<Raw<'_>> {
        let Some(position) = id.checked_sub(self.own.first_id) else {
            return self.base.as_ref()?.raw(id);
        };
        let start = *self.own.offsets.get(position as usize)? as usize;
        let rest = self.own.types.get(start..)?;
        let header = Words(rest.get(..12)?);
        let raw = Raw {
            name: header.at(0),
            info: header.at(1),
            word: header.at(2),
            extra: &[],
        };
        let extra = raw.kind().extra_bytes(raw.info as usize & 0xffff);
        Some(Raw {
            extra: rest.get(12..12 + extra)?,
            ..raw
        })
    }

    fn name_bytes(&self, id: u32) -> &[u8] {
        self.raw(id)
            .and_then(|raw| self.string_bytes(raw.name, MAX_NAME))
            .unwrap_or_default()
    }

    fn string_bytes(&self, offset: u32, longest: usize) -> Option<&[u8]> {
        let rest = self.strings_from(offset)?;
        let rest = &rest[..rest.len().min(longest + 1)];
        let end = rest.iter().position(|&byte| byte == 0)?;
        Some(&rest[..end])
    }

    fn strings_from(&self, offset: u32) -> Option<&[u8]> {
        match offset.checked_sub(self.own.first_string) {
            Some(own) => self.own.strings.get(own as usize..),
            None => self.base.as_ref()?.strings_from(offset),
        }
    }

    fn index(&self) -> &NameIndex {
        self.own.index.get_or_init(|| NameIndex::build(self))
    }
}

impl fmt::Debug for Btf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Btf")
            .field("types", &self.own.offsets.len())
            .field("first_id", &self.own.first_id)
            .finish_non_exhaustive()
    }
}
