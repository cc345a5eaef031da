//! Packets for programs of which nothing is known: of each kind that XDP programs look at, one. Always the same. The
//! checksums of TCP and ICMPv6 are left out: only a receiver would look at them.

use super::files::File;
use super::program::Subject;
use super::{Attempt, Stop};

/// The name of the built-in packets' file.
const FILE: &str = "packets.pcap";

/// The file to make of the built-in packets, where the program has none of its own.
pub(super) fn file(subject: &Subject<'_>) -> Option<File> {
    subject.program.packets.is_none().then(|| File {
        name: FILE.to_owned(),
        bytes: pcap(),
    })
}

/// Where the program's packets are on the host: its own, or those made in a folder.
pub(super) fn path(
    attempt: &mut Attempt<'_>,
    subject: &Subject<'_>,
    folder: &str,
) -> Result<String, Stop> {
    let own = own(attempt, subject)?;
    Ok(own.unwrap_or_else(|| format!("{folder}/{FILE}")))
}

/// Where the program's own packets are on the host, if it has some.
pub(super) fn own(
    attempt: &mut Attempt<'_>,
    subject: &Subject<'_>,
) -> Result<Option<String>, Stop> {
    let own = subject.program.packets.as_ref();
    own.map(|own| attempt.put(&subject.folder.join(own)))
        .transpose()
}

/// Longest frame here, in bytes, without its checksum: an MTU of 1,500.
const MAX_FRAME: usize = 1514;
/// Shortest frame that Ethernet sends, without its checksum; shorter ones would be padded on the way.
const MIN_FRAME: usize = 60;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
const ETHERTYPE_IPV6: u16 = 0x86dd;

const ICMP: u8 = 1;
const IPIP: u8 = 4;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// TCP's flag of a packet that opens a connection (RFC 9293).
const SYN: u8 = 0x02;

/// As a pcap file of Ethernet frames (draft-ietf-opsawg-pcap), a millisecond apart.
fn pcap() -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1_u32] {
        file.extend(word.to_le_bytes());
    }
    for (number, frame) in (0..).zip(frames()) {
        let length = frame.len() as u32;
        for word in [1_700_000_000, number * 1000, length, length] {
            file.extend(u32::to_le_bytes(word));
        }
        file.extend(frame);
    }
    file
}

fn frames() -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    // The corpus's program of all verdicts goes by these ports; one beyond them.
    for port in 7000..=7005 {
        frames.push(ethernet(ETHERTYPE_IPV4, &ipv4(UDP, &udp(port, b"by port"))));
    }
    for port in [53, 80, 443, 4789] {
        frames.push(ethernet(ETHERTYPE_IPV4, &ipv4(UDP, &udp(port, b"hello"))));
    }
    for port in [80, 443, 22] {
        frames.push(ethernet(ETHERTYPE_IPV4, &ipv4(TCP, &tcp(port, SYN))));
    }
    frames.push(ethernet(ETHERTYPE_IPV4, &ipv4(ICMP, &echo(8))));
    // The first fragment, and one further on.
    let long = udp(53, &[0x5a; 64]);
    frames.push(ethernet(ETHERTYPE_IPV4, &ip_with(UDP, 0x2000, &[], &long)));
    let rest = [0x5a; 24];
    frames.push(ethernet(ETHERTYPE_IPV4, &ip_with(UDP, 0x0009, &[], &rest)));
    // Options: no operation, thrice, and their end (RFC 791).
    let options = [1, 1, 1, 0];
    let with_options = ip_with(UDP, 0, &options, &udp(7001, b"options"));
    frames.push(ethernet(ETHERTYPE_IPV4, &with_options));

    for port in [7002, 53] {
        frames.push(ethernet(ETHERTYPE_IPV6, &ipv6(UDP, &udp(port, b"six"))));
    }
    frames.push(ethernet(ETHERTYPE_IPV6, &ipv6(TCP, &tcp(443, SYN))));
    frames.push(ethernet(ETHERTYPE_IPV6, &ipv6(ICMPV6, &echo(128))));
    frames.push(ethernet(ETHERTYPE_ARP, &arp()));

    for port in [7001, 80] {
        let packet = ipv4(UDP, &udp(port, b"one tag"));
        frames.push(ethernet(ETHERTYPE_VLAN, &vlan(7, ETHERTYPE_IPV4, &packet)));
    }
    let packet = ipv4(UDP, &udp(7001, b"two tags"));
    let inner = vlan(7, ETHERTYPE_IPV4, &packet);
    frames.push(ethernet(ETHERTYPE_QINQ, &vlan(9, ETHERTYPE_VLAN, &inner)));

    let inner = ipv4(UDP, &udp(7001, b"inner"));
    frames.push(ethernet(ETHERTYPE_IPV4, &ipv4(IPIP, &inner)));
    // GUE (draft-ietf-intarea-gue): version 0, no options, the inner protocol.
    let gue = [&[0, IPIP, 0, 0][..], &inner].concat();
    frames.push(ethernet(ETHERTYPE_IPV4, &ipv4(UDP, &udp(6080, &gue))));

    // The shortest and the longest frame; a protocol of nobody's (IEEE 802's for experiments).
    frames.push(ethernet(ETHERTYPE_IPV4, &ipv4(UDP, &udp(7002, b""))));
    let payload = vec![0xa5; MAX_FRAME - 14 - 20 - 8];
    frames.push(ethernet(ETHERTYPE_IPV4, &ipv4(UDP, &udp(7002, &payload))));
    frames.push(ethernet(0x88b5, &[0; 46]));
    // Headers that end after the frame: options up to two bytes before it, and a TCP header longer than it.
    let cut = ip_with(UDP, 0, &[1; 24], &[0x1b, 0x59]);
    frames.push(ethernet(ETHERTYPE_IPV4, &cut));
    let mut long_tcp = tcp(80, SYN);
    long_tcp[12] = 15 << 4;
    frames.push(ethernet(ETHERTYPE_IPV4, &ipv4(TCP, &long_tcp)));
    frames
}

/// A frame between two locally administered addresses.
fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame.resize(frame.len().max(MIN_FRAME), 0);
    frame
}

/// What follows the type of a VLAN tag: its number, and what is in it.
fn vlan(id: u16, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&id.to_be_bytes()[..], &ethertype.to_be_bytes(), payload].concat()
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ip_with(protocol, 0, &[], payload)
}

/// IPv4 with its flags and fragment offset, and options of whole words.
fn ip_with(protocol: u8, fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let mut packet = vec![0x40 | (header / 4) as u8, 0];
    packet.extend(((header + payload.len()) as u16).to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend(options);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    for host in [1, 2] {
        // 2001:db8::/32 is for documentation (RFC 3849).
        packet.extend([
            0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host,
        ]);
    }
    packet.extend(payload);
    packet
}

/// UDP without a checksum, which IPv4 allows (RFC 768) and no XDP program can count on.
fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    for word in [40_000, port, 8 + payload.len() as u16, 0] {
        datagram.extend(word.to_be_bytes());
    }
    datagram.extend(payload);
    datagram
}

fn tcp(port: u16, flags: u8) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(40_000_u16.to_be_bytes());
    segment.extend(port.to_be_bytes());
    segment.extend([
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        0,
        5 << 4,
        flags,
        0xff,
        0xff,
        0,
        0,
        0,
        0,
    ]);
    segment
}

/// An echo request of ICMP (type 8) or ICMPv6 (type 128).
fn echo(kind: u8) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 1, 0, 1];
    message.extend(b"0123456789abcdef");
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// Who has 192.0.2.2 (RFC 826)?
fn arp() -> Vec<u8> {
    let mut request = vec![0, 1, 8, 0, 6, 4, 0, 1];
    request.extend([2, 0, 0, 0, 0, 1, 192, 0, 2, 1]);
    request.extend([0, 0, 0, 0, 0, 0, 192, 0, 2, 2]);
    request
}

/// The checksum of IP (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += (u32::from(pair[0]) << 8) | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packets_are_frames_that_a_wire_takes() {
        let frames = frames();
        assert!((28..=40).contains(&frames.len()), "{}", frames.len());
        for frame in &frames {
            assert!((MIN_FRAME..=MAX_FRAME).contains(&frame.len()));
            assert_eq!(frame[0] & 1, 0, "to one station");
        }
        let lengths: Vec<usize> = frames.iter().map(Vec::len).collect();
        assert!(lengths.contains(&MIN_FRAME) && lengths.contains(&MAX_FRAME));
        // Sums to all ones with its checksum in it.
        assert_eq!(checksum(&frames[0][14..34]), 0);
    }

    #[test]
    fn two_tags_are_around_the_packet() {
        let inner = vlan(7, ETHERTYPE_IPV4, b"x");
        let frame = ethernet(ETHERTYPE_QINQ, &vlan(9, ETHERTYPE_VLAN, &inner));
        assert_eq!(frame[12..23], [0x88, 0xa8, 0, 9, 0x81, 0, 0, 7, 8, 0, b'x']);
    }
}
