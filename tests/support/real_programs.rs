//! Real XDP programs, linked against the running kernel: our corpus, Debian's xdp-tools, the kernel's selftests and
//! samples.

use std::fs;
use std::path::{Path, PathBuf};

use generic_fallback::load::Loader;
use offload_compiler::object::{MapContent, Object};
use offload_compiler::verify::Prepared;

use crate::kernel_answer::{self, KernelAnswer};
use crate::real_objects::{XDP_TOOLS, objects_in, selftests};
use crate::workspace;

/// Where programs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// tests/corpus, without those that are bad.
    Corpus,
    /// Debian's xdp-tools.
    XdpTools,
    /// The kernel's selftests and samples.
    Selftests,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Corpus, Self::XdpTools, Self::Selftests];

    /// For a table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Corpus => "tests/corpus",
            Self::XdpTools => "Debian's xdp-tools",
            Self::Selftests => "the kernel's selftests and samples",
        }
    }

    /// The objects; none where they are not on this machine, which fails in CI.
    fn objects(self) -> Vec<PathBuf> {
        match self {
            Self::Corpus => objects_in(&workspace().join("tests/corpus")),
            Self::XdpTools => XDP_TOOLS
                .iter()
                .flat_map(|folder| objects_in(Path::new(folder)))
                .collect(),
            Self::Selftests => selftests()
                .map(|folder| objects_in(&folder.join("objects")))
                .unwrap_or_default(),
        }
    }
}

/// A program that an interface could run.
#[derive(Debug, Clone)]
pub struct RealProgram {
    /// Where it comes from.
    pub source: Source,
    /// The object's file name, without its endings, and the program's.
    pub name: String,
    /// What the running kernel says of it.
    pub kernel: KernelAnswer,
    /// Linked, for verifier and compiler; why it cannot be.
    pub prepared: Result<Prepared, String>,
    /// It takes packets in several buffers (`xdp.frags`).
    pub frags: bool,
    /// The first value of each map at the beginning, where the object gives one (`.data`, `.rodata`).
    pub contents: Vec<Option<Vec<u8>>>,
}

/// All XDP programs but those for slots of devmaps and cpumaps, which no interface takes. Needs root.
pub fn real_programs() -> Vec<RealProgram> {
    Source::ALL
        .into_iter()
        .flat_map(|source| {
            let objects = source.objects();
            let programs = objects.iter().flat_map(|path| of_object(source, path));
            programs.collect::<Vec<_>>()
        })
        .collect()
}

fn of_object(source: Source, path: &Path) -> Vec<RealProgram> {
    let file = path.file_stem().unwrap_or_default().display().to_string();
    let file = file.strip_suffix(".bpf").unwrap_or(&file);
    let bytes = fs::read(path).unwrap_or_default();
    let Ok(object) = Object::parse(&bytes) else {
        return Vec::new();
    };
    let loader = Loader::for_trial(&object, file);
    let contents = object.maps.iter().map(|map| match &map.content {
        MapContent::Data(data) => Some(data.clone()),
        _ => None,
    });
    let contents: Vec<Option<Vec<u8>>> = contents.collect();
    let attachable = object.programs.iter().enumerate();
    attachable
        .filter(|(_, program)| program.kind.is_attachable_xdp())
        .map(|(index, program)| RealProgram {
            source,
            name: format!("{file} {}", program.name),
            kernel: kernel_answer::of_program(&loader, index),
            prepared: match loader.prepare(index) {
                Ok((_, Ok(prepared))) => Ok(prepared),
                Ok((_, Err(error))) => Err(error.to_string()),
                Err(error) => Err(error.to_string()),
            },
            frags: program.kind.frags(),
            contents: contents.clone(),
        })
        .collect()
}
