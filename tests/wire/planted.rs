//! What is not as the object says is found, and what hinders the wire is said.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use kernel::bpf::map::{ANY, Map};
use kernel::bpf::program::{Program, ProgramSpec};
use kernel::netlink::Route;
use kernel::netlink::link::{Expected, Mode, XdpRequest};
use tests::packets::udp;
use tests::require_root;

use super::Wire;

const NO: i32 = 3;
const USAGE: i32 = 2;

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn another_program_of_the_same_name_is_found() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("other");
    wire.cable.near.inside(|| {
        let other = Program::load(&ProgramSpec {
            name: "verdict_by_port",
            ..ProgramSpec::pass(None)
        })
        .unwrap();
        let mut route = Route::open().unwrap();
        let ifindex = route.link_by_name("near0").unwrap().ifindex;
        route
            .set_xdp(&XdpRequest {
                ifindex,
                program: Some(other.as_fd()),
                mode: Some(Mode::Native),
                expected: Expected::Nothing,
            })
            .unwrap();
    });
    let compare = ["--compare", "interp,wire"];
    let found = wire.run("verdicts", &[udp(7002), udp(7001)], &compare);
    says(
        &found.expect_code(NO).stderr,
        &[
            "packet 2: interp and wire do not do the same",
            "the verdicts are XDP_DROP and XDP_PASS",
        ],
    );
}

#[test]
fn a_map_that_somebody_else_writes_to_is_found() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("map");
    wire.attach("verdicts", "native");
    let maps = wire
        .tool(&["map", "list", "--dev", "near0", "--json"])
        .json();
    let id = maps["maps"][0]["id"].as_u64().unwrap() as u32;
    let map = Map::from_id(id).unwrap();
    let done = AtomicBool::new(false);
    let found = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut value = 1000u64;
            while !done.load(Ordering::Relaxed) {
                value += 1;
                map.update(&4u32.to_ne_bytes(), &value.to_ne_bytes(), ANY)
                    .unwrap();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let packets = vec![udp(7001); 8];
        let found = wire.run("verdicts", &packets, &["--compare", "interp,wire"]);
        done.store(true, Ordering::Relaxed);
        found
    });
    says(
        &found.expect_code(NO).stderr,
        &[
            "interp and wire leave other map contents behind",
            "verdicts, key 04 00 00 00: ",
        ],
    );
}

#[test]
fn a_frame_that_the_driver_does_not_send_back_is_found() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("lost");
    wire.attach("verdicts", "native");
    wire.cable
        .far
        .tool("xdp-offload", ["detach", "far0"])
        .expect_code(0);
    let found = wire.run("verdicts", &[udp(7003)], &["--compare", "interp,wire"]);
    says(
        &found.expect_code(NO).stderr,
        &[
            "XDP_TX, but it was to be sent back and did not arrive",
            "ENXIO",
            "a peer that has an XDP program",
        ],
    );
}

#[test]
fn what_hinders_the_wire_is_said() {
    if !require_root() {
        return;
    }
    let wire = Wire::lay("hindered");
    let packets = [udp(7002)];
    let compare = ["--compare", "interp,wire"];
    let none = wire.run("verdicts", &packets, &compare);
    says(
        &none.expect_code(NO).stderr,
        &[
            "no program is attached to near0",
            "xdp-offload attach OBJ near0",
        ],
    );
    wire.attach("pass", "generic");
    let other = wire.run("verdicts", &packets, &compare);
    says(
        &other.expect_code(NO).stderr,
        &[
            "'verdict_by_port' is not what is attached to near0",
            "(pass)",
        ],
    );
    let mapped = wire.run("firewall", &packets, &["--engine", "interp"]);
    says(
        &mapped.expect_code(USAGE).stderr,
        &["only the engine wire sends packets to an interface"],
    );
    let long = wire.run("pass", &[vec![0; 9000]], &["--engine", "wire"]);
    says(
        &long.expect_code(1).stderr,
        &["packet 1: far0 does not send it", "EMSGSIZE", "MTU is 1500"],
    );
    // The other end is not there: a frame goes somewhere else.
    wire.cable.far.veth("far1", "far2");
    let elsewhere = {
        let peer = format!("{}/far1", wire.cable.far.name());
        Wire { peer, ..wire }
    };
    let lost = elsewhere.run("pass", &packets, &["--engine", "wire"]);
    says(
        &lost.expect_code(NO).stderr,
        &["packet 1: it never reached the program on near0", "far1"],
    );
    let nowhere = Wire {
        peer: "no-such-netns/far0".to_owned(),
        ..elsewhere
    };
    let missing = nowhere.run("pass", &packets, &["--engine", "wire"]);
    says(
        &missing.expect_code(USAGE).stderr,
        &["no network namespace 'no-such-netns'"],
    );
}
