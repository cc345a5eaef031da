//! Numbers: where they come from, how programs limit them, and what they make of them.

use super::program::{Writer, emit};

/// A register and between which it is, as its program means it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    pub(super) reg: u8,
    pub(super) least: i64,
    pub(super) most: i64,
}

const COMPARISONS: [&str; 11] = [
    "==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&",
];

impl Writer {
    fn letter(&mut self) -> char {
        *self.random.pick(&['r', 'r', 'w'])
    }

    /// A condition that nothing is known of.
    pub(super) fn condition(&mut self) -> String {
        let (reg, letter) = (self.any_number(), self.letter());
        let op = *self.random.pick(&COMPARISONS);
        if self.random.one_in(4) {
            let numbers = self.frame.numbers.clone();
            return format!("{letter}{reg} {op} {letter}{}", self.random.pick(&numbers));
        }
        let limit = self
            .random
            .pick(&[0, 1, 7, 8, 64, 255, -1, -8, 1000, i32::MIN]);
        format!("{letter}{reg} {op} {limit}")
    }

    /// A register with any number.
    pub(super) fn any_number(&mut self) -> u8 {
        if !self.frame.numbers.is_empty() && !self.random.one_in(4) {
            let numbers = self.frame.numbers.clone();
            return *self.random.pick(&numbers);
        }
        let packet = self.frame.packet;
        let reg = match self.random.below(6) {
            0 if packet => {
                let reg = self.scratch(&[]);
                emit!(
                    self,
                    "r{reg} = *(u32 *)(r6 +{})",
                    *self.random.pick(&[12, 16])
                );
                reg
            }
            1 if packet => {
                let (probe, reg) = (self.scratch(&[]), self.scratch(&[]));
                emit!(self, "r{probe} = r7");
                emit!(self, "r{probe} += 8");
                self.leave_if(&format!("r{probe} > r8"), &format!("r{probe} <= r8"));
                let ty = *self.random.pick(&["u8", "u16", "u32", "u64", "s8"]);
                emit!(self, "r{reg} = *({ty} *)(r7 +0)");
                reg
            }
            2 if !self.frame.slots.is_empty() => {
                let reg = self.scratch(&[]);
                let slots = self.frame.slots.clone();
                let slot = *self.random.pick(&slots);
                emit!(self, "r{reg} = *(u64 *)(r10 {slot})");
                reg
            }
            3 => {
                let reg = self.scratch(&[]);
                emit!(self, "r{reg} = {}", self.random.range(-2..=40));
                reg
            }
            4 => {
                self.call_helper("bpf_ktime_get_ns");
                0
            }
            _ => {
                self.call_helper("bpf_get_prandom_u32");
                0
            }
        };
        self.is_number(reg);
        reg
    }

    /// A number from 0 to about `most`, in r0 to r5 or r9 but not in these registers.
    pub(super) fn bounded(&mut self, most: i64, but: &[u8]) -> Number {
        let source = self.any_number();
        let reg = self.scratch(but);
        emit!(self, "r{reg} = r{source}");
        // Some check the copy, some what it was copied from, some what was spilled of it.
        let checked = if self.random.one_in(4) && source != reg {
            source
        } else {
            reg
        };
        if checked == reg {
            self.limit(reg, most);
        } else {
            self.compare(checked, reg, most);
        }
        if checked != reg && source == 0 {
            self.is_number(source);
        }
        self.is_number(reg);
        let number = Number {
            reg,
            least: 0,
            most,
        };
        let number = self.transform(number);
        self.is_number(reg);
        number
    }

    /// Makes the register hold at most this, and at least 0, in one of the ways that compilers and people write.
    fn limit(&mut self, reg: u8, most: i64) {
        let letter = self.letter();
        let limit = self.near(most);
        let mask = (1_i64 << (64 - most.leading_zeros())) - 1;
        let exact = mask == most;
        match self.random.below(10) {
            0 | 1 if exact => emit!(self, "{letter}{reg} &= {}", self.near(mask)),
            2 if exact && most > 0 => {
                let bits = i64::from(most.count_ones());
                let width = if letter == 'w' { 32 } else { 64 };
                let by = self.near(width - bits).clamp(0, width - 1);
                emit!(self, "{letter}{reg} >>= {by}");
            }
            3 => emit!(self, "{letter}{reg} %= {}", (limit + 1).max(1)),
            4 => {
                // Too much becomes a number that is within.
                let on = self.label();
                emit!(self, "if r{reg} <= {limit} goto {on}");
                emit!(self, "r{reg} = {}", self.random.range(0..=most));
                emit!(self, "{on}:");
            }
            5 if exact => {
                let (on, end) = (self.label(), self.label());
                emit!(self, "if r{reg} & {} goto {on}", !limit);
                emit!(self, "goto {end}");
                emit!(self, "{on}:");
                emit!(self, "r{reg} = 0");
                emit!(self, "{end}:");
            }
            6 => {
                // The lower half is checked, and only it is used.
                self.leave_if(&format!("w{reg} > {limit}"), &format!("w{reg} <= {limit}"));
                if !self.dares() {
                    emit!(self, "w{reg} = w{reg}");
                }
            }
            _ => self.compare(reg, reg, most),
        }
    }

    /// Leaves the function where the register, of which there may be a copy, is not from 0 to `most`.
    fn compare(&mut self, reg: u8, copy: u8, most: i64) {
        let limit = self.near(most);
        match self.random.below(7) {
            0 => {
                let (over, within) = (format!("r{reg} s> {limit}"), format!("r{reg} s<= {limit}"));
                self.leave_if(&over, &within);
                if !self.dares() {
                    self.leave_if(&format!("r{reg} s< 0"), &format!("r{reg} s>= 0"));
                }
            }
            1 => {
                let first = limit + 1;
                let (over, within) = (format!("r{reg} >= {first}"), format!("r{reg} < {first}"));
                self.leave_if(&over, &within);
            }
            2 => {
                let other = self.scratch(&[reg, copy]);
                emit!(self, "r{other} = {limit}");
                let (over, within) = (format!("r{other} < r{reg}"), format!("r{other} >= r{reg}"));
                self.leave_if(&over, &within);
            }
            3 if (limit + 1) & limit == 0 => {
                let out = self.frame.out.clone();
                emit!(self, "if r{reg} & {} goto {out}", !limit);
            }
            4 => {
                let exactly = self.random.range(0..=most);
                let (other, same) = (
                    format!("r{reg} != {exactly}"),
                    format!("r{reg} == {exactly}"),
                );
                self.leave_if(&other, &same);
            }
            _ => self.leave_if(&format!("r{reg} > {limit}"), &format!("r{reg} <= {limit}")),
        }
    }

    /// Calculates with a number whose range is known.
    fn transform(&mut self, number: Number) -> Number {
        let Number { reg, least, most } = number;
        let to = |least, most| Number { reg, least, most };
        match self.random.below(16) {
            0 => {
                let by = self.random.range(1..=2);
                emit!(self, "r{reg} <<= {by}");
                to(least << by, most << by)
            }
            1 => {
                let by = self.random.range(-9..=9);
                emit!(self, "r{reg} += {by}");
                to(least + by, most + by)
            }
            2 => {
                let by = self.random.range(0..=9);
                emit!(self, "r{reg} -= {by}");
                to(least - by, most - by)
            }
            3 => {
                let by = self.random.range(1..=3);
                emit!(self, "r{reg} *= {by}");
                to(least * by, most * by)
            }
            4 => {
                emit!(self, "r{reg} = -r{reg}");
                to(-most, -least)
            }
            5 => {
                let shift = self.random.range(1..=2);
                emit!(self, "r{reg} >>= {shift}");
                to(least >> shift, most >> shift)
            }
            6 => {
                emit!(self, "r{reg} &= {}", *self.random.pick(&[-8, -4, -2]));
                to(0, most)
            }
            7 if most < 128 => {
                emit!(
                    self,
                    "r{reg} = (s{})r{reg}",
                    *self.random.pick(&[8, 16, 32])
                );
                number
            }
            8 => {
                let slot = self.slot();
                emit!(self, "*(u64 *)(r10 {slot}) = r{reg}");
                emit!(
                    self,
                    "r{reg} = *(u{} *)(r10 {slot})",
                    self.random.pick(&[64, 32])
                );
                number
            }
            9 => {
                emit!(self, "w{reg} = w{reg}");
                number
            }
            10 => {
                let bits = *self.random.pick(&[1, 2, 7]);
                emit!(self, "r{reg} |= {bits}");
                to(least, most | bits)
            }
            11 => {
                // The sum of two.
                let other = self.scratch(&[reg]);
                emit!(self, "r{other} = r{reg}");
                emit!(self, "r{other} &= 3");
                emit!(self, "r{reg} += r{other}");
                to(least, most + 3)
            }
            _ => number,
        }
    }

    /// Arithmetic of which nothing is known.
    pub(super) fn calculate(&mut self) {
        for _ in 0..self.random.range(1..=3) {
            let (reg, letter) = (self.any_number(), self.letter());
            let op = *self.random.pick(&[
                "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "<<=", ">>=", "s>>=", "s/=", "s%=",
                "=",
            ]);
            let shift = op.contains("<<") || op.contains(">>");
            if self.random.one_in(3) {
                let numbers = self.frame.numbers.clone();
                emit!(
                    self,
                    "{letter}{reg} {op} {letter}{}",
                    self.random.pick(&numbers)
                );
            } else if shift {
                emit!(self, "{letter}{reg} {op} {}", self.random.range(0..=31));
            } else {
                let number = *self
                    .random
                    .pick(&[1, 2, 3, 7, 8, 255, -1, -8, i32::MAX, 1000]);
                emit!(self, "{letter}{reg} {op} {number}");
            }
        }
    }
}
