//! A machine: programs, maps and memory; and one run of a program on it.

use super::arithmetic::{alu, compare, negate, sign_extend, swap};
use super::fault::{Fault, FaultKind, Region};
use super::map::{Answer, Map, MapError, MapKind, MapSpec, Update};
use super::memory::{CellId, Memory};
use super::packet::{Buffer, XdpInput};
use super::world::World;
use crate::isa::{AluOp, AtomicOp, Callee, Code, Imm64, Instruction, Operand, Reg, Size, Width};

/// Bytes of a frame (`MAX_BPF_STACK`).
const FRAME_SIZE: u32 = 512;
/// Nested frames (`MAX_CALL_FRAMES`).
const MAX_FRAMES: usize = 8;
/// Iterations that `may_goto` allows in one frame (`BPF_MAX_LOOPS`).
pub(super) const MAX_LOOPS: u32 = 8 << 20;
/// Handles of maps: no addresses, so that reading through one is a fault.
const MAP_HANDLE: u64 = 0xffff_ff00_0000_0000;
/// Handles of subprograms, for callbacks.
const CODE_HANDLE: u64 = 0xffff_fe00_0000_0000;
const HANDLE_MASK: u64 = 0xffff_ff00_0000_0000;

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
    programs: Vec<Code>,
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
        let outcome = run.execute();
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
        let outcome = run.execute();
        run.finish();
        memory.copy_from_slice(self.memory.bytes(cell));
        self.memory.remove(cell);
        self.memory.bury();
        outcome
    }
}

/// Why a frame was entered, and so what its `exit` does.
#[derive(Debug, Clone)]
pub(super) enum Role {
    /// The program: `exit` ends the run.
    Entry,
    /// `call`: `exit` returns.
    Call,
    /// `bpf_loop`: `exit` enters the next iteration.
    Loop {
        callback: usize,
        context: u64,
        next: u32,
        count: u32,
    },
    /// `bpf_for_each_map_elem`: `exit` enters the next element.
    Each {
        callback: usize,
        context: u64,
        map: usize,
        key: Vec<u8>,
        done: u64,
    },
}

#[derive(Debug, Clone)]
struct Frame {
    role: Role,
    stack: CellId,
    /// Where the caller goes on, its program and its r6 to r9.
    program: usize,
    slot: usize,
    saved: [Option<u64>; 4],
    may_goto: u32,
}

/// What a helper did.
pub(super) enum Flow {
    /// Returned this in r0.
    Return(u64),
    /// Returned nothing: r0 holds no value.
    Nothing,
    /// Control is elsewhere: a tail call or a callback.
    Moved,
}

/// One run.
pub(super) struct Run<'m> {
    pub(super) machine: &'m mut Machine,
    pub(super) world: &'m mut dyn World,
    pub(super) buffer: Option<Buffer>,
    pub(super) redirect: Option<Redirect>,
    pub(super) events: Vec<Event>,
    pub(super) tail_calls: u32,
    instructions: u64,
    registers: [Option<u64>; 11],
    frames: Vec<Frame>,
    program: usize,
    slot: usize,
}

/// What is left of a run.
struct Finished {
    buffer: Option<Buffer>,
    redirect: Option<Redirect>,
    events: Vec<Event>,
    instructions: u64,
}

impl<'m> Run<'m> {
    fn new(machine: &'m mut Machine, world: &'m mut dyn World, program: usize) -> Self {
        Self {
            machine,
            world,
            buffer: None,
            redirect: None,
            events: Vec::new(),
            tail_calls: 0,
            instructions: 0,
            registers: [None; 11],
            frames: Vec::new(),
            program,
            slot: 0,
        }
    }

    /// Gives the frames back; discards records that the program forgot.
    fn finish(mut self) -> Finished {
        for frame in std::mem::take(&mut self.frames) {
            self.machine.memory.remove(frame.stack);
        }
        for map in &mut self.machine.maps {
            if let Some(ring) = map.ring() {
                ring.drop_reserved();
            }
        }
        Finished {
            buffer: self.buffer,
            redirect: self.redirect,
            events: self.events,
            instructions: self.instructions,
        }
    }

    fn execute(&mut self) -> Result<u64, Fault> {
        let located = |run: &Self, slot, kind| Fault {
            program: run.program,
            slot,
            kind,
        };
        if let Err(kind) = self.enter(Role::Entry, 0) {
            return Err(located(self, 0, kind));
        }
        loop {
            let slot = self.slot;
            match self.step() {
                Ok(None) => {}
                Ok(Some(r0)) => return Ok(r0),
                Err(kind) => return Err(located(self, slot, kind)),
            }
        }
    }

    /// The value of a register that must hold one.
    pub(super) fn get(&self, reg: Reg) -> Result<u64, FaultKind> {
        match self.registers[reg.index()] {
            Some(value) => Ok(value),
            None if self.machine.memory.lenient => Ok(0),
            None => Err(FaultKind::UninitialisedRegister(reg)),
        }
    }

    pub(super) fn set(&mut self, reg: Reg, value: u64) {
        self.registers[reg.index()] = Some(value);
    }

    fn write(&mut self, reg: Reg, value: u64) -> Result<(), FaultKind> {
        if reg == Reg::R10 {
            return Err(FaultKind::WriteToFramePointer);
        }
        self.set(reg, value);
        Ok(())
    }

    fn operand(&self, operand: Operand) -> Result<u64, FaultKind> {
        match operand {
            Operand::Reg(reg) => self.get(reg),
            Operand::Imm(imm) => Ok(i64::from(imm) as u64),
        }
    }

    fn address(&self, base: Reg, off: i16) -> Result<u64, FaultKind> {
        Ok(self.get(base)?.wrapping_add_signed(i64::from(off)))
    }

    /// Counts work done.
    pub(super) fn charge(&mut self, instructions: u64) -> Result<(), FaultKind> {
        self.instructions += instructions;
        if self.instructions > self.machine.limits.instructions {
            return Err(FaultKind::Budget(self.machine.limits.instructions));
        }
        Ok(())
    }

    /// Executes one instruction; `Some(r0)` at the program's end.
    fn step(&mut self) -> Result<Option<u64>, FaultKind> {
        self.charge(1)?;
        let code = self.machine.programs.get(self.program);
        let Some(instruction) = code.and_then(|code| code.at(self.slot)).copied() else {
            return Err(FaultKind::BadJump(self.slot as i64));
        };
        self.slot += instruction.slots();
        match instruction {
            Instruction::Alu {
                width,
                op,
                dst,
                src,
            } => {
                let src = self.operand(src)?;
                // A move does not read its destination.
                let old = if op == AluOp::Mov { 0 } else { self.get(dst)? };
                self.write(dst, alu(op, width, old, src))?;
            }
            Instruction::MoveSigned {
                width,
                from,
                dst,
                src,
            } => {
                let value = sign_extend(self.get(src)?, from, width);
                self.write(dst, value)?;
            }
            Instruction::Negate { width, dst } => {
                let value = negate(width, self.get(dst)?);
                self.write(dst, value)?;
            }
            Instruction::Swap {
                swap: kind,
                size,
                dst,
            } => {
                let value = swap(kind, size, self.get(dst)?);
                self.write(dst, value)?;
            }
            Instruction::CastAddress { .. } => return Err(FaultKind::KernelOnly("an arena")),
            Instruction::Load {
                size,
                signed,
                dst,
                base,
                off,
            } => {
                let value = self.load(self.address(base, off)?, size, signed)?;
                self.write(dst, value)?;
            }
            Instruction::LoadAcquire {
                size,
                dst,
                base,
                off,
            } => {
                let value = self.load(self.address(base, off)?, size, false)?;
                self.write(dst, value)?;
            }
            Instruction::Store {
                size,
                base,
                off,
                src,
            } => {
                let (address, value) = (self.address(base, off)?, self.operand(src)?);
                let memory = &mut self.machine.memory;
                memory.write_number(address, size.bytes(), value)?;
            }
            Instruction::StoreRelease {
                size,
                base,
                off,
                src,
            } => {
                let (address, value) = (self.address(base, off)?, self.get(src)?);
                let memory = &mut self.machine.memory;
                memory.write_number(address, size.bytes(), value)?;
            }
            Instruction::Atomic {
                op,
                size,
                base,
                off,
                src,
                fetch,
            } => {
                let operand = self.get(src)?;
                let old = self.exchange(self.address(base, off)?, size, |old| match op {
                    AtomicOp::Add => old.wrapping_add(operand),
                    AtomicOp::Or => old | operand,
                    AtomicOp::And => old & operand,
                    AtomicOp::Xor => old ^ operand,
                })?;
                if fetch {
                    self.write(src, old)?;
                }
            }
            Instruction::Exchange {
                size,
                base,
                off,
                src,
            } => {
                let new = self.get(src)?;
                let old = self.exchange(self.address(base, off)?, size, |_| new)?;
                self.write(src, old)?;
            }
            Instruction::CompareExchange {
                size,
                base,
                off,
                src,
            } => {
                let (expected, new) = (self.get(Reg::R0)?, self.get(src)?);
                let expected = if size == Size::B32 {
                    alu(AluOp::Mov, Width::W32, 0, expected)
                } else {
                    expected
                };
                let old = self.exchange(self.address(base, off)?, size, |old| {
                    if old == expected { new } else { old }
                })?;
                self.write(Reg::R0, old)?;
            }
            Instruction::LoadImm64 { dst, value } => {
                let value = self.immediate(value)?;
                self.write(dst, value)?;
            }
            Instruction::LoadPacket { .. } => {
                return Err(FaultKind::KernelOnly("a socket buffer's packet"));
            }
            Instruction::Jump { offset, .. } => self.jump(offset)?,
            Instruction::Branch { condition, offset } => {
                let (dst, src) = (self.get(condition.dst)?, self.operand(condition.src)?);
                if compare(condition.op, condition.width, dst, src) {
                    self.jump(i32::from(offset))?;
                }
            }
            Instruction::MayGoto { offset } => {
                let left = self.frames.last_mut().map(|frame| &mut frame.may_goto);
                match left {
                    Some(left) if *left > 0 => *left -= 1,
                    _ => self.jump(i32::from(offset))?,
                }
            }
            Instruction::Call(callee) => self.call(callee)?,
            Instruction::Exit => return self.exit(),
        }
        Ok(None)
    }

    fn load(&self, address: u64, size: Size, signed: bool) -> Result<u64, FaultKind> {
        let memory = &self.machine.memory;
        if memory.region(address) == Some(Region::Context)
            && let Some(buffer) = &self.buffer
            && let Some((_, offset)) = memory.locate(address)
        {
            return if signed {
                Err(FaultKind::Context {
                    offset,
                    size: u64::from(size.bytes()),
                })
            } else {
                buffer.load(memory, offset, size.bytes())
            };
        }
        let value = memory.read_number(address, size.bytes())?;
        Ok(if signed {
            sign_extend(value, size, Width::W64)
        } else {
            value
        })
    }

    /// Replaces a number in memory; gives the old one.
    fn exchange(
        &mut self,
        address: u64,
        size: Size,
        new: impl FnOnce(u64) -> u64,
    ) -> Result<u64, FaultKind> {
        let memory = &mut self.machine.memory;
        let old = memory.read_number(address, size.bytes())?;
        memory.write_number(address, size.bytes(), new(old))?;
        Ok(old)
    }

    fn immediate(&mut self, value: Imm64) -> Result<u64, FaultKind> {
        let number = |number: i32| {
            usize::try_from(number)
                .ok()
                .filter(|number| *number < self.machine.maps.len())
                .ok_or(FaultKind::KernelOnly("a map of this number"))
        };
        match value {
            Imm64::Number(number) => Ok(number),
            Imm64::MapFd(map) | Imm64::MapIndex(map) => Ok(MAP_HANDLE | number(map)? as u64),
            Imm64::MapValueFd { fd: map, offset } | Imm64::MapValueIndex { index: map, offset } => {
                let map = number(map)?;
                let machine = &mut *self.machine;
                if machine.maps[map].spec.kind != MapKind::Array {
                    return Err(FaultKind::KernelOnly("the value of a map that is no array"));
                }
                let value = machine.maps[map].lookup(&mut machine.memory, &[0; 4], false)?;
                let Some(value) = value else {
                    return Err(FaultKind::KernelOnly("the value of an empty array"));
                };
                Ok(Memory::address(value.cells[0], 0).wrapping_add(u64::from(offset)))
            }
            Imm64::Function(offset) => {
                // Counted from the slot after the first of the two.
                let target = self.slot as i64 - 1 + i64::from(offset);
                let target = u32::try_from(target).map_err(|_| FaultKind::BadJump(target))?;
                Ok(CODE_HANDLE | u64::from(target))
            }
            Imm64::BtfVariable { .. } => Err(FaultKind::KernelOnly("a kernel variable")),
        }
    }

    fn jump(&mut self, offset: i32) -> Result<(), FaultKind> {
        let target = self.slot as i64 + i64::from(offset);
        self.slot = usize::try_from(target).map_err(|_| FaultKind::BadJump(target))?;
        Ok(())
    }

    fn call(&mut self, callee: Callee) -> Result<(), FaultKind> {
        let id = match callee {
            Callee::Local(offset) => {
                let target = self.slot as i64 + i64::from(offset);
                let target = usize::try_from(target).map_err(|_| FaultKind::BadJump(target))?;
                return self.enter(Role::Call, target);
            }
            Callee::Kernel { .. } => return Err(FaultKind::KernelOnly("a kernel function")),
            Callee::Helper(id) => id,
            Callee::Register(reg) => {
                let id = self.get(reg)?;
                i32::try_from(id).map_err(|_| FaultKind::UnknownHelper { id: -1 })?
            }
        };
        let flow = self.helper(id)?;
        if !matches!(flow, Flow::Moved) {
            self.spoil_arguments();
            self.registers[0] = match flow {
                Flow::Return(value) => Some(value),
                Flow::Nothing | Flow::Moved => None,
            };
        }
        Ok(())
    }

    fn spoil_arguments(&mut self) {
        self.registers[1..=5].fill(None);
    }

    /// Enters a frame at a slot. Arguments are in place.
    pub(super) fn enter(&mut self, role: Role, target: usize) -> Result<(), FaultKind> {
        if self.frames.len() >= MAX_FRAMES {
            return Err(FaultKind::CallDepth);
        }
        let stack = self.new_stack()?;
        let mut saved = [None; 4];
        saved.copy_from_slice(&self.registers[6..=9]);
        self.frames.push(Frame {
            role,
            stack,
            program: self.program,
            slot: self.slot,
            saved,
            may_goto: MAX_LOOPS,
        });
        self.registers[0] = None;
        self.registers[6..=9].fill(None);
        self.set(Reg::R10, Memory::address(stack, FRAME_SIZE));
        self.slot = target;
        Ok(())
    }

    fn new_stack(&mut self) -> Result<CellId, FaultKind> {
        let memory = &mut self.machine.memory;
        let stack = memory.add_unwritten(FRAME_SIZE as usize, Region::Stack)?;
        memory.set_origin(stack, FRAME_SIZE);
        Ok(stack)
    }

    /// Replaces the running program in its frame, as a tail call does.
    pub(super) fn become_program(&mut self, program: usize, context: u64) -> Result<(), FaultKind> {
        let stack = self.new_stack()?;
        if let Some(frame) = self.frames.last_mut() {
            self.machine.memory.remove(frame.stack);
            frame.stack = stack;
            frame.may_goto = MAX_LOOPS;
        }
        self.registers = [None; 11];
        self.set(Reg::R1, context);
        self.set(Reg::R10, Memory::address(stack, FRAME_SIZE));
        self.program = program;
        self.slot = 0;
        Ok(())
    }

    /// Whether a program of this number exists.
    pub(super) fn has_program(&self, number: u32) -> bool {
        (number as usize) < self.machine.programs.len()
    }

    fn exit(&mut self) -> Result<Option<u64>, FaultKind> {
        let r0 = self.get(Reg::R0)?;
        let Some(frame) = self.frames.pop() else {
            unreachable!("code runs in a frame");
        };
        self.machine.memory.remove(frame.stack);
        if matches!(frame.role, Role::Entry) {
            let mut forgotten = false;
            for map in &mut self.machine.maps {
                forgotten |= map.ring().is_some_and(super::map::Ring::drop_reserved);
            }
            return if forgotten {
                Err(FaultKind::UnreleasedRecord)
            } else {
                Ok(Some(r0))
            };
        }
        self.program = frame.program;
        self.slot = frame.slot;
        self.registers[6..=9].copy_from_slice(&frame.saved);
        if let Some(caller) = self.frames.last() {
            let fp = Memory::address(caller.stack, FRAME_SIZE);
            self.set(Reg::R10, fp);
        }
        self.spoil_arguments();
        match frame.role {
            Role::Entry | Role::Call => {}
            Role::Loop {
                callback,
                context,
                next,
                count,
            } => self.next_iteration(callback, context, next, count, r0)?,
            Role::Each {
                callback,
                context,
                map,
                key,
                done,
            } => self.next_element(callback, context, map, Some(&key), done, r0)?,
        }
        Ok(None)
    }

    /// Enters iteration `next` of a `bpf_loop`, or returns from it. `stop` is what the last one returned.
    pub(super) fn next_iteration(
        &mut self,
        callback: usize,
        context: u64,
        next: u32,
        count: u32,
        stop: u64,
    ) -> Result<(), FaultKind> {
        if next >= count || stop != 0 {
            self.spoil_arguments();
            self.set(Reg::R0, u64::from(next));
            return Ok(());
        }
        self.spoil_arguments();
        self.set(Reg::R1, u64::from(next));
        self.set(Reg::R2, context);
        let role = Role::Loop {
            callback,
            context,
            next: next + 1,
            count,
        };
        self.enter(role, callback)
    }

    /// Enters the callback for the element after `key`, or returns the number of elements done.
    pub(super) fn next_element(
        &mut self,
        callback: usize,
        context: u64,
        map: usize,
        key: Option<&[u8]>,
        done: u64,
        stop: u64,
    ) -> Result<(), FaultKind> {
        let machine = &mut *self.machine;
        let next = if stop == 0 {
            machine.maps[map].next_key(key)
        } else {
            None
        };
        self.registers[1..=5].fill(None);
        let Some(key) = next else {
            self.set(Reg::R0, done);
            return Ok(());
        };
        let Some(value) = machine.maps[map].lookup(&mut machine.memory, &key, false)? else {
            unreachable!("a key that the map has just given");
        };
        let cpu = self.world.cpu() as usize;
        let value = value.cells[cpu.min(value.cells.len() - 1)];
        let cell = machine.memory.add(key.clone(), Region::MapKey(map))?;
        machine.memory.retire(cell);
        self.set(Reg::R1, MAP_HANDLE | map as u64);
        self.set(Reg::R2, Memory::address(cell, 0));
        self.set(Reg::R3, Memory::address(value, 0));
        self.set(Reg::R4, context);
        let role = Role::Each {
            callback,
            context,
            map,
            key,
            done: done + 1,
        };
        self.enter(role, callback)
    }

    /// The map that a handle stands for.
    pub(super) fn map_of(&self, handle: u64) -> Option<usize> {
        let number = (handle & !HANDLE_MASK) as usize;
        (handle & HANDLE_MASK == MAP_HANDLE && number < self.machine.maps.len()).then_some(number)
    }

    /// The handle of a map.
    pub(super) const fn map_handle(number: u32) -> u64 {
        MAP_HANDLE | number as u64
    }

    /// The slot that a subprogram's handle stands for.
    pub(super) const fn callback_of(handle: u64) -> Option<usize> {
        if handle & HANDLE_MASK == CODE_HANDLE {
            Some((handle & !HANDLE_MASK) as usize)
        } else {
            None
        }
    }
}
