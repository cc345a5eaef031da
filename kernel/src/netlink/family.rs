//! Generic netlink families, found by name (include/uapi/linux/genetlink.h).

use neli::consts::socket::NlFamily;

use super::attr::{Attributes, Malformed, Parsed, Writer};
use super::message::Message;
use super::socket::Socket;
use crate::{Errno, Operation, Result};

/// GENL_ID_CTRL: the family that knows the others.
const CONTROL: u16 = libc::GENL_ID_CTRL as u16;

/// A generic netlink family, with a socket to talk to it.
pub(crate) struct Family {
    pub(crate) socket: Socket,
    /// The number that this kernel gave it: the type of its messages.
    pub(crate) id: u16,
    /// Its multicast groups by name.
    groups: Vec<(String, u32)>,
}

impl Family {
    /// `None`: this kernel has no such family.
    pub(crate) fn open(name: &str) -> Result<Option<Self>> {
        let mut socket = Socket::open(NlFamily::Generic)?;
        let payload = Writer::after(&command(libc::CTRL_CMD_GETFAMILY as u8))
            .put_text(libc::CTRL_ATTR_FAMILY_NAME as u16, name)
            .into_bytes();
        let mut found = None;
        let asked = socket.request(Operation::ResolveFamily, CONTROL, payload, |message| {
            found = Some(parse_family(body(message)?.1)?);
            Ok(())
        });
        match asked {
            Ok(_) => {
                let (id, groups) = found.ok_or_else(|| {
                    Malformed("an ack without an answer".to_owned()).of(Operation::ResolveFamily)
                })?;
                Ok(Some(Self { socket, id, groups }))
            }
            Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The number of a multicast group.
    pub(crate) fn group(&self, name: &str) -> Option<u32> {
        self.groups
            .iter()
            .find_map(|(group, id)| (group == name).then_some(*id))
    }
}

/// `struct genlmsghdr` for version 1, which all families used here have.
pub(crate) fn command(number: u8) -> [u8; 4] {
    [number, 1, 0, 0]
}

/// The command and the attributes of a generic netlink message.
pub(crate) fn body<'a>(message: &Message<'a>) -> Parsed<(u8, Attributes<'a>)> {
    match message.payload.split_first_chunk::<4>() {
        Some((header, attributes)) => Ok((header[0], Attributes(attributes))),
        None => Err(Malformed("a message without a generic header".to_owned())),
    }
}

fn parse_family(attributes: Attributes<'_>) -> Parsed<(u16, Vec<(String, u32)>)> {
    let mut id = None;
    let mut groups = Vec::new();
    for attribute in attributes {
        let attribute = attribute?;
        match i32::from(attribute.kind) {
            libc::CTRL_ATTR_FAMILY_ID => id = Some(attribute.u16()?),
            libc::CTRL_ATTR_MCAST_GROUPS => {
                for group in attribute.nested() {
                    groups.extend(parse_group(group?.nested())?);
                }
            }
            _ => {}
        }
    }
    match id {
        Some(id) => Ok((id, groups)),
        None => Err(Malformed("a family without a number".to_owned())),
    }
}

fn parse_group(attributes: Attributes<'_>) -> Parsed<Option<(String, u32)>> {
    let (mut name, mut id) = (None, None);
    for attribute in attributes {
        let attribute = attribute?;
        match i32::from(attribute.kind) {
            libc::CTRL_ATTR_MCAST_GRP_NAME => name = Some(attribute.text()),
            libc::CTRL_ATTR_MCAST_GRP_ID => id = Some(attribute.u32()?),
            _ => {}
        }
    }
    Ok(name.zip(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::captures::{NETDEV_FAMILY, bytes, mutated, only};
    use proptest::prelude::*;

    #[test]
    fn a_family_has_a_number_and_groups() {
        let family = bytes(NETDEV_FAMILY);
        let parsed = only(&family, |message| parse_family(body(message).unwrap().1));
        let groups = vec![("mgmt".to_owned(), 4), ("page-pool".to_owned(), 5)];
        assert_eq!(parsed, Ok((20, groups)));
    }

    #[test]
    fn changed_datagrams_do_not_panic() {
        mutated(&bytes(NETDEV_FAMILY), |message| {
            let _ = body(message).and_then(|(_, attributes)| parse_family(attributes));
        });
    }

    #[test]
    fn a_family_that_no_kernel_has_is_none() {
        assert!(Family::open("no-such-family").unwrap().is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_family(Attributes(&bytes));
        }
    }
}
