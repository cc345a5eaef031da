//! Tests that need more than a compiler: they skip with a printed reason, and fail in CI (`CI=true`), where nothing may
//! go missing silently.
//!
//! ```ignore
//! if !support::require_root() {
//!     return;
//! }
//! ```

use std::io::Write;

use kernel::host::Capabilities;

/// Whether this process may attach programs and make namespaces. Else the caller has to return.
///
/// # Panics
/// In CI, if it may not.
pub fn require_root() -> bool {
    let has = Capabilities::read().is_ok_and(|all| all.sys_admin && all.net_admin && all.bpf);
    require(has, "needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_BPF)")
}

/// Whether `program` is in `PATH`. Else the caller has to return.
///
/// # Panics
/// In CI, if it is not.
pub fn require_command(program: &str) -> bool {
    let has = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    require(has, &format!("needs the command `{program}`"))
}

/// Prints `reason` as the reason for skipping this test unless `present`, which it returns.
///
/// # Panics
/// In CI, unless `present`.
pub fn require(present: bool, reason: &str) -> bool {
    if !present {
        let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!ci, "skipped in CI: {reason}");
        let thread = std::thread::current();
        // Not eprintln!, which the test harness swallows where the test passes.
        let _ = writeln!(
            std::io::stderr(),
            "skipped {}: {reason}",
            thread.name().unwrap_or("test")
        );
    }
    present
}
