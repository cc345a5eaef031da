//! BTF, the BPF type format (Documentation/bpf/btf.rst, Linux 6.12): reading, searching, and writing for the kernel.

mod types;

pub use types::{
    BtfFeatures, Enumerator, FuncLinkage, Kind, Member, Param, Type, TypeBody, VarLinkage,
    VarSecinfo,
};

use super::error::BtfError;

/// Type information: of an object, of the kernel, or of a kernel module on top of the kernel's.
#[derive(Debug, Clone)]
pub struct Btf {}

impl Btf {
    /// Reads and checks BTF with nothing below it. Names are indexed only when something is looked up.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Self, BtfError> {
        let _ = bytes.into();
        todo!("API first")
    }

    /// Reads a kernel module's BTF, whose type ids and strings continue those of `base`.
    pub fn parse_split(bytes: impl Into<Vec<u8>>, base: &Self) -> Result<Self, BtfError> {
        let _ = (bytes.into(), base);
        todo!("API first")
    }

    /// One more than the highest type id, base included. Type 0 is `void`.
    pub fn type_count(&self) -> u32 {
        todo!("API first")
    }

    /// A type; `None` if there is none of this id.
    pub fn get(&self, id: u32) -> Option<Type<'_>> {
        let _ = id;
        todo!("API first")
    }

    /// The string at an offset of the string section; `None` outside of it or if not UTF-8.
    pub fn string(&self, offset: u32) -> Option<&str> {
        let _ = offset;
        todo!("API first")
    }

    /// The first type of this kind and name.
    pub fn find(&self, kind: Kind, name: &str) -> Option<u32> {
        let _ = (kind, name);
        todo!("API first")
    }

    /// The type behind `const`, `volatile`, `restrict`, typedefs and type tags.
    pub fn resolve(&self, id: u32) -> u32 {
        let _ = id;
        todo!("API first")
    }

    /// Bytes that a value of the type takes; `None` for what has no size, or one over `u32`.
    pub fn size_of(&self, id: u32) -> Option<u32> {
        let _ = id;
        todo!("API first")
    }

    /// The type in C, such as `struct iphdr *`.
    pub fn c_name(&self, id: u32) -> String {
        let _ = id;
        todo!("API first")
    }

    /// The bytes for `BPF_BTF_LOAD`, with what the kernel does not know rewritten as libbpf does.
    pub fn to_kernel_bytes(&self, features: BtfFeatures) -> Vec<u8> {
        let _ = features;
        todo!("API first")
    }
}
