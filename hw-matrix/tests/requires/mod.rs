//! Tests that need more than a compiler: they skip with a printed reason, and fail in CI, where nothing may go missing
//! silently.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Prints why this test is skipped unless `present`, which it returns. In CI it panics instead.
pub(crate) fn require(present: bool, reason: &str) -> bool {
    if !present {
        let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!ci, "skipped in CI: {reason}");
        // Not eprintln!, which the test harness swallows where the test passes.
        let _ = writeln!(std::io::stderr(), "skipped: {reason}");
    }
    present
}

/// The folder that cargo builds into.
pub(crate) fn target() -> PathBuf {
    // target/debug/hw-matrix
    let program = Path::new(env!("CARGO_BIN_EXE_hw-matrix"));
    program.ancestors().nth(2).unwrap().to_owned()
}
