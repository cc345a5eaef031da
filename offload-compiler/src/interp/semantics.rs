//! Other readings of a program: how a model of a translator that errs is built over the interpreter.

use super::fault::{Fault, FaultKind, Region};
use super::machine::{Machine, XdpRun};
use super::packet::XdpInput;
use super::run::Run;
use super::world::World;
use crate::isa::{Instruction, Reg};

/// Asked to execute each instruction; what it does not do itself, the interpreter does.
pub trait Semantics {
    /// Executes an instruction, or leaves it.
    fn step(&mut self, at: &mut At<'_, '_>) -> Result<Act, FaultKind>;
}

/// What became of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Left to the interpreter.
    Leave,
    /// Done: the next one follows.
    Done,
    /// Done: this slot follows.
    Goto(usize),
    /// Done by [`At::execute`].
    Executed,
}

/// An instruction that is to be executed, and the run it is in.
pub struct At<'r, 'm> {
    run: &'r mut Run<'m>,
    instruction: Instruction,
    end: Option<u64>,
}

impl At<'_, '_> {
    /// The instruction's slot.
    pub fn slot(&self) -> usize {
        self.run.slot
    }

    /// The instruction.
    pub fn instruction(&self) -> Instruction {
        self.instruction
    }

    /// The instruction at a slot of the program.
    pub fn instruction_at(&self, slot: usize) -> Option<Instruction> {
        let code = self.run.machine.programs.get(self.run.program)?;
        code.at(slot).copied()
    }

    /// A register's value; `None` if it holds nothing.
    pub fn register(&self, reg: Reg) -> Option<u64> {
        self.run.registers[reg.index()]
    }

    /// Sets a register.
    pub fn set(&mut self, reg: Reg, value: u64) {
        self.run.set(reg, value);
    }

    /// Lets r1 to r5 hold nothing, as a call does.
    pub fn spoil_arguments(&mut self) {
        self.run.spoil_arguments();
    }

    /// The region that an address belongs to.
    pub fn region(&self, address: u64) -> Option<Region> {
        self.run.machine.memory.region(address)
    }

    /// Reads memory.
    pub fn read(&self, address: u64, size: u64) -> Result<&[u8], FaultKind> {
        self.run.machine.memory.read(address, size)
    }

    /// Writes memory.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), FaultKind> {
        let memory = &mut self.run.machine.memory;
        memory
            .write(address, bytes.len() as u64)?
            .copy_from_slice(bytes);
        Ok(())
    }

    /// How far the packet's start was moved, in bytes, and its length.
    pub fn packet(&self) -> (i64, u32) {
        (self.run.buffer.as_ref()).map_or((0, 0), |buffer| (buffer.moved(), buffer.len()))
    }

    /// Moves the packet's start and its end without asking whether the kernel would; false if the buffer does not
    /// reach so far.
    pub fn move_packet(&mut self, start: i64, end: i64) -> bool {
        let memory = &mut self.run.machine.memory;
        (self.run.buffer.as_mut()).is_some_and(|buffer| buffer.shift(memory, start, end))
    }

    /// Executes the instruction as the interpreter does.
    pub fn execute(&mut self) -> Result<(), FaultKind> {
        self.end = self.run.step()?;
        Ok(())
    }
}

impl Run<'_> {
    /// Executes one instruction by other semantics; `Some(r0)` at the program's end.
    pub(super) fn step_by(
        &mut self,
        semantics: &mut dyn Semantics,
    ) -> Result<Option<u64>, FaultKind> {
        let code = self.machine.programs.get(self.program);
        let Some(instruction) = code.and_then(|code| code.at(self.slot)).copied() else {
            return self.step();
        };
        let next = self.slot + instruction.slots();
        let mut at = At {
            run: self,
            instruction,
            end: None,
        };
        let act = semantics.step(&mut at)?;
        let end = at.end;
        match act {
            Act::Executed => return Ok(end),
            Act::Leave => return self.step(),
            Act::Done => self.slot = next,
            Act::Goto(slot) => self.slot = slot,
        }
        self.charge(1)?;
        Ok(None)
    }
}

impl Machine {
    /// [`Machine::run_xdp`] by other semantics.
    pub fn run_xdp_by(
        &mut self,
        program: usize,
        input: &XdpInput<'_>,
        world: &mut dyn World,
        semantics: &mut dyn Semantics,
    ) -> Result<XdpRun, Fault> {
        self.run_xdp_with(program, input, world, Some(semantics))
    }
}
