//! What a loader must change in the compiler's BTF before the kernel takes it: sizes and places in data sections,
//! which only the ELF symbols know, and externs, which the kernel wants to see defined
//! (tools/lib/bpf/libbpf.c, btf_fixup_datasec and bpf_object__collect_externs, Linux 6.12).

use std::collections::HashMap;

use super::btf::{Btf, Kind, TypeBody, VarLinkage, VarSecinfo, word};
use super::code::Code;
use super::elf::{Binding, Elf, Symbol, SymbolKind};
use super::externs::{ExternKind, Externs};

const STATIC: u32 = 0;
const GLOBAL: u32 = 1;

/// Changes the object's BTF into what the kernel takes.
pub(super) fn prepare(btf: &mut Btf, elf: &Elf<'_>, code: &Code, externs: &Externs) {
    let symbols: HashMap<&str, &Symbol> = elf
        .symbols
        .iter()
        .filter(|symbol| {
            symbol.kind == SymbolKind::Data
                && matches!(symbol.binding, Binding::Global | Binding::Weak)
        })
        .map(|symbol| (symbol.name.as_str(), symbol))
        .collect();
    let sizes: HashMap<&str, u64> = elf
        .sections
        .iter()
        .map(|section| (section.name.as_str(), section.size))
        .collect();
    for id in btf.first_own_id()..btf.type_count() {
        if btf.kind(id) != Kind::Datasec {
            continue;
        }
        match btf.name(id) {
            ".ksyms" => define_ksyms(btf, id),
            ".kconfig" => define_kconfig(btf, id, externs),
            _ => place_variables(btf, id, &symbols, &sizes),
        }
        btf.sort_datasec(id);
    }
    make_hidden_functions_static(btf, code);
}

fn variables(btf: &Btf, datasec: u32) -> Vec<VarSecinfo> {
    match btf.get(datasec).map(|ty| ty.body) {
        Some(TypeBody::Datasec { vars, .. }) => vars.iter().collect(),
        _ => Vec::new(),
    }
}

/// The compiler leaves the section's size and its global variables' offsets 0.
fn place_variables(
    btf: &mut Btf,
    datasec: u32,
    symbols: &HashMap<&str, &Symbol>,
    sizes: &HashMap<&str, u64>,
) {
    let is_placed = btf.word(datasec, word::SIZE_OR_TYPE) != 0;
    if !is_placed {
        let size = sizes.get(btf.name(datasec)).copied().unwrap_or(0);
        btf.set_word(
            datasec,
            word::SIZE_OR_TYPE,
            u32::try_from(size).unwrap_or(0),
        );
    }
    for (index, var) in variables(btf, datasec).into_iter().enumerate() {
        let Some(TypeBody::Var {
            linkage: VarLinkage::Global,
            ..
        }) = btf.get(var.type_id).map(|ty| ty.body)
        else {
            continue;
        };
        let Some(symbol) = symbols.get(btf.name(var.type_id)) else {
            continue;
        };
        if !is_placed {
            let offset = u32::try_from(symbol.value).unwrap_or(0);
            btf.set_word(datasec, entry(index) + 1, offset);
        }
        if symbol.hidden {
            btf.set_word(var.type_id, word::EXTRA, STATIC);
        }
    }
}

/// Each `__ksym` becomes an allocated `int`; functions, which the kernel does not take in a data section, are
/// replaced there by one dummy variable, and their unnamed parameters get its name.
fn define_ksyms(btf: &mut Btf, datasec: u32) {
    const SIZE: u32 = 4;
    let vars = variables(btf, datasec);
    let int = (btf.first_own_id()..btf.type_count()).find(|&id| {
        matches!(
            btf.get(id).map(|ty| ty.body),
            Some(TypeBody::Int { size: SIZE, .. })
        )
    });
    let int = int.unwrap_or_else(|| {
        let name = btf.add_string("int");
        let encoding = 1 << 24 | 32; // signed, 32 bits
        btf.add_type(Kind::Int, name, SIZE, &[encoding])
    });
    let mut dummy = None;
    for (index, var) in vars.iter().enumerate() {
        let type_id = match btf.kind(var.type_id) {
            Kind::Func => {
                let dummy = *dummy.get_or_insert_with(|| {
                    let name = btf.add_string("dummy_ksym");
                    btf.add_type(Kind::Var, name, int, &[GLOBAL])
                });
                let info = btf.word(var.type_id, word::INFO);
                btf.set_word(var.type_id, word::INFO, info & !0xffff | GLOBAL);
                name_parameters(btf, var.type_id, btf.word(dummy, word::NAME));
                dummy
            }
            Kind::Var => {
                btf.set_word(var.type_id, word::SIZE_OR_TYPE, int);
                btf.set_word(var.type_id, word::EXTRA, GLOBAL);
                var.type_id
            }
            _ => continue,
        };
        btf.set_word(datasec, entry(index), type_id);
        btf.set_word(datasec, entry(index) + 1, index as u32 * SIZE);
        btf.set_word(datasec, entry(index) + 2, SIZE);
    }
    btf.set_word(datasec, word::SIZE_OR_TYPE, vars.len() as u32 * SIZE);
}

fn name_parameters(btf: &mut Btf, function: u32, name: u32) {
    let proto = btf.word(function, word::SIZE_OR_TYPE);
    let count = match btf.get(proto).map(|ty| ty.body) {
        Some(TypeBody::FuncProto { params, .. }) => params.len(),
        _ => 0,
    };
    for parameter in 0..count {
        let at = word::EXTRA + parameter * 2;
        if btf.word(proto, at) == 0 && btf.word(proto, at + 1) != 0 {
            btf.set_word(proto, at, name);
        }
    }
}

/// `__kconfig` variables get the places that the `.kconfig` map gives them.
fn define_kconfig(btf: &mut Btf, datasec: u32, externs: &Externs) {
    let offsets: HashMap<&str, u32> = externs
        .all
        .iter()
        .filter_map(|ext| match ext.kind {
            ExternKind::Kconfig { offset, .. } => Some((ext.name.as_str(), offset)),
            _ => None,
        })
        .collect();
    for (index, var) in variables(btf, datasec).into_iter().enumerate() {
        if btf.kind(var.type_id) != Kind::Var {
            continue;
        }
        let offset = offsets.get(btf.name(var.type_id)).copied().unwrap_or(0);
        btf.set_word(var.type_id, word::EXTRA, GLOBAL);
        btf.set_word(datasec, entry(index) + 1, offset);
    }
    btf.set_word(datasec, word::SIZE_OR_TYPE, externs.kconfig_size);
}

/// Global subprograms of hidden visibility are to be verified with their callers, as static ones are.
fn make_hidden_functions_static(btf: &mut Btf, code: &Code) {
    let hidden: Vec<u32> = code
        .functions
        .iter()
        .filter(|function| {
            function.hidden && function.binding != Binding::Local && code.is_subprogram(function)
        })
        .filter_map(|function| btf.find(Kind::Func, &function.name))
        .collect();
    for id in hidden {
        btf.set_word(id, word::INFO, u32::from(Kind::Func as u8) << 24 | STATIC);
    }
}

/// The first word of a data section's entry.
fn entry(index: usize) -> usize {
    word::EXTRA + index * 3
}
