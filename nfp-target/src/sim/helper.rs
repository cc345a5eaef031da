//! The firmware's functions: their arguments and results as the driver's code has them (Linux 6.12, `map_call_stack_common`
//! and `nfp_perf_event_output`), their effects as the interpreter's.

use super::engine::{Event, Thread};
use super::memory::read_value;
use super::stop::StopKind;
use crate::isa::Bank;

/// General registers of both banks that a helper may destroy: those of r1 to r5, the scratch ones, and those that no
/// program of the driver's uses.
const DESTROYED: [std::ops::Range<u8>; 3] = [2..12, 20..22, 23..32];

impl Thread<'_> {
    /// Runs a helper. A0 holds the map, B0 the address to go back to, pointer 0 the key, pointer 2 the value.
    pub(super) fn helper(&mut self, number: u16) -> Result<(), StopKind> {
        let result = match number {
            1 => {
                let (map, key) = self.map_and_key()?;
                let size = self.machine.map_spec(map).map_or(0, |spec| spec.value_size);
                match self.machine.value_address(map, &key)? {
                    None => 0,
                    Some(address) => self.values.show(address, size),
                }
            }
            2 => {
                let (map, key) = self.map_and_key()?;
                let size = self.machine.map_spec(map).map_or(0, |spec| spec.value_size);
                let from = self.registers.pointer(2);
                let value = self.registers.local_bytes(from, size as usize)?;
                let flags = self.pair(8);
                answer(self.machine.program_update(map, &key, &value, flags)?)
            }
            3 => {
                let (map, key) = self.map_and_key()?;
                answer(self.machine.program_delete(map, &key)?)
            }
            25 => self.event()?,
            _ => return Err(StopKind::Helper(number)),
        };
        let banks = [Bank::A, Bank::B];
        for bank in banks {
            self.registers.set(bank, 0, result as u32);
            self.registers.set(bank, 1, (result >> 32) as u32);
        }
        // B22 holds the packet's length and A22 the stack: both survive.
        self.registers.destroy(DESTROYED.into_iter().flatten());
        self.registers.destroy_pointer(2);
        self.registers.destroy_pointer(3);
        Ok(())
    }

    fn map_and_key(&mut self) -> Result<(usize, Vec<u8>), StopKind> {
        let id = self.registers.get(Bank::A, 0);
        let &map = self.maps.get(&id).ok_or(StopKind::NoMap(id))?;
        let spec = self.machine.map_spec(map).ok_or(StopKind::NoMap(id))?;
        let from = self.registers.pointer(0);
        let key = self.registers.local_bytes(from, spec.key_size as usize)?;
        Ok((map, key))
    }

    /// Two registers of bank A, as 64 bits.
    fn pair(&self, low: u8) -> u64 {
        let word = |number| u64::from(self.registers.get(Bank::A, number));
        word(low + 1) << 32 | word(low)
    }

    /// `bpf_perf_event_output`: A1 tells what the pointer in 8 and 9 points into, 10 is the length.
    fn event(&mut self) -> Result<u64, StopKind> {
        let map = self.registers.get(Bank::A, 0);
        let pointer = self.pair(8);
        let length = self.registers.get(Bank::A, 10) as usize;
        // The numbers are those of enum bpf_reg_type.
        let data = match self.registers.get(Bank::A, 1) {
            // PTR_TO_MAP_VALUE
            4 => read_value(self.machine, &self.values, pointer, length)?,
            // PTR_TO_STACK
            6 => self.registers.local_bytes(pointer as u32, length)?,
            // PTR_TO_PACKET
            8 => self
                .buffer
                .read(&mut self.registers, pointer as u32, length)?,
            kind => return Err(StopKind::EventKind(kind)),
        };
        self.events.push(Event { map, data });
        Ok(0)
    }
}

/// 0, or the negated errno.
fn answer(result: Result<(), i64>) -> u64 {
    match result {
        Ok(()) => 0,
        Err(errno) => errno as u64,
    }
}
