//! `.BTF`: the object's types under their ids, and what is written anew.

use std::collections::{HashMap, HashSet};

use super::EmitError;
use super::container::{Container, Content, Named, Position};
use crate::object::btf::{Btf, BtfFeatures, Kind, TypeBody, VarLinkage, VarSecinfo, word};

/// The most types that the kernel takes (`BTF_MAX_TYPE`, include/uapi/linux/btf.h, Linux 6.12).
const MAX_TYPES: u64 = 0x000f_ffff;

/// The longest section of constants (a licence) that is filled up to the size that BTF gives it, in bytes.
const LONGEST_CONSTANT: u32 = 4096;

/// Linkage of a variable, as BTF has it.
const STATIC: u32 = 0;
const GLOBAL: u32 = 1;

/// Types being written.
pub(super) struct Types {
    btf: Btf,
    /// Whether there is anything to write.
    any: bool,
    /// By their number of elements: pointers to arrays, which is how map definitions hold numbers.
    numbers: HashMap<u32, u32>,
    byte: Option<u32>,
    /// The data sections whose sections are written, by their ids.
    kept: HashSet<u32>,
}

/// A member of a structure to add.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) type_id: u32,
}

impl Types {
    pub(super) fn new(original: Option<&Btf>) -> Self {
        Self {
            btf: original.cloned().unwrap_or_else(Btf::empty),
            any: original.is_some(),
            numbers: HashMap::new(),
            byte: None,
            kept: HashSet::new(),
        }
    }

    /// The types so far.
    pub(super) fn btf(&self) -> &Btf {
        &self.btf
    }

    /// Adds a string and gives its offset.
    pub(super) fn string(&mut self, string: &str) -> u32 {
        self.btf.add_string(string)
    }

    fn add(&mut self, kind: Kind, name: &str, word: u32, extra: &[u32]) -> u32 {
        self.any = true;
        let name = match name {
            "" => 0,
            name => self.btf.add_string(name),
        };
        self.btf.add_type(kind, name, word, extra)
    }

    /// `unsigned char`.
    fn byte(&mut self) -> u32 {
        if let Some(id) = self.byte {
            return id;
        }
        let id = self.add(Kind::Int, "unsigned char", 1, &[8]);
        self.byte = Some(id);
        id
    }

    /// `__uint(name, number)`: a pointer to an array of so many elements. The element has one byte, so that the array's
    /// size is in range whatever the number.
    pub(super) fn number(&mut self, number: u32) -> u32 {
        if let Some(&id) = self.numbers.get(&number) {
            return id;
        }
        let byte = self.byte();
        let array = self.add(Kind::Array, "", 0, &[byte, byte, number]);
        let id = self.pointer(array);
        self.numbers.insert(number, id);
        id
    }

    /// `__ulong(name, number)`: an enumeration of that one value.
    pub(super) fn wide_number(&mut self, name: &str, number: u64) -> u32 {
        // Enumerators of one scope have different names in C; BTF does not ask for it.
        let name = self.btf.add_string(&format!("__unique_value_{name}"));
        let words = [name, number as u32, (number >> 32) as u32];
        self.add(Kind::Enum64, "", 8, &words)
    }

    pub(super) fn pointer(&mut self, to: u32) -> u32 {
        self.add(Kind::Ptr, "", to, &[])
    }

    /// `void (void)`.
    pub(super) fn prototype(&mut self) -> u32 {
        self.add(Kind::FuncProto, "", 0, &[])
    }

    /// An array without a size.
    pub(super) fn open_array(&mut self, element: u32) -> u32 {
        let byte = self.byte();
        self.add(Kind::Array, "", 0, &[element, byte, 0])
    }

    /// An unnamed structure of pointers; gives its id and size. The last member may be an open array, which takes none.
    pub(super) fn structure(&mut self, members: &[Member]) -> (u32, u32) {
        const POINTER: u32 = 8;
        let mut words = Vec::new();
        let mut end = 0;
        for (member, at) in members.iter().zip((0..).step_by(POINTER as usize)) {
            let name = self.btf.add_string(member.name);
            words.extend([name, member.type_id, at * 8]);
            let is_open = self.btf.kind(member.type_id) == Kind::Array;
            end = if is_open { at } else { at + POINTER };
        }
        (self.add(Kind::Struct, "", end, &words), end)
    }

    /// A variable that other objects see, or not.
    pub(super) fn variable(&mut self, name: &str, type_id: u32, global: bool) -> u32 {
        let linkage = if global { GLOBAL } else { STATIC };
        self.add(Kind::Var, name, type_id, &[linkage])
    }

    /// A new data section.
    pub(super) fn data_section(
        &mut self,
        name: &str,
        size: u32,
        variables: &[VarSecinfo],
    ) -> Result<u32, EmitError> {
        const MOST: usize = 0xffff;
        if variables.len() > MOST {
            return Err(EmitError::TooMany {
                what: "maps",
                count: variables.len() as u64,
                limit: MOST as u64,
            });
        }
        let words: Vec<u32> = variables
            .iter()
            .flat_map(|var| [var.type_id, var.offset, var.size])
            .collect();
        let id = self.add(Kind::Datasec, name, size, &words);
        self.kept.insert(id);
        Ok(id)
    }

    /// Gives a data section of the object to the section that is written; `false` if it is taken.
    pub(super) fn keep(&mut self, id: u32, name: &str, size: u32) -> bool {
        if !self.kept.insert(id) {
            return false;
        }
        if self.btf.name(id) != name {
            let name = self.btf.add_string(name);
            self.btf.set_word(id, word::NAME, name);
        }
        self.btf.set_word(id, word::SIZE_OR_TYPE, size);
        true
    }

    /// The variables of a data section with their names and whether other objects see them.
    pub(super) fn variables(&self, section: u32) -> Vec<(VarSecinfo, String, bool)> {
        let Some(TypeBody::Datasec { vars, .. }) = self.btf.get(section).map(|ty| ty.body) else {
            return Vec::new();
        };
        vars.iter()
            .filter_map(|var| match self.btf.get(var.type_id)?.body {
                TypeBody::Var { linkage, .. } => {
                    let name = self.btf.name(var.type_id).to_owned();
                    Some((var, name, linkage == VarLinkage::Global))
                }
                _ => None,
            })
            .collect()
    }

    /// Hides a variable from other objects.
    pub(super) fn hide(&mut self, variable: u32) {
        self.btf.set_word(variable, word::EXTRA, STATIC);
    }

    /// A section of constants that libbpf reads itself, with the variables that the object's types say are in it:
    /// libbpf wants a symbol of each.
    pub(super) fn write_constant(
        &mut self,
        name: &str,
        mut bytes: Vec<u8>,
        container: &mut Container,
    ) -> Result<(), EmitError> {
        let section = container.section(name, Content::Data)?;
        let described = self.btf.find(Kind::Datasec, name);
        if let Some(id) = described
            && let Some(size) = self
                .btf
                .size_of(id)
                .filter(|&size| size <= LONGEST_CONSTANT)
        {
            bytes.resize(bytes.len().max(size as usize), 0);
            self.keep(id, name, bytes.len() as u32);
            let mut names = HashSet::new();
            for (var, name, global) in self.variables(id) {
                if global && names.insert(name.clone()) {
                    define(container, section, &name, &var)?;
                }
            }
        }
        container.append(section, &bytes);
        Ok(())
    }

    /// Makes structures of the data sections of what is not written, or libbpf would look for it. They keep their
    /// lengths, so ids stay.
    pub(super) fn drop_other_sections(&mut self) {
        for id in self.btf.first_own_id()..self.btf.type_count() {
            if self.btf.kind(id) != Kind::Datasec || self.kept.contains(&id) {
                continue;
            }
            let entries = self.btf.word(id, word::INFO) & 0xffff;
            let byte = self.byte();
            self.btf.set_word(id, word::NAME, 0);
            let info = u32::from(Kind::Struct as u8) << 24 | entries;
            self.btf.set_word(id, word::INFO, info);
            self.btf.set_word(id, word::SIZE_OR_TYPE, 1);
            for entry in 0..entries as usize {
                for (index, value) in [0, byte, 0].into_iter().enumerate() {
                    self.btf
                        .set_word(id, word::EXTRA + entry * 3 + index, value);
                }
            }
        }
    }

    /// The bytes of `.BTF`, if there is any.
    pub(super) fn to_bytes(&self) -> Result<Option<Vec<u8>>, EmitError> {
        let count = u64::from(self.btf.type_count());
        if count > MAX_TYPES {
            return Err(EmitError::TooMany {
                what: "types",
                count,
                limit: MAX_TYPES,
            });
        }
        Ok(self
            .any
            .then(|| self.btf.to_kernel_bytes(BtfFeatures::default())))
    }
}

/// Adds the symbol of a global variable.
pub(super) fn define(
    container: &mut Container,
    section: Position,
    name: &str,
    var: &VarSecinfo,
) -> Result<(), EmitError> {
    container.symbol(Named {
        name,
        section,
        offset: var.offset.into(),
        size: var.size.into(),
        is_function: false,
        global: true,
    })?;
    Ok(())
}
