//! Interfaces by index, frames to send.

use kernel::{Errno, Error, Refusal};
use tests::{FAR_ADDRESS, NEAR_ADDRESS, Netns};

/// The index of an interface in a namespace.
pub(crate) fn ifindex(netns: &Netns, name: &str) -> u32 {
    netns
        .run(&["cat", &format!("/sys/class/net/{name}/ifindex")])
        .trim()
        .parse()
        .unwrap()
}

/// A UDP datagram from a cable's far end to its near end, from the Ethernet header on.
pub(crate) fn udp_frame(port: u16, payload: &[u8]) -> Vec<u8> {
    let udp_len = 8 + payload.len() as u16;
    let mut ip = [0u8; 20];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&(20 + udp_len).to_be_bytes());
    ip[8] = 64;
    ip[9] = 17;
    ip[12..16].copy_from_slice(&FAR_ADDRESS.octets());
    ip[16..20].copy_from_slice(&NEAR_ADDRESS.octets());
    let sum: u32 = ip
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    ip[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());

    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
    frame.extend(ip);
    frame.extend(4000u16.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend(udp_len.to_be_bytes());
    frame.extend([0, 0]); // no checksum
    frame.extend(payload);
    frame
}

/// The kernel's refusal.
#[track_caller]
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result.expect_err("the kernel refuses") {
        Error::Refused(refusal) => *refusal,
        other => panic!("not a refusal: {other}"),
    }
}

/// The errno of a refusal.
#[track_caller]
pub(crate) fn errno<T: std::fmt::Debug>(result: Result<T, Error>) -> Errno {
    refusal(result).errno
}
