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
        let mut exchange = Exchange::new(self.port, self.sequence);
        let mut deadline = Instant::now() + TIMEOUT;
        loop {
            let mut progress = false;
            self.receive(operation, Some(deadline), |message| {
                progress |= exchange.take(message, each)?;
                Ok(())
            })?;
            match exchange.end.take() {
                Some(Ack { errno: 0, text }) => {
                    if let Some(malformed) = exchange.malformed {
                        return Err(malformed.of(operation));
                    }
                    return Ok(End {
                        text,
                        interrupted: exchange.interrupted,
                    });
                }
                Some(Ack { errno, text }) => {
                    return Err(Refusal {
                        ext_ack: text,
                        ..Refusal::new(operation, Errno(errno))
                    }
                    .into());
                }
                None if progress => deadline = Instant::now() + TIMEOUT,
                None if Instant::now() >= deadline => {
                    return Err(Error::TimedOut {
                        operation,
                        seconds: TIMEOUT.as_secs(),
                    });
                }
                None => {}
            }
        }
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

/// A request that is being answered.
struct Exchange {
    port: u32,
    sequence: u32,
    interrupted: bool,
    end: Option<Ack>,
    /// What the reader of the answer found wrong. The exchange goes on to its end all the same: the
    /// kernel refuses a second dump on a socket (EBUSY) before the first has been read.
    malformed: Option<Malformed>,
}

/// How an exchange ended, where it ended well.
struct End {
    text: Option<String>,
    /// NLM_F_DUMP_INTR: the list changed while it was being read.
    interrupted: bool,
}

impl Exchange {
    fn new(port: u32, sequence: u32) -> Self {
        Self {
            port,
            sequence,
            interrupted: false,
            end: None,
            malformed: None,
        }
    }

    /// Takes one message that arrived, and hands it to `each` where it is part of the answer. False: it is
    /// of an exchange that was given up, or a notification.
    fn take(
        &mut self,
        message: &Message<'_>,
        each: &mut dyn FnMut(&Message<'_>) -> Parsed<()>,
    ) -> Parsed<bool> {
        if message.port != self.port || message.sequence != self.sequence || self.end.is_some() {
            return Ok(false);
        }
        self.interrupted |= message.flags.contains(NlmF::DUMP_INTR);
        self.end = message.ack()?;
        if self.end.is_none() && self.malformed.is_none() {
            self.malformed = each(message).err();
        }
        Ok(true)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sequence: u32, kind: u16, flags: NlmF) -> Message<'static> {
        Message {
            kind,
            flags,
            sequence,
            port: 9,
            payload: &[0; 4],
        }
    }

    #[test]
    fn answers_to_other_requests_are_left_alone() {
        let mut exchange = Exchange::new(9, 2);
        let mut kinds = Vec::new();
        let other_port = Message {
            port: 8,
            ..message(2, 16, NlmF::empty())
        };
        let arrived = [
            message(1, 16, NlmF::MULTI), // the rest of the dump before
            message(1, 3, NlmF::MULTI),
            message(0, 17, NlmF::empty()), // a notification
            other_port,
            message(2, 18, NlmF::MULTI),
            message(2, 3, NlmF::MULTI),
            message(2, 19, NlmF::MULTI), // nothing comes after the end
        ];
        let ours: Vec<bool> = arrived
            .iter()
            .map(|message| {
                let each = &mut |message: &Message<'_>| {
                    kinds.push(message.kind);
                    Ok(())
                };
                exchange.take(message, each).unwrap()
            })
            .collect();
        assert_eq!(ours, [false, false, false, false, true, true, false]);
        assert_eq!(kinds, [18]);
        assert_eq!(exchange.end, Some(Ack::default()));
        assert!(!exchange.interrupted);
    }

    #[test]
    fn one_interrupted_message_makes_the_dump_interrupted() {
        let mut exchange = Exchange::new(9, 2);
        for message in [
            message(2, 16, NlmF::MULTI | NlmF::DUMP_INTR),
            message(2, 3, NlmF::MULTI),
        ] {
            exchange.take(&message, &mut |_| Ok(())).unwrap();
        }
        assert!(exchange.interrupted);
        assert!(exchange.end.is_some());
    }

    #[test]
    fn a_silent_socket_times_out() {
        let mut socket = Socket::open(NlFamily::Route).unwrap();
        let deadline = Instant::now() + Duration::from_millis(20);
        let received = socket.receive(Operation::Watch, Some(deadline), |_| Ok(()));
        assert_eq!(received, Ok(None));
        assert!(Instant::now() >= deadline);
    }

    #[test]
    fn an_answer_that_cannot_be_read_leaves_the_socket_usable() {
        let mut socket = Socket::open(NlFamily::Route).unwrap();
        let get_link = [0; 16];
        for _ in 0..3 {
            let broken = socket.dump(Operation::GetLink, libc::RTM_GETLINK, &get_link, |_| {
                Err::<Option<()>, _>(Malformed("told by the test".to_owned()))
            });
            assert_eq!(
                broken.unwrap_err().to_string(),
                "read network interfaces: malformed answer: told by the test"
            );
            let kinds = socket
                .dump(
                    Operation::GetLink,
                    libc::RTM_GETLINK,
                    &get_link,
                    |message| Ok(Some(message.kind)),
                )
                .unwrap();
            assert!(!kinds.is_empty());
            assert!(kinds.iter().all(|kind| *kind == libc::RTM_NEWLINK));
        }
    }

    #[test]
    fn the_kernels_words_come_with_the_refusal() {
        let mut socket = Socket::open(NlFamily::Route).unwrap();
        // Strict checking: a dump has no use for a change mask.
        let mut header = [0; 16];
        header[12] = 1;
        let refused = socket.dump(Operation::GetLink, libc::RTM_GETLINK, &header, |_| {
            Ok(Some(()))
        });
        let error = refused.unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EINVAL));
        assert_eq!(
            error.refusal().unwrap().ext_ack.as_deref(),
            Some("Invalid values in header for link dump request")
        );
    }
}
