//! Maps on the device.

use crate::machine::{Guest, says};

const FLOWS: &str = "flows.bpf.o";

pub(crate) fn what_is_written_through_the_device_is_what_dump_shows(guest: &Guest) {
    let device = guest.device(10, 1);
    guest.offload(&format!("attach --hw {FLOWS} sim10p0"), 0);
    let maps = guest.json("map list");
    let ifindex = guest.json("status sim10p0")["interfaces"][0]["ifindex"].clone();
    for map in maps["maps"].as_array().expect("a list") {
        assert_eq!(map["offloaded_to"], ifindex, "{map}");
    }
    let dump = |map: &str| guest.offload(&format!("map {map} dump"), 0);
    assert_eq!(dump("sources"), "");
    assert_eq!(dump("totals"), "0: 0\n1: 0\n");
    for (key, value) in [("0", "3"), ("1", "0xffffffffffffffff"), ("0", "4")] {
        guest.offload(&format!("map totals set {key} {value}"), 0);
        guest.offload(&format!("map sources set {key} {value}"), 0);
    }
    let written = "0: 4\n1: 18446744073709551615\n";
    assert_eq!(dump("totals"), written);
    assert_eq!(dump("sources"), written);
    for map in ["totals", "sources"] {
        assert_eq!(guest.offload(&format!("map {map} get 0"), 0), "0: 4\n");
    }

    guest.offload("map sources del 0", 0);
    assert_eq!(dump("sources"), "1: 18446744073709551615\n");
    let words = guest.offload("map sources get 0", 3);
    says(&words, "has no entry 0");
    guest.offload("map sources del 0", 3);
    let words = guest.offload("map totals del 0", 3);
    says(&words, "EINVAL");
    says(&words, "set it to 0");
    assert_eq!(dump("totals"), written);

    // A program that takes its place has maps of its own, unless they are pinned.
    guest.offload(&format!("attach --hw --replace {FLOWS} sim10p0"), 0);
    assert_eq!(dump("totals"), "0: 0\n1: 0\n");
    guest.offload("detach sim10p0", 0);
    guest.nothing_is_left();
    guest.offload(
        &format!("attach --hw {FLOWS} sim10p0 --pin /sys/fs/bpf/nic"),
        0,
    );
    guest.offload("map totals set 1 9", 0);
    guest.offload(
        &format!("attach --hw --replace {FLOWS} sim10p0 --pin /sys/fs/bpf/nic"),
        0,
    );
    assert_eq!(dump("totals"), "0: 0\n1: 9\n");
    // Maps on a NIC serve no program on the host.
    let words = guest.offload(
        &format!("attach --native {FLOWS} sim10p0 --pin /sys/fs/bpf/nic"),
        3,
    );
    says(&words, "its interface is");
    guest.ok("rm -r /sys/fs/bpf/nic");
    guest.nothing_is_left();
    device.delete();
}

pub(crate) fn a_full_map_is_told_as_such(guest: &Guest) {
    let device = guest.device(10, 1);
    guest.offload(&format!("attach --hw {FLOWS} sim10p0"), 0);
    guest.ok("xdp-offload map sources set 1 1 && xdp-offload map sources set 2 2");
    let words = guest.offload("map sources set 3 3", 3);
    says(&words, "map 'sources' is full: nothing was written");
    says(&words, "E2BIG");
    says(&words, "it holds 2 entries");
    // What is there can be changed, and room can be made.
    guest.offload("map sources set 2 5", 0);
    assert_eq!(guest.offload("map sources dump", 0), "1: 1\n2: 5\n");
    guest.ok("xdp-offload map sources del 1 && xdp-offload map sources set 3 3");
    let words = guest.offload("map totals set 2 1", 3);
    says(&words, "has no such index");
    says(&words, "0 to 1");
    guest.offload("detach sim10p0", 0);
    guest.nothing_is_left();
    device.delete();
}
