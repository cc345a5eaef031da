//! The helpers that XDP programs call, by their effect. Ids and arguments are those of
//! `include/uapi/linux/bpf.h`; each answer follows the kernel function named beside it.

mod format;
mod map;
mod output;
mod packet;
mod redirect;

use super::fault::FaultKind;
use super::frame::MAX_LOOPS;
use super::packet::Buffer;
use super::run::{Flow, Run};
use super::world::Clock;
use crate::isa::{Reg, functions};

/// Negated errnos, as helpers return them.
pub(super) const ENOENT: i64 = -2;
pub(super) const E2BIG: i64 = -7;
pub(super) const EAGAIN: i64 = -11;
pub(super) const EACCES: i64 = -13;
pub(super) const EFAULT: i64 = -14;
pub(super) const EEXIST: i64 = -17;
pub(super) const EINVAL: i64 = -22;
pub(super) const ENOSPC: i64 = -28;
pub(super) const EOPNOTSUPP: i64 = -95;

/// The kernel's limit of tail calls in one run (`MAX_TAIL_CALL_CNT`).
const MAX_TAIL_CALLS: u32 = 33;

/// 0, or the negated errno.
fn answer(result: Result<(), i64>) -> Flow {
    Flow::Return(match result {
        Ok(()) => 0,
        Err(errno) => errno as u64,
    })
}

impl Run<'_> {
    /// Calls a helper; arguments are in r1 to r5.
    pub(super) fn helper(&mut self, id: i32) -> Result<Flow, FaultKind> {
        match id {
            1 => self.map_lookup(id, None),
            2 => self.map_update(id),
            3 => self.map_delete(id),
            5 | 160 => Ok(Flow::Return(self.world.time_ns(Clock::Monotonic))),
            125 => Ok(Flow::Return(self.world.time_ns(Clock::Boot))),
            208 => Ok(Flow::Return(self.world.time_ns(Clock::Tai))),
            6 => self.trace_printk(),
            7 => Ok(Flow::Return(u64::from(self.world.random()))),
            8 => Ok(Flow::Return(u64::from(self.world.cpu()))),
            12 => self.tail_call(id),
            23 => self.redirect(),
            25 => self.perf_event_output(id),
            28 => self.checksum_difference(),
            44 => self.adjust(id, Buffer::adjust_head),
            51 => self.redirect_map(id),
            54 => self.adjust(id, Buffer::adjust_metadata),
            65 => self.adjust(id, Buffer::adjust_tail),
            69 => Ok(Flow::Return(4)), // BPF_FIB_LKUP_RET_NOT_FWDED: there are no routes
            42 | 84 | 85 | 99 => Ok(Flow::Return(0)), // the NUMA node; socket lookups: there are none
            87 => self.map_push(id),
            88 => self.map_pop(id, true),
            89 => self.map_pop(id, false),
            93 | 94 => Ok(Flow::Nothing), // spin locks: nothing runs beside the program
            130 => self.ring_output(id),
            131 => self.ring_reserve(id),
            132 => self.ring_finish(id, true),
            133 => self.ring_finish(id, false),
            134 => self.ring_query(id),
            163 => self.check_mtu(id),
            164 => self.for_each(id),
            165 => self.snprintf(),
            177 => self.trace_vprintk(),
            181 => self.bpf_loop(id),
            182 => self.string_compare(),
            188 => self.packet_length(id),
            189 => self.packet_load(id),
            190 => self.packet_store(id),
            195 => {
                let cpu = self.get(Reg::R3)?;
                self.map_lookup(id, Some(cpu))
            }
            _ => Err(FaultKind::UnknownHelper { id }),
        }
    }

    fn bad(id: i32, argument: u8, reason: &'static str) -> FaultKind {
        FaultKind::BadArgument {
            helper: functions::name(id).unwrap_or("unknown"),
            argument,
            reason,
        }
    }

    /// The bytes at an address, copied; counts the work.
    fn bytes(&mut self, address: u64, size: u64) -> Result<Vec<u8>, FaultKind> {
        self.charge(size / 64)?;
        Ok(self.machine.memory.read(address, size)?.to_vec())
    }

    /// `bpf_tail_call` (kernel/bpf/core.c): returns only where it fails, and then goes on.
    fn tail_call(&mut self, id: i32) -> Result<Flow, FaultKind> {
        let context = self.get(Reg::R1)?;
        let map = self.map_argument(id, Reg::R2)?;
        let index = self.get(Reg::R3)? as u32;
        if self.tail_calls >= MAX_TAIL_CALLS {
            return Ok(Flow::Return(EINVAL as u64));
        }
        let Some(program) = self.slot_of(map, index)? else {
            return Ok(Flow::Return(EINVAL as u64));
        };
        if !self.has_program(program) {
            return Ok(Flow::Return(EINVAL as u64));
        }
        self.tail_calls += 1;
        self.become_program(program as usize, context)?;
        Ok(Flow::Moved)
    }

    /// `bpf_loop` (kernel/bpf/bpf_iter.c)
    fn bpf_loop(&mut self, id: i32) -> Result<Flow, FaultKind> {
        let count = self.get(Reg::R1)? as u32;
        let callback = Self::callback_of(self.get(Reg::R2)?)
            .ok_or_else(|| Self::bad(id, 2, "no subprogram"))?;
        let context = self.get(Reg::R3)?;
        if self.get(Reg::R4)? != 0 {
            return Ok(Flow::Return(EINVAL as u64));
        }
        if count > MAX_LOOPS {
            return Ok(Flow::Return(E2BIG as u64));
        }
        self.next_iteration(callback, context, 0, count, 0)?;
        Ok(Flow::Moved)
    }

    /// `bpf_for_each_map_elem`
    fn for_each(&mut self, id: i32) -> Result<Flow, FaultKind> {
        let map = self.map_argument(id, Reg::R1)?;
        let callback = Self::callback_of(self.get(Reg::R2)?)
            .ok_or_else(|| Self::bad(id, 2, "no subprogram"))?;
        let context = self.get(Reg::R3)?;
        if self.get(Reg::R4)? != 0 {
            return Ok(Flow::Return(EINVAL as u64));
        }
        self.next_element(callback, context, map, None, 0, 0)?;
        Ok(Flow::Moved)
    }

    /// `bpf_strncmp` (kernel/bpf/helpers.c)
    fn string_compare(&mut self) -> Result<Flow, FaultKind> {
        let (address, size) = (self.get(Reg::R1)?, self.get(Reg::R2)? as u32);
        let left = self.bytes(address, u64::from(size))?;
        let right = self.get(Reg::R3)?;
        for (at, left) in left.into_iter().enumerate() {
            self.charge(1)?;
            let right = self.machine.memory.read(right.wrapping_add(at as u64), 1)?[0];
            if left != right {
                let order = if left < right { -1i64 } else { 1 };
                return Ok(Flow::Return(order as u64));
            }
            if left == 0 {
                break;
            }
        }
        Ok(Flow::Return(0))
    }
}
