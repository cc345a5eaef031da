//! A linked program whose code was changed: what is known of the functions and source lines goes with it.

use super::Linked;
use super::btf_ext::LineInfo;
use super::info;
use super::line_info::Lines;
use super::linked::{LinkedFunction, Patch, PatchTarget};
use crate::isa::Insn;

/// The new code of a program.
#[derive(Debug, Clone, Default)]
pub struct NewCode {
    /// As [`Linked::insns`].
    pub insns: Vec<Insn>,
    /// As [`Linked::patches`].
    pub patches: Vec<Patch>,
    /// As [`Linked::functions`]. Those of the old program keep their names.
    pub functions: Vec<LinkedFunction>,
    /// By new slot, the old slot that it stands for.
    pub origins: Vec<Option<usize>>,
}

impl Linked {
    /// The program with other code. An instruction that stands for none of the old ones counts to the source line before
    /// it.
    #[must_use]
    pub fn rewritten(&self, code: NewCode) -> Self {
        let mut maps: Vec<usize> = code
            .patches
            .iter()
            .filter_map(|patch| match patch.target {
                PatchTarget::Map { map } | PatchTarget::MapValue { map, .. } => Some(map),
                PatchTarget::ModuleBtf { .. } => None,
            })
            .collect();
        maps.sort_unstable();
        maps.dedup();
        let func_info = self.functions_of(&code);
        let lines = self.lines_of(&code);
        let poisoned = self.poisoned.iter().filter_map(|poisoned| {
            let insn = code
                .origins
                .iter()
                .position(|&origin| origin == Some(poisoned.insn))?;
            Some(super::Poisoned {
                insn,
                ..poisoned.clone()
            })
        });
        Self {
            poisoned: poisoned.collect(),
            func_info: func_info.map(|words| info::records(8, words)),
            line_info: lines.as_deref().map(info::line_records),
            lines: Lines::new(lines.unwrap_or_default(), self.lines.strings()),
            insns: code.insns,
            patches: code.patches,
            functions: code.functions,
            maps,
            modules: self.modules.clone(),
            kconfig: self.kconfig.clone(),
        }
    }

    /// Slot and type of each function, if all have one.
    fn functions_of(&self, code: &NewCode) -> Option<Vec<u32>> {
        let words = self.func_info.as_ref()?.bytes.as_chunks::<4>().0;
        let (records, _) = words.as_chunks::<2>();
        let mut found = Vec::new();
        for function in &code.functions {
            let old = self.functions.iter().find(|f| f.name == function.name)?;
            let record = records
                .iter()
                .find(|[slot, _]| u32::from_le_bytes(*slot) as usize == old.start)?;
            found.extend([function.start as u32, u32::from_le_bytes(record[1])]);
        }
        Some(found)
    }

    /// The source lines of the new code, if each function has one at its start, which the kernel wants.
    fn lines_of(&self, code: &NewCode) -> Option<Vec<LineInfo>> {
        self.line_info.as_ref()?;
        let line_at = |origin: usize| self.lines.record(origin, self.function_at(origin)?.start);
        let mut lines: Vec<LineInfo> = Vec::new();
        for function in &code.functions {
            let end = function.start.saturating_add(function.len);
            let origins = code.origins.get(function.start..end)?;
            let known = |origin: &Option<usize>| line_at((*origin)?);
            let mut last = origins.iter().find_map(known)?;
            lines.push(LineInfo {
                insn: function.start as u32,
                ..last
            });
            for (slot, line) in (function.start..).zip(origins.iter().map(known)) {
                let Some(line) = line.filter(|line| !line.is_same_line(&last)) else {
                    continue;
                };
                // The kernel takes no record of the second half of a 64-bit load.
                let is_second = slot > function.start
                    && code.insns.get(slot - 1).is_some_and(|i| i.is_ld_imm64());
                if is_second {
                    continue;
                }
                last = line;
                if slot > function.start {
                    lines.push(LineInfo {
                        insn: slot as u32,
                        ..line
                    });
                }
            }
        }
        Some(lines)
    }
}
