//! `run --engine wire` and `--compare interp,wire`: what becomes of frames is what the interpreter says.

use serde_json::{Value, json};
use tests::packets::udp;
use tests::require_root;

use super::{MODES, Wire, checked, tagged};

#[test]
fn all_five_verdicts_are_told_apart() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("verdicts");
    let packets: Vec<Vec<u8>> = (7000..7005).map(udp).collect();
    for mode in MODES {
        wire.attach("verdicts", mode);
        let seen = wire.run("verdicts", &packets, &["--engine", "wire", "--json"]);
        let report = checked(seen.expect_code(0), "run");
        assert_eq!(report["engines"], json!(["wire"]));
        let verdicts: Vec<&Value> = (0..5).map(|at| &report["packets"][at]["verdict"]).collect();
        assert_eq!(verdicts, [0, 1, 2, 3, 4], "{mode}: {report:#}");
        assert_eq!(report["packets"][2]["length_after"], 60);
        assert_eq!(report["packets"][1]["length_after"], Value::Null);
        let ifindex = wire
            .cable
            .near
            .run(&["cat", "/sys/class/net/near0/ifindex"]);
        let target = format!("interface {}", ifindex.trim());
        assert_eq!(report["packets"][4]["redirect"], target);

        let compared = wire.run("verdicts", &packets, &["--compare", "wire,interp"]);
        let stdout = &compared.expect_code(0).stdout;
        assert!(stdout.contains("wire = interp: 5 packets"), "{stdout}");
        wire.detach();
    }
}

#[test]
fn rewritten_frames_and_counted_packets_are_the_same() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("corpus");
    let mut foreign = udp(80);
    foreign[29] = 77;
    let arp = [&[255; 6][..], &[2, 0, 0, 0, 0, 2, 8, 6], &[0; 46]].concat();
    let packets = vec![
        udp(53),
        udp(54),
        tagged(udp(53)),
        foreign,
        arp,
        udp(53),
        vec![0; 14],
    ];
    for mode in MODES {
        for object in [
            "counter",
            "ddos_filter",
            "edge",
            "firewall",
            "load_balancer",
            "mirror",
            "redirect",
            "vlan_pop",
        ] {
            wire.attach(object, mode);
            if object == "firewall" {
                // What is set after attaching counts for both.
                let rule = r#"{"port": 53, "protocol": 17}"#;
                let set = [
                    "map",
                    "rules",
                    "set",
                    rule,
                    r#"{"verdict": 1, "packets": 5}"#,
                ];
                wire.tool(&set).expect_code(0);
            }
            let compared = wire.run(object, &packets, &["--compare", "interp,wire"]);
            let stdout = &compared.expect_code(0).stdout;
            assert!(
                stdout.contains("interp = wire: 7 packets"),
                "{mode} {object}: {stdout}"
            );
            if object == "firewall" {
                assert!(stdout.contains("XDP_DROP 2, XDP_PASS 5"), "{stdout}");
            }
            wire.detach();
        }
    }
}

#[test]
fn answers_of_the_hosts_own_stack_are_not_taken_for_frames_sent_back() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("answers");
    wire.attach("verdicts", "native");
    // To the near end's address, where nobody listens: each that passes is answered by ICMP.
    let to_host = |port: u16| {
        let mut packet = udp(port);
        packet[26..34].copy_from_slice(&[10, 77, 0, 2, 10, 77, 0, 1]);
        // The sum over the header's other words, as IPv4 wants it.
        let sum: u32 = packet[14..34]
            .chunks(2)
            .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
            .sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        packet[24..26].copy_from_slice(&sum.to_be_bytes());
        packet
    };
    let packets = vec![to_host(7002), to_host(7001), to_host(9), to_host(7001)];
    let compared = wire.run("verdicts", &packets, &["--compare", "interp,wire"]);
    let stdout = &compared.expect_code(0).stdout;
    assert!(stdout.contains("XDP_DROP 2, XDP_PASS 2"), "{stdout}");
    let answered = wire.cable.near.run(&["cat", "/proc/net/snmp"]);
    let answers: Vec<&str> = (answered.lines())
        .filter_map(|line| line.strip_prefix("IcmpMsg: "))
        .collect();
    assert!(
        answers[0].contains("OutType3"),
        "the host answered: {answers:?}"
    );
}
