//! One run of a program: the instructions' effect on registers and memory.

use super::arithmetic::{alu, compare, negate, sign_extend, swap};
use super::fault::{Fault, FaultKind, Region};
use super::frame::{Frame, Role};
use super::machine::{Event, Machine, Redirect};
use super::map::MapKind;
use super::memory::Memory;
use super::packet::Buffer;
use super::semantics::Semantics;
use super::world::World;
use crate::isa::{AluOp, AtomicOp, Callee, Imm64, Instruction, Operand, Reg, Size, Width};

/// Handles of maps: no addresses, so that reading through one is a fault.
const MAP_HANDLE: u64 = 0xffff_ff00_0000_0000;
/// Handles of subprograms, for callbacks.
const CODE_HANDLE: u64 = 0xffff_fe00_0000_0000;
const HANDLE_MASK: u64 = 0xffff_ff00_0000_0000;

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
    pub(super) instructions: u64,
    pub(super) registers: [Option<u64>; 11],
    pub(super) frames: Vec<Frame>,
    pub(super) program: usize,
    pub(super) slot: usize,
}

/// What is left of a run.
pub(super) struct Finished {
    pub(super) buffer: Option<Buffer>,
    pub(super) redirect: Option<Redirect>,
    pub(super) events: Vec<Event>,
    pub(super) instructions: u64,
}

impl<'m> Run<'m> {
    pub(super) fn new(machine: &'m mut Machine, world: &'m mut dyn World, program: usize) -> Self {
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
    pub(super) fn finish(mut self) -> Finished {
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

    /// Runs to the end, each instruction by `semantics` where there is one.
    pub(super) fn execute(
        &mut self,
        mut semantics: Option<&mut dyn Semantics>,
    ) -> Result<u64, Fault> {
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
            let stepped = match &mut semantics {
                None => self.step(),
                Some(semantics) => self.step_by(*semantics),
            };
            match stepped {
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
    pub(super) fn step(&mut self) -> Result<Option<u64>, FaultKind> {
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
            return buffer.load(memory, offset, size, signed);
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
