//! What programs tell user space: trace lines, perf events, ring buffers.

use super::format::format;
use super::{E2BIG, EAGAIN, EINVAL, ENOENT};
use crate::interp::fault::{FaultKind, Region};
use crate::interp::machine::Event;
use crate::interp::map::MapKind;
use crate::interp::memory::Memory;
use crate::interp::run::{Flow, Run};
use crate::isa::Reg;

/// `BPF_F_CURRENT_CPU`, and the mask of an element's number.
const CURRENT_CPU: u64 = 0xffff_ffff;
/// `BPF_F_CTXLEN_MASK`: how much of the packet is appended.
const CONTEXT_LENGTH: u64 = 0xf_ffff << 32;

impl Run<'_> {
    fn record_event(&mut self, event: Event, size: usize) -> Result<(), FaultKind> {
        // Events count against the budget of instructions, so that they cannot pile up.
        self.charge(size as u64 / 16)?;
        self.events.push(event);
        Ok(())
    }

    fn trace(&mut self, arguments: &[u64]) -> Result<Flow, FaultKind> {
        let (at, size) = (self.get(Reg::R1)?, self.get(Reg::R2)? as u32);
        let template = self.bytes(at, u64::from(size))?;
        let line = format(&self.machine.memory, &template, arguments);
        match line {
            Ok(line) => {
                let length = line.len();
                let line = String::from_utf8_lossy(&line).into_owned();
                self.record_event(Event::Trace(line), length)?;
                Ok(Flow::Return(length as u64))
            }
            Err(errno) => Ok(Flow::Return(errno as u64)),
        }
    }

    /// `bpf_trace_printk` (kernel/trace/bpf_trace.c): up to three arguments, in registers.
    pub(super) fn trace_printk(&mut self) -> Result<Flow, FaultKind> {
        // Arguments that the line does not use need not be set.
        let arguments = [Reg::R3, Reg::R4, Reg::R5].map(|reg| self.get(reg).unwrap_or(0));
        self.trace(&arguments)
    }

    fn argument_array(&mut self, at: Reg, size: Reg) -> Result<Vec<u64>, FaultKind> {
        let (at, size) = (self.get(at)?, self.get(size)? as u32);
        let bytes = self.bytes(at, u64::from(size))?;
        let (words, _) = bytes.as_chunks();
        Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
    }

    /// `bpf_trace_vprintk`: arguments in an array.
    pub(super) fn trace_vprintk(&mut self) -> Result<Flow, FaultKind> {
        let arguments = self.argument_array(Reg::R3, Reg::R4)?;
        self.trace(&arguments)
    }

    /// `bpf_snprintf` (kernel/bpf/helpers.c): the length that the text needs with its zero byte.
    pub(super) fn snprintf(&mut self) -> Result<Flow, FaultKind> {
        let (to, size) = (self.get(Reg::R1)?, self.get(Reg::R2)? as u32);
        let at = self.get(Reg::R3)?;
        let arguments = self.argument_array(Reg::R4, Reg::R5)?;
        let mut template = Vec::new();
        loop {
            self.charge(1)?;
            let byte = self
                .machine
                .memory
                .read(at.wrapping_add(template.len() as u64), 1)?[0];
            if byte == 0 {
                break;
            }
            template.push(byte);
        }
        let text = match format(&self.machine.memory, &template, &arguments) {
            Ok(text) => text,
            Err(errno) => return Ok(Flow::Return(errno as u64)),
        };
        let out = self.machine.memory.write(to, u64::from(size))?;
        if let Some(room) = out.len().checked_sub(1) {
            let kept = text.len().min(room);
            out[..kept].copy_from_slice(&text[..kept]);
            out[kept] = 0;
        }
        Ok(Flow::Return(text.len() as u64 + 1))
    }

    /// `bpf_perf_event_output` for XDP (net/core/filter.c)
    pub(super) fn perf_event_output(&mut self, id: i32) -> Result<Flow, FaultKind> {
        let context = self.get(Reg::R1)?;
        let map = self.map_argument(id, Reg::R2)?;
        let flags = self.get(Reg::R3)?;
        let (at, size) = (self.get(Reg::R4)?, self.get(Reg::R5)?);
        if !self.is_context(context) {
            return Err(Self::bad(id, 1, "not the context"));
        }
        if self.machine.maps[map].spec.kind != MapKind::PerfEventArray {
            return Err(Self::bad(id, 2, "not a perf event array"));
        }
        if flags & !(CURRENT_CPU | CONTEXT_LENGTH) != 0 {
            return Ok(Flow::Return(EINVAL as u64));
        }
        let appended = (flags & CONTEXT_LENGTH) >> 32;
        let packet = match &self.buffer {
            Some(buffer) => buffer.packet(&self.machine.memory),
            None => &[],
        };
        if appended > packet.len() as u64 {
            return Ok(Flow::Return(super::EFAULT as u64));
        }
        let appended = packet[..appended as usize].to_vec();
        let mut data = self.bytes(at, size)?;
        data.extend(appended);
        let index = match flags & CURRENT_CPU {
            CURRENT_CPU => self.world.cpu(),
            index => index as u32,
        };
        if index >= self.machine.maps[map].spec.max_entries {
            return Ok(Flow::Return(E2BIG as u64));
        }
        if self.slot_of(map, index)?.is_none() {
            return Ok(Flow::Return(ENOENT as u64)); // nobody listens
        }
        let length = data.len();
        self.record_event(Event::Perf { map, index, data }, length)?;
        Ok(Flow::Return(0))
    }

    fn ring_argument(&self, id: i32) -> Result<usize, FaultKind> {
        let map = self.map_argument(id, Reg::R1)?;
        if self.machine.maps[map].spec.kind == MapKind::RingBuf {
            Ok(map)
        } else {
            Err(Self::bad(id, 1, "not a ring buffer"))
        }
    }

    fn ring_fits(&mut self, map: usize, bytes: u64) -> bool {
        let ring = self.machine.maps[map].ring();
        ring.is_some_and(|ring| ring.fits(bytes))
    }

    /// `bpf_ringbuf_output`
    pub(super) fn ring_output(&mut self, id: i32) -> Result<Flow, FaultKind> {
        let map = self.ring_argument(id)?;
        let (at, size) = (self.get(Reg::R2)?, self.get(Reg::R3)?);
        // BPF_RB_NO_WAKEUP and BPF_RB_FORCE_WAKEUP
        if self.get(Reg::R4)? & !3 != 0 {
            return Ok(Flow::Return(EINVAL as u64));
        }
        if !self.ring_fits(map, size) {
            return Ok(Flow::Return(EAGAIN as u64));
        }
        let data = self.bytes(at, size)?;
        if let Some(ring) = self.machine.maps[map].ring() {
            ring.output(&data);
        }
        Ok(Flow::Return(0))
    }

    /// `bpf_ringbuf_reserve`
    pub(super) fn ring_reserve(&mut self, id: i32) -> Result<Flow, FaultKind> {
        let map = self.ring_argument(id)?;
        let size = self.get(Reg::R2)?;
        if self.get(Reg::R3)? != 0 || !self.ring_fits(map, size) {
            return Ok(Flow::Return(0));
        }
        let machine = &mut *self.machine;
        let cell = machine
            .memory
            .add_unwritten(size as usize, Region::Record(map))?;
        machine.memory.retire(cell);
        if let Some(ring) = machine.maps[map].ring() {
            ring.reserve(size, cell);
        }
        Ok(Flow::Return(Memory::address(cell, 0)))
    }

    /// `bpf_ringbuf_submit` and `bpf_ringbuf_discard`
    pub(super) fn ring_finish(&mut self, id: i32, submit: bool) -> Result<Flow, FaultKind> {
        let record = self.get(Reg::R1)?;
        let memory = &mut self.machine.memory;
        let no_record = Self::bad(id, 1, "no reserved record");
        let Some(Region::Record(map)) = memory.region(record) else {
            return Err(no_record);
        };
        let Some((cell, 0)) = memory.locate(record) else {
            return Err(no_record);
        };
        let data = submit.then(|| memory.bytes(cell).to_vec());
        memory.set_range(cell, 0, 0);
        let ring = self.machine.maps[map].ring();
        if ring.is_some_and(|ring| ring.finish(cell, data)) {
            Ok(Flow::Nothing)
        } else {
            Err(no_record)
        }
    }

    /// `bpf_ringbuf_query`
    pub(super) fn ring_query(&mut self, id: i32) -> Result<Flow, FaultKind> {
        let map = self.ring_argument(id)?;
        let what = self.get(Reg::R2)?;
        let ring = self.machine.maps[map].ring();
        Ok(Flow::Return(ring.map_or(0, |ring| ring.query(what))))
    }
}
