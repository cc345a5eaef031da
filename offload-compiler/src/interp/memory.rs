//! Checked memory: cells with an address range each.
//!
//! An address holds the cell's number in its upper half and the place in the cell in its lower half,
//! counted from the middle of the lower half's range. So an address that runs out of its cell, either
//! way, is still known to belong to it and is never taken for another cell's.

use super::fault::{AccessKind, FaultKind, Region};

/// The lower half of the address of a cell's first byte.
const BIAS: u64 = 0x8000_0000;
/// Below this an address counts as null with an offset.
const NULL_PAGE: u64 = 4096;
/// What a cell costs besides its bytes, for the memory budget.
const CELL_OVERHEAD: u64 = 96;

/// A cell's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct CellId(u32);

#[derive(Debug, Clone)]
struct Cell {
    bytes: Vec<u8>,
    /// Which bytes may be accessed.
    start: u32,
    end: u32,
    /// The byte that offsets in messages count from.
    origin: u32,
    /// A bit a byte: written. `None`: all count as written.
    written: Option<Vec<u64>>,
    read_only: bool,
    region: Region,
}

/// All memory of a machine.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    cells: Vec<Option<Cell>>,
    free: Vec<CellId>,
    /// Cells that no map or frame holds any more, but that the running program may still point into.
    retired: Vec<CellId>,
    used: u64,
    budget: u64,
    /// Reads of unwritten bytes give their zeros instead of a fault.
    pub(super) lenient: bool,
}

impl Memory {
    pub(super) fn new(budget: u64, lenient: bool) -> Self {
        Self {
            cells: Vec::new(),
            free: Vec::new(),
            retired: Vec::new(),
            used: 0,
            budget,
            lenient,
        }
    }

    /// A new cell of these bytes, all of them accessible and written.
    pub(super) fn add(&mut self, bytes: Vec<u8>, region: Region) -> Result<CellId, FaultKind> {
        let cost = bytes.len() as u64 + CELL_OVERHEAD;
        if self.used + cost > self.budget {
            return Err(FaultKind::Memory(self.budget));
        }
        self.used += cost;
        let end = bytes.len() as u32;
        let cell = Some(Cell {
            bytes,
            start: 0,
            end,
            origin: 0,
            written: None,
            read_only: false,
            region,
        });
        if let Some(id) = self.free.pop() {
            self.cells[id.0 as usize] = cell;
            return Ok(id);
        }
        self.cells.push(cell);
        Ok(CellId(self.cells.len() as u32 - 1))
    }

    /// A new cell of zeros that count as never written.
    pub(super) fn add_unwritten(
        &mut self,
        len: usize,
        region: Region,
    ) -> Result<CellId, FaultKind> {
        let id = self.add(vec![0; len], region)?;
        if let Some(cell) = self.cell_mut(id) {
            cell.written = Some(vec![0; len.div_ceil(64)]);
        }
        Ok(id)
    }

    pub(super) fn remove(&mut self, id: CellId) {
        if let Some(cell) = self.cells.get_mut(id.0 as usize).and_then(Option::take) {
            self.used -= cell.bytes.len() as u64 + CELL_OVERHEAD;
            self.free.push(id);
        }
    }

    /// Gives a cell up, but keeps it until [`Memory::bury`]: a deleted map value stays readable while
    /// the program that looked it up runs.
    pub(super) fn retire(&mut self, id: CellId) {
        self.retired.push(id);
    }

    /// Removes what was retired.
    pub(super) fn bury(&mut self) {
        for id in std::mem::take(&mut self.retired) {
            self.remove(id);
        }
    }

    fn cell(&self, id: CellId) -> Option<&Cell> {
        self.cells.get(id.0 as usize)?.as_ref()
    }

    fn cell_mut(&mut self, id: CellId) -> Option<&mut Cell> {
        self.cells.get_mut(id.0 as usize)?.as_mut()
    }

    /// Offsets in messages about this cell count from here.
    pub(super) fn set_origin(&mut self, id: CellId, origin: u32) {
        if let Some(cell) = self.cell_mut(id) {
            cell.origin = origin;
        }
    }

    /// Only this range may be accessed from now on.
    pub(super) fn set_range(&mut self, id: CellId, start: u32, end: u32) {
        if let Some(cell) = self.cell_mut(id) {
            cell.start = start;
            cell.end = end;
        }
    }

    pub(super) fn set_read_only(&mut self, id: CellId) {
        if let Some(cell) = self.cell_mut(id) {
            cell.read_only = true;
        }
    }

    /// The cell's bytes, outside the accessible range too; empty if there is no such cell.
    pub(super) fn bytes(&self, id: CellId) -> &[u8] {
        self.cell(id).map_or(&[], |cell| &cell.bytes)
    }

    /// The cell's bytes to write, whatever the program may do.
    pub(super) fn bytes_mut(&mut self, id: CellId) -> &mut [u8] {
        self.cell_mut(id)
            .map_or(&mut [], |cell| cell.bytes.as_mut_slice())
    }

    /// The address of a byte of a cell.
    pub(super) fn address(id: CellId, offset: u32) -> u64 {
        ((u64::from(id.0) + 1) << 32) + BIAS + u64::from(offset)
    }

    /// The cell that an address belongs to, and where, which may be outside of it.
    pub(super) fn locate(&self, address: u64) -> Option<(CellId, i64)> {
        let id = CellId(u32::try_from((address >> 32).checked_sub(1)?).ok()?);
        self.cell(id)?;
        Some((id, (address & 0xffff_ffff) as i64 - BIAS as i64))
    }

    /// The region that an address belongs to.
    pub(super) fn region(&self, address: u64) -> Option<Region> {
        let (id, _) = self.locate(address)?;
        Some(self.cell(id)?.region)
    }

    fn check(
        &self,
        address: u64,
        size: u64,
        access: AccessKind,
    ) -> Result<(CellId, std::ops::Range<usize>), FaultKind> {
        let Some((id, offset)) = self.locate(address) else {
            return Err(if address < NULL_PAGE {
                FaultKind::Null {
                    access,
                    size,
                    address,
                }
            } else {
                FaultKind::NotAnAddress {
                    access,
                    size,
                    address,
                }
            });
        };
        let Some(cell) = self.cell(id) else {
            unreachable!("locate only names cells that exist");
        };
        let (start, end) = (i64::from(cell.start), i64::from(cell.end));
        let fits = i64::try_from(size).is_ok_and(|size| offset >= start && size <= end - offset);
        if !fits {
            let origin = i64::from(cell.origin);
            return Err(FaultKind::OutOfBounds {
                access,
                size,
                region: cell.region,
                offset: offset - origin,
                range: (start - origin, end - origin),
            });
        }
        if access == AccessKind::Write && cell.read_only {
            return Err(FaultKind::ReadOnly {
                region: cell.region,
            });
        }
        let start = offset as usize;
        Ok((id, start..start + size as usize))
    }

    /// The bytes at an address.
    pub(super) fn read(&self, address: u64, size: u64) -> Result<&[u8], FaultKind> {
        if size == 0 {
            return Ok(&[]);
        }
        let (id, range) = self.check(address, size, AccessKind::Read)?;
        let Some(cell) = self.cell(id) else {
            unreachable!("check only names cells that exist");
        };
        if let Some(written) = &cell.written
            && !self.lenient
            && let Some(at) = range
                .clone()
                .find(|at| written[at / 64] & (1 << (at % 64)) == 0)
        {
            return Err(FaultKind::UninitialisedMemory {
                region: cell.region,
                offset: at as i64 - i64::from(cell.origin),
            });
        }
        Ok(&cell.bytes[range])
    }

    /// The bytes at an address, to be written.
    pub(super) fn write(&mut self, address: u64, size: u64) -> Result<&mut [u8], FaultKind> {
        if size == 0 {
            return Ok(&mut []);
        }
        let (id, range) = self.check(address, size, AccessKind::Write)?;
        let Some(cell) = self.cell_mut(id) else {
            unreachable!("check only names cells that exist");
        };
        if let Some(written) = &mut cell.written {
            for at in range.clone() {
                written[at / 64] |= 1 << (at % 64);
            }
        }
        Ok(&mut cell.bytes[range])
    }

    /// A little-endian number of 1, 2, 4 or 8 bytes.
    pub(super) fn read_number(&self, address: u64, size: u32) -> Result<u64, FaultKind> {
        let mut bytes = [0; 8];
        bytes[..size as usize].copy_from_slice(self.read(address, u64::from(size))?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes a little-endian number of 1, 2, 4 or 8 bytes.
    pub(super) fn write_number(
        &mut self,
        address: u64,
        size: u32,
        value: u64,
    ) -> Result<(), FaultKind> {
        self.write(address, u64::from(size))?
            .copy_from_slice(&value.to_le_bytes()[..size as usize]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_leaves_its_cell_is_never_taken_for_another() {
        let mut memory = Memory::new(1 << 20, false);
        let first = memory.add(vec![1; 16], Region::Memory).unwrap();
        let second = memory.add(vec![2; 16], Region::Stack).unwrap();
        memory.set_origin(second, 16);
        assert_eq!(memory.read(Memory::address(first, 8), 8), Ok(&[1; 8][..]));
        assert_eq!(
            memory.read(Memory::address(first, 9), 8),
            Err(FaultKind::OutOfBounds {
                access: AccessKind::Read,
                size: 8,
                region: Region::Memory,
                offset: 9,
                range: (0, 16),
            })
        );
        let below = Memory::address(second, 0) - 1;
        assert_eq!(
            memory.write(below, 1).unwrap_err().to_string(),
            "write of 1 bytes at fp-17, outside -16..0"
        );
        assert!(matches!(memory.read(0, 1), Err(FaultKind::Null { .. })));
        assert!(memory.read(u64::MAX, 1).is_err());
        assert!(memory.read(Memory::address(first, 0), u64::MAX).is_err());
    }

    #[test]
    fn what_was_never_written_cannot_be_read() {
        let mut memory = Memory::new(1 << 20, false);
        let id = memory.add_unwritten(512, Region::Stack).unwrap();
        let at = Memory::address(id, 100);
        memory.write_number(at, 4, 7).unwrap();
        assert_eq!(memory.read_number(at, 4), Ok(7));
        assert_eq!(
            memory.read_number(at, 8),
            Err(FaultKind::UninitialisedMemory {
                region: Region::Stack,
                offset: 104
            })
        );
        memory.lenient = true;
        assert_eq!(memory.read_number(at, 8), Ok(7));
    }

    #[test]
    fn memory_has_a_budget() {
        let mut memory = Memory::new(1000, false);
        let id = memory.add(vec![0; 800], Region::Memory).unwrap();
        assert_eq!(
            memory.add(vec![0; 200], Region::Memory),
            Err(FaultKind::Memory(1000))
        );
        memory.remove(id);
        assert!(memory.add(vec![0; 200], Region::Memory).is_ok());
    }
}
