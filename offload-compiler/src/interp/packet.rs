//! The packet buffer and the context of an XDP program.

use super::arithmetic::sign_extend;
use super::fault::{FaultKind, Region};
use super::helper::{EACCES, EINVAL};
use super::memory::{CellId, Memory};
use crate::isa::{Size, Width};

/// Bytes before the packet: `XDP_PACKET_HEADROOM` (`include/uapi/linux/bpf.h`).
const HEADROOM: u32 = 256;
/// The part of the headroom that `struct xdp_frame` takes and no program gets (`include/net/xdp.h`).
const FRAME_HEADER: u32 = 40;
/// A page without the room of `struct skb_shared_info`: where a packet buffer ends on x86-64.
const BUFFER_END: u32 = 4096 - 320;
/// A program leaves at least an Ethernet header.
const ETH_HLEN: u32 = 14;
/// The length of the metadata is kept in 8 bits (`struct skb_shared_info`).
const METADATA_MAX: u32 = 255;

/// A packet as a driver hands it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XdpInput<'a> {
    /// The packet, from the Ethernet header on.
    pub packet: &'a [u8],
    /// Metadata before it; at most 252 bytes, a multiple of 4.
    pub metadata: &'a [u8],
    /// `ingress_ifindex` of the context. The kernel's test run shows its namespace's `lo`, 1.
    pub ingress_ifindex: u32,
    /// `rx_queue_index` of the context.
    pub rx_queue_index: u32,
    /// `egress_ifindex` of the context; for programs on a devmap entry.
    pub egress_ifindex: u32,
    /// MTU that `bpf_check_mtu` knows of every interface.
    pub mtu: u32,
}

impl<'a> XdpInput<'a> {
    /// A packet on queue 0 of interface 1 with an MTU of 1500.
    pub const fn new(packet: &'a [u8]) -> Self {
        Self {
            packet,
            metadata: &[],
            ingress_ifindex: 1,
            rx_queue_index: 0,
            egress_ifindex: 0,
            mtu: 1500,
        }
    }
}

/// `struct xdp_buff`: where in its cell the packet is.
#[derive(Debug, Clone)]
pub(super) struct Buffer {
    cell: CellId,
    data: u32,
    data_end: u32,
    data_meta: u32,
    hard_end: u32,
    pub(super) context: CellId,
    pub(super) mtu: u32,
}

/// Offsets of `struct xdp_md` (`include/uapi/linux/bpf.h`); all fields have 4 bytes.
const CONTEXT_SIZE: i64 = 24;

impl Buffer {
    pub(super) fn new(memory: &mut Memory, input: &XdpInput<'_>) -> Result<Self, FaultKind> {
        let length = input.packet.len() as u32;
        let metadata = (input.metadata.len() as u32).min(HEADROOM - FRAME_HEADER);
        // A buffer of one page, or a larger one for a larger packet.
        let hard_end = BUFFER_END.max(HEADROOM.saturating_add(length));
        let mut bytes = vec![0; hard_end as usize];
        let data = HEADROOM;
        let data_meta = data - metadata;
        bytes[data_meta as usize..data as usize]
            .copy_from_slice(&input.metadata[..metadata as usize]);
        bytes[data as usize..][..input.packet.len()].copy_from_slice(input.packet);
        let cell = memory.add(bytes, Region::Packet)?;
        let mut context = vec![0; CONTEXT_SIZE as usize];
        for (offset, value) in [
            (12, input.ingress_ifindex),
            (16, input.rx_queue_index),
            (20, input.egress_ifindex),
        ] {
            context[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        }
        let context = memory.add(context, Region::Context)?;
        memory.set_read_only(context);
        let buffer = Self {
            cell,
            data,
            data_end: data + length,
            data_meta,
            hard_end,
            context,
            mtu: input.mtu,
        };
        buffer.publish(memory);
        Ok(buffer)
    }

    /// Makes the range that the program may access follow the packet.
    fn publish(&self, memory: &mut Memory) {
        memory.set_range(self.cell, self.data_meta, self.data_end);
        memory.set_origin(self.cell, self.data);
    }

    pub(super) fn remove(&self, memory: &mut Memory) {
        memory.remove(self.cell);
        memory.remove(self.context);
    }

    pub(super) fn packet<'m>(&self, memory: &'m Memory) -> &'m [u8] {
        &memory.bytes(self.cell)[self.data as usize..self.data_end as usize]
    }

    pub(super) fn metadata<'m>(&self, memory: &'m Memory) -> &'m [u8] {
        &memory.bytes(self.cell)[self.data_meta as usize..self.data as usize]
    }

    pub(super) fn len(&self) -> u32 {
        self.data_end - self.data
    }

    /// How far the start was moved.
    pub(super) fn moved(&self) -> i64 {
        i64::from(self.data) - i64::from(HEADROOM)
    }

    /// Moves start and end whatever the kernel would say, where the buffer reaches so far; drops the metadata.
    pub(super) fn shift(&mut self, memory: &mut Memory, start: i64, end: i64) -> bool {
        let data = i64::from(self.data) + start;
        let data_end = i64::from(self.data_end) + end;
        if data < 0 || data > data_end || data_end > i64::from(self.hard_end) {
            return false;
        }
        self.data = data as u32;
        self.data_meta = self.data;
        self.data_end = data_end as u32;
        self.publish(memory);
        true
    }

    /// A load from the context: the first three fields read as whole addresses, as after the kernel's
    /// rewriting (`xdp_convert_ctx_access`, net/core/filter.c). Only the other fields are numbers, which may be read with
    /// their sign (`xdp_is_valid_access`, `is_ldsx`).
    pub(super) fn load(
        &self,
        memory: &Memory,
        offset: i64,
        size: Size,
        signed: bool,
    ) -> Result<u64, FaultKind> {
        let bytes = size.bytes();
        let whole = bytes == 4 && offset % 4 == 0 && (0..CONTEXT_SIZE).contains(&offset);
        match offset {
            0 if whole && !signed => Ok(Memory::address(self.cell, self.data)),
            4 if whole && !signed => Ok(Memory::address(self.cell, self.data_end)),
            8 if whole && !signed => Ok(Memory::address(self.cell, self.data_meta)),
            12.. if whole => {
                let address = Memory::address(self.context, offset as u32);
                let value = memory.read_number(address, bytes)?;
                Ok(if signed {
                    sign_extend(value, size, Width::W64)
                } else {
                    value
                })
            }
            _ => Err(FaultKind::Context {
                offset,
                size: u64::from(bytes),
            }),
        }
    }

    /// The address of a part of the packet, for the helpers that copy.
    pub(super) fn slice(&self, offset: u32, len: u32) -> Option<u64> {
        let end = offset.checked_add(len)?;
        (end <= self.len()).then(|| Memory::address(self.cell, self.data + offset))
    }

    /// `bpf_xdp_adjust_head` (net/core/filter.c): moves the packet's start, and the metadata with it.
    pub(super) fn adjust_head(&mut self, memory: &mut Memory, delta: i32) -> Result<(), i64> {
        let metadata = self.data - self.data_meta;
        let data = i64::from(self.data) + i64::from(delta);
        let lowest = i64::from(FRAME_HEADER + metadata);
        if data < lowest || data > i64::from(self.data_end) - i64::from(ETH_HLEN) {
            return Err(EINVAL);
        }
        let data = data as u32;
        let from = self.data_meta as usize..self.data as usize;
        memory
            .bytes_mut(self.cell)
            .copy_within(from, (data - metadata) as usize);
        self.data = data;
        self.data_meta = data - metadata;
        self.publish(memory);
        Ok(())
    }

    /// `bpf_xdp_adjust_meta`: moves the metadata's start.
    pub(super) fn adjust_metadata(&mut self, memory: &mut Memory, delta: i32) -> Result<(), i64> {
        let start = i64::from(self.data_meta) + i64::from(delta);
        if start < i64::from(FRAME_HEADER) || start > i64::from(self.data) {
            return Err(EINVAL);
        }
        let length = self.data - start as u32;
        if !length.is_multiple_of(4) || length > METADATA_MAX {
            return Err(EACCES);
        }
        self.data_meta = start as u32;
        self.publish(memory);
        Ok(())
    }

    /// `bpf_xdp_adjust_tail`: moves the packet's end; what it gains is zero.
    pub(super) fn adjust_tail(&mut self, memory: &mut Memory, delta: i32) -> Result<(), i64> {
        let end = i64::from(self.data_end) + i64::from(delta);
        if end > i64::from(self.hard_end) || end < i64::from(self.data) + i64::from(ETH_HLEN) {
            return Err(EINVAL);
        }
        let end = end as u32;
        if end > self.data_end {
            memory.bytes_mut(self.cell)[self.data_end as usize..end as usize].fill(0);
        }
        self.data_end = end;
        self.publish(memory);
        Ok(())
    }
}
