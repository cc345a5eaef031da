//! Building the lab. The build script and all that goes into guests are part of this program, so that an installed one
//! can build a lab.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{Lab, LabError};

/// Whether missing packages may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Install {
    /// Those that are missing, by apt-get, which takes root.
    Missing,
    /// None.
    Never,
}

/// `hw-matrix/lab`: a file's name there, its contents.
const RECIPE: [(&str, &str); 6] = [
    ("build.sh", include_str!("../../lab/build.sh")),
    ("guest/init", include_str!("../../lab/guest/init")),
    ("guest/agent", include_str!("../../lab/guest/agent")),
    ("nfpsim/loader.c", include_str!("../../lab/nfpsim/loader.c")),
    (
        "nfpsim/module/Makefile",
        include_str!("../../lab/nfpsim/module/Makefile"),
    ),
    (
        "nfpsim/module/glue.c",
        include_str!("../../lab/nfpsim/module/glue.c"),
    ),
];

impl Lab {
    /// The lab as it was built before.
    ///
    /// # Errors
    /// `NotBuilt` where there is none, or one of another recipe.
    pub fn open() -> Result<Self, LabError> {
        let folder = Self::folder_of_user();
        let recipe = folder.join("recipe");
        let how = if !recipe.exists() {
            "not built"
        } else if !is_written(&recipe) {
            "of another version"
        } else {
            return Ok(Self { folder });
        };
        Err(LabError::NotBuilt { folder, how })
    }

    /// Builds the lab unless that was done, in some four minutes; progress goes to standard error. Of several processes that
    /// ask for it one builds, and the others wait.
    ///
    /// # Errors
    /// `Build` where it cannot be built here, `File`.
    pub fn build(install: Install) -> Result<Self, LabError> {
        if let Ok(lab) = Self::open() {
            return Ok(lab);
        }
        let folder = Self::folder_of_user();
        fs::create_dir_all(&folder).map_err(LabError::file(&folder))?;
        let path = folder.join("lock");
        let lock = fs::File::create(&path).map_err(LabError::file(&path))?;
        lock.lock().map_err(LabError::file(&path))?;
        if let Ok(lab) = Self::open() {
            return Ok(lab);
        }
        let recipe = folder.join("recipe");
        let _ = fs::remove_dir_all(&recipe);
        let new = folder.join("recipe.new");
        write(&new)?;
        let mut command = Command::new("bash");
        command.arg(new.join("build.sh")).arg(&folder);
        if install == Install::Never {
            command.arg("--no-install");
        }
        let status = command
            .status()
            .map_err(|error| LabError::Build(format!("bash did not start: {error}")))?;
        if !status.success() {
            return Err(LabError::Build(format!("build.sh ended with {status}")));
        }
        fs::rename(&new, &recipe).map_err(LabError::file(&recipe))?;
        Ok(Self { folder })
    }
}

fn is_written(folder: &Path) -> bool {
    RECIPE.iter().all(|(name, contents)| {
        fs::read(folder.join(name)).is_ok_and(|there| there == contents.as_bytes())
    })
}

fn write(folder: &Path) -> Result<(), LabError> {
    for (name, contents) in RECIPE {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(LabError::file(parent))?;
        fs::write(&path, contents).map_err(LabError::file(&path))?;
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, executable).map_err(LabError::file(&path))?;
    }
    Ok(())
}
