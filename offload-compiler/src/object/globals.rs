//! Global variables: setting `const volatile` configuration and initial data before load.

/// A global variable in a data section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    /// Its name.
    pub name: String,
    /// Index of its section's map in [`Object::maps`](super::Object::maps).
    pub map: usize,
    /// Where it starts in the map's value, in bytes.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
    /// Its type in the object's BTF, 0 where unknown.
    pub type_id: u32,
    /// Whether programs can only read it (`.rodata`).
    pub read_only: bool,
}

/// A value for a global variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GlobalValue<'a> {
    /// Exactly the variable's bytes.
    Bytes(&'a [u8]),
    /// A number that fits the variable, as signed or as unsigned.
    Integer(i128),
}
