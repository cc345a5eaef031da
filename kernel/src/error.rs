//! What can go wrong when the kernel is asked, with everything it said.

use std::fmt;

/// The result of every request to the kernel.
pub type Result<T> = std::result::Result<T, Error>;

/// A request to the kernel that did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The kernel answered with an errno.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The kernel's answer is not what its protocol promises.
    #[error("{operation}: malformed answer: {detail}")]
    Malformed {
        /// What was asked.
        operation: Operation,
        /// What is wrong with the answer.
        detail: String,
    },
    /// No answer arrived in time.
    #[error("{operation}: no answer within {seconds} s")]
    TimedOut {
        /// What was asked.
        operation: Operation,
        /// How long was waited.
        seconds: u64,
    },
}

impl Error {
    /// The kernel's refusal, where it was one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Malformed { .. } | Self::TimedOut { .. } => None,
        }
    }

    /// The errno, where the kernel gave one.
    pub fn errno(&self) -> Option<Errno> {
        self.refusal().map(|refusal| refusal.errno)
    }
}

/// The kernel said no: the errno and all the text that came with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {errno}{}", match ext_ack { Some(text) => format!(": {text}"), None => String::new() })]
pub struct Refusal {
    /// What was asked.
    pub operation: Operation,
    /// The kernel's errno.
    pub errno: Errno,
    /// The text of the netlink extended ack; many refusals carry none.
    pub ext_ack: Option<String>,
    /// The whole verifier log of a program load.
    pub verifier_log: Option<String>,
    /// What the kernel printed into its log about it. Empty unless the caller followed the log ([`crate::kmsg`]).
    pub kernel_log: Vec<String>,
}

impl Refusal {
    /// A refusal that came without any text.
    pub fn new(operation: Operation, errno: Errno) -> Self {
        Self {
            operation,
            errno,
            ext_ack: None,
            verifier_log: None,
            kernel_log: Vec::new(),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// The requests that this crate makes, named for messages. `Display` gives a verb phrase such as
/// "attach XDP program".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening or configuring a netlink socket.
    OpenNetlink,
    /// RTM_GETLINK, one or all.
    GetLink,
    /// RTM_SETLINK with IFLA_XDP and a program.
    AttachXdp,
    /// RTM_SETLINK with IFLA_XDP and fd -1.
    DetachXdp,
    /// CTRL_CMD_GETFAMILY.
    ResolveFamily,
    /// NETDEV_CMD_DEV_GET.
    GetNetdev,
    /// ETHTOOL_MSG_*_GET or an ethtool ioctl.
    GetEthtool,
    /// ETHTOOL_MSG_FEATURES_SET.
    SetEthtool,
    /// Reading multicast notifications.
    Watch,
    /// BPF_MAP_CREATE.
    CreateMap,
    /// BPF_MAP_LOOKUP_ELEM, GET_NEXT_KEY.
    ReadMap,
    /// BPF_MAP_UPDATE_ELEM.
    UpdateMap,
    /// BPF_MAP_DELETE_ELEM.
    DeleteFromMap,
    /// BPF_MAP_FREEZE.
    FreezeMap,
    /// BPF_BTF_LOAD.
    LoadBtf,
    /// BPF_PROG_LOAD.
    LoadProgram,
    /// BPF_PROG_TEST_RUN.
    TestRun,
    /// BPF_ENABLE_STATS.
    EnableStatistics,
    /// BPF_OBJ_GET_INFO_BY_FD.
    GetInfo,
    /// BPF_{PROG,MAP,BTF,LINK}_GET_FD_BY_ID and GET_NEXT_ID.
    GetById,
    /// BPF_LINK_CREATE.
    CreateLink,
    /// BPF_LINK_UPDATE.
    UpdateLink,
    /// BPF_LINK_DETACH.
    DetachLink,
    /// BPF_OBJ_PIN.
    Pin,
    /// BPF_OBJ_GET.
    OpenPinned,
    /// Creating, configuring or binding an AF_XDP socket.
    BindXsk,
    /// Waiting for a packet on an AF_XDP socket.
    ReceiveXsk,
    /// Opening a packet socket, or sending by one.
    SendPacket,
    /// Receiving from a packet socket.
    ReceivePacket,
    /// Mounting or using tracefs.
    Trace,
    /// setns(2) or opening a network namespace.
    EnterNetns,
    /// Reading a file of /proc or /sys.
    ReadSystem,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenNetlink => "open netlink socket",
            Self::GetLink => "read network interfaces",
            Self::AttachXdp => "attach XDP program",
            Self::DetachXdp => "detach XDP program",
            Self::ResolveFamily => "find netlink family",
            Self::GetNetdev => "read netdev features",
            Self::GetEthtool => "read ethtool settings",
            Self::SetEthtool => "change ethtool settings",
            Self::Watch => "watch network events",
            Self::CreateMap => "create map",
            Self::ReadMap => "read map",
            Self::UpdateMap => "update map",
            Self::DeleteFromMap => "delete from map",
            Self::FreezeMap => "freeze map",
            Self::LoadBtf => "load BTF",
            Self::LoadProgram => "load program",
            Self::TestRun => "test-run program",
            Self::EnableStatistics => "count program runs",
            Self::GetInfo => "read object info",
            Self::GetById => "open object by id",
            Self::CreateLink => "create XDP link",
            Self::UpdateLink => "update XDP link",
            Self::DetachLink => "detach XDP link",
            Self::Pin => "pin object",
            Self::OpenPinned => "open pinned object",
            Self::BindXsk => "bind AF_XDP socket",
            Self::ReceiveXsk => "receive from AF_XDP socket",
            Self::SendPacket => "send packet",
            Self::ReceivePacket => "receive packet",
            Self::Trace => "trace XDP events",
            Self::EnterNetns => "enter network namespace",
            Self::ReadSystem => "read system file",
        })
    }
}

/// A positive errno value. `Display` gives "Invalid argument (EINVAL)".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub i32);

macro_rules! errno_names {
    ($($name:ident)*) => {
        impl Errno {
            $(#[doc = concat!("`", stringify!($name), "`, errno(3).")]
            pub const $name: Self = Self(libc::$name);)*

            /// The symbolic name, such as "EINVAL"; numbers without one give `None`.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    Self::ENOTSUPP => Some("ENOTSUPP"),
                    _ => None,
                }
            }
        }
    };
}

errno_names! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG EBADF EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST EXDEV
    ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY EFBIG ENOSPC ESPIPE EROFS EPIPE EDOM ERANGE
    EDEADLK ENAMETOOLONG ENOSYS ENOTEMPTY ELOOP ENOMSG ENODATA EPROTO EBADMSG EOVERFLOW ENOTUNIQ
    EILSEQ EUSERS ENOTSOCK EMSGSIZE EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EAFNOSUPPORT
    EADDRINUSE ENETDOWN ENETUNREACH ENOBUFS EISCONN ENOTCONN ETIMEDOUT ECONNREFUSED EALREADY
    EINPROGRESS ESTALE EDQUOT ECANCELED ENOLINK EKEYREJECTED EBADRQC
}

impl Errno {
    /// 524, the kernel's internal "operation is not supported"; bpf(2) lets it through to user space.
    pub const ENOTSUPP: Self = Self(524);

    /// The errno of the last failed libc call on this thread.
    pub fn last() -> Self {
        std::io::Error::last_os_error().into()
    }

    /// Whether this says "you may not": EPERM or EACCES.
    pub fn is_permission(self) -> bool {
        matches!(self, Self::EPERM | Self::EACCES)
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Self {
        Self(errno.raw_os_error())
    }
}

impl From<std::io::Error> for Errno {
    /// Errors that the standard library made up itself, such as for bytes that are not UTF-8, become EIO.
    fn from(error: std::io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ENOTSUPP {
            return f.write_str("Operation not supported by the kernel (ENOTSUPP)");
        }
        let text = std::io::Error::from_raw_os_error(self.0).to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        match self.name() {
            Some(name) => write!(f, "{text} ({name})"),
            None => write!(f, "{text} (errno {})", self.0),
        }
    }
}
