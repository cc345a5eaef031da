//! Packet sockets, as far as sending a frame out of an interface goes.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::error::{Errno, Operation, Refusal, Result};

/// Sends whole Ethernet frames out of one interface.
#[derive(Debug)]
pub struct PacketSender {
    socket: OwnedFd,
    ifindex: u32,
}

impl PacketSender {
    /// Opens a packet socket, which receives nothing. EPERM: needs CAP_NET_RAW. Whether there is
    /// such an interface shows when sending.
    pub fn open(ifindex: u32) -> Result<Self> {
        // Protocol 0: the socket takes no packets in.
        let socket = socket_with(
            AddressFamily::PACKET,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|errno| Refusal::new(Operation::SendPacket, errno.into()))?;
        Ok(Self { socket, ifindex })
    }

    /// Sends a frame: destination, source, Ethernet type, payload.
    ///
    /// ENXIO: no such interface; ENETDOWN: it is down; EMSGSIZE: longer than the MTU; EINVAL:
    /// shorter than an Ethernet header; ENOBUFS: the queue is full.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: 0,
            sll_ifindex: self.ifindex as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: `frame` and `address` are live for the call and have the lengths given.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                std::ptr::from_ref(&address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        match usize::try_from(sent) {
            // A packet socket takes a frame whole or not at all.
            Ok(_) => Ok(()),
            Err(_) => Err(Refusal::new(Operation::SendPacket, Errno::last()).into()),
        }
    }
}

impl AsFd for PacketSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
