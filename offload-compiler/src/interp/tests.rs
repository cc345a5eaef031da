//! What programs do on the machine, and what they cannot do.

use proptest::prelude::*;

use super::{
    Event, Fault, FaultKind, Fixed, Limits, Machine, MapKind, MapSpec, Redirect, Uninitialised,
    XdpInput, XdpRun,
};
use crate::isa::{Code, Insn, assemble};

const PASS: u32 = 2;

fn spec(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec {
        kind,
        key_size,
        value_size,
        max_entries,
        flags: 0,
    }
}

struct Bench {
    machine: Machine,
    world: Fixed,
}

impl Bench {
    fn new(maps: &[MapSpec]) -> Self {
        let mut machine = Machine::new(Limits {
            instructions: 100_000,
            memory: 1 << 20,
            cpus: 2,
            uninitialised: Uninitialised::Fault,
        });
        for map in maps {
            machine.add_map(*map).unwrap();
        }
        Self {
            machine,
            world: Fixed::new(1),
        }
    }

    fn run(&mut self, source: &str, packet: &[u8]) -> Result<XdpRun, Fault> {
        let program = self.machine.add_program(assemble(source).unwrap());
        self.machine
            .run_xdp(program, &XdpInput::new(packet), &mut self.world)
    }
}

#[track_caller]
fn fault(source: &str) -> Fault {
    Bench::new(&[]).run(source, &[0; 60]).unwrap_err()
}

#[track_caller]
fn says(source: &str, message: &str) {
    assert_eq!(fault(source).to_string(), message);
}

#[test]
fn a_packet_is_read_up_to_its_end_and_no_further() {
    let source = "
        r2 = *(u32 *)(r1 +0)
        r3 = *(u32 *)(r1 +4)
        r3 -= r2
        r0 = *(u8 *)(r2 +59)
        r0 += r3
        exit";
    let mut packet = [0; 60];
    packet[59] = 7;
    let run = Bench::new(&[]).run(source, &packet).unwrap();
    assert_eq!((run.r0, run.instructions), (67, 6));
    assert_eq!(run.packet, packet);
    says(
        "r2 = *(u32 *)(r1 +0)
         r0 = *(u16 *)(r2 +59)
         exit",
        "program 0, instruction 1: read of 2 bytes at packet+59, outside 0..60",
    );
}

#[test]
fn faults_name_the_instruction_and_the_place() {
    says(
        "r0 = r3\nexit",
        "program 0, instruction 0: read of r3, which holds nothing",
    );
    says(
        "r0 = *(u64 *)(r10 -8)\nexit",
        "program 0, instruction 0: read of fp-8, which was never written",
    );
    says(
        "r0 = 0\n*(u64 *)(r10 -516) = 0\nexit",
        "program 0, instruction 1: write of 8 bytes at fp-516, outside -512..0",
    );
    says(
        "*(u32 *)(r1 +16) = 0\nexit",
        "program 0, instruction 0: write to context, which is read-only",
    );
    says(
        "r0 = *(u64 *)(r1 +0)\nexit",
        "program 0, instruction 0: 8 bytes at offset 0 of the context are no field of struct xdp_md",
    );
    says(
        "r0 = *(s32 *)(r1 +4)\nexit",
        "program 0, instruction 0: 4 bytes at offset 4 of the context are no field of struct xdp_md",
    );
    says(
        "r1 = 0\nr0 = *(u8 *)(r1 +4)\nexit",
        "program 0, instruction 1: read of 1 bytes through a null pointer (address 0x4)",
    );
    says(
        "r10 = 0\nexit",
        "program 0, instruction 0: write to the frame pointer",
    );
    says(
        "goto pc+5\nexit",
        "program 0, instruction 6: jump to 6, where no instruction begins",
    );
    says(
        "goto pc-3\nexit",
        "program 0, instruction 0: jump to -2, where no instruction begins",
    );
    says(
        "call bpf_sk_assign\nexit",
        "program 0, instruction 0: helper bpf_sk_assign#124 is not modelled",
    );
    says(
        "r1 = 5\nr2 = 0\ncall bpf_map_lookup_elem\nexit",
        "program 0, instruction 2: argument 1 of bpf_map_lookup_elem: no map",
    );
    assert_eq!(
        fault("goto pc-1").kind,
        FaultKind::Budget(100_000),
        "an endless loop ends"
    );
    assert_eq!(fault("deep:\ncall deep\nexit").kind, FaultKind::CallDepth);
}

#[test]
fn subprograms_have_frames_and_keep_the_callers_registers() {
    let source = "
        r6 = 40
        *(u64 *)(r10 -8) = 2
        r1 = r10
        r1 += -8
        call deref
        r0 += r6
        exit
    deref:
        *(u64 *)(r10 -8) = 99
        r6 = 0
        r0 = *(u64 *)(r1 +0)
        exit";
    assert_eq!(Bench::new(&[]).run(source, &[0; 60]).unwrap().r0, 42);
    assert_eq!(
        fault("r1 = 1\ncall f\nr0 = r1\nexit\nf:\nr0 = 0\nexit").slot,
        2,
        "a call spoils its arguments"
    );
}

#[test]
fn numbers_of_the_context_are_read_with_their_sign_when_asked_for() {
    let mut bench = Bench::new(&[]);
    let source = "r0 = *(s32 *)(r1 +12)\nr0 s>>= 31\nr0 += 2\nexit";
    let program = bench.machine.add_program(assemble(source).unwrap());
    for (ingress_ifindex, verdict) in [(1, 2), (0x8000_0000, 1)] {
        let input = XdpInput {
            ingress_ifindex,
            ..XdpInput::new(&[0; 60])
        };
        let run = bench.machine.run_xdp(program, &input, &mut bench.world);
        assert_eq!(run.unwrap().verdict(), verdict);
    }
}

#[test]
fn maps_keep_their_contents_from_run_to_run() {
    let source = "
        *(u32 *)(r10 -4) = 1
        r2 = r10
        r2 += -4
        r1 = map[fd:0]
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r1 = 1
        lock *(u64 *)(r0 +0) += r1
    out:
        r0 = 2
        exit";
    for kind in [MapKind::Array, MapKind::PerCpuArray] {
        let mut bench = Bench::new(&[spec(kind, 4, 8, 4)]);
        bench.world.cpu = 1;
        for _ in 0..3 {
            assert_eq!(bench.run(source, &[0; 60]).unwrap().verdict(), PASS);
        }
        let value = bench.machine.lookup(0, &[1, 0, 0, 0]).unwrap().unwrap();
        let expected = if kind == MapKind::Array {
            vec![3, 0, 0, 0, 0, 0, 0, 0]
        } else {
            [[0; 8], [3, 0, 0, 0, 0, 0, 0, 0]].concat()
        };
        assert_eq!(value, expected);
        assert_eq!(bench.machine.lookup(0, &[4, 0, 0, 0]).unwrap(), None);
    }
}

#[test]
fn a_hash_fills_up_and_an_lru_forgets_the_oldest() {
    let mut machine = Machine::new(Limits::default());
    let hash = machine.add_map(spec(MapKind::Hash, 1, 1, 2)).unwrap();
    let lru = machine.add_map(spec(MapKind::LruHash, 1, 1, 2)).unwrap();
    for map in [hash, lru] {
        machine.update(map, &[1], &[10], 1).unwrap();
        machine.update(map, &[2], &[20], 0).unwrap();
        assert!(machine.update(map, &[2], &[20], 1).is_err(), "exists");
        assert!(machine.update(map, &[3], &[30], 2).is_err(), "is new");
        machine.update(map, &[1], &[11], 2).unwrap();
    }
    assert_eq!(
        machine
            .update(hash, &[3], &[30], 0)
            .unwrap_err()
            .to_string(),
        "refused with errno 7"
    );
    machine.update(lru, &[3], &[30], 0).unwrap();
    assert_eq!(machine.lookup(lru, &[2]).unwrap(), None);
    assert_eq!(machine.lookup(lru, &[1]).unwrap(), Some(vec![11]));
    assert!(machine.delete(hash, &[1]).unwrap());
    assert!(!machine.delete(hash, &[1]).unwrap());
    assert_eq!(machine.next_key(hash, None).unwrap(), Some(vec![2]));
    assert_eq!(machine.next_key(hash, Some(&[2])).unwrap(), None);
}

#[test]
fn a_trie_finds_the_longest_prefix() {
    let mut machine = Machine::new(Limits::default());
    let trie = machine.add_map(spec(MapKind::LpmTrie, 8, 1, 10)).unwrap();
    let key = |length: u8, address: [u8; 4]| {
        let mut key = vec![length, 0, 0, 0];
        key.extend(address);
        key
    };
    machine
        .update(trie, &key(8, [10, 0, 0, 0]), &[1], 0)
        .unwrap();
    machine
        .update(trie, &key(20, [10, 1, 16, 0]), &[2], 0)
        .unwrap();
    let mut find = |address| machine.lookup(trie, &key(32, address)).unwrap();
    assert_eq!(find([10, 2, 0, 1]), Some(vec![1]));
    assert_eq!(find([10, 1, 31, 255]), Some(vec![2]));
    assert_eq!(find([11, 1, 16, 0]), None);
    assert!(machine.update(trie, &key(33, [0; 4]), &[1], 0).is_err());
}

#[test]
fn tail_calls_replace_the_program_and_are_limited() {
    let mut bench = Bench::new(&[
        spec(MapKind::ProgArray, 4, 4, 2),
        spec(MapKind::Array, 4, 8, 1),
    ]);
    let again = "
        r6 = r1
        r1 = map[fd:1][0]+0
        r2 = *(u64 *)(r1 +0)
        r2 += 1
        *(u64 *)(r1 +0) = r2
        r1 = r6
        r2 = map[fd:0]
        r3 = 0
        call bpf_tail_call
        exit";
    bench.machine.add_program(assemble(again).unwrap());
    let set = |machine: &mut Machine, slot: u8, program: u8| {
        machine
            .update(0, &[slot, 0, 0, 0], &[program, 0, 0, 0], 0)
            .unwrap();
    };
    set(&mut bench.machine, 0, 0);
    let run = bench
        .machine
        .run_xdp(0, &XdpInput::new(&[0; 60]), &mut bench.world)
        .unwrap();
    assert_eq!(run.r0 as i64, -22, "the 34th tail call fails");
    let count = bench.machine.lookup(1, &[0; 4]).unwrap().unwrap();
    assert_eq!(count[0], 34);
}

#[test]
fn callbacks_run_until_they_say_stop() {
    let source = "
        *(u64 *)(r10 -8) = 0
        r1 = 10
        r2 = subprog[body]
        r3 = r10
        r3 += -8
        r4 = 0
        call bpf_loop
        r1 = *(u64 *)(r10 -8)
        r1 <<= 8
        r0 += r1
        exit
    body:
        r3 = *(u64 *)(r2 +0)
        r3 += r1
        *(u64 *)(r2 +0) = r3
        r0 = 0
        if r1 != 3 goto out
        r0 = 1
    out:
        exit";
    let run = Bench::new(&[]).run(source, &[0; 60]).unwrap();
    assert_eq!(run.r0, (6 << 8) + 4);
    let each = "
        *(u64 *)(r10 -8) = 0
        r1 = map[fd:0]
        r2 = subprog[body]
        r3 = r10
        r3 += -8
        r4 = 0
        call bpf_for_each_map_elem
        r1 = *(u64 *)(r10 -8)
        r1 <<= 8
        r0 += r1
        exit
    body:
        r5 = *(u32 *)(r2 +0)
        r2 = *(u64 *)(r4 +0)
        r2 += r5
        *(u64 *)(r4 +0) = r2
        r0 = 0
        exit";
    let mut bench = Bench::new(&[spec(MapKind::Array, 4, 8, 5)]);
    assert_eq!(bench.run(each, &[0; 60]).unwrap().r0, (10 << 8) + 5);
}

#[test]
fn the_packets_ends_move_within_the_buffer() {
    let grow = |helper: &str, delta: i32| {
        let source = format!("r2 = {delta}\ncall bpf_xdp_adjust_{helper}\nexit");
        let run = Bench::new(&[]).run(&source, &[1; 60]).unwrap();
        (run.r0 as i64, run.packet.len(), run.metadata.len())
    };
    assert_eq!(grow("head", 46), (0, 14, 0));
    assert_eq!(grow("head", 47), (-22, 60, 0));
    assert_eq!(grow("head", -216), (0, 276, 0));
    assert_eq!(grow("head", -217), (-22, 60, 0));
    assert_eq!(grow("tail", -46), (0, 14, 0));
    assert_eq!(grow("tail", 3460), (0, 3520, 0));
    assert_eq!(grow("tail", 3461), (-22, 60, 0));
    assert_eq!(grow("meta", -4), (0, 60, 4));
    assert_eq!(grow("meta", -3), (-13, 60, 0));
    assert_eq!(grow("meta", 4), (-22, 60, 0));
}

#[test]
fn redirects_name_their_target() {
    let mut bench = Bench::new(&[spec(MapKind::DevMap, 4, 4, 4)]);
    bench
        .machine
        .update(0, &[2, 0, 0, 0], &[9, 0, 0, 0], 0)
        .unwrap();
    let to = |key: u8, flags: u8| {
        format!("r1 = map[fd:0]\nr2 = {key}\nr3 = {flags}\ncall bpf_redirect_map\nexit")
    };
    let run = bench.run(&to(2, 0), &[0; 60]).unwrap();
    assert_eq!(run.verdict(), 4);
    assert_eq!(
        run.redirect,
        Some(Redirect::Map {
            map: 0,
            key: 2,
            value: Some(vec![9, 0, 0, 0]),
            flags: 0
        })
    );
    let run = bench.run(&to(1, 2), &[0; 60]).unwrap();
    assert_eq!((run.verdict(), run.redirect), (2, None));
    let run = bench.run(&to(2, 32), &[0; 60]).unwrap();
    assert_eq!(run.verdict(), 0);
}

#[test]
fn records_and_events_come_out_in_order() {
    let mut bench = Bench::new(&[
        spec(MapKind::RingBuf, 0, 0, 4096),
        spec(MapKind::PerfEventArray, 4, 4, 2),
    ]);
    let reserve = "
        r1 = map[fd:0]
        r2 = 4
        r3 = 0
        call bpf_ringbuf_reserve
        *(u32 *)(r0 +0) = 7
        r1 = r0
        r2 = 0
        call bpf_ringbuf_submit
        r0 = 2
        exit";
    bench.run(reserve, &[0; 60]).unwrap();
    assert_eq!(bench.machine.consume(0).unwrap(), [[7, 0, 0, 0]]);
    assert_eq!(bench.machine.consume(0).unwrap(), Vec::<Vec<u8>>::new());
    let forgets = reserve.replace("call bpf_ringbuf_submit", "r1 = 0");
    assert_eq!(
        bench.run(&forgets, &[0; 60]).unwrap_err().kind,
        FaultKind::UnreleasedRecord
    );
    let perf = "
        *(u32 *)(r10 -4) = 5
        r2 = map[fd:1]
        r3 = 0x2ffffffff
        r4 = r10
        r4 += -4
        r5 = 4
        call bpf_perf_event_output
        exit";
    assert_eq!(bench.run(perf, &[0xaa; 60]).unwrap().r0 as i64, -2);
    bench.machine.update(1, &[0; 4], &[0; 4], 0).unwrap();
    let run = bench.run(perf, &[0xaa; 60]).unwrap();
    assert_eq!(
        run.events,
        [Event::Perf {
            map: 1,
            index: 0,
            data: vec![5, 0, 0, 0, 0xaa, 0xaa]
        }]
    );
}

#[test]
fn a_deleted_value_stays_readable_during_the_run() {
    let source = "
        *(u32 *)(r10 -4) = 1
        r2 = r10
        r2 += -4
        r1 = map[fd:0]
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r6 = r0
        r2 = r10
        r2 += -4
        r1 = map[fd:0]
        call bpf_map_delete_elem
        r0 = *(u32 *)(r6 +0)
    out:
        exit";
    let mut bench = Bench::new(&[spec(MapKind::Hash, 4, 4, 4)]);
    bench
        .machine
        .update(0, &[1, 0, 0, 0], &[8, 0, 0, 0], 0)
        .unwrap();
    assert_eq!(bench.run(source, &[0; 60]).unwrap().r0, 8);
    assert_eq!(bench.run(source, &[0; 60]).unwrap().r0, 0);
}

proptest! {
    /// Programs of random slots, made likelier to mean something.
    #[test]
    fn no_program_makes_the_machine_panic(
        slots in prop::collection::vec((any::<u8>(), 0..11u8, 0..11u8, -9..9i16, prop_oneof![-9..200i32, any::<i32>()]), 1..40)
    ) {
        let mut slots: Vec<Insn> = slots
            .into_iter()
            .map(|(code, dst, src, off, imm)| Insn { code, dst, src, off, imm })
            .filter(|slot| Code::decode(&[*slot]).is_ok())
            .collect();
        slots.push(Insn { code: Insn::EXIT, ..Insn::default() });
        let mut bench = Bench::new(&[spec(MapKind::Hash, 4, 8, 4), spec(MapKind::RingBuf, 0, 0, 4096)]);
        bench.machine.limits.instructions = 2_000;
        bench.machine.memory.lenient = true;
        let program = bench.machine.add_program(Code::decode(&slots).unwrap());
        let _ = bench.machine.run_xdp(program, &XdpInput::new(&[0; 60]), &mut bench.world);
    }
}
