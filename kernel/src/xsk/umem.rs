//! The memory that packets land in.

use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::error::Errno;

/// Memory shared with the kernel and perhaps with a NIC, which may write there any time: so no
/// reference to it is ever made, only copies are.
#[derive(Debug)]
pub(super) struct Umem {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; nothing here is shared without `&mut`
// or copies from a raw pointer.
unsafe impl Send for Umem {}

impl Umem {
    /// `len` bytes of zeroes.
    pub(super) fn new(len: usize) -> Result<Self, Errno> {
        // SAFETY: a new anonymous mapping, wherever the kernel likes; it touches no memory in use.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::POPULATE,
            )
        }?;
        let start = NonNull::new(start.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Self { start, len })
    }

    /// Where it starts.
    pub(super) fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// Bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// A copy of `length` bytes at `offset`; `None` where they are not all inside.
    pub(super) fn copy(&self, offset: u64, length: u32) -> Option<Vec<u8>> {
        let offset = usize::try_from(offset).ok()?;
        let length = length as usize;
        if offset.checked_add(length)? > self.len {
            return None;
        }
        let mut copy = vec![0; length];
        // SAFETY: source and target have `length` bytes, the source as just checked; the target is
        // fresh, so they do not overlap. The kernel has handed this frame over to us.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.start.as_ptr().add(offset),
                copy.as_mut_ptr(),
                length,
            );
        }
        Some(copy)
    }
}

impl Drop for Umem {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing points into it: only copies left it. The kernel
        // holds the pages themselves as long as the socket lives.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_inside_is_copied() {
        let umem = Umem::new(8192).unwrap();
        assert_eq!(umem.copy(8000, 192), Some(vec![0; 192]));
        assert_eq!(umem.copy(8000, 193), None);
        assert_eq!(umem.copy(u64::MAX, 2), None);
        assert_eq!(umem.copy(8192, 0), Some(Vec::new()));
    }
}
