//! Maps: create, read, write, find.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub use super::map_kind::MapKind;

use super::attr;
use super::iter::open_by_id;
use super::name;
use super::pin::{self, Sort};
use super::syscall::{
    Command, address, address_of_buffer, bpf, bpf_fd, object_info, raw, with_memory_limit,
};
use crate::error::{Errno, Error, Operation, Refusal, Result};
use crate::host;

/// `map_flags`: a numa node is given. [`Map::create`] sets it where [`MapSpec::numa_node`] is.
const BPF_F_NUMA_NODE: u32 = 1 << 2;

/// `update` flag: create the element or overwrite it.
pub const ANY: u64 = 0;
/// `update` flag: create the element; EEXIST where it is there already.
pub const NO_EXIST: u64 = 1;
/// `update` flag: overwrite the element; ENOENT where it is not there.
pub const EXIST: u64 = 2;

/// What to create.
#[derive(Debug, Clone, Default)]
pub struct MapSpec<'a> {
    /// Any text; what the kernel keeps of it is [`super::kernel_name`].
    pub name: &'a str,
    /// The kind.
    pub kind: MapKind,
    /// Bytes in a key; 0 for kinds without one (queue, stack, ringbuf, bloom filter).
    pub key_size: u32,
    /// Bytes in a value; for per-CPU kinds, of one CPU.
    pub value_size: u32,
    /// The most elements it holds; bytes, for a ringbuf.
    pub max_entries: u32,
    /// `map_flags`, BPF_F_*.
    pub flags: u32,
    /// Where its memory should be.
    pub numa_node: Option<u32>,
    /// `map_extra`, which a few kinds use (a bloom filter's number of hash functions).
    pub map_extra: u64,
    /// The interface to create it on, for an offloaded map.
    pub ifindex: Option<u32>,
    /// For a map of maps: one with the shape of those to come.
    pub inner: Option<BorrowedFd<'a>>,
    /// The types of key and value. Left out where the kind or an offloaded map has no place for
    /// them.
    pub btf: Option<MapBtf<'a>>,
}

/// The types of a map's key and value.
#[derive(Debug, Clone, Copy)]
pub struct MapBtf<'a> {
    /// Loaded BTF.
    pub fd: BorrowedFd<'a>,
    /// The type of the key, 0 for void.
    pub key_type_id: u32,
    /// The type of the value, 0 for void.
    pub value_type_id: u32,
}

/// struct bpf_map_info.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapInfo {
    /// The id, unique on the host as long as the map lives.
    pub id: u32,
    /// The name, at most 15 bytes.
    pub name: String,
    /// The kind.
    pub kind: MapKind,
    /// Bytes in a key.
    pub key_size: u32,
    /// Bytes in a value, for per-CPU kinds of one CPU.
    pub value_size: u32,
    /// The most elements it holds.
    pub max_entries: u32,
    /// `map_flags`, BPF_F_*.
    pub flags: u32,
    /// `map_extra`.
    pub map_extra: u64,
    /// The interface that an offloaded map lives on, as counted in the network namespace
    /// `netns_inode`.
    pub ifindex: Option<u32>,
    /// Inode of the network namespace of `ifindex`; 0 where there is none.
    pub netns_inode: u64,
    /// The BTF with the types of key and value.
    pub btf_id: Option<u32>,
    /// The type of the key there.
    pub key_type_id: u32,
    /// The type of the value there.
    pub value_type_id: u32,
}

/// A map, open as long as this lives; a program that uses it or a pin keeps it beyond that.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    kind: MapKind,
    key_size: u32,
    max_entries: u32,
    /// Bytes of one element on its way from or to the kernel.
    transfer_size: usize,
}

impl Map {
    /// Creates a map. Needs CAP_BPF; with `ifindex` CAP_NET_ADMIN too.
    ///
    /// EINVAL and E2BIG are the kernel's words for sizes or flags that the kind does not take.
    pub fn create(spec: &MapSpec<'_>) -> Result<Self> {
        let mut attr = attr::MapCreate {
            map_type: spec.kind.0,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            map_flags: spec.flags,
            inner_map_fd: spec.inner.map_or(0, raw),
            map_name: name::to_field(spec.name),
            map_ifindex: spec.ifindex.unwrap_or(0),
            map_extra: spec.map_extra,
            ..attr::MapCreate::default()
        };
        if let Some(node) = spec.numa_node {
            attr.map_flags |= BPF_F_NUMA_NODE;
            attr.numa_node = node;
        }
        let types = spec
            .btf
            .filter(|_| spec.kind.takes_btf() && spec.ifindex.is_none());
        if let Some(btf) = types {
            attr.btf_fd = raw(btf.fd);
            attr.btf_key_type_id = btf.key_type_id;
            attr.btf_value_type_id = btf.value_type_id;
        }
        // SAFETY: the attribute has no pointers, and the command answers with a descriptor.
        let create = |mut attr: attr::MapCreate| unsafe { bpf_fd(Command::MapCreate, &mut attr) };
        let mut answer = with_memory_limit(|| create(attr));
        if let (Some(_), Err(errno @ (Errno::EINVAL | Errno::ENOTSUPP))) = (types, &answer) {
            // Types are for people who look at the map; old kernels know fewer of them.
            tracing::debug!(map = spec.name, %errno, "map refused with BTF; again without");
            attr.btf_fd = 0;
            attr.btf_key_type_id = 0;
            attr.btf_value_type_id = 0;
            answer = create(attr).or(answer);
        }
        let fd = answer.map_err(|errno| Refusal::new(Operation::CreateMap, errno))?;
        Self::from_map_fd(fd)
    }

    /// Opens a map by id. ENOENT: there is none.
    pub fn from_id(id: u32) -> Result<Self> {
        Self::from_map_fd(open_by_id(Command::MapById, id)?)
    }

    /// Opens a pinned map. ENOENT: nothing is there; EINVAL: it is something else.
    pub fn open_pinned(path: &Path) -> Result<Self> {
        let fd = pin::open_pinned(path, Sort::Map)?;
        Self::from_map_fd(fd)
    }

    /// Takes over a descriptor. EINVAL: it is not a map's.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        pin::expect_sort(fd.as_fd(), Sort::Map, Operation::GetInfo)?;
        Self::from_map_fd(fd)
    }

    fn from_map_fd(fd: OwnedFd) -> Result<Self> {
        let info = read_info(fd.as_fd())?;
        let cpus = if info.kind.is_per_cpu() {
            host::possible_cpus()?
        } else {
            1
        };
        Ok(Self {
            fd,
            kind: info.kind,
            key_size: info.key_size,
            max_entries: info.max_entries,
            transfer_size: info.kind.transfer_size(info.value_size, cpus),
        })
    }

    /// What the kernel says of it. ENODEV: it was offloaded to an interface that is gone.
    pub fn info(&self) -> Result<MapInfo> {
        read_info(self.fd.as_fd())
    }

    /// The kind.
    pub fn kind(&self) -> MapKind {
        self.kind
    }

    /// Bytes in a key.
    pub fn key_size(&self) -> u32 {
        self.key_size
    }

    /// Bytes that [`Map::lookup`] gives and [`Map::update`] takes: the value size; for per-CPU kinds
    /// the value size rounded up to 8 bytes, times the possible CPUs; 4 where the values are
    /// programs or maps.
    pub fn value_len(&self) -> usize {
        self.transfer_size
    }

    /// The value at `key`, [`Map::value_len`] bytes; `None` where nothing is there.
    ///
    /// EINVAL: the key has not [`Map::key_size`] bytes. EOPNOTSUPP or ENOTSUPP: a kind that cannot
    /// be read, such as a ringbuf.
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.check_key(key, Operation::ReadMap)?;
        let mut value = vec![0; self.transfer_size];
        let mut attr = self.element(key, address_of_buffer(&mut value), 0);
        // SAFETY: `key` has key_size bytes (checked), or is null where the kind has no keys; `value`
        // has as many bytes as the kernel writes for this kind.
        match unsafe { bpf(Command::MapLookup, &mut attr) } {
            Ok(_) => Ok(Some(value)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Refusal::new(Operation::ReadMap, errno).into()),
        }
    }

    /// Writes `value`, [`Map::value_len`] bytes, at `key`. `flags` is [`ANY`], [`NO_EXIST`] or
    /// [`EXIST`].
    ///
    /// EINVAL: `key` or `value` has the wrong length. E2BIG: the map is full.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<()> {
        self.check_key(key, Operation::UpdateMap)?;
        if value.len() != self.transfer_size {
            return Err(Refusal::new(Operation::UpdateMap, Errno::EINVAL).into());
        }
        let mut attr = self.element(key, address(value), flags);
        // SAFETY: `key` and `value` have as many bytes as the kernel reads (checked).
        unsafe { bpf(Command::MapUpdate, &mut attr) }
            .map_err(|errno| Refusal::new(Operation::UpdateMap, errno))?;
        Ok(())
    }

    /// Writes a descriptor: of a program, an inner map or an AF_XDP socket, into a map that holds
    /// such.
    pub fn update_fd(&self, key: &[u8], fd: BorrowedFd<'_>) -> Result<()> {
        self.update(key, &raw(fd).to_ne_bytes(), ANY)
    }

    /// Deletes what is at `key`; whether there was something.
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        self.check_key(key, Operation::DeleteFromMap)?;
        let mut attr = self.element(key, 0, 0);
        // SAFETY: `key` has as many bytes as the kernel reads (checked).
        match unsafe { bpf(Command::MapDelete, &mut attr) } {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(Refusal::new(Operation::DeleteFromMap, errno).into()),
        }
    }

    /// The key after `key` in the kernel's order, the first one for `None`; `None` at the end. After
    /// a key that is gone by now most kinds start over: see [`Map::keys`].
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        if let Some(key) = key {
            self.check_key(key, Operation::ReadMap)?;
        }
        let mut next = vec![0; self.key_size as usize];
        let mut attr = self.element(key.unwrap_or_default(), address_of_buffer(&mut next), 0);
        // SAFETY: `key` is null or has key_size bytes (checked), `next` has too.
        match unsafe { bpf(Command::MapNextKey, &mut attr) } {
            Ok(_) => Ok(Some(next)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Refusal::new(Operation::ReadMap, errno).into()),
        }
    }

    /// All keys, each at most once, also while others add and delete; deleting the key that was
    /// just given is fine. A map that changes faster than it can be walked ends in an error, not
    /// in an endless walk.
    pub fn keys(&self) -> Keys<'_> {
        Keys {
            map: self,
            seen: self.kind.walk_starts_over().then(HashSet::new),
            upcoming: None,
            steps_left: u64::from(self.max_entries) * 4 + 64,
            started: false,
        }
    }

    /// All elements with the values that [`Map::lookup`] gives; those that vanish between the two
    /// steps and empty slots are left out. As for [`Map::keys`] else.
    pub fn entries(&self) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>)>> + '_ {
        self.keys().filter_map(|key| match key {
            Err(error) => Some(Err(error)),
            Ok(key) => match self.lookup(&key) {
                Err(error) => Some(Err(error)),
                Ok(value) => value.map(|value| Ok((key, value))),
            },
        })
    }

    /// Makes it read-only from user space for good; programs write on, unless the map was created
    /// with BPF_F_RDONLY_PROG.
    pub fn freeze(&self) -> Result<()> {
        let mut attr = self.element(&[], 0, 0);
        // SAFETY: the attribute has no pointers.
        unsafe { bpf(Command::MapFreeze, &mut attr) }
            .map_err(|errno| Refusal::new(Operation::FreezeMap, errno))?;
        Ok(())
    }

    /// Pins it at `path` in a BPF file system. EEXIST: something is there.
    pub fn pin(&self, path: &Path) -> Result<()> {
        pin::pin(self.fd.as_fd(), path)
    }

    fn element(&self, key: &[u8], value_or_next_key: u64, flags: u64) -> attr::MapElement {
        attr::MapElement {
            map_fd: raw(self.fd.as_fd()),
            key: address(key),
            value_or_next_key,
            flags,
            ..attr::MapElement::default()
        }
    }

    fn check_key(&self, key: &[u8], operation: Operation) -> Result<()> {
        if key.len() == self.key_size as usize {
            Ok(())
        } else {
            Err(Refusal::new(operation, Errno::EINVAL).into())
        }
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Default for MapKind {
    /// BPF_MAP_TYPE_UNSPEC, which the kernel refuses.
    fn default() -> Self {
        Self(0)
    }
}

/// See [`Map::keys`].
#[derive(Debug)]
pub struct Keys<'a> {
    map: &'a Map,
    /// The keys given so far, where they can come again.
    seen: Option<HashSet<Vec<u8>>>,
    /// Fetched while the key before was still there, because its owner may delete it next.
    upcoming: Option<Vec<u8>>,
    steps_left: u64,
    started: bool,
}

impl Keys<'_> {
    /// The next key that was not given yet.
    fn advance(&mut self, from: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        let mut at = from.map(<[u8]>::to_vec);
        loop {
            let Some(remaining) = self.steps_left.checked_sub(1) else {
                return Err(Error::Malformed {
                    operation: Operation::ReadMap,
                    detail: "the map changes faster than it can be read".to_owned(),
                });
            };
            self.steps_left = remaining;
            let Some(key) = self.map.next_key(at.as_deref())? else {
                return Ok(None);
            };
            let is_new = match &mut self.seen {
                Some(seen) => seen.insert(key.clone()),
                None => true,
            };
            if is_new {
                return Ok(Some(key));
            }
            at = Some(key);
        }
    }
}

impl Iterator for Keys<'_> {
    type Item = Result<Vec<u8>>;

    /// An error ends the iteration.
    fn next(&mut self) -> Option<Self::Item> {
        if !self.started {
            self.started = true;
            match self.advance(None) {
                Ok(first) => self.upcoming = first,
                Err(error) => return Some(Err(error)),
            }
        }
        let key = self.upcoming.take()?;
        match self.advance(Some(&key)) {
            Ok(next) => {
                self.upcoming = next;
                Some(Ok(key))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

fn read_info(fd: BorrowedFd<'_>) -> Result<MapInfo> {
    let mut info = attr::MapInfo::default();
    // SAFETY: the info of a map has no pointers, and this is a map's descriptor.
    unsafe { object_info(fd, &mut info) }?;
    Ok(MapInfo {
        id: info.id,
        name: name::from_field(&info.name),
        kind: MapKind(info.kind),
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.map_flags,
        map_extra: info.map_extra,
        ifindex: (info.ifindex != 0).then_some(info.ifindex),
        netns_inode: info.netns_ino,
        btf_id: (info.btf_id != 0).then_some(info.btf_id),
        key_type_id: info.btf_key_type_id,
        value_type_id: info.btf_value_type_id,
    })
}
