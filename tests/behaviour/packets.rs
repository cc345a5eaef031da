//! The packets of these tests.

use etherparse::{PacketBuilder, PacketBuilderStep, UdpHeader, VlanId};

pub(crate) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(crate) const CLIENT: [u8; 4] = [192, 0, 2, 7];
pub(crate) const OURS: [u8; 4] = [198, 51, 100, 1];

/// UDP from a client to a port of ours, 16 bytes of payload.
pub(crate) fn udp(port: u16) -> Vec<u8> {
    udp_from(CLIENT, 40_000, port)
}

pub(crate) fn udp_from(source: [u8; 4], source_port: u16, port: u16) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, OUR_MAC)
        .ipv4(source, OURS, 64)
        .udp(source_port, port);
    written(builder)
}

pub(crate) fn udp_with_ttl(ttl: u8) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, OUR_MAC)
        .ipv4(CLIENT, OURS, ttl)
        .udp(40_000, 9);
    written(builder)
}

/// UDP behind one VLAN tag.
pub(crate) fn udp_in_vlan(vlan: u16, port: u16) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, OUR_MAC)
        .single_vlan(VlanId::try_new(vlan).unwrap())
        .ipv4(CLIENT, OURS, 64)
        .udp(40_000, port);
    written(builder)
}

pub(crate) fn tcp(port: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, OUR_MAC)
        .ipv4(CLIENT, OURS, 64)
        .tcp(40_000, port, 1, 1024)
        .write(&mut packet, &[0; 16])
        .unwrap();
    packet
}

pub(crate) fn icmp() -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, OUR_MAC)
        .ipv4(CLIENT, OURS, 64)
        .icmpv4_echo_request(1, 1)
        .write(&mut packet, &[0; 16])
        .unwrap();
    packet
}

/// An Ethernet frame of a protocol that no sample reads, `size` bytes in all.
pub(crate) fn unknown(size: usize) -> Vec<u8> {
    let mut packet = [&OUR_MAC[..], &CLIENT_MAC[..], &[0x88, 0xb5]].concat();
    packet.resize(size, 0);
    packet
}

/// `depth` VLAN tags with nothing known behind them.
pub(crate) fn tags(depth: usize) -> Vec<u8> {
    let mut packet = [&OUR_MAC[..], &CLIENT_MAC[..]].concat();
    for _ in 0..depth {
        packet.extend([0x81, 0x00, 0x00, 0x05]);
    }
    packet.extend([0x88, 0xb5]);
    packet.extend([0; 20]);
    packet
}

fn written(builder: PacketBuilderStep<UdpHeader>) -> Vec<u8> {
    let mut packet = Vec::new();
    builder.write(&mut packet, b"sixteen bytes---").unwrap();
    packet
}
