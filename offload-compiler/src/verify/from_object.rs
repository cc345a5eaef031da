//! What the verifier is given, taken from an object that was linked.

use std::collections::HashMap;

use crate::isa;
use crate::object::btf::{Btf, FuncLinkage, TypeBody};
use crate::object::{
    Environment, Linked, MapContent, MapDef, Object, PatchTarget, ProgramKind, map_kind,
};

use super::input::{
    Function, GlobalArg, Hook, Input, MapReference, MapShape, Rules, SpecialField, SpecialKind,
};
use super::kernel_function::KernelFunction;
use super::kernel_types::KernelTypes;

/// Types within types are followed this deep, as far as the kernel does (`MAX_RESOLVE_DEPTH`).
const MAX_DEPTH: usize = 32;
/// So many special fields a value has at most (`BTF_FIELDS_MAX` is 11).
const MAX_SPECIAL: usize = 11;
/// `map_flags`: programs may only read values.
const BPF_F_RDONLY_PROG: u32 = 1 << 7;

/// A linked program with all that the verifier has to know of it.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The instructions.
    pub code: isa::Code,
    /// The maps: the object's, then the inner ones of maps of maps.
    pub maps: Vec<MapShape>,
    /// See [`Input::map_at`].
    pub map_at: HashMap<usize, MapReference>,
    /// See [`Input::functions`].
    pub functions: Vec<Function>,
    /// See [`Input::kernel_functions`].
    pub kernel_functions: HashMap<(i32, i16), KernelFunction>,
    /// See [`Input::kernel_types`].
    pub kernel_types: Option<KernelTypes>,
    /// See [`Input::has_function_info`].
    pub has_function_info: bool,
    /// Where the program is to run.
    pub hook: Hook,
    /// What the one who loads may do: root on a current kernel, with the object's licence.
    pub rules: Rules,
}

impl Prepared {
    /// Decodes a linked program of `object` and collects what its BTF says. Fails where the code has an
    /// instruction that no kernel knows.
    pub fn new(
        object: &Object,
        kind: ProgramKind,
        linked: &Linked,
        environment: &Environment<'_>,
    ) -> Result<Self, isa::DecodeError> {
        let code = isa::Code::decode(&linked.insns)?;
        let mut maps: Vec<MapShape> = object
            .maps
            .iter()
            .map(|def| shape(def, object.btf(), linked))
            .collect();
        let inner: Vec<MapShape> = maps
            .iter()
            .filter_map(|shape| shape.inner.as_deref().cloned())
            .collect();
        maps.extend(inner);
        let map_at = linked
            .patches
            .iter()
            .filter_map(|patch| {
                let (map, value_offset) = match patch.target {
                    PatchTarget::Map { map } => (map, None),
                    PatchTarget::MapValue { map, offset } => (map, Some(offset)),
                    PatchTarget::ModuleBtf { .. } => return None,
                };
                let map = map as u32;
                Some((patch.insn, MapReference { map, value_offset }))
            })
            .collect();
        let kernel_types = environment.kernel_btf.map(|kernel| {
            let modules = linked.modules.iter();
            KernelTypes::new(
                kernel,
                // One that is missing leaves its place to something without the module's functions.
                modules.map(|&module| {
                    let module = environment.modules.get(module);
                    module.map_or(kernel, |module| module.btf).clone()
                }),
            )
        });
        let kernel_functions = kernel_types
            .as_ref()
            .map(|types| types.functions_called_by(&code))
            .unwrap_or_default();
        Ok(Self {
            code,
            maps,
            map_at,
            functions: functions(object, linked),
            kernel_functions,
            kernel_types,
            has_function_info: linked.func_info.is_some(),
            hook: match kind {
                ProgramKind::XdpDevmap { .. } => Hook::Devmap,
                ProgramKind::XdpCpumap { .. } => Hook::Cpumap,
                _ => Hook::Interface,
            },
            rules: Rules {
                gpl: is_gpl_compatible(object.license()),
                ..Rules::default()
            },
        })
    }

    /// As the verifier takes it.
    pub fn input(&self) -> Input<'_> {
        Input {
            code: &self.code,
            maps: &self.maps,
            map_at: &self.map_at,
            functions: &self.functions,
            kernel_functions: &self.kernel_functions,
            kernel_types: self.kernel_types.as_ref(),
            has_function_info: self.has_function_info,
            hook: self.hook,
            rules: self.rules,
        }
    }
}

/// `license_is_gpl_compatible`, include/linux/license.h.
pub fn is_gpl_compatible(license: &str) -> bool {
    matches!(
        license,
        "GPL"
            | "GPL v2"
            | "GPL and additional rights"
            | "Dual BSD/GPL"
            | "Dual MIT/GPL"
            | "Dual MPL/GPL"
    )
}

fn shape(def: &MapDef, btf: Option<&Btf>, linked: &Linked) -> MapShape {
    let content = match &def.content {
        MapContent::Data(data) => Some(data),
        MapContent::Kconfig => linked.kconfig.as_ref(),
        MapContent::None | MapContent::Slots(_) => None,
    };
    let mut special = Vec::new();
    if let (Some(btf), Some((_, value))) = (btf, def.kernel_btf_types()) {
        special_fields(btf, value, 0, MAX_DEPTH, &mut special);
    }
    // What a program finds in a devmap is the kernel's (kernel/bpf/devmap.c, `dev_map_init_map`).
    let read_only = matches!(def.kind, map_kind::DEVMAP | map_kind::DEVMAP_HASH);
    MapShape {
        name: def.name.clone(),
        kind: def.kind,
        key_size: def.key_size,
        value_size: def.value_size,
        flags: def.flags | if read_only { BPF_F_RDONLY_PROG } else { 0 },
        max_entries: def.max_entries,
        constant: content
            .filter(|_| def.freeze && def.flags & BPF_F_RDONLY_PROG != 0)
            .cloned(),
        special,
        inner: def
            .inner
            .as_deref()
            .map(|inner| Box::new(shape(inner, btf, linked))),
    }
}

/// The parts of a value that only helpers may touch (`btf_find_field`, Linux 6.18).
fn special_fields(btf: &Btf, id: u32, offset: u32, depth: usize, out: &mut Vec<SpecialField>) {
    if depth == 0 || out.len() >= MAX_SPECIAL {
        return;
    }
    let id = btf.resolve(id);
    let Some(ty) = btf.get(id) else {
        return;
    };
    match ty.body {
        TypeBody::Struct { size, members } => {
            if let Some(kind) = special_kind(ty.name) {
                out.push(SpecialField { kind, offset, size });
                return;
            }
            for member in members.iter() {
                let at = offset.saturating_add(member.bit_offset / 8);
                member_fields(btf, member.type_id, at, depth, out);
            }
        }
        TypeBody::Datasec { vars, .. } => {
            for var in vars.iter() {
                if let Some(TypeBody::Var { type_id, .. }) = btf.get(var.type_id).map(|ty| ty.body)
                {
                    member_fields(btf, type_id, offset.saturating_add(var.offset), depth, out);
                }
            }
        }
        _ => {}
    }
}

fn member_fields(btf: &Btf, id: u32, offset: u32, depth: usize, out: &mut Vec<SpecialField>) {
    if is_kernel_pointer(btf, id) {
        out.push(SpecialField {
            kind: SpecialKind::Other,
            offset,
            size: 8,
        });
        return;
    }
    if let Some(TypeBody::Array { element, count }) = btf.get(btf.resolve(id)).map(|ty| ty.body) {
        let Some(size) = btf.size_of(element) else {
            return;
        };
        let before = out.len();
        for index in 0..count {
            let at = offset.saturating_add(index.saturating_mul(size));
            member_fields(btf, element, at, depth - 1, out);
            if out.len() == before || out.len() >= MAX_SPECIAL || depth <= 1 {
                break;
            }
        }
        return;
    }
    special_fields(btf, id, offset, depth - 1, out);
}

/// `__kptr` and its relatives: a pointer to a type with a tag.
fn is_kernel_pointer(btf: &Btf, id: u32) -> bool {
    let Some(TypeBody::Ptr(to)) = btf.get(btf.resolve(id)).map(|ty| ty.body) else {
        return false;
    };
    matches!(btf.get(to), Some(ty) if matches!(ty.body, TypeBody::TypeTag(_))
        && matches!(ty.name, "kptr" | "kptr_untrusted" | "percpu_kptr" | "uptr"))
}

fn special_kind(name: &str) -> Option<SpecialKind> {
    match name {
        "bpf_spin_lock" => Some(SpecialKind::SpinLock),
        "bpf_timer" => Some(SpecialKind::Timer),
        "bpf_res_spin_lock" | "bpf_wq" | "bpf_list_head" | "bpf_list_node" | "bpf_rb_root"
        | "bpf_rb_node" | "bpf_refcount" | "bpf_task_work" => Some(SpecialKind::Other),
        _ => None,
    }
}

/// The functions, with the arguments of those that are verified on their own (`btf_prepare_func_args`).
fn functions(object: &Object, linked: &Linked) -> Vec<Function> {
    let types: HashMap<u32, u32> = linked
        .func_info
        .iter()
        .flat_map(|info| info.bytes.chunks_exact(info.record_size.max(8) as usize))
        .filter_map(|record| {
            let word = |at: usize| Some(u32::from_le_bytes(*record.get(at..)?.first_chunk()?));
            Some((word(0)?, word(4)?))
        })
        .collect();
    let tags = object.btf().map(argument_tags).unwrap_or_default();
    linked
        .functions
        .iter()
        .map(|function| {
            let declared = types
                .get(&(function.start as u32))
                .and_then(|&id| Some((object.btf()?, id)));
            Function {
                name: function.name.clone(),
                start: function.start,
                len: function.len,
                global: declared.and_then(|(btf, id)| global_arguments(btf, id, &tags)),
            }
        })
        .collect()
}

/// What `__arg_...` declares of an argument.
#[derive(Debug, Clone, Copy, Default)]
struct ArgumentTags {
    context: bool,
    non_null: bool,
    other: bool,
}

/// The tags by function and argument.
fn argument_tags(btf: &Btf) -> HashMap<(u32, i32), ArgumentTags> {
    let mut tags: HashMap<_, ArgumentTags> = HashMap::new();
    for id in btf.first_own_id()..btf.type_count() {
        let Some(ty) = btf.get(id) else {
            continue;
        };
        if let TypeBody::DeclTag { type_id, component } = ty.body
            && let Some(tag) = ty.name.strip_prefix("arg:")
        {
            let known = tags.entry((type_id, component)).or_default();
            match tag {
                "ctx" => known.context = true,
                "nonnull" => known.non_null = true,
                "nullable" => {}
                _ => known.other = true,
            }
        }
    }
    tags
}

fn global_arguments(
    btf: &Btf,
    function: u32,
    tags: &HashMap<(u32, i32), ArgumentTags>,
) -> Option<Vec<GlobalArg>> {
    let Some(TypeBody::Func {
        proto,
        linkage: FuncLinkage::Global,
    }) = btf.get(function).map(|ty| ty.body)
    else {
        return None;
    };
    let Some(TypeBody::FuncProto { returns, params }) = btf.get(proto).map(|ty| ty.body) else {
        return None;
    };
    if !is_number(btf, returns) || params.len() > 5 {
        return Some(vec![GlobalArg::Other]);
    }
    let arguments = params.iter().enumerate().map(|(index, param)| {
        let tag = tags
            .get(&(function, index as i32))
            .copied()
            .unwrap_or_default();
        global_argument(btf, param.type_id, tag)
    });
    Some(arguments.collect())
}

fn is_number(btf: &Btf, id: u32) -> bool {
    matches!(
        btf.get(btf.resolve(id)).map(|ty| ty.body),
        Some(TypeBody::Int { .. } | TypeBody::Enum { .. })
    )
}

fn global_argument(btf: &Btf, id: u32, tags: ArgumentTags) -> GlobalArg {
    if tags.other {
        return GlobalArg::Other;
    }
    if is_number(btf, id) {
        return GlobalArg::Number;
    }
    let Some(TypeBody::Ptr(to)) = btf.get(btf.resolve(id)).map(|ty| ty.body) else {
        return GlobalArg::Other;
    };
    let structure = match btf.get(btf.resolve(to)) {
        Some(ty) if matches!(ty.body, TypeBody::Struct { .. }) => ty.name,
        _ => "",
    };
    match structure {
        "xdp_md" => GlobalArg::Context,
        "xdp_buff" if !tags.context => GlobalArg::Context,
        // A context of other programs, or a dynptr.
        _ if tags.context || structure == "bpf_dynptr" => GlobalArg::Other,
        _ => match btf.size_of(to) {
            Some(size) => GlobalArg::Memory {
                size,
                nullable: !tags.non_null,
            },
            None => GlobalArg::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_compared_whole() {
        assert!(is_gpl_compatible("GPL") && is_gpl_compatible("Dual MIT/GPL"));
        assert!(!is_gpl_compatible("gpl") && !is_gpl_compatible("") && !is_gpl_compatible("MIT"));
    }
}
