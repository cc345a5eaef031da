//! Code sections and the functions in them.

use std::collections::HashMap;
use std::ops::Range;

use super::btf_ext::CodeInfo;
use super::elf::{Binding, Elf, SymbolKind};
use super::error::ObjectError;
use super::programs::{self, Program};
use crate::isa::Insn;

/// The section of subprograms; every other section of code holds programs.
const SUBPROGRAMS: &str = ".text";

/// All the code of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Code {
    pub(super) sections: Vec<CodeSection>,
    /// By section, then by start.
    pub(super) functions: Vec<Function>,
    /// Start of a function -> its index. Of several names for one place the first counts.
    by_start: HashMap<(usize, usize), usize>,
}

/// A section of code.
#[derive(Debug, Clone)]
pub(super) struct CodeSection {
    pub(super) name: String,
    pub(super) insns: Vec<Insn>,
    /// Slot and symbol index, ascending by slot.
    pub(super) relocations: Vec<(usize, usize)>,
    pub(super) info: CodeInfo,
}

/// A function, program or not.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub(super) name: String,
    /// Index of its [`CodeSection`].
    pub(super) section: usize,
    /// First slot in its section.
    pub(super) start: usize,
    /// Slots.
    pub(super) len: usize,
    pub(super) binding: Binding,
    /// Global, but to be verified with its callers.
    pub(super) hidden: bool,
}

impl Function {
    /// Its slots in its section.
    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

impl CodeSection {
    /// The symbol that the instruction at a slot refers to.
    pub(super) fn relocation_at(&self, slot: usize) -> Option<usize> {
        let index = self
            .relocations
            .binary_search_by_key(&slot, |&(slot, _)| slot)
            .ok()?;
        Some(self.relocations[index].1)
    }

    /// Slot and symbol index of the references in a range of slots.
    pub(super) fn relocations_in(&self, range: &Range<usize>) -> &[(usize, usize)] {
        let from = self
            .relocations
            .partition_point(|&(slot, _)| slot < range.start);
        let to = self
            .relocations
            .partition_point(|&(slot, _)| slot < range.end);
        &self.relocations[from..to.max(from)]
    }
}

impl Code {
    /// Reads all code and gives, too, the code section of each ELF section that is one.
    pub(super) fn read(
        elf: &Elf<'_>,
        info: &mut HashMap<String, CodeInfo>,
    ) -> Result<(Self, HashMap<usize, usize>), ObjectError> {
        let mut code = Self::default();
        let mut code_section_of = HashMap::new();
        for (index, section) in elf.sections.iter().enumerate() {
            if !section.executable || section.data.is_empty() {
                continue;
            }
            let (slots, rest) = section.data.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(bad_code(
                    &section.name,
                    format!(
                        "{} bytes are not a whole number of instructions",
                        section.size
                    ),
                ));
            }
            let mut relocations = Vec::new();
            for relocation in elf.relocations.get(&index).into_iter().flatten() {
                let slot = relocation.offset / Insn::SIZE as u64;
                if !relocation.offset.is_multiple_of(Insn::SIZE as u64)
                    || slot >= slots.len() as u64
                {
                    return Err(bad_code(
                        &section.name,
                        format!(
                            "a relocation at offset {} hits no instruction",
                            relocation.offset
                        ),
                    ));
                }
                if relocation.symbol >= elf.symbols.len() {
                    return Err(bad_code(
                        &section.name,
                        format!(
                            "the relocation at offset {} is for symbol {}, which does not exist",
                            relocation.offset, relocation.symbol
                        ),
                    ));
                }
                relocations.push((slot as usize, relocation.symbol));
            }
            relocations.sort_unstable();
            relocations.dedup_by_key(|&mut (slot, _)| slot);
            code_section_of.insert(index, code.sections.len());
            code.sections.push(CodeSection {
                name: section.name.clone(),
                insns: slots.iter().copied().map(Insn::from_bytes).collect(),
                relocations,
                info: info.remove(&section.name).unwrap_or_default(),
            });
        }
        code.functions = functions(elf, &code.sections, &code_section_of)?;
        for (index, function) in code.functions.iter().enumerate() {
            code.by_start
                .entry((function.section, function.start))
                .or_insert(index);
        }
        Ok((code, code_section_of))
    }

    /// The function that starts at a slot of a section.
    pub(super) fn function_at(&self, section: usize, slot: usize) -> Option<usize> {
        self.by_start.get(&(section, slot)).copied()
    }

    /// The functions that the kernel can load as programs.
    pub(super) fn programs(&self) -> Vec<Program> {
        self.functions
            .iter()
            .enumerate()
            .filter(|(_, function)| !self.is_subprogram(function))
            .map(|(index, function)| {
                let section = &self.sections[function.section].name;
                let (kind, autoload) = programs::kind_of_section(section);
                Program {
                    name: function.name.clone(),
                    section: section.clone(),
                    kind,
                    autoload,
                    len: function.len,
                    function: index,
                }
            })
            .collect()
    }

    /// Whether a function is only ever called: all of `.text`, and static ones anywhere.
    pub(super) fn is_subprogram(&self, function: &Function) -> bool {
        self.sections[function.section].name == SUBPROGRAMS || function.binding == Binding::Local
    }
}

/// Finds the functions by their symbols, ascending by section and start.
fn functions(
    elf: &Elf<'_>,
    sections: &[CodeSection],
    code_section_of: &HashMap<usize, usize>,
) -> Result<Vec<Function>, ObjectError> {
    let mut typed = vec![false; sections.len()];
    for symbol in &elf.symbols {
        let section = symbol
            .section()
            .and_then(|index| code_section_of.get(&index));
        if let (Some(&section), SymbolKind::Function) = (section, symbol.kind) {
            typed[section] = true;
        }
    }
    let mut functions = Vec::new();
    for symbol in &elf.symbols {
        let Some(&section) = symbol
            .section()
            .and_then(|index| code_section_of.get(&index))
        else {
            continue;
        };
        // Assembly without `.type` has plain symbols; a global one then names a function.
        let is_function = match symbol.kind {
            SymbolKind::Function => true,
            SymbolKind::None => !typed[section] && symbol.binding != Binding::Local,
            _ => false,
        };
        if !is_function {
            continue;
        }
        let code = &sections[section];
        let size = Insn::SIZE as u64;
        let end = symbol.value.checked_add(symbol.size);
        if !symbol.value.is_multiple_of(size)
            || !symbol.size.is_multiple_of(size)
            || symbol.value / size >= code.insns.len() as u64
            || end.is_none_or(|end| end / size > code.insns.len() as u64)
        {
            return Err(bad_code(
                &code.name,
                format!(
                    "function '{}' at offset {} with {} bytes does not fit the section's {} instructions",
                    symbol.name,
                    symbol.value,
                    symbol.size,
                    code.insns.len()
                ),
            ));
        }
        functions.push(Function {
            name: symbol.name.clone(),
            section,
            start: (symbol.value / size) as usize,
            len: (symbol.size / size) as usize,
            binding: symbol.binding,
            hidden: symbol.hidden,
        });
    }
    functions.sort_by_key(|function| (function.section, function.start));
    end_unsized(&mut functions, sections);
    refuse_overlaps(&functions, sections)?;
    Ok(functions)
}

/// A function without a size (assembly without `.size`) ends where the next one starts.
fn end_unsized(functions: &mut [Function], sections: &[CodeSection]) {
    for index in 0..functions.len() {
        let Function {
            section,
            start,
            len: 0,
            ..
        } = functions[index]
        else {
            continue;
        };
        let next = functions[index + 1..]
            .iter()
            .find(|next| next.section != section || next.start > start);
        let end = match next {
            Some(next) if next.section == section => next.start,
            _ => sections[section].insns.len(),
        };
        functions[index].len = end - start;
    }
}

/// Two names for one function are fine; half of another function is not. So what is linked never has more
/// instructions than the object.
fn refuse_overlaps(functions: &[Function], sections: &[CodeSection]) -> Result<(), ObjectError> {
    for pair in functions.windows(2) {
        let [first, second] = pair else { continue };
        let same = first.start == second.start && first.len == second.len;
        if first.section == second.section && !same && second.start < first.start + first.len {
            return Err(bad_code(
                &sections[first.section].name,
                format!("functions '{}' and '{}' overlap", first.name, second.name),
            ));
        }
    }
    Ok(())
}

fn bad_code(section: &str, detail: String) -> ObjectError {
    ObjectError::Code {
        section: section.to_owned(),
        detail,
    }
}
