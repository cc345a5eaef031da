//! Packet sockets: whole Ethernet frames out of and into one interface.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::error::{Errno, Operation, Refusal, Result};

/// Frames that one call of [`PacketSocket::send_many`] hands to the kernel at most.
pub const BATCH: usize = 64;
/// No frame is longer: 64 KiB of IP, and link headers.
const LONGEST: usize = (64 << 10) + 64;
/// What waits in a socket to be received, in bytes. The kernel counts its own structures in.
const ROOM: usize = 16 << 20;
/// Where a VLAN tag stands: behind the two addresses.
const VLAN_OFFSET: usize = 12;

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
        Self::with(ifindex, SocketFlags::CLOEXEC)
    }

    fn with(ifindex: u32, flags: SocketFlags) -> Result<Self> {
        // Protocol 0: the socket takes no packets in.
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)
            .map_err(|errno| Refusal::new(Operation::SendPacket, errno.into()))?;
        Ok(Self { socket, ifindex })
    }

    /// Has the interface take in frames for any address, as long as this lives. ENODEV: no such interface.
    pub fn take_any_address(&self) -> Result<()> {
        let membership = libc::packet_mreq {
            mr_ifindex: self.ifindex as i32,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set_option(&self.socket, libc::PACKET_ADD_MEMBERSHIP, &membership)
            .map_err(|errno| Refusal::new(Operation::ReceivePacket, errno).into())
    }

    /// Sends a frame: destination, source, Ethernet type, payload.
    ///
    /// ENXIO: no such interface; ENETDOWN: it is down; EMSGSIZE: longer than the MTU; EINVAL:
    /// shorter than an Ethernet header; ENOBUFS: the queue is full.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let address = address(self.ifindex, 0);
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

    /// Sends several frames, at most the first [`BATCH`], with one system call; how many went out. Errors as for
    /// [`PacketSender::send`], where the first was refused.
    pub fn send_many(&self, frames: &[&[u8]]) -> Result<usize> {
        let mut address = address(self.ifindex, 0);
        let mut parts: Vec<libc::iovec> = frames
            .iter()
            .take(BATCH)
            .map(|frame| libc::iovec {
                iov_base: frame.as_ptr().cast_mut().cast(),
                iov_len: frame.len(),
            })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = parts
            .iter_mut()
            .map(|part| {
                // SAFETY: all zeros is a valid message header, without address and data.
                let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
                message.msg_hdr.msg_name = std::ptr::from_mut(&mut address).cast();
                message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
                message.msg_hdr.msg_iov = part;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        // SAFETY: the headers, the one part of each, the frames and the address live until the call returns; the
        // kernel only reads them, apart from `msg_len`.
        let sent = unsafe {
            libc::sendmmsg(
                self.socket.as_raw_fd(),
                messages.as_mut_ptr(),
                messages.len() as libc::c_uint,
                0,
            )
        };
        usize::try_from(sent).map_err(|_| Refusal::new(Operation::SendPacket, Errno::last()).into())
    }
}

impl AsFd for PacketSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sees every frame that comes into or leaves an interface as the network stack does: behind native and generic XDP
/// programs on the way in, and without those frames that a program sends back or on. It never waits.
#[derive(Debug)]
pub struct PacketSocket {
    sender: PacketSender,
    buffer: Vec<u8>,
}

/// A frame that a [`PacketSocket`] saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// From the Ethernet header on, with the VLAN tag that the kernel took out put back.
    pub bytes: Vec<u8>,
    /// The host itself sent it, by another socket than this one.
    pub outgoing: bool,
    /// Its checksum is still to be computed, by the NIC.
    pub checksum_open: bool,
}

impl PacketSocket {
    /// Opens a socket on an interface of the calling thread's network namespace, and has the interface take frames for any
    /// address as long as it is open. EPERM: needs CAP_NET_RAW; ENODEV: no such interface.
    pub fn open(ifindex: u32) -> Result<Self> {
        let sender = PacketSender::with(ifindex, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        let refused = |errno| Refusal::new(Operation::ReceivePacket, errno);
        sender.take_any_address()?;
        set_option(&sender.socket, libc::PACKET_AUXDATA, &1i32).map_err(refused)?;
        // Without CAP_NET_ADMIN it becomes as much as the host allows.
        if set_socket_recv_buffer_size_force(&sender.socket, ROOM).is_err() {
            let _ = set_socket_recv_buffer_size(&sender.socket, ROOM);
        }
        let address = address(ifindex, (libc::ETH_P_ALL as u16).to_be());
        // SAFETY: `address` is live for the call and has the length given.
        let bound = unsafe {
            libc::bind(
                sender.socket.as_raw_fd(),
                std::ptr::from_ref(&address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if bound < 0 {
            return Err(refused(Errno::last()).into());
        }
        Ok(Self {
            sender,
            buffer: vec![0; LONGEST],
        })
    }

    /// Sends by the same socket, which does not see what it sends itself.
    pub fn sender(&self) -> &PacketSender {
        &self.sender
    }

    /// The next frame, `None` where none waits. What is longer than 64 KiB is cut off.
    ///
    /// That the interface went down is no error: there are no frames until it is up again.
    pub fn receive(&mut self) -> Result<Option<Frame>> {
        let mut from = address(0, 0);
        let mut control = [0u64; 16];
        let mut part = libc::iovec {
            iov_base: self.buffer.as_mut_ptr().cast(),
            iov_len: self.buffer.len(),
        };
        // SAFETY: all zeros is a valid message header, without address and data.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_name = std::ptr::from_mut(&mut from).cast();
        message.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let length = loop {
            // SAFETY: address, part, its buffer and the control buffer live until the call returns and have the lengths
            // given.
            let length =
                unsafe { libc::recvmsg(self.sender.socket.as_raw_fd(), &raw mut message, 0) };
            match (usize::try_from(length), Errno::last()) {
                (Ok(length), _) => break length,
                (_, Errno::EINTR) => {}
                (_, Errno::EAGAIN | Errno::ENETDOWN) => return Ok(None),
                (_, errno) => return Err(Refusal::new(Operation::ReceivePacket, errno).into()),
            }
        };
        let mut frame = Frame {
            bytes: self.buffer[..length].to_vec(),
            outgoing: from.sll_pkttype == libc::PACKET_OUTGOING,
            checksum_open: false,
        };
        if let Some(auxiliary) = auxiliary_data(&message) {
            frame.checksum_open = auxiliary.tp_status & libc::TP_STATUS_CSUMNOTREADY != 0;
            if auxiliary.tp_status & libc::TP_STATUS_VLAN_VALID != 0 && length >= VLAN_OFFSET {
                let [protocol, tci] =
                    [auxiliary.tp_vlan_tpid, auxiliary.tp_vlan_tci].map(u16::to_be_bytes);
                frame
                    .bytes
                    .splice(VLAN_OFFSET..VLAN_OFFSET, protocol.into_iter().chain(tci));
            }
        }
        Ok(Some(frame))
    }

    /// How many frames the socket had no room for since the last call.
    pub fn missed(&self) -> Result<u32> {
        let mut statistics = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes into the live struct of that size.
        let answer = unsafe {
            libc::getsockopt(
                self.sender.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                std::ptr::from_mut(&mut statistics).cast(),
                &raw mut length,
            )
        };
        if answer < 0 {
            return Err(Refusal::new(Operation::ReceivePacket, Errno::last()).into());
        }
        Ok(statistics.tp_drops)
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sender.as_fd()
    }
}

/// Waits until the CPUs have left what they were doing with received frames: an RCU grace period, in which drivers' poll
/// functions and the network stack count as readers. What the kernel does for it later, such as transmitting, may be still
/// to come. Some 10 ms; at once where the kernel offers it not (CPUs without ticks, Linux before 4.3).
pub fn await_receivers() {
    let _ = rustix::thread::membarrier(rustix::thread::MembarrierCommand::Global);
}

/// PACKET_AUXDATA of a received message.
fn auxiliary_data(message: &libc::msghdr) -> Option<libc::tpacket_auxdata> {
    // SAFETY: all zeros is a valid record.
    let mut auxiliary: libc::tpacket_auxdata = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel has filled in the control buffer of `message` and its length, and the macros stay within it. A
    // record of this kind has as many bytes as are copied; nothing promises their alignment.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(record) = header.as_ref() {
            if record.cmsg_level == libc::SOL_PACKET && record.cmsg_type == libc::PACKET_AUXDATA {
                std::ptr::copy_nonoverlapping(
                    libc::CMSG_DATA(record),
                    std::ptr::from_mut(&mut auxiliary).cast(),
                    size_of::<libc::tpacket_auxdata>(),
                );
                return Some(auxiliary);
            }
            header = libc::CMSG_NXTHDR(message, record);
        }
    }
    None
}

fn address(ifindex: u32, protocol: u16) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol,
        sll_ifindex: ifindex as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

fn set_option<T>(
    socket: &OwnedFd,
    option: libc::c_int,
    value: &T,
) -> std::result::Result<(), Errno> {
    // SAFETY: the kernel reads the live value, whose size is given.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if answer < 0 {
        return Err(Errno::last());
    }
    Ok(())
}
