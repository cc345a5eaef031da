//! Pins that go away, and descriptors that do not stay.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use kernel::bpf::btf::Btf;
use kernel::bpf::link::Link;
use kernel::bpf::map::{Map, MapKind, MapSpec};
use kernel::bpf::program::Program;
use kernel::netlink::link::Mode;
use kernel::packet::PacketSender;
use kernel::xsk::XskSocket;
use tests::{Netns, require, require_root};

use crate::asm;
use crate::network::ifindex;

/// A path in the BPF file system with nothing there; what is pinned there ends with this.
pub(crate) struct PinPath(PathBuf);

impl PinPath {
    /// A path of its own for each call.
    pub(crate) fn new(tag: &str) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);

        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("/sys/fs/bpf/xt-{}-{tag}-{number}", std::process::id());
        Self(PathBuf::from(name))
    }
}

impl Deref for PinPath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for PinPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether this process may pin. Else the caller has to return.
pub(crate) fn require_pins() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounted = mounts.contains(" /sys/fs/bpf bpf ");
    require_root() && require(mounted, "needs a BPF file system at /sys/fs/bpf")
}

/// Set in the process that counts its descriptors.
const COUNTING: &str = "XT_COUNT_DESCRIPTORS";

/// Descriptors are counted in a process that runs nothing beside this test.
#[test]
fn no_descriptor_is_left_behind_or_inherited() {
    if !require_pins() {
        return;
    }
    if std::env::var_os(COUNTING).is_none() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--test-threads=1"])
            .arg("cleanup::no_descriptor_is_left_behind_or_inherited")
            .env(COUNTING, "1")
            .output()
            .unwrap();
        let stdout = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{stdout}");
        assert!(stdout.contains("1 passed"), "{stdout}");
        return;
    }
    let netns = Netns::new("fds");
    netns.veth("near0", "far0");
    let near = ifindex(&netns, "near0");
    netns.inside(|| {
        let before = descriptors();
        use_every_sort_of_object(near);
        be_refused(near);
        assert_eq!(descriptors(), before);
    });
}

fn use_every_sort_of_object(near: u32) {
    let spec = MapSpec {
        kind: MapKind::ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        ..MapSpec::default()
    };
    let map = Map::create(&spec).unwrap();
    let same_map = Map::from_id(map.info().unwrap().id).unwrap();
    let pin = PinPath::new("fds");
    map.pin(&pin).unwrap();
    let pinned = Map::open_pinned(&pin).unwrap();
    let program = asm::loaded(2);
    let same_program = Program::from_id(program.info().unwrap().id).unwrap();
    let link = Link::create_xdp(&program, near, Some(Mode::Generic)).unwrap();
    let same_link = Link::from_id(link.info().unwrap().id).unwrap();
    let vmlinux = Btf::from_id(1).unwrap();
    let socket = XskSocket::bind(near, 0, None).unwrap();
    let sender = PacketSender::open(near).unwrap();
    for fd in [
        map.as_fd(),
        same_map.as_fd(),
        pinned.as_fd(),
        program.as_fd(),
        same_program.as_fd(),
        link.as_fd(),
        same_link.as_fd(),
        vmlinux.as_fd(),
        socket.as_fd(),
        sender.as_fd(),
    ] {
        assert!(closes_on_exec(fd.as_raw_fd()), "{fd:?}");
    }
}

fn be_refused(near: u32) {
    let pin = PinPath::new("fds");
    let program = asm::loaded(2);
    program.pin(&pin).unwrap();
    assert!(Map::open_pinned(&pin).is_err());
    assert!(Program::load(&asm::xdp(&asm::exit())).is_err());
    assert!(Link::create_xdp(&program, near, Some(Mode::Offload)).is_err());
    assert!(Btf::load(b"no BTF").is_err());
    assert!(XskSocket::bind(near, 99, None).is_err());
}

/// The open descriptors of this process with what they are.
fn descriptors() -> BTreeSet<(PathBuf, PathBuf)> {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // The one that lists the folder is gone by now.
        .filter_map(|path| Some((path.clone(), std::fs::read_link(path).ok()?)))
        .filter(|(_, target)| !target.ends_with("fd"))
        .collect()
}

/// O_CLOEXEC among the flags of /proc/PID/fdinfo.
fn closes_on_exec(fd: i32) -> bool {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    let flags = info
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .unwrap();
    u32::from_str_radix(flags.trim(), 8).unwrap() & 0o2_000_000 != 0
}
