//! Netlink messages in a datagram, and the kernel's acknowledgements with their extended text
//! (include/uapi/linux/netlink.h, net/netlink/af_netlink.c `netlink_ack`).

use neli::consts::nl::{NlmF, Nlmsg};

use super::attr::{Attributes, Malformed, Parsed, aligned};

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;

/// NLMSGERR_ATTR_MSG: the text of the extended ack.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// One message of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// Message type: a control type such as NLMSG_DONE, an RTM_* number, or a generic netlink family's id.
    pub(crate) kind: u16,
    /// NLM_F_* bits.
    pub(crate) flags: NlmF,
    /// The sequence number of the request that it answers; 0 for notifications.
    pub(crate) sequence: u32,
    /// The port of the socket whose request it answers; 0 for most notifications.
    pub(crate) port: u32,
    /// What follows the header.
    pub(crate) payload: &'a [u8],
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ack {
    /// The positive errno; 0 for success.
    pub(crate) errno: i32,
    /// The text of the extended ack, which successes can carry as well as errors.
    pub(crate) text: Option<String>,
}

impl Message<'_> {
    /// Whether the message ends an exchange: NLMSG_ERROR (an ack too) or NLMSG_DONE.
    pub(crate) fn ack(&self) -> Parsed<Option<Ack>> {
        let attributes = if self.kind == u16::from(Nlmsg::Error) {
            // The errno and the request's header; after an error the request's payload as well, unless
            // the kernel says that it left it out.
            let request = self.payload.get(4..).unwrap_or_default();
            let len = match request.split_first_chunk::<4>() {
                Some((len, _)) if !self.flags.contains(NlmF::CAPPED) => {
                    usize::try_from(u32::from_ne_bytes(*len)).unwrap_or(usize::MAX)
                }
                _ => HEADER,
            };
            request.get(aligned(len)..)
        } else if self.kind == u16::from(Nlmsg::Done) {
            self.payload.get(4..)
        } else {
            return Ok(None);
        };
        let errno = match self.payload.split_first_chunk::<4>() {
            Some((code, _)) => i32::from_ne_bytes(*code).checked_neg(),
            // A dump's end without a code: old kernels, successful.
            None if self.kind == u16::from(Nlmsg::Done) => Some(0),
            None => None,
        };
        // DONE may carry a positive count in place of an error.
        let errno = match errno {
            Some(errno) if errno >= 0 => errno,
            Some(_) if self.kind == u16::from(Nlmsg::Done) => 0,
            _ => return Err(Malformed("an acknowledgement without an errno".to_owned())),
        };
        let mut text = None;
        if self.flags.contains(NlmF::ACK_TLVS) {
            for attribute in Attributes(attributes.unwrap_or_default()) {
                let attribute = attribute?;
                if attribute.kind == NLMSGERR_ATTR_MSG {
                    text = Some(attribute.text());
                }
            }
        }
        Ok(Some(Ack { errno, text }))
    }
}

/// Reads the messages of one datagram; ends after the first broken one.
#[derive(Debug, Clone)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Parsed<Message<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let datagram = std::mem::take(&mut self.0);
        let Some((header, _)) = datagram.split_first_chunk::<HEADER>() else {
            return Some(Err(Malformed(format!(
                "{} bytes where a message header has {HEADER}",
                datagram.len()
            ))));
        };
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let len = usize::try_from(word(0)).unwrap_or(usize::MAX);
        let Some(payload) = datagram.get(HEADER..len) else {
            return Some(Err(Malformed(format!(
                "a message says it has {len} bytes where {} are left",
                datagram.len()
            ))));
        };
        self.0 = datagram.get(aligned(len)..).unwrap_or_default();
        Some(Ok(Message {
            kind: half(4),
            flags: NlmF::from(half(6)),
            sequence: word(8),
            port: word(12),
            payload,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attr::Writer;
    use crate::netlink::captures::{
        NETDEV_DUMP, REFUSED_WITH_TEXT, REFUSED_WITHOUT_TEXT, bytes, mutated,
    };
    use proptest::prelude::*;

    fn ack(bytes: &[u8]) -> Parsed<Option<Ack>> {
        Messages(bytes).next().unwrap().unwrap().ack()
    }

    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + payload.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&[1, 0, 0, 0, 2, 0, 0, 0]);
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn a_refusal_keeps_its_text() {
        let refused = ack(&bytes(REFUSED_WITH_TEXT)).unwrap().unwrap();
        assert_eq!(refused.errno, libc::EOPNOTSUPP);
        assert_eq!(
            refused.text.as_deref(),
            Some("Underlying driver does not support XDP in native mode")
        );
        let refused = ack(&bytes(REFUSED_WITHOUT_TEXT)).unwrap().unwrap();
        assert_eq!((refused.errno, refused.text), (libc::ENODEV, None));
    }

    #[test]
    fn a_success_keeps_its_warning() {
        // netlink_ack(): a success has only the header of the request, and says so (NLM_F_CAPPED).
        let warning = Writer::default()
            .put_text(NLMSGERR_ATTR_MSG, "vmxnet3: LRO is not supported with XDP")
            .into_bytes();
        let mut payload = vec![0; 4];
        payload.extend_from_slice(&message(19, 5, &[0; 36])[..HEADER]);
        payload.extend_from_slice(&warning);
        let success = ack(&message(2, 0x300, &payload)).unwrap().unwrap();
        assert_eq!(success.errno, 0);
        assert_eq!(
            success.text.as_deref(),
            Some("vmxnet3: LRO is not supported with XDP")
        );
    }

    #[test]
    fn a_dump_can_end_with_a_text() {
        let mut payload = (-22_i32).to_ne_bytes().to_vec();
        payload.extend(Writer::default().put_text(1, "no such thing").into_bytes());
        let end = ack(&message(3, 0x202, &payload)).unwrap().unwrap();
        assert_eq!(
            (end.errno, end.text.as_deref()),
            (22, Some("no such thing"))
        );
    }

    #[test]
    fn dumps_without_the_multi_flag_are_read_to_their_end() {
        let dump = bytes(NETDEV_DUMP);
        let messages: Vec<_> = Messages(&dump).map(Result::unwrap).collect();
        assert_eq!(messages.len(), 5);
        assert!(
            messages[..4]
                .iter()
                .all(|message| message.flags.is_empty() && message.ack() == Ok(None))
        );
        assert_eq!(messages[4].ack(), Ok(Some(Ack::default())));
    }

    #[test]
    fn changed_datagrams_do_not_panic() {
        for capture in [REFUSED_WITH_TEXT, NETDEV_DUMP] {
            mutated(&bytes(capture), |message| {
                let _ = message.ack();
            });
        }
    }

    #[test]
    fn the_ends_of_dumps() {
        let done = |payload: &[u8]| ack(&message(3, 2, payload)).unwrap().unwrap().errno;
        assert_eq!(done(&0_i32.to_ne_bytes()), 0);
        assert_eq!(done(&(-95_i32).to_ne_bytes()), 95);
        assert_eq!(done(&20_i32.to_ne_bytes()), 0, "a count");
        assert_eq!(done(&[]), 0, "no code");
        let data = message(16, 2, &[]);
        assert_eq!(ack(&data), Ok(None), "not an end");
    }

    #[test]
    fn impossible_acknowledgements_are_told() {
        assert!(ack(&message(2, 0, &[])).is_err());
        assert!(ack(&message(2, 0, &i32::MIN.to_ne_bytes())).is_err());
        assert!(ack(&message(2, 0, &7_i32.to_ne_bytes())).is_err());
        assert!(ack(&message(3, 0, &i32::MIN.to_ne_bytes())).is_err());
    }

    #[test]
    fn broken_lengths_end_the_reading() {
        let good = message(16, 0, &[1, 2, 3, 4]);
        let mut both = good.clone();
        both.extend_from_slice(&good[..10]);
        let read: Vec<_> = Messages(&both).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].as_ref().unwrap().payload, [1, 2, 3, 4]);
        assert_eq!(
            read[1],
            Err(Malformed(
                "10 bytes where a message header has 16".to_owned()
            ))
        );
        let mut zero = good;
        zero[0] = 0;
        let read: Vec<_> = Messages(&zero).collect();
        assert_eq!(
            read,
            [Err(Malformed(
                "a message says it has 0 bytes where 20 are left".to_owned()
            ))]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_hang(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let read: Vec<_> = Messages(&bytes).collect();
            prop_assert!(read.len() <= bytes.len() / HEADER + 1);
            for message in read.into_iter().flatten() {
                let _ = message.ack();
            }
        }

        #[test]
        fn no_ack_panics(flags: u16, done: bool, payload in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = ack(&message(if done { 3 } else { 2 }, flags, &payload));
        }
    }
}
