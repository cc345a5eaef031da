//! A machine's maps for another engine's run: what a model of a card needs to share them with the interpreter.
//!
//! A value that was looked up stays where it is until [`Machine::end_run`], deleted or not, as for a program that
//! the interpreter runs.

use super::fault::FaultKind;
use super::machine::Machine;
use super::map::{Map, MapError, Update};
use super::memory::Memory;

impl Machine {
    fn with_key(&mut self, map: usize, key: &[u8]) -> Result<(&mut Map, &mut Memory), MapError> {
        let its = self.maps.get_mut(map).ok_or(MapError::NoSuchMap(map))?;
        if key.len() == its.spec.key_size as usize {
            Ok((its, &mut self.memory))
        } else {
            Err(MapError::KeySize(key.len() as u32))
        }
    }

    /// The address of the value that a program's look-up finds; of a per-CPU map the first CPU's.
    pub fn value_address(&mut self, map: usize, key: &[u8]) -> Result<Option<u64>, MapError> {
        let (map, memory) = self.with_key(map, key)?;
        let value = map.lookup(memory, key, true)?;
        Ok(value.map(|value| Memory::address(value.cells[0], 0)))
    }

    /// Sets a value as a program does; the inner error is the negated errno that the program gets.
    pub fn program_update(
        &mut self,
        map: usize,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<Result<(), i64>, MapError> {
        let (map, memory) = self.with_key(map, key)?;
        if value.len() != map.spec.value_size as usize {
            return Err(MapError::ValueSize(value.len() as u32));
        }
        let update = Update::One {
            cpu: 0,
            bytes: value,
        };
        Ok(map.update(memory, key, update, flags)?)
    }

    /// Deletes an element as a program does; the inner error is the negated errno that the program gets.
    pub fn program_delete(&mut self, map: usize, key: &[u8]) -> Result<Result<(), i64>, MapError> {
        let (map, memory) = self.with_key(map, key)?;
        Ok(map.delete(memory, key))
    }

    /// The bytes at an address that a look-up gave.
    pub fn read_value(&self, address: u64, size: u64) -> Result<&[u8], FaultKind> {
        self.memory.read(address, size)
    }

    /// The same, to be written.
    pub fn write_value(&mut self, address: u64, size: u64) -> Result<&mut [u8], FaultKind> {
        self.memory.write(address, size)
    }

    /// Ends the other engine's run: values that were deleted during it go.
    pub fn end_run(&mut self) {
        self.memory.bury();
    }
}
