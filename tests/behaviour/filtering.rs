//! Programs that choose who passes.

use crate::packets::{icmp, tcp, udp, udp_from, unknown};
use crate::{ABORTED, DROP, PASS, REDIRECT, Sample, TX, number};
use tests::require_root;

const UDP: u8 = 17;
const TCP: u8 = 6;
const ICMP: u8 = 1;

/// What ddos_filter lets a source send in a window
const WINDOW: u32 = 10_000;
/// rate_limit's bucket, and the time in which it gets one more token
const BURST: u64 = 1000;
const MICROSECONDS_PER_TOKEN: u64 = 10;

#[test]
fn pass_and_drop() {
    if !require_root() {
        return;
    }
    assert_eq!(Sample::load("pass").verdict(&udp(9)), PASS);
    assert_eq!(Sample::load("drop").verdict(&udp(9)), DROP);
}

#[test]
fn verdicts_follow_the_port() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("verdicts");
    for (port, verdict) in (7000..).zip([ABORTED, DROP, PASS, TX, REDIRECT]) {
        assert_eq!(sample.verdict(&udp(port)), verdict, "port {port}");
        assert_eq!(sample.count("verdicts", verdict), 1, "port {port}");
    }
    let whole = udp(7001);
    let others = [
        udp(6999),
        udp(7005),
        tcp(7001),
        unknown(64),
        whole[..36].to_vec(),
    ];
    for other in others {
        assert_eq!(sample.verdict(&other), PASS);
    }
    let counted: u64 = (0..=REDIRECT)
        .map(|verdict| sample.count("verdicts", verdict))
        .sum();
    assert_eq!(counted, 5, "the others pass uncounted");
}

#[test]
fn several_are_three_programs_with_one_map() {
    if !require_root() {
        return;
    }
    let programs = [("pass_all", PASS), ("drop_all", DROP), ("send_back", TX)];
    for (index, (program, verdict)) in (0..).zip(programs) {
        let sample = Sample::load_program("several", program);
        assert_eq!(sample.verdict(&udp(9)), verdict);
        assert_eq!(sample.count("runs", index), 1);
    }
}

#[test]
fn firewall_takes_the_most_specific_rule() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("firewall");
    let key = |protocol: u8, port: u16| [&port.to_ne_bytes()[..], &[protocol, 0]].concat();
    let rule = |verdict: u32| [&verdict.to_ne_bytes()[..], &[0; 12]].concat();
    for packet in [udp(53), tcp(22), icmp()] {
        assert_eq!(sample.verdict(&packet), PASS, "no rules yet");
    }

    sample.set("rules", &key(UDP, 0), &rule(DROP));
    sample.set("rules", &key(UDP, 53), &rule(PASS));
    sample.set("rules", &key(TCP, 22), &rule(DROP));
    sample.set("rules", &key(ICMP, 0), &rule(DROP));

    assert_eq!(sample.verdict(&udp(53)), PASS);
    assert_eq!(sample.verdict(&udp(54)), DROP);
    assert_eq!(sample.verdict(&udp(55)), DROP);
    assert_eq!(sample.verdict(&tcp(22)), DROP);
    assert_eq!(sample.verdict(&tcp(80)), PASS);
    assert_eq!(sample.verdict(&icmp()), DROP);
    assert_eq!(sample.verdict(&unknown(64)), PASS);
    assert_eq!(number(&sample.value("rules", &key(UDP, 0)), 8), 2);
}

#[test]
fn ddos_filter_drops_blocked_prefixes_and_counts_by_prefix() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("ddos_filter");
    let prefix = |length: u32, address: [u8; 4]| [&length.to_ne_bytes()[..], &address].concat();
    let (wide, narrow) = (prefix(8, [10, 0, 0, 0]), prefix(24, [10, 1, 2, 0]));
    for blocked in [&wide, &narrow] {
        sample.set("blocked", blocked, &[0; 8]);
    }
    assert_eq!(sample.verdict(&udp_from([10, 9, 9, 9], 1, 9)), DROP);
    assert_eq!(sample.verdict(&udp_from([10, 1, 2, 3], 1, 9)), DROP);
    assert_eq!(sample.verdict(&udp_from([11, 1, 2, 3], 1, 9)), PASS);
    assert_eq!(number(&sample.value("blocked", &wide), 0), 1);
    assert_eq!(number(&sample.value("blocked", &narrow), 0), 1);
}

#[test]
fn ddos_filter_limits_each_source_on_its_own() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("ddos_filter");
    let (loud, quiet) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    // Many more than two windows allow, should a second end meanwhile
    sample.repeat(&udp_from(loud, 1, 9), 5 * WINDOW);
    assert_eq!(sample.verdict(&udp_from(quiet, 1, 9)), PASS);
    let dropped = |source: [u8; 4]| number(&sample.value("sources", &source), 16);
    assert!(dropped(loud) > 0);
    assert_eq!(dropped(quiet), 0);
}

#[test]
fn rate_limit_lets_a_burst_through_and_then_the_rate() {
    if !require_root() {
        return;
    }
    let sent: u32 = 100_000;
    let sample = Sample::load("rate_limit");
    assert_eq!(sample.verdict(&udp(9)), PASS);
    let started = std::time::Instant::now();
    sample.repeat(&udp(9), sent);
    let tokens = BURST + started.elapsed().as_micros() as u64 / MICROSECONDS_PER_TOKEN + 1;
    let dropped = sample.count_at("buckets", 0, 16);
    assert!(
        dropped >= u64::from(sent).saturating_sub(tokens),
        "{dropped} dropped, {tokens} tokens"
    );
    assert!(
        dropped < u64::from(sent) + 1 - BURST + 1,
        "the burst passed"
    );
}

#[test]
fn legacy_maps_pass_who_is_allowed() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("legacy_maps");
    sample.set("allowed", &[192, 0, 2, 1], &[1]);
    assert_eq!(sample.verdict(&udp_from([192, 0, 2, 1], 1, 9)), PASS);
    assert_eq!(sample.verdict(&udp_from([192, 0, 2, 2], 1, 9)), DROP);
    assert_eq!(sample.count_of_all_cpus("by_protocol", UDP.into(), 8, 0), 2);
}
