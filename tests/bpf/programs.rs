//! Programs: loads and refusals, test runs, what the kernel tells of them.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::Duration;

use kernel::bpf::btf::{Btf, kernel_btf_bytes};
use kernel::bpf::map::{Map, MapKind, MapSpec};
use kernel::bpf::program::{
    self, InfoRecords, Program, ProgramSpec, XDP_DEV_BOUND_ONLY, XDP_HAS_FRAGS,
};
use kernel::bpf::test_run::{TestRun, XdpContext, verdict_name};
use kernel::{Errno, Operation};
use tests::{Cable, NEAR_ADDRESS, Netns, require_root};

use crate::asm;
use crate::cleanup::{PinPath, require_pins};
use crate::network::{errno, ifindex, refusal, udp_frame};

#[test]
fn the_smallest_program_loads_and_passes() {
    if !require_root() {
        return;
    }
    let program = Program::load(&ProgramSpec::pass(None)).unwrap();
    let info = program.info().unwrap();
    assert_eq!((info.name.as_str(), info.kind), ("xdp_pass", program::XDP));
    assert!(info.gpl_compatible);
    assert_eq!((info.ifindex, info.netns_inode), (None, 0));
    assert_eq!(info.verified_insns, 2);
    assert_eq!(program.xlated().unwrap(), program::PASS);
    assert_eq!(program.jited().unwrap().len(), info.jited_size as usize);
    assert!(kernel::bpf::program_ids().any(|id| id == Ok(info.id)));
    let run = TestRun {
        data: &[0; 64],
        context: None,
        repeat: 1,
    };
    let verdict = program.test_run(&run).unwrap().verdict;
    assert_eq!(verdict_name(verdict), Some("XDP_PASS"));
}

#[test]
fn a_refusal_carries_the_whole_verifier_log() {
    if !require_root() {
        return;
    }
    let refused = refusal(Program::load(&asm::xdp(&asm::exit())));
    assert_eq!(refused.operation, Operation::LoadProgram);
    assert_eq!(refused.errno, Errno::EACCES);
    let log = refused.verifier_log.unwrap();
    assert!(log.contains("R0 !read_ok"), "{log}");
    assert!(
        log.trim_end()
            .lines()
            .last()
            .unwrap()
            .starts_with("processed "),
        "{log}"
    );
}

#[test]
fn a_long_log_keeps_its_start_and_its_end() {
    const LENGTH: usize = 30_000;

    if !require_root() {
        return;
    }
    let mut insns: Vec<[u8; 8]> = (0..LENGTH).map(|n| asm::mov(1, n as i32)).collect();
    insns.push(asm::exit());
    let refused = refusal(Program::load(&asm::xdp(&insns.concat())));
    let log = refused.verifier_log.unwrap();
    assert!(log.len() > 1 << 20, "{} bytes are no long log", log.len());
    assert!(log.contains("\n0: (b7) r1 = 0"), "{}", &log[..200]);
    let end = &log[log.len() - 200..];
    assert!(end.contains("R0 !read_ok"), "{end}");
    let walked = log.lines().filter(|line| line.contains(": (b7) r1 = "));
    assert_eq!(walked.count(), LENGTH);
}

#[test]
fn a_load_that_never_reaches_the_verifier_has_no_log() {
    if !require_root() {
        return;
    }
    for insns in [&[][..], &[0x95; 7]] {
        let refused = refusal(Program::load(&asm::xdp(insns)));
        assert_eq!(
            (refused.errno, refused.verifier_log),
            (
                if insns.is_empty() {
                    Errno::E2BIG
                } else {
                    Errno::EINVAL
                },
                None
            )
        );
    }
}

#[test]
fn a_gpl_only_helper_asks_for_the_licence() {
    if !require_root() {
        return;
    }
    // bpf_trace_printk("", 8), the string on the stack.
    let insns = [
        asm::insn(0x7a, 10, 0, -8, 0),
        asm::insn(0xbf, 1, 10, 0, 0),
        asm::insn(0x07, 1, 0, 0, -8),
        asm::mov(2, 8),
        asm::call(6),
        asm::mov(0, 2),
        asm::exit(),
    ]
    .concat();
    assert!(Program::load(&asm::xdp(&insns)).is_ok());
    let refused = refusal(Program::load(&ProgramSpec {
        license: "Proprietary",
        ..asm::xdp(&insns)
    }));
    assert!(refused.verifier_log.unwrap().contains("GPL"));
}

#[test]
fn an_interface_that_cannot_offload_is_told_by_errno_alone() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("offload");
    netns.veth("near0", "far0");
    let near = ifindex(&netns, "near0");
    netns.inside(|| {
        for (ifindex, expected) in [(1, Errno::EOPNOTSUPP), (near, Errno::EINVAL)] {
            let refused = refusal(Program::load(&ProgramSpec::pass(Some(ifindex))));
            assert_eq!(refused.errno, expected);
            assert_eq!((refused.ext_ack, refused.verifier_log), (None, None));
        }
        let missing = refusal(Program::load(&ProgramSpec::pass(Some(i32::MAX as u32))));
        assert_eq!(missing.errno, Errno::EINVAL);
        for ifindex in [1, near] {
            let map = Map::create(&MapSpec {
                kind: MapKind::ARRAY,
                key_size: 4,
                value_size: 4,
                max_entries: 1,
                ifindex: Some(ifindex),
                ..MapSpec::default()
            });
            assert_eq!(refusal(map).operation, Operation::CreateMap);
        }
    });
}

#[test]
fn a_program_is_bound_to_a_device_that_has_xdp() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("bound");
    netns.veth("near0", "far0");
    let near = ifindex(&netns, "near0");
    netns.inside(|| {
        let bound = |ifindex| {
            Program::load(&ProgramSpec {
                flags: XDP_DEV_BOUND_ONLY,
                ifindex: Some(ifindex),
                ..asm::xdp(&program::PASS)
            })
        };
        assert_eq!(errno(bound(1)), Errno::EOPNOTSUPP);
        let program = bound(near).unwrap();
        // It runs on the host, so its info is that of any program, with its device or without.
        assert_eq!(program.info().unwrap().ifindex, None);
        netns.ip("link delete near0");
        assert_eq!(program.info().unwrap().verified_insns, 2);
    });
}

#[test]
fn a_test_run_gives_each_verdict_without_carrying_it_out() {
    if !require_root() {
        return;
    }
    for verdict in [0, 1, 2, 3, 7] {
        let run = TestRun {
            data: &[0xab; 60],
            context: None,
            repeat: 100,
        };
        let result = asm::loaded(verdict).test_run(&run).unwrap();
        assert_eq!(result.verdict, verdict as u32);
        assert_eq!(result.data, [0xab; 60]);
        assert_eq!(result.context, None);
    }
    let run = TestRun {
        data: &[0; 13],
        context: None,
        repeat: 1,
    };
    assert_eq!(errno(asm::loaded(2).test_run(&run)), Errno::EINVAL);
}

/// bpf_xdp_adjust_head(ctx, `delta`), the verdict is its answer.
fn adjust_head(delta: i32) -> Program {
    let insns = [asm::mov(2, delta), asm::call(44), asm::exit()].concat();
    Program::load(&asm::xdp(&insns)).unwrap()
}

#[test]
fn a_test_run_gives_the_packet_as_the_program_left_it() {
    if !require_root() {
        return;
    }
    let data: Vec<u8> = (0..100).collect();
    let run = TestRun {
        data: &data,
        context: None,
        repeat: 1,
    };
    assert_eq!(adjust_head(14).test_run(&run).unwrap().data, data[14..]);
    let longer = adjust_head(-20).test_run(&run).unwrap();
    assert_eq!((longer.verdict, longer.data.len()), (0, 120));
    assert_eq!(longer.data[20..], data);
}

#[test]
fn a_test_run_takes_a_context() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("context");
    netns.veth("near0", "far0");
    let near = ifindex(&netns, "near0");
    // The verdict is ctx->ingress_ifindex.
    let insns = [asm::load_word(0, 1, 12), asm::exit()].concat();
    let program = Program::load(&asm::xdp(&insns)).unwrap();
    let context = XdpContext {
        metadata: 8,
        ingress_ifindex: near,
        rx_queue_index: 0,
    };
    let run = TestRun {
        data: &[0x11; 68],
        context: Some(context),
        repeat: 1,
    };
    let result = netns.inside(|| program.test_run(&run)).unwrap();
    assert_eq!(result.verdict, near);
    assert_eq!(result.context, Some(context));
    assert_eq!(result.data, run.data);
}

#[test]
fn a_test_run_takes_packets_of_several_buffers() {
    if !require_root() {
        return;
    }
    let data: Vec<u8> = (0..9000u16).map(|n| n as u8).collect();
    let run = TestRun {
        data: &data,
        context: None,
        repeat: 1,
    };
    let frags = Program::load(&ProgramSpec {
        flags: XDP_HAS_FRAGS,
        ..asm::xdp(&program::PASS)
    })
    .unwrap();
    assert_eq!(frags.test_run(&run).unwrap().data, data);
}

#[test]
fn live_frames_that_pass_reach_the_stack() {
    if !require_root() {
        return;
    }
    let cable = Cable::lay("live").unwrap();
    let near = ifindex(&cable.near, "near0");
    cable.near.inside(|| {
        let receiver = UdpSocket::bind((NEAR_ADDRESS, 7000)).unwrap();
        receiver
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let run = TestRun {
            data: &udp_frame(7000, b"live"),
            context: Some(XdpContext {
                ingress_ifindex: near,
                ..XdpContext::default()
            }),
            repeat: 20,
        };
        asm::loaded(2).run_live(&run, 8).unwrap();
        let mut buffer = [0; 64];
        for _ in 0..20 {
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"live");
        }
        // Dropped ones do not.
        asm::loaded(1).run_live(&run, 0).unwrap();
        receiver
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        assert!(receiver.recv(&mut buffer).is_err());
    });
}

#[test]
fn a_program_names_its_maps() {
    if !require_root() {
        return;
    }
    let map = Map::create(&MapSpec {
        kind: MapKind::ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        ..MapSpec::default()
    })
    .unwrap();
    let mut insns = asm::map_address(1, &map.as_fd()).concat();
    insns.extend(asm::returning(2));
    let program = Program::load(&asm::xdp(&insns)).unwrap();
    let ids = program.info().unwrap().map_ids;
    assert_eq!(ids, [map.info().unwrap().id]);
    // The program keeps the map.
    drop(map);
    assert!(Map::from_id(ids[0]).is_ok());
}

#[test]
fn a_program_is_found_by_id_and_by_pin() {
    if !require_pins() {
        return;
    }
    let program = asm::loaded(1);
    let info = program.info().unwrap();
    let path = PinPath::new("program");
    program.pin(&path).unwrap();
    drop(program);
    assert_eq!(Program::from_id(info.id).unwrap().info().unwrap(), info);
    assert_eq!(Program::open_pinned(&path).unwrap().info().unwrap(), info);
    assert_eq!(errno(Map::open_pinned(&path)), Errno::EINVAL);
    assert_eq!(errno(Program::from_id(u32::MAX)), Errno::ENOENT);
}

#[test]
fn the_kernels_own_types_are_read_two_ways() {
    if !require_root() {
        return;
    }
    let from_file = kernel_btf_bytes().unwrap();
    assert_eq!(from_file[..2], 0xeb9f_u16.to_ne_bytes());
    let id = kernel::bpf::btf_ids()
        .map(Result::unwrap)
        .find(|id| Btf::from_id(*id).is_ok_and(|btf| btf.info().unwrap().name == "vmlinux"))
        .unwrap();
    let vmlinux = Btf::from_id(id).unwrap();
    assert!(vmlinux.info().unwrap().is_kernel);
    assert_eq!(vmlinux.bytes().unwrap(), from_file);
}

#[test]
fn refused_types_come_with_the_kernels_log() {
    if !require_root() {
        return;
    }
    let refused = refusal(Btf::load(&[0; 24]));
    assert_eq!(refused.operation, Operation::LoadBtf);
    assert!(refused.verifier_log.unwrap().contains("magic"));
}

/// BTF with `void under_test(void)`: what function and line records need.
fn function_btf() -> Vec<u8> {
    let strings = b"\0under_test\0demo.c\0return XDP_PASS;\0";
    let mut words: Vec<u32> = vec![0x0001_eb9f, 24, 0, 0, 0, strings.len() as u32];
    let types: [u32; 10] = [
        1,
        0x0100_0000,
        4,
        0x0100_0020, // 1: INT, signed, 32 bits
        0,
        0x0d00_0000,
        1, // 2: FUNC_PROTO without parameters, returns 1
        1,
        0x0c00_0000,
        2, // 3: FUNC under_test of 2
    ];
    words[3] = size_of_val(&types) as u32;
    words[4] = words[3];
    words.extend(types);
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.extend(strings);
    bytes
}

#[test]
fn source_lines_appear_in_the_log() {
    if !require_root() {
        return;
    }
    let btf = Btf::load(&function_btf()).unwrap();
    let functions: Vec<u8> = [0u32, 3].iter().flat_map(|w| w.to_ne_bytes()).collect();
    // Instruction, file name, line text, line << 10 | column.
    let lines: Vec<u8> = [0u32, 12, 19, 7 << 10 | 3]
        .iter()
        .flat_map(|w| w.to_ne_bytes())
        .collect();
    let spec = |insns| ProgramSpec {
        btf: Some(btf.as_fd()),
        func_info: InfoRecords {
            record_size: 8,
            bytes: &functions,
        },
        line_info: InfoRecords {
            record_size: 16,
            bytes: &lines,
        },
        ..asm::xdp(insns)
    };
    let program = Program::load(&spec(&program::PASS)).unwrap();
    assert_eq!(program.info().unwrap().btf_id, Some(btf.info().unwrap().id));
    let log = refusal(Program::load(&spec(&asm::exit())))
        .verifier_log
        .unwrap();
    assert!(log.contains("; return XDP_PASS; @ demo.c:7"), "{log}");
}
