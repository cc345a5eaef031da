//! Programs that change packets.

use std::collections::BTreeSet;

use etherparse::{Ethernet2Slice, Ipv4HeaderSlice};

use crate::packets::{CLIENT, CLIENT_MAC, OUR_MAC, OURS, tcp, udp, udp_from, udp_in_vlan};
use crate::{PASS, Sample, TX, number};
use tests::require_root;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPIP: u8 = 4;

#[test]
fn vlan_pop_leaves_the_packet_as_it_was_before_the_tag() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("vlan_pop");
    let popped = sample.run(&udp_in_vlan(5, 9));
    assert_eq!((popped.verdict, popped.data), (PASS, udp(9)));

    let mut provider = udp_in_vlan(5, 9);
    provider[12..14].copy_from_slice(&[0x88, 0xa8]);
    assert_eq!(sample.run(&provider).data, udp(9));

    let untagged = sample.run(&udp(9));
    assert_eq!((untagged.verdict, untagged.data), (PASS, udp(9)));
}

#[test]
fn load_balancer_wraps_a_packet_to_a_backend() {
    if !require_root() {
        return;
    }
    let sample = balancer(4);
    let packet = udp_from(CLIENT, 1234, 53);
    let sent = sample.run(&packet);
    assert_eq!(sent.verdict, TX);

    let ethernet = Ethernet2Slice::from_slice_without_fcs(&sent.data).unwrap();
    assert_eq!(ethernet.source(), OUR_MAC);
    assert_eq!(ethernet.destination()[..5], [2, 0, 0, 0, 1]);
    let outer = Ipv4HeaderSlice::from_slice(&sent.data[ETHERNET..])
        .unwrap()
        .to_header();
    assert_eq!(outer.source, OURS);
    assert_eq!(outer.destination[..3], [10, 0, 0]);
    assert_eq!(outer.destination[3], ethernet.destination()[5]);
    assert_eq!(outer.protocol.0, IPIP);
    assert_eq!(outer.header_checksum, outer.calc_header_checksum());
    assert_eq!(usize::from(outer.total_len), sent.data.len() - ETHERNET);
    assert_eq!(
        sent.data[ETHERNET + IPV4..],
        packet[ETHERNET..],
        "inside is the packet as it came"
    );
    assert_ne!(ethernet.source(), CLIENT_MAC);
}

#[test]
fn load_balancer_keeps_a_flow_and_spreads_flows() {
    if !require_root() {
        return;
    }
    let sample = balancer(4);
    let backend = |port: u16| sample.run(&udp_from(CLIENT, port, 53)).data[ETHERNET + 19];
    let mut used = BTreeSet::new();
    for port in 1000..1100 {
        let chosen = backend(port);
        assert_eq!(backend(port), chosen, "port {port}");
        used.insert(chosen);
    }
    assert_eq!(used, BTreeSet::from([0, 1, 2, 3]));
    let packets: u64 = (0..4)
        .map(|index| number(&sample.value("backends", &u32::to_ne_bytes(index)), 16))
        .sum();
    assert_eq!(packets, 200);
}

#[test]
fn load_balancer_leaves_other_traffic_alone() {
    if !require_root() {
        return;
    }
    let sample = balancer(4);
    for packet in [udp(54), tcp(53)] {
        let result = sample.run(&packet);
        assert_eq!((result.verdict, result.data), (PASS, packet));
    }
    assert_eq!(
        balancer(0).verdict(&udp(53)),
        PASS,
        "a service without backends"
    );
}

/// A load balancer with UDP port 53 of ours as its service; backend N is 10.0.0.N behind MAC address 02:00:00:00:01:N.
fn balancer(backends: u32) -> Sample {
    let sample = Sample::load("load_balancer");
    let service = [&OURS[..], &53_u16.to_be_bytes(), &[17, 0]].concat();
    let range = [0_u32.to_ne_bytes(), backends.to_ne_bytes()].concat();
    sample.set("services", &service, &range);
    for index in 0..backends {
        let last = index as u8;
        let backend = [&[10, 0, 0, last][..], &[2, 0, 0, 0, 1, last], &[0; 22]].concat();
        sample.set("backends", &index.to_ne_bytes(), &backend);
    }
    sample
}
