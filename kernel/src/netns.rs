//! Network namespaces by name (/run/netns) or path.

use std::path::PathBuf;

use crate::Result;

/// Moves the calling thread into a network namespace: a name that `ip netns add` made (a file of
/// /run/netns), or, where it holds a slash, a path such as /proc/42/ns/net.
///
/// Threads that run already stay where they are; threads spawned later follow. Netlink sockets
/// belong to the namespace they were opened in, and /sys/class/net keeps showing the old one.
///
/// # Errors
/// `Refused` with ENOENT where there is none, EINVAL where the file is no network namespace, EPERM without
/// CAP_SYS_ADMIN.
pub fn enter(name_or_path: &str) -> Result<()> {
    let _ = path_of(name_or_path);
    todo!()
}

/// The file that [`enter`] opens.
pub fn path_of(name_or_path: &str) -> PathBuf {
    let _ = name_or_path;
    todo!()
}

/// The names in /run/netns, sorted.
pub fn names() -> Result<Vec<String>> {
    todo!()
}

/// The inode of the calling thread's network namespace, which identifies it on this host.
pub fn current_inode() -> Result<u64> {
    todo!()
}
