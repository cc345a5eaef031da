//! rtnetlink: interfaces and what is attached to them.

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use neli::consts::socket::NlFamily;

use super::attr::{Attributes, Malformed, Parsed, Writer};
use super::message::Message;
use super::socket::Socket;
use crate::{Errno, Error, Operation, Refusal, Result};

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

impl OperState {
    fn from_kernel(number: u8) -> Self {
        match number {
            1 => Self::NotPresent,
            2 => Self::Down,
            3 => Self::LowerLayerDown,
            4 => Self::Testing,
            5 => Self::Dormant,
            6 => Self::Up,
            _ => Self::Unknown,
        }
    }
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

/// The attributes in IFLA_XDP (include/uapi/linux/if_link.h).
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_FLAGS: u16 = 3;
const IFLA_XDP_PROG_ID: u16 = 4;
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;
const IFLA_XDP_HW_PROG_ID: u16 = 7;
const IFLA_XDP_EXPECTED_FD: u16 = 8;

/// Values of IFLA_XDP_ATTACHED.
const XDP_ATTACHED_DRV: u8 = 1;
const XDP_ATTACHED_SKB: u8 = 2;
const XDP_ATTACHED_HW: u8 = 3;

/// The attributes in IFLA_INFO_DATA of a bond.
const IFLA_BOND_MODE: u16 = 1;
const IFLA_BOND_XMIT_HASH_POLICY: u16 = 14;

/// The attribute in IFLA_INFO_DATA of a vxlan that names its lower device.
const IFLA_VXLAN_LINK: u16 = 3;

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

/// An RTM_NEWLINK or RTM_DELLINK. `None`: any other message, or one that describes a part of an interface only,
/// as bridge ports and wireless events do.
pub(super) fn parse_message(message: &Message<'_>) -> Parsed<Option<Link>> {
    if !matches!(message.kind, libc::RTM_NEWLINK | libc::RTM_DELLINK) {
        return Ok(None);
    }
    let Some((header, attributes)) = message.payload.split_first_chunk::<16>() else {
        return Err(Malformed("a link without its header".to_owned()));
    };
    if i32::from(header[0]) != libc::AF_UNSPEC {
        return Ok(None);
    }
    let word = |at: usize| {
        u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let mut link = Link {
        ifindex: word(4),
        hardware_type: u16::from_ne_bytes([header[2], header[3]]),
        flags: word(8),
        ..Link::default()
    };
    for attribute in Attributes(attributes) {
        let attribute = attribute?;
        match attribute.kind {
            libc::IFLA_IFNAME => link.name = attribute.text(),
            libc::IFLA_ADDRESS => link.address = attribute.payload.to_vec(),
            libc::IFLA_MTU => link.mtu = attribute.u32()?,
            libc::IFLA_MIN_MTU => link.mtu_range.0 = attribute.u32()?,
            libc::IFLA_MAX_MTU => link.mtu_range.1 = attribute.u32()?,
            libc::IFLA_OPERSTATE => link.operstate = OperState::from_kernel(attribute.u8()?),
            libc::IFLA_CARRIER => link.carrier = attribute.u8()? != 0,
            libc::IFLA_NUM_RX_QUEUES => link.rx_queues = attribute.u32()?,
            libc::IFLA_NUM_TX_QUEUES => link.tx_queues = attribute.u32()?,
            libc::IFLA_MASTER => link.master = nonzero(attribute.u32()?),
            libc::IFLA_LINK => link.lower = nonzero(attribute.u32()?),
            libc::IFLA_LINK_NETNSID => link.lower_netns = Some(attribute.i32()?),
            libc::IFLA_PARENT_DEV_BUS_NAME => link.parent_bus = Some(attribute.text()),
            libc::IFLA_PARENT_DEV_NAME => link.parent_device = Some(attribute.text()),
            libc::IFLA_LINKINFO => parse_info(attribute.nested(), &mut link)?,
            libc::IFLA_XDP => link.xdp = parse_xdp(attribute.nested())?,
            _ => {}
        }
    }
    Ok((!link.name.is_empty()).then_some(link))
}

fn nonzero(number: u32) -> Option<u32> {
    (number != 0).then_some(number)
}

fn parse_info(attributes: Attributes<'_>, link: &mut Link) -> Parsed<()> {
    let mut data = None;
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            libc::IFLA_INFO_KIND => link.kind = Some(attribute.text()),
            libc::IFLA_INFO_SLAVE_KIND => link.slave_kind = Some(attribute.text()),
            libc::IFLA_INFO_DATA => data = Some(attribute.nested()),
            _ => {}
        }
    }
    // What the data mean depends on the kind.
    match (link.kind.as_deref(), data) {
        (Some("bond"), Some(data)) => {
            let mut bond = Bond::default();
            for attribute in data {
                let attribute = attribute?;
                match attribute.kind {
                    IFLA_BOND_MODE => bond.mode = attribute.u8()?,
                    IFLA_BOND_XMIT_HASH_POLICY => bond.xmit_hash_policy = attribute.u8()?,
                    _ => {}
                }
            }
            link.bond = Some(bond);
        }
        // A vxlan names its lower device here, not in IFLA_LINK.
        (Some("vxlan"), Some(data)) => {
            for attribute in data {
                let attribute = attribute?;
                if attribute.kind == IFLA_VXLAN_LINK {
                    link.lower = nonzero(attribute.u32()?);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn parse_xdp(attributes: Attributes<'_>) -> Parsed<AttachedXdp> {
    let mut xdp = AttachedXdp::default();
    let (mut attached, mut only) = (0, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            IFLA_XDP_ATTACHED => attached = attribute.u8()?,
            IFLA_XDP_PROG_ID => only = nonzero(attribute.u32()?),
            IFLA_XDP_DRV_PROG_ID => xdp.native = nonzero(attribute.u32()?),
            IFLA_XDP_SKB_PROG_ID => xdp.generic = nonzero(attribute.u32()?),
            IFLA_XDP_HW_PROG_ID => xdp.offload = nonzero(attribute.u32()?),
            _ => {}
        }
    }
    // Kernels before 4.19 name one program and its mode; later ones do beside the id per mode.
    let slot = match attached {
        XDP_ATTACHED_DRV => &mut xdp.native,
        XDP_ATTACHED_SKB => &mut xdp.generic,
        XDP_ATTACHED_HW => &mut xdp.offload,
        _ => return Ok(xdp),
    };
    *slot = slot.or(only);
    Ok(xdp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::captures::{LINK_VETH_GENERIC, LINK_VIRTIO, bytes, mutated, only};
    use neli::consts::nl::NlmF;
    use proptest::prelude::*;

    fn link(capture: &str) -> Link {
        only(&bytes(capture), parse_message).unwrap().unwrap()
    }

    /// An RTM_NEWLINK of the interface 7 with these attributes.
    fn parsed(family: u8, attributes: Writer) -> Parsed<Option<Link>> {
        let mut payload = interface_header(7).to_vec();
        payload[0] = family;
        payload.extend(attributes.into_bytes());
        parse_message(&Message {
            kind: libc::RTM_NEWLINK,
            flags: NlmF::empty(),
            sequence: 0,
            port: 0,
            payload: &payload,
        })
    }

    fn named() -> Writer {
        Writer::default().put_text(libc::IFLA_IFNAME, "x0")
    }

    #[test]
    fn a_veth_with_a_program() {
        assert_eq!(
            link(LINK_VETH_GENERIC),
            Link {
                ifindex: 2,
                name: "vb".to_owned(),
                hardware_type: 1,
                flags: (libc::IFF_BROADCAST | libc::IFF_MULTICAST) as u32,
                mtu: 1500,
                // A program that knows no fragments lowers the maximum.
                mtu_range: (68, 3506),
                operstate: OperState::Down,
                carrier: false,
                address: vec![0x8a, 0xf5, 0x52, 0xbb, 0x8e, 0xda],
                rx_queues: 2,
                tx_queues: 2,
                kind: Some("veth".to_owned()),
                lower: Some(3),
                xdp: AttachedXdp {
                    generic: Some(715),
                    ..AttachedXdp::default()
                },
                ..Link::default()
            }
        );
    }

    #[test]
    fn a_real_device_has_a_parent_and_no_kind() {
        let link = link(LINK_VIRTIO);
        assert_eq!((link.name.as_str(), link.ifindex), ("eth0", 4));
        assert_eq!(link.parent_bus.as_deref(), Some("virtio"));
        assert_eq!(link.parent_device.as_deref(), Some("virtio2"));
        assert_eq!((link.kind.as_deref(), link.lower), (None, None));
        assert_eq!((link.mtu, link.mtu_range), (1400, (68, 65535)));
        assert!(link.is_up() && link.carrier && link.xdp.is_empty());
        assert_eq!(link.operstate.to_string(), "up");
    }

    #[test]
    fn programs_by_mode() {
        let check = |attributes: &[(u16, u32)], attached: u8, expected: AttachedXdp| {
            let mut xdp = Writer::default();
            for (kind, id) in attributes {
                xdp = xdp.put(*kind, &id.to_ne_bytes());
            }
            // The kernel puts the mode between the ids.
            let xdp = xdp.put(IFLA_XDP_ATTACHED, &[attached]);
            let link = parsed(0, named().put_nested(libc::IFLA_XDP, &xdp));
            assert_eq!(link.unwrap().unwrap().xdp, expected);
        };
        let none = AttachedXdp::default();
        let native = AttachedXdp {
            native: Some(5),
            ..none
        };
        check(&[], 0, none);
        check(
            &[(IFLA_XDP_DRV_PROG_ID, 5), (IFLA_XDP_PROG_ID, 5)],
            1,
            native,
        );
        check(&[(IFLA_XDP_PROG_ID, 5)], 1, native); // before 4.19
        check(
            &[(IFLA_XDP_PROG_ID, 6)],
            2,
            AttachedXdp {
                generic: Some(6),
                ..none
            },
        );
        check(
            &[(IFLA_XDP_PROG_ID, 7)],
            3,
            AttachedXdp {
                offload: Some(7),
                ..none
            },
        );
        // XDP_ATTACHED_MULTI
        check(
            &[(IFLA_XDP_DRV_PROG_ID, 5), (IFLA_XDP_HW_PROG_ID, 7)],
            4,
            AttachedXdp {
                native: Some(5),
                offload: Some(7),
                ..none
            },
        );
        // A mode of the future.
        check(&[(IFLA_XDP_PROG_ID, 5)], 9, none);
    }

    #[test]
    fn a_bond_and_its_slave() {
        let data = Writer::default()
            .put(IFLA_BOND_MODE, &[4])
            .put(IFLA_BOND_XMIT_HASH_POLICY, &[5]);
        let info = Writer::default()
            .put_text(libc::IFLA_INFO_KIND, "bond")
            .put_nested(libc::IFLA_INFO_DATA, &data);
        let bond = parsed(0, named().put_nested(libc::IFLA_LINKINFO, &info));
        assert_eq!(
            bond.unwrap().unwrap().bond,
            Some(Bond {
                mode: 4,
                xmit_hash_policy: 5
            })
        );
        let info = Writer::default().put_text(libc::IFLA_INFO_SLAVE_KIND, "bond");
        let slave = named()
            .put(libc::IFLA_MASTER, &3_u32.to_ne_bytes())
            .put_nested(libc::IFLA_LINKINFO, &info);
        let slave = parsed(0, slave).unwrap().unwrap();
        assert_eq!(slave.slave_kind.as_deref(), Some("bond"));
        assert_eq!(
            (slave.master, slave.kind, slave.bond),
            (Some(3), None, None)
        );
    }

    #[test]
    fn the_peer_in_another_namespace() {
        let peer = named()
            .put(libc::IFLA_LINK, &9_u32.to_ne_bytes())
            .put(libc::IFLA_LINK_NETNSID, &0_i32.to_ne_bytes());
        let link = parsed(0, peer).unwrap().unwrap();
        assert_eq!((link.lower, link.lower_netns), (Some(9), Some(0)));
    }

    #[test]
    fn what_describes_a_part_only_is_no_link() {
        // A bridge tells of its ports so, on the same multicast group.
        assert_eq!(parsed(libc::AF_BRIDGE as u8, named()), Ok(None));
        // IFLA_WIRELESS alone.
        assert_eq!(parsed(0, Writer::default().put(11, &[0; 8])), Ok(None));
    }

    #[test]
    fn values_of_the_wrong_length_are_told() {
        assert_eq!(
            parsed(0, named().put(libc::IFLA_MTU, &[1, 2])),
            Err(Malformed("attribute 4 has 2 bytes instead of 4".to_owned()))
        );
    }

    #[test]
    fn changed_datagrams_do_not_panic() {
        for capture in [LINK_VETH_GENERIC, LINK_VIRTIO] {
            mutated(&bytes(capture), |message| {
                let _ = parse_message(message);
            });
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_message(&Message {
                kind: libc::RTM_NEWLINK,
                flags: NlmF::empty(),
                sequence: 0,
                port: 0,
                payload: &payload,
            });
            let mut link = Link::default();
            let _ = (parse_xdp(Attributes(&payload)), parse_info(Attributes(&payload), &mut link));
        }
    }

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
