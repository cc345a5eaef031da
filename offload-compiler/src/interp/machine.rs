//! A machine: programs, maps and memory.

use super::fault::{Fault, FaultKind, Region};
use super::map::{Answer, Map, MapError, MapKind, MapSpec, Update};
use super::memory::Memory;
use super::packet::{Buffer, XdpInput};
use super::run::Run;
use super::semantics::Semantics;
use super::world::World;
use crate::isa::{Code, Reg};
/// What a read of a register or of stack memory that was never written gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Uninitialised {
    /// A fault: the kernel's verifier refuses such a program.
    #[default]
    Fault,
    /// Zero: for definitions of the instruction set that say nothing of it.
    Zero,
}

/// What a run may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Instructions of one run; a helper counts 1 more for each 64 bytes that it copies.
    pub instructions: u64,
    /// Bytes of memory: maps, frames, packet, events.
    pub memory: u64,
    /// CPUs that per-CPU maps have values for; at least 1.
    pub cpus: u32,
    /// What reading nothing gives.
    pub uninitialised: Uninitialised,
}

impl Default for Limits {
    /// 16 million instructions, 256 MiB, one CPU.
    fn default() -> Self {
        Self {
            instructions: 16 << 20,
            memory: 256 << 20,
            cpus: 1,
            uninitialised: Uninitialised::default(),
        }
    }
}

/// Programs, maps and memory. Maps keep their contents from run to run.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(super) limits: Limits,
    pub(super) memory: Memory,
    pub(super) maps: Vec<Map>,
    pub(super) programs: Vec<Code>,
}

/// Where a redirected packet goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// `bpf_redirect`: to an interface.
    Device {
        /// Its index.
        ifindex: u32,
    },
    /// `bpf_redirect_map`: to what an element of a map names.
    Map {
        /// The map's number.
        map: usize,
        /// The key.
        key: u32,
        /// The element's value; `None` when broadcasting to a map without this element.
        value: Option<Vec<u8>>,
        /// Flags: `BPF_F_BROADCAST` is 8, `BPF_F_EXCLUDE_INGRESS` 16.
        flags: u64,
    },
}

/// What a program said besides its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `bpf_trace_printk`: a line of the trace.
    Trace(String),
    /// `bpf_perf_event_output`
    Perf {
        /// The map's number.
        map: usize,
        /// The element that took it.
        index: u32,
        /// The program's bytes, then as much of the packet as it asked for.
        data: Vec<u8>,
    },
}

/// The outcome of an XDP program on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XdpRun {
    /// r0 at the end.
    pub r0: u64,
    /// The packet as the program left it.
    pub packet: Vec<u8>,
    /// The metadata as the program left it.
    pub metadata: Vec<u8>,
    /// The target of the last redirect helper that succeeded.
    pub redirect: Option<Redirect>,
    /// In the order in which they were made.
    pub events: Vec<Event>,
    /// Instructions executed.
    pub instructions: u64,
}

impl XdpRun {
    /// The verdict: 0 `XDP_ABORTED`, 1 `XDP_DROP`, 2 `XDP_PASS`, 3 `XDP_TX`, 4 `XDP_REDIRECT`; the kernel
    /// takes anything else for `XDP_ABORTED`.
    pub const fn verdict(&self) -> u32 {
        self.r0 as u32
    }
}

impl Machine {
    /// A machine without maps and programs.
    pub fn new(limits: Limits) -> Self {
        let lenient = limits.uninitialised == Uninitialised::Zero;
        Self {
            limits,
            memory: Memory::new(limits.memory, lenient),
            maps: Vec::new(),
            programs: Vec::new(),
        }
    }

    /// Adds an empty map. Its number, which programs refer to as [`Imm64::MapFd`] or
    /// [`Imm64::MapIndex`], is the count of maps before it.
    pub fn add_map(&mut self, spec: MapSpec) -> Result<usize, MapError> {
        let number = self.maps.len();
        let whole = match spec.kind {
            MapKind::Queue | MapKind::Stack => {
                u64::from(spec.max_entries) * u64::from(spec.value_size)
            }
            MapKind::RingBuf => u64::from(spec.max_entries),
            _ => 0,
        };
        if whole > self.limits.memory {
            return Err(FaultKind::Memory(self.limits.memory).into());
        }
        let cpus = self.limits.cpus.max(1) as usize;
        self.maps.push(Map::new(number, spec, cpus)?);
        Ok(number)
    }

    /// Adds a program. Its number, which elements of a prog array hold, is the count of programs before it.
    pub fn add_program(&mut self, code: Code) -> usize {
        self.programs.push(code);
        self.programs.len() - 1
    }

    /// What a map was made of.
    pub fn map_spec(&self, map: usize) -> Option<MapSpec> {
        Some(self.maps.get(map)?.spec)
    }

    fn checked_map(&self, map: usize, key: &[u8]) -> Result<(), MapError> {
        let spec = self.map_spec(map).ok_or(MapError::NoSuchMap(map))?;
        if key.len() == spec.key_size as usize {
            Ok(())
        } else {
            Err(MapError::KeySize(key.len() as u32))
        }
    }

    /// A value as user space reads it: of a per-CPU map the values of all CPUs, each rounded up to 8 bytes.
    pub fn lookup(&mut self, map: usize, key: &[u8]) -> Result<Option<Vec<u8>>, MapError> {
        self.checked_map(map, key)?;
        let value = self.maps[map].lookup(&mut self.memory, key, false)?;
        Ok(value.map(|value| self.maps[map].user_value(&self.memory, &value)))
    }

    /// Sets a value as user space does; `flags` are `BPF_ANY` (0), `BPF_NOEXIST` (1) or `BPF_EXIST` (2).
    /// An element of a prog array holds a program's number, one of a map of maps a map's, as 4
    /// little-endian bytes; any value opens an element of a perf event array. Without keys, it pushes.
    pub fn update(
        &mut self,
        map: usize,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), MapError> {
        self.checked_map(map, key)?;
        if value.len() != self.maps[map].user_value_size() {
            return Err(MapError::ValueSize(value.len() as u32));
        }
        let update = Update::All(value);
        let answer: Answer<()> = self.maps[map].update(&mut self.memory, key, update, flags);
        self.memory.bury();
        answer?.map_err(MapError::Refused)
    }

    /// Deletes an element as user space does; false if there is none.
    pub fn delete(&mut self, map: usize, key: &[u8]) -> Result<bool, MapError> {
        self.checked_map(map, key)?;
        let answer = self.maps[map].delete(&mut self.memory, key);
        self.memory.bury();
        match answer {
            Ok(()) => Ok(true),
            Err(super::helper::ENOENT) => Ok(false),
            Err(errno) => Err(MapError::Refused(errno)),
        }
    }

    /// The key after this one in an order that does not change while the map does not.
    pub fn next_key(&self, map: usize, key: Option<&[u8]>) -> Result<Option<Vec<u8>>, MapError> {
        if let Some(key) = key {
            self.checked_map(map, key)?;
        }
        let map = self.maps.get(map).ok_or(MapError::NoSuchMap(map))?;
        Ok(map.next_key(key))
    }

    /// Takes the finished records out of a ring buffer, and all elements out of a queue or a stack.
    pub fn consume(&mut self, map: usize) -> Result<Vec<Vec<u8>>, MapError> {
        let map = self.maps.get_mut(map).ok_or(MapError::NoSuchMap(map))?;
        if let Some(ring) = map.ring() {
            return Ok(ring.consume());
        }
        let mut elements = Vec::new();
        while let Ok(element) = map.pop(true) {
            elements.push(element);
        }
        Ok(elements)
    }

    /// Runs an XDP program on a packet.
    pub fn run_xdp(
        &mut self,
        program: usize,
        input: &XdpInput<'_>,
        world: &mut dyn World,
    ) -> Result<XdpRun, Fault> {
        self.run_xdp_with(program, input, world, None)
    }

    pub(super) fn run_xdp_with(
        &mut self,
        program: usize,
        input: &XdpInput<'_>,
        world: &mut dyn World,
        semantics: Option<&mut dyn Semantics>,
    ) -> Result<XdpRun, Fault> {
        let located = |kind| Fault {
            program,
            slot: 0,
            kind,
        };
        let buffer = Buffer::new(&mut self.memory, input).map_err(located)?;
        let context = Memory::address(buffer.context, 0);
        let mut run = Run::new(self, world, program);
        run.buffer = Some(buffer);
        run.set(Reg::R1, context);
        let outcome = run.execute(semantics);
        let finished = run.finish();
        let Some(buffer) = finished.buffer else {
            unreachable!("the buffer was put in above");
        };
        let result = outcome.map(|r0| XdpRun {
            r0,
            packet: buffer.packet(&self.memory).to_vec(),
            metadata: buffer.metadata(&self.memory).to_vec(),
            redirect: finished.redirect,
            events: finished.events,
            instructions: finished.instructions,
        });
        buffer.remove(&mut self.memory);
        self.memory.bury();
        result
    }

    /// Runs a program with r1 the address of these bytes and r2 their number, as the BPF conformance
    /// suite does; gives r0.
    pub fn run_memory(
        &mut self,
        program: usize,
        memory: &mut [u8],
        world: &mut dyn World,
    ) -> Result<u64, Fault> {
        let cell = self
            .memory
            .add(memory.to_vec(), Region::Memory)
            .map_err(|kind| Fault {
                program,
                slot: 0,
                kind,
            })?;
        let mut run = Run::new(self, world, program);
        run.set(Reg::R1, Memory::address(cell, 0));
        run.set(Reg::R2, memory.len() as u64);
        let outcome = run.execute(None);
        run.finish();
        memory.copy_from_slice(self.memory.bytes(cell));
        self.memory.remove(cell);
        self.memory.bury();
        outcome
    }
}
