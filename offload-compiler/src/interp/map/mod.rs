//! Maps: what the kernel's map types do, seen from a program and from user space.

mod keyed;
mod ring;
mod spec;
mod trie;

use std::collections::{BTreeMap, VecDeque};

use super::fault::{FaultKind, Region};
use super::helper::{E2BIG, EEXIST, EINVAL, ENOENT, EOPNOTSUPP};
use super::memory::{CellId, Memory};

pub use spec::{MapError, MapKind, MapSpec};

use keyed::Keyed;
pub(super) use ring::Ring;
use trie::Trie;

/// `BPF_NOEXIST`: only a new element.
pub(super) const NOEXIST: u64 = 1;
/// `BPF_EXIST`: only an existing element.
pub(super) const EXIST: u64 = 2;
/// `BPF_F_RDONLY_PROG`: the program may not write values.
const READ_ONLY_FOR_PROGRAM: u32 = 1 << 7;

/// An answer of the map: a negative errno of the kernel where it refuses. The outer error ends the run.
pub(super) type Answer<T> = Result<Result<T, i64>, FaultKind>;

/// A value: one cell, or one a CPU.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) cells: Vec<CellId>,
}

/// The bytes of an update.
#[derive(Debug, Clone, Copy)]
pub(super) enum Update<'a> {
    /// A program writes: the one value, or that of its CPU.
    One {
        /// The CPU.
        cpu: usize,
        /// The value.
        bytes: &'a [u8],
    },
    /// User space writes: of a per-CPU map the values of all CPUs, each rounded up to 8 bytes.
    All(&'a [u8]),
}

#[derive(Debug, Clone)]
enum Storage {
    /// All elements exist; made when first looked at.
    Array(BTreeMap<u32, Value>),
    /// Indexed, but elements exist only once set: programs, devices, inner maps.
    Slots(BTreeMap<u32, Value>),
    Keyed(Keyed),
    Trie(Trie),
    Queue(VecDeque<Vec<u8>>),
    Ring(Ring),
}

/// One map.
#[derive(Debug, Clone)]
pub(super) struct Map {
    pub(super) spec: MapSpec,
    /// Its number, for messages.
    number: usize,
    cpus: usize,
    storage: Storage,
}

impl Map {
    pub(super) fn new(number: usize, spec: MapSpec, cpus: usize) -> Result<Self, MapError> {
        spec.check()?;
        let storage = match spec.kind {
            MapKind::Array | MapKind::PerCpuArray => Storage::Array(BTreeMap::new()),
            MapKind::ProgArray
            | MapKind::PerfEventArray
            | MapKind::ArrayOfMaps
            | MapKind::DevMap
            | MapKind::CpuMap
            | MapKind::XskMap => Storage::Slots(BTreeMap::new()),
            MapKind::Hash | MapKind::PerCpuHash | MapKind::HashOfMaps | MapKind::DevMapHash => {
                Storage::Keyed(Keyed::new(spec.max_entries, false))
            }
            MapKind::LruHash | MapKind::LruPerCpuHash => {
                Storage::Keyed(Keyed::new(spec.max_entries, true))
            }
            MapKind::LpmTrie => Storage::Trie(Trie::default()),
            MapKind::Queue | MapKind::Stack => Storage::Queue(VecDeque::new()),
            MapKind::RingBuf => Storage::Ring(Ring::new(spec.max_entries)),
        };
        let cpus = if spec.kind.is_per_cpu() { cpus } else { 1 };
        Ok(Self {
            spec,
            number,
            cpus,
            storage,
        })
    }

    fn blank(&self, memory: &mut Memory) -> Result<Value, FaultKind> {
        let mut cells = Vec::with_capacity(self.cpus);
        for _ in 0..self.cpus {
            let bytes = vec![0; self.spec.value_size as usize];
            let cell = memory.add(bytes, Region::MapValue(self.number))?;
            if self.spec.flags & READ_ONLY_FOR_PROGRAM != 0 {
                memory.set_read_only(cell);
            }
            cells.push(cell);
        }
        Ok(Value { cells })
    }

    fn fill(&self, memory: &mut Memory, value: &Value, update: Update<'_>) {
        match update {
            Update::One { cpu, bytes } => {
                let cell = value.cells[cpu.min(self.cpus - 1)];
                memory.bytes_mut(cell).copy_from_slice(bytes);
            }
            Update::All(bytes) => {
                let stride = self.stride();
                for (cell, part) in value.cells.iter().zip(bytes.chunks(stride)) {
                    memory
                        .bytes_mut(*cell)
                        .copy_from_slice(&part[..self.spec.value_size as usize]);
                }
            }
        }
    }

    /// Bytes that one CPU's value takes in user space's view.
    fn stride(&self) -> usize {
        let size = self.spec.value_size as usize;
        if self.spec.kind.is_per_cpu() {
            size.next_multiple_of(8)
        } else {
            size
        }
    }

    /// Bytes of a whole value in user space's view.
    pub(super) fn user_value_size(&self) -> usize {
        self.stride() * self.cpus
    }

    /// A value in user space's view.
    pub(super) fn user_value(&self, memory: &Memory, value: &Value) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.user_value_size());
        for (index, cell) in value.cells.iter().enumerate() {
            out.extend_from_slice(memory.bytes(*cell));
            out.resize((index + 1) * self.stride(), 0);
        }
        out
    }

    fn index(key: &[u8]) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&key[..4]);
        u32::from_le_bytes(bytes)
    }

    /// The value of a key. A program's look-up (`used`) counts as a use for the LRU.
    pub(super) fn lookup(
        &mut self,
        memory: &mut Memory,
        key: &[u8],
        used: bool,
    ) -> Result<Option<Value>, FaultKind> {
        match &mut self.storage {
            Storage::Array(values) => {
                let index = Self::index(key);
                if index >= self.spec.max_entries {
                    return Ok(None);
                }
                if let Some(value) = values.get(&index) {
                    return Ok(Some(value.clone()));
                }
                let value = self.blank(memory)?;
                if let Storage::Array(values) = &mut self.storage {
                    values.insert(index, value.clone());
                }
                Ok(Some(value))
            }
            Storage::Slots(values) => Ok(values.get(&Self::index(key)).cloned()),
            Storage::Keyed(keyed) => Ok(keyed.get(key, used).cloned()),
            Storage::Trie(trie) => Ok(trie.longest(key).cloned()),
            Storage::Queue(_) | Storage::Ring(_) => Ok(None),
        }
    }

    /// `BPF_MAP_UPDATE_ELEM` and `bpf_map_update_elem`.
    pub(super) fn update(
        &mut self,
        memory: &mut Memory,
        key: &[u8],
        update: Update<'_>,
        flags: u64,
    ) -> Answer<()> {
        // Neither BPF_F_LOCK nor BPF_F_CPU is modelled: values hold no lock here.
        if flags > EXIST {
            return Ok(Err(EINVAL));
        }
        match &mut self.storage {
            Storage::Array(_) | Storage::Slots(_) => {
                let index = Self::index(key);
                if index >= self.spec.max_entries {
                    return Ok(Err(E2BIG));
                }
                if flags == NOEXIST {
                    return Ok(Err(EEXIST));
                }
                let value = if let Some(value) = self.lookup(memory, key, false)? {
                    value
                } else {
                    let value = self.blank(memory)?;
                    if let Storage::Slots(values) = &mut self.storage {
                        values.insert(index, value.clone());
                    }
                    value
                };
                self.fill(memory, &value, update);
                Ok(Ok(()))
            }
            Storage::Keyed(keyed) => {
                let old = keyed.get(key, true).cloned();
                match (&old, flags) {
                    (Some(_), NOEXIST) => return Ok(Err(EEXIST)),
                    (None, EXIST) => return Ok(Err(ENOENT)),
                    _ => {}
                }
                // Per-CPU values change in place; others are replaced, and a pointer to the old
                // value keeps showing the old one (htab_map_update_elem, kernel/bpf/hashtab.c).
                if let Some(value) = &old
                    && self.spec.kind.is_per_cpu()
                {
                    self.fill(memory, value, update);
                    return Ok(Ok(()));
                }
                if old.is_none() && !keyed.make_room(memory) {
                    return Ok(Err(E2BIG));
                }
                let value = self.blank(memory)?;
                self.fill(memory, &value, update);
                if let Storage::Keyed(keyed) = &mut self.storage {
                    keyed.insert(memory, key, value);
                }
                Ok(Ok(()))
            }
            Storage::Trie(trie) => {
                let room = trie.check_update(key, flags, self.spec.max_entries);
                if let Err(errno) = room {
                    return Ok(Err(errno));
                }
                let value = self.blank(memory)?;
                self.fill(memory, &value, update);
                if let Storage::Trie(trie) = &mut self.storage {
                    trie.insert(memory, key, value);
                }
                Ok(Ok(()))
            }
            Storage::Queue(_) => match update {
                Update::One { bytes, .. } | Update::All(bytes) => Ok(self.push(bytes, flags)),
            },
            Storage::Ring(_) => Ok(Err(EOPNOTSUPP)),
        }
    }

    /// `BPF_MAP_DELETE_ELEM` and `bpf_map_delete_elem`.
    pub(super) fn delete(&mut self, memory: &mut Memory, key: &[u8]) -> Result<(), i64> {
        match &mut self.storage {
            Storage::Array(_) | Storage::Queue(_) => Err(EINVAL),
            Storage::Slots(values) => {
                let index = Self::index(key);
                if index >= self.spec.max_entries {
                    return Err(E2BIG);
                }
                match values.remove(&index) {
                    Some(value) => retire(memory, &value),
                    // A devmap's or cpumap's empty slot is deleted without complaint.
                    None if matches!(
                        self.spec.kind,
                        MapKind::DevMap | MapKind::CpuMap | MapKind::XskMap
                    ) => {}
                    None => return Err(ENOENT),
                }
                Ok(())
            }
            Storage::Keyed(keyed) => keyed.remove(memory, key),
            Storage::Trie(trie) => trie.remove(memory, key),
            Storage::Ring(_) => Err(EOPNOTSUPP),
        }
    }

    /// The key after this one, in the map's own order; the first key for `None`.
    pub(super) fn next_key(&self, key: Option<&[u8]>) -> Option<Vec<u8>> {
        match &self.storage {
            Storage::Array(_) => {
                let next = match key {
                    None => 0,
                    Some(key) => Self::index(key).checked_add(1)?,
                };
                (next < self.spec.max_entries).then(|| next.to_le_bytes().to_vec())
            }
            Storage::Slots(values) => {
                let next = match key {
                    None => values.keys().next(),
                    Some(key) => values
                        .range(Self::index(key).checked_add(1)?..)
                        .next()
                        .map(|(at, _)| at),
                };
                next.map(|index| index.to_le_bytes().to_vec())
            }
            Storage::Keyed(keyed) => keyed.next_key(key),
            Storage::Trie(trie) => trie.next_key(key),
            Storage::Queue(_) | Storage::Ring(_) => None,
        }
    }

    /// `bpf_map_push_elem`. With `BPF_EXIST` a full queue drops its oldest element.
    pub(super) fn push(&mut self, bytes: &[u8], flags: u64) -> Result<(), i64> {
        let Storage::Queue(queue) = &mut self.storage else {
            return Err(EINVAL);
        };
        if flags == NOEXIST || flags > EXIST {
            return Err(EINVAL);
        }
        if queue.len() >= self.spec.max_entries as usize {
            if flags != EXIST {
                return Err(E2BIG);
            }
            queue.pop_front();
        }
        queue.push_back(bytes.to_vec());
        Ok(())
    }

    /// `bpf_map_pop_elem` and `bpf_map_peek_elem`: a queue's oldest element, a stack's newest.
    pub(super) fn pop(&mut self, remove: bool) -> Result<Vec<u8>, i64> {
        let from_back = self.spec.kind == MapKind::Stack;
        let Storage::Queue(queue) = &mut self.storage else {
            return Err(EINVAL);
        };
        let element = match (from_back, remove) {
            (true, true) => queue.pop_back(),
            (true, false) => queue.back().cloned(),
            (false, true) => queue.pop_front(),
            (false, false) => queue.front().cloned(),
        };
        element.ok_or(ENOENT)
    }

    /// The ring buffer, where it is one.
    pub(super) fn ring(&mut self) -> Option<&mut Ring> {
        match &mut self.storage {
            Storage::Ring(ring) => Some(ring),
            _ => None,
        }
    }
}

fn retire(memory: &mut Memory, value: &Value) {
    for cell in &value.cells {
        memory.retire(*cell);
    }
}
