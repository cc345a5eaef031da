//! Programs at the border between safe and unsafe, in the kernel's assembly: idioms of real programs with limits exact to
//! the byte, of which some are then off by a little.
//!
//! r6 is the context, r7 the packet, r8 its end, r9 a number. r0 to r5 hold what the last statement left there. A
//! subprogram has its argument in r9, and the packet only where it is called with the context.

use offload_compiler::isa::{Code, assemble};
use tests::Random;

/// Appends a line to a [`Writer`]'s text.
macro_rules! emit {
    ($writer:expr, $($format:tt)*) => {{
        let line = format!($($format)*);
        $writer.text.push_str(&line);
        $writer.text.push('\n');
    }};
}
pub(super) use emit;

/// The `number`-th program of a seed.
pub(super) fn generate(seed: u64, number: u64) -> Code {
    let mut random = Random::new(seed.wrapping_mul(0x1_0000_0000).wrapping_add(number));
    random.next();
    let daring = *random.pick(&[0, 0, 1, 2, 4, 8, 25]);
    let mut writer = Writer {
        random,
        daring,
        text: String::new(),
        functions: String::new(),
        labels: 0,
        depth: 0,
        frame: Frame::default(),
    };
    writer.main();
    let code = assemble(&writer.text)
        .unwrap_or_else(|error| panic!("{seed}:{number}: {error}\n{}", writer.text));
    if writer.random.below(100) < daring * 2 {
        super::mutation::mutate(&code, &mut writer.random)
    } else {
        code
    }
}

/// What is known of the function that is being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    /// Where it leaves early.
    pub(super) out: String,
    /// Registers with numbers.
    pub(super) numbers: Vec<u8>,
    /// Stack slots with numbers of 8 bytes.
    pub(super) slots: Vec<i64>,
    /// Whether it has the context and the packet.
    pub(super) packet: bool,
}

pub(super) struct Writer {
    pub(super) random: Random,
    /// In so many of 100 places a limit is off, or a check is left out.
    daring: u64,
    pub(super) text: String,
    /// Subprograms that are done.
    functions: String,
    labels: u32,
    depth: u32,
    pub(super) frame: Frame,
}

impl Writer {
    fn main(&mut self) {
        self.frame = Frame {
            out: self.label(),
            numbers: vec![9],
            slots: Vec::new(),
            packet: true,
        };
        emit!(self, "r6 = r1");
        self.load_packet();
        match self.random.below(3) {
            0 => emit!(self, "r9 = {}", self.random.range(-1..=16)),
            1 => emit!(self, "r9 = *(u32 *)(r6 +16)"),
            _ => {
                emit!(self, "call bpf_get_prandom_u32");
                emit!(self, "r9 = r0");
            }
        }
        for _ in 0..self.random.range(1..=6) {
            self.statement();
        }
        self.leave();
        let functions = std::mem::take(&mut self.functions);
        self.text.push_str(&functions);
    }

    /// The function's end, and where it leaves early.
    fn leave(&mut self) {
        let out = self.frame.out.clone();
        if self.dares() {
            emit!(self, "r0 = r{}", self.random.range(1..=9));
        } else {
            emit!(self, "r0 = {}", self.random.range(0..=4));
        }
        if self.leaves(&out) {
            if self.random.one_in(2) {
                emit!(self, "exit");
            }
            emit!(self, "{out}:");
            emit!(self, "r0 = 1");
        }
        emit!(self, "exit");
    }

    /// Whether something leads to the function's early end.
    fn leaves(&self, out: &str) -> bool {
        self.text.contains(&format!("goto {out}\n"))
    }

    pub(super) fn statement(&mut self) {
        if self.depth > 3 {
            return self.calculate();
        }
        self.depth += 1;
        let packet = self.frame.packet;
        match self.random.below(20) {
            0 | 1 if packet => self.packet(),
            2..=4 if packet => self.variable_packet(),
            5 if packet => self.move_packet(),
            6 | 7 => self.map_value(),
            8 => self.global_value(),
            9 => self.stack(),
            10 | 11 => self.variable_stack(),
            12 => self.spill_pointer(),
            13 => self.helper_memory(),
            14 => self.diamond(),
            15 | 16 => self.repeat(),
            17 => self.call(),
            18 => self.callback(),
            _ => self.calculate(),
        }
        self.depth -= 1;
    }

    pub(super) fn dares(&mut self) -> bool {
        self.random.below(100) < self.daring
    }

    /// The number, or where the writer dares one near it.
    pub(super) fn near(&mut self, number: i64) -> i64 {
        if self.dares() {
            number + *self.random.pick(&[1, -1, 1, -1, 2, -2, 7, -7, 8, -8, 64])
        } else {
            number
        }
    }

    pub(super) fn label(&mut self) -> String {
        self.labels += 1;
        format!("l{}", self.labels)
    }

    /// One of r0 to r5 but these; it holds nothing of use any more.
    pub(super) fn scratch(&mut self, but: &[u8]) -> u8 {
        let free: Vec<u8> = (0..=5).filter(|reg| !but.contains(reg)).collect();
        let reg = *self.random.pick(&free);
        self.forget(reg);
        reg
    }

    pub(super) fn forget(&mut self, reg: u8) {
        self.frame.numbers.retain(|&other| other != reg);
    }

    pub(super) fn is_number(&mut self, reg: u8) {
        self.forget(reg);
        self.frame.numbers.push(reg);
    }

    /// A helper call: r0 is a number, r1 to r5 are gone.
    pub(super) fn call_helper(&mut self, name: &str) {
        emit!(self, "call {name}");
        self.frame.numbers.retain(|&reg| reg > 5);
        self.is_number(0);
    }

    /// Reads packet and end anew.
    pub(super) fn load_packet(&mut self) {
        emit!(self, "r7 = *(u32 *)(r6 +0)");
        emit!(self, "r8 = *(u32 *)(r6 +4)");
    }

    /// Leaves the function early if this holds: directly, or around a jump.
    pub(super) fn leave_if(&mut self, condition: &str, otherwise: &str) {
        let out = self.frame.out.clone();
        if self.random.one_in(4) {
            let on = self.label();
            emit!(self, "if {otherwise} goto {on}");
            emit!(self, "goto {out}");
            emit!(self, "{on}:");
        } else {
            emit!(self, "if {condition} goto {out}");
        }
    }

    /// What is known where two ways meet.
    fn meet(&mut self, other: &Frame) {
        self.frame.numbers.retain(|reg| other.numbers.contains(reg));
        self.frame.slots.retain(|slot| other.slots.contains(slot));
    }

    /// Two ways that meet again.
    fn diamond(&mut self) {
        let (other, end) = (self.label(), self.label());
        let condition = self.condition();
        emit!(self, "if {condition} goto {other}");
        let before = self.frame.clone();
        self.statement();
        if self.random.one_in(2) {
            emit!(self, "goto {end}");
            emit!(self, "{other}:");
            let first = std::mem::replace(&mut self.frame, before);
            self.statement();
            emit!(self, "{end}:");
            self.meet(&first);
        } else {
            emit!(self, "{other}:");
            self.meet(&before);
        }
    }

    /// A loop whose rounds are limited; what it counts may be used as an offset in it and behind it.
    fn repeat(&mut self) {
        let rounds = *self.random.pick(&[1, 2, 3, 5, 8, 16, 33]);
        let step = *self.random.pick(&[1, 1, 1, 2, 3]);
        // The counter survives calls in r9, or on the stack.
        let in_memory = self.random.one_in(4);
        let slot = -72;
        let top = self.label();
        emit!(self, "r9 = 0");
        if in_memory {
            emit!(self, "*(u64 *)(r10 {slot}) = r9");
        }
        emit!(self, "{top}:");
        self.frame.numbers = vec![9];
        if !in_memory && self.random.one_in(2) {
            // Which rounds there are decides whether this is within.
            let last = (rounds - 1) / step * step;
            self.access_at_number(9, last);
        }
        let body = self.text.len();
        if self.random.one_in(2) {
            self.statement();
        }
        // The body may have used r9 for something else.
        let spoilt = self.text[body..].contains("r9 =") || self.text[body..].contains("w9 =");
        if in_memory {
            emit!(self, "r9 = *(u64 *)(r10 {slot})");
        } else if spoilt && !self.dares() {
            emit!(self, "r9 &= 7");
            emit!(self, "r9 += {}", rounds);
        }
        emit!(self, "r9 += {step}");
        if in_memory {
            emit!(self, "*(u64 *)(r10 {slot}) = r9");
        }
        let rounds = self.near(rounds);
        let width = *self.random.pick(&['r', 'r', 'r', 'w']);
        match self.random.below(8) {
            0 => emit!(self, "if {width}9 s< {rounds} goto {top}"),
            1 => emit!(self, "if {width}9 <= {} goto {top}", rounds - 1),
            2 if step == 1 => emit!(self, "if {width}9 != {rounds} goto {top}"),
            3 => {
                let limit = self.scratch(&[]);
                emit!(self, "r{limit} = {rounds}");
                emit!(self, "if r{limit} > r9 goto {top}");
            }
            4 => {
                let end = self.label();
                emit!(self, "if {width}9 >= {rounds} goto {end}");
                emit!(self, "goto {top}");
                emit!(self, "{end}:");
            }
            _ => emit!(self, "if {width}9 < {rounds} goto {top}"),
        }
        self.frame.numbers = vec![9];
        if self.random.one_in(3) {
            self.access_at_number(9, rounds + step - 1);
        }
    }

    /// A call of a subprogram, whose result is used.
    fn call(&mut self) {
        if self.functions.matches(":\nr9 = r1").count() > 3 || self.depth > 3 {
            return self.calculate();
        }
        let packet = self.frame.packet && self.random.one_in(3);
        let most = *self.random.pick(&[0, 1, 7, 14, 31]);
        if packet {
            emit!(self, "r1 = r9");
            emit!(self, "r2 = r6");
        } else {
            let number = self.any_number();
            emit!(self, "r1 = r{number}");
            self.pointer_to_stack(2, 8);
        }
        let name = self.function(packet, most);
        emit!(self, "call {name}");
        self.frame.numbers = vec![9, 0];
        if packet {
            // The subprogram may have moved the packet.
            self.load_packet();
        }
        if self.random.one_in(2) {
            self.access_at_number(0, most);
        }
    }

    /// bpf_loop with a subprogram as its body.
    fn callback(&mut self) {
        if self.functions.matches(":\nr9 = r1").count() > 3 || self.depth > 3 {
            return self.calculate();
        }
        let name = self.function(false, 1);
        let number = self.bounded(8, &[]);
        emit!(self, "r1 = r{}", number.reg);
        emit!(self, "r2 = subprog[{name}]");
        self.pointer_to_stack(3, 8);
        emit!(self, "r4 = 0");
        self.call_helper("bpf_loop");
    }

    /// Writes a subprogram that returns at most so much: its name. Its r2 is the context, or 8 bytes of the caller's stack.
    fn function(&mut self, packet: bool, most: i64) -> String {
        let name = self.label();
        let frame = Frame {
            out: self.label(),
            numbers: vec![9],
            slots: Vec::new(),
            packet,
        };
        let outer = std::mem::replace(&mut self.frame, frame);
        let outer_text = std::mem::take(&mut self.text);
        self.depth += 2;
        emit!(self, "{name}:");
        emit!(self, "r9 = r1");
        if packet {
            emit!(self, "r6 = r2");
            self.load_packet();
        } else if self.random.one_in(2) {
            let at = self.near(0);
            match self.random.below(3) {
                0 => emit!(self, "*(u64 *)(r2 {at:+}) = r9"),
                1 => emit!(self, "r9 = *(u64 *)(r2 {at:+})"),
                _ => emit!(self, "r6 = r2"),
            }
        }
        for _ in 0..self.random.range(0..=2) {
            self.statement();
        }
        if self.random.one_in(2) {
            emit!(self, "r0 = {}", self.random.range(0..=most));
        } else {
            let number = self.bounded(most, &[]);
            emit!(self, "r0 = r{}", number.reg);
        }
        emit!(self, "exit");
        let out = self.frame.out.clone();
        if self.leaves(&out) {
            emit!(self, "{out}:");
            let result = self.near(most);
            emit!(self, "r0 = {result}");
            emit!(self, "exit");
        }
        self.depth -= 2;
        let text = std::mem::replace(&mut self.text, outer_text);
        self.functions.push_str(&text);
        self.frame = outer;
        name
    }
}
