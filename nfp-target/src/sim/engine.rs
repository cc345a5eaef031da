//! The thread: words one after the other, with slots, waits and delays.

use std::collections::BTreeMap;

use offload_compiler::interp::{Machine, World};

use super::arithmetic::{Flags, Previous, Product, alu, multiply, shift, shifted};
use super::image::Image;
use super::memory::{Issued, Values, issue};
use super::packet::{Buffer, Verdict};
use super::registers::{Registers, Unset};
use super::stop::{Stop, StopKind};
use crate::isa::{
    Alu, Bank, Completion, Condition, Csr, ImmediatePart, Instruction, LocalCsr, Multiply, Operand,
    operand,
};

/// Slots that pass from a branch to its target: always taken, others (assumed), returns.
const SLOTS_ALWAYS: u8 = 2;
const SLOTS: u8 = 3;

/// What a run uses up, for cost and comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Words executed.
    pub words: u64,
    /// Slots after taken branches that passed empty.
    pub empty_slots: u64,
    /// Commands to the packet.
    pub packet_commands: u64,
    /// Commands to map values.
    pub value_commands: u64,
    /// Transfer words that commands read.
    pub words_read: u64,
    /// Transfer words that commands wrote.
    pub words_written: u64,
    /// Calls of the firmware's helpers.
    pub helper_calls: u64,
}

/// An event that a program sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The map's number as the program has it.
    pub map: u32,
    /// The data.
    pub data: Vec<u8>,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the firmware does with the packet.
    pub verdict: Verdict,
    /// The packet as the program left it.
    pub packet: Vec<u8>,
    /// The receive queue that the program chose.
    pub queue: Option<u8>,
    /// In the order in which they were sent.
    pub events: Vec<Event>,
    /// What it took.
    pub figures: Figures,
}

/// A thread with a packet.
pub struct Thread<'a> {
    image: &'a Image,
    world: &'a mut dyn World,
    budget: u64,
    pub(super) machine: &'a mut Machine,
    pub(super) maps: &'a BTreeMap<u32, usize>,
    pub(super) registers: Registers,
    pub(super) buffer: Buffer,
    pub(super) values: Values,
    pub(super) events: Vec<Event>,
    figures: Figures,
    flags: Flags,
    previous: Previous,
    product: Option<Product>,
    /// What the next word's constant is instead of its own.
    csr: Option<u32>,
    branch: Option<Moving>,
    /// Words before the next branch or waiting command may stand.
    slots: u8,
    /// A command under way: it is done after so many words.
    command: Option<(Issued, u8)>,
    /// Executed words and empty slots.
    slot: u64,
}

impl<'a> Thread<'a> {
    /// A thread about to run a program on a packet. `maps` are the machine's numbers of the program's maps.
    ///
    /// # Errors
    /// The packet is longer than 16383 bytes.
    pub fn new(
        image: &'a Image,
        machine: &'a mut Machine,
        maps: &'a BTreeMap<u32, usize>,
        packet: &[u8],
        stack_bytes: u32,
        unset: Unset,
        world: &'a mut dyn World,
    ) -> Result<Self, Stop> {
        let mut registers = Registers::new(stack_bytes, unset);
        let located = |kind| Stop { at: 0, kind };
        if packet.len() > Buffer::LONGEST {
            return Err(located(StopKind::Vector {
                length: packet.len() as u32,
                address: 0,
            }));
        }
        let buffer = Buffer::new(packet, &mut registers).map_err(located)?;
        Ok(Self {
            image,
            world,
            budget: 1 << 20,
            machine,
            maps,
            registers,
            buffer,
            values: Values::default(),
            events: Vec::new(),
            figures: Figures::default(),
            flags: Flags::default(),
            previous: Previous::default(),
            product: None,
            csr: None,
            branch: None,
            slots: 0,
            command: None,
            slot: 0,
        })
    }

    /// Sets how many words may be executed; a million if never called.
    #[must_use]
    pub fn with_budget(mut self, words: u64) -> Self {
        self.budget = words;
        self
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// The word that cannot be executed, and why.
    pub fn run(mut self) -> Result<Outcome, Stop> {
        let result = self.execute();
        self.machine.end_run();
        result
    }

    fn execute(&mut self) -> Result<Outcome, Stop> {
        let mut at = 0;
        let mut address = self.image.start();
        loop {
            if address == u32::from(self.image.next_packet) {
                return self.outcome().map_err(|kind| Stop { at, kind });
            }
            if let Some(helper) = self.image.helper(address) {
                self.figures.helper_calls += 1;
                // Its result comes into the same register.
                address = self.registers.get(Bank::B, 0);
                self.registers.advance(self.slot + 1);
                self.helper(helper).map_err(|kind| Stop { at, kind })?;
                self.flags = Flags::default();
                self.previous = Previous::default();
                continue;
            }
            let Some(index) = self.image.index(address) else {
                let kind = StopKind::Outside(address);
                return Err(Stop { at, kind });
            };
            at = index;
            address = self
                .word(index, address + 1)
                .map_err(|kind| Stop { at, kind })?;
        }
    }

    fn outcome(&mut self) -> Result<Outcome, StopKind> {
        Ok(Outcome {
            verdict: Verdict::from_action(self.registers.get(Bank::A, 0))?,
            packet: self.buffer.packet(&mut self.registers)?,
            queue: Buffer::queue(&mut self.registers)?,
            events: std::mem::take(&mut self.events),
            figures: self.figures,
        })
    }

    /// Executes a word and what is due after it; gives the next word's address.
    fn word(&mut self, index: usize, next: u32) -> Result<u32, StopKind> {
        if self.figures.words >= self.budget {
            return Err(StopKind::Budget(self.budget));
        }
        self.figures.words += 1;
        self.slot += 1;
        self.registers.advance(self.slot);
        // What was under way before this word: it counts as one of its slots.
        let branch = self.branch.take();
        let command = self.command.take();
        let in_slot = self.slots > 0;
        self.slots = self.slots.saturating_sub(1);
        let csr = self.csr.take();
        let product = self.product.take();
        let previous = std::mem::take(&mut self.previous);

        let instruction = self.image.instruction(index)?;
        if csr.is_some() && !matches!(instruction, Instruction::Immediate(_)) {
            return Err(StopKind::NoImmediate);
        }
        if in_slot {
            let moves = match instruction {
                Instruction::Branch(_) | Instruction::BranchBit(_) | Instruction::Return(_) => true,
                Instruction::Memory(memory) => memory.completion != Completion::Ignore,
                _ => false,
            };
            if moves {
                return Err(StopKind::Slot);
            }
        }
        let mut taken = None;
        match instruction {
            Instruction::Alu(alu) => self.alu(&alu)?,
            Instruction::Shift(operation) => {
                let left = self.registers.read(operation.left)?;
                let right = self.registers.read(operation.right)?;
                let result = shift(operation.operation, operation.shift, left, right, previous)?;
                self.registers
                    .write(operation.destination, operation.write_both, result)?;
                self.leave(result, (operation.left, left), (operation.right, right));
            }
            Instruction::LoadField(load) => {
                let old = self.registers.old(load.destination)?;
                let source = self.registers.read(load.source)?;
                let value = shifted(load.shift, 0, source, previous)?;
                let mask = (0..4)
                    .filter(|byte| load.mask & 1 << byte != 0)
                    .fold(0, |mask, byte| mask | 0xff_u32 << (8 * byte));
                let kept = if load.clear { 0 } else { old & !mask };
                let result = kept | value & mask;
                self.registers
                    .write(load.destination, load.write_both, result)?;
                self.previous.result = Some(result);
            }
            Instruction::Immediate(immediate) => {
                let constant = csr.unwrap_or_else(|| immediate.constant());
                let result = match immediate.part {
                    ImmediatePart::Whole { .. } => constant,
                    ImmediatePart::High => {
                        let old = self.registers.old(immediate.destination)?;
                        old & 0xffff | constant & 0xffff_0000
                    }
                };
                let destination = immediate.destination;
                self.registers
                    .write(destination, immediate.write_both, result)?;
                self.registers.step_pointers(&[destination.into()]);
                self.previous.result = Some(result);
            }
            Instruction::Branch(branch) => {
                self.slots = branch.defer;
                let all = match branch.condition {
                    Condition::Always => SLOTS_ALWAYS,
                    _ => SLOTS,
                };
                if branch.defer > all {
                    return Err(StopKind::Slots(branch.defer));
                }
                if self.flags.hold(branch.condition) {
                    taken = Some(Moving::new(branch.target.into(), branch.defer, all));
                }
            }
            Instruction::BranchBit(branch) => {
                self.slots = branch.defer;
                let value = self.registers.read(branch.operand)?;
                self.registers.step_pointers(&[branch.operand]);
                if (value >> branch.bit & 1 != 0) == branch.set {
                    taken = Some(Moving::new(branch.target.into(), branch.defer, SLOTS));
                }
            }
            Instruction::Return(branch) => {
                self.slots = branch.defer;
                let target = self.registers.read(branch.operand)?;
                self.registers.step_pointers(&[branch.operand]);
                taken = Some(Moving::new(target, branch.defer, SLOTS));
            }
            Instruction::Multiply(step) => self.multiply(product, step)?,
            Instruction::LocalCsr(LocalCsr::Write { csr, source }) => {
                let value = self.registers.read(source)?;
                self.registers.step_pointers(&[source]);
                self.registers.write_csr(csr, value, self.slot)?;
            }
            Instruction::LocalCsr(LocalCsr::Read { csr: Csr::Random }) => {
                self.csr = Some(self.world.random());
            }
            Instruction::LocalCsr(LocalCsr::Read { csr }) => return Err(StopKind::Csr(csr)),
            Instruction::Memory(memory) => {
                let issued = issue(&memory, &mut self.registers, previous)?;
                self.count(&issued);
                let defer = match memory.completion {
                    Completion::Wait { defer, .. } => defer,
                    // Its data are in the overrides: nothing that follows can spoil it.
                    Completion::Ignore if issued.is_complete() => 0,
                    Completion::Ignore | Completion::Signal { .. } => {
                        return Err(StopKind::NotWaited);
                    }
                };
                self.slots = self.slots.max(defer);
                self.wait(issued, defer)?;
            }
        }
        if let Some((issued, left)) = command {
            self.wait(issued, left - 1)?;
        }
        let moving = taken.or_else(|| {
            branch.map(|moving| Moving {
                left: moving.left - 1,
                ..moving
            })
        });
        Ok(match moving {
            None => next,
            Some(Moving {
                target,
                left: 0,
                empty,
            }) => {
                self.slot += u64::from(empty);
                self.figures.empty_slots += u64::from(empty);
                target
            }
            Some(_) => {
                self.branch = moving;
                next
            }
        })
    }

    fn alu(&mut self, word: &Alu) -> Result<(), StopKind> {
        let left = self.registers.read(word.left)?;
        let right = self.registers.read(word.right)?;
        let (result, flags) = alu(word.operation, left, right, self.flags.carry);
        self.flags = flags;
        self.registers
            .write(word.destination, word.write_both, result)?;
        self.registers
            .step_pointers(&[word.left, word.right, word.destination.into()]);
        self.leave(result, (word.left, left), (word.right, right));
        Ok(())
    }

    /// Leaves a result and the operand in the A field to the next word.
    fn leave(&mut self, result: u32, left: (Operand, u32), right: (Operand, u32)) {
        // A word has its operands in two banks, or it would not have been decoded.
        let swapped = operand::place(left.0, right.0).is_ok_and(|(.., swapped)| swapped);
        let (operand, value) = if swapped { right } else { left };
        self.previous = Previous {
            result: Some(result),
            operand_a: (operand != Operand::None).then_some(value),
        };
    }

    fn multiply(&mut self, begun: Option<Product>, step: Multiply) -> Result<(), StopKind> {
        let (values, destination) = match step {
            Multiply::Start { left, right } => {
                let values = (self.registers.read(left)?, self.registers.read(right)?);
                self.registers.step_pointers(&[left, right]);
                (values, None)
            }
            Multiply::Step { .. } => ((0, 0), None),
            Multiply::Last {
                destination,
                write_both,
                ..
            }
            | Multiply::LastHigh {
                destination,
                write_both,
            } => ((0, 0), Some((destination, write_both))),
        };
        let (product, result) = multiply(begun, step, values)?;
        self.product = product;
        if let (Some((destination, both)), Some(result)) = (destination, result) {
            self.registers.write(destination, both, result)?;
            self.registers.step_pointers(&[destination.into()]);
        }
        Ok(())
    }

    /// Does a command once so many words have passed.
    fn wait(&mut self, command: Issued, words: u8) -> Result<(), StopKind> {
        if words > 0 {
            self.command = Some((command, words));
            return Ok(());
        }
        command.perform(
            &mut self.registers,
            &mut self.buffer,
            self.machine,
            &self.values,
        )
    }

    fn count(&mut self, command: &Issued) {
        if command.is_to_packet() {
            self.figures.packet_commands += 1;
        } else {
            self.figures.value_commands += 1;
        }
        let (read, written) = command.moved();
        self.figures.words_read += read;
        self.figures.words_written += written;
    }
}

/// A branch under way.
#[derive(Debug, Clone, Copy)]
struct Moving {
    target: u32,
    /// Slots that are still to be executed.
    left: u8,
    /// Slots that then pass empty.
    empty: u8,
}

impl Moving {
    fn new(target: u32, defer: u8, slots: u8) -> Self {
        Self {
            target,
            left: defer,
            empty: slots - defer,
        }
    }
}
