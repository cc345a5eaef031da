//! Which functions a program is made of and where each goes: the program first, then every subprogram when it is
//! first referred to, depth first, as libbpf lays them out.

use std::collections::HashMap;

use super::Object;
use super::btf::TypeBody;
use super::code::{CodeSection, Function};
use super::elf::SymbolKind;
use super::error::LinkError;
use crate::isa::Insn;

/// The most instructions that the kernel takes from the privileged (`BPF_COMPLEXITY_LIMIT_INSNS`, Linux 6.12).
pub(super) const MAX_INSNS: usize = 1_000_000;

/// The functions of a program.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// In the order of the linked code.
    pub(super) functions: Vec<Placed>,
    /// Linked slot of a call or function pointer -> first linked slot of its target.
    pub(super) references: Vec<(usize, usize)>,
    pub(super) len: usize,
}

/// A function of the object and its first slot in the linked code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) function: usize,
    pub(super) start: usize,
}

/// A function whose references are being followed.
struct Visit {
    placed: Placed,
    /// The next slot to look at, from the function's start.
    slot: usize,
}

impl Layout {
    /// Lays out a program and all it refers to.
    pub(super) fn of_program(object: &Object, program: usize) -> Result<Self, LinkError> {
        let program = object.programs.get(program).ok_or(LinkError::NoProgram {
            index: program,
            count: object.programs.len(),
        })?;
        let mut layout = Self::default();
        let mut starts = HashMap::new();
        layout.add(object, &mut starts, program.function)?;
        let callback = exception_callback(object, &program.name);
        if let Some(callback) = callback.filter(|callback| !starts.contains_key(callback)) {
            layout.add(object, &mut starts, callback)?;
        }
        Ok(layout)
    }

    fn add(
        &mut self,
        object: &Object,
        starts: &mut HashMap<usize, usize>,
        function: usize,
    ) -> Result<(), LinkError> {
        let mut visits = vec![self.place(object, starts, function)?];
        while let Some(visit) = visits.last_mut() {
            let function = &object.code.functions[visit.placed.function];
            let section = &object.code.sections[function.section];
            if visit.slot >= function.len {
                visits.pop();
                continue;
            }
            let slot = visit.slot;
            let insn = section.insns[function.start + slot];
            visit.slot += if insn.is_ld_imm64() { 2 } else { 1 };
            let at = visit.placed.start + slot;
            let Some(target) = referred(object, function, section, slot, insn)? else {
                continue;
            };
            let start = if let Some(&start) = starts.get(&target) {
                start
            } else {
                let visit = self.place(object, starts, target)?;
                let start = visit.placed.start;
                visits.push(visit);
                start
            };
            self.references.push((at, start));
        }
        Ok(())
    }

    fn place(
        &mut self,
        object: &Object,
        starts: &mut HashMap<usize, usize>,
        function: usize,
    ) -> Result<Visit, LinkError> {
        let placed = Placed {
            function,
            start: self.len,
        };
        self.len += object.code.functions[function].len;
        if self.len > MAX_INSNS {
            return Err(LinkError::TooLong { limit: MAX_INSNS });
        }
        starts.insert(function, placed.start);
        self.functions.push(placed);
        Ok(Visit { placed, slot: 0 })
    }
}

/// The function that `__exception_cb()` names for a program, for the kernel to call on `bpf_throw()`.
fn exception_callback(object: &Object, program: &str) -> Option<usize> {
    const TAG: &str = "exception_callback:";
    let btf = object.btf.as_ref()?;
    (btf.first_own_id()..btf.type_count()).find_map(|id| {
        let tag = btf.get(id)?;
        let TypeBody::DeclTag {
            type_id,
            component: -1,
        } = tag.body
        else {
            return None;
        };
        let callback = tag
            .name
            .strip_prefix(TAG)
            .filter(|_| btf.name(type_id) == program)?;
        object
            .code
            .functions
            .iter()
            .position(|function| function.name == callback && object.code.is_subprogram(function))
    })
}

/// The function that an instruction calls or takes the address of.
fn referred(
    object: &Object,
    function: &Function,
    section: &CodeSection,
    slot: usize,
    insn: Insn,
) -> Result<Option<usize>, LinkError> {
    let in_section = function.start + slot;
    let symbol = section
        .relocation_at(in_section)
        .and_then(|index| object.symbols.get(index));
    let (code_section, target) = match symbol {
        Some(symbol) if symbol.is_extern() => return Ok(None),
        Some(symbol) => {
            let Some(&code_section) = symbol
                .section()
                .and_then(|index| object.code_section_of.get(&index))
            else {
                if !insn.is_local_call() {
                    return Ok(None);
                }
                return Err(LinkError::NoSuchFunction {
                    function: function.name.clone(),
                    insn: slot,
                    target: format!("'{}'", symbol.name),
                });
            };
            let base = symbol.value as i64;
            let offset = if insn.is_local_call() {
                // The compiler counts from the next instruction: -1 is the symbol itself.
                base + (i64::from(insn.imm) + 1) * Insn::SIZE as i64
            } else if insn.is_ld_imm64() {
                base + i64::from(insn.imm)
            } else {
                return Err(LinkError::Relocation {
                    function: function.name.clone(),
                    insn: slot,
                    detail: format!(
                        "refers to function '{}' and is neither a call nor a 64-bit load",
                        symbol.name
                    ),
                });
            };
            (code_section, offset)
        }
        None if insn.is_local_call() => {
            let target = in_section as i64 + i64::from(insn.imm) + 1;
            (function.section, target * Insn::SIZE as i64)
        }
        None => return Ok(None),
    };
    let found = usize::try_from(target)
        .ok()
        .filter(|target| target.is_multiple_of(Insn::SIZE))
        .and_then(|target| object.code.function_at(code_section, target / Insn::SIZE));
    if let Some(found) = found {
        return Ok(Some(found));
    }
    Err(LinkError::NoSuchFunction {
        function: function.name.clone(),
        insn: slot,
        target: match symbol {
            Some(symbol) if symbol.kind != SymbolKind::Section => {
                format!(
                    "'{}' + {}",
                    symbol.name,
                    target.wrapping_sub(symbol.value as i64)
                )
            }
            _ => format!(
                "offset {target} of section '{}'",
                object.code.sections[code_section].name
            ),
        },
    })
}
