//! Verifying programs: `xdp-offload check`, the kernel's load of the same instructions, and prevail.

mod generated;
mod growth;
mod prevail;
mod programs;
mod real;

use std::path::Path;

use crate::error::Result;
use crate::steps::heading;

use prevail::Prevail;

/// All of it.
pub(super) fn run(release: &Path) -> Result<()> {
    let prevail = Prevail::obtain()?;
    let kernel = kernel::host::KernelRelease::read().text;
    heading(&format!("XDP programs that Linux {kernel} takes"));
    real::run(release, &prevail)?;
    heading("Growth: microseconds per instruction of generated programs");
    growth::run(&prevail)
}
