//! A BPF file system of a test's own.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::output::Output;

/// A BPF file system mounted in a temporary folder; what is pinned in it goes when the guard does.
#[derive(Debug)]
pub struct Bpffs {
    folder: TempDir,
}

impl Bpffs {
    /// Mounts one.
    ///
    /// # Panics
    /// If it cannot be mounted, such as without root.
    #[track_caller]
    pub fn mount() -> Self {
        // A name of a BPF file system holds no dot, which a temporary folder's usual name starts with.
        let folder = tempfile::Builder::new()
            .prefix("xt-bpffs-")
            .tempdir()
            .unwrap_or_else(|error| panic!("{error}"));
        let mut mount = Command::new("mount");
        mount.args(["-t", "bpf", "bpf"]).arg(folder.path());
        Output::of(&mut mount)
            .and_then(Output::ok)
            .unwrap_or_else(|error| panic!("{error}"));
        Self { folder }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        // Nothing better to do about a failure here: the empty folder stays.
        let _ = Output::of(Command::new("umount").arg(self.folder.path()));
    }
}
