//! Where objects of others are: Debian's xdp-tools, the kernel's selftests and samples.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Output, require, workspace};

/// Where Debian's xdp-tools and others keep their objects; not all of these folders are on every machine.
pub const XDP_TOOLS: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/bpf",
    "/usr/lib/aarch64-linux-gnu/bpf",
    "/usr/lib/bpf",
];

/// The objects of a folder, by name; none where there is no such folder.
pub fn objects_in(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("a folder's entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"))
        .collect();
    found.sort();
    found
}

/// The folder of what `cargo xtask selftests` makes: "objects" has XDP programs, "verifier" the tests of the kernel's
/// verifier. Makes it if it is not there. `None`, with the reason printed, where that fails.
pub fn selftests() -> Option<PathBuf> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .current_dir(workspace())
        .args(["xtask", "selftests", "--no-install"]);
    let built = Output::of(&mut build).and_then(Output::ok);
    let reason = built
        .as_ref()
        .err()
        .map(ToString::to_string)
        .unwrap_or_default();
    require(
        built.is_ok(),
        &format!("needs the kernel's selftests as objects: {reason}"),
    )
    .then(|| {
        let program = std::env::current_exe().expect("a program has a path");
        let mut folders = program.ancestors().map(|folder| folder.join("selftests"));
        folders
            .find(|folder| folder.is_dir())
            .expect("it runs in the folder where they were made")
    })
}
