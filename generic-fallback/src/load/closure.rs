//! What has to be loaded together: a program, the programs it reaches by tail calls, and all their maps.

use super::LoadError;
use super::environment::RunningKernel;
use kernel::bpf::btf::Btf;
use offload_compiler::object::{Linked, MapContent, Object, Requirements, SlotTarget};
use std::collections::{BTreeMap, BTreeSet};

/// A program with all that has to be loaded beside it.
#[derive(Default)]
pub(super) struct Closure {
    /// The programs, linked, by their index in the object.
    pub(super) programs: BTreeMap<usize, Linked>,
    /// The maps that they use, by their index in the object.
    pub(super) maps: BTreeSet<usize>,
    /// Names of the modules whose functions a program calls, by program and index in its environment.
    modules: BTreeMap<(usize, usize), String>,
}

impl Closure {
    /// Links the program and every program that sits in a slot of a map in use.
    pub(super) fn of(object: &Object, program: usize) -> Result<Self, LoadError> {
        let mut wanted = vec![program];
        let mut asked = Requirements::default();
        let mut kernel = RunningKernel::default();
        let mut closure = Self::default();
        while let Some(index) = wanted.pop() {
            if closure.programs.contains_key(&index) {
                continue;
            }
            let needs = union(asked, object.requirements(index));
            if needs != asked || closure.programs.is_empty() {
                asked = needs;
                kernel = RunningKernel::collect(needs);
            }
            kernel = kernel.with_modules_for(object, index);
            let linked = kernel
                .with(|environment| object.link(index, environment))
                .map_err(|source| LoadError::Link {
                    program: super::program_name(object, index),
                    source,
                })?;
            for &module in &linked.modules {
                let name = kernel.module_name(module).unwrap_or_default().to_owned();
                closure.modules.insert((index, module), name);
            }
            let mut maps = linked.maps.clone();
            while let Some(map) = maps.pop() {
                if !closure.maps.insert(map) {
                    continue;
                }
                for &(_, target) in slots(&object.maps[map].content) {
                    match target {
                        SlotTarget::Map(map) => maps.push(map),
                        SlotTarget::Program(program) => wanted.push(program),
                    }
                }
            }
            closure.programs.insert(index, linked);
        }
        Ok(closure)
    }

    /// The values of the object's `__kconfig` variables: the same for all its programs.
    pub(super) fn kconfig(&self) -> Option<&[u8]> {
        self.programs
            .values()
            .find_map(|linked| linked.kconfig.as_deref())
    }

    /// The BTF of the modules whose functions program `index` calls, by index in its environment.
    pub(super) fn open_modules(&self, index: usize) -> kernel::Result<BTreeMap<usize, Btf>> {
        let mut opened = BTreeMap::new();
        for (&(program, module), name) in &self.modules {
            if program != index {
                continue;
            }
            for id in kernel::bpf::btf_ids() {
                let btf = Btf::from_id(id?)?;
                let info = btf.info()?;
                if info.is_kernel && info.name == *name {
                    opened.insert(module, btf);
                    break;
                }
            }
        }
        Ok(opened)
    }
}

/// The entries that the object itself puts into a map.
pub(super) fn slots(content: &MapContent) -> &[(u32, SlotTarget)] {
    match content {
        MapContent::Slots(slots) => slots,
        MapContent::None | MapContent::Data(_) | MapContent::Kconfig => &[],
    }
}

fn union(a: Requirements, b: Requirements) -> Requirements {
    Requirements {
        kernel_btf: a.kernel_btf || b.kernel_btf,
        kconfig: a.kconfig || b.kconfig,
        kernel_version: a.kernel_version || b.kernel_version,
        kernel_symbols: a.kernel_symbols || b.kernel_symbols,
    }
}
