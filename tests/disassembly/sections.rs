//! The code of all objects, as it stands in their sections: before linking and loading change it.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};
use offload_compiler::isa::Insn;
use tests::real_objects::{XDP_TOOLS, objects_in, selftests};
use tests::workspace;

/// The objects of one source.
pub(crate) struct Source {
    pub(crate) name: &'static str,
    pub(crate) objects: Vec<PathBuf>,
    /// Whether programs of other types are loaded as if they were XDP.
    pub(crate) all_as_xdp: bool,
}

/// All sources that are there; in CI, all.
pub(crate) fn sources() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(find_sources);
    &SOURCES
}

fn find_sources() -> Vec<Source> {
    let source = |name, objects| Source {
        name,
        objects,
        all_as_xdp: false,
    };
    let corpus = workspace().join("tests/corpus");
    let mut sources = vec![source(
        "corpus",
        [corpus.clone(), corpus.join("bad")]
            .iter()
            .flat_map(|folder| objects_in(folder))
            .collect(),
    )];
    let tools: Vec<PathBuf> = XDP_TOOLS
        .iter()
        .flat_map(|folder| objects_in(Path::new(folder)))
        .collect();
    if tests::require(!tools.is_empty(), "needs the objects of Debian's xdp-tools") {
        sources.push(source("xdp-tools", tools));
    }
    if let Some(selftests) = selftests() {
        let xdp = objects_in(&selftests.join("objects"));
        sources.push(source("selftests and samples", xdp));
        let verifier = objects_in(&selftests.join("verifier"));
        sources.push(Source {
            all_as_xdp: true,
            ..source("tests of the verifier", verifier)
        });
    }
    sources
}

/// A section with code.
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) insns: Vec<Insn>,
    /// How many functions begin in it: programs and what they call.
    pub(crate) functions: usize,
}

/// The sections with code of an object, in its order.
pub(crate) fn sections(path: &Path) -> Vec<Section> {
    let bytes = std::fs::read(path).expect("an object");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    file.sections()
        .filter(|section| section.kind() == SectionKind::Text && section.size() > 0)
        .map(|section| Section {
            name: section.name().expect("a name").to_owned(),
            insns: Insn::read_all(section.data().expect("its bytes")),
            functions: file
                .symbols()
                .filter(|symbol| {
                    symbol.kind() == SymbolKind::Text
                        && symbol.section_index() == Some(section.index())
                })
                .count(),
        })
        .collect()
}
