//! Where code goes: each program into its section, what it calls into `.text`, where libbpf looks for subprograms.
//!
//! A function that several programs call is written once for each: lowering may have changed it for each in another way.

use std::collections::{HashMap, HashSet};

use super::container::{Container, Content, Named, Position, Reference, SymbolId};
use super::{EmitError, Image};
use crate::isa::Insn;
use crate::object::btf::{Btf, FuncLinkage, TypeBody};
use crate::object::{Linked, LinkedFunction, PatchTarget, RawInfo};

/// The section of subprograms.
const SUBPROGRAMS: &str = ".text";

/// Sections that mean something else to a loader.
const RESERVED: [&str; 12] = [
    ".text", ".maps", "maps", "license", "version", ".BTF", ".BTF.ext", ".rodata", ".data", ".bss",
    ".symtab", ".strtab",
];

/// All code, laid out.
#[derive(Debug, Default)]
pub(super) struct Code {
    /// In the order of the file.
    pub(super) sections: Vec<CodeSection>,
    section_of: HashMap<String, usize>,
    functions: Vec<Function>,
}

/// A section of code.
#[derive(Debug)]
pub(super) struct CodeSection {
    pub(super) name: String,
    insns: Vec<Insn>,
    references: Vec<(usize, Target)>,
    /// `func_info`: slot in the section, type id.
    pub(super) function_info: Vec<[u32; 2]>,
    /// `line_info`: slot in the section, file, text, line and column.
    pub(super) line_info: Vec<[u32; 4]>,
}

#[derive(Debug)]
struct Function {
    name: String,
    section: usize,
    /// First slot in the section.
    start: usize,
    len: usize,
    global: bool,
    /// The index in the object, where it is a program.
    program: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Function(usize),
    Map(usize),
}

/// What is known of a linked program, ascending by slot.
struct Info {
    functions: Vec<[u32; 2]>,
    lines: Vec<[u32; 4]>,
}

/// The sections and functions as the container has them.
#[derive(Debug)]
pub(super) struct Written {
    sections: Vec<Position>,
    functions: Vec<SymbolId>,
    /// By index into the object's programs.
    programs: HashMap<usize, SymbolId>,
}

impl Written {
    /// The symbol of a program of the object, if it was written.
    pub(super) fn program(&self, index: usize) -> Option<SymbolId> {
        self.programs.get(&index).copied()
    }
}

impl Code {
    pub(super) fn lay_out(image: &Image<'_>) -> Result<Self, EmitError> {
        let mut code = Self::default();
        // Names that are global already.
        let mut names = HashSet::new();
        for program in &image.programs {
            let described =
                image
                    .object
                    .programs
                    .get(program.program)
                    .ok_or(EmitError::NoProgram {
                        index: program.program,
                    })?;
            if RESERVED.contains(&described.section.as_str()) {
                return Err(taken("section", &described.section));
            }
            check_functions(&described.name, &program.linked)?;
            let info = Info::of(&program.linked);
            let first = code.functions.len();
            for (index, function) in program.linked.functions.iter().enumerate() {
                let is_program = index == 0;
                let section = code.section(if is_program {
                    &described.section
                } else {
                    SUBPROGRAMS
                });
                let name = if is_program {
                    &described.name
                } else {
                    &function.name
                };
                let global = is_program
                    || info.is_global(image.object.btf(), function) && !names.contains(name);
                if global && !names.insert(name.clone()) {
                    return Err(taken("program", name));
                }
                let start = code.sections[section].insns.len();
                code.sections[section].add(&program.linked, &info, function);
                code.functions.push(Function {
                    name: name.clone(),
                    section,
                    start,
                    len: function.len,
                    global,
                    program: is_program.then_some(program.program),
                });
            }
            code.refer_to_functions(&described.name, &program.linked, first)?;
            code.refer_to_maps(&described.name, &program.linked, first)?;
        }
        Ok(code)
    }

    /// The section of a name, new or not.
    fn section(&mut self, name: &str) -> usize {
        if let Some(&known) = self.section_of.get(name) {
            return known;
        }
        let index = self.sections.len();
        self.section_of.insert(name.to_owned(), index);
        self.sections.push(CodeSection {
            name: name.to_owned(),
            insns: Vec::new(),
            references: Vec::new(),
            function_info: Vec::new(),
            line_info: Vec::new(),
        });
        index
    }

    /// Where a slot of a linked program went: section and slot there. `first` is the program's first function.
    fn place(&self, linked: &Linked, first: usize, slot: usize) -> Option<(usize, usize)> {
        let after = linked.functions.partition_point(|f| f.start <= slot);
        let index = after.checked_sub(1)?;
        let function = self.functions.get(first + index)?;
        Some((
            function.section,
            function.start + slot - linked.functions[index].start,
        ))
    }

    /// Calls and function pointers. What a compiler leaves in the immediate depends on the symbol: those of global
    /// functions are named, those of others are an offset from `.text` (tools/lib/bpf/libbpf.c,
    /// bpf_object__reloc_code, Linux 6.12).
    fn refer_to_functions(
        &mut self,
        program: &str,
        linked: &Linked,
        first: usize,
    ) -> Result<(), EmitError> {
        let mut slot = 0;
        while let Some(&insn) = linked.insns.get(slot) {
            let at = slot;
            slot += if insn.is_ld_imm64() { 2 } else { 1 };
            let is_pointer = insn.is_ld_imm64() && insn.src == Insn::PSEUDO_FUNC;
            if !insn.is_local_call() && !is_pointer {
                continue;
            }
            let target = at as i64 + 1 + i64::from(insn.imm);
            let index = usize::try_from(target).ok().and_then(|target| {
                linked
                    .functions
                    .binary_search_by_key(&target, |f| f.start)
                    .ok()
            });
            let (Some(index), Some((section, place))) = (index, self.place(linked, first, at))
            else {
                return Err(EmitError::Instruction {
                    program: program.to_owned(),
                    insn: at,
                    detail: format!("it refers to slot {target}, where no function starts"),
                });
            };
            let function = first + index;
            let base = match &self.functions[function] {
                target if target.global => 0,
                target => target.start as i32,
            };
            let section = &mut self.sections[section];
            section.insns[place].imm = if is_pointer {
                section.insns[place].src = 0;
                base.wrapping_mul(Insn::SIZE as i32)
            } else {
                base - 1
            };
            section.references.push((place, Target::Function(function)));
        }
        Ok(())
    }

    fn refer_to_maps(
        &mut self,
        program: &str,
        linked: &Linked,
        first: usize,
    ) -> Result<(), EmitError> {
        for patch in &linked.patches {
            let (map, offset) = match patch.target {
                PatchTarget::Map { map } => (map, None),
                PatchTarget::MapValue { map, offset } => (map, Some(offset)),
                PatchTarget::ModuleBtf { .. } => {
                    return Err(EmitError::Module {
                        program: program.to_owned(),
                        insn: patch.insn,
                    });
                }
            };
            let place = self
                .place(linked, first, patch.insn)
                .filter(|&(section, place)| {
                    let insns = &self.sections[section].insns;
                    insns.get(place).is_some_and(|insn| insn.is_ld_imm64())
                        && place + 1 < insns.len()
                });
            let Some((section, place)) = place else {
                return Err(EmitError::Instruction {
                    program: program.to_owned(),
                    insn: patch.insn,
                    detail: "it refers to a map and is no 64-bit load".to_owned(),
                });
            };
            let section = &mut self.sections[section];
            section.insns[place].src = 0;
            section.insns[place].imm = offset.unwrap_or(0) as i32;
            section.insns[place + 1].imm = 0;
            section.references.push((place, Target::Map(map)));
        }
        // A module's functions are an index into an array that only the load has.
        let of_module = |insn: &Insn| {
            insn.code == Insn::CALL && insn.src == Insn::PSEUDO_KFUNC_CALL && insn.off != 0
        };
        match linked.insns.iter().position(of_module) {
            None => Ok(()),
            Some(insn) => Err(EmitError::Module {
                program: program.to_owned(),
                insn,
            }),
        }
    }

    /// Adds the sections and the functions' symbols.
    pub(super) fn write_sections(&self, container: &mut Container) -> Result<Written, EmitError> {
        let mut sections = Vec::new();
        for section in &self.sections {
            let position = container.section(&section.name, Content::Code)?;
            container.append(position, &Insn::write_all(&section.insns));
            sections.push(position);
        }
        let mut functions = Vec::new();
        let mut programs = HashMap::new();
        for function in &self.functions {
            let symbol = container.symbol(Named {
                name: &function.name,
                section: sections[function.section],
                offset: (function.start * Insn::SIZE) as u64,
                size: (function.len * Insn::SIZE) as u64,
                is_function: true,
                global: function.global,
            })?;
            functions.push(symbol);
            if let Some(index) = function.program {
                programs.insert(index, symbol);
            }
        }
        Ok(Written {
            sections,
            functions,
            programs,
        })
    }

    /// Adds what the code refers to.
    pub(super) fn write_relocations(
        &self,
        written: &Written,
        maps: &[Option<SymbolId>],
        container: &mut Container,
    ) -> Result<(), EmitError> {
        for (section, &position) in self.sections.iter().zip(&written.sections) {
            let mut references = section.references.clone();
            references.sort_by_key(|&(slot, _)| slot);
            for (slot, target) in references {
                let (symbol, reference) = match target {
                    Target::Function(index) => {
                        let function = &self.functions[index];
                        let symbol = if function.global {
                            written.functions[index]
                        } else {
                            container.section_symbol(written.sections[function.section])
                        };
                        let is_load = section.insns[slot].is_ld_imm64();
                        let reference = if is_load {
                            Reference::Load
                        } else {
                            Reference::Call
                        };
                        (symbol, reference)
                    }
                    Target::Map(map) => {
                        let symbol = maps.get(map).copied().flatten();
                        let symbol = symbol.ok_or(EmitError::NoMap { index: map })?;
                        (symbol, Reference::Load)
                    }
                };
                let offset = (slot * Insn::SIZE) as u64;
                container.refer(position, offset, symbol, reference)?;
            }
        }
        Ok(())
    }
}

impl CodeSection {
    /// Appends a function with what is known of it.
    fn add(&mut self, linked: &Linked, info: &Info, function: &LinkedFunction) {
        let base = self.insns.len() as u32;
        let start = function.start as u32;
        let range = function.start..function.start + function.len;
        self.insns.extend_from_slice(&linked.insns[range]);
        let moved = |slot: u32| slot - start + base;
        for &[slot, ty] in within(&info.functions, function) {
            self.function_info.push([moved(slot), ty]);
        }
        for &[slot, file, text, at] in within(&info.lines, function) {
            self.line_info.push([moved(slot), file, text, at]);
        }
    }
}

impl Info {
    fn of(linked: &Linked) -> Self {
        Self {
            functions: linked.func_info.as_ref().map_or_else(Vec::new, records),
            lines: linked.line_info.as_ref().map_or_else(Vec::new, records),
        }
    }

    /// Whether the kernel verifies the function on its own.
    fn is_global(&self, btf: Option<&Btf>, function: &LinkedFunction) -> bool {
        let record = within(&self.functions, function).first();
        let body = record.and_then(|&[_, ty]| Some(btf?.get(ty)?.body));
        matches!(
            body,
            Some(TypeBody::Func {
                linkage: FuncLinkage::Global,
                ..
            })
        )
    }
}

/// The records that are about the slots of a function.
fn within<'a, const WORDS: usize>(
    records: &'a [[u32; WORDS]],
    function: &LinkedFunction,
) -> &'a [[u32; WORDS]] {
    let before = |end: usize| records.partition_point(|record| (record[0] as usize) < end);
    &records[before(function.start)..before(function.start + function.len)]
}

/// The records of `func_info` or `line_info`, ascending; words that are not there are 0.
fn records<const WORDS: usize>(info: &RawInfo) -> Vec<[u32; WORDS]> {
    let size = (info.record_size as usize).max(4);
    let mut records: Vec<_> = info
        .bytes
        .chunks_exact(size)
        .map(|record| {
            let mut words = [0; WORDS];
            for (word, bytes) in words.iter_mut().zip(record.as_chunks::<4>().0) {
                *word = u32::from_le_bytes(*bytes);
            }
            words
        })
        .collect();
    records.sort_by_key(|words| words[0]);
    records
}

fn check_functions(program: &str, linked: &Linked) -> Result<(), EmitError> {
    let mut end = 0;
    let follow = linked.functions.iter().all(|function| {
        let follows = function.start == end && function.len > 0;
        end = function.start.saturating_add(function.len);
        follows
    });
    if !follow || end != linked.insns.len() || linked.functions.is_empty() {
        return Err(EmitError::Functions {
            program: program.to_owned(),
            insns: linked.insns.len(),
        });
    }
    Ok(())
}

fn taken(what: &'static str, name: &str) -> EmitError {
    EmitError::NameTaken {
        what,
        name: name.to_owned(),
    }
}
