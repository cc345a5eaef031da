//! Network namespaces by name (/run/netns) or path.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::thread::LinkNameSpaceType;

use crate::{Operation, Refusal, Result};

/// Where `ip netns add` puts its names (iproute2's NETNS_RUN_DIR).
const RUN_DIR: &str = "/run/netns";

/// Moves the calling thread into a network namespace: a name that `ip netns add` made (a file of
/// /run/netns), or, where it holds a slash, a path such as /proc/42/ns/net.
///
/// Threads that run already stay where they are; threads spawned later follow. Netlink sockets
/// belong to the namespace they were opened in, and /sys/class/net keeps showing the old one.
///
/// # Errors
/// `Refused` with ENOENT where there is none, EINVAL where the file is no network namespace, EPERM
/// without CAP_SYS_ADMIN.
pub fn enter(name_or_path: &str) -> Result<()> {
    let refused = |errno: rustix::io::Errno| Refusal::new(Operation::EnterNetns, errno.into());
    let namespace = rustix::fs::open(
        path_of(name_or_path),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(refused)?;
    rustix::thread::move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&namespace),
        Some(LinkNameSpaceType::Network),
    )
    .map_err(refused)?;
    Ok(())
}

/// The file that [`enter`] opens.
pub fn path_of(name_or_path: &str) -> PathBuf {
    if name_or_path.contains('/') {
        PathBuf::from(name_or_path)
    } else {
        Path::new(RUN_DIR).join(name_or_path)
    }
}

/// The names in /run/netns, sorted. No such folder means no names.
pub fn names() -> Result<Vec<String>> {
    let folder = match std::fs::read_dir(RUN_DIR) {
        Ok(folder) => folder,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Refusal::new(Operation::ReadSystem, error.into()).into()),
    };
    let mut names: Vec<String> = folder
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// The inode of the calling thread's network namespace, which identifies it on this host.
pub fn current_inode() -> Result<u64> {
    let stat = rustix::fs::stat("/proc/thread-self/ns/net")
        .map_err(|errno| Refusal::new(Operation::ReadSystem, errno.into()))?;
    Ok(stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Errno;

    #[test]
    fn a_slash_makes_it_a_path() {
        assert_eq!(path_of("blue"), Path::new("/run/netns/blue"));
        assert_eq!(path_of("/proc/1/ns/net"), Path::new("/proc/1/ns/net"));
        assert_eq!(path_of("./here"), Path::new("./here"));
    }

    #[test]
    fn a_missing_namespace_is_refused_by_name() {
        let error = enter("no-such-namespace").unwrap_err();
        assert_eq!(error.errno(), Some(Errno::ENOENT));
        assert_eq!(
            error.to_string(),
            "enter network namespace: No such file or directory (ENOENT)"
        );
    }

    #[test]
    fn the_current_namespace_has_an_inode() {
        let from_link = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        assert_eq!(
            from_link.to_string_lossy(),
            format!("net:[{}]", current_inode().unwrap())
        );
    }
}
