//! Memory: packet, map values and stack, read and written up to the last byte.

use super::number::Number;
use super::program::{Writer, emit};
use crate::judges::MAPS;

impl Writer {
    /// One to three accesses at a pointer plus a number, of memory from `low` to `high` bytes from the pointer.
    fn accesses(&mut self, pointer: u8, number: Number, low: i64, high: i64) {
        for _ in 0..self.random.range(1..=2) {
            let bytes = *self.random.pick(&[1, 2, 4, 8]);
            let (first, last) = (low - number.least, high - bytes - number.most);
            let at = match self.random.below(4) {
                0 => first,
                1 if first < last => self.random.range(first..=last),
                _ => last,
            };
            let at = self.near(at.max(first));
            self.access(pointer, at, bytes);
        }
    }

    fn access(&mut self, pointer: u8, at: i64, bytes: i64) {
        let bits = bytes * 8;
        match self.random.below(8) {
            0 => emit!(
                self,
                "*(u{bits} *)(r{pointer} {at:+}) = {}",
                self.random.range(0..=9)
            ),
            1 | 2 => emit!(self, "*(u{bits} *)(r{pointer} {at:+}) = r9"),
            3 if bytes < 8 => {
                let reg = self.scratch(&[pointer]);
                emit!(self, "r{reg} = *(s{bits} *)(r{pointer} {at:+})");
                self.is_number(reg);
            }
            _ => {
                let reg = self.scratch(&[pointer]);
                emit!(self, "r{reg} = *(u{bits} *)(r{pointer} {at:+})");
                self.is_number(reg);
            }
        }
    }

    /// A check that so many bytes from a pointer are packet; in r0 to r5 but not in these registers.
    fn check_packet(&mut self, pointer: u8, bytes: i64, but: &[u8]) {
        let probe = self.scratch(but);
        emit!(self, "r{probe} = r{pointer}");
        let checked = self.near(bytes);
        // One byte less needs to be told than is compared where equality counts.
        let (add, over, within) = match self.random.below(6) {
            0 => (checked, format!("r8 < r{probe}"), format!("r8 >= r{probe}")),
            1 => (
                checked - 1,
                format!("r{probe} >= r8"),
                format!("r{probe} < r8"),
            ),
            2 => (
                checked - 1,
                format!("r8 <= r{probe}"),
                format!("r8 > r{probe}"),
            ),
            _ => (checked, format!("r{probe} > r8"), format!("r{probe} <= r8")),
        };
        emit!(self, "r{probe} += {add}");
        self.leave_if(&over, &within);
    }

    pub(super) fn packet(&mut self) {
        let bytes = *self.random.pick(&[1, 2, 8, 14, 20, 34, 54]);
        self.check_packet(7, bytes, &[]);
        if self.dares() {
            // It may move the packet.
            self.statement();
        }
        let zero = Number {
            reg: 0,
            least: 0,
            most: 0,
        };
        self.accesses(7, zero, 0, bytes);
    }

    pub(super) fn variable_packet(&mut self) {
        let most = if self.dares() {
            *self.random.pick(&[0x7fff, 0xffff, 0x1_ffff])
        } else {
            *self.random.pick(&[3, 15, 60, 255, 1500, 0x3fff])
        };
        let number = self.bounded(most, &[]);
        let pointer = self.scratch(&[number.reg]);
        emit!(self, "r{pointer} = r7");
        if self.random.one_in(5) {
            emit!(self, "r{pointer} += 14");
        }
        emit!(self, "r{pointer} += r{}", number.reg);
        let bytes = *self.random.pick(&[1, 2, 4, 8, 20]);
        let zero = Number {
            reg: 0,
            least: 0,
            most: 0,
        };
        match self.random.below(4) {
            0 => {
                // The offset is added once more, which is another pointer to the verifier.
                self.check_packet(pointer, bytes, &[pointer, number.reg]);
                let again = self.scratch(&[pointer, number.reg]);
                emit!(self, "r{again} = r7");
                emit!(self, "r{again} += r{}", number.reg);
                let used = if self.dares() { again } else { pointer };
                self.accesses(used, zero, 0, bytes);
            }
            1 => {
                // Fixed steps before and behind the check.
                emit!(self, "r{pointer} += 4");
                self.check_packet(pointer, bytes, &[pointer]);
                emit!(self, "r{pointer} += -4");
                self.accesses(pointer, zero, 4, bytes + 4);
            }
            _ => {
                self.check_packet(pointer, bytes, &[pointer]);
                self.accesses(pointer, zero, 0, bytes);
            }
        }
    }

    /// The packet's begin or end moves: all that was known of it is gone.
    pub(super) fn move_packet(&mut self) {
        emit!(self, "r1 = r6");
        emit!(self, "r2 = {}", self.random.pick(&[-4, 4, 14]));
        let name = *self
            .random
            .pick(&["bpf_xdp_adjust_head", "bpf_xdp_adjust_tail"]);
        self.call_helper(name);
        if !self.dares() {
            self.load_packet();
        }
    }

    /// A stack slot of 8 bytes.
    pub(super) fn slot(&mut self) -> i64 {
        -8 * self.random.range(1..=8)
    }

    /// Numbers on the stack in one size, read in another.
    pub(super) fn stack(&mut self) {
        let (slot, number) = (self.slot(), self.any_number());
        let wide = self.random.one_in(2);
        let bits = if wide {
            64
        } else {
            *self.random.pick(&[8, 16, 32])
        };
        let at = slot
            + if wide {
                0
            } else {
                self.random.range(0..=3) & !(bits / 8 - 1)
            };
        if wide || self.frame.slots.contains(&slot) || self.dares() {
            emit!(self, "*(u{bits} *)(r10 {at}) = r{number}");
        } else {
            emit!(self, "*(u64 *)(r10 {slot}) = 0");
            emit!(self, "*(u{bits} *)(r10 {at}) = r{number}");
        }
        if !self.frame.slots.contains(&slot) {
            self.frame.slots.push(slot);
        }
        if self.random.one_in(2) {
            // What is learned of the register holds for the slot.
            let most = *self.random.pick(&[7, 15]);
            self.leave_if(
                &format!("r{number} > {most}"),
                &format!("r{number} <= {most}"),
            );
            let reg = self.scratch(&[]);
            emit!(self, "r{reg} = *(u64 *)(r10 {slot})");
            self.is_number(reg);
            if wide {
                self.access_at_number(reg, most);
            }
        } else {
            let reg = self.scratch(&[]);
            let sign = *self.random.pick(&['u', 'u', 's']);
            let bits = *self.random.pick(&[8, 16, 32]);
            emit!(self, "r{reg} = *({sign}{bits} *)(r10 {slot})");
            self.is_number(reg);
        }
    }

    /// Fills the stack from `low` up to -8 where it is not known to be filled.
    fn fill_stack(&mut self, low: i64) {
        let mut slot = low & !7;
        while slot < 0 {
            if !self.frame.slots.contains(&slot) && !self.dares() {
                emit!(self, "*(u64 *)(r10 {slot}) = 0");
                self.frame.slots.push(slot);
            }
            slot += 8;
        }
    }

    /// A register becomes a pointer to at least so many bytes of the stack, with numbers in them.
    pub(super) fn pointer_to_stack(&mut self, reg: u8, bytes: i64) {
        let low = -8 * self.random.range((bytes + 7) / 8..=8);
        for at in (low..low + bytes).step_by(8) {
            if !self.frame.slots.contains(&at) && !self.dares() {
                emit!(self, "*(u64 *)(r10 {at}) = 0");
                self.frame.slots.push(at);
            }
        }
        emit!(self, "r{reg} = r10");
        emit!(self, "r{reg} += {low}");
        self.forget(reg);
    }

    /// An access at an offset that is not constant.
    pub(super) fn variable_stack(&mut self) {
        let most = *self.random.pick(&[0, 1, 3, 7, 8, 15, 24]);
        let number = self.bounded(most, &[]);
        self.access_stack(number);
    }

    fn access_stack(&mut self, number: Number) {
        self.fill_stack(-64);
        let pointer = self.scratch(&[number.reg]);
        emit!(self, "r{pointer} = r10");
        emit!(self, "r{pointer} += r{}", number.reg);
        // Few are aligned to more than a byte.
        let bytes = if number.least == number.most || self.dares() {
            8
        } else {
            1
        };
        let (low, high) = (-64 - number.least, -bytes - number.most);
        let at = if self.random.one_in(3) { low } else { high };
        let at = self.near(at);
        self.access(pointer, at, bytes);
    }

    /// Uses a number that is from 0 to `most`, where it matters.
    pub(super) fn access_at_number(&mut self, reg: u8, most: i64) {
        let number = Number {
            reg,
            least: 0,
            most,
        };
        match self.random.below(3) {
            0 if most < 48 => self.access_global(number),
            1 if most < 48 => self.access_stack(number),
            _ => {
                let again = self.scratch(&[reg]);
                emit!(self, "r{again} = r{reg}");
                self.is_number(again);
                self.access_global(Number {
                    reg: again,
                    ..number
                });
            }
        }
    }

    fn access_global(&mut self, number: Number) {
        let size = i64::from(MAPS[2].value_size);
        let pointer = self.scratch(&[number.reg]);
        let within = *self.random.pick(&[0, 0, 0, 8, 60]);
        emit!(self, "r{pointer} = map[fd:2][0]+{within}");
        emit!(self, "r{pointer} += r{}", number.reg);
        self.accesses(pointer, number, -within, size - within);
    }

    pub(super) fn global_value(&mut self) {
        let most = *self.random.pick(&[0, 7, 31, 55, 63]);
        let number = self.bounded(most, &[]);
        self.access_global(number);
    }

    /// A lookup, whose result is compared with 0 in one of several ways.
    pub(super) fn map_value(&mut self) {
        let map = self.random.below(2) as usize;
        let size = i64::from(MAPS[map].value_size);
        emit!(self, "r1 = map[fd:{map}]");
        self.forget(1);
        self.pointer_to_stack(2, i64::from(MAPS[map].key_size));
        self.call_helper("bpf_map_lookup_elem");
        self.forget(0);
        let mut pointer = 0;
        match self.random.below(6) {
            0 => {
                // The copy is compared.
                let copy = self.scratch(&[0]);
                emit!(self, "r{copy} = r0");
                self.leave_if(&format!("r{copy} == 0"), &format!("r{copy} != 0"));
            }
            1 => {
                // One is spilled, the other compared.
                let slot = self.slot();
                emit!(self, "*(u64 *)(r10 {slot}) = r0");
                self.frame.slots.retain(|&other| other != slot);
                self.leave_if("r0 == 0", "r0 != 0");
                pointer = self.scratch(&[]);
                emit!(self, "r{pointer} = *(u64 *)(r10 {slot})");
            }
            2 if self.dares() => {
                // The kernel learns from constants only.
                let zero = self.scratch(&[0]);
                emit!(self, "r{zero} = 0");
                self.leave_if(&format!("r0 == r{zero}"), &format!("r0 != r{zero}"));
            }
            _ if self.dares() => {}
            _ => self.leave_if("r0 == 0", "r0 != 0"),
        }
        if self.random.one_in(2) {
            let zero = Number {
                reg: 0,
                least: 0,
                most: 0,
            };
            return self.accesses(pointer, zero, 0, size);
        }
        // r9 survives what the number is made by.
        let slot = self.slot();
        emit!(self, "*(u64 *)(r10 {slot}) = r{pointer}");
        self.frame.slots.retain(|&other| other != slot);
        let most = *self.random.pick(&[3, 7, 15, 16, 23]);
        let number = self.bounded(most, &[]);
        if self
            .text
            .rfind(&format!("*(u64 *)(r10 {slot}) = "))
            .is_some_and(|at| !self.text[at..].contains(&format!("= r{pointer}")))
            && !self.dares()
        {
            return;
        }
        let pointer = self.scratch(&[number.reg]);
        emit!(self, "r{pointer} = *(u64 *)(r10 {slot})");
        emit!(self, "r{pointer} += r{}", number.reg);
        self.accesses(pointer, number, 0, size);
    }

    /// A pointer is spilled, and used after other things were done.
    pub(super) fn spill_pointer(&mut self) {
        if !self.frame.packet {
            return self.stack();
        }
        let slot = -80;
        let bytes = *self.random.pick(&[2, 14, 34]);
        self.check_packet(7, bytes, &[]);
        let pointer = self.scratch(&[]);
        emit!(self, "r{pointer} = r7");
        emit!(self, "r{pointer} += 1");
        emit!(self, "*(u64 *)(r10 {slot}) = r{pointer}");
        if self.random.one_in(2) {
            self.statement();
        }
        if self.dares() {
            emit!(self, "*(u{} *)(r10 {slot}) = 0", self.random.pick(&[8, 32]));
        }
        let pointer = self.scratch(&[]);
        emit!(self, "r{pointer} = *(u64 *)(r10 {slot})");
        let zero = Number {
            reg: 0,
            least: 0,
            most: 0,
        };
        self.accesses(pointer, zero, -1, bytes - 1);
    }

    /// A helper that reads or writes memory of a size that is not constant.
    pub(super) fn helper_memory(&mut self) {
        let most = *self.random.pick(&[1, 7, 8, 16, 31]);
        let number = self.bounded(most, &[]);
        if number.least == 0 && !self.dares() {
            // Many helpers take no empty memory.
            let bits = if self.random.one_in(2) { "w" } else { "r" };
            self.leave_if(
                &format!("{bits}{} == 0", number.reg),
                &format!("{bits}{} != 0", number.reg),
            );
        }
        let room = number.most.clamp(1, 64);
        match self.random.below(4) {
            0 if self.frame.packet => {
                emit!(self, "r4 = r{}", number.reg);
                self.pointer_to_stack(3, room);
                emit!(self, "r2 = 0");
                emit!(self, "r1 = r6");
                let name = *self
                    .random
                    .pick(&["bpf_xdp_load_bytes", "bpf_xdp_store_bytes"]);
                self.call_helper(name);
            }
            1 => {
                emit!(self, "r3 = r{}", number.reg);
                emit!(self, "r2 = r3");
                self.pointer_to_stack(1, room);
                emit!(self, "r3 = r10");
                self.call_helper("bpf_probe_read_kernel");
            }
            2 => {
                let size = self.near(room & !3);
                emit!(self, "r1 = 0");
                emit!(self, "r2 = 0");
                self.pointer_to_stack(3, room);
                emit!(self, "r4 = {size}");
                emit!(self, "r5 = 0");
                self.call_helper("bpf_csum_diff");
            }
            _ => {
                let map = self.random.below(2) as usize;
                emit!(self, "r1 = map[fd:{map}]");
                self.pointer_to_stack(2, i64::from(MAPS[map].key_size));
                self.pointer_to_stack(3, i64::from(MAPS[map].value_size));
                emit!(self, "r4 = 0");
                self.call_helper("bpf_map_update_elem");
            }
        }
    }
}
