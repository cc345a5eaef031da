//! `cargo xtask samples`: the corpus' objects from their sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::Output;

use crate::error::{Error, Result, at};
use crate::install::{self, CLANG, Install, LLVM_STRIP};

/// Names the compiler that the committed objects come from.
const VERSION_FILE: &str = "CLANG";

/// Builds every object in place, or with `check` elsewhere and compares.
pub(crate) fn run(check: bool, install: Install) -> Result<()> {
    install::require(&[CLANG, LLVM_STRIP], install)?;
    let corpus = support::workspace().join("tests/corpus");
    let version = clang_version()?;
    let sources = sources(&corpus)?;
    if check {
        return compare(&corpus, &sources, &version);
    }
    for source in &sources {
        build(&corpus, source, &corpus.join(object_of(source)))?;
    }
    let file = corpus.join(VERSION_FILE);
    fs::write(&file, format!("{version}\n")).map_err(at(&file))?;
    println!("{} objects built by clang {version}", sources.len());
    Ok(())
}

fn compare(corpus: &Path, sources: &[PathBuf], version: &str) -> Result<()> {
    let file = corpus.join(VERSION_FILE);
    let committed = fs::read_to_string(&file).map_err(at(&file))?;
    let same_compiler = committed.trim() == version;
    let folder = tempfile::tempdir().map_err(at(Path::new("a temporary folder")))?;
    let built = folder.path().join("object.o");
    let mut differing = Vec::new();
    for source in sources {
        build(corpus, source, &built)?;
        let object = corpus.join(object_of(source));
        if fs::read(&object).map_err(at(&object))? != fs::read(&built).map_err(at(&built))? {
            differing.push(object_of(source).display().to_string());
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

/// All `.bpf.c` files, relative to the corpus' folder, sorted.
fn sources(corpus: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in ["", "bad"] {
        let path = corpus.join(folder);
        for entry in fs::read_dir(&path).map_err(at(&path))? {
            let name = entry.map_err(at(&path))?.file_name();
            if name.to_string_lossy().ends_with(".bpf.c") {
                found.push(Path::new(folder).join(name));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn object_of(source: &Path) -> PathBuf {
    source.with_extension("o")
}

/// Compiles inside the corpus' folder with relative names only, so that no path of this machine is in the object.
fn build(corpus: &Path, source: &Path, object: &Path) -> Result<()> {
    let text = fs::read_to_string(corpus.join(source)).map_err(at(source))?;
    Output::of(
        Command::new(CLANG.program)
            .current_dir(corpus)
            .args(["-target", "bpf", "-O2", "-g", "-std=gnu11", "-nostdinc"])
            .arg(format!("-mcpu={}", instruction_set(&text)))
            .args(["-Wall", "-Wextra", "-Werror"])
            .args(["-Wno-unused-parameter", "-Wno-sign-compare"])
            .args(["-Iinclude", "-fdebug-compilation-dir=.", "-c"])
            .arg(source)
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
