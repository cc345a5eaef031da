//! Frames: calls, callbacks, tail calls and their returns.

use super::fault::{FaultKind, Region};
use super::memory::{CellId, Memory};
use super::run::Run;
use crate::isa::Reg;

/// Bytes of a frame (`MAX_BPF_STACK`).
const FRAME_SIZE: u32 = 512;
/// Nested frames (`MAX_CALL_FRAMES`).
const MAX_FRAMES: usize = 8;
/// Iterations that `may_goto` allows in one frame (`BPF_MAX_LOOPS`).
pub(super) const MAX_LOOPS: u32 = 8 << 20;

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
pub(super) struct Frame {
    pub(super) role: Role,
    pub(super) stack: CellId,
    /// Where the caller goes on, its program and its r6 to r9.
    pub(super) program: usize,
    pub(super) slot: usize,
    pub(super) saved: [Option<u64>; 4],
    pub(super) may_goto: u32,
}

impl Run<'_> {
    pub(super) fn spoil_arguments(&mut self) {
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

    pub(super) fn exit(&mut self) -> Result<Option<u64>, FaultKind> {
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
        self.set(Reg::R1, Self::map_handle(map as u32));
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
}
