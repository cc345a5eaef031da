//! AF_XDP sockets, as far as a probe and a steering demo need them: bind to a queue, receive.
//!
//! Layouts and rules: include/uapi/linux/if_xdp.h and Documentation/networking/af_xdp.rst of
//! Linux 6.18.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::xdp::{
    SocketAddrXdp, SocketAddrXdpFlags, XdpOptionsFlags, XdpUmemReg, XdpUmemRegFlags,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use crate::error::{Errno, Operation, Refusal, Result};
use ring::Ring;
use umem::Umem;

mod ring;
mod umem;

/// Frames in the socket's memory, and slots in each ring; a power of two. Few, so that the 256 kB
/// fit into small memory limits.
const FRAMES: u32 = 64;
/// Bytes of a frame: what every driver takes for zero-copy.
const FRAME_SIZE: u32 = 4096;

/// A socket that was just closed holds its queue until the kernel's cleanup ran, so EBUSY is asked
/// again for this long.
const BUSY_PATIENCE: Duration = Duration::from_millis(500);
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// How packets get into the socket's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum XskMode {
    /// The kernel copies them; any interface can.
    Copy,
    /// The NIC writes them there; the driver must know how.
    ZeroCopy,
}

/// Binds a socket to a queue and closes it again. `wanted` `None` takes what there is; the answer is
/// the mode that was got.
///
/// EOPNOTSUPP: the driver has no zero-copy; what else zero-copy is refused with is the driver's
/// choice, such as ENETDOWN on an interface that is down. EINVAL: no such queue. ENODEV: no such
/// interface. EBUSY: another socket has the queue, for half a second of asking. EPERM: needs
/// CAP_NET_RAW. EAFNOSUPPORT: a kernel without AF_XDP. ENOBUFS: over RLIMIT_MEMLOCK, where
/// CAP_IPC_LOCK is missing.
pub fn probe_bind(ifindex: u32, queue: u32, wanted: Option<XskMode>) -> Result<XskMode> {
    XskSocket::bind(ifindex, queue, wanted).map(|socket| socket.mode())
}

/// A socket that receives from one queue, once an XDP program redirects packets to it by an XSKMAP
/// which has its descriptor at the queue's index.
#[derive(Debug)]
pub struct XskSocket {
    // Dropped in this order: the kernel lets go of the memory when rings and socket are gone.
    received: Ring,
    fill: Ring,
    socket: OwnedFd,
    umem: Umem,
    mode: XskMode,
}

impl XskSocket {
    /// Opens a socket and binds it; errors as for [`probe_bind`].
    pub fn bind(ifindex: u32, queue: u32, wanted: Option<XskMode>) -> Result<Self> {
        let give_up = Instant::now() + BUSY_PATIENCE;
        loop {
            match Self::try_bind(ifindex, queue, wanted) {
                Err(Errno::EBUSY) if Instant::now() < give_up => std::thread::sleep(BUSY_PAUSE),
                Err(errno) => return Err(Refusal::new(Operation::BindXsk, errno).into()),
                Ok(socket) => return Ok(socket),
            }
        }
    }

    fn try_bind(
        ifindex: u32,
        queue: u32,
        wanted: Option<XskMode>,
    ) -> std::result::Result<Self, Errno> {
        let socket = socket_with(
            AddressFamily::XDP,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let umem = Umem::new(FRAMES as usize * FRAME_SIZE as usize)?;
        sockopt::set_xdp_umem_reg(
            &socket,
            XdpUmemReg {
                addr: umem.address(),
                len: umem.len() as u64,
                chunk_size: FRAME_SIZE,
                headroom: 0,
                flags: XdpUmemRegFlags::empty(),
                tx_metadata_len: 0,
            },
        )?;
        // The kernel wants a completion ring even where nothing is sent.
        sockopt::set_xdp_umem_fill_ring_size(&socket, FRAMES)?;
        sockopt::set_xdp_umem_completion_ring_size(&socket, FRAMES)?;
        sockopt::set_xdp_rx_ring_size(&socket, FRAMES)?;
        let offsets = sockopt::xdp_mmap_offsets(&socket)?;
        let received = Ring::map_received(socket.as_fd(), &offsets.rx, FRAMES)?;
        let mut fill = Ring::map_fill(socket.as_fd(), &offsets.fr, FRAMES)?;
        // Before the bind: some drivers take their first buffers while binding.
        for frame in 0..FRAMES {
            fill.give(u64::from(frame) * u64::from(FRAME_SIZE));
        }
        let flags = match wanted {
            None => SocketAddrXdpFlags::empty(),
            Some(XskMode::Copy) => SocketAddrXdpFlags::XDP_COPY,
            Some(XskMode::ZeroCopy) => SocketAddrXdpFlags::XDP_ZEROCOPY,
        };
        bind(&socket, &SocketAddrXdp::new(flags, ifindex, queue))?;
        let mode = match (sockopt::xdp_options(&socket), wanted) {
            (Ok(got), _) if got.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY) => {
                XskMode::ZeroCopy
            }
            (Ok(_), _) => XskMode::Copy,
            // Before 5.3 the kernel does not tell, but it gives what was asked for or nothing.
            (Err(rustix::io::Errno::NOPROTOOPT), Some(wanted)) => wanted,
            (Err(errno), _) => return Err(errno.into()),
        };
        Ok(Self {
            received,
            fill,
            socket,
            umem,
            mode,
        })
    }

    /// The mode that was got (XDP_OPTIONS).
    pub fn mode(&self) -> XskMode {
        self.mode
    }

    /// The next packet, waiting for it up to `timeout`; `None` where none came.
    pub fn receive(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>> {
        let started = Instant::now();
        loop {
            if let Some(descriptor) = self.received.take() {
                let packet = self.umem.copy(descriptor.address, descriptor.length);
                // Chunks are aligned: the fill ring takes the address of the chunk.
                self.fill
                    .give(descriptor.address / u64::from(FRAME_SIZE) * u64::from(FRAME_SIZE));
                return packet.map(Some).ok_or_else(|| crate::Error::Malformed {
                    operation: Operation::ReceiveXsk,
                    detail: format!("descriptor outside of the socket's memory: {descriptor:?}"),
                });
            }
            let left = timeout.saturating_sub(started.elapsed());
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut polled = [PollFd::new(&self.socket, PollFlags::IN)];
            match poll(&mut polled, Some(&left)) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(Refusal::new(Operation::ReceiveXsk, errno.into()).into()),
            }
        }
    }
}

impl AsFd for XskSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
