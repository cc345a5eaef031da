//! One program, verified by us and loaded into the kernel.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use generic_fallback::load::{Binding, Loaded, Loader};
use kernel::bpf::btf::Btf;
use kernel::bpf::program::{InfoRecords, Program, ProgramSpec};
use offload_compiler::object::btf::BtfFeatures;
use offload_compiler::object::{Linked, Object, PatchTarget, ProgramKind, RawInfo};
use offload_compiler::verify::{Prepared, verify};

use super::super::measure::{Runs, on_cpu};
use crate::error::{Error, Result, at};

/// A program that we and the kernel take.
pub(super) struct Subject {
    pub(super) object: PathBuf,
    pub(super) section: String,
    pub(super) name: String,
    /// Instructions of the linked program.
    pub(super) insns: usize,
    /// Instructions that the kernel's verifier followed.
    pub(super) followed: u32,
    prepared: Prepared,
    linked: Linked,
    loaded: Loaded,
    btf: Option<Btf>,
    license: String,
    kind: ProgramKind,
    /// Of the object's maps, in its order.
    map_names: Vec<String>,
}

/// How the programs of an object divide.
#[derive(Default)]
pub(super) struct Found {
    pub(super) subjects: Vec<Subject>,
    /// The kernel takes them, we do not: they call kernel functions, or have what else is not modelled.
    pub(super) only_kernel: usize,
}

/// What the kernel needed for a load.
#[derive(Debug, Default)]
pub(super) struct KernelTimes {
    /// BPF_PROG_LOAD, the JIT included.
    pub(super) load: Runs,
    /// What the kernel itself counts as verification, by the wall's clock.
    pub(super) verification: Runs,
}

impl Found {
    /// Adds the XDP programs of an object.
    pub(super) fn add(&mut self, path: &Path) -> Result<()> {
        let bytes = std::fs::read(path).map_err(at(path))?;
        let Ok(object) = Object::parse(&bytes) else {
            return Ok(());
        };
        let loader = Loader::for_trial(&object, "bench");
        for (index, program) in object.programs.iter().enumerate() {
            if !program.kind.is_xdp() {
                continue;
            }
            let Ok(loaded) = loader.load(index, Binding::None) else {
                continue;
            };
            let Ok((linked, Ok(prepared))) = loader.prepare(index) else {
                self.only_kernel += 1;
                continue;
            };
            if !linked.modules.is_empty() || !verify(&prepared.input()).is_accepted() {
                self.only_kernel += 1;
                continue;
            }
            self.subjects.push(Subject {
                object: path.to_owned(),
                section: program.section.clone(),
                name: program.name.clone(),
                insns: linked.insns.len(),
                followed: loaded.program.info().map_or(0, |info| info.verified_insns),
                prepared,
                linked,
                btf: object
                    .btf()
                    .and_then(|btf| Btf::load(&btf.to_kernel_bytes(BtfFeatures::default())).ok()),
                license: object.license().to_owned(),
                kind: program.kind,
                map_names: object.maps.iter().map(|map| map.name.clone()).collect(),
                loaded,
            });
        }
        Ok(())
    }
}

impl Subject {
    /// Verifies the linked program.
    pub(super) fn verify(&self) -> Duration {
        let (verdict, took) = on_cpu(|| verify(&self.prepared.input()));
        std::hint::black_box(verdict);
        took
    }

    /// Loads the program with maps that are there.
    pub(super) fn load(&self, times: &mut KernelTimes) -> Result<()> {
        let insns = self.linked.with_fds(|target| self.descriptor(target));
        // They point into the BTF.
        let with_btf = self.btf.as_ref();
        times.load(&ProgramSpec {
            name: &self.name,
            kind: self.kind.program_type().unwrap_or(ProgramKind::XDP),
            expected_attach_type: self.kind.expected_attach_type(),
            insns: &insns,
            license: &self.license,
            flags: self.kind.load_flags(),
            btf: with_btf.map(AsFd::as_fd),
            func_info: with_btf.map_or_else(InfoRecords::default, |_| {
                records(self.linked.func_info.as_ref())
            }),
            line_info: with_btf.map_or_else(InfoRecords::default, |_| {
                records(self.linked.line_info.as_ref())
            }),
            ..ProgramSpec::default()
        })
    }

    /// The map's, by its name: what was loaded has only the maps that are used.
    fn descriptor(&self, target: PatchTarget) -> i32 {
        let (PatchTarget::Map { map } | PatchTarget::MapValue { map, .. }) = target else {
            return -1;
        };
        let name = self.map_names.get(map);
        self.loaded
            .maps
            .iter()
            .find(|loaded| Some(&loaded.name) == name)
            .map_or(-1, |loaded| loaded.map.as_fd().as_raw_fd())
    }
}

impl KernelTimes {
    /// Loads once without a log, and once with the statistics.
    pub(super) fn load(&mut self, spec: &ProgramSpec<'_>) -> Result<()> {
        let (program, took) = on_cpu(|| Program::load(spec));
        program.map_err(refused)?;
        self.load.add(took);
        let (_, statistics) = Program::load_with_statistics(spec).map_err(refused)?;
        let microseconds = statistics
            .lines()
            .find_map(|line| {
                line.strip_prefix("verification time ")?
                    .strip_suffix(" usec")
            })
            .and_then(|number| number.parse().ok());
        if let Some(microseconds) = microseconds {
            self.verification.add(Duration::from_micros(microseconds));
        }
        Ok(())
    }
}

fn records(info: Option<&RawInfo>) -> InfoRecords<'_> {
    info.map_or_else(InfoRecords::default, |info| InfoRecords {
        record_size: info.record_size,
        bytes: &info.bytes,
    })
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: kernel::Error) -> Error {
    Error::Wrong(format!("the kernel took it before, and now: {error}"))
}
