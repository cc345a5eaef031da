//! The project's own binaries, built as users get them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::output::Output;
use crate::workspace;

/// Where the binaries lie already: set by `cargo xtask test`, so that not every test process asks cargo.
const FOLDER_VARIABLE: &str = "XDP_BINARIES";

/// The path of `xdp-probe`, `xdp-offload` or `hw-matrix`, built from the present sources.
///
/// # Panics
/// If they do not build.
pub fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(folder).join(name)
}

/// Copies a program without its symbols, which a guest or a host would read over a wire.
///
/// # Panics
/// If `strip` fails.
pub fn stripped(program: &Path, to: &Path) {
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(to).arg(program);
    Output::of(&mut strip)
        .and_then(Output::ok)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Runs one of the project's binaries in the caller's namespace.
///
/// # Panics
/// If it cannot be started.
#[track_caller]
pub fn tool<A: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>) -> Output {
    let mut command = Command::new(binary(name));
    // Help and tables would follow it.
    command.env_remove("COLUMNS").args(arguments);
    Output::of(&mut command).unwrap_or_else(|error| panic!("{error}"))
}

fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        return folder.into();
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg("build").arg("--quiet").current_dir(workspace());
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    Output::of(&mut cargo)
        .and_then(Output::ok)
        .unwrap_or_else(|error| panic!("{error}"));
    profile_folder(&std::env::current_exe().expect("Linux names the running program"))
}

/// target/debug for target/debug/xtask and for target/debug/deps/cli-0123.
fn profile_folder(program: &Path) -> PathBuf {
    let folder = program.parent().expect("a program lies in a folder");
    if folder.ends_with("deps") {
        folder.parent().expect("deps lies in a folder").into()
    } else {
        folder.into()
    }
}
