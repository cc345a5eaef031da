//! The virtual lab: virtual machines with emulated NICs, their real drivers, and devices that run offloaded programs.
//!
//! ```text
//! Debian packages --build--> folder of kernels, modules, tools
//! Spec (kernel, NICs) --qemu--> command line --machine--> a guest that sees the host's files and runs jobs
//! ```
//!
//! `nic` and `qemu` are pure. What runs in the guest lies in `hw-matrix/lab/guest`.

mod build;
mod error;
mod exchange;
mod machine;
mod named;
mod nic;
mod qemu;
mod terminal;

use std::path::{Path, PathBuf};

pub use build::Install;
pub use error::LabError;
pub use exchange::{Job, Output};
pub use machine::Machine;
pub use named::Named;
pub use nic::{MODELS, Model, Nic, NicError};
pub use terminal::relay;

/// What a machine is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// A series of Linux that the lab has, "6.12"; the first of [`Lab::kernels`] if there is none.
    pub kernel: Option<String>,
    /// Its NICs.
    pub nics: Vec<Nic>,
    /// Pairs of NICs on one wire, by their places in `nics`; each of them [`Nic::can_be_wired`].
    pub wires: Vec<[usize; 2]>,
    /// Memory in MiB. A guest uses 50 of them, its programs and the files that it writes the rest.
    pub memory: u32,
    /// Processors. Some drivers make as many queues.
    pub cpus: u32,
    /// Folders of the host that the guest may write to; all others it only reads.
    pub writable: Vec<PathBuf>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            kernel: None,
            nics: Vec::new(),
            wires: Vec::new(),
            memory: 768,
            cpus: 1,
            writable: Vec::new(),
        }
    }
}

/// A lab that has been built.
#[derive(Debug, Clone)]
pub struct Lab {
    folder: PathBuf,
}

impl Lab {
    /// Where the lab lies or will lie: `$XDP_OFFLOAD_LAB`, else under the user's cache.
    pub fn folder_of_user() -> PathBuf {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(folder) = set("XDP_OFFLOAD_LAB") {
            return folder.into();
        }
        let cache = set("XDG_CACHE_HOME").map_or_else(
            || Path::new(&set("HOME").unwrap_or_else(|| "/root".into())).join(".cache"),
            PathBuf::from,
        );
        cache.join("xdp-offload/lab")
    }

    /// The lab's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The kernels that it has, by series, the oldest first: "6.12", "7.3".
    pub fn kernels(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.folder.join("kernels")) else {
            return Vec::new();
        };
        let mut kernels: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        let number = |series: &String| -> Vec<u32> {
            series
                .split('.')
                .map(|part| part.parse().unwrap_or(0))
                .collect()
        };
        kernels.sort_by_key(number);
        kernels
    }

    /// The release of a kernel: "6.12.117+deb12-amd64".
    ///
    /// # Errors
    /// The lab has no such kernel.
    pub fn release(&self, kernel: &str) -> Result<String, LabError> {
        let folder = self.kernel(Some(kernel))?;
        let path = folder.join("RELEASE");
        let text = std::fs::read_to_string(&path).map_err(LabError::file(&path))?;
        Ok(text.trim_end().to_owned())
    }

    /// Kernel sources that the modules were built from, and the kernel's own tests, by series.
    pub fn sources(&self, kernel: &str) -> PathBuf {
        self.folder.join("source").join(kernel)
    }

    fn kernel(&self, wanted: Option<&str>) -> Result<PathBuf, LabError> {
        let kernels = self.kernels();
        let found = match wanted {
            None => kernels.first(),
            Some(name) => kernels.iter().find(|kernel| *kernel == name),
        };
        match found {
            Some(kernel) => Ok(self.folder.join("kernels").join(kernel)),
            None => Err(LabError::Kernel {
                wanted: wanted.unwrap_or("").to_owned(),
                have: kernels.join(", "),
            }),
        }
    }
}
