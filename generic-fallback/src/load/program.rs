//! Loading one program whose maps exist.

use super::closure::Closure;
use super::{Binding, LoadError, LoadedMap, RefusedProgram};
use crate::verifier_log::Finding;
use kernel::bpf::btf::Btf;
use kernel::bpf::program::{InfoRecords, Program, ProgramSpec};
use kernel::host::KernelRelease;
use offload_compiler::object::{Linked, Object, PatchTarget, ProgramKind, RawInfo};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Loads program number `index` of `object`, with descriptors in place.
pub(super) fn load(
    object: &Object,
    index: usize,
    closure: &Closure,
    maps: &BTreeMap<usize, LoadedMap>,
    btf: Option<&Btf>,
    binding: Binding,
) -> Result<Program, LoadError> {
    let program = &object.programs[index];
    let Some(linked) = closure.programs.get(&index) else {
        unreachable!("only linked programs are loaded")
    };
    let refused = |source| self::refused(&program.name, binding, source, linked);
    let modules = closure.open_modules(index).map_err(refused)?;
    let insns = linked.with_fds(|target| match target {
        PatchTarget::Map { map } | PatchTarget::MapValue { map, .. } => maps
            .get(&map)
            .map_or(-1, |loaded| loaded.map.as_fd().as_raw_fd()),
        PatchTarget::ModuleBtf { module } => modules
            .get(&module)
            .map_or(-1, |btf| btf.as_fd().as_raw_fd()),
    });
    // The load's fd_array starts at index 1: kernel calls use 0 for the kernel itself, and what stands
    // in that place is not looked at.
    let mut fd_array: Vec<BorrowedFd<'_>> = Vec::new();
    for module in &linked.modules {
        let Some(btf) = modules.get(module) else {
            continue;
        };
        if fd_array.is_empty() {
            fd_array.push(btf.as_fd());
        }
        fd_array.push(btf.as_fd());
    }
    Program::load(&ProgramSpec {
        name: &program.name,
        kind: program.kind.program_type().unwrap_or(ProgramKind::XDP),
        expected_attach_type: attach_type(program.kind, KernelRelease::read().version),
        insns: &insns,
        license: object.license(),
        flags: program.kind.load_flags() | binding.flags(),
        ifindex: binding.ifindex(),
        btf: btf.map(AsFd::as_fd),
        func_info: btf.map_or_else(InfoRecords::default, |_| records(linked.func_info.as_ref())),
        line_info: btf.map_or_else(InfoRecords::default, |_| records(linked.line_info.as_ref())),
        fd_array: &fd_array,
        ..ProgramSpec::default()
    })
    .map_err(refused)
}

/// What is useful of a refusal.
fn refused(name: &str, binding: Binding, source: kernel::Error, linked: &Linked) -> LoadError {
    let log = source
        .refusal()
        .and_then(|refusal| refusal.verifier_log.as_deref())
        .unwrap_or_default();
    tracing::debug!(program = name, "verifier log:\n{log}");
    let finding = Finding::of(log);
    let line = finding
        .as_ref()
        .and_then(|finding| linked.source_line(finding.insn?));
    let lacks = linked
        .explain_poison(log)
        .map(|poisoned| poisoned.what.clone());
    LoadError::Program(Box::new(RefusedProgram {
        program: name.to_owned(),
        source,
        finding,
        line,
        binding,
        lacks,
    }))
}

fn records(info: Option<&RawInfo>) -> InfoRecords<'_> {
    info.map_or_else(InfoRecords::default, |info| InfoRecords {
        record_size: info.record_size,
        bytes: &info.bytes,
    })
}

/// Kernels before 5.9 want 0 for a program that goes on an interface (`BPF_XDP` is that new).
fn attach_type(kind: ProgramKind, kernel: (u32, u32)) -> u32 {
    if kind.is_attachable_xdp() && kernel < (5, 9) {
        0
    } else {
        kind.expected_attach_type()
    }
}
