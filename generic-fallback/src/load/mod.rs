//! From an object to a loaded program: BTF, maps, the program and the programs that its maps hold.
//!
//! Everything is owned by [`Loaded`] and goes when it is dropped, except what an attachment or a pin
//! keeps.

mod environment;
mod error;
mod map_rules;
mod maps;
mod pins;

pub use error::{LoadError, RefusedProgram};
pub use maps::LoadedMap;
pub use pins::DEFAULT_DIR;
use pins::Pins;
pub(crate) use pins::mounts as bpf_mounts;

use crate::verifier_log::Finding;
use environment::RunningKernel;
use kernel::bpf::btf::Btf;
use kernel::bpf::program::{InfoRecords, Program, ProgramSpec, XDP_DEV_BOUND_ONLY};
use kernel::host::KernelRelease;
use offload_compiler::object::{
    Linked, MapContent, Object, PatchTarget, ProgramKind, RawInfo, Requirements, SlotTarget,
    map_kind,
};
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;

/// What a program is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// Nothing: it may be attached anywhere.
    None,
    /// The NIC of this ifindex, which is to run it (`prog_ifindex`); its maps live there too.
    Offload(u32),
    /// The interface of this ifindex, whose driver it asks for metadata (`BPF_F_XDP_DEV_BOUND_ONLY`, since 6.3). The
    /// host runs it.
    Device(u32),
}

impl Binding {
    /// `prog_ifindex`.
    fn ifindex(self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Offload(ifindex) | Self::Device(ifindex) => Some(ifindex),
        }
    }

    /// `map_ifindex`.
    fn map_ifindex(self) -> Option<u32> {
        match self {
            Self::Offload(ifindex) => Some(ifindex),
            Self::None | Self::Device(_) => None,
        }
    }

    /// `prog_flags`.
    fn flags(self) -> u32 {
        match self {
            Self::Device(_) => XDP_DEV_BOUND_ONLY,
            Self::None | Self::Offload(_) => 0,
        }
    }
}

/// A program that is loaded, with all that belongs to it.
#[derive(Debug)]
pub struct Loaded {
    /// The program that was asked for.
    pub program: Program,
    /// Its id.
    pub id: u32,
    /// The maps, in the object's order.
    pub maps: Vec<LoadedMap>,
    /// Pins that were made; they go with this value unless kept.
    pins: RefCell<Pins>,
    /// Programs in slots of program arrays; the arrays hold them.
    _others: Vec<Program>,
}

impl Loaded {
    /// Leaves the pins that were made where they are.
    pub fn keep_pins(&self) {
        self.pins.borrow_mut().keep();
    }
}

/// Loads programs of one object.
pub struct Loader<'a> {
    object: &'a Object,
    name: &'a str,
    pins: PinPolicy,
    btf: OnceCell<Option<Btf>>,
}

/// What becomes of maps in a BPF file system.
enum PinPolicy {
    /// Those that ask for it (`LIBBPF_PIN_BY_NAME`) are pinned where libbpf pins them.
    AsDeclared,
    /// All are pinned here.
    In(PathBuf),
    /// None: the program is loaded to see whether it can be.
    Never,
}

impl<'a> Loader<'a> {
    /// A loader for `object`, whose `name` (the file's, without folder and endings) names its data
    /// sections. With `pin_dir`, all its maps but those are pinned there, and those that are there
    /// already are used.
    pub fn new(object: &'a Object, name: &'a str, pin_dir: Option<PathBuf>) -> Self {
        Self {
            object,
            name,
            pins: pin_dir.map_or(PinPolicy::AsDeclared, PinPolicy::In),
            btf: OnceCell::new(),
        }
    }

    /// A loader that only finds out whether the kernel takes a program: it pins nothing.
    pub fn for_trial(object: &'a Object, name: &'a str) -> Self {
        Self {
            object,
            name,
            pins: PinPolicy::Never,
            btf: OnceCell::new(),
        }
    }

    /// Links a program against the running kernel, without loading it.
    pub fn link(&self, program: usize) -> Result<Linked, LoadError> {
        RunningKernel::collect(self.object.requirements(program))
            .with_modules_for(self.object, program)
            .with(|environment| self.object.link(program, environment))
            .map_err(|source| LoadError::Link {
                program: self.program_name(program),
                source,
            })
    }

    /// Loads a program with its maps.
    ///
    /// # Panics
    /// Never: what is linked is loaded.
    pub fn load(&self, program: usize, binding: Binding) -> Result<Loaded, LoadError> {
        let closure = self.link_closure(program)?;
        self.check_program_arrays(program, &closure)?;

        let context = maps::Context {
            object_name: self.name,
            btf: self.btf().filter(|_| binding.map_ifindex().is_none()),
            device: binding.map_ifindex(),
            pins: &self.pins,
            possible_cpus: kernel::host::possible_cpus().unwrap_or(1),
        };
        let mut pins = Pins::default();
        if let PinPolicy::In(dir) = &self.pins {
            // Also for a program without maps: the attachment is pinned there.
            pins.folder(dir)?;
        }
        let mut maps = BTreeMap::new();
        for &index in &closure.maps {
            let def = &self.object.maps[index];
            let kconfig = closure.kconfig();
            maps.insert(index, context.obtain(def, kconfig, &mut pins)?);
        }
        let mut programs = BTreeMap::new();
        for (&index, linked) in &closure.programs {
            let loaded = self.load_one(index, linked, &closure, &maps, binding)?;
            programs.insert(index, loaded);
        }
        self.fill_slots(&maps, &programs)?;

        let program = programs
            .remove(&program)
            .expect("the closure holds the program it was made for");
        let id = program
            .info()
            .map_err(|source| self.refused(0, binding, source, None))?
            .id;
        Ok(Loaded {
            program,
            id,
            maps: maps.into_values().collect(),
            pins: RefCell::new(pins),
            _others: programs.into_values().collect(),
        })
    }

    /// Links the program and every program that sits in a slot of a map in use.
    fn link_closure(&self, program: usize) -> Result<Closure, LoadError> {
        let mut wanted = vec![program];
        let mut asked = Requirements::default();
        let mut kernel = RunningKernel::default();
        let mut closure = Closure::default();
        while let Some(index) = wanted.pop() {
            if closure.programs.contains_key(&index) {
                continue;
            }
            let needs = union(asked, self.object.requirements(index));
            if needs != asked || closure.programs.is_empty() {
                asked = needs;
                kernel = RunningKernel::collect(needs);
            }
            kernel = kernel.with_modules_for(self.object, index);
            let linked = kernel
                .with(|environment| self.object.link(index, environment))
                .map_err(|source| LoadError::Link {
                    program: self.program_name(index),
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
                for &(_, target) in slots(&self.object.maps[map].content) {
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

    /// The kernel empties a program array when no descriptor and no pin of it is left, whoever else
    /// uses it (`map_release_uref`, kernel/bpf/arraymap.c): an attach would work and its tail calls fail.
    fn check_program_arrays(&self, program: usize, closure: &Closure) -> Result<(), LoadError> {
        let lost = closure
            .maps
            .iter()
            .map(|&map| &self.object.maps[map])
            .find(|def| {
                def.kind == map_kind::PROG_ARRAY
                    && !slots(&def.content).is_empty()
                    && match &self.pins {
                        PinPolicy::AsDeclared => !def.pin_by_name,
                        PinPolicy::In(_) | PinPolicy::Never => false,
                    }
            });
        match lost {
            None => Ok(()),
            Some(def) => Err(LoadError::NeedsPin {
                map: def.name.clone(),
                program: self.program_name(program),
            }),
        }
    }

    fn load_one(
        &self,
        index: usize,
        linked: &Linked,
        closure: &Closure,
        maps: &BTreeMap<usize, LoadedMap>,
        binding: Binding,
    ) -> Result<Program, LoadError> {
        let refused = |source| self.refused(index, binding, source, Some(linked));
        let program = &self.object.programs[index];
        let modules = open_modules(index, closure).map_err(refused)?;
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
        let btf = self.btf();
        Program::load(&ProgramSpec {
            name: &program.name,
            kind: program.kind.program_type().unwrap_or(ProgramKind::XDP),
            expected_attach_type: attach_type(program.kind, KernelRelease::read().version),
            insns: &insns,
            license: self.object.license(),
            flags: program.kind.load_flags() | binding.flags(),
            ifindex: binding.ifindex(),
            btf: btf.map(AsFd::as_fd),
            func_info: btf
                .map_or_else(InfoRecords::default, |_| records(linked.func_info.as_ref())),
            line_info: btf
                .map_or_else(InfoRecords::default, |_| records(linked.line_info.as_ref())),
            fd_array: &fd_array,
            ..ProgramSpec::default()
        })
        .map_err(refused)
    }

    fn fill_slots(
        &self,
        maps: &BTreeMap<usize, LoadedMap>,
        programs: &BTreeMap<usize, Program>,
    ) -> Result<(), LoadError> {
        for (&index, outer) in maps {
            // What a pinned map holds already is its user's.
            if outer.reused && self.object.maps[index].kind != map_kind::PROG_ARRAY {
                continue;
            }
            for &(slot, target) in slots(&self.object.maps[index].content) {
                let fd = match target {
                    SlotTarget::Map(map) => maps.get(&map).map(|inner| inner.map.as_fd()),
                    SlotTarget::Program(program) => programs.get(&program).map(AsFd::as_fd),
                };
                if let Some(fd) = fd {
                    outer
                        .map
                        .update_fd(&slot.to_ne_bytes(), fd)
                        .map_err(|source| LoadError::FillMap {
                            map: outer.name.clone(),
                            source,
                        })?;
                }
            }
        }
        Ok(())
    }

    /// The object's BTF, loaded once. A kernel that refuses it gets the program without: what the user
    /// loses is types and source lines.
    fn btf(&self) -> Option<&Btf> {
        self.btf
            .get_or_init(|| {
                let btf = self.object.btf()?;
                let newest =
                    btf.to_kernel_bytes(offload_compiler::object::btf::BtfFeatures::default());
                Btf::load(&newest)
                    .or_else(|error| {
                        let version = KernelRelease::read().code;
                        tracing::debug!(%error, "BTF refused; again in an older form");
                        let features =
                            offload_compiler::object::btf::BtfFeatures::of_kernel(version);
                        Btf::load(&btf.to_kernel_bytes(features))
                    })
                    .inspect_err(|error| tracing::debug!(%error, "going on without BTF"))
                    .ok()
            })
            .as_ref()
    }

    fn refused(
        &self,
        index: usize,
        binding: Binding,
        source: kernel::Error,
        linked: Option<&Linked>,
    ) -> LoadError {
        let log = source
            .refusal()
            .and_then(|refusal| refusal.verifier_log.as_deref())
            .unwrap_or_default();
        tracing::debug!(program = self.program_name(index), "verifier log:\n{log}");
        let finding = Finding::of(log);
        let line = finding
            .as_ref()
            .and_then(|finding| linked?.source_line(finding.insn?));
        let lacks = linked
            .and_then(|linked| linked.explain_poison(log))
            .map(|poisoned| poisoned.what.clone());
        LoadError::Program(Box::new(RefusedProgram {
            program: self.program_name(index),
            source,
            finding,
            line,
            binding,
            lacks,
        }))
    }

    fn program_name(&self, index: usize) -> String {
        self.object
            .programs
            .get(index)
            .map(|program| program.name.clone())
            .unwrap_or_default()
    }
}

/// A program with all that has to be loaded beside it.
#[derive(Default)]
struct Closure {
    programs: BTreeMap<usize, Linked>,
    maps: BTreeSet<usize>,
    /// Names of the modules whose functions a program calls, by program and index in its environment.
    modules: BTreeMap<(usize, usize), String>,
}

impl Closure {
    /// The values of the object's `__kconfig` variables: the same for all its programs.
    fn kconfig(&self) -> Option<&[u8]> {
        self.programs
            .values()
            .find_map(|linked| linked.kconfig.as_deref())
    }
}

fn slots(content: &MapContent) -> &[(u32, SlotTarget)] {
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

/// The BTF of the modules whose functions program `index` calls, by index in its environment.
fn open_modules(index: usize, closure: &Closure) -> kernel::Result<BTreeMap<usize, Btf>> {
    let mut opened = BTreeMap::new();
    for (&(program, module), name) in &closure.modules {
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
