//! Packets: real ones of every common kind, and short ones; files of them.

use crate::Random;
use etherparse::PacketBuilder;
use std::fs;
use std::path::{Path, PathBuf};

/// An Ethernet, IPv4 and UDP packet to a port.
pub fn udp(port: u16) -> Vec<u8> {
    let mut packet = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    packet.extend([0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0]);
    packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend([3, 232]);
    packet.extend(port.to_be_bytes());
    packet.extend([0, 8, 0, 0]);
    packet
}

/// The pcap file packets.pcap of these packets, in a folder.
pub fn capture(folder: &Path, packets: &[Vec<u8>]) -> PathBuf {
    let header = [0xa1b2_c3d4u32, 4 << 16 | 2, 0, 0, 65535, 1];
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    for packet in packets {
        let length = packet.len() as u32;
        bytes.extend(
            [1, 0, length, length]
                .iter()
                .flat_map(|word| word.to_le_bytes()),
        );
        bytes.extend(packet);
    }
    let path = folder.join("packets.pcap");
    fs::write(&path, bytes).expect("the folder can be written to");
    path
}

/// A packet of at least an Ethernet header.
pub fn packet(random: &mut Random) -> Vec<u8> {
    if random.one_in(12) {
        let length = random.range(14..=63) as usize;
        return random.bytes(length);
    }
    let payload = match random.below(4) {
        0 => random.range(0..=8),
        1 => random.range(1000..=1400),
        _ => random.range(9..=200),
    };
    let payload = random.bytes(payload as usize);
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let vlan = etherparse::VlanId::try_new(random.below(4096) as u16).expect("12 bits");
    let ports = [
        80,
        443,
        53,
        7000 + random.below(5) as u16,
        random.next() as u16,
    ];
    let (from, to) = (*random.pick(&ports), *random.pick(&ports));
    let address = |random: &mut Random| [10, 0, random.below(2) as u8, random.below(8) as u8];
    let long_address = |random: &mut Random| {
        let mut address = [0; 16];
        address[..2].copy_from_slice(&[0xfd, 0]);
        address[15] = random.below(8) as u8;
        address
    };
    let mut out = Vec::new();
    let written = match (random.one_in(5), random.one_in(3)) {
        (true, _) => {
            let ip = ethernet
                .single_vlan(vlan)
                .ipv4(address(random), address(random), 64);
            ip.udp(from, to).write(&mut out, &payload)
        }
        (false, true) => {
            let ip = ethernet.ipv6(long_address(random), long_address(random), 64);
            match random.below(3) {
                0 => ip.udp(from, to).write(&mut out, &payload),
                1 => ip.tcp(from, to, 1, 1000).write(&mut out, &payload),
                _ => ip.icmpv6_echo_request(1, 2).write(&mut out, &payload),
            }
        }
        (false, false) => {
            let ip = ethernet.ipv4(address(random), address(random), 64);
            match random.below(4) {
                0 => ip.udp(from, to).write(&mut out, &payload),
                1 => ip.tcp(from, to, 1, 1000).syn().write(&mut out, &payload),
                2 => ip.tcp(from, to, 1, 1000).ack(7).write(&mut out, &payload),
                _ => ip.icmpv4_echo_request(1, 2).write(&mut out, &payload),
            }
        }
    };
    written.expect("writing to memory");
    out
}
