//! Source files for excerpts, found by the names that the compiler left in an object.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longer files are no sources of XDP programs.
const BIGGEST_SOURCE: u64 = 4 << 20;
/// The compiler's folder may be this many above the object's.
const FOLDERS_ABOVE: usize = 4;

/// Reads source files, each once.
pub(crate) struct Sources {
    /// Where relative names may start.
    roots: Vec<PathBuf>,
    known: HashMap<String, Option<String>>,
}

impl Sources {
    /// Sources of an object: relative names start in the folder of the process, the object's, or one above it.
    pub(crate) fn of(object: &Path) -> Self {
        let mut roots = vec![PathBuf::from(".")];
        let absolute = fs::canonicalize(object).unwrap_or_else(|_| object.to_owned());
        let above = absolute.ancestors().skip(1).take(FOLDERS_ABOVE);
        roots.extend(above.map(Path::to_owned));
        Self {
            roots,
            known: HashMap::new(),
        }
    }

    /// The text of a file, if it is there and is a text.
    pub(crate) fn read(&mut self, name: &str) -> Option<String> {
        let roots = &self.roots;
        self.known
            .entry(name.to_owned())
            .or_insert_with(|| roots.iter().find_map(|root| read(&root.join(name))))
            .clone()
    }
}

fn read(path: &Path) -> Option<String> {
    // Not a pipe or a device: opening one could wait forever.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(BIGGEST_SOURCE).read_to_string(&mut text).ok()?;
    Some(text)
}
