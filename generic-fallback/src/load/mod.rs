//! From an object to a loaded program: BTF, maps, the program and the programs that its maps hold.
//!
//! Everything is owned by [`Loaded`] and goes when it is dropped, except what an attachment or a pin
//! keeps.

mod closure;
mod environment;
mod error;
mod map_rules;
mod maps;
mod pins;
mod program;

pub use error::{LoadError, RefusedProgram};
pub use maps::LoadedMap;
pub use pins::DEFAULT_DIR;
use pins::Pins;
pub(crate) use pins::mounts as bpf_mounts;

use closure::{Closure, slots};
use environment::RunningKernel;
use kernel::bpf::btf::Btf;
use kernel::bpf::program::{Program, XDP_DEV_BOUND_ONLY};
use kernel::host::KernelRelease;
use kernel::{Errno, Operation, Refusal};
use offload_compiler::isa::DecodeError;
use offload_compiler::object::btf::BtfFeatures;
use offload_compiler::object::{Linked, Object, SlotTarget, map_kind};
use offload_compiler::verify::Prepared;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
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
    late: Vec<LateSlot>,
    /// Programs in slots of program arrays; the arrays hold them.
    _others: Vec<Program>,
}

/// An entry of a program array that another program may be using.
#[derive(Debug)]
struct LateSlot {
    /// Index into [`Loaded::maps`].
    map: usize,
    slot: u32,
    fd: OwnedFd,
}

impl Loaded {
    /// Ends the attach: fills the slots of program arrays that were pinned before, which the program replaced may have
    /// been using until now, and leaves the pins that were made where they are.
    pub fn settle(&self) -> Result<(), LoadError> {
        self.pins.borrow_mut().keep();
        self.late
            .iter()
            .try_for_each(|late| self.maps[late.map].put(late.slot, late.fd.as_fd()))
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
                program: program_name(self.object, program),
                source,
            })
    }

    /// Links a program against the running kernel and collects what the verifier has to know of it. The
    /// inner error: an instruction that means nothing.
    pub fn prepare(
        &self,
        program: usize,
    ) -> Result<(Linked, Result<Prepared, DecodeError>), LoadError> {
        let kind = self.object.programs[program].kind;
        RunningKernel::collect(self.object.requirements(program))
            .with_modules_for(self.object, program)
            .with(|environment| {
                let linked = self.object.link(program, environment)?;
                let prepared = Prepared::new(self.object, kind, &linked, environment);
                Ok((linked, prepared))
            })
            .map_err(|source| LoadError::Link {
                program: program_name(self.object, program),
                source,
            })
    }

    /// Loads a program with its maps.
    ///
    /// # Panics
    /// Never: what is linked is loaded.
    pub fn load(&self, program: usize, binding: Binding) -> Result<Loaded, LoadError> {
        let closure = Closure::of(self.object, program)?;
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
        for &index in closure.programs.keys() {
            let loaded = program::load(self.object, index, &closure, &maps, self.btf(), binding)?;
            programs.insert(index, loaded);
        }
        let late = self.fill_slots(&maps, &programs)?;

        let main = programs
            .remove(&program)
            .expect("the closure holds the program it was made for");
        let id = match main.info() {
            Ok(info) => info.id,
            Err(source) => {
                return Err(LoadError::Unreadable {
                    program: program_name(self.object, program),
                    source,
                });
            }
        };
        Ok(Loaded {
            program: main,
            id,
            maps: maps.into_values().collect(),
            pins: RefCell::new(pins),
            late,
            _others: programs.into_values().collect(),
        })
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
                program: program_name(self.object, program),
            }),
        }
    }

    /// Puts programs and inner maps where the object says. What a pinned map holds may be in use, so entries of those
    /// wait until the program is attached.
    fn fill_slots(
        &self,
        maps: &BTreeMap<usize, LoadedMap>,
        programs: &BTreeMap<usize, Program>,
    ) -> Result<Vec<LateSlot>, LoadError> {
        let mut late = Vec::new();
        for (position, (&index, outer)) in maps.iter().enumerate() {
            let def = &self.object.maps[index];
            for &(slot, target) in slots(&def.content) {
                let fd = match target {
                    SlotTarget::Map(map) => maps.get(&map).map(|inner| inner.map.as_fd()),
                    SlotTarget::Program(program) => programs.get(&program).map(AsFd::as_fd),
                };
                let Some(fd) = fd else { continue };
                if !outer.reused {
                    outer.put(slot, fd)?;
                } else if def.kind == map_kind::PROG_ARRAY {
                    let fd = fd.try_clone_to_owned().map_err(|io| LoadError::FillMap {
                        map: outer.name.clone(),
                        source: Refusal::new(
                            Operation::UpdateMap,
                            Errno(io.raw_os_error().unwrap_or_default()),
                        )
                        .into(),
                    })?;
                    late.push(LateSlot {
                        map: position,
                        slot,
                        fd,
                    });
                }
            }
        }
        Ok(late)
    }

    /// The object's BTF, loaded once. A kernel that refuses it gets the program without: what the user
    /// loses is types and source lines.
    fn btf(&self) -> Option<&Btf> {
        self.btf
            .get_or_init(|| {
                let btf = self.object.btf()?;
                let newest = btf.to_kernel_bytes(BtfFeatures::default());
                Btf::load(&newest)
                    .or_else(|error| {
                        let version = KernelRelease::read().code;
                        tracing::debug!(%error, "BTF refused; again in an older form");
                        let features = BtfFeatures::of_kernel(version);
                        Btf::load(&btf.to_kernel_bytes(features))
                    })
                    .inspect_err(|error| tracing::debug!(%error, "going on without BTF"))
                    .ok()
            })
            .as_ref()
    }
}

fn program_name(object: &Object, index: usize) -> String {
    object
        .programs
        .get(index)
        .map(|program| program.name.clone())
        .unwrap_or_default()
}
