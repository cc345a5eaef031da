//! What the end-to-end tests and `cargo xtask` share: namespaces that clean up after themselves, our
//! binaries, the corpus, golden files, reasons for skips.

#![allow(clippy::missing_panics_doc)] // what fails here fails the test that asked for it

mod binary;
mod bpffs;
mod cable;
mod cpu;
mod golden;
pub mod hostile;
pub mod kernel_answer;
pub mod lab;
pub mod netns;
pub mod nfp;
pub mod nfpsim;
mod output;
pub mod packets;
mod random;
pub mod random_programs;
pub mod real_objects;
pub mod real_programs;
pub mod skip;

use std::path::{Path, PathBuf};

pub use binary::{binary, stripped, tool};
pub use bpffs::Bpffs;
pub use cable::{Cable, FAR_ADDRESS, NEAR_ADDRESS};
pub use cpu::stay_on_one_cpu;
pub use golden::golden;
pub use netns::Netns;
pub use output::{Failed, Output};
pub use random::Random;
pub use skip::{require, require_command, require_root};

/// The workspace's folder.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is a folder of the workspace")
}

/// The names of the corpus' objects, without those that are bad.
pub fn corpus_names() -> Vec<String> {
    let folder = workspace().join("tests/corpus");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the corpus is there")
        .filter_map(|entry| {
            let name = entry.expect("a folder's entry").file_name();
            Some(name.to_str()?.strip_suffix(".bpf.o")?.to_owned())
        })
        .collect();
    names.sort();
    names
}

/// The object of a corpus program: "pass", "bad/infinite_loop".
pub fn corpus(name: &str) -> PathBuf {
    workspace().join(format!("tests/corpus/{name}.bpf.o"))
}
