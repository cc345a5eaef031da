//! `run --engine wire` and `--compare interp,wire`: what becomes of frames is what the interpreter says.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kernel::netlink::Route;
use kernel::packet::PacketSender;
use serde_json::{Value, json};
use tests::packets::udp;
use tests::{Output, require_root};

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

#[test]
fn frames_that_others_send_meanwhile_are_told_apart() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("others");
    wire.attach("verdicts", "native");
    let done = AtomicBool::new(false);
    let compared = std::thread::scope(|scope| {
        scope.spawn(|| {
            wire.cable.far.inside(|| {
                let link = Route::open().unwrap().link_by_name("far0").unwrap();
                let sender = PacketSender::open(link.ifindex).unwrap();
                while !done.load(Ordering::Relaxed) {
                    // It passes, and is counted.
                    sender.send(&[udp(7002), vec![7; 40]].concat()).unwrap();
                    std::thread::sleep(Duration::from_millis(3));
                }
            });
        });
        let packets = [udp(7001), udp(7002), udp(7001), udp(7000)];
        let compared = wire.run("verdicts", &packets, &["--compare", "interp,wire"]);
        done.store(true, Ordering::Relaxed);
        compared
    });
    let stdout = &compared.expect_code(0).stdout;
    assert!(
        stdout.contains("XDP_ABORTED 1, XDP_DROP 2, XDP_PASS 1"),
        "{stdout}"
    );
    let stderr = &compared.stderr;
    assert!(
        stderr.contains("the maps differ, which says nothing: the program saw"),
        "{stderr}"
    );
}

#[test]
fn a_run_that_was_killed_leaves_nothing_for_long() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("killed");
    wire.attach("drop", "native");
    let mut command = wire.command("drop", &vec![udp(1); 100], &["--engine", "wire"]);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let instance = format!("xdp-offload-{}", child.id());
    let is_there = || {
        let folder = wire.folder.path().display();
        let list = format!("mount -t tracefs none {folder} && ls {folder}/instances");
        let listed = wire.cable.near.run(&["unshare", "-m", "sh", "-c", &list]);
        listed.lines().any(|name| name == instance)
    };
    while !is_there() {
        assert_eq!(child.try_wait().unwrap(), None, "it runs for a while");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_there());
    wire.run("drop", &[udp(1)], &["--engine", "wire"])
        .expect_code(0);
    assert!(!is_there(), "the next run has removed it");
}

#[test]
fn without_tracepoints_what_leaves_no_frame_is_not_told_apart() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("untraced");
    wire.attach("verdicts", "generic");
    let packets: Vec<Vec<u8>> = (7000..7005).map(udp).collect();
    // Without /proc there is no way to a tracefs that no folder shows.
    let untraced = |arguments: &[&str]| {
        let run = wire.command("verdicts", &packets, arguments);
        let hide = "umount -l /sys/kernel/tracing /sys/kernel/debug 2>/dev/null; umount -l /proc";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &format!("{hide} && exec \"$@\""), "sh"]);
        command.arg(run.get_program()).args(run.get_args());
        Output::of(&mut command).unwrap_or_else(|error| panic!("{error}"))
    };
    let seen = untraced(&["--engine", "wire", "--json"]);
    let report = checked(seen.expect_code(0), "run");
    let verdicts: Vec<&Value> = (0..4).map(|at| &report["packets"][at]["verdict"]).collect();
    assert_eq!(verdicts, [&Value::Null, &Value::Null, &json!(2), &json!(3)]);
    let told = "XDP_ABORTED, XDP_DROP and XDP_REDIRECT are not told apart";
    assert!(seen.stderr.contains(told), "{}", seen.stderr);
    untraced(&["--compare", "interp,wire"]).expect_code(0);
}
