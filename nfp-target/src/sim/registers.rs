//! A thread's registers and its local memory.

use super::stop::StopKind;
use crate::isa::{Bank, Csr, Destination, Local, LocalIndex, Operand};

/// Where the packet vector is in local memory.
pub(super) const VECTOR: u32 = 0;
const VECTOR_BYTES: u32 = 64;
/// Where the stack is: a multiple of 64, with room below that no program may touch.
pub(super) const STACK: u32 = 128;
/// Slots from a write of a local memory pointer to the first that sees it.
const POINTER_DELAY: u64 = 4;
/// Upper words of the addresses of map values.
pub const VALUE_HIGH: u32 = 0x5a;

/// Values that a program must not depend on: of registers and memory that were never written, or that a helper
/// destroyed. Known to a model of the driver, whose translations leave some of them in upper halves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    /// In the registers that hold upper halves, odd ones: always this.
    pub high: u32,
    state: u32,
}

impl Unset {
    /// From a seed, which says everything.
    pub fn new(seed: u32) -> Unset {
        Unset {
            high: 0xa5c3_0f69 ^ seed,
            state: seed.wrapping_mul(0x9e37_79b9) | 1,
        }
    }

    /// xorshift32 (Marsaglia, "Xorshift RNGs", 2003)
    pub(super) fn next(&mut self) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        self.state
    }
}

/// General and transfer registers, local memory and its pointers.
#[derive(Debug, Clone)]
pub(super) struct Registers {
    banks: [[u32; 32]; 2],
    /// From memory.
    pub(super) transfer_in: [u32; 32],
    /// Towards memory.
    pub(super) transfer_out: [u32; 32],
    pointers: [u32; 4],
    /// Pointer, value, and the first slot that sees it; in the order of writing.
    pending: Vec<(usize, u32, u64)>,
    vector: [u32; VECTOR_BYTES as usize / 4],
    stack: Vec<u32>,
    unset: Unset,
}

impl Registers {
    /// All unset, but for local memory pointers 0 and 1 and A22.
    pub(super) fn new(stack_bytes: u32, mut unset: Unset) -> Registers {
        let mut registers = Registers {
            banks: [[0; 32]; 2],
            transfer_in: [0; 32],
            transfer_out: [0; 32],
            pointers: [STACK, VECTOR, unset.next(), unset.next()],
            pending: Vec::new(),
            vector: std::array::from_fn(|_| unset.next()),
            stack: (0..stack_bytes.div_ceil(4)).map(|_| unset.next()).collect(),
            unset,
        };
        registers.destroy(0..32);
        registers.set(Bank::A, 22, STACK);
        registers
    }

    /// Unsets general registers of both banks and all transfer registers.
    pub(super) fn destroy(&mut self, numbers: impl Iterator<Item = u8>) {
        for number in numbers {
            for bank in [Bank::A, Bank::B] {
                let value = if number < 20 && number % 2 == 1 {
                    self.unset.high
                } else {
                    self.unset.next()
                };
                self.set(bank, number, value);
            }
        }
        for number in 0..32 {
            self.transfer_in[number] = self.unset.next();
            self.transfer_out[number] = self.unset.next();
        }
    }

    /// Unsets a local memory pointer.
    pub(super) fn destroy_pointer(&mut self, pointer: usize) {
        self.pointers[pointer] = self.unset.next();
    }

    /// A general register.
    pub(super) fn get(&self, bank: Bank, number: u8) -> u32 {
        self.banks[bank as usize][usize::from(number)]
    }

    /// Sets a general register.
    pub(super) fn set(&mut self, bank: Bank, number: u8, value: u32) {
        self.banks[bank as usize][usize::from(number)] = value;
    }

    /// Lets the pointers change whose time has come.
    pub(super) fn advance(&mut self, slot: u64) {
        if self.pending.is_empty() {
            return;
        }
        let pointers = &mut self.pointers;
        self.pending.retain(|&(pointer, value, at)| {
            if at <= slot {
                pointers[pointer] = value;
            }
            at > slot
        });
    }

    /// Where a local memory pointer points.
    pub(super) fn pointer(&self, pointer: usize) -> u32 {
        self.pointers[pointer]
    }

    /// Writes a control register in this slot.
    pub(super) fn write_csr(&mut self, csr: Csr, value: u32, slot: u64) -> Result<(), StopKind> {
        let pointer = match csr {
            Csr::LocalPointer0 => 0,
            Csr::LocalPointer1 => 1,
            Csr::LocalPointer2 => 2,
            Csr::LocalPointer3 => 3,
            Csr::Random => return Err(StopKind::Csr(csr)),
        };
        self.pending
            .push((pointer, value & !3, slot + POINTER_DELAY));
        Ok(())
    }

    fn local_address(&self, local: Local) -> u32 {
        let pointer = self.pointers[usize::from(local.pointer)];
        match local.index {
            LocalIndex::Word(word) => pointer | (4 * u32::from(word)),
            LocalIndex::PostIncrement | LocalIndex::PostDecrement => pointer,
        }
    }

    /// A word of local memory.
    pub(super) fn local(&mut self, address: u32) -> Result<&mut u32, StopKind> {
        let word = if address >= STACK {
            self.stack.get_mut((address - STACK) as usize / 4)
        } else {
            self.vector.get_mut(address as usize / 4)
        };
        word.ok_or(StopKind::LocalMemory(address))
    }

    /// Bytes of local memory from a word on, a helper's view: the first is bits 7..0.
    pub(super) fn local_bytes(&mut self, address: u32, len: usize) -> Result<Vec<u8>, StopKind> {
        let mut bytes = Vec::new();
        let mut at = address & !3;
        while bytes.len() < len {
            bytes.extend(self.local(at)?.to_le_bytes());
            at = at.checked_add(4).ok_or(StopKind::LocalMemory(at))?;
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    /// The value of a source; no operand reads as 0.
    pub(super) fn read(&mut self, operand: Operand) -> Result<u32, StopKind> {
        Ok(match operand {
            Operand::None => 0,
            Operand::Gpr(bank, number) => self.get(bank, number),
            Operand::Transfer(number) => self.transfer_in[usize::from(number)],
            Operand::Local(local) => *self.local(self.local_address(local))?,
            Operand::Immediate(value) => value.into(),
        })
    }

    /// The value that a destination had, for words that write a part of it.
    pub(super) fn old(&mut self, destination: Destination) -> Result<u32, StopKind> {
        self.read(destination.into())
    }

    /// Writes a result.
    pub(super) fn write(
        &mut self,
        destination: Destination,
        both: bool,
        value: u32,
    ) -> Result<(), StopKind> {
        match destination {
            Destination::None => {}
            Destination::Gpr(_, number) if both => {
                self.set(Bank::A, number, value);
                self.set(Bank::B, number, value);
            }
            Destination::Gpr(bank, number) => self.set(bank, number, value),
            Destination::Transfer(number) => self.transfer_out[usize::from(number)] = value,
            Destination::Local(local) => *self.local(self.local_address(local))? = value,
        }
        Ok(())
    }

    /// Moves the pointers that a word's operands move; seen by the next word.
    pub(super) fn step_pointers(&mut self, operands: &[Operand]) {
        for operand in operands {
            let Operand::Local(Local { pointer, index }) = *operand else {
                continue;
            };
            let pointer = &mut self.pointers[usize::from(pointer)];
            match index {
                LocalIndex::Word(_) => {}
                LocalIndex::PostIncrement => *pointer = pointer.wrapping_add(4),
                LocalIndex::PostDecrement => *pointer = pointer.wrapping_sub(4),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(pointer: u8, word: u8) -> Operand {
        Operand::Local(Local {
            pointer,
            index: LocalIndex::Word(word),
        })
    }

    #[test]
    fn a_pointer_moves_in_the_fourth_slot_after_its_write() {
        let mut registers = Registers::new(512, Unset::new(1));
        *registers.local(STACK).unwrap() = 1;
        *registers.local(STACK + 64).unwrap() = 2;
        registers
            .write_csr(Csr::LocalPointer0, STACK + 66, 10)
            .unwrap();
        for (slot, value) in [(11, 1), (13, 1), (14, 2)] {
            registers.advance(slot);
            assert_eq!(registers.read(word(0, 0)), Ok(value), "slot {slot}");
        }
    }

    #[test]
    fn local_memory_ends() {
        let mut registers = Registers::new(64, Unset::new(1));
        assert!(registers.read(word(0, 15)).is_ok());
        registers
            .write_csr(Csr::LocalPointer0, STACK + 64, 0)
            .unwrap();
        registers.advance(4);
        assert_eq!(
            registers.read(word(0, 0)),
            Err(StopKind::LocalMemory(STACK + 64))
        );
        assert_eq!(
            registers.local_bytes(VECTOR_BYTES - 4, 8),
            Err(StopKind::LocalMemory(VECTOR_BYTES))
        );
    }

    #[test]
    fn transfer_registers_are_two_files() {
        let mut registers = Registers::new(64, Unset::new(1));
        registers.transfer_in[3] = 7;
        registers.write(Destination::Transfer(3), false, 9).unwrap();
        assert_eq!(registers.read(Operand::Transfer(3)), Ok(7));
        assert_eq!(registers.transfer_out[3], 9);
    }
}
