//! rtnetlink: interfaces and what is attached to them.

pub(super) mod parse;

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use neli::consts::socket::NlFamily;

use super::attr::{Malformed, Writer};
use super::socket::Socket;
use crate::{Errno, Error, Operation, Refusal, Result};
use parse::parse_message;

/// One interface as RTM_NEWLINK describes it (include/uapi/linux/if_link.h).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// Interface index, > 0, unique in its network namespace.
    pub ifindex: u32,
    /// IFLA_IFNAME.
    pub name: String,
    /// ifi_type, ARPHRD_*.
    pub hardware_type: u16,
    /// ifi_flags, IFF_*.
    pub flags: u32,
    /// IFLA_MTU, bytes.
    pub mtu: u32,
    /// IFLA_MIN_MTU and IFLA_MAX_MTU, bytes; 0 stands for "no limit given".
    pub mtu_range: (u32, u32),
    /// IFLA_OPERSTATE, RFC 2863.
    pub operstate: OperState,
    /// IFLA_CARRIER.
    pub carrier: bool,
    /// IFLA_ADDRESS.
    pub address: Vec<u8>,
    /// IFLA_NUM_RX_QUEUES and IFLA_NUM_TX_QUEUES.
    pub rx_queues: u32,
    /// See `rx_queues`.
    pub tx_queues: u32,
    /// IFLA_INFO_KIND: "veth", "bridge", "vlan", ...; none for real devices and loopback.
    pub kind: Option<String>,
    /// IFLA_INFO_SLAVE_KIND: the kind of its master, such as "bond".
    pub slave_kind: Option<String>,
    /// IFLA_MASTER: ifindex of the bond, team or bridge it belongs to.
    pub master: Option<u32>,
    /// IFLA_LINK: the lower device of a vlan or macvlan, the peer of a veth. Also IFLA_VXLAN_LINK.
    pub lower: Option<u32>,
    /// IFLA_LINK_NETNSID: set where `lower` counts in another network namespace.
    pub lower_netns: Option<i32>,
    /// IFLA_PARENT_DEV_BUS_NAME: "pci", "virtio", "usb", ...
    pub parent_bus: Option<String>,
    /// IFLA_PARENT_DEV_NAME: "0000:01:00.0", "virtio0", ...
    pub parent_device: Option<String>,
    /// What a bond says of itself.
    pub bond: Option<Bond>,
    /// IFLA_XDP.
    pub xdp: AttachedXdp,
}

impl Link {
    /// Whether the administrator has set it up (IFF_UP).
    pub fn is_up(&self) -> bool {
        self.flags & libc::IFF_UP as u32 != 0
    }
}

/// IFLA_OPERSTATE (include/uapi/linux/if.h, IF_OPER_*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OperState {
    /// 0, and every value that RFC 2863 does not have.
    #[default]
    Unknown,
    /// 1
    NotPresent,
    /// 2
    Down,
    /// 3
    LowerLayerDown,
    /// 4
    Testing,
    /// 5
    Dormant,
    /// 6
    Up,
}

impl fmt::Display for OperState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::NotPresent => "notpresent",
            Self::Down => "down",
            Self::LowerLayerDown => "lowerlayerdown",
            Self::Testing => "testing",
            Self::Dormant => "dormant",
            Self::Up => "up",
        })
    }
}

/// IFLA_INFO_DATA of a bond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bond {
    /// IFLA_BOND_MODE: 0 balance-rr, 1 active-backup, 2 balance-xor, 3 broadcast, 4 802.3ad,
    /// 5 balance-tlb, 6 balance-alb.
    pub mode: u8,
    /// IFLA_BOND_XMIT_HASH_POLICY: 0 layer2, 1 layer3+4, 2 layer2+3, 3 encap2+3, 4 encap3+4,
    /// 5 vlan+srcmac.
    pub xmit_hash_policy: u8,
}

/// The three places where XDP programs run, in the field's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// On the NIC (XDP_FLAGS_HW_MODE).
    Offload,
    /// In the driver (XDP_FLAGS_DRV_MODE).
    Native,
    /// In the network stack, after the skb was made (XDP_FLAGS_SKB_MODE).
    Generic,
}

impl Mode {
    /// Best first: the ladder's order.
    pub const ALL: [Self; 3] = [Self::Offload, Self::Native, Self::Generic];

    /// The flag that asks for just this mode (include/uapi/linux/if_link.h).
    pub fn flag(self) -> u32 {
        match self {
            Self::Generic => 1 << 1,
            Self::Native => 1 << 2,
            Self::Offload => 1 << 3,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Offload => "offload",
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// The ids of the programs attached in each mode; 0 never occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttachedXdp {
    /// IFLA_XDP_HW_PROG_ID.
    pub offload: Option<u32>,
    /// IFLA_XDP_DRV_PROG_ID.
    pub native: Option<u32>,
    /// IFLA_XDP_SKB_PROG_ID.
    pub generic: Option<u32>,
}

impl AttachedXdp {
    /// The program attached in `mode`.
    pub fn get(&self, mode: Mode) -> Option<u32> {
        match mode {
            Mode::Offload => self.offload,
            Mode::Native => self.native,
            Mode::Generic => self.generic,
        }
    }

    /// What is attached, best mode first.
    pub fn iter(&self) -> impl Iterator<Item = (Mode, u32)> + '_ {
        Mode::ALL
            .into_iter()
            .filter_map(|mode| Some((mode, self.get(mode)?)))
    }

    /// Whether nothing is attached.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// A request to attach, replace or detach an XDP program (RTM_SETLINK with IFLA_XDP).
#[derive(Debug, Clone, Copy)]
pub struct XdpRequest<'a> {
    /// The interface.
    pub ifindex: u32,
    /// The program; `None` detaches.
    pub program: Option<BorrowedFd<'a>>,
    /// The mode. `None` leaves it to the kernel, which takes native if the driver has `ndo_bpf`, else
    /// generic, and never falls back from one to the other. Detaching so is a trap: where the driver
    /// has `ndo_bpf` and the program is in generic mode, it succeeds and changes nothing.
    pub mode: Option<Mode>,
    /// What may be there already.
    pub expected: Expected<'a>,
}

/// What an [`XdpRequest`] allows to be attached in its mode when it is carried out; the kernel checks it atomically.
#[derive(Debug, Clone, Copy)]
pub enum Expected<'a> {
    /// Anything: it is replaced.
    Anything,
    /// Nothing (XDP_FLAGS_UPDATE_IF_NOEXIST). Else EBUSY.
    Nothing,
    /// This very program (XDP_FLAGS_REPLACE, since 5.7). Else EEXIST.
    Program(BorrowedFd<'a>),
}

/// A socket to rtnetlink.
pub struct Route {
    socket: Socket,
}

impl Route {
    /// Opens a socket in the calling thread's network namespace. Needs no privilege.
    pub fn open() -> Result<Self> {
        Ok(Self {
            socket: Socket::open(NlFamily::Route)?,
        })
    }

    /// All interfaces, in the kernel's order.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        self.socket.dump(
            Operation::GetLink,
            libc::RTM_GETLINK,
            &get_link(0).into_bytes(),
            parse_message,
        )
    }

    /// The interface with this name or alternative name; a missing one is `Refused` with ENODEV.
    pub fn link_by_name(&mut self, name: &str) -> Result<Link> {
        // Alternative names are longer (ALTIFNAMSIZ) and have an attribute of their own, since 5.5.
        let attribute = match name.len() {
            1..libc::IFNAMSIZ => libc::IFLA_IFNAME,
            libc::IFNAMSIZ..128 => libc::IFLA_ALT_IFNAME,
            _ => return Err(no_such_link()),
        };
        if name.contains('\0') {
            return Err(no_such_link());
        }
        self.one(get_link(0).put_text(attribute, name))
    }

    /// The interface with this index; a missing one is `Refused` with ENODEV.
    pub fn link_by_index(&mut self, ifindex: u32) -> Result<Link> {
        if ifindex == 0 || i32::try_from(ifindex).is_err() {
            return Err(no_such_link());
        }
        self.one(get_link(ifindex))
    }

    /// The interface with this index in another network namespace, named by its id in ours, as
    /// [`Link::lower_netns`] gives it. Needs CAP_NET_ADMIN there. Since 4.20.
    pub fn link_in_netns(&mut self, netns: i32, ifindex: u32) -> Result<Link> {
        self.one(get_link(ifindex).put(libc::IFLA_TARGET_NETNSID, &netns.to_ne_bytes()))
    }

    /// Attaches, replaces or detaches. `Ok(Some(text))`: it is done, and the kernel said something
    /// about it (vmxnet3 turning LRO off). Needs CAP_NET_ADMIN.
    pub fn set_xdp(&mut self, request: &XdpRequest<'_>) -> Result<Option<String>> {
        let (expected_flag, expected) = match request.expected {
            Expected::Anything => (0, None),
            Expected::Nothing => (XDP_FLAGS_UPDATE_IF_NOEXIST, None),
            Expected::Program(program) => (XDP_FLAGS_REPLACE, Some(program.as_raw_fd())),
        };
        let flags = request.mode.map_or(0, Mode::flag) | expected_flag;
        self.set_xdp_raw(
            request.ifindex,
            request.program.map(|program| program.as_raw_fd()),
            flags,
            expected,
        )
    }

    /// [`Self::set_xdp`] with the kernel's own words: descriptors as numbers and XDP_FLAGS_* bits, nothing
    /// checked. For requests that no [`XdpRequest`] can make.
    pub fn set_xdp_raw(
        &mut self,
        ifindex: u32,
        program: Option<RawFd>,
        flags: u32,
        expected: Option<RawFd>,
    ) -> Result<Option<String>> {
        let operation = match program {
            Some(_) => Operation::AttachXdp,
            None => Operation::DetachXdp,
        };
        let mut xdp = Writer::default()
            .put(IFLA_XDP_FD, &program.unwrap_or(-1).to_ne_bytes())
            .put(IFLA_XDP_FLAGS, &flags.to_ne_bytes());
        if let Some(expected) = expected {
            xdp = xdp.put(IFLA_XDP_EXPECTED_FD, &expected.to_ne_bytes());
        }
        let payload = Writer::after(&interface_header(ifindex)).put_nested(libc::IFLA_XDP, &xdp);
        self.socket
            .request(operation, libc::RTM_SETLINK, payload.into_bytes(), |_| {
                Ok(())
            })
    }

    fn one(&mut self, request: Writer) -> Result<Link> {
        let mut link = None;
        self.socket.request(
            Operation::GetLink,
            libc::RTM_GETLINK,
            request.into_bytes(),
            |message| {
                link = parse_message(message)?;
                Ok(())
            },
        )?;
        link.ok_or_else(|| Malformed("an ack without an answer".to_owned()).of(Operation::GetLink))
    }
}

/// The flags of IFLA_XDP_FLAGS beside those of [`Mode::flag`] (include/uapi/linux/if_link.h).
const XDP_FLAGS_UPDATE_IF_NOEXIST: u32 = 1 << 0;
const XDP_FLAGS_REPLACE: u32 = 1 << 4;

/// The attributes of a request in IFLA_XDP (include/uapi/linux/if_link.h).
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_FLAGS: u16 = 3;
const IFLA_XDP_EXPECTED_FD: u16 = 8;

fn no_such_link() -> Error {
    Refusal::new(Operation::GetLink, Errno::ENODEV).into()
}

/// `struct ifinfomsg` with nothing but the index.
fn interface_header(ifindex: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    header
}

/// The beginning of RTM_GETLINK, without the counters of IPv6: they are half of the answer.
fn get_link(ifindex: u32) -> Writer {
    Writer::after(&interface_header(ifindex)).put(
        libc::IFLA_EXT_MASK,
        &libc::RTEXT_FILTER_SKIP_STATS.to_ne_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lo_is_found_by_name_and_by_index() {
        let mut route = Route::open().unwrap();
        let lo = route.link_by_name("lo").unwrap();
        assert_eq!(route.link_by_index(lo.ifindex).unwrap(), lo);
        assert!(route.links().unwrap().contains(&lo));
    }

    #[test]
    fn a_missing_interface_is_enodev() {
        let mut route = Route::open().unwrap();
        let long = "n".repeat(200);
        for name in [
            "",
            "nosuchif0",
            "an-alternative-name-of-nobody",
            "a\0b",
            &long,
        ] {
            let error = route.link_by_name(name).unwrap_err();
            assert_eq!(error.errno(), Some(Errno::ENODEV), "{name}");
        }
        for ifindex in [0, 0x7fff_ffff, u32::MAX] {
            let error = route.link_by_index(ifindex).unwrap_err();
            assert_eq!(error.errno(), Some(Errno::ENODEV), "{ifindex}");
        }
    }
}
