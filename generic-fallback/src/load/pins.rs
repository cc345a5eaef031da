//! Names in a BPF file system that go again unless the attach held.

use super::error::LoadError;
use kernel::Errno;
use std::fs;
use std::path::{Path, PathBuf};

/// Where libbpf looks for maps declared with `LIBBPF_PIN_BY_NAME`.
pub const DEFAULT_DIR: &str = "/sys/fs/bpf";

/// `BPF_FS_MAGIC`, include/uapi/linux/magic.h.
const BPF_FS_MAGIC: u32 = 0xcafe_4a11;

/// Where BPF file systems are mounted (/proc/self/mounts, proc(5)).
pub(crate) fn mounts() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (_, folder, kind) = (words.next()?, words.next()?, words.next()?);
            // Blanks and the like are written as octal numbers, \040: such a folder is passed over.
            (kind == "bpf" && !folder.contains('\\')).then(|| PathBuf::from(folder))
        })
        .collect()
}

/// The pins and folders made so far. Dropping it removes them; [`Pins::keep`] does not.
#[derive(Debug, Default)]
pub(super) struct Pins {
    made: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Pins {
    /// Makes sure that `dir` exists and lies in a BPF file system.
    pub(super) fn folder(&mut self, dir: &Path) -> Result<(), LoadError> {
        let error = |path: &Path, reason: String, errno| LoadError::Pin {
            path: path.to_owned(),
            reason,
            errno,
        };
        let existing = dir
            .ancestors()
            .find(|path| path.exists())
            .unwrap_or(Path::new("/"));
        let kind = rustix::fs::statfs(existing)
            .map_err(|errno| error(existing, Errno::from(errno).to_string(), Some(errno.into())))?;
        // The type's width and sign differ between architectures; the magic has 32 bits.
        if kind.f_type as u32 != BPF_FS_MAGIC {
            return Err(error(
                dir,
                format!(
                    "{} is no BPF file system, which alone keeps BPF objects: take a folder of {DEFAULT_DIR}, \
                     or `mount -t bpf none {}`",
                    existing.display(),
                    dir.display()
                ),
                None,
            ));
        }
        let missing: Vec<&Path> = dir
            .ancestors()
            .take_while(|&path| path != existing)
            .collect();
        for path in missing.into_iter().rev() {
            let name = path.file_name().unwrap_or_default();
            if name.as_encoded_bytes().contains(&b'.') {
                let reason = "names in a BPF file system hold no dots".to_owned();
                return Err(error(path, reason, None));
            }
            fs::create_dir(path)
                .map_err(|io| error(path, io.to_string(), io.raw_os_error().map(Errno)))?;
            self.folders.push(path.to_owned());
        }
        Ok(())
    }

    /// Remembers a pin that was just made.
    pub(super) fn made(&mut self, path: PathBuf) {
        self.made.push(path);
    }

    /// Leaves the pins where they are.
    pub(super) fn keep(&mut self) {
        self.made.clear();
        self.folders.clear();
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        for path in self.made.drain(..) {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "a pin was left behind");
            }
        }
        for path in self.folders.drain(..).rev() {
            // Not empty where somebody else has put something there meanwhile: theirs then.
            let _ = fs::remove_dir(path);
        }
    }
}
