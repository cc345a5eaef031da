//! AF_XDP and packet sockets on a veth.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use kernel::Errno;
use kernel::bpf::link::Link;
use kernel::bpf::map::{Map, MapKind, MapSpec};
use kernel::bpf::program::Program;
use kernel::netlink::link::Mode;
use kernel::packet::PacketSender;
use kernel::xsk::{XskMode, XskSocket, probe_bind};
use tests::{Cable, Netns, require_root};

use crate::asm;
use crate::network::{errno, ifindex, udp_frame};

#[test]
fn veth_copies_and_says_so() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("xsk");
    netns.veth("near0", "far0");
    let near = ifindex(&netns, "near0");
    netns.inside(|| {
        assert_eq!(probe_bind(near, 0, None), Ok(XskMode::Copy));
        assert_eq!(probe_bind(near, 0, Some(XskMode::Copy)), Ok(XskMode::Copy));
        let zero_copy = probe_bind(near, 0, Some(XskMode::ZeroCopy));
        assert_eq!(errno(zero_copy), Errno::EOPNOTSUPP);
        assert_eq!(errno(probe_bind(near, 4096, None)), Errno::EINVAL);
        assert_eq!(errno(probe_bind(i32::MAX as u32, 0, None)), Errno::ENODEV);
        // Copying asks nothing of the driver, so an interface that is down will do.
        netns.ip("link set near0 down");
        assert_eq!(probe_bind(near, 0, None), Ok(XskMode::Copy));
        assert_eq!(probe_bind(1, 0, None), Ok(XskMode::Copy));
    });
}

#[test]
fn a_queue_just_left_is_waited_for_a_busy_one_not_for_long() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("busy");
    netns.veth("near0", "far0");
    let near = ifindex(&netns, "near0");
    netns.inside(|| {
        for _ in 0..20 {
            probe_bind(near, 0, None).unwrap();
        }
        let holder = XskSocket::bind(near, 0, None).unwrap();
        let started = Instant::now();
        assert_eq!(errno(probe_bind(near, 0, None)), Errno::EBUSY);
        assert!(started.elapsed() < Duration::from_secs(3));
        drop(holder);
        probe_bind(near, 0, None).unwrap();
    });
}

/// `return bpf_redirect_map(sockets, ctx->rx_queue_index, XDP_PASS)`
fn steer(sockets: &Map) -> Program {
    let mut insns = asm::load_word(2, 1, 16).to_vec();
    insns.extend(asm::map_address(1, &sockets.as_fd()).concat());
    insns.extend([asm::mov(3, 2), asm::call(51), asm::exit()].concat());
    Program::load(&asm::xdp(&insns)).unwrap()
}

#[test]
fn steered_packets_arrive_whole_and_in_order() {
    if !require_root() {
        return;
    }
    let cable = Cable::lay("steer").unwrap();
    let near = ifindex(&cable.near, "near0");
    let far = ifindex(&cable.far, "far0");
    let sockets = Map::create(&MapSpec {
        name: "sockets",
        kind: MapKind::XSKMAP,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        ..MapSpec::default()
    })
    .unwrap();
    for mode in [Mode::Native, Mode::Generic] {
        let (mut socket, _link) = cable.near.inside(|| {
            let socket = XskSocket::bind(near, 0, None).unwrap();
            sockets.update_fd(&[0; 4], socket.as_fd()).unwrap();
            let link = Link::create_xdp(&steer(&sockets), near, Some(mode)).unwrap();
            (socket, link)
        });
        let sender = cable.far.inside(|| PacketSender::open(far)).unwrap();
        assert_eq!(socket.receive(Duration::from_millis(20)), Ok(None));
        // More than there are frames and slots, so that all are used again.
        for round in 0..20u8 {
            for n in 0..16u8 {
                sender.send(&udp_frame(9, &[round, n, 0xaa])).unwrap();
            }
            for n in 0..16u8 {
                let packet = socket.receive(Duration::from_secs(5)).unwrap();
                assert_eq!(packet, Some(udp_frame(9, &[round, n, 0xaa])), "{mode}");
            }
        }
    }
}

#[test]
fn frames_that_cannot_be_sent_are_refused() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("packet");
    netns.veth("near0", "far0");
    let near = ifindex(&netns, "near0");
    netns.inside(|| {
        let sender = PacketSender::open(near).unwrap();
        assert_eq!(errno(sender.send(&[0; 13])), Errno::EINVAL);
        assert_eq!(errno(sender.send(&[0; 1515])), Errno::EMSGSIZE);
        sender.send(&[0; 1514]).unwrap();
        netns.ip("link set near0 down");
        assert_eq!(errno(sender.send(&[0; 60])), Errno::ENETDOWN);
        let nowhere = PacketSender::open(i32::MAX as u32).unwrap();
        assert_eq!(errno(nowhere.send(&[0; 60])), Errno::ENXIO);
    });
}
