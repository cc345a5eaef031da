//! The types that BTF describes.

use super::records::Records;

/// `BTF_KIND_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(
    missing_docs,
    reason = "each is named as in the format's documentation"
)]
pub enum Kind {
    Void = 0,
    Int = 1,
    Ptr = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Fwd = 7,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Func = 12,
    FuncProto = 13,
    Var = 14,
    Datasec = 15,
    Float = 16,
    DeclTag = 17,
    TypeTag = 18,
    Enum64 = 19,
}

/// One type, borrowed from its [`Btf`](super::Btf).
#[derive(Debug, Clone)]
pub struct Type<'a> {
    /// Its id.
    pub id: u32,
    /// Its name; empty where it has none.
    pub name: &'a str,
    /// What it is.
    pub body: TypeBody<'a>,
}

/// What a type is. Ids refer to the same [`Btf`](super::Btf).
#[derive(Debug, Clone)]
pub enum TypeBody<'a> {
    /// Type 0.
    Void,
    /// An integer.
    Int {
        /// Bytes.
        size: u32,
        /// Signed.
        signed: bool,
        /// A character.
        char: bool,
        /// `bool`.
        bool: bool,
        /// First bit, in old-style bit fields.
        bit_offset: u8,
        /// Bits.
        bits: u8,
    },
    /// A pointer to a type.
    Ptr(u32),
    /// An array.
    Array {
        /// Type of an element.
        element: u32,
        /// Elements.
        count: u32,
    },
    /// A structure.
    Struct {
        /// Bytes.
        size: u32,
        /// Its members.
        members: Records<'a, Member<'a>>,
    },
    /// A union.
    Union {
        /// Bytes.
        size: u32,
        /// Its members.
        members: Records<'a, Member<'a>>,
    },
    /// An enumeration, of 32-bit or 64-bit kind.
    Enum {
        /// Bytes.
        size: u32,
        /// Whether values are signed.
        signed: bool,
        /// Its values.
        values: Records<'a, Enumerator<'a>>,
    },
    /// A structure or union that is only declared.
    Fwd {
        /// A union.
        union: bool,
    },
    /// Another name of a type.
    Typedef(u32),
    /// `volatile`.
    Volatile(u32),
    /// `const`.
    Const(u32),
    /// `restrict`.
    Restrict(u32),
    /// A type with an attribute, such as `user`.
    TypeTag(u32),
    /// A function.
    Func {
        /// Its prototype.
        proto: u32,
        /// How it is linked.
        linkage: FuncLinkage,
    },
    /// A prototype.
    FuncProto {
        /// What it returns.
        returns: u32,
        /// Its parameters.
        params: Records<'a, Param<'a>>,
    },
    /// A global variable.
    Var {
        /// Its type.
        type_id: u32,
        /// How it is linked.
        linkage: VarLinkage,
    },
    /// A data section.
    Datasec {
        /// Bytes.
        size: u32,
        /// Its variables, ascending by offset.
        vars: Records<'a, VarSecinfo>,
    },
    /// A floating point number.
    Float {
        /// Bytes.
        size: u32,
    },
    /// An attribute of a declaration.
    DeclTag {
        /// The declaration.
        type_id: u32,
        /// Member or parameter; -1 for the declaration itself.
        component: i32,
    },
}

/// A member of a structure or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name; empty for an anonymous structure or union.
    pub name: &'a str,
    /// Its type.
    pub type_id: u32,
    /// Where it starts, in bits.
    pub bit_offset: u32,
    /// Bits of a bit field, 0 for a plain member.
    pub bit_size: u8,
}

/// A value of an enumeration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enumerator<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value, sign extended where the enumeration is signed.
    pub value: i128,
}

/// A parameter of a prototype.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// Its name; empty where unknown.
    pub name: &'a str,
    /// Its type; 0 as the last one means `...`.
    pub type_id: u32,
}

/// A variable in a data section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VarSecinfo {
    /// The variable.
    pub type_id: u32,
    /// Where it starts, in bytes.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
}

/// How a function is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FuncLinkage {
    /// Seen in its file only; verified with its callers.
    Static,
    /// Verified on its own.
    Global,
    /// A kernel function.
    Extern,
}

/// How a variable is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VarLinkage {
    /// Seen in its file only.
    Static,
    /// Seen by all files.
    Global,
    /// Defined elsewhere: `__kconfig`, `__ksym`.
    Extern,
}

impl Kind {
    /// The kind of a number; `None` for one that this reader does not know.
    pub(super) fn from_number(number: u8) -> Option<Self> {
        const ALL: [Kind; 20] = [
            Kind::Void,
            Kind::Int,
            Kind::Ptr,
            Kind::Array,
            Kind::Struct,
            Kind::Union,
            Kind::Enum,
            Kind::Fwd,
            Kind::Typedef,
            Kind::Volatile,
            Kind::Const,
            Kind::Restrict,
            Kind::Func,
            Kind::FuncProto,
            Kind::Var,
            Kind::Datasec,
            Kind::Float,
            Kind::DeclTag,
            Kind::TypeTag,
            Kind::Enum64,
        ];
        ALL.get(number as usize).copied()
    }

    /// Whether this is a structure or a union.
    pub fn is_composite(self) -> bool {
        matches!(self, Self::Struct | Self::Union)
    }

    /// Whether this is an enumeration of either width.
    pub fn is_enum(self) -> bool {
        matches!(self, Self::Enum | Self::Enum64)
    }

    /// Whether a type of this kind only wraps another: modifiers and typedefs.
    pub fn is_wrapper(self) -> bool {
        matches!(
            self,
            Self::Typedef | Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag
        )
    }

    /// Bytes after the 12 that every type has, for `vlen` entries.
    pub(super) fn extra_bytes(self, vlen: usize) -> usize {
        match self {
            Self::Int | Self::Var | Self::DeclTag => 4,
            Self::Array => 12,
            Self::Struct | Self::Union | Self::Datasec | Self::Enum64 => vlen * 12,
            Self::Enum | Self::FuncProto => vlen * 8,
            Self::Void
            | Self::Ptr
            | Self::Fwd
            | Self::Typedef
            | Self::Volatile
            | Self::Const
            | Self::Restrict
            | Self::Func
            | Self::Float
            | Self::TypeTag => 0,
        }
    }
}

/// What a kernel's BTF loader knows. All is known since Linux 6.9; the default is a modern kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BtfFeatures {
    /// `BTF_KIND_FUNC` and `FUNC_PROTO` (5.0).
    pub func: bool,
    /// `BTF_KIND_VAR` and `DATASEC` (5.2).
    pub datasec: bool,
    /// Functions with global linkage (5.6).
    pub global_func: bool,
    /// `BTF_KIND_FLOAT` (5.13).
    pub float: bool,
    /// `BTF_KIND_DECL_TAG` (5.16).
    pub decl_tag: bool,
    /// `BTF_KIND_TYPE_TAG` (5.17).
    pub type_tag: bool,
    /// `BTF_KIND_ENUM64` and signed enumerations (6.0).
    pub enum64: bool,
    /// Data sections whose names start with `?` (6.9).
    pub odd_datasec_names: bool,
}

impl Default for BtfFeatures {
    fn default() -> Self {
        Self::of_kernel(u32::MAX)
    }
}

impl BtfFeatures {
    /// What a mainline kernel knows, by [`Environment::kernel_version`](crate::object::Environment::kernel_version).
    /// Distributions backport, so prefer all of it and come down when the kernel refuses.
    pub fn of_kernel(version: u32) -> Self {
        let since = |major: u32, minor: u32| version >= major << 16 | minor << 8;
        Self {
            func: since(5, 0),
            datasec: since(5, 2),
            global_func: since(5, 6),
            float: since(5, 13),
            decl_tag: since(5, 16),
            type_tag: since(5, 17),
            enum64: since(6, 0),
            odd_datasec_names: since(6, 9),
        }
    }
}
