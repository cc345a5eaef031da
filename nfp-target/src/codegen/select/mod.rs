//! From values to machine operations.

mod condition;
mod memory;
mod plan;
mod value;

use foldhash::HashMap;

use super::fold::bits_of;
use super::lir::{Class, Code, Inst, Place, Program, Reg, Source, To};
use super::mir::{Address, Binary, Call, End, Mir, Op, ShiftKind, Test, Value};
use super::{Refusal, Unsupported};
use crate::isa::{AluOperation, Bank, Condition, Csr, Shift, ShiftLogic};

const EVENT: u16 = 25;
const UPDATE: u16 = 2;
/// Words of local memory that an operation reaches.
pub(super) const LOCAL_WORDS: usize = 16;
/// Those that every operation reaches.
const NEAR_WORDS: usize = 8;
/// What makes an addition of 16 bits of it: length field 8 for 32 bits, 0xc for 64; data from the upper half.
const ADD_32: u32 = 0x890;
const ADD_64: u32 = 0xc90;
/// An event's data are on the stack.
const ON_STACK: u16 = 6;

/// The action of the card for a verdict: what the end of the main function makes of it.
pub(super) fn action(verdict: u32) -> u8 {
    match verdict {
        1 => 0x22,
        2 => 0x11,
        3 => 0x44,
        _ => 0x82,
    }
}

/// Chooses machine operations for a program.
pub(super) fn select(mir: &Mir, order: &[usize]) -> Result<Program, Unsupported> {
    let mut selection = Selection {
        mir,
        program: Program::default(),
        values: vec![Known::default(); mir.ops.len()],
        target: None,
        forms: [None; 2],
        constants: HashMap::default(),
        sums: HashMap::default(),
        at: 0,
        slot: 0,
        moves: mir
            .ops
            .iter()
            .any(|op| matches!(op, Op::AdjustHead(_) | Op::AdjustTail(_))),
    };
    selection.count(order);
    selection.find_sunk(order);
    selection.find_crossing(order);
    // One machine block a block, and one for each edge that needs copies of its own.
    let mut number = vec![usize::MAX; mir.blocks.len()];
    for (at, &block) in order.iter().enumerate() {
        number[block] = at;
    }
    selection.program.classes.reserve(mir.ops.len());
    selection.program.blocks.reserve(2 * order.len());
    let code_of = |block: &usize| Code {
        code: Vec::with_capacity(mir.blocks[*block].body.len() + 4),
    };
    selection.program.blocks.extend(order.iter().map(code_of));
    for &block in order {
        for &value in &mir.blocks[block].body {
            if let Op::Phi(_) = mir.op(value) {
                let reg = selection.program.reg(Class::Word);
                selection.values[value.index()].place = Some(Source::Reg(reg));
            }
        }
    }
    for (at, &block) in order.iter().enumerate() {
        selection.at = at;
        selection.block(block, &number)?;
    }
    Ok(selection.program)
}

/// What is known of a value.
#[derive(Clone, Copy)]
struct Known {
    /// Where it is once it was computed.
    place: Option<Source>,
    uses: u32,
    /// Its block.
    home: usize,
    /// Computed as part of its only user.
    fused: bool,
    /// Computed by its only user, right where the user takes it from.
    sunk: bool,
    /// A word of a read that is used after a call.
    crosses: bool,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            place: None,
            uses: 0,
            home: usize::MAX,
            fused: false,
            sunk: false,
            crosses: false,
        }
    }
}

struct Selection<'a> {
    mir: &'a Mir,
    program: Program,
    values: Vec<Known>,
    /// Where the next value is put.
    target: Option<To>,
    /// What an addition of 16 bits is made of, 32 or 64 bits: only its upper half changes.
    forms: [Option<Reg>; 2],
    /// Numbers that are in a register, in this block.
    constants: HashMap<u32, Reg>,
    /// Addresses of map values with an offset, in this block.
    sums: HashMap<(Value, Value, i32), (Source, Source)>,
    at: usize,
    slot: u32,
    /// Whether the packet's length changes.
    moves: bool,
}

/// Whether one `immed` loads a number.
pub(super) fn is_one_word(number: u32) -> bool {
    [number, !number].iter().any(|number| {
        [0, 8, 16]
            .iter()
            .any(|shift| number & !(0xffff << shift) == 0)
    })
}

type Result<T, E = Unsupported> = std::result::Result<T, E>;

fn shifted(kind: ShiftKind, amount: u8) -> Shift {
    match kind {
        ShiftKind::Left => Shift::Left(amount),
        ShiftKind::Right | ShiftKind::Arithmetic => Shift::Right(amount),
        ShiftKind::Rotate => Shift::RotateRight(amount),
    }
}

fn rotated(rotate: u8, mask: u8) -> Shift {
    // Where no bit comes around, a shift does the same and is what is seen in use.
    let bits = bits_of(mask);
    match rotate {
        0 => Shift::None,
        right if bits & !(u32::MAX >> right) == 0 => Shift::Right(right),
        right if bits & !(u32::MAX << (32 - right)) == 0 => Shift::Left(32 - right),
        right => Shift::RotateRight(right),
    }
}

impl Selection<'_> {
    /// Puts a value where it is wanted.
    fn put(&mut self, value: Value, to: To) -> Result<()> {
        if self.values[value.index()].sunk {
            self.target = Some(to);
            return self.value(value);
        }
        match self.mir.constant(value) {
            Some(value) if is_one_word(value) || !matches!(to, To::Transfer(..)) => {
                self.push(Inst::Load { to, value });
            }
            _ => {
                let source = self.source(value);
                self.alu(to, AluOperation::B, Source::None, source);
            }
        }
        Ok(())
    }

    fn push(&mut self, inst: Inst) {
        let slot = self.slot;
        self.program.blocks[self.at].code.push((slot, inst));
    }

    fn refuse<T>(&self, why: Refusal) -> Result<T> {
        Err(Unsupported {
            slot: self.slot as usize,
            why,
        })
    }

    fn word(&mut self) -> Reg {
        self.program.reg(Class::Word)
    }

    fn alu(&mut self, to: To, operation: AluOperation, left: Source, right: Source) {
        self.push(Inst::Alu {
            to,
            operation,
            left,
            right,
        });
    }

    /// Where a value is. Small numbers are part of the operation.
    fn source(&mut self, value: Value) -> Source {
        match self.mir.constant(value) {
            Some(number) => self.number(number),
            None => self.place_of(value),
        }
    }

    fn place_of(&mut self, value: Value) -> Source {
        self.values[value.index()]
            .place
            .unwrap_or(Source::Number(0))
    }

    fn number(&mut self, number: u32) -> Source {
        match u8::try_from(number) {
            Ok(small) => Source::Number(small),
            Err(_) => self.loaded(number),
        }
    }

    /// A number in a register.
    fn loaded(&mut self, number: u32) -> Source {
        if let Some(&reg) = self.constants.get(&number) {
            return Source::Reg(reg);
        }
        let reg = self.word();
        self.push(Inst::Load {
            to: To::Reg(reg),
            value: number,
        });
        self.constants.insert(number, reg);
        Source::Reg(reg)
    }

    /// A value in a general register, for operations that take nothing else.
    fn register(&mut self, value: Value) -> Source {
        if let Some(number) = self.mir.constant(value) {
            return self.loaded(number);
        }
        match self.place_of(value) {
            reg @ Source::Reg(_) => reg,
            other => {
                let reg = self.word();
                self.alu(To::Reg(reg), AluOperation::B, Source::None, other);
                Source::Reg(reg)
            }
        }
    }

    fn define(&mut self, value: Value) -> To {
        if let Some(to) = self.target.take() {
            return to;
        }
        let reg = self.word();
        self.values[value.index()].place = Some(Source::Reg(reg));
        To::Reg(reg)
    }

    fn block(&mut self, block: usize, number: &[usize]) -> Result<()> {
        self.constants.clear();
        self.sums.clear();
        self.forms = [None; 2];
        let mir = self.mir;
        for &value in &mir.blocks[block].body {
            self.slot = mir.slots[value.index()];
            if !self.values[value.index()].fused && !self.values[value.index()].sunk {
                self.value(value)?;
            }
        }
        match mir.blocks[block].end {
            End::Open => {
                return self.refuse(Refusal::Internal("a block without an end".into()));
            }
            End::Jump(to) => {
                let copies = self.copies(block, to);
                if !copies.is_empty() {
                    self.push(Inst::Copies(copies));
                }
                self.push(Inst::Jump { target: number[to] });
            }
            End::Branch(test, yes, no) => {
                let yes = self.edge(block, yes, number);
                let no = self.edge(block, no, number);
                self.test(test, yes, no);
            }
            End::Exit(value) => {
                if let Some(verdict) = mir.constant(value) {
                    self.push(Inst::Finish {
                        action: action(verdict),
                    });
                } else {
                    let source = self.source(value);
                    self.alu(To::Fixed(Bank::B, 0), AluOperation::B, Source::None, source);
                    self.push(Inst::Out);
                }
            }
        }
        Ok(())
    }

    /// What the phis of a block take from this one.
    fn copies(&mut self, from: usize, to: usize) -> Vec<(Reg, Source)> {
        let mir = self.mir;
        let mut copies = Vec::new();
        // Where both ways of a branch lead to one block there are no phis: the builder makes a jump of it.
        let index = mir.blocks[to]
            .before
            .iter()
            .position(|&before| before == from);
        for &value in &mir.blocks[to].body {
            let Op::Phi(operands) = mir.op(value) else {
                break;
            };
            let Some(&operand) = index.and_then(|index| operands.get(index)) else {
                continue;
            };
            let Some(Source::Reg(reg)) = self.values[value.index()].place else {
                continue;
            };
            let source = match mir.constant(operand) {
                Some(number) => Source::Constant(number),
                None => self.place_of(operand),
            };
            if source != Source::Reg(reg) {
                copies.push((reg, source));
            }
        }
        copies
    }

    /// The machine block that a branch goes to: a new one where copies are made on the way.
    fn edge(&mut self, from: usize, to: usize, number: &[usize]) -> usize {
        let copies = self.copies(from, to);
        if copies.is_empty() {
            return number[to];
        }
        let slot = self.slot;
        let code = vec![
            (slot, Inst::Copies(copies)),
            (slot, Inst::Jump { target: number[to] }),
        ];
        self.program.blocks.push(Code { code });
        self.program.blocks.len() - 1
    }
}
