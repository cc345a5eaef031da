//! What a program's link asks of the kernel, so that nothing else needs to be collected.

use std::collections::HashSet;

use super::Object;
use super::btf::{Btf, Kind, essential};
use super::btf_ext::CoreRelocation;
use super::core::{self, Aspect};
use super::environment::Requirements;
use super::externs::{Extern, ExternKind};
use super::layout::Layout;

/// Which facts about the kernel a program's link asks for.
pub(super) fn of(object: &Object, program: usize) -> Requirements {
    let asked = Asked::by(object, program);
    let mut needs = Requirements {
        kernel_btf: !asked.types.is_empty(),
        ..Requirements::default()
    };
    for ext in asked.externs {
        match ext.kind {
            ExternKind::Kconfig { .. } if ext.name.starts_with("CONFIG_") => needs.kconfig = true,
            ExternKind::Kconfig { .. } => {
                needs.kernel_version = true;
                needs.kernel_symbols |= ext.name == "LINUX_HAS_SYSCALL_WRAPPER";
            }
            ExternKind::Address => needs.kernel_symbols = true,
            ExternKind::Variable { .. } | ExternKind::Function { .. } => needs.kernel_btf = true,
            ExternKind::Unusable(_) => {}
        }
    }
    needs
}

/// Whether something that a program asks for is missing in the kernel's own BTF.
pub(super) fn needs_modules(object: &Object, program: usize, kernel: &Btf) -> bool {
    let asked = Asked::by(object, program);
    let extern_is_missing = asked.externs.iter().any(|ext| match ext.kind {
        ExternKind::Variable { .. } => kernel.find(Kind::Var, &ext.name).is_none(),
        ExternKind::Function { .. } => kernel.find(Kind::Func, essential(&ext.name)).is_none(),
        ExternKind::Kconfig { .. } | ExternKind::Address | ExternKind::Unusable(_) => false,
    });
    extern_is_missing
        || object.btf.as_ref().is_some_and(|local| {
            let mut types = asked.types.iter();
            types.any(|&type_id| core::candidates(local, type_id, kernel).next().is_none())
        })
}

/// The kernel functions that a program calls, by the names of their declarations.
pub(super) fn kernel_functions(object: &Object, program: usize) -> Vec<&str> {
    let asked = Asked::by(object, program);
    let functions = asked
        .externs
        .iter()
        .filter(|ext| matches!(ext.kind, ExternKind::Function { .. }));
    functions.map(|ext| essential(&ext.name)).collect()
}

/// All that a program with its subprograms asks for.
#[derive(Default)]
struct Asked<'a> {
    externs: Vec<&'a Extern>,
    /// Types of the object that have to be found in the kernel.
    types: HashSet<u32>,
}

impl<'a> Asked<'a> {
    fn by(object: &'a Object, program: usize) -> Self {
        let mut asked = Self::default();
        let Ok(layout) = Layout::of_program(object, program) else {
            return asked;
        };
        let mut externs = HashSet::new();
        for placed in &layout.functions {
            let function = &object.code.functions[placed.function];
            let section = &object.code.sections[function.section];
            let range = function.range();
            let is_asked = |relocation: &&CoreRelocation| {
                Aspect::from_number(relocation.kind) != Some(Aspect::TypeIdLocal)
            };
            let core = section.info.core_in(&range).iter().filter(is_asked);
            asked
                .types
                .extend(core.map(|relocation| relocation.type_id));
            let symbols = section.relocations_in(&range).iter();
            externs.extend(symbols.filter_map(|(_, symbol)| object.externs.by_symbol.get(symbol)));
        }
        asked.externs = externs
            .into_iter()
            .map(|&index| &object.externs.all[index])
            .collect();
        asked
    }
}
