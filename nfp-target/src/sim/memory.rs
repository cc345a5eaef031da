//! Commands to memory: the packet behind 32 bit addresses, map values behind those of 40 bits.

use std::collections::HashMap;

use offload_compiler::interp::Machine;

use super::arithmetic::Previous;
use super::packet::Buffer;
use super::registers::{Registers, VALUE_HIGH};
use super::stop::StopKind;
use crate::isa::{Address, Command, Memory, Operand};

/// The first value lies across a border of 4 GiB, the others below.
const VALUES: u64 = ((VALUE_HIGH as u64 + 1) << 32) - 8;
/// From one value to the next: more than any value has.
const STRIDE: u64 = 1 << 23;
/// Bytes after a value that a command may read, and nothing may depend on.
const OVERREAD: usize = 3;

/// Addresses of the map values that were looked up.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    /// The interpreter's address, value size in bytes.
    places: Vec<(u64, u32)>,
    numbers: HashMap<u64, usize>,
}

impl Values {
    /// The card's address of a value that the interpreter has at `address`.
    pub(super) fn show(&mut self, address: u64, size: u32) -> u64 {
        let next = self.places.len();
        let number = *self.numbers.entry(address).or_insert(next);
        if number == next {
            self.places.push((address, size));
        }
        VALUES - number as u64 * STRIDE
    }

    /// The interpreter's address, and how many bytes of the value follow.
    fn find(&self, address: u64, size: usize) -> Result<(u64, usize), StopKind> {
        let error = StopKind::NoValue { address, size };
        // The addresses between one value and the next higher have its number.
        let number = (VALUES + STRIDE - 1)
            .checked_sub(address)
            .map(|below| below / STRIDE);
        let found = number.and_then(|number| Some((number, self.places.get(number as usize)?)));
        let Some((number, &(place, value))) = found else {
            return Err(error);
        };
        let offset = address - (VALUES - number * STRIDE);
        if offset >= value.into() {
            return Err(error);
        }
        Ok((place + offset, (u64::from(value) - offset) as usize))
    }
}

/// A command with all that it takes from registers at its word, but for the data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Issued {
    command: Command,
    target: Target,
    transfer: u8,
    /// Words or bytes by the command.
    count: usize,
    /// Data of an addition of 16 bits.
    data: u32,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Packet(u32),
    Value(u64),
}

/// Overrides of an indirect command, in the result of the word before.
const OVERRIDE_LENGTH: u32 = 1 << 7;
const OVERRIDE_DATA: u32 = 2 << 3;

/// Takes a command's address, count and overrides.
pub(super) fn issue(
    memory: &Memory,
    registers: &mut Registers,
    previous: Previous,
) -> Result<Issued, StopKind> {
    let forty = |registers: &mut Registers, high: Operand, low: Operand| {
        let (high, low) = (registers.read(high)?, registers.read(low)?);
        Ok::<_, StopKind>(Target::Value(u64::from(high & 0xff) << 32 | u64::from(low)))
    };
    let target = match memory.address {
        Address::Sum { base, offset } => {
            let (base, offset) = (registers.read(base)?, registers.read(offset)?);
            Target::Packet(base.wrapping_add(offset))
        }
        Address::HighA { high, low } | Address::HighB { high, low } => forty(registers, high, low)?,
    };
    let mut issued = Issued {
        command: memory.command,
        target,
        transfer: memory.transfer,
        count: memory.count.into(),
        data: 0,
    };
    let short_add = matches!(
        memory.command,
        Command::AddImmediate | Command::Add64Immediate
    );
    if memory.indirect {
        let overrides = previous.result()?;
        let known = if short_add {
            OVERRIDE_LENGTH | 0x1f00 | OVERRIDE_DATA | 0xffff_0000
        } else {
            OVERRIDE_LENGTH | 0x1f00
        };
        if overrides & !known != 0 || short_add && overrides & OVERRIDE_DATA == 0 {
            return Err(StopKind::Override(overrides));
        }
        if overrides & OVERRIDE_LENGTH != 0 {
            issued.count = (overrides >> 8 & 0x1f) as usize + 1;
        }
        issued.data = overrides >> 16;
    } else if short_add {
        return Err(StopKind::NoPrevious("the data"));
    }
    Ok(issued)
}

impl Issued {
    /// Words and bytes that the command moves from and to memory: for figures.
    pub(super) fn moved(&self) -> (u64, u64) {
        match self.command {
            Command::Read8 => (self.count.div_ceil(4) as u64, 0),
            Command::Read32Swap => (self.count as u64, 0),
            Command::Write8Swap => (0, self.count.div_ceil(4) as u64),
            Command::Write32Swap => (0, self.count as u64),
            Command::Add | Command::AddImmediate => (0, 1),
            Command::Add64 | Command::Add64Immediate => (0, 2),
        }
    }

    /// Whether its data came with it.
    pub(super) fn is_complete(&self) -> bool {
        matches!(
            self.command,
            Command::AddImmediate | Command::Add64Immediate
        )
    }

    /// Whether it goes to the packet's memory.
    pub(super) fn is_to_packet(&self) -> bool {
        matches!(self.target, Target::Packet(_))
    }

    /// Does it.
    pub(super) fn perform(
        &self,
        registers: &mut Registers,
        buffer: &mut Buffer,
        machine: &mut Machine,
        values: &Values,
    ) -> Result<(), StopKind> {
        match self.command {
            Command::Read8 | Command::Read32Swap => {
                let words = self.command == Command::Read32Swap;
                let size = if words { 4 * self.count } else { self.count };
                self.check_transfer(size.div_ceil(4))?;
                let bytes = match self.target {
                    Target::Packet(address) => buffer.read(registers, address, size)?,
                    Target::Value(address) => read_value(machine, values, address, size)?,
                };
                for (index, part) in bytes.chunks(4).enumerate() {
                    let mut word = [0; 4];
                    word[..part.len()].copy_from_slice(part);
                    registers.transfer_in[usize::from(self.transfer) + index] = if words {
                        u32::from_le_bytes(word)
                    } else {
                        u32::from_be_bytes(word)
                    };
                }
                Ok(())
            }
            Command::Write8Swap | Command::Write32Swap => {
                let size = if self.command == Command::Write32Swap {
                    4 * self.count
                } else {
                    self.count
                };
                let words = self.check_transfer(size.div_ceil(4))?;
                let mut bytes: Vec<u8> = registers.transfer_out[words]
                    .iter()
                    .flat_map(|word| word.to_le_bytes())
                    .collect();
                bytes.truncate(size);
                match self.target {
                    Target::Packet(address) => buffer.write(registers, address, &bytes),
                    Target::Value(address) => {
                        let place = exact_value(values, address, size)?;
                        machine
                            .write_value(place, size as u64)?
                            .copy_from_slice(&bytes);
                        Ok(())
                    }
                }
            }
            Command::Add | Command::Add64 => {
                let words = if self.command == Command::Add64 { 2 } else { 1 };
                let registers = &registers.transfer_out[self.check_transfer(words)?];
                let high = registers.get(1).copied().unwrap_or(0);
                let value = u64::from(high) << 32 | u64::from(registers[0]);
                self.add(machine, values, 4 * words, value)
            }
            Command::AddImmediate | Command::Add64Immediate => {
                // An overridden length of 8 is 32 bits, one of 12 is 64, counted from 0; so is the field's 4.
                let size = if (self.count - 1) & 4 != 0 { 8 } else { 4 };
                self.add(machine, values, size, self.data.into())
            }
        }
    }

    fn check_transfer(&self, words: usize) -> Result<std::ops::Range<usize>, StopKind> {
        let first = usize::from(self.transfer);
        if first + words > 32 {
            return Err(StopKind::Transfer(words, self.transfer));
        }
        Ok(first..first + words)
    }

    fn add(
        &self,
        machine: &mut Machine,
        values: &Values,
        size: usize,
        value: u64,
    ) -> Result<(), StopKind> {
        let Target::Value(address) = self.target else {
            // No program adds to a packet.
            return Err(StopKind::NoValue {
                address: match self.target {
                    Target::Packet(address) => address.into(),
                    Target::Value(address) => address,
                },
                size,
            });
        };
        let place = exact_value(values, address, size)?;
        let bytes = machine.write_value(place, size as u64)?;
        let mut old = [0; 8];
        old[..size].copy_from_slice(bytes);
        let sum = u64::from_le_bytes(old).wrapping_add(value);
        bytes.copy_from_slice(&sum.to_le_bytes()[..size]);
        Ok(())
    }
}

fn exact_value(values: &Values, address: u64, size: usize) -> Result<u64, StopKind> {
    let (place, left) = values.find(address, size)?;
    if size > left {
        return Err(StopKind::NoValue { address, size });
    }
    Ok(place)
}

/// Bytes of a value for programs and for helpers; those after it are not what memory holds.
pub(super) fn read_value(
    machine: &Machine,
    values: &Values,
    address: u64,
    size: usize,
) -> Result<Vec<u8>, StopKind> {
    let (place, left) = values.find(address, size)?;
    if size > left + OVERREAD {
        return Err(StopKind::NoValue { address, size });
    }
    let inside = size.min(left);
    let mut bytes = machine.read_value(place, inside as u64)?.to_vec();
    bytes.resize(size, 0xa5);
    Ok(bytes)
}
