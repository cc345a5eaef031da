//! Programs that look and count.

use crate::packets::{icmp, tags, tcp, udp, udp_from, udp_with_ttl, unknown};
use crate::{DROP, PASS, Sample};
use tests::require_root;

/// struct traffic: packets, then bytes
const TRAFFIC: usize = 16;

#[test]
fn counter_counts_packets_and_bytes_by_kind() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("counter");
    let packet = udp(9);
    assert_eq!(sample.repeat(&packet, 3).verdict, PASS);
    assert_eq!(sample.verdict(&unknown(100)), PASS);

    assert_eq!(sample.count_of_all_cpus("traffic", 0, TRAFFIC, 0), 3);
    assert_eq!(
        sample.count_of_all_cpus("traffic", 0, TRAFFIC, 8),
        3 * packet.len() as u64
    );
    assert_eq!(sample.count_of_all_cpus("traffic", 1, TRAFFIC, 0), 1);
    assert_eq!(sample.count_of_all_cpus("traffic", 1, TRAFFIC, 8), 100);
}

#[test]
fn subprograms_count_by_ttl_and_drop_the_dying() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("subprograms");
    assert_eq!(sample.verdict(&udp_with_ttl(64)), PASS);
    assert_eq!(sample.verdict(&udp_with_ttl(3)), DROP);
    assert_eq!(sample.verdict(&unknown(60)), PASS);
    assert_eq!(sample.count("by_ttl", 64 >> 2), 1);
    assert_eq!(sample.count("by_ttl", 0), 1);
}

#[test]
fn bounded_loop_walks_eight_tags_at_most() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("bounded_loop");
    for depth in 0..=7 {
        assert_eq!(sample.verdict(&tags(depth)), PASS, "{depth} tags");
    }
    assert_eq!(sample.verdict(&tags(8)), DROP);
    assert_eq!(sample.verdict(&tags(20)), DROP);
    for depth in 0..=7 {
        assert_eq!(sample.count("by_depth", depth), 1, "{depth} tags");
    }
    assert_eq!(sample.count("by_depth", 8), 2);
}

#[test]
fn bounded_loop_drops_a_tag_that_is_cut_off() {
    if !require_root() {
        return;
    }
    let packet = tags(4);
    assert_eq!(Sample::load("bounded_loop").verdict(&packet[..22]), DROP);
}

#[test]
fn frags_sees_the_whole_length() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("frags");
    assert_eq!(sample.verdict(&unknown(9000)), PASS);
    assert_eq!(sample.verdict(&unknown(100)), PASS);
    assert_eq!(sample.count("by_length", 9000 / 1024), 1);
    assert_eq!(sample.count("by_length", 0), 1);
}

#[test]
fn map_in_map_counts_in_the_queues_own_map() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("map_in_map");
    sample.repeat(&udp(53), 2);
    sample.verdict(&tcp(80));
    sample.verdict(&icmp());

    let port = |port: u16| sample.map("queue_0").lookup(&port.to_ne_bytes()).unwrap();
    assert_eq!(port(53), Some(2_u64.to_ne_bytes().to_vec()));
    assert_eq!(port(80), Some(1_u64.to_ne_bytes().to_vec()));
    assert_eq!(sample.map("queue_0").entries().count(), 2);
}

#[test]
fn events_reports_a_flow_once() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("events");
    sample.repeat(&udp_from([10, 0, 0, 1], 1000, 53), 5);
    sample.repeat(&udp_from([10, 0, 0, 2], 1000, 53), 5);
    assert_eq!(sample.map("flows").entries().count(), 2);
}

#[test]
fn mirror_passes_without_a_reader() {
    if !require_root() {
        return;
    }
    assert_eq!(Sample::load("mirror").verdict(&udp(9)), PASS);
}
