//! `cargo xtask samples`: the objects of the corpus, of the worked examples and of tests from their sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::Output;

use crate::error::{Error, Result, at};
use crate::install::{self, CLANG, Install, LLVM_STRIP};

/// Names the compiler that the committed objects come from.
const VERSION_FILE: &str = "CLANG";

/// Where sources are, below `tests`.
struct Folder {
    /// The compiler runs here and is told relative names only, so that no path of this machine is in the object.
    path: &'static str,
    /// Folders in it with sources.
    folders: &'static [&'static str],
    /// Where the headers are, from there.
    include: &'static str,
}

const FOLDERS: [Folder; 3] = [
    Folder {
        path: "tests/corpus",
        folders: &["", "bad"],
        include: "include",
    },
    Folder {
        path: "tests/examples",
        folders: &[""],
        include: "../corpus/include",
    },
    Folder {
        path: "tests/lab_offload",
        folders: &[""],
        include: "../corpus/include",
    },
];

/// A source: its folder, and its name in it.
struct Source {
    folder: &'static Folder,
    name: PathBuf,
}

impl Source {
    fn object(&self) -> PathBuf {
        support::workspace()
            .join(self.folder.path)
            .join(self.name.with_extension("o"))
    }
}

/// Builds every object in place, or with `check` elsewhere and compares.
pub(crate) fn run(check: bool, install: Install) -> Result<()> {
    install::require(&[CLANG, LLVM_STRIP], install)?;
    let corpus = support::workspace().join("tests/corpus");
    let version = clang_version()?;
    let sources = sources()?;
    if check {
        return compare(&corpus, &sources, &version);
    }
    for source in &sources {
        build(source, &source.object())?;
    }
    let file = corpus.join(VERSION_FILE);
    fs::write(&file, format!("{version}\n")).map_err(at(&file))?;
    println!("{} objects built by clang {version}", sources.len());
    Ok(())
}

fn compare(corpus: &Path, sources: &[Source], version: &str) -> Result<()> {
    let file = corpus.join(VERSION_FILE);
    let committed = fs::read_to_string(&file).map_err(at(&file))?;
    let same_compiler = committed.trim() == version;
    let folder = tempfile::tempdir().map_err(at(Path::new("a temporary folder")))?;
    let built = folder.path().join("object.o");
    let mut differing = Vec::new();
    for source in sources {
        build(source, &built)?;
        let object = source.object();
        if fs::read(&object).map_err(at(&object))? != fs::read(&built).map_err(at(&built))? {
            differing.push(source.name.with_extension("o").display().to_string());
        }
    }
    if same_compiler && !differing.is_empty() {
        return Err(Error::Wrong(format!(
            "not what the sources compile to: {}\n  `cargo xtask samples` builds them again",
            differing.join(", ")
        )));
    }
    if same_compiler {
        println!(
            "{} objects are what clang {version} makes of their sources",
            sources.len()
        );
    } else {
        println!(
            "{} sources compile with clang {version}; {} objects differ, as expected: the committed ones were built by clang {}",
            sources.len(),
            differing.len(),
            committed.trim()
        );
    }
    Ok(())
}

/// All `.bpf.c` files, sorted.
fn sources() -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for root in &FOLDERS {
        for folder in root.folders {
            let path = support::workspace().join(root.path).join(folder);
            for entry in fs::read_dir(&path).map_err(at(&path))? {
                let name = entry.map_err(at(&path))?.file_name();
                if name.to_string_lossy().ends_with(".bpf.c") {
                    found.push(Source {
                        folder: root,
                        name: Path::new(folder).join(name),
                    });
                }
            }
        }
    }
    found.sort_by(|a, b| (a.folder.path, &a.name).cmp(&(b.folder.path, &b.name)));
    Ok(found)
}

/// Compiles inside the source's folder.
fn build(source: &Source, object: &Path) -> Result<()> {
    let folder = support::workspace().join(source.folder.path);
    let path = folder.join(&source.name);
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    Output::of(
        Command::new(CLANG.program)
            .current_dir(&folder)
            .args(["-target", "bpf", "-O2", "-g", "-std=gnu11", "-nostdinc"])
            .arg(format!("-mcpu={}", instruction_set(&text)))
            .args(["-Wall", "-Wextra", "-Werror"])
            .args(["-Wno-unused-parameter", "-Wno-sign-compare"])
            .arg(format!("-I{}", source.folder.include))
            .args(["-fdebug-compilation-dir=.", "-c"])
            .arg(&source.name)
            .arg("-o")
            .arg(object),
    )?
    .ok()?;
    Output::of(Command::new(LLVM_STRIP.program).arg("-g").arg(object))?.ok()?;
    Ok(())
}

/// The instruction set a source asks for in a first line `/* mcpu: v1 */`; v3 otherwise.
fn instruction_set(source: &str) -> &str {
    source
        .strip_prefix("/* mcpu: ")
        .and_then(|rest| rest.split(' ').next())
        .unwrap_or("v3")
}

/// "14.0.6" of "Debian clang version 14.0.6".
fn clang_version() -> Result<String> {
    let output = Output::of(Command::new(CLANG.program).arg("--version"))?.ok()?;
    let version = output
        .stdout
        .split_once("clang version ")
        .and_then(|(_, rest)| rest.split_whitespace().next());
    version
        .map(ToOwned::to_owned)
        .ok_or_else(|| Error::Wrong(format!("clang names no version: {}", output.stdout)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_may_choose_the_instruction_set() {
        assert_eq!(instruction_set("/* mcpu: v1 */\n/* Old. */"), "v1");
        assert_eq!(instruction_set("/* New. */"), "v3");
    }
}
