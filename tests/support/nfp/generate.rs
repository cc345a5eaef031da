//! Random programs near the borders of what the driver accepts, in the kernel's assembly.
//!
//! r9 is the context, r6 the packet, of which the first [`Generator::size`] bytes are checked. r0 to r5, r7 and r8
//! are numbers at every statement's start. Each statement has a usual form, which the driver takes, and forms at and
//! just beyond a limit; how often it takes one of the latter differs from program to program.

use crate::Random;
use crate::nfpsim::Program;
use offload_compiler::isa::assemble;
use offload_compiler::verify::MapShape;

/// The program of this number.
pub fn program(number: u64) -> Program {
    Generator::new(number).assembled(number)
}

/// A program of this number in usual forms only.
pub fn usual(number: u64) -> Program {
    let mut generator = Generator::new(number);
    generator.daring = 0;
    generator.assembled(number)
}

const NUMBERS: [u8; 8] = [0, 1, 2, 3, 4, 5, 7, 8];
/// Where keys and values for maps are put; below are 8 slots for other things.
const LOWEST_SLOT: i64 = -64;
const PERF_EVENT_ARRAY: u32 = 4;
const BORDERS: [i64; 20] = [
    0,
    1,
    -1,
    2,
    3,
    0x7f,
    0x80,
    0xff,
    0x100,
    0xffff,
    0x1_0000,
    0x12_3456,
    i32::MAX as i64,
    i32::MAX as i64 - 1,
    i32::MIN as i64,
    i32::MIN as i64 + 1,
    -2,
    -128,
    -256,
    -0x1_0000,
];

struct Generator {
    random: Random,
    out: String,
    labels: u32,
    maps: Vec<MapShape>,
    /// Subprograms that were called.
    functions: String,
    size: i64,
    /// In so many of 100 cases a form near or beyond a limit is chosen.
    daring: u64,
}

macro_rules! emit {
    ($self:ident, $($format:tt)*) => {{
        let line = format!($($format)*);
        $self.out.push_str(&line);
        $self.out.push('\n');
    }};
}

impl Generator {
    fn new(number: u64) -> Self {
        let mut random = Random::new(number);
        random.next();
        let size = *random.pick(&[16, 34, 64, 64, 128, 300]);
        let daring = *random.pick(&[0, 1, 3, 5, 10, 30]);
        Self {
            random,
            out: String::new(),
            labels: 0,
            maps: Vec::new(),
            functions: String::new(),
            size,
            daring,
        }
    }

    fn assembled(mut self, number: u64) -> Program {
        self.whole();
        let code = assemble(&self.out)
            .unwrap_or_else(|error| panic!("program {number}: {error}\n{}", self.out));
        Program {
            id: format!("r{number:06}"),
            maps: self.maps,
            code: code.encode(),
        }
    }

    fn whole(&mut self) {
        let (size, deep) = (self.size, *self.random.pick(&[0, 0, 0, 128, 136, 512]));
        emit!(self, "r9 = r1");
        emit!(self, "r6 = *(u32 *)(r9 +0)");
        emit!(self, "r3 = *(u32 *)(r9 +4)");
        emit!(self, "r2 = r6");
        emit!(self, "r2 += {size}");
        emit!(self, "if r2 > r3 goto short");
        self.renew(0..=5);
        self.renew(7..=8);
        for slot in 1..=8 {
            let reg = self.number();
            emit!(self, "*(u64 *)(r10 -{}) = r{reg}", slot * 8);
        }
        if deep > 0 {
            emit!(self, "*(u64 *)(r10 -{deep}) = r7");
        }
        for _ in 0..*self.random.pick(&[1, 2, 4, 8, 16, 32]) {
            self.statement(2);
        }
        self.end();
        emit!(self, "short:");
        emit!(self, "r0 = 2");
        emit!(self, "exit");
        self.out.push_str(&std::mem::take(&mut self.functions));
    }

    fn end(&mut self) {
        let reg = self.number();
        match self.random.below(4) {
            0 => emit!(self, "r0 = {}", self.random.range(0..=5)),
            1 => emit!(self, "r0 = r{reg}"),
            _ => {
                emit!(self, "r0 = r{reg}");
                emit!(self, "r0 &= 3");
            }
        }
        emit!(self, "exit");
    }

    fn dares(&mut self) -> bool {
        self.random.below(100) < self.daring
    }

    /// Mostly from the first, which the driver takes; from the second where the generator dares.
    fn choose<T: Copy>(&mut self, usual: &[T], daring: &[T]) -> T {
        if self.dares() {
            *self.random.pick(daring)
        } else {
            *self.random.pick(usual)
        }
    }

    fn label(&mut self) -> String {
        self.labels += 1;
        format!("l{}", self.labels)
    }

    fn number(&mut self) -> u8 {
        *self.random.pick(&NUMBERS)
    }

    fn immediate(&mut self) -> i64 {
        match self.random.below(3) {
            0 => i64::from(self.random.next() as i32),
            1 => self.random.range(-20..=300),
            _ => *self.random.pick(&BORDERS),
        }
    }

    fn bytes(&mut self) -> i64 {
        *self.random.pick(&[1, 2, 4, 8])
    }

    /// After a call, and at the start.
    fn renew(&mut self, registers: std::ops::RangeInclusive<u8>) {
        for reg in registers {
            self.packet_load(reg);
        }
    }

    fn packet_load(&mut self, reg: u8) {
        let bytes = self.bytes();
        let at = self.random.range(0..=self.size - bytes);
        let sign = if bytes < 8 {
            self.choose(&['u'], &['u', 's'])
        } else {
            'u'
        };
        emit!(self, "r{reg} = *({sign}{} *)(r6 {at:+})", bytes * 8);
    }

    fn statement(&mut self, depth: u32) {
        match self.random.below(40) {
            0..=4 => self.arithmetic(),
            5..=7 => self.product(),
            8..=10 => self.shift(),
            11 => self.conversion(),
            12 | 13 => {
                let reg = self.number();
                self.packet_load(reg);
            }
            14 | 15 => self.packet_store(),
            16 => self.packet_variable(),
            17 => self.context(),
            18..=20 => self.stack(),
            21 => self.stack_by_path(),
            22..=27 => self.map(),
            28 | 29 => self.helper(),
            30 => self.event(),
            31..=35 if depth > 0 => self.branch(depth),
            36 if depth > 1 => self.bounded_loop(),
            37 | 38 => self.subprogram(),
            _ => self.known_number(),
        }
    }

    fn arithmetic(&mut self) {
        let op = self.choose(
            &["+=", "-=", "|=", "&=", "^=", "="],
            &["%=", "s%=", "s/=", "/=", "*="],
        );
        let letter = *self.random.pick(&['r', 'w']);
        let dst = self.number();
        if self.random.one_in(2) {
            let src = self.number();
            return emit!(self, "{letter}{dst} {op} {letter}{src}");
        }
        let value = self.immediate();
        let value = if op.contains(['/', '%']) && value == 0 {
            7
        } else {
            value
        };
        emit!(self, "{letter}{dst} {op} {value}");
    }

    /// A multiplication or division, its operands in 32 bits or hardly beyond.
    fn product(&mut self) {
        let dst = self.number();
        self.narrow(dst);
        let letter = *self.random.pick(&['r', 'w']);
        let op = self.choose(&["*=", "*=", "/="], &["s/=", "%="]);
        if self.random.one_in(2) {
            let value = self.choose(&[1, 2, 3, 10, 1000, 0x7fff_ffff], &[-1, -2, i32::MIN, 5]);
            return emit!(self, "{letter}{dst} {op} {value}");
        }
        let src = self.number();
        if op == "*=" {
            self.narrow(src);
        } else {
            let value = self.choose(
                &["1", "3", "641", "65537", "0xffffffff"],
                &["0", "-1", "0x100000000", "0x80000000"],
            );
            emit!(self, "r{src} = {value}");
            if self.dares() {
                let skip = self.label();
                let other = self.number();
                emit!(self, "if r{other} > 9 goto {skip}");
                emit!(self, "r{src} = {}", self.random.range(1..=4));
                emit!(self, "{skip}:");
            }
        }
        emit!(self, "{letter}{dst} {op} {letter}{src}");
    }

    /// Brings a register into 32 bits, in some way.
    fn narrow(&mut self, reg: u8) {
        let end = self.label();
        match self.random.below(6) {
            0 => emit!(self, "w{reg} = w{reg}"),
            1 => emit!(
                self,
                "w{reg} &= {}",
                *self.random.pick(&[0xff, 0xffff, i32::MAX, -1])
            ),
            2 => {
                let by = self.choose(&[32, 33, 48], &[31, 30, 1]);
                emit!(self, "r{reg} >>= {by}");
            }
            3 => {
                let limit = self.choose(
                    &["0xffffffff", "0x7fffffff", "100"],
                    &["0x100000000", "0x1ffffffff"],
                );
                let scratch = if reg == 5 { 4 } else { 5 };
                emit!(self, "r{scratch} = {limit}");
                emit!(self, "if r{reg} <= r{scratch} goto {end}");
                emit!(self, "r{reg} = {}", self.random.range(0..=300));
                emit!(self, "{end}:");
            }
            4 => {
                let bytes = *self.random.pick(&[1, 2, 4, 4]);
                let at = self.random.range(0..=self.size - bytes);
                emit!(self, "r{reg} = *(u{} *)(r6 {at:+})", bytes * 8);
            }
            _ => {
                let by = self.random.range(0..=4);
                emit!(self, "w{reg} = w{reg}");
                if self.dares() {
                    emit!(self, "r{reg} += {by}");
                }
            }
        }
    }

    fn shift(&mut self) {
        let op = *self.random.pick(&["<<=", ">>=", "s>>="]);
        let (letter, bits) = *self.random.pick(&[('r', 64), ('w', 32)]);
        let dst = self.number();
        if self.random.one_in(2) {
            let by = self.random.range(0..=bits - 1);
            return emit!(self, "{letter}{dst} {op} {by}");
        }
        let src = self.number();
        match self.random.below(3) {
            0 => {
                let mask = self.choose(&[7, 15, 31, 63], &[255, 256]);
                emit!(self, "r{src} &= {mask}");
            }
            1 => {
                let by = self.choose(
                    &[0, 1, 8, 16, 31, 256, 257],
                    &[32, 33, 63, 64, 65, 255, 288, 512, -1],
                );
                emit!(self, "r{src} = {by}");
                if self.dares() {
                    let skip = self.label();
                    let other = self.number();
                    emit!(self, "if r{other} s> 5 goto {skip}");
                    emit!(self, "r{src} = {}", self.random.range(0..=70));
                    emit!(self, "{skip}:");
                }
            }
            _ => {}
        }
        emit!(self, "{letter}{dst} {op} {letter}{src}");
    }

    fn conversion(&mut self) {
        let (dst, src) = (self.number(), self.number());
        let bits = *self.random.pick(&[16, 32, 64]);
        if self.dares() {
            return match self.random.below(3) {
                0 => emit!(self, "r{dst} = le{bits} r{dst}"),
                1 => emit!(self, "r{dst} = bswap{bits} r{dst}"),
                _ => {
                    let from = *self.random.pick(&[8, 16, 32]);
                    emit!(self, "r{dst} = (s{from})r{src}");
                }
            };
        }
        match self.random.below(4) {
            0 => emit!(self, "r{dst} = -r{dst}"),
            1 => emit!(self, "w{dst} = -w{dst}"),
            2 => emit!(self, "r{dst} = be{bits} r{dst}"),
            _ => emit!(self, "r{dst} = 0x{:x}", self.random.next()),
        }
    }

    fn known_number(&mut self) {
        let (dst, value) = (self.number(), self.immediate());
        emit!(self, "r{dst} = {value}");
    }

    fn packet_store(&mut self) {
        let (bytes, src) = (self.bytes(), self.number());
        let last = self.size - bytes;
        let at = self.random.range(0..=last);
        let at = if self.dares() {
            *self.random.pick(&[last, last + 1, -1, 0])
        } else {
            at
        };
        let bits = bytes * 8;
        if self.dares() {
            emit!(self, "*(u{bits} *)(r6 {at:+}) = 5");
        } else {
            emit!(self, "*(u{bits} *)(r6 {at:+}) = r{src}");
        }
    }

    /// An access at a place that depends on a number, checked anew.
    fn packet_variable(&mut self) {
        let (bytes, end) = (self.bytes(), self.label());
        let mask = *self.random.pick(&[3, 15, 63, 1023]);
        let short = self.choose(&[0], &[0, 1]);
        emit!(self, "r2 = r{}", self.random.range(7..=8));
        emit!(self, "r2 &= {mask}");
        emit!(self, "r1 = r6");
        emit!(self, "r1 += r2");
        emit!(self, "r2 = r1");
        emit!(self, "r2 += {}", 8 + bytes - short);
        emit!(self, "r3 = *(u32 *)(r9 +4)");
        emit!(self, "r4 = 0");
        emit!(self, "if r2 > r3 goto {end}");
        emit!(self, "r4 = *(u{} *)(r1 +8)", bytes * 8);
        emit!(self, "{end}:");
        self.renew(1..=3);
    }

    fn context(&mut self) {
        let reg = self.number();
        if self.random.one_in(3) {
            let field = self.choose(&[0, 4], &[8, 12, 16, 20]);
            emit!(self, "r{reg} = *(u32 *)(r9 {field:+})");
            emit!(self, "r{reg} = {}", self.random.range(0..=9));
        } else {
            let field = self.choose(&[16], &[0, 4, 8, 12, 20]);
            let bits = self.choose(&[32], &[8, 16, 64]);
            emit!(self, "*(u{bits} *)(r9 {field:+}) = r{reg}");
        }
    }

    fn slot(&mut self, bytes: i64) -> i64 {
        -bytes * self.random.range(1..=-LOWEST_SLOT / bytes)
    }

    fn stack(&mut self) {
        let (bytes, reg) = (self.bytes(), self.number());
        let bits = bytes * 8;
        let at = self.slot(bytes);
        match self.random.below(4) {
            0 => emit!(self, "r{reg} = *(u{bits} *)(r10 {at:+})"),
            1 if self.dares() => emit!(self, "*(u{bits} *)(r10 {at:+}) = {reg}"),
            1 => emit!(self, "*(u{bits} *)(r10 {at:+}) = r{reg}"),
            2 => {
                let depth = self.choose(
                    &[72, 88, 104, 120, 128],
                    &[
                        64, 127, 129, 132, 136, 160, 192, 256, 320, 448, 508, 512, 520,
                    ],
                );
                emit!(self, "*(u32 *)(r10 -{depth}) = r{reg}");
            }
            _ if self.dares() => {
                emit!(self, "r1 = r10");
                emit!(self, "r{reg} = r7");
                emit!(self, "r{reg} &= {}", *self.random.pick(&[8, 4, 1]));
                emit!(self, "r1 += r{reg}");
                emit!(self, "r{reg} = *(u{bits} *)(r1 {LOWEST_SLOT:+})");
                self.renew(1..=1);
            }
            _ => {
                let (from, to) = (self.random.range(0..=64), self.random.range(0..=24));
                emit!(self, "r1 = r10");
                emit!(self, "r1 += -{from}");
                let (least, most) = (from - 64, from - bytes);
                let at = if most < least {
                    least
                } else {
                    most - (to % (most - least + 1))
                };
                let at = at - (at - from).rem_euclid(bytes);
                let at = at.max(least);
                emit!(self, "r{} = *(u{bits} *)(r1 {at:+})", reg.max(2));
                self.renew(1..=1);
            }
        }
    }

    /// One access that is at another place of the stack on each path.
    fn stack_by_path(&mut self) {
        let (bytes, skip, reg) = (self.bytes(), self.label(), self.number().max(2));
        let distance = bytes * self.random.range(1..=3);
        let distance = self.choose(
            &[4 * ((distance + 3) / 4).max(bytes / 4)],
            &[distance, 4, 2],
        );
        let distance = if bytes == 8 {
            (distance + 7) & !7
        } else {
            distance
        };
        emit!(self, "r1 = r10");
        emit!(self, "r1 += -32");
        emit!(self, "if r7 > {} goto {skip}", self.random.range(0..=9));
        emit!(self, "r1 += -{distance}");
        emit!(self, "{skip}:");
        if self.random.one_in(2) {
            emit!(self, "r{reg} = *(u{} *)(r1 +0)", bytes * 8);
        } else {
            emit!(self, "*(u{} *)(r1 +0) = r{reg}", bytes * 8);
        }
        self.renew(1..=1);
    }

    /// A new map, or one that is there.
    fn choose_map(&mut self) -> usize {
        let many = self.maps.len() >= 4;
        if many || (!self.maps.is_empty() && self.random.one_in(2)) {
            return self.random.below(self.maps.len() as u64) as usize;
        }
        let kind = self.choose(
            &[1, 2],
            &[
                1, 2, 4, 5, 6, 9, 10, 11, 13, 14, 16, 17, 22, 25, 27, 30, 0, 99,
            ],
        );
        let array = matches!(kind, 2 | 6 | 4 | 14 | 16 | 17);
        let key_size = if array {
            self.choose(&[4], &[4, 4, 8])
        } else {
            self.choose(
                &[4, 4, 8, 12, 16, 6],
                &[1, 32, 48, 56, 60, 62, 64, 65, 68, 72, 0],
            )
        };
        let value_size = self.choose(
            &[4, 8, 16, 24, 6],
            &[0, 1, 32, 48, 49, 56, 60, 64, 65, 72, 120, 124, 200],
        );
        let map = MapShape {
            kind,
            key_size,
            value_size,
            max_entries: self.choose(&[1, 4, 64], &[0, 0x8_0000, 0x10_0000, 0x10_0001, 0x40_0000]),
            flags: self.choose(&[0], &[0, 0, 0, 1, 2, 8, 16, 64, 128, 1024]),
            ..MapShape::default()
        };
        self.maps.push(map);
        self.maps.len() - 1
    }

    /// Puts bytes on the stack and their address into a register: a key, or a value.
    fn argument(&mut self, register: &str, length: i64, at: i64) {
        let at = at - self.choose(&[0], &[0, 1, 2, 4]);
        let zero = self.random.one_in(2);
        let mut put = 0;
        while put < length {
            let bytes = match length - put {
                8.. if (at + put) % 8 == 0 => 8,
                4.. if (at + put) % 4 == 0 => 4,
                2.. if (at + put) % 2 == 0 => 2,
                _ => 1,
            };
            if self.dares() && self.daring > 10 {
                // Left as it was, or never written.
            } else if zero && !self.dares() {
                emit!(self, "r5 = 0");
                emit!(self, "*(u{} *)(r10 {:+}) = r5", bytes * 8, at + put);
            } else {
                let src = self.random.range(7..=8);
                emit!(self, "*(u{} *)(r10 {:+}) = r{src}", bytes * 8, at + put);
            }
            put += bytes;
        }
        if self.dares() {
            match self.random.below(3) {
                0 => return emit!(self, "{register} = r6"),
                1 => {
                    emit!(self, "r5 = r7");
                    emit!(self, "r5 &= 4");
                    emit!(self, "{register} = r10");
                    emit!(self, "{register} += r5");
                    return emit!(self, "{register} += {}", at - 4);
                }
                _ => {
                    let skip = self.label();
                    emit!(self, "{register} = r10");
                    emit!(self, "if r8 > 3 goto {skip}");
                    emit!(self, "{register} += {}", *self.random.pick(&[-4, -8]));
                    emit!(self, "{skip}:");
                    return emit!(self, "{register} += {at}");
                }
            }
        }
        emit!(self, "{register} = r10");
        emit!(self, "{register} += {at}");
    }

    fn map(&mut self) {
        let map = self.choose_map();
        let key_size = i64::from(self.maps[map].key_size);
        let value_size = i64::from(self.maps[map].value_size);
        let key_at = LOWEST_SLOT - ((key_size + 7) & !7);
        self.argument("r2", key_size, key_at);
        match self.random.below(8) {
            0 => {
                emit!(self, "r1 = map[fd:{map}]");
                emit!(self, "call bpf_map_delete_elem");
            }
            // An update of a map that stays on the host crashes it (`Overrun::HostMap`).
            1 | 2 if self.maps[map].kind != PERF_EVENT_ARRAY => {
                let at = key_at - 8 - ((value_size + 7) & !7);
                self.argument("r3", value_size.min(400), at);
                let flags = self.choose(&[0, 0, 1], &[2, 3, 4, 8]);
                emit!(self, "r4 = {flags}");
                emit!(self, "r1 = map[fd:{map}]");
                emit!(self, "call bpf_map_update_elem");
            }
            _ => return self.lookup(map, value_size),
        }
        self.renew(1..=5);
    }

    fn lookup(&mut self, map: usize, value_size: i64) {
        let null = self.label();
        if self.dares() && self.maps.len() > 1 {
            let other = self.random.below(self.maps.len() as u64);
            let skip = self.label();
            emit!(self, "r1 = map[fd:{map}]");
            emit!(self, "if r7 > 4 goto {skip}");
            emit!(self, "r1 = map[fd:{other}]");
            emit!(self, "{skip}:");
        } else {
            emit!(self, "r1 = map[fd:{map}]");
        }
        emit!(self, "call bpf_map_lookup_elem");
        self.renew(1..=5);
        if !self.dares() {
            emit!(self, "if r0 == 0 goto {null}");
        }
        for _ in 0..self.random.range(1..=3) {
            self.value_access(value_size);
        }
        emit!(self, "{null}:");
        self.renew(0..=0);
    }

    /// r0 is the address of a map's value. Words below 8 are counters, others are read, unless it dares.
    fn value_access(&mut self, value_size: i64) {
        let atomic = self.random.one_in(3);
        let bytes = if atomic {
            self.choose(&[4, 8], &[4])
        } else {
            self.bytes()
        };
        let places = (value_size / bytes).max(1);
        let split = places.min(8 / bytes);
        let place = if self.dares() || split == places {
            self.random.range(0..=places)
        } else if atomic {
            self.random.range(0..=split - 1)
        } else {
            self.random.range(split..=places - 1)
        };
        let at = place * bytes + self.choose(&[0], &[0, 1, 2, 4, -1]);
        let (bits, reg) = (bytes * 8, self.random.range(1..=5));
        if atomic {
            let bits = bits.max(32);
            let wide = if bits == 64 { 'r' } else { 'w' };
            let letter = 'r';
            if self.random.one_in(2) {
                emit!(
                    self,
                    "r{reg} = {}",
                    *self.random.pick(&[0, 1, 0xffff, 0x1_0000, -1])
                );
            }
            if self.dares() {
                let op = *self.random.pick(&["or", "and", "xor", "add"]);
                emit!(
                    self,
                    "r{reg} = atomic{}_fetch_{op}((u{bits} *)(r0 {at:+}), r{reg})",
                    if wide == 'r' { "64" } else { "" }
                );
            } else {
                let op = self.choose(&["+="], &["|=", "&=", "^="]);
                emit!(self, "lock *(u{bits} *)(r0 {at:+}) {op} {letter}{reg}");
            }
        } else if self.dares() {
            match self.random.below(4) {
                0 => emit!(self, "*(u{bits} *)(r0 {at:+}) = r{reg}"),
                1 => emit!(self, "*(u{bits} *)(r0 {at:+}) = 1"),
                2 => {
                    emit!(self, "r{reg} &= 3");
                    emit!(self, "r0 += r{reg}");
                    emit!(self, "r{reg} = *(u{bits} *)(r0 +0)");
                }
                _ => {
                    // The address may be one in another place.
                    let skip = self.label();
                    emit!(self, "if r7 != 1 goto {skip}");
                    emit!(
                        self,
                        "r0 = {}",
                        if self.random.one_in(2) { "r10" } else { "r6" }
                    );
                    if self.random.one_in(2) {
                        emit!(self, "r0 += {LOWEST_SLOT}");
                    }
                    emit!(self, "{skip}:");
                    emit!(self, "r{reg} = *(u{bits} *)(r0 +0)");
                }
            }
        } else {
            emit!(self, "r{reg} = *(u{bits} *)(r0 {at:+})");
        }
    }

    fn helper(&mut self) {
        if self.dares() {
            let call = *self.random.pick(&[
                "bpf_ktime_get_ns",
                "bpf_get_smp_processor_id",
                "bpf_redirect",
                "bpf_xdp_adjust_meta",
                "bpf_trace_printk",
            ]);
            emit!(self, "r1 = 1");
            emit!(self, "r2 = 0");
            if call == "bpf_xdp_adjust_meta" {
                emit!(self, "r1 = r9");
                emit!(self, "call {call}");
                return self.check_again();
            }
            emit!(self, "call {call}");
            return self.renew(1..=5);
        }
        match self.random.below(6) {
            0 => {
                let by = self.choose(
                    &["-8", "0", "1", "8", "46"],
                    &["47", "-64", "-65", "128", "129", "1000", "r7"],
                );
                emit!(self, "r2 = {by}");
                emit!(self, "r1 = r9");
                emit!(self, "call bpf_xdp_adjust_head");
                self.check_again();
            }
            1 => {
                let by = self.choose(&["-8", "-100"], &["0", "8", "r8"]);
                emit!(self, "r2 = {by}");
                emit!(self, "r1 = r9");
                emit!(self, "call bpf_xdp_adjust_tail");
                self.check_again();
            }
            _ => {
                emit!(self, "call bpf_get_prandom_u32");
                self.renew(1..=5);
            }
        }
    }

    /// After a helper that may have moved the packet.
    fn check_again(&mut self) {
        let size = self.size;
        if !self.dares() {
            emit!(self, "r6 = *(u32 *)(r9 +0)");
            emit!(self, "r3 = *(u32 *)(r9 +4)");
            emit!(self, "r2 = r6");
            emit!(self, "r2 += {size}");
            emit!(self, "if r2 > r3 goto short");
        }
        self.renew(1..=5);
    }

    fn event(&mut self) {
        let number = self.maps.len();
        let map = MapShape {
            kind: self.choose(&[PERF_EVENT_ARRAY], &[PERF_EVENT_ARRAY, 1]),
            key_size: 4,
            value_size: 4,
            max_entries: self.random.range(1..=8) as u32,
            ..MapShape::default()
        };
        self.maps.push(map);
        let length = *self.random.pick(&[4, 8, 12, 64, 6]);
        match self.random.below(5) {
            0 => emit!(self, "r4 = r6"),
            1 if self.dares() => emit!(self, "r4 = r9"),
            _ => self.argument("r4", length, -256),
        }
        let length = length.min(self.size);
        let flags = self.choose(
            &["0xffffffff"],
            &[
                "0",
                "1",
                "0x1ffffffff",
                "0x40ffffffff",
                "0x100000ffffffff",
                "r7",
            ],
        );
        emit!(self, "r3 = {flags}");
        emit!(self, "r5 = {length}");
        emit!(self, "r1 = r9");
        emit!(self, "r2 = map[fd:{number}]");
        emit!(self, "call bpf_perf_event_output");
        self.renew(0..=5);
    }

    fn condition(&mut self) -> String {
        let (left, right) = (self.number(), self.number());
        let op = *self.random.pick(&[
            "==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&",
        ]);
        let letter = *self.random.pick(&['r', 'w']);
        if self.random.one_in(2) {
            format!("{letter}{left} {op} {letter}{right}")
        } else {
            format!("{letter}{left} {op} {}", self.immediate())
        }
    }

    fn branch(&mut self, depth: u32) {
        let (other, end, condition) = (self.label(), self.label(), self.condition());
        emit!(self, "if {condition} goto {other}");
        for _ in 0..self.random.range(1..=3) {
            self.statement(depth - 1);
        }
        let second = self.random.one_in(3);
        if second {
            emit!(self, "goto {end}");
        }
        emit!(self, "{other}:");
        if second {
            self.statement(depth - 1);
            emit!(self, "{end}:");
        }
    }

    fn bounded_loop(&mut self) {
        let (begin, rounds) = (self.label(), self.random.range(2..=8));
        emit!(self, "r8 = 0");
        emit!(self, "{begin}:");
        let (dst, bytes) = (self.random.range(0..=5), self.bytes());
        emit!(self, "r{dst} = *(u{} *)(r6 +8)", bytes * 8);
        emit!(self, "r8 += 1");
        emit!(self, "if r8 < {rounds} goto {begin}");
    }

    fn subprogram(&mut self) {
        let name = self.label();
        let stack = self.random.one_in(3);
        if stack {
            emit!(self, "r1 = r10");
            emit!(self, "r1 += {}", self.slot(4));
        }
        emit!(self, "call f{name}");
        self.renew(1..=5);
        // Text of its own, before or after what it calls itself.
        let outer = std::mem::take(&mut self.out);
        emit!(self, "f{name}:");
        if stack {
            let (bytes, at) = (
                self.choose(&[4], &[1, 2, 4]),
                self.choose(&[0], &[0, 1, -4]),
            );
            if self.random.one_in(2) {
                emit!(self, "r0 = *(u{} *)(r1 {at:+})", bytes * 8);
            } else {
                emit!(self, "*(u{} *)(r1 {at:+}) = r2", bytes * 8);
            }
        }
        let depth = self.choose(
            &[0, 8, 24, 60],
            &[4, 28, 32, 56, 64, 92, 96, 124, 128, 256, 384, 440],
        );
        if depth > 0 {
            emit!(self, "*(u32 *)(r10 -{depth}) = r2");
        }
        if self.random.one_in(2) {
            emit!(self, "r6 = r2");
        }
        if self.random.one_in(4) && self.functions.len() < 400 {
            emit!(self, "r1 = 1");
            emit!(self, "r2 = 2");
            let text = std::mem::take(&mut self.out);
            let inner = self.label();
            emit!(self, "f{inner}:");
            let depth = *self.random.pick(&[0, 8, 60, 64, 128]);
            emit!(self, "r0 = 3");
            if depth > 0 {
                emit!(self, "*(u64 *)(r10 -{}) = r0", (depth + 7) & !7);
            }
            emit!(self, "exit");
            let inner_text = std::mem::replace(&mut self.out, text);
            self.functions.push_str(&inner_text);
            emit!(self, "call f{inner}");
        }
        emit!(self, "r0 = {}", self.random.range(0..=9));
        emit!(self, "exit");
        let text = std::mem::replace(&mut self.out, outer);
        self.functions.push_str(&text);
    }
}
