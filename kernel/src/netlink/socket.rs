//! One netlink socket: requests out, checked answers in.
//!
//! neli opens and configures the socket and writes headers; the receive loop is our own, see
//! the parent module.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use neli::ToBytes;
use neli::consts::nl::NlmF;
use neli::consts::socket::NlFamily;
use neli::nl::{NlPayload, NlmsghdrBuilder};
use neli::socket::NlSocket;
use neli::types::Buffer;
use neli::utils::Groups;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{RecvFlags, SendFlags};

use super::attr::{Malformed, Parsed};
use super::message::{Ack, Message, Messages};
use crate::{Errno, Error, Operation, Refusal, Result};

/// How long an answer may take. The kernel answers while the request is being sent, so only a lost
/// answer comes near.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The kernel packs a dump into datagrams as large as the receive buffer, up to this
/// (net/netlink/af_netlink.c, `netlink_recvmsg`).
const DUMP_BUFFER: usize = 32 * 1024;

/// The largest datagram taken: an interface with 256 virtual functions needs about 100 KiB.
const MAX_DATAGRAM: usize = 4 * 1024 * 1024;

/// How often a dump is repeated that something changed under.
const DUMP_ATTEMPTS: u32 = 8;

/// A netlink socket of the network namespace it was opened in.
pub(crate) struct Socket {
    netlink: NlSocket,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    pub(crate) fn open(family: NlFamily) -> Result<Self> {
        let refused = |error: std::io::Error| Refusal::new(Operation::OpenNetlink, error.into());
        let socket = NlSocket::connect(family, None, Groups::empty()).map_err(refused)?;
        let port = socket.pid().map_err(refused)?;
        // Kernels before 4.12 and 4.20 lack these: their answers are then shorter, not wrong.
        for option in [
            socket.enable_ext_ack(true),
            socket.enable_strict_checking(true),
        ] {
            match option {
                Err(error) if error.raw_os_error() != Some(libc::ENOPROTOOPT) => {
                    return Err(refused(error).into());
                }
                _ => {}
            }
        }
        Ok(Self {
            netlink: socket,
            port,
            sequence: 0,
            buffer: Vec::new(),
        })
    }

    /// Subscribes to a multicast group.
    pub(crate) fn join(&mut self, group: u32) -> Result<()> {
        self.netlink
            .add_mcast_membership(Groups::new_groups(&[group]))
            .map_err(|error| Refusal::new(Operation::Watch, error.into()).into())
    }

    /// The descriptor, for poll(2).
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `netlink` owns the descriptor and closes it when it is dropped, which the borrow of
        // `self` keeps it from being.
        unsafe { BorrowedFd::borrow_raw(self.netlink.as_raw_fd()) }
    }

    /// Sends one request and waits for the ack; `each` sees what is answered before it. The result is
    /// the text that a successful ack carried.
    pub(crate) fn request(
        &mut self,
        operation: Operation,
        kind: u16,
        payload: Vec<u8>,
        mut each: impl FnMut(&Message<'_>) -> Parsed<()>,
    ) -> Result<Option<String>> {
        self.send(operation, kind, NlmF::REQUEST | NlmF::ACK, payload)?;
        Ok(self.answers(operation, &mut each)?.text)
    }

    /// Sends a dump request; `parse` makes one value of each message, or none. A dump that something
    /// changed under is repeated, a few times.
    pub(crate) fn dump<T>(
        &mut self,
        operation: Operation,
        kind: u16,
        payload: &[u8],
        parse: impl Fn(&Message<'_>) -> Parsed<Option<T>>,
    ) -> Result<Vec<T>> {
        let mut attempt = 1;
        loop {
            let mut values = Vec::new();
            self.send(
                operation,
                kind,
                NlmF::REQUEST | NlmF::DUMP,
                payload.to_vec(),
            )?;
            let end = self.answers(operation, &mut |message| {
                values.extend(parse(message)?);
                Ok(())
            })?;
            if !end.interrupted {
                return Ok(values);
            }
            if attempt == DUMP_ATTEMPTS {
                // Every value is the kernel's own; only the set of them is of no single moment.
                tracing::warn!("{operation}: interfaces keep changing, the list may be incomplete");
                return Ok(values);
            }
            attempt += 1;
        }
    }

    /// One datagram's messages to `each`; `None` where none arrived before the deadline, or a signal
    /// came. The sender is the kernel: nobody else's datagrams are looked at.
    pub(crate) fn receive(
        &mut self,
        operation: Operation,
        deadline: Option<Instant>,
        mut each: impl FnMut(&Message<'_>) -> Parsed<()>,
    ) -> Result<Option<()>> {
        if !wait(operation, &[self.fd()], deadline)? {
            return Ok(None);
        }
        let Some(len) = self.receive_datagram(operation)? else {
            return Ok(Some(()));
        };
        for message in Messages(&self.buffer[..len]) {
            message
                .and_then(|message| each(&message))
                .map_err(|malformed| malformed.of(operation))?;
        }
        Ok(Some(()))
    }

    /// Reads messages until the one that ends the exchange.
    fn answers(
        &mut self,
        operation: Operation,
        each: &mut dyn FnMut(&Message<'_>) -> Parsed<()>,
    ) -> Result<End> {
        let (port, sequence) = (self.port, self.sequence);
        let mut interrupted = false;
        let mut end: Option<Ack> = None;
        let mut deadline = Instant::now() + TIMEOUT;
        while end.is_none() {
            let mut progress = false;
            self.receive(operation, Some(deadline), |message| {
                // What is left of an exchange that was given up.
                if message.port != port || message.sequence != sequence || end.is_some() {
                    return Ok(());
                }
                progress = true;
                interrupted |= message.flags.contains(NlmF::DUMP_INTR);
                end = message.ack()?;
                if end.is_none() {
                    each(message)?;
                }
                Ok(())
            })?;
            if progress {
                deadline = Instant::now() + TIMEOUT;
            } else if Instant::now() >= deadline {
                return Err(Error::TimedOut {
                    operation,
                    seconds: TIMEOUT.as_secs(),
                });
            }
        }
        let Ack { errno, text } = end.unwrap_or_default();
        if errno == 0 {
            return Ok(End { text, interrupted });
        }
        Err(Refusal {
            ext_ack: text,
            ..Refusal::new(operation, Errno(errno))
        }
        .into())
    }

    fn send(
        &mut self,
        operation: Operation,
        kind: u16,
        flags: NlmF,
        payload: Vec<u8>,
    ) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1).max(1); // 0 is that of notifications
        let malformed = |detail: String| Malformed(detail).of(operation);
        let message = NlmsghdrBuilder::default()
            .nl_type(kind)
            .nl_flags(flags)
            .nl_seq(self.sequence)
            .nl_pid(self.port)
            .nl_payload(NlPayload::Payload(Buffer::from(payload)))
            .build()
            .map_err(|error| malformed(error.to_string()))?;
        let mut bytes = std::io::Cursor::new(Vec::new());
        message
            .to_bytes(&mut bytes)
            .map_err(|error| malformed(error.to_string()))?;
        rustix::io::retry_on_intr(|| {
            rustix::net::send(self.fd(), bytes.get_ref(), SendFlags::empty())
        })
        .map_err(|errno| Refusal::new(operation, errno.into()))?;
        Ok(())
    }

    /// Reads one datagram into the buffer and gives its length; `None` for what is not the kernel's.
    fn receive_datagram(&mut self, operation: Operation) -> Result<Option<usize>> {
        let refused = |errno: rustix::io::Errno| Refusal::new(operation, errno.into());
        // The length first: a datagram that the buffer does not hold would be cut.
        let peek = RecvFlags::PEEK | RecvFlags::TRUNC | RecvFlags::DONTWAIT;
        let nothing: &mut [u8] = &mut [];
        let len = match rustix::net::recv(self.fd(), nothing, peek) {
            Ok((_, len)) => len,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(None),
            Err(errno) => return Err(refused(errno).into()),
        };
        if len > MAX_DATAGRAM {
            return Err(Malformed(format!("a datagram of {len} bytes")).of(operation));
        }
        if self.buffer.len() < len.max(DUMP_BUFFER) {
            self.buffer.resize(len.max(DUMP_BUFFER), 0);
        }
        // SAFETY: as in `fd`; it is not called because that would borrow the buffer too.
        let fd = unsafe { BorrowedFd::borrow_raw(self.netlink.as_raw_fd()) };
        let (_, len, sender) =
            match rustix::net::recvfrom(fd, self.buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok(received) => received,
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(None),
                Err(errno) => return Err(refused(errno).into()),
            };
        let from_kernel = sender
            .and_then(|sender| SocketAddrNetlink::try_from(sender).ok())
            .is_some_and(|sender| sender.pid() == 0);
        Ok(from_kernel.then_some(len))
    }
}

/// How an exchange ended, where it ended well.
struct End {
    text: Option<String>,
    /// NLM_F_DUMP_INTR: the list changed while it was being read.
    interrupted: bool,
}

impl Malformed {
    /// The error it makes.
    pub(crate) fn of(self, operation: Operation) -> Error {
        Error::Malformed {
            operation,
            detail: self.0,
        }
    }
}

/// Waits until one of `fds` has something to read, or an error to tell. False: the deadline has
/// passed, or a signal came.
pub(crate) fn wait(
    operation: Operation,
    fds: &[BorrowedFd<'_>],
    deadline: Option<Instant>,
) -> Result<bool> {
    let timeout = deadline.map(|deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        }
    });
    let mut polled: Vec<PollFd<'_>> = fds
        .iter()
        .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
        .collect();
    match rustix::event::poll(&mut polled, timeout.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(Refusal::new(operation, errno.into()).into()),
    }
}
