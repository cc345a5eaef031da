//! Map helpers (kernel/bpf/helpers.c, and the map types' own files).

use super::{EINVAL, answer};
use crate::interp::fault::FaultKind;
use crate::interp::map::{MapKind, Update};
use crate::interp::memory::Memory;
use crate::interp::run::{Flow, Run};
use crate::isa::Reg;

impl Run<'_> {
    /// The map of an argument.
    pub(super) fn map_argument(&self, id: i32, reg: Reg) -> Result<usize, FaultKind> {
        let handle = self.get(reg)?;
        self.map_of(handle)
            .ok_or_else(|| Self::bad(id, reg.number(), "no map"))
    }

    fn key(&mut self, map: usize, reg: Reg) -> Result<Vec<u8>, FaultKind> {
        let size = self.machine.maps[map].spec.key_size;
        self.bytes(self.get(reg)?, u64::from(size))
    }

    fn cpu(&mut self) -> usize {
        self.world.cpu() as usize
    }

    /// `bpf_map_lookup_elem`, and `bpf_map_lookup_percpu_elem` with a CPU.
    pub(super) fn map_lookup(&mut self, id: i32, cpu: Option<u64>) -> Result<Flow, FaultKind> {
        let map = self.map_argument(id, Reg::R1)?;
        let key = self.key(map, Reg::R2)?;
        let kind = self.machine.maps[map].spec.kind;
        if matches!(
            kind,
            MapKind::ProgArray
                | MapKind::PerfEventArray
                | MapKind::Queue
                | MapKind::Stack
                | MapKind::RingBuf
        ) {
            return Err(Self::bad(
                id,
                1,
                "a map of this kind has no values to look up",
            ));
        }
        let machine = &mut *self.machine;
        let Some(value) = machine.maps[map].lookup(&mut machine.memory, &key, true)? else {
            return Ok(Flow::Return(0));
        };
        if matches!(kind, MapKind::ArrayOfMaps | MapKind::HashOfMaps) {
            let address = Memory::address(value.cells[0], 0);
            let inner = machine.memory.read_number(address, 4)? as u32;
            return Ok(Flow::Return(Self::map_handle(inner)));
        }
        let cpu = match cpu {
            Some(cpu) if cpu >= u64::from(machine.limits.cpus.max(1)) => {
                return Ok(Flow::Return(0));
            }
            Some(cpu) => cpu as usize,
            None => self.cpu(),
        };
        let cell = value.cells[cpu.min(value.cells.len() - 1)];
        Ok(Flow::Return(Memory::address(cell, 0)))
    }

    /// `bpf_map_update_elem`
    pub(super) fn map_update(&mut self, id: i32) -> Result<Flow, FaultKind> {
        let map = self.map_argument(id, Reg::R1)?;
        let key = self.key(map, Reg::R2)?;
        let size = self.machine.maps[map].spec.value_size;
        let bytes = self.bytes(self.get(Reg::R3)?, u64::from(size))?;
        let flags = self.get(Reg::R4)?;
        let cpu = self.cpu();
        let machine = &mut *self.machine;
        let update = Update::One { cpu, bytes: &bytes };
        let result = machine.maps[map].update(&mut machine.memory, &key, update, flags)?;
        Ok(answer(result))
    }

    /// `bpf_map_delete_elem`
    pub(super) fn map_delete(&mut self, id: i32) -> Result<Flow, FaultKind> {
        let map = self.map_argument(id, Reg::R1)?;
        let key = self.key(map, Reg::R2)?;
        let machine = &mut *self.machine;
        Ok(answer(machine.maps[map].delete(&mut machine.memory, &key)))
    }

    /// `bpf_map_push_elem`
    pub(super) fn map_push(&mut self, id: i32) -> Result<Flow, FaultKind> {
        let map = self.map_argument(id, Reg::R1)?;
        let size = self.machine.maps[map].spec.value_size;
        let bytes = self.bytes(self.get(Reg::R2)?, u64::from(size))?;
        let flags = self.get(Reg::R3)?;
        Ok(answer(self.machine.maps[map].push(&bytes, flags)))
    }

    /// `bpf_map_pop_elem` and `bpf_map_peek_elem`; where there is nothing, the buffer becomes zeros.
    pub(super) fn map_pop(&mut self, id: i32, remove: bool) -> Result<Flow, FaultKind> {
        let map = self.map_argument(id, Reg::R1)?;
        let size = u64::from(self.machine.maps[map].spec.value_size);
        self.charge(size / 64)?;
        let address = self.get(Reg::R2)?;
        let element = self.machine.maps[map].pop(remove);
        let out = self.machine.memory.write(address, size)?;
        match element {
            Ok(element) => {
                out.copy_from_slice(&element);
                Ok(Flow::Return(0))
            }
            Err(errno) => {
                if errno != EINVAL {
                    out.fill(0);
                }
                Ok(Flow::Return(errno as u64))
            }
        }
    }

    /// What an element of an indexed map of numbers holds: a program, a device.
    pub(super) fn slot_of(&mut self, map: usize, index: u32) -> Result<Option<u32>, FaultKind> {
        let machine = &mut *self.machine;
        let key = index.to_le_bytes();
        if machine.maps[map].spec.key_size != 4 {
            return Ok(None);
        }
        let Some(value) = machine.maps[map].lookup(&mut machine.memory, &key, false)? else {
            return Ok(None);
        };
        let bytes = machine.memory.bytes(value.cells[0]);
        let Some(first) = bytes.first_chunk() else {
            return Ok(None);
        };
        Ok(Some(u32::from_le_bytes(*first)))
    }
}
