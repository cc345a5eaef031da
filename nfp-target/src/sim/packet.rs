//! A packet in its buffer, the packet vector, and what the thread says at its end.

use super::registers::{Registers, VECTOR};
use super::stop::StopKind;

/// Where packets lie in their buffers: bytes from the buffer's start to the packet's first. Firmware decides; this is
/// where what `adjust_head` of the profile `full` can do unchecked is inside of its limits.
pub const ORIGIN: u32 = 120;
/// Address of the buffer: its low 16 bits are 0.
const BUFFER: u32 = 0x00c4_0000;
/// Room after the packet.
const TAIL_ROOM: usize = 256;
/// Bytes after the packet that a command may read, and nothing may depend on: where a program checks a packet's length
/// step by step, the driver's first load reads what later ones need, too, up to 64 bytes at once
/// (`nfp_bpf_opt_pkt_cache` in jit.c, Linux 6.12).
const OVERREAD: usize = 63;
/// Length in the packet vector's first word (nfp/bpf/fw.h, `NFP_BPF_PVEC` uses in jit.c, Linux 6.12).
const LENGTH: u32 = 0x3fff;
/// Bit of the packet vector's fifth word: a queue was chosen.
const QUEUE_CHOSEN: u32 = 1 << 4;

/// What the firmware does with the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// `XDP_ABORTED`: dropped and counted apart.
    Aborted = 0,
    /// `XDP_DROP`
    Drop = 1,
    /// `XDP_PASS`
    Pass = 2,
    /// `XDP_TX`
    Transmit = 3,
}

impl Verdict {
    /// From A0 at the end: the action in the upper half (`nfp_outro_xdp`, Linux 6.12).
    pub(super) fn from_action(action: u32) -> Result<Verdict, StopKind> {
        match action {
            0x0082_0000 => Ok(Verdict::Aborted),
            0x0022_0000 => Ok(Verdict::Drop),
            0x0011_0000 => Ok(Verdict::Pass),
            0x0044_0000 => Ok(Verdict::Transmit),
            _ => Err(StopKind::Action(action)),
        }
    }
}

/// The buffer.
#[derive(Debug, Clone)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
}

/// Where the packet vector says that the packet is.
struct Place {
    start: usize,
    length: usize,
}

impl Buffer {
    /// Puts a packet into a buffer and describes it in the packet vector.
    pub(super) fn new(packet: &[u8], registers: &mut Registers) -> Result<Buffer, StopKind> {
        let mut bytes = vec![0; ORIGIN as usize];
        bytes.extend_from_slice(packet);
        bytes.resize(bytes.len() + TAIL_ROOM, 0);
        let length = registers.local(VECTOR)?;
        // The other bits of the word are anything.
        *length = *length & !LENGTH | packet.len() as u32 & LENGTH;
        *registers.local(VECTOR + 8)? = BUFFER + ORIGIN;
        *registers.local(VECTOR + 16)? &= !QUEUE_CHOSEN;
        Ok(Buffer { bytes })
    }

    /// Longest packet that the packet vector can describe, in bytes.
    pub(super) const LONGEST: usize = LENGTH as usize;

    fn place(&self, registers: &mut Registers) -> Result<Place, StopKind> {
        let length = *registers.local(VECTOR)? & LENGTH;
        let address = *registers.local(VECTOR + 8)?;
        let start = address.wrapping_sub(BUFFER) as usize;
        let end = start.saturating_add(length as usize);
        if end > self.bytes.len() {
            return Err(StopKind::Vector { length, address });
        }
        Ok(Place {
            start,
            length: length as usize,
        })
    }

    /// Where an access is in the buffer.
    fn locate(
        &self,
        registers: &mut Registers,
        address: u32,
        size: usize,
        write: bool,
    ) -> Result<usize, StopKind> {
        let place = self.place(registers)?;
        let first = i64::from(BUFFER) + place.start as i64;
        let offset = i64::from(address) - first;
        let reach = if write { 0 } else { OVERREAD };
        let fits = usize::try_from(offset)
            .is_ok_and(|offset| offset.saturating_add(size) <= place.length + reach);
        if !fits {
            return Err(StopKind::Packet {
                write,
                offset,
                size,
                length: place.length,
            });
        }
        Ok(place.start + offset as usize)
    }

    /// Reads bytes; what is after the packet is not what the buffer holds.
    pub(super) fn read(
        &self,
        registers: &mut Registers,
        address: u32,
        size: usize,
    ) -> Result<Vec<u8>, StopKind> {
        let at = self.locate(registers, address, size, false)?;
        let place = self.place(registers)?;
        let end = place.start + place.length;
        Ok((at..at + size)
            .map(|at| if at < end { self.bytes[at] } else { 0xa5 })
            .collect())
    }

    /// Writes bytes.
    pub(super) fn write(
        &mut self,
        registers: &mut Registers,
        address: u32,
        bytes: &[u8],
    ) -> Result<(), StopKind> {
        let at = self.locate(registers, address, bytes.len(), true)?;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// The packet as the packet vector describes it.
    pub(super) fn packet(&self, registers: &mut Registers) -> Result<Vec<u8>, StopKind> {
        let place = self.place(registers)?;
        Ok(self.bytes[place.start..place.start + place.length].to_vec())
    }

    /// The receive queue that was chosen.
    pub(super) fn queue(registers: &mut Registers) -> Result<Option<u8>, StopKind> {
        let chosen = *registers.local(VECTOR + 16)? & QUEUE_CHOSEN != 0;
        let queue = *registers.local(VECTOR + 24)? as u8;
        Ok(chosen.then_some(queue))
    }
}
