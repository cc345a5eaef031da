//! Why a program could not be loaded.

use super::Binding;
use crate::verifier_log::Finding;
use kernel::Errno;
use offload_compiler::object::{LinkError, SourceLine};
use std::path::PathBuf;

/// Why a program could not be loaded. Nothing of the attempt is left.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// It does not fit this kernel, or its relocations make no sense.
    #[error("cannot link program '{program}': {source}")]
    Link {
        /// The program.
        program: String,
        /// What is wrong.
        source: LinkError,
    },
    /// The kernel refused to create a map.
    #[error("cannot create map '{map}' ({shape}): {source}")]
    CreateMap {
        /// The map.
        map: String,
        /// Its kind and sizes.
        shape: String,
        /// What the kernel asks of maps of this kind and does not find, where that is known.
        broken_rule: Option<&'static str>,
        /// What the kernel said.
        source: kernel::Error,
    },
    /// A map could not be given its first content.
    #[error("cannot fill map '{map}': {source}")]
    FillMap {
        /// The map.
        map: String,
        /// What the kernel said.
        source: kernel::Error,
    },
    /// A pinned map of that name is there and is not what the object declares.
    #[error("the map pinned at {} is another one: {difference}", path.display())]
    PinnedMapDiffers {
        /// The pin.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// A pin could not be made or opened.
    #[error("cannot use {} as a pin: {reason}", path.display())]
    Pin {
        /// The path.
        path: PathBuf,
        /// Why.
        reason: String,
        /// The errno, where the kernel gave one.
        errno: Option<Errno>,
    },
    /// Slots of a program array are filled by the object, and nothing would keep them.
    #[error(
        "the program array '{map}' holds the programs that '{program}' calls, and the kernel empties it when the last \
         descriptor or pin of it closes"
    )]
    NeedsPin {
        /// The map.
        map: String,
        /// The program.
        program: String,
    },
    /// The kernel took the program and tells nothing about it.
    #[error("cannot read back program '{program}': {source}")]
    Unreadable {
        /// The program.
        program: String,
        /// What the kernel said.
        source: kernel::Error,
    },
    /// The kernel refused the program.
    #[error(transparent)]
    Program(Box<RefusedProgram>),
}

/// The kernel refused to load a program.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot load program '{program}': {source}")]
pub struct RefusedProgram {
    /// The program: the one asked for, or one that it calls.
    pub program: String,
    /// What the kernel said, with the whole verifier log.
    pub source: kernel::Error,
    /// What is useful of the verifier log.
    pub finding: Option<Finding>,
    /// Where the refused instruction comes from.
    pub line: Option<SourceLine>,
    /// What it was to be bound to.
    pub binding: Binding,
    /// What the kernel lacks that the refused instruction asks for (CO-RE).
    pub lacks: Option<String>,
}

impl LoadError {
    /// What the kernel answered, where it was asked.
    pub fn kernel(&self) -> Option<&kernel::Error> {
        match self {
            Self::CreateMap { source, .. }
            | Self::FillMap { source, .. }
            | Self::Unreadable { source, .. } => Some(source),
            Self::Program(refused) => Some(&refused.source),
            Self::Link { .. }
            | Self::PinnedMapDiffers { .. }
            | Self::Pin { .. }
            | Self::NeedsPin { .. } => None,
        }
    }

    /// The kernel's errno.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Pin { errno, .. } => *errno,
            other => other.kernel()?.errno(),
        }
    }

    /// Whether the program has to be bound to its device: it asks the driver for metadata (kernel/bpf/verifier.c,
    /// since 6.3: "metadata kfuncs require device-bound program").
    pub fn needs_device(&self) -> bool {
        let Self::Program(refused) = self else {
            return false;
        };
        refused.finding.as_ref().is_some_and(|finding| {
            finding
                .complaint
                .iter()
                .any(|line| line.contains("require device-bound program"))
        })
    }

    /// Whether a capability is missing. The verifier refuses with EACCES and sometimes EPERM too, but then it leaves
    /// a complaint.
    pub fn is_permission(&self) -> bool {
        let by_verifier = matches!(self, Self::Program(refused) if refused.finding.is_some());
        self.errno() == Some(Errno::EPERM) && !by_verifier
    }
}
