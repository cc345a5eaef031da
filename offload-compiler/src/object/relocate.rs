//! Linking: one program with all it calls, with everything in it that the object left open.

use std::collections::{BTreeSet, HashMap};

use super::core::{self, Failure};
use super::elf::{Place, Symbol, SymbolKind};
use super::environment::Environment;
use super::error::LinkError;
use super::externs::{self, Found};
use super::info;
use super::kconfig;
use super::layout::Layout;
use super::linked::{Linked, LinkedFunction, Patch, PatchTarget, Poisoned};
use super::maps::{MapContent, SlotTarget};
use super::{Object, SectionMaps};
use crate::isa::Insn;

/// The number of the invalid helper that stands for a missing weak kernel function; the extern's index is added.
/// libbpf uses the same.
const POISON_KERNEL_FUNCTION: i32 = 2_002_000_000;

/// Links a program against a kernel.
pub(super) fn link(
    object: &Object,
    program: usize,
    environment: &Environment<'_>,
) -> Result<Linked, LinkError> {
    let layout = Layout::of_program(object, program)?;
    let mut linker = Linker {
        object,
        environment,
        settings: match object.kconfig_map {
            Some(_) => kconfig::Settings::pick(&object.externs.all, environment),
            None => kconfig::Settings::default(),
        },
        found: HashMap::new(),
        maps: BTreeSet::new(),
        out: Linked {
            insns: Vec::with_capacity(layout.len),
            ..Linked::default()
        },
    };
    linker.copy_code(&layout);
    linker.resolve_core(&layout)?;
    linker.resolve_symbols(&layout)?;
    info::attach(&mut linker.out, object, &layout);
    Ok(linker.finish())
}

struct Linker<'a> {
    object: &'a Object,
    environment: &'a Environment<'a>,
    settings: kconfig::Settings<'a>,
    /// Externs that were looked up.
    found: HashMap<usize, Found>,
    maps: BTreeSet<usize>,
    out: Linked,
}

/// An instruction, for messages and for patching.
#[derive(Clone, Copy)]
struct At<'a> {
    function: &'a str,
    /// Slot in the function.
    slot: usize,
    /// Slot in the linked code.
    linked: usize,
}

impl At<'_> {
    fn error(self, detail: String) -> LinkError {
        LinkError::Relocation {
            function: self.function.to_owned(),
            insn: self.slot,
            detail,
        }
    }
}

impl Linker<'_> {
    fn copy_code(&mut self, layout: &Layout) {
        for placed in &layout.functions {
            let function = &self.object.code.functions[placed.function];
            let section = &self.object.code.sections[function.section];
            self.out
                .insns
                .extend_from_slice(&section.insns[function.range()]);
            self.out.functions.push(LinkedFunction {
                name: function.name.clone(),
                start: placed.start,
                len: function.len,
            });
        }
        for &(at, target) in &layout.references {
            let insn = &mut self.out.insns[at];
            // Both count from the next slot, a call's by definition and a function pointer's too
            // (check_ld_imm, kernel/bpf/verifier.c).
            insn.imm = (target as i64 - at as i64 - 1) as i32;
            if insn.is_ld_imm64() {
                insn.src = Insn::PSEUDO_FUNC;
            }
        }
    }

    fn resolve_core(&mut self, layout: &Layout) -> Result<(), LinkError> {
        let Some(btf) = &self.object.btf else {
            return Ok(());
        };
        let mut resolver = core::Resolver::new(btf, self.environment);
        for placed in &layout.functions {
            let function = &self.object.code.functions[placed.function];
            let section = &self.object.code.sections[function.section];
            let end = placed.start + function.len;
            for relocation in section.info.core_in(&function.range()) {
                let slot = relocation.insn as usize - function.start;
                let at = placed.start + slot;
                let failed = |detail: String| LinkError::Core {
                    function: function.name.clone(),
                    insn: slot,
                    detail,
                };
                let resolution = resolver
                    .resolve(relocation)
                    .map_err(|failure| match failure {
                        Failure::NoKernelBtf => LinkError::NeedsKernelBtf {
                            what: format!(
                                "{}, instruction {slot}: CO-RE relocation",
                                function.name
                            ),
                        },
                        Failure::Bad(detail) => failed(detail),
                    })?;
                let works =
                    core::patch(&mut self.out.insns[at..end], &resolution).map_err(failed)?;
                if !works {
                    self.out.poisoned.push(Poisoned {
                        insn: at,
                        imm: core::POISON,
                        what: resolver.describe(relocation),
                    });
                }
            }
        }
        Ok(())
    }

    fn resolve_symbols(&mut self, layout: &Layout) -> Result<(), LinkError> {
        for placed in &layout.functions {
            let function = &self.object.code.functions[placed.function];
            let section = &self.object.code.sections[function.section];
            for &(slot, index) in section.relocations_in(&function.range()) {
                let at = At {
                    function: &function.name,
                    slot: slot - function.start,
                    linked: placed.start + slot - function.start,
                };
                let Some(symbol) = self.object.symbols.get(index) else {
                    continue;
                };
                if let Some(&ext) = self.object.externs.by_symbol.get(&index) {
                    self.resolve_extern(at, ext)?;
                } else {
                    self.resolve_reference(at, symbol)?;
                }
            }
        }
        Ok(())
    }

    /// A reference to a map or a global variable; those to functions are done.
    fn resolve_reference(&mut self, at: At<'_>, symbol: &Symbol) -> Result<(), LinkError> {
        let Place::Section(section) = symbol.place else {
            return Err(at.error(format!(
                "refers to '{}', which is in no section; give the global variable an initial value, or compile \
                 with -fno-common",
                symbol.name
            )));
        };
        if self.object.code_section_of.contains_key(&section) {
            return Ok(());
        }
        let insn = self.out.insns[at.linked];
        let has_second = at.slot + 1 < self.function_len(at);
        if !insn.is_ld_imm64() || !has_second {
            return Err(at.error(format!(
                "refers to '{}' and is not a 64-bit load: {insn:?}",
                self.name_of(symbol, section)
            )));
        }
        match self.object.section_maps.get(&section) {
            Some(&SectionMaps::Data(map)) => {
                let offset = (insn.imm as u32).wrapping_add(symbol.value as u32);
                self.point_into_map(at.linked, map, offset);
                Ok(())
            }
            Some(SectionMaps::Definitions(maps)) => {
                // A static map is referred to by its section, with the offset in the instruction.
                let offset = match symbol.kind {
                    SymbolKind::Section => symbol.value.wrapping_add(insn.imm as u32 as u64),
                    _ => symbol.value,
                };
                let map = *maps.get(&offset).ok_or_else(|| {
                    at.error(format!(
                        "refers to '{}' at offset {offset}, where no map is defined",
                        self.name_of(symbol, section)
                    ))
                })?;
                let insn = &mut self.out.insns[at.linked];
                insn.src = Insn::PSEUDO_MAP_FD;
                insn.imm = 0;
                self.out.insns[at.linked + 1].imm = 0;
                self.patch(at.linked, PatchTarget::Map { map });
                Ok(())
            }
            None => Err(LinkError::Unsupported {
                function: at.function.to_owned(),
                insn: at.slot,
                what: format!(
                    "a reference to '{}' in section '{}'",
                    symbol.name,
                    self.object
                        .section_names
                        .get(section)
                        .map_or("?", String::as_str)
                ),
            }),
        }
    }

    fn resolve_extern(&mut self, at: At<'_>, index: usize) -> Result<(), LinkError> {
        let ext = &self.object.externs.all[index];
        let found = match (self.found.get(&index), &self.object.btf) {
            (Some(&found), _) => found,
            (None, Some(btf)) => {
                let found = externs::resolve(btf, ext, &self.settings, self.environment)?;
                self.found.insert(index, found);
                found
            }
            (None, None) => {
                return Err(LinkError::Extern {
                    name: ext.name.clone(),
                    detail: "the object has no BTF that says what it is; build with `clang -g`"
                        .to_owned(),
                });
            }
        };
        let insn = self.out.insns[at.linked];
        if insn.code == Insn::CALL {
            return self.call_kernel(at, index, found);
        }
        if !insn.is_ld_imm64() || at.slot + 1 >= self.function_len(at) {
            return Err(at.error(format!(
                "refers to extern '{}' and is neither a call nor a 64-bit load: {insn:?}",
                ext.name
            )));
        }
        match found {
            Found::Kconfig { offset } => {
                if let Some(map) = self.object.kconfig_map {
                    self.point_into_map(at.linked, map, offset);
                }
            }
            Found::Address(address) => self.load(at.linked, 0, address),
            Found::Missing => self.load(at.linked, 0, 0),
            Found::Btf { id, module } => {
                self.load(at.linked, Insn::PSEUDO_BTF_ID, u64::from(id));
                if let Some(module) = module {
                    self.patch(at.linked, PatchTarget::ModuleBtf { module });
                }
            }
        }
        Ok(())
    }

    fn call_kernel(&mut self, at: At<'_>, index: usize, found: Found) -> Result<(), LinkError> {
        let name = &self.object.externs.all[index].name;
        let insn = match found {
            Found::Btf { id, module } => Insn {
                code: Insn::CALL,
                src: Insn::PSEUDO_KFUNC_CALL,
                imm: id as i32,
                off: match module {
                    None => 0,
                    Some(module) => self.fd_array_index(module).ok_or_else(|| {
                        at.error(format!(
                            "calls '{name}', of more modules than one program may use"
                        ))
                    })?,
                },
                ..Insn::default()
            },
            Found::Missing => {
                let imm = POISON_KERNEL_FUNCTION.saturating_add(index as i32);
                self.out.poisoned.push(Poisoned {
                    insn: at.linked,
                    imm,
                    what: format!("kernel function {name}"),
                });
                Insn {
                    code: Insn::CALL,
                    imm,
                    ..Insn::default()
                }
            }
            Found::Kconfig { .. } | Found::Address(_) => {
                return Err(at.error(format!("calls '{name}', which is declared as a variable")));
            }
        };
        self.out.insns[at.linked] = insn;
        Ok(())
    }

    /// The place of a module's BTF in the load's fd array, where 0 is the kernel's own.
    fn fd_array_index(&mut self, module: usize) -> Option<i16> {
        let known = self.out.modules.iter().position(|&known| known == module);
        let index = known.unwrap_or_else(|| {
            self.out.modules.push(module);
            self.out.modules.len() - 1
        });
        i16::try_from(index + 1).ok()
    }

    fn point_into_map(&mut self, at: usize, map: usize, offset: u32) {
        self.out.insns[at].src = Insn::PSEUDO_MAP_VALUE;
        self.out.insns[at].imm = 0;
        self.out.insns[at + 1].imm = offset as i32;
        self.patch(at, PatchTarget::MapValue { map, offset });
    }

    fn load(&mut self, at: usize, src: u8, value: u64) {
        self.out.insns[at].src = src;
        self.out.insns[at].imm = value as i32;
        self.out.insns[at + 1].imm = (value >> 32) as i32;
    }

    fn patch(&mut self, insn: usize, target: PatchTarget) {
        if let PatchTarget::Map { map } | PatchTarget::MapValue { map, .. } = target {
            self.maps.insert(map);
        }
        self.out.patches.push(Patch { insn, target });
    }

    fn function_len(&self, at: At<'_>) -> usize {
        self.out
            .function_at(at.linked)
            .map_or(0, |function| function.len)
    }

    fn name_of<'b>(&'b self, symbol: &'b Symbol, section: usize) -> &'b str {
        match symbol.name.as_str() {
            "" => self
                .object
                .section_names
                .get(section)
                .map_or("?", String::as_str),
            name => name,
        }
    }

    fn finish(mut self) -> Linked {
        let kconfig = self
            .object
            .kconfig_map
            .filter(|map| self.maps.contains(map));
        self.out.kconfig = kconfig.map(|_| {
            let size = self.object.externs.kconfig_size;
            kconfig::content(
                &self.object.externs.all,
                size,
                &self.settings,
                self.environment,
            )
        });
        self.out.patches.sort_by_key(|patch| patch.insn);
        self.out.maps = with_slots(self.object, self.maps);
        self.out
    }
}

/// The maps and those in their slots.
fn with_slots(object: &Object, maps: BTreeSet<usize>) -> Vec<usize> {
    let mut all = maps.clone();
    let mut open: Vec<usize> = maps.into_iter().collect();
    while let Some(map) = open.pop() {
        let Some(MapContent::Slots(slots)) = object.maps.get(map).map(|map| &map.content) else {
            continue;
        };
        for (_, target) in slots {
            if let SlotTarget::Map(inner) = *target
                && all.insert(inner)
            {
                open.push(inner);
            }
        }
    }
    all.into_iter().collect()
}
