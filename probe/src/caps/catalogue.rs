//! What is asked: helpers, instructions, kinds and flags of maps, each by the smallest program or map with it.
//!
//! The driver of the NFP looks at an instruction before the verifier does, and reads outside of its memory at some that
//! the verifier would refuse (`hw-matrix/lab/nfpsim/README.md`). So each trial is a program that the verifier takes:
//! a value that is put into a map lies on the stack, written, no access begins before a map value, and nothing is
//! divided by 0.

use super::code::{
    EXIT, Insn, add, call, call_local, copy, insn, key_of_map, map, on_map_value, on_packet,
    passing, set, size, store,
};

/// A map that a trial program uses, by its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrialMap {
    /// On the device: key of 4 bytes, value of 8, one element.
    Value,
    /// An event array, which stays on the host.
    Events,
    /// A map of this kind on the host, as a helper needs it: tail calls, redirects.
    Host(u32),
}

/// A trial program.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    /// What it asks.
    pub(super) what: String,
    pub(super) code: Vec<Insn>,
    pub(super) maps: Vec<TrialMap>,
}

impl Trial {
    fn new(what: impl Into<String>, code: Vec<Insn>) -> Self {
        Self {
            what: what.into(),
            code,
            maps: Vec::new(),
        }
    }

    fn with(what: impl Into<String>, map: TrialMap, code: Vec<Insn>) -> Self {
        Self {
            maps: vec![map],
            ..Self::new(what, code)
        }
    }
}

/// A helper that no card has: the driver's words about it tell whose driver it is.
pub(super) const FOREIGN_HELPER: &str = "bpf_ktime_get_ns";
/// The helpers of a profile.
pub(super) const MAP_LOOKUP: &str = "bpf_map_lookup_elem";
pub(super) const MAP_UPDATE: &str = "bpf_map_update_elem";
pub(super) const MAP_DELETE: &str = "bpf_map_delete_elem";
pub(super) const EVENT_OUTPUT: &str = "bpf_perf_event_output";
pub(super) const RANDOM: &str = "bpf_get_prandom_u32";
pub(super) const ADJUST_HEAD: &str = "bpf_xdp_adjust_head";
pub(super) const ADJUST_TAIL: &str = "bpf_xdp_adjust_tail";
/// The instruction that chooses the receive queue.
pub(super) const STORE_QUEUE: &str = "store to rx_queue_index";

/// `BPF_MAP_TYPE_*` of maps that some helpers need.
const PROG_ARRAY: u32 = 3;
const DEVMAP: u32 = 14;

/// Helpers that XDP programs call, with the simplest arguments that the verifier takes.
pub(super) fn helpers() -> Vec<Trial> {
    // The context stays in r1 for those that take it.
    let plain = |what: &str, id: i32, before: &[Insn]| {
        let body = before.iter().copied().chain([call(id)]);
        Trial::new(what, passing(body))
    };
    let on_key = |what: &str, id: i32, then: &[Insn]| {
        let mut code = key_of_map();
        code.extend(then);
        code.push(call(id));
        Trial::with(what, TrialMap::Value, passing(code))
    };
    let stack = [set(0, 0), store(size::DW, 10, -8, 0)];
    let on_stack = |register: u8| [copy(register, 10), add(register, -8)];
    let event = {
        let [low, high] = map(2, 0);
        // BPF_F_CURRENT_CPU
        let mut code = vec![stack[0], stack[1], low, high, insn(0xb4, 3, 0, 0, -1)];
        code.extend(on_stack(4));
        code.extend([set(5, 8), call(25)]);
        Trial::with(EVENT_OUTPUT, TrialMap::Events, passing(code))
    };
    let in_host_map = |what: &str, kind: u32, register: u8, rest: &[Insn]| {
        let code = map(register, 0).into_iter().chain(rest.iter().copied());
        Trial::with(what, TrialMap::Host(kind), passing(code))
    };
    let update = {
        let value = [
            store(size::DW, 10, -16, 0),
            copy(3, 10),
            add(3, -16),
            set(4, 0),
        ];
        on_key(MAP_UPDATE, 2, &value)
    };
    let csum: Vec<Insn> = stack
        .into_iter()
        .chain([set(1, 0), set(2, 0)])
        .chain(on_stack(3))
        .chain([set(4, 8), set(5, 0)])
        .collect();
    let bytes: Vec<Insn> = stack
        .into_iter()
        .chain([set(2, 0)])
        .chain(on_stack(3))
        .chain([set(4, 8)])
        .collect();
    let print: Vec<Insn> = stack
        .into_iter()
        .chain(on_stack(1))
        .chain([set(2, 8)])
        .collect();
    vec![
        on_key(MAP_LOOKUP, 1, &[]),
        update,
        on_key(MAP_DELETE, 3, &[]),
        event,
        plain(RANDOM, 7, &[]),
        plain(ADJUST_HEAD, 44, &[set(2, 0)]),
        plain(ADJUST_TAIL, 65, &[set(2, 0)]),
        plain(FOREIGN_HELPER, 5, &[]),
        plain("bpf_ktime_get_boot_ns", 125, &[]),
        plain("bpf_jiffies64", 118, &[]),
        plain("bpf_get_smp_processor_id", 8, &[]),
        plain("bpf_get_numa_node_id", 42, &[]),
        plain("bpf_trace_printk", 6, &print),
        plain("bpf_csum_diff", 28, &csum),
        plain("bpf_xdp_adjust_meta", 54, &[set(2, 0)]),
        plain("bpf_xdp_get_buff_len", 188, &[]),
        plain("bpf_xdp_load_bytes", 189, &bytes),
        plain("bpf_xdp_store_bytes", 190, &bytes),
        plain("bpf_redirect", 23, &[set(1, 1), set(2, 0)]),
        in_host_map(
            "bpf_redirect_map",
            DEVMAP,
            1,
            &[set(2, 0), set(3, 0), call(51)],
        ),
        in_host_map("bpf_tail_call", PROG_ARRAY, 2, &[set(3, 0), call(12)]),
    ]
}

/// Operations of arithmetic by the high half of their opcode.
const ARITHMETIC: [(&str, u8); 10] = [
    ("add", 0x00),
    ("sub", 0x10),
    ("mul", 0x20),
    ("or", 0x40),
    ("and", 0x50),
    ("xor", 0xa0),
    ("lsh", 0x60),
    ("rsh", 0x70),
    ("arsh", 0xc0),
    ("mov", 0xb0),
];
const DIV: u8 = 0x30;
const MOD: u8 = 0x90;

/// Conditions of branches.
const CONDITIONS: [(&str, u8); 11] = [
    ("jeq", 0x10),
    ("jne", 0x50),
    ("jgt", 0x20),
    ("jge", 0x30),
    ("jlt", 0xa0),
    ("jle", 0xb0),
    ("jsgt", 0x60),
    ("jsge", 0x70),
    ("jslt", 0xc0),
    ("jsle", 0xd0),
    ("jset", 0x40),
];
const WIDTHS: [(&str, u8); 4] = [
    ("8", size::B),
    ("16", size::H),
    ("32", size::W),
    ("64", size::DW),
];

/// Instructions, one program each.
pub(super) fn instructions() -> Vec<Trial> {
    let mut trials = arithmetic();
    trials.extend(branches());
    trials.extend(memory());
    trials.extend(map_values());
    trials
}

fn arithmetic() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut ask = |what: String, body: &[Insn]| {
        trials.push(Trial::new(what, on_packet(body.iter().copied())));
    };
    for (bits, class) in [("64", 0x07), ("32", 0x04)] {
        for (name, operation) in ARITHMETIC {
            let code = class | operation;
            ask(format!("{name}{bits} constant"), &[insn(code, 0, 0, 0, 3)]);
            ask(
                format!("{name}{bits} register"),
                &[insn(code | 0x08, 0, 5, 0, 0)],
            );
        }
        // The offset 1 makes division signed (Linux 6.6).
        for (name, operation, off) in [
            ("div", DIV, 0),
            ("mod", MOD, 0),
            ("sdiv", DIV, 1),
            ("smod", MOD, 1),
        ] {
            let code = class | operation;
            ask(
                format!("{name}{bits} constant"),
                &[insn(code, 0, 0, off, 3)],
            );
            ask(
                format!("{name}{bits} known register"),
                &[set(5, 3), insn(code | 0x08, 0, 5, off, 0)],
            );
            ask(
                format!("{name}{bits} unknown register"),
                &[insn(code | 0x08, 0, 5, off, 0)],
            );
        }
        ask(format!("neg{bits}"), &[insn(class | 0x80, 0, 0, 0, 0)]);
        ask(format!("movsx{bits}"), &[insn(class | 0xb8, 0, 5, 8, 0)]);
    }
    for bits in [16, 32, 64] {
        ask(format!("be{bits}"), &[insn(0xdc, 0, 0, 0, bits)]);
        ask(format!("le{bits}"), &[insn(0xd4, 0, 0, 0, bits)]);
        ask(format!("bswap{bits}"), &[insn(0xd7, 0, 0, 0, bits)]);
    }
    trials
}

fn branches() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut ask = |what: String, branch: Insn| {
        trials.push(Trial::new(what, on_packet([branch, set(0, 1)])));
    };
    for (bits, class) in [("64", 0x05), ("32", 0x06)] {
        for (name, condition) in CONDITIONS {
            let code = class | condition;
            ask(format!("{name}{bits} constant"), insn(code, 0, 0, 1, 3));
            ask(
                format!("{name}{bits} register"),
                insn(code | 0x08, 0, 5, 1, 0),
            );
        }
    }
    ask("may_goto".to_owned(), insn(0xe5, 0, 0, 1, 0));
    for (what, jump) in [
        ("ja", insn(0x05, 0, 0, 1, 0)),
        ("ja32", insn(0x06, 0, 0, 0, 1)),
    ] {
        // What it leaps over is reached by the branch before it.
        let body = [insn(0x15, 0, 0, 1, 3), jump, set(0, 1)];
        trials.push(Trial::new(what, on_packet(body)));
    }
    let called = vec![call_local(2), set(0, 2), EXIT, set(0, 0), EXIT];
    trials.push(Trial::new("call of a subprogram", called));
    trials
}

fn memory() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut ask = |what: String, body: &[Insn]| {
        trials.push(Trial::new(what, on_packet(body.iter().copied())));
    };
    let written = store(size::DW, 10, -8, 0);
    for (bits, width) in WIDTHS {
        ask(
            format!("load{bits} packet"),
            &[insn(0x61 | width, 0, 2, 16, 0)],
        );
        ask(format!("store{bits} packet"), &[store(width, 2, 16, 0)]);
        ask(
            format!("store{bits} packet constant"),
            &[insn(0x62 | width, 2, 0, 16, 7)],
        );
        ask(
            format!("load{bits} stack"),
            &[written, insn(0x61 | width, 0, 10, -8, 0)],
        );
        ask(format!("store{bits} stack"), &[store(width, 10, -8, 0)]);
        ask(
            format!("store{bits} stack constant"),
            &[insn(0x62 | width, 10, 0, -8, 7)],
        );
    }
    for (bits, width) in &WIDTHS[..3] {
        ask(
            format!("loadsx{bits} packet"),
            &[insn(0x81 | width, 0, 2, 16, 0)],
        );
    }
    for (field, off) in [
        ("data", 0),
        ("data_end", 4),
        ("data_meta", 8),
        ("ingress_ifindex", 12),
        ("rx_queue_index", 16),
    ] {
        ask(format!("load of {field}"), &[insn(0x61, 0, 1, off, 0)]);
    }
    ask(STORE_QUEUE.to_owned(), &[store(size::W, 1, 16, 5)]);
    ask(
        "ld_imm64".to_owned(),
        &[insn(0x18, 0, 0, 0, 7), insn(0, 0, 0, 0, 7)],
    );
    trials
}

/// The value of a map: r0 is its address, r1 a number.
fn map_values() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut ask = |what: String, body: &[Insn]| {
        let code = on_map_value(body.iter().copied());
        trials.push(Trial::with(what, TrialMap::Value, code));
    };
    for (bits, width) in WIDTHS {
        ask(
            format!("load{bits} map value"),
            &[insn(0x61 | width, 1, 0, 0, 0)],
        );
        ask(format!("store{bits} map value"), &[store(width, 0, 0, 1)]);
    }
    for (bits, width) in [("32", size::W), ("64", size::DW)] {
        for (name, operation) in [
            ("add", 0x00),
            ("or", 0x40),
            ("and", 0x50),
            ("xor", 0xa0),
            ("fetch-add", 0x01),
            ("xchg", 0xe1),
            ("cmpxchg", 0xf1),
        ] {
            let atomic = insn(0xc3 | width, 0, 1, 0, operation);
            if name == "cmpxchg" {
                // It compares with r0, so the address moves.
                let body = [
                    copy(2, 0),
                    set(0, 0),
                    insn(0xc3 | width, 2, 1, 0, operation),
                ];
                ask(format!("atomic {name}{bits}"), &body);
            } else {
                ask(format!("atomic {name}{bits}"), &[atomic]);
            }
        }
    }
    trials
}

/// Pairs of instructions that mean different things: where the second gets the machine code of the first, it is
/// translated wrongly.
pub(super) fn twins() -> Vec<[Trial; 2]> {
    let pair = |right: &str, one: Insn, wrong: &str, other: Insn| {
        [
            Trial::new(right, on_packet([one])),
            Trial::new(wrong, on_packet([other])),
        ]
    };
    let mut twins = Vec::new();
    for (bits, class) in [("64", 0x07), ("32", 0x04)] {
        let [divide, mov] = [class | DIV, class | 0xb8];
        twins.push(pair(
            &format!("div{bits}"),
            insn(divide, 0, 0, 0, 3),
            &format!("sdiv{bits}"),
            insn(divide, 0, 0, 1, 3),
        ));
        for from in [8, 16] {
            twins.push(pair(
                &format!("mov{bits}"),
                insn(mov, 0, 5, 0, 0),
                &format!("movsx{bits} from {from} bits"),
                insn(mov, 0, 5, from, 0),
            ));
        }
    }
    twins.push(pair(
        "mov64",
        insn(0xbf, 0, 5, 0, 0),
        "movsx64 from 32 bits",
        insn(0xbf, 0, 5, 32, 0),
    ));
    twins
}

/// A map to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// `BPF_MAP_TYPE_*`
    pub(super) kind: u32,
    /// Bytes of a key.
    pub(super) key: u32,
    /// Bytes of a value.
    pub(super) value: u32,
    /// Elements.
    pub(super) entries: u32,
    /// `BPF_F_*`
    pub(super) flags: u32,
}

pub(super) const HASH: u32 = 1;
pub(super) const ARRAY: u32 = 2;
/// `BPF_F_NO_PREALLOC`
const NO_PREALLOC: u32 = 1;

/// Names of the kinds that a profile has.
pub(super) const HASH_NAME: &str = "hash";
pub(super) const ARRAY_NAME: &str = "array";

/// Kinds of maps, each with one element.
pub(super) const KINDS: [(&str, Shape); 10] = {
    const fn shape(kind: u32, key: u32, value: u32, flags: u32) -> Shape {
        Shape {
            kind,
            key,
            value,
            entries: 1,
            flags,
        }
    }
    [
        (HASH_NAME, shape(HASH, 4, 4, 0)),
        (ARRAY_NAME, shape(ARRAY, 4, 4, 0)),
        ("percpu_hash", shape(5, 4, 8, 0)),
        ("percpu_array", shape(6, 4, 8, 0)),
        ("lru_hash", shape(9, 4, 4, 0)),
        ("lpm_trie", shape(11, 8, 4, NO_PREALLOC)),
        ("prog_array", shape(PROG_ARRAY, 4, 4, 0)),
        ("devmap", shape(DEVMAP, 4, 4, 0)),
        ("cpumap", shape(16, 4, 4, 0)),
        ("queue", shape(22, 0, 4, 0)),
    ]
};

/// Flags of a hash or an array, and of which.
pub(super) const FLAGS: [(&str, u32, u32); 6] = [
    ("BPF_F_NO_PREALLOC", NO_PREALLOC, HASH),
    ("BPF_F_RDONLY", 1 << 3, ARRAY),
    ("BPF_F_WRONLY", 1 << 4, ARRAY),
    ("BPF_F_RDONLY_PROG", 1 << 7, ARRAY),
    ("BPF_F_WRONLY_PROG", 1 << 8, ARRAY),
    ("BPF_F_MMAPABLE", 1 << 10, ARRAY),
];
