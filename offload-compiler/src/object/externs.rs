//! What a program leaves to the loader: `__kconfig` variables, `__ksym` variables and kernel functions.

use std::collections::HashMap;

use super::btf::{Btf, FuncLinkage, Kind, TypeBody, VarLinkage, essential};
use super::core;
use super::elf::{Binding, Elf};
use super::environment::Environment;
use super::error::LinkError;
use super::kconfig;

/// A symbol that the object declares and does not define.
#[derive(Debug, Clone)]
pub(super) struct Extern {
    pub(super) name: String,
    /// May be missing: reads as 0, and a call of it must not be reached.
    pub(super) weak: bool,
    pub(super) kind: ExternKind,
}

/// What an extern is.
#[derive(Debug, Clone)]
pub(super) enum ExternKind {
    /// A value of the kernel's configuration, at an offset of the `.kconfig` map.
    Kconfig { offset: u32, value: kconfig::Shape },
    /// A kernel variable declared `void`: only its address is wanted.
    Address,
    /// A kernel variable of a type.
    Variable { type_id: u32 },
    /// A kernel function of a prototype.
    Function { proto: u32 },
    /// Nothing that can be found; why, for the program that needs it.
    Unusable(String),
}

/// The externs of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Externs {
    pub(super) all: Vec<Extern>,
    /// Symbol index -> index in `all`.
    pub(super) by_symbol: HashMap<usize, usize>,
    /// Bytes of the `.kconfig` map; 0 if there is none.
    pub(super) kconfig_size: u32,
}

/// Reads the externs and lays out the `.kconfig` map. Must see the BTF before it is fixed up for the kernel.
pub(super) fn read(elf: &Elf<'_>, btf: Option<&Btf>) -> Externs {
    let mut externs = Externs::default();
    let declared = btf.map(declarations).unwrap_or_default();
    for (index, symbol) in elf.symbols.iter().enumerate() {
        if !symbol.is_extern() {
            continue;
        }
        let kind = match (btf, declared.get(symbol.name.as_str())) {
            (Some(btf), Some(declaration)) => kind_of(btf, &symbol.name, declaration),
            (None, _) => ExternKind::Unusable(
                "it is not defined, and the object has no BTF that says what it is; build with `clang -g`"
                    .to_owned(),
            ),
            (_, None) => ExternKind::Unusable(
                "it is not defined in this object; link in the object that defines it (`bpftool gen object`), \
                 or mark it __ksym or __kconfig"
                    .to_owned(),
            ),
        };
        externs.by_symbol.insert(index, externs.all.len());
        externs.all.push(Extern {
            name: symbol.name.clone(),
            weak: symbol.binding == Binding::Weak,
            kind,
        });
    }
    externs.kconfig_size = lay_out_kconfig(&mut externs.all);
    externs
}

/// A declaration with its section.
struct Declaration<'a> {
    type_id: u32,
    section: &'a str,
}

/// All extern declarations by name.
fn declarations(btf: &Btf) -> HashMap<&str, Declaration<'_>> {
    let mut found = HashMap::new();
    for id in btf.first_own_id()..btf.type_count() {
        if btf.kind(id) != Kind::Datasec {
            continue;
        }
        let Some(ty) = btf.get(id) else { continue };
        let TypeBody::Datasec { vars, .. } = ty.body else {
            continue;
        };
        for var in vars {
            let declaration = btf.get(var.type_id);
            let is_extern = declaration.as_ref().is_some_and(|declaration| {
                matches!(
                    declaration.body,
                    TypeBody::Var {
                        linkage: VarLinkage::Extern,
                        ..
                    } | TypeBody::Func {
                        linkage: FuncLinkage::Extern,
                        ..
                    }
                )
            });
            if let (Some(declaration), true) = (declaration, is_extern) {
                found.entry(declaration.name).or_insert(Declaration {
                    type_id: var.type_id,
                    section: ty.name,
                });
            }
        }
    }
    found
}

fn kind_of(btf: &Btf, name: &str, declaration: &Declaration<'_>) -> ExternKind {
    let body = btf.get(declaration.type_id).map(|ty| ty.body);
    match (declaration.section, body) {
        (".kconfig", Some(TypeBody::Var { type_id, .. })) => match kconfig::Shape::of(btf, type_id)
        {
            Some(value) => ExternKind::Kconfig { offset: 0, value },
            None => ExternKind::Unusable(format!(
                "a __kconfig variable cannot be '{}'; use bool, char, an integer, enum libbpf_tristate or a \
                 char array",
                btf.c_name(type_id)
            )),
        },
        (".ksyms", Some(TypeBody::Var { type_id, .. })) => match btf.resolve(type_id) {
            0 => ExternKind::Address,
            type_id => ExternKind::Variable { type_id },
        },
        (".ksyms", Some(TypeBody::Func { proto, .. })) => ExternKind::Function { proto },
        (section, _) => ExternKind::Unusable(format!(
            "it is declared in section '{section}'; mark it __ksym or __kconfig ('{name}')"
        )),
    }
}

/// Gives each `__kconfig` variable its place: by falling alignment, then rising size, then name.
fn lay_out_kconfig(externs: &mut [Extern]) -> u32 {
    let mut order: Vec<usize> = (0..externs.len())
        .filter(|&index| matches!(externs[index].kind, ExternKind::Kconfig { .. }))
        .collect();
    order.sort_by_key(|&index| match &externs[index] {
        Extern {
            name,
            kind: ExternKind::Kconfig { value, .. },
            ..
        } => (u32::MAX - value.align(), value.size(), name.clone()),
        _ => (0, 0, String::new()),
    });
    let mut end = 0_u32;
    for index in order {
        let ExternKind::Kconfig { offset, value } = &mut externs[index].kind else {
            continue;
        };
        let start = end.checked_next_multiple_of(value.align());
        match start.and_then(|start| Some((start, start.checked_add(value.size())?))) {
            Some((start, next)) if next <= kconfig::MAX_SIZE => {
                *offset = start;
                end = next;
            }
            _ => {
                externs[index].kind = ExternKind::Unusable(format!(
                    "the __kconfig variables have more than {} bytes",
                    kconfig::MAX_SIZE
                ));
            }
        }
    }
    end
}

/// Where in the kernel an extern was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// In the `.kconfig` map.
    Kconfig { offset: u32 },
    /// At an address.
    Address(u64),
    /// As a type of the kernel or, by index into the environment, of a module.
    Btf { id: u32, module: Option<usize> },
    /// Nowhere, and it is weak.
    Missing,
}

/// Finds an extern in the kernel.
pub(super) fn resolve(
    object_btf: &Btf,
    ext: &Extern,
    settings: &kconfig::Settings<'_>,
    environment: &Environment<'_>,
) -> Result<Found, LinkError> {
    let error = |detail: String| LinkError::Extern {
        name: ext.name.clone(),
        detail,
    };
    let missing = |detail: &str| {
        if ext.weak {
            Ok(Found::Missing)
        } else {
            Err(error(format!(
                "{detail}; declare it __weak if the program can do without it"
            )))
        }
    };
    match &ext.kind {
        ExternKind::Unusable(why) => Err(error(why.clone())),
        ExternKind::Kconfig { offset, value } => {
            match kconfig::value(&ext.name, *value, settings, environment) {
                Ok(Some(_)) => Ok(Found::Kconfig { offset: *offset }),
                Ok(None) if ext.weak => Ok(Found::Kconfig { offset: *offset }),
                Ok(None) => missing("this kernel's configuration does not set it"),
                Err(detail) => Err(error(detail)),
            }
        }
        ExternKind::Address => {
            let Some(lookup) = environment.kernel_symbols else {
                return missing("the kernel's symbols (/proc/kallsyms) cannot be read");
            };
            match lookup(&ext.name) {
                Some(address) => Ok(Found::Address(address)),
                None => missing("the kernel has no such symbol"),
            }
        }
        ExternKind::Variable { type_id } => {
            let Some(KernelType { id, module, btf }) =
                find_in_kernel(Kind::Var, &ext.name, environment)?
            else {
                return missing("the kernel's BTF has no such variable");
            };
            let kernel_type = match btf.get(id).map(|ty| ty.body) {
                Some(TypeBody::Var { type_id, .. }) => btf.resolve(type_id),
                _ => 0,
            };
            if core::types_are_compatible(object_btf, *type_id, btf, kernel_type) {
                Ok(Found::Btf { id, module })
            } else {
                Err(error(format!(
                    "declared as '{}', but the kernel has '{}'",
                    object_btf.c_name(*type_id),
                    btf.c_name(kernel_type)
                )))
            }
        }
        ExternKind::Function { proto } => {
            let name = essential(&ext.name);
            let Some(KernelType { id, module, btf }) =
                find_in_kernel(Kind::Func, name, environment)?
            else {
                return missing(
                    "the kernel has no such function for programs, nor has a loaded module",
                );
            };
            let kernel_proto = match btf.get(id).map(|ty| ty.body) {
                Some(TypeBody::Func { proto, .. }) => proto,
                _ => 0,
            };
            if core::types_are_compatible(object_btf, *proto, btf, kernel_proto) {
                Ok(Found::Btf { id, module })
            } else {
                missing("the kernel's function has another prototype")
            }
        }
    }
}

/// A type of the kernel, or of a module by index into the environment.
struct KernelType<'a> {
    id: u32,
    module: Option<usize>,
    btf: &'a Btf,
}

/// A type of the kernel or else of the first module that has it.
fn find_in_kernel<'a>(
    kind: Kind,
    name: &str,
    environment: &Environment<'a>,
) -> Result<Option<KernelType<'a>>, LinkError> {
    let kernel = environment
        .kernel_btf
        .ok_or_else(|| LinkError::NeedsKernelBtf {
            what: format!("extern '{name}'"),
        })?;
    if let Some(id) = kernel.find(kind, name) {
        return Ok(Some(KernelType {
            id,
            module: None,
            btf: kernel,
        }));
    }
    Ok(environment
        .modules
        .iter()
        .enumerate()
        .find_map(|(index, module)| {
            Some(KernelType {
                id: module.btf.find_own(kind, name)?,
                module: Some(index),
                btf: module.btf,
            })
        }))
}
