//! The rings between the kernel and us: one side moves `producer` on, the other `consumer`.

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::net::xdp::XdpRingOffset;

use crate::error::Errno;

/// mmap(2) offset of the receive ring (XDP_PGOFF_RX_RING).
const RECEIVED_OFFSET: u64 = 0;
/// mmap(2) offset of the fill ring (XDP_UMEM_PGOFF_FILL_RING).
const FILL_OFFSET: u64 = 0x1_0000_0000;

/// struct xdp_desc: a packet in the socket's memory.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Descriptor {
    /// Offset from the start of the memory.
    pub(super) address: u64,
    /// Bytes.
    pub(super) length: u32,
    options: u32,
}

/// A mapped ring of a power of two slots.
#[derive(Debug)]
pub(super) struct Ring {
    start: NonNull<u8>,
    len: usize,
    producer: usize,
    consumer: usize,
    slots: usize,
    slot_size: usize,
    mask: u32,
}

// SAFETY: a mapping belongs to the process, not to a thread; moving slots takes `&mut`.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring that the kernel puts received packets into.
    pub(super) fn map_received(
        socket: BorrowedFd<'_>,
        offsets: &XdpRingOffset,
        slots: u32,
    ) -> Result<Self, Errno> {
        Self::map(
            socket,
            RECEIVED_OFFSET,
            offsets,
            slots,
            size_of::<Descriptor>(),
        )
    }

    /// Maps the ring that gives free frames to the kernel.
    pub(super) fn map_fill(
        socket: BorrowedFd<'_>,
        offsets: &XdpRingOffset,
        slots: u32,
    ) -> Result<Self, Errno> {
        Self::map(socket, FILL_OFFSET, offsets, slots, size_of::<u64>())
    }

    fn map(
        socket: BorrowedFd<'_>,
        page_offset: u64,
        offsets: &XdpRingOffset,
        slots: u32,
        slot_size: usize,
    ) -> Result<Self, Errno> {
        debug_assert!(slots.is_power_of_two());
        let slots_start = offsets.desc as usize;
        let len = slots_start + slots as usize * slot_size;
        let producer = offsets.producer as usize;
        let consumer = offsets.consumer as usize;
        // What the accesses below rest on. The kernel's offsets have always been like this.
        let aligned = producer.is_multiple_of(align_of::<AtomicU32>())
            && consumer.is_multiple_of(align_of::<AtomicU32>())
            && slots_start.is_multiple_of(align_of::<Descriptor>());
        if !aligned || producer.max(consumer) + size_of::<u32>() > len {
            return Err(Errno::EPROTO);
        }
        // SAFETY: a new mapping, wherever the kernel likes; it touches no memory in use.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::POPULATE,
                socket,
                page_offset,
            )
        }?;
        Ok(Self {
            start: NonNull::new(start.cast()).ok_or(Errno::ENOMEM)?,
            len,
            producer,
            consumer,
            slots: slots_start,
            slot_size,
            mask: slots - 1,
        })
    }

    fn index(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: `offset` is inside of the mapping and aligned (checked when mapping), and both
        // sides use it only by atomic accesses.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(offset).cast()) }
    }

    fn slot<T>(&self, index: u32) -> *mut T {
        debug_assert_eq!(size_of::<T>(), self.slot_size);
        let offset = self.slots + (index & self.mask) as usize * self.slot_size;
        // SAFETY: the mask keeps the slot inside of the mapping.
        unsafe { self.start.as_ptr().add(offset).cast() }
    }

    /// Takes the oldest descriptor out of the receive ring.
    pub(super) fn take(&mut self) -> Option<Descriptor> {
        let consumer = self.index(self.consumer).load(Ordering::Relaxed);
        // Acquire: the descriptor was written before the producer moved on.
        let producer = self.index(self.producer).load(Ordering::Acquire);
        if producer == consumer {
            return None;
        }
        // SAFETY: the slot is inside of the mapping and aligned; the kernel does not write to it
        // before the consumer moves on, and any bits make a descriptor.
        let descriptor = unsafe { self.slot::<Descriptor>(consumer).read() };
        // Release: the slot is the kernel's again only after it was read.
        self.index(self.consumer)
            .store(consumer.wrapping_add(1), Ordering::Release);
        Some(descriptor)
    }

    /// Puts a free frame into the fill ring. There are as many slots as frames, so there is room.
    pub(super) fn give(&mut self, address: u64) {
        let producer = self.index(self.producer).load(Ordering::Relaxed);
        // SAFETY: the slot is inside of the mapping and aligned; the kernel reads it only once the
        // producer has moved on.
        unsafe { self.slot::<u64>(producer).write(address) };
        // Release: the address is written before the kernel sees it.
        self.index(self.producer)
            .store(producer.wrapping_add(1), Ordering::Release);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing points into it any more.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}
