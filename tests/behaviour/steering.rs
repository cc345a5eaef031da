//! Programs that send packets elsewhere: to interfaces, sockets, CPUs, other programs.

use std::os::fd::{AsFd, AsRawFd};

use generic_fallback::load::{Binding, Loader};
use offload_compiler::object::GlobalValue;

use crate::packets::{tcp, udp, unknown};
use crate::{DROP, PASS, REDIRECT, Sample, read};
use tests::{Bpffs, require_root};

/// A test run's packets come from the loopback unless told otherwise.
const LOOPBACK: u32 = 1;

#[test]
fn redirect_forwards_what_has_a_port_to_leave_by() {
    if !require_root() {
        return;
    }
    let sample = Sample::load_program("redirect", "forward");
    assert_eq!(sample.verdict(&udp(9)), PASS);
    let slot = [LOOPBACK.to_ne_bytes(), [0; 4]].concat();
    sample.set("ports", &LOOPBACK.to_ne_bytes(), &slot);
    assert_eq!(sample.verdict(&udp(9)), REDIRECT);
}

#[test]
fn flood_always_redirects() {
    if !require_root() {
        return;
    }
    assert_eq!(Sample::load("flood").verdict(&udp(9)), REDIRECT);
}

#[test]
fn af_xdp_passes_where_no_socket_listens() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("af_xdp");
    assert_eq!(sample.verdict(&udp(9)), PASS);
    assert_eq!(sample.verdict(&tcp(9)), PASS);
}

#[test]
fn cpu_spread_uses_the_cpus_it_was_told_of() {
    if !require_root() {
        return;
    }
    let queue = [192_u32.to_ne_bytes(), [0; 4]].concat();
    for (cpus, verdict) in [(0_u32, PASS), (1, REDIRECT)] {
        let mut object = read("cpu_spread");
        object
            .set_global("cpus", GlobalValue::Integer(cpus.into()))
            .unwrap();
        let program = object.program_named("spread").unwrap();
        let sample = Sample::of("cpu_spread", &object, program);
        sample.set("workers", &0_u32.to_ne_bytes(), &queue);
        assert_eq!(sample.verdict(&udp(9)), verdict, "{cpus} CPUs");
        assert_eq!(sample.verdict(&unknown(64)), PASS);
    }
}

#[test]
fn tail_call_reaches_the_program_in_the_slot() {
    if !require_root() {
        return;
    }
    // The kernel empties a program array when nothing but programs holds it: a pin does.
    let bpffs = Bpffs::mount();
    let object = read("tail_call");
    let loader = Loader::new(&object, "tail_call", Some(bpffs.path().into()));
    let entry = object.program_named("entry").unwrap();
    let sample = Sample(loader.load(entry, Binding::None).unwrap());
    assert_eq!(sample.verdict(&udp(9)), PASS);
    assert_eq!(sample.repeat(&unknown(64), 2).verdict, PASS);
    assert_eq!(sample.count_of_all_cpus("reached", 0, 8, 0), 1);
    assert_eq!(sample.count_of_all_cpus("reached", 1, 8, 0), 2);
}

#[test]
fn a_program_for_a_devmap_slot_is_put_there() {
    if !require_root() {
        return;
    }
    let egress = Sample::load_program("redirect", "on_the_way_out");
    let sample = Sample::load_program("redirect", "forward");
    let program = egress.0.program.as_fd().as_raw_fd();
    let slot = [LOOPBACK.to_ne_bytes(), program.to_ne_bytes()].concat();
    sample.set("ports", &LOOPBACK.to_ne_bytes(), &slot);
    let held = sample.value("ports", &LOOPBACK.to_ne_bytes());
    assert_eq!(
        held[4..8],
        egress.0.id.to_ne_bytes(),
        "the slot shows the program's id"
    );
    assert_ne!(sample.verdict(&udp(9)), DROP);
}
