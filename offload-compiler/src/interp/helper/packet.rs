//! Packet helpers (net/core/filter.c).

use super::{EFAULT, EINVAL, answer};
use crate::interp::fault::{FaultKind, Region};
use crate::interp::memory::Memory;
use crate::interp::packet::Buffer;
use crate::interp::run::{Flow, Run};
use crate::isa::Reg;

/// `BPF_MTU_CHK_RET_FRAG_NEEDED`
const FRAGMENTATION_NEEDED: u64 = 1;
/// `ETH_HLEN`: an Ethernet interface's `hard_header_len`.
const HEADER_LENGTH: i64 = 14;

impl Run<'_> {
    fn buffer_argument(&self, id: i32) -> Result<&Buffer, FaultKind> {
        let context = self.get(Reg::R1)?;
        match &self.buffer {
            Some(buffer) if context == Memory::address(buffer.context, 0) => Ok(buffer),
            _ => Err(Self::bad(id, 1, "not the context")),
        }
    }

    /// `bpf_xdp_adjust_head`, `_meta` and `_tail`
    pub(super) fn adjust(
        &mut self,
        id: i32,
        adjust: impl FnOnce(&mut Buffer, &mut Memory, i32) -> Result<(), i64>,
    ) -> Result<Flow, FaultKind> {
        self.buffer_argument(id)?;
        let delta = self.get(Reg::R2)? as i32;
        let memory = &mut self.machine.memory;
        let Some(buffer) = &mut self.buffer else {
            return Err(FaultKind::KernelOnly("a packet"));
        };
        Ok(answer(adjust(buffer, memory, delta)))
    }

    /// `bpf_xdp_get_buff_len`
    pub(super) fn packet_length(&self, id: i32) -> Result<Flow, FaultKind> {
        Ok(Flow::Return(u64::from(self.buffer_argument(id)?.len())))
    }

    /// The part of the packet that `bpf_xdp_load_bytes` and `_store_bytes` name (`bpf_xdp_pointer`).
    fn part(&self, id: i32) -> Result<Result<(u64, u64), i64>, FaultKind> {
        let offset = self.get(Reg::R2)? as u32;
        let length = self.get(Reg::R4)? as u32;
        if offset > 0xffff || length > 0xffff {
            return Ok(Err(EFAULT));
        }
        let at = self.buffer_argument(id)?.slice(offset, length);
        Ok(at.map(|at| (at, u64::from(length))).ok_or(EINVAL))
    }

    /// `bpf_xdp_load_bytes`
    pub(super) fn packet_load(&mut self, id: i32) -> Result<Flow, FaultKind> {
        let to = self.get(Reg::R3)?;
        let (from, length) = match self.part(id)? {
            Ok(part) => part,
            Err(errno) => return Ok(Flow::Return(errno as u64)),
        };
        let bytes = self.bytes(from, length)?;
        self.machine
            .memory
            .write(to, length)?
            .copy_from_slice(&bytes);
        Ok(Flow::Return(0))
    }

    /// `bpf_xdp_store_bytes`
    pub(super) fn packet_store(&mut self, id: i32) -> Result<Flow, FaultKind> {
        let from = self.get(Reg::R3)?;
        let (to, length) = match self.part(id)? {
            Ok(part) => part,
            Err(errno) => return Ok(Flow::Return(errno as u64)),
        };
        let bytes = self.bytes(from, length)?;
        self.machine
            .memory
            .write(to, length)?
            .copy_from_slice(&bytes);
        Ok(Flow::Return(0))
    }

    /// `bpf_csum_diff`: since Linux 6.13 of any sizes, and folded to 16 bits.
    pub(super) fn checksum_difference(&mut self) -> Result<Flow, FaultKind> {
        let (from, from_size) = (self.get(Reg::R1)?, self.get(Reg::R2)? as u32);
        let (to, to_size) = (self.get(Reg::R3)?, self.get(Reg::R4)? as u32);
        let seed = self.get(Reg::R5)? as u32;
        let from = self.bytes(from, u64::from(from_size))?;
        let to = self.bytes(to, u64::from(to_size))?;
        let sum = match (from.is_empty(), to.is_empty()) {
            (true, true) => seed,
            (true, false) => partial_sum(&to, seed),
            (false, true) => !partial_sum(&from, !seed),
            (false, false) => {
                let removed = partial_sum(&from, 0);
                add_with_carry(partial_sum(&to, seed), !removed)
            }
        };
        let folded = sum.wrapping_add(sum.rotate_left(16)) >> 16;
        Ok(Flow::Return(u64::from(folded)))
    }

    /// `bpf_xdp_check_mtu`
    pub(super) fn check_mtu(&mut self, id: i32) -> Result<Flow, FaultKind> {
        let buffer = self.buffer_argument(id)?;
        let (mtu, length) = (buffer.mtu, i64::from(buffer.len()));
        let at = self.get(Reg::R3)?;
        let difference = i64::from(self.get(Reg::R4)? as i32);
        if self.get(Reg::R5)? != 0 {
            return Ok(Flow::Return(EINVAL as u64));
        }
        let asked = self.machine.memory.read_number(at, 4)? as u32;
        let length = match asked {
            0 => length,
            asked => i64::from(asked) + HEADER_LENGTH,
        };
        let fits = length + difference <= i64::from(mtu) + HEADER_LENGTH;
        self.machine.memory.write_number(at, 4, u64::from(mtu))?;
        Ok(Flow::Return(if fits { 0 } else { FRAGMENTATION_NEEDED }))
    }

    /// Whether an address is in the context: helpers that take it check no more.
    pub(super) fn is_context(&self, address: u64) -> bool {
        self.machine.memory.region(address) == Some(Region::Context)
    }
}

/// One's complement addition.
fn add_with_carry(left: u32, right: u32) -> u32 {
    let (sum, carry) = left.overflowing_add(right);
    sum.wrapping_add(u32::from(carry))
}

/// `csum_partial`: the one's complement sum of little-endian words, onto a seed. What is left of the last
/// word counts as if zeros followed.
fn partial_sum(bytes: &[u8], seed: u32) -> u32 {
    let (words, rest) = bytes.as_chunks();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().chain([&last]).fold(seed, |sum, word| {
        add_with_carry(sum, u32::from_le_bytes(*word))
    })
}
