//! A mid-level form under construction.

use foldhash::HashMap;

use super::super::fold::{Folded, fold, test, zeros};
use super::super::mir::{Binary, Block, End, Mir, Op, ShiftKind, Test, Value};

/// About as many operations an instruction becomes.
const OPERATIONS: usize = 3;
/// And about as many a block has.
const BODY: usize = 8;
const SMALL: usize = 64;

/// A mid-level form under construction, with a place where operations are added.
pub(in crate::codegen) struct Builder {
    pub(in crate::codegen) mir: Mir,
    constants: HashMap<u32, Value>,
    /// Of small numbers, which are most.
    small: [Option<Value>; SMALL],
    /// The block that grows.
    pub(in crate::codegen) at: usize,
    pub(in crate::codegen) slot: usize,
}

impl Builder {
    /// For a program of about so many instructions.
    pub(in crate::codegen) fn new(instructions: usize) -> Self {
        let values = OPERATIONS * instructions;
        let mut builder = Self {
            mir: Mir {
                ops: Vec::with_capacity(values),
                zeros: Vec::with_capacity(values),
                slots: Vec::with_capacity(values),
                blocks: Vec::with_capacity(instructions / 2),
            },
            constants: HashMap::default(),
            small: [None; SMALL],
            at: 0,
            slot: 0,
        };
        builder.block();
        builder
    }

    pub(in crate::codegen) fn constant(&mut self, number: u32) -> Value {
        let small = number as usize;
        if let Some(&Some(value)) = self.small.get(small) {
            return value;
        }
        if let Some(&value) = self.constants.get(&number) {
            return value;
        }
        let value = self.push(Op::Const(number));
        match self.small.get_mut(small) {
            Some(place) => *place = Some(value),
            None => {
                self.constants.insert(number, value);
            }
        }
        value
    }

    fn push(&mut self, op: Op) -> Value {
        let value = Value(self.mir.ops.len() as u32);
        self.mir.zeros.push(zeros(&self.mir, &op));
        self.mir.ops.push(op);
        self.mir.slots.push(self.slot as u32);
        value
    }

    /// Adds an operation to the block, or finds what it is.
    pub(in crate::codegen) fn emit(&mut self, op: Op) -> Value {
        match fold(&self.mir, op) {
            Folded::Is(value) => value,
            Folded::Number(number) => self.constant(number),
            Folded::Op(op) => {
                let value = self.push(op);
                self.mir.blocks[self.at].body.push(value);
                value
            }
        }
    }

    pub(in crate::codegen) fn binary(&mut self, operation: Binary, a: Value, b: Value) -> Value {
        self.emit(Op::Binary(operation, a, b))
    }

    pub(in crate::codegen) fn shift(&mut self, kind: ShiftKind, a: Value, amount: u8) -> Value {
        self.emit(Op::Shift(kind, a, amount))
    }

    /// A new block without a way to it.
    pub(in crate::codegen) fn block(&mut self) -> usize {
        self.mir.blocks.push(Block {
            body: Vec::with_capacity(BODY),
            end: End::Open,
            before: Vec::new(),
        });
        self.mir.blocks.len() - 1
    }

    /// A phi at the start of a block.
    pub(in crate::codegen) fn phi(
        &mut self,
        block: usize,
        operands: Vec<Value>,
        known_zeros: u32,
    ) -> Value {
        let value = self.push(Op::Phi(operands));
        self.mir.zeros[value.index()] = known_zeros;
        let phis = self.mir.blocks[block]
            .body
            .iter()
            .take_while(|value| matches!(self.mir.op(**value), Op::Phi(_)))
            .count();
        self.mir.blocks[block].body.insert(phis, value);
        value
    }

    /// Adds the operand of a new edge to a phi.
    pub(in crate::codegen) fn add_operand(&mut self, phi: Value, operand: Value) {
        if let Op::Phi(operands) = &mut self.mir.ops[phi.index()] {
            operands.push(operand);
        }
    }

    /// Ends the block with a way to another one.
    pub(in crate::codegen) fn jump(&mut self, to: usize) {
        self.mir.blocks[self.at].end = End::Jump(to);
        self.mir.blocks[to].before.push(self.at);
    }

    /// Ends the block with a branch, or with a jump where the outcome is known. Gives the ways that are there.
    pub(in crate::codegen) fn branch(
        &mut self,
        condition: Test,
        yes: usize,
        no: usize,
    ) -> [bool; 2] {
        match test(&self.mir, condition) {
            _ if yes == no => {
                self.jump(yes);
                [true, false]
            }
            Ok(outcome) => {
                self.jump(if outcome { yes } else { no });
                [outcome, !outcome]
            }
            Err(condition) => {
                self.mir.blocks[self.at].end = End::Branch(condition, yes, no);
                self.mir.blocks[yes].before.push(self.at);
                self.mir.blocks[no].before.push(self.at);
                [true, true]
            }
        }
    }
}
