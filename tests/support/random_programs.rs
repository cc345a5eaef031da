//! Random programs that the kernel's verifier accepts, in its own assembly.
//!
//! r6 is the context, r7 and r8 the packet's ends, of which the first `Generator` bytes are
//! checked. r0 to r5 and r9 are numbers at every statement's start, and so are the 8 slots at fp-8 to
//! fp-64. At the end all of them go into map 0, so that a difference anywhere shows.

use crate::Random;
use std::fmt::Write as _;

use offload_compiler::interp::{MapKind, MapSpec};

const fn map(
    kind: MapKind,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
) -> MapSpec {
    MapSpec {
        kind,
        key_size,
        value_size,
        max_entries,
        flags,
    }
}

/// `BPF_F_NO_PREALLOC`, which tries must have.
const NO_PREALLOC: u32 = 1;

/// The maps of every generated program, by number.
pub const MAPS: [MapSpec; 7] = [
    map(MapKind::Array, 4, 128, 1, 0),
    map(MapKind::Array, 4, 16, 4, 0),
    map(MapKind::Hash, 4, 8, 8, 0),
    map(MapKind::PerCpuArray, 4, 16, 4, 0),
    map(MapKind::LpmTrie, 8, 8, 8, NO_PREALLOC),
    map(MapKind::Queue, 0, 8, 4, 0),
    map(MapKind::DevMap, 4, 4, 4, 0),
];
const RESULTS: usize = 0;
const HASH: usize = 2;
const TRIE: usize = 4;
const QUEUE: usize = 5;
/// The devmap, in which [`DEVICE_SLOT`] leads to `lo`.
pub const DEVICES: usize = 6;
/// The one element of the devmap that is set.
pub const DEVICE_SLOT: u32 = 1;

const SCALARS: [u8; 7] = [0, 1, 2, 3, 4, 5, 9];
const SLOTS: i64 = 8;
/// Where keys are put: below the slots.
const KEY: i64 = -72;

/// A random program.
pub fn program(seed: u64) -> String {
    let mut generator = Generator {
        random: Random::new(seed),
        out: String::new(),
        labels: 0,
        bound: 0,
        functions: Vec::new(),
        counter_in_r9: false,
    };
    generator.whole();
    generator.out
}

struct Generator {
    random: Random,
    out: String,
    labels: u32,
    /// Bytes of the packet that are known to be there.
    bound: i64,
    /// Text of the subprograms called so far.
    functions: Vec<String>,
    /// In a loop r9 counts and must not be written.
    counter_in_r9: bool,
}

macro_rules! emit {
    ($self:ident, $($format:tt)*) => {{
        let _ = writeln!($self.out, $($format)*);
    }};
}

impl Generator {
    fn whole(&mut self) {
        emit!(self, "r6 = r1");
        self.check_packet();
        for slot in 1..=SLOTS {
            let value = self.immediate();
            emit!(self, "*(u64 *)(r10 -{}) = {value}", slot * 8);
        }
        emit!(self, "*(u64 *)(r10 {KEY}) = 0");
        for reg in SCALARS {
            self.load_number(reg);
        }
        let statements = self.random.range(4..=28);
        for _ in 0..statements {
            self.statement(2);
        }
        for (slot, reg) in SCALARS.into_iter().enumerate() {
            emit!(self, "*(u64 *)(r10 -{}) = r{reg}", slot * 8 + 8);
        }
        emit!(self, "r1 = map[fd:{RESULTS}][0]+0");
        for slot in 1..=SLOTS {
            emit!(self, "r2 = *(u64 *)(r10 -{})", slot * 8);
            emit!(self, "*(u64 *)(r1 +{}) = r2", slot * 8 - 8);
        }
        emit!(self, "r0 = *(u64 *)(r10 -8)");
        emit!(self, "exit");
        emit!(self, "short:");
        emit!(self, "r0 = 1");
        emit!(self, "exit");
        for function in std::mem::take(&mut self.functions) {
            self.out.push_str(&function);
        }
    }

    /// Loads the packet's ends and checks its length. r0 to r5 hold nothing afterwards.
    fn check_packet(&mut self) {
        self.bound = *self.random.pick(&[14, 14, 20, 34, 42]);
        let bound = self.bound;
        emit!(self, "r7 = *(u32 *)(r6 +0)");
        emit!(self, "r8 = *(u32 *)(r6 +4)");
        emit!(self, "r1 = r7");
        emit!(self, "r1 += {bound}");
        emit!(self, "if r1 > r8 goto short");
    }

    fn label(&mut self) -> String {
        self.labels += 1;
        format!("l{}", self.labels)
    }

    fn immediate(&mut self) -> i32 {
        match self.random.below(6) {
            0 => *self.random.pick(&[0, 1, -1, i32::MAX, i32::MIN]),
            1 => 1 << self.random.below(31),
            2 => self.random.next() as i32,
            _ => self.random.range(-20..=300) as i32,
        }
    }

    /// A register with a number in it.
    fn scalar(&mut self) -> u8 {
        *self.random.pick(&SCALARS)
    }

    /// One that may be written.
    fn target(&mut self) -> u8 {
        let last = if self.counter_in_r9 { 6 } else { 7 };
        *self.random.pick(&SCALARS[..last])
    }

    /// Puts some number into a register.
    fn load_number(&mut self, reg: u8) {
        match self.random.below(4) {
            0 => {
                let value = self.immediate();
                emit!(self, "r{reg} = {value}");
            }
            1 => {
                let value = self.random.next();
                emit!(self, "r{reg} = 0x{value:x}");
            }
            2 => self.packet_load(reg),
            _ => self.stack_load(reg),
        }
    }

    /// After a call: r1 to r5 hold nothing. r0 may, unless `r0`.
    fn renew(&mut self, r0: bool) {
        for reg in if r0 { 0..=5 } else { 1..=5 } {
            self.load_number(reg);
        }
    }

    fn size(&mut self) -> i64 {
        *self.random.pick(&[1, 2, 4, 8])
    }

    /// Of the type of a load: unsigned, or sometimes signed.
    fn load_type(&mut self, size: i64) -> String {
        let sign = if size < 8 && self.random.one_in(4) {
            's'
        } else {
            'u'
        };
        format!("{sign}{}", size * 8)
    }

    fn packet_load(&mut self, reg: u8) {
        let size = self.size();
        let at = self.random.range(0..=self.bound - size);
        let ty = self.load_type(size);
        emit!(self, "r{reg} = *({ty} *)(r7 {at:+})");
    }

    /// An aligned place in the slots.
    fn place(&mut self, size: i64) -> i64 {
        -size * self.random.range(1..=SLOTS * 8 / size)
    }

    fn stack_load(&mut self, reg: u8) {
        let size = self.size();
        let at = self.place(size);
        let ty = self.load_type(size);
        emit!(self, "r{reg} = *({ty} *)(r10 {at:+})");
    }

    fn stack_store(&mut self) {
        let size = self.size();
        let at = self.place(size);
        self.store("r10", at, size);
    }

    fn store(&mut self, base: &str, at: i64, size: i64) {
        let bits = size * 8;
        if self.random.one_in(3) {
            let value = self.immediate();
            emit!(self, "*(u{bits} *)({base} {at:+}) = {value}");
        } else {
            let src = self.scalar();
            emit!(self, "*(u{bits} *)({base} {at:+}) = r{src}");
        }
    }

    fn statement(&mut self, depth: u32) {
        match self.random.below(44) {
            12 | 13 => self.unary(),
            14..=16 => {
                let reg = self.target();
                self.packet_load(reg);
            }
            17..=19 => {
                let size = self.size();
                let at = self.random.range(0..=self.bound - size);
                self.store("r7", at, size);
            }
            20 | 21 => self.stack_store(),
            22 | 23 => {
                let reg = self.target();
                self.stack_load(reg);
            }
            24 | 25 => {
                let (reg, size) = (self.target(), *self.random.pick(&[4, 8]));
                let at = self.place(size);
                self.atomic("r10", at, size, reg);
            }
            26..=29 if depth > 0 => self.branch(depth),
            30 if depth > 0 && !self.counter_in_r9 => self.counted_loop(depth),
            31 => self.packet_at_variable_offset(),
            32 | 33 => self.array_element(),
            34 => self.hash_operation(),
            35 => self.trie_operation(),
            36 => self.queue_operation(),
            37 => self.direct_value(),
            38 => self.checksum(),
            39 => self.copy_packet(),
            40 => self.adjust(),
            41 => self.redirect(),
            42 => self.call_subprogram(),
            43 => self.bpf_loop(),
            _ => self.arithmetic(), // 0 to 11, and what does not go here
        }
    }

    fn arithmetic(&mut self) {
        let dst = self.target();
        let line = self.arithmetic_on(dst, &SCALARS);
        emit!(self, "{line}");
    }

    fn arithmetic_on(&mut self, dst: u8, scalars: &[u8]) -> String {
        let op = *self.random.pick(&[
            "+=", "-=", "*=", "/=", "%=", "s/=", "s%=", "|=", "&=", "^=", "<<=", ">>=", "s>>=", "=",
        ]);
        let (letter, width) = *self.random.pick(&[('r', 64), ('w', 32)]);
        if self.random.one_in(2) {
            let src = self.random.pick(scalars);
            return format!("{letter}{dst} {op} {letter}{src}");
        }
        let value = if op.ends_with("<<=") || op.ends_with(">>=") {
            self.random.range(0..=width - 1) as i32
        } else {
            self.immediate()
        };
        let value = if op.contains(['/', '%']) && value == 0 {
            7
        } else {
            value
        };
        format!("{letter}{dst} {op} {value}")
    }

    fn unary(&mut self) {
        let (dst, src) = (self.target(), self.scalar());
        let bits = *self.random.pick(&[16, 32, 64]);
        match self.random.below(7) {
            0 => emit!(self, "r{dst} = -r{dst}"),
            1 => emit!(self, "w{dst} = -w{dst}"),
            2 => emit!(self, "r{dst} = le{bits} r{dst}"),
            3 => emit!(self, "r{dst} = be{bits} r{dst}"),
            4 => emit!(self, "r{dst} = bswap{bits} r{dst}"),
            5 => {
                let from = *self.random.pick(&[8, 16, 32]);
                emit!(self, "r{dst} = (s{from})r{src}");
            }
            _ => {
                let from = *self.random.pick(&[8, 16]);
                emit!(self, "w{dst} = (s{from})w{src}");
            }
        }
    }

    /// An atomic operation on aligned memory, with the operand in a register that may be written.
    fn atomic(&mut self, base: &str, at: i64, size: i64, reg: u8) {
        let (bits, wide) = (size * 8, if size == 8 { "64" } else { "" });
        let pointer = format!("(u{bits} *)({base} {at:+})");
        match self.random.below(6) {
            0 => {
                let op = *self.random.pick(&["+", "|", "&", "^"]);
                emit!(self, "lock *{pointer} {op}= r{reg}");
            }
            1 => {
                let op = *self.random.pick(&["add", "or", "and", "xor"]);
                emit!(self, "r{reg} = atomic{wide}_fetch_{op}({pointer}, r{reg})");
            }
            2 => emit!(self, "r{reg} = atomic{wide}_xchg({pointer}, r{reg})"),
            3 if base != "r0" => {
                emit!(self, "r0 = *(u{bits} *)({base} {at:+})");
                if self.random.one_in(2) {
                    emit!(self, "r0 += 1");
                }
                emit!(self, "r0 = atomic{wide}_cmpxchg({pointer}, r0, r{reg})");
            }
            4 => emit!(self, "r{reg} = load_acquire({pointer})"),
            _ => emit!(self, "store_release({pointer}, r{reg})"),
        }
    }

    fn condition(&mut self, scalars: &[u8]) -> String {
        let op = *self.random.pick(&[
            "==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&",
        ]);
        let letter = *self.random.pick(&['r', 'w']);
        let dst = self.random.pick(scalars);
        if self.random.one_in(2) {
            let src = self.random.pick(scalars);
            format!("{letter}{dst} {op} {letter}{src}")
        } else {
            let value = self.immediate();
            format!("{letter}{dst} {op} {value}")
        }
    }

    fn branch(&mut self, depth: u32) {
        let (other, end) = (self.label(), self.label());
        if self.random.one_in(8) {
            emit!(self, "may_goto {other}");
        } else {
            let condition = self.condition(&SCALARS);
            emit!(self, "if {condition} goto {other}");
        }
        let bound = self.bound;
        for _ in 0..self.random.range(1..=4) {
            self.statement(depth - 1);
        }
        let first = self.bound;
        if self.random.one_in(2) {
            let jump = if self.random.one_in(3) {
                "gotol"
            } else {
                "goto"
            };
            emit!(self, "{jump} {end}");
            emit!(self, "{other}:");
            self.bound = bound;
            for _ in 0..self.random.range(1..=4) {
                self.statement(depth - 1);
            }
            emit!(self, "{end}:");
            self.bound = self.bound.min(first);
        } else {
            emit!(self, "{other}:");
            self.bound = bound.min(first);
        }
    }

    fn counted_loop(&mut self, depth: u32) {
        let head = self.label();
        let rounds = self.random.range(2..=6);
        emit!(self, "r9 = 0");
        emit!(self, "{head}:");
        self.counter_in_r9 = true;
        let bound = self.bound;
        for _ in 0..self.random.range(1..=4) {
            // What shortens the checked part would do so for the next round's start.
            if self.random.one_in(2) {
                self.arithmetic();
            } else {
                self.loop_statement(depth);
            }
        }
        self.bound = bound;
        self.counter_in_r9 = false;
        emit!(self, "r9 += 1");
        emit!(self, "if r9 < {rounds} goto {head}");
    }

    fn loop_statement(&mut self, depth: u32) {
        match self.random.below(6) {
            0 => self.stack_store(),
            1 => {
                let reg = self.target();
                self.packet_load(reg);
            }
            2 => self.unary(),
            3 => self.array_element(),
            4 => {
                let skip = self.label();
                let condition = self.condition(&SCALARS);
                emit!(self, "if {condition} goto {skip}");
                self.arithmetic();
                emit!(self, "{skip}:");
            }
            _ if depth > 1 => self.packet_at_variable_offset(),
            _ => self.arithmetic(),
        }
    }

    fn packet_at_variable_offset(&mut self) {
        let end = self.label();
        let index = self.scalar();
        let mask = *self.random.pick(&[7, 31, 63, 255]);
        let size = self.size();
        let at = self.random.range(0..=16);
        emit!(self, "r1 = r{index}");
        emit!(self, "r1 &= {mask}");
        emit!(self, "r2 = r7");
        emit!(self, "r2 += r1");
        emit!(self, "r3 = r2");
        emit!(self, "r3 += {}", at + size);
        emit!(self, "r4 = 0");
        emit!(self, "if r3 > r8 goto {end}");
        if self.random.one_in(2) {
            let ty = self.load_type(size);
            emit!(self, "r4 = *({ty} *)(r2 {at:+})");
        } else {
            let bits = size * 8;
            emit!(self, "*(u{bits} *)(r2 {at:+}) = r9");
        }
        emit!(self, "{end}:");
        for reg in [2, 3] {
            self.load_number(reg);
        }
    }

    /// Puts a key of 32 bits at [`KEY`].
    fn key(&mut self, mask: i64) {
        let reg = self.scalar();
        emit!(self, "r1 = r{reg}");
        emit!(self, "r1 &= {mask}");
        emit!(self, "*(u32 *)(r10 {KEY}) = r1");
    }

    fn map_and_key(&mut self, map: usize) {
        emit!(self, "r2 = r10");
        emit!(self, "r2 += {KEY}");
        emit!(self, "r1 = map[fd:{map}]");
    }

    fn array_element(&mut self) {
        let map = *self.random.pick(&[1, 3]);
        let end = self.label();
        self.key(7);
        self.map_and_key(map);
        emit!(self, "call bpf_map_lookup_elem");
        self.renew(false);
        emit!(self, "if r0 == 0 goto {end}");
        self.element_access(16);
        emit!(self, "{end}:");
        self.load_number(0);
    }

    /// An access to the element of so many bytes that r0 points to; r1 to r5 are numbers.
    fn element_access(&mut self, length: i64) {
        for _ in 0..self.random.range(1..=3) {
            let size = self.size();
            let reg = self.random.range(1..=5) as u8;
            match self.random.below(3) {
                0 => {
                    let at = self.random.range(0..=length - size);
                    let ty = self.load_type(size);
                    emit!(self, "r{reg} = *({ty} *)(r0 {at:+})");
                }
                1 => {
                    let at = self.random.range(0..=length - size);
                    let bits = size * 8;
                    emit!(self, "*(u{bits} *)(r0 {at:+}) = r{reg}");
                }
                _ => {
                    let size = size.max(4);
                    let at = size * self.random.range(0..=length / size - 1);
                    self.atomic("r0", at, size, reg);
                }
            }
        }
    }

    fn flags(&mut self) -> i64 {
        *self.random.pick(&[0, 0, 0, 1, 2, 3])
    }

    /// Calls update, delete or look-up with the key in place.
    fn keyed_operation(&mut self, map: usize) {
        match self.random.below(4) {
            0 | 1 => {
                let (flags, slot) = (self.flags(), self.random.range(1..=SLOTS));
                self.map_and_key(map);
                emit!(self, "r3 = r10");
                emit!(self, "r3 += -{}", slot * 8);
                emit!(self, "r4 = {flags}");
                emit!(self, "call bpf_map_update_elem");
                self.renew(false);
            }
            2 => {
                self.map_and_key(map);
                emit!(self, "call bpf_map_delete_elem");
                self.renew(false);
            }
            _ => {
                let end = self.label();
                self.map_and_key(map);
                emit!(self, "call bpf_map_lookup_elem");
                self.renew(false);
                emit!(self, "if r0 == 0 goto {end}");
                self.element_access(8);
                emit!(self, "{end}:");
                self.load_number(0);
            }
        }
    }

    fn hash_operation(&mut self) {
        self.key(15);
        self.keyed_operation(HASH);
    }

    fn trie_operation(&mut self) {
        let (length, data) = (self.scalar(), self.scalar());
        emit!(self, "r1 = r{length}");
        emit!(self, "r1 &= 63");
        emit!(self, "r2 = r{data}");
        emit!(self, "*(u32 *)(r10 {KEY}) = r1");
        emit!(self, "*(u32 *)(r10 {}) = r2", KEY + 4);
        self.keyed_operation(TRIE);
        emit!(self, "*(u32 *)(r10 {}) = 0", KEY + 4);
    }

    fn queue_operation(&mut self) {
        let slot = self.random.range(1..=SLOTS);
        emit!(self, "r2 = r10");
        emit!(self, "r2 += -{}", slot * 8);
        emit!(self, "r1 = map[fd:{QUEUE}]");
        match self.random.below(3) {
            0 => {
                let flags = *self.random.pick(&[0, 0, 1, 2]);
                emit!(self, "r3 = {flags}");
                emit!(self, "call bpf_map_push_elem");
            }
            1 => emit!(self, "call bpf_map_pop_elem"),
            _ => emit!(self, "call bpf_map_peek_elem"),
        }
        self.renew(false);
    }

    fn direct_value(&mut self) {
        let at = self.random.range(64..=112);
        emit!(self, "r0 = map[fd:{RESULTS}][0]+{at}");
        let size = self.size();
        let ty = self.load_type(size);
        emit!(self, "r1 = *({ty} *)(r0 +0)");
        let src = self.random.range(1..=5);
        let bits = size * 8;
        emit!(self, "*(u{bits} *)(r0 +8) = r{src}");
        self.load_number(0);
    }

    fn checksum(&mut self) {
        let (from, to) = (self.random.range(0..=8), self.random.range(0..=8));
        let seed = self.scalar();
        emit!(self, "r5 = r{seed}");
        for (pointer, length, words) in [(1, 2, from), (3, 4, to)] {
            if words == 0 {
                emit!(self, "r{pointer} = 0");
            } else {
                emit!(self, "r{pointer} = r10");
                emit!(self, "r{pointer} += -{}", words * 8);
            }
            let odd = i64::from(words > 0 && self.random.one_in(20));
            emit!(self, "r{length} = {}", words * 4 + odd);
        }
        emit!(self, "call bpf_csum_diff");
        self.renew(false);
    }

    fn copy_packet(&mut self) {
        let words = self.random.range(1..=SLOTS);
        let length = self.random.range(1..=words * 8);
        let at = *self.random.pick(&[0, 6, 14, 30, 60, 70000]);
        let direction = *self.random.pick(&["load", "store"]);
        emit!(self, "r1 = r6");
        emit!(self, "r2 = {at}");
        emit!(self, "r3 = r10");
        emit!(self, "r3 += -{}", words * 8);
        emit!(self, "r4 = {length}");
        emit!(self, "call bpf_xdp_{direction}_bytes");
        self.reload_packet();
    }

    /// After a helper that may have changed the packet.
    fn reload_packet(&mut self) {
        emit!(self, "r9 = r0");
        self.check_packet();
        self.renew(true);
        if !self.counter_in_r9 {
            emit!(self, "r0 = r9");
        }
    }

    fn adjust(&mut self) {
        if self.counter_in_r9 {
            return self.arithmetic();
        }
        let (what, delta) = match self.random.below(3) {
            0 => ("head", self.random.range(-40..=20)),
            1 => ("tail", self.random.range(-30..=200)),
            _ => ("meta", 4 * self.random.range(-10..=2)),
        };
        let delta = if self.random.one_in(10) {
            self.random.range(-5000..=5000)
        } else {
            delta
        };
        emit!(self, "r1 = r6");
        emit!(self, "r2 = {delta}");
        emit!(self, "call bpf_xdp_adjust_{what}");
        self.reload_packet();
    }

    fn redirect(&mut self) {
        if self.random.one_in(2) {
            let flags = self.random.below(2);
            emit!(self, "r1 = 1");
            emit!(self, "r2 = {flags}");
            emit!(self, "call bpf_redirect");
        } else {
            let reg = self.scalar();
            let flags = *self.random.pick(&[0, 1, 2, 3, 8, 26, 64]);
            emit!(self, "r2 = r{reg}");
            emit!(self, "r2 &= 7");
            emit!(self, "r3 = {flags}");
            emit!(self, "r1 = map[fd:{DEVICES}]");
            emit!(self, "call bpf_redirect_map");
        }
        self.renew(false);
    }

    fn call_subprogram(&mut self) {
        let name = format!("f{}", self.functions.len());
        emit!(self, "call {name}");
        self.renew(false);
        let mut body = format!("{name}:\nr0 = r1\nr4 = r2\nr5 = r3\n*(u64 *)(r10 -8) = r2\n");
        let numbers = [0, 1, 2, 3, 4, 5];
        for _ in 0..self.random.range(1..=6) {
            let dst = *self.random.pick(&numbers);
            let line = self.arithmetic_on(dst, &numbers);
            if self.random.one_in(4) {
                let skip = self.label();
                let condition = self.condition(&numbers);
                let _ = write!(body, "if {condition} goto {skip}\n{line}\n{skip}:\n");
            } else {
                let _ = writeln!(body, "{line}");
            }
        }
        body.push_str("r1 = *(u64 *)(r10 -8)\nr0 ^= r1\nexit\n");
        self.functions.push(body);
    }

    fn bpf_loop(&mut self) {
        let name = format!("f{}", self.functions.len());
        let slot = self.random.range(1..=SLOTS);
        let rounds = self.random.range(0..=9);
        emit!(self, "r1 = {rounds}");
        emit!(self, "r2 = subprog[{name}]");
        emit!(self, "r3 = r10");
        emit!(self, "r3 += -{}", slot * 8);
        emit!(self, "r4 = 0");
        emit!(self, "call bpf_loop");
        self.renew(false);
        let mut body = format!("{name}:\nr3 = *(u64 *)(r2 +0)\nr4 = r1\n");
        for _ in 0..self.random.range(1..=3) {
            let dst = *self.random.pick(&[3, 4]);
            let _ = writeln!(body, "{}", self.arithmetic_on(dst, &[1, 3, 4]));
        }
        let (stop, end) = (self.random.below(12), self.label());
        let _ = write!(
            body,
            "*(u64 *)(r2 +0) = r3\nr0 = 0\nif r1 != {stop} goto {end}\nr0 = 1\n{end}:\nexit\n"
        );
        self.functions.push(body);
    }
}
