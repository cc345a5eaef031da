//! The life of an offloaded program, as the kernel's bpf_offload.py plays it with `ip` and bpftool: here with our commands.

use tests::corpus;

use crate::machine::{Guest, says};
use crate::refusals::rungs;

fn object(name: &str) -> String {
    corpus(name).display().to_string()
}

/// What the driver says it runs: the program's id, 0 for none.
#[track_caller]
fn on_the_device(guest: &Guest, device: u32) -> u64 {
    let text = guest.ok(&format!(
        "cat /sys/kernel/debug/netdevsim/netdevsim{device}/ports/0/bpf_offloaded_id"
    ));
    text.trim().parse().expect("an id")
}

pub(crate) fn a_program_is_attached_replaced_and_taken_off(guest: &Guest) {
    let device = guest.device(10, 1);
    let attach = |program: &str, options: &str| {
        guest.json(&format!(
            "attach --hw {} sim10p0 {options}",
            object(program)
        ))
    };
    let first = attach("pass", "");
    assert_eq!(rungs(&first), "offload:attach:ok");
    let first = first["prog_id"].as_u64().expect("an id");
    assert_eq!(
        guest.attached("", "sim10p0"),
        [("offload".to_owned(), first)]
    );
    assert_eq!(on_the_device(guest, 10), first);
    let status = guest.json("status sim10p0");
    let ifindex = &status["interfaces"][0]["ifindex"];
    assert_eq!(
        &status["interfaces"][0]["attached"][0]["offloaded_to"],
        ifindex
    );

    // Nobody's program is replaced unasked.
    let refused = guest.run(&format!(
        "xdp-offload attach --hw --no-fallback {} sim10p0 --json",
        object("drop")
    ));
    assert_eq!(refused.expect_code(3).json()["attempts"][0]["step"], "plan");
    assert_eq!(on_the_device(guest, 10), first);

    let second = attach("drop", "--replace");
    assert_eq!(second["replaced"], first);
    let second = second["prog_id"].as_u64().expect("an id");
    assert_eq!(on_the_device(guest, 10), second);

    // From native mode into the NIC and back, never without a program.
    for (options, mode) in [
        ("--native --replace", "native"),
        ("--hw --replace", "offload"),
    ] {
        guest.offload("detach sim10p0 --all", 0);
        guest.offload(&format!("attach --generic {} sim10p0", object("pass")), 0);
        let moved = guest.json(&format!("attach {options} {} sim10p0", object("pass")));
        let found: Vec<String> = guest
            .attached("", "sim10p0")
            .into_iter()
            .map(|(mode, _)| mode)
            .collect();
        if mode == "offload" {
            assert_eq!(found, ["offload"], "{moved}");
        } else {
            // Native and generic exclude each other, so there is no way without a gap, and none is taken.
            assert_eq!(found, ["generic"], "{moved}");
        }
    }

    // Only the program that was named.
    let held = on_the_device(guest, 10);
    guest.offload(&format!("detach sim10p0 --id {}", held + 1000), 3);
    assert_eq!(on_the_device(guest, 10), held);
    guest.offload(&format!("detach sim10p0 --id {held}"), 0);
    for mode in ["offload", "native", "generic"] {
        // As often as you like.
        guest.offload(&format!("detach sim10p0 --mode {mode}"), 0);
    }
    assert_eq!(on_the_device(guest, 10), 0);
    guest.nothing_is_left();

    // With a link, which is replaced in its place.
    let pinned = attach("pass", "--pin /sys/fs/bpf/nic");
    assert_eq!(pinned["attachment"]["kind"], "link", "{pinned}");
    let again = attach("drop", "--replace --pin /sys/fs/bpf/nic");
    assert_eq!(again["replaced"], pinned["prog_id"], "{again}");
    assert_eq!(again["attachment"], pinned["attachment"], "{again}");
    guest.ok("rm -r /sys/fs/bpf/nic");
    assert!(guest.attached("", "sim10p0").is_empty());
    device.delete();
    guest.nothing_is_left();
}

pub(crate) fn two_modes_hold_programs_side_by_side(guest: &Guest) {
    let device = guest.device(10, 1);
    for other in ["native", "generic"] {
        guest.offload(&format!("attach --hw {} sim10p0", object("pass")), 0);
        let offloaded = on_the_device(guest, 10);
        guest.offload(&format!("attach --{other} {} sim10p0", object("drop")), 0);
        let both = guest.attached("", "sim10p0");
        let modes: Vec<&str> = both.iter().map(|(mode, _)| mode.as_str()).collect();
        assert_eq!(modes, ["offload", other]);
        assert_ne!(both[0].1, both[1].1, "two programs");
        assert_eq!(on_the_device(guest, 10), offloaded);

        // Which one is not guessed.
        let words = guest.offload("detach sim10p0", 3);
        says(&words, "several programs are attached");
        says(&words, "--mode");
        assert_eq!(guest.attached("", "sim10p0"), both);

        guest.offload("detach sim10p0 --mode offload", 0);
        assert_eq!(on_the_device(guest, 10), 0);
        assert_eq!(guest.attached("", "sim10p0"), both[1..]);
        // Back beside it, in place of nothing.
        let report = guest.json(&format!("attach --hw {} sim10p0", object("pass")));
        assert_eq!(rungs(&report), "offload:attach:ok");
        assert_eq!(guest.attached("", "sim10p0").len(), 2);
        // Replacing one leaves the other alone.
        guest.offload(
            &format!("attach --hw --replace {} sim10p0", object("drop")),
            0,
        );
        assert_eq!(guest.attached("", "sim10p0")[1], both[1]);
        guest.offload("detach sim10p0 --all", 0);
        guest.nothing_is_left();
    }
    device.delete();
}

pub(crate) fn a_device_moves_to_another_namespace_with_its_program(guest: &Guest) {
    let device = guest.device(10, 1);
    let flows = "flows.bpf.o";
    guest.offload(&format!("attach --hw {flows} sim10p0"), 0);
    let here = guest.attached("", "sim10p0");
    guest.ok("ip netns add blue && ip link set sim10p0 netns blue");
    let there = "--netns blue";
    assert_eq!(guest.attached(there, "sim10p0"), here);
    assert_eq!(guest.json("status")["interfaces"], serde_json::json!([]));
    guest.offload("--netns blue map sources set 1 7", 0);
    assert_eq!(guest.offload("--netns blue map sources dump", 0), "1: 7\n");
    // Its name is known where it is only.
    let words = guest.offload("detach sim10p0", 2);
    says(&words, "--netns");
    let report = guest.json(&format!("{there} attach --hw --replace {flows} sim10p0"));
    assert_eq!(report["replaced"], here[0].1, "{report}");
    let replaced = guest.attached(there, "sim10p0");

    guest.ok("ip -n blue link set sim10p0 netns 1");
    assert_eq!(guest.attached("", "sim10p0"), replaced);
    guest.ok("ip netns delete blue");
    guest.offload("detach sim10p0", 0);
    guest.nothing_is_left();

    // Deleted where it is not ours to see.
    guest.ok("ip netns add blue && ip link set sim10p0 netns blue");
    guest.offload(&format!("{there} attach --hw {flows} sim10p0"), 0);
    device.delete();
    assert_eq!(
        guest.json("--netns blue status")["interfaces"],
        serde_json::json!([])
    );
    guest.ok("ip netns delete blue");
    guest.nothing_is_left();
}

pub(crate) fn a_device_that_goes_leaves_an_orphan(guest: &Guest) {
    let device = guest.device(10, 1);
    let flows = "flows.bpf.o";
    // Held by the interface, the program goes with it.
    guest.offload(&format!("attach --hw {flows} sim10p0"), 0);
    device.delete();
    guest.nothing_is_left();

    // Held by a pinned link, it stays as an empty shell.
    let device = guest.device(10, 1);
    let pinned = guest.json(&format!(
        "attach --hw {flows} sim10p0 --pin /sys/fs/bpf/nic"
    ));
    let program = &pinned["prog_id"];
    device.delete();
    let status = guest.json("status");
    assert_eq!(status["interfaces"], serde_json::json!([]));
    assert_eq!(status["orphaned"], serde_json::json!([program]), "{status}");
    let link = &status["dead_links"][0];
    assert_eq!(link["pin"], "/sys/fs/bpf/nic/link-sim10p0", "{status}");
    assert_eq!(&link["prog_id"], program, "{status}");
    let words = guest.offload("status", 0);
    says(&words, &format!("program {program} is orphaned"));
    says(&words, "rm /sys/fs/bpf/nic/link-sim10p0");
    let words = guest.offload("detach sim10p0", 2);
    says(&words, "no interface named 'sim10p0'");
    // Its maps are gone from the lists, and what is pinned says why it cannot be read.
    assert_eq!(guest.json("map list")["maps"], serde_json::json!([]));
    for action in ["dump", "get 0", "set 0 1", "del 0"] {
        let words = guest.offload(&format!("map /sys/fs/bpf/nic/totals {action}"), 3);
        says(&words, "orphaned");
        says(&words, "ENODEV");
    }

    // A device of the same name does not get the old maps, and says what to do; nor do they come into being again.
    let device = guest.device(10, 1);
    let words = guest.offload(
        &format!("attach --hw {flows} sim10p0 --pin /sys/fs/bpf/nic"),
        1,
    );
    says(&words, "is orphaned: the NIC that it was on is gone");
    says(&words, "remove the pins in /sys/fs/bpf/nic");
    assert!(guest.attached("", "sim10p0").is_empty());
    guest.ok("rm -r /sys/fs/bpf/nic");
    guest.nothing_is_left();
    let again = guest.json(&format!(
        "attach --hw {flows} sim10p0 --pin /sys/fs/bpf/nic"
    ));
    assert_eq!(rungs(&again), "offload:attach:ok");
    guest.ok("rm -r /sys/fs/bpf/nic");
    device.delete();
    guest.nothing_is_left();
}

pub(crate) fn a_driver_is_unloaded_under_a_program(guest: &Guest) {
    let device = guest.device(10, 1);
    guest.offload(&format!("attach --hw {} sim10p0", object("pass")), 0);
    guest.offload(
        &format!(
            "attach --native {} sim10p0 --pin /sys/fs/bpf/host",
            object("drop")
        ),
        0,
    );
    guest.ok("rmmod netdevsim");
    let status = guest.json("status");
    assert_eq!(status["interfaces"], serde_json::json!([]));
    // The native one is no orphan: its link keeps it, and nothing else.
    assert_eq!(status["orphaned"], serde_json::json!([]), "{status}");
    assert_eq!(
        status["dead_links"][0]["pin"],
        "/sys/fs/bpf/host/link-sim10p0"
    );
    let words = guest.offload("status", 0);
    says(&words, "the interface is gone");
    let words = guest.offload(&format!("attach --hw {} sim10p0", object("pass")), 2);
    says(&words, "no interface named 'sim10p0'");
    guest.ok("rm -r /sys/fs/bpf/host");
    guest.nothing_is_left();
    drop(device);
}

pub(crate) fn ports_of_one_device_have_a_program_each(guest: &Guest) {
    let (one, two) = (guest.device(10, 1), guest.device(11, 3));
    let flows = "flows.bpf.o";
    let all = "sim10p0 sim11p0 sim11p1 sim11p2";
    guest.offload(
        &format!("attach --hw --no-fallback {flows} {all} --atomic"),
        0,
    );
    let of = |port: &str| guest.attached("", port);
    let ids: Vec<u64> = all.split(' ').map(|port| of(port)[0].1).collect();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
    // One that refuses, and none holds.
    guest.offload(&format!("detach {all}"), 0);
    guest.ok("echo N > /sys/kernel/debug/netdevsim/netdevsim11/ports/2/bpf_xdpoffload_accept");
    let words = guest.offload(
        &format!("attach --hw --no-fallback {flows} {all} --atomic"),
        3,
    );
    says(&words, "taken back, because sim11p2 did not hold");
    for port in all.split(' ') {
        assert!(of(port).is_empty(), "{port}");
    }
    guest.nothing_is_left();

    // A program lives as long as a port that runs it, and goes with it alone.
    guest.offload(
        &format!("attach --hw --no-fallback {flows} sim10p0 sim11p0 sim11p1"),
        0,
    );
    one.delete();
    guest.ok("echo 0 > /sys/bus/netdevsim/devices/netdevsim11/del_port");
    assert_eq!(of("sim11p1").len(), 1);
    two.delete();
    guest.nothing_is_left();
}
