//! Arithmetic.

use super::{
    AluOperation, Binary, Class, Inst, Op, Result, Selection, Shift, ShiftKind, ShiftLogic, Source,
    To, Value, rotated, shifted,
};

impl Selection<'_> {
    pub(super) fn value(&mut self, value: Value) -> Result<()> {
        let mir = self.mir;
        match mir.op(value) {
            Op::Const(_) | Op::Phi(_) | Op::Result(..) => {}
            Op::Length if !self.moves => self.values[value.index()].place = Some(Source::Length),
            Op::Length => {
                let to = self.define(value);
                self.alu(to, AluOperation::B, Source::None, Source::Length);
            }
            Op::Base => {
                let to = self.define(value);
                self.alu(to, AluOperation::B, Source::None, Source::Vector(2));
            }
            &Op::Binary(operation, a, b) => self.binary(value, operation, a, b),
            &Op::Shift(kind, a, amount) => {
                let source = self.source(a);
                if kind == ShiftKind::Arithmetic {
                    // The sign is that of the word before's result, by one reading; by another, of the operand.
                    self.alu(To::Nothing, AluOperation::B, Source::None, source);
                }
                let to = self.define(value);
                self.push(Inst::Shift {
                    to,
                    operation: if kind == ShiftKind::Arithmetic {
                        ShiftLogic::Arithmetic
                    } else {
                        ShiftLogic::B
                    },
                    left: Source::None,
                    right: source,
                    shift: shifted(kind, amount),
                });
            }
            &Op::ShiftBy(kind, a, amount) => self.shift_by(value, kind, a, amount),
            &Op::Double(high, low, amount) => {
                let (left, right) = (self.source(high), self.source(low));
                let to = self.define(value);
                self.push(Inst::Shift {
                    to,
                    operation: ShiftLogic::B,
                    left,
                    right,
                    shift: Shift::Double(amount),
                });
            }
            &Op::AddHigh(low, high) => {
                self.carry(value, AluOperation::Add, AluOperation::AddCarry, low, high);
            }
            &Op::SubHigh(low, high) => {
                self.carry(
                    value,
                    AluOperation::Subtract,
                    AluOperation::SubtractCarry,
                    low,
                    high,
                );
            }
            &Op::Field {
                source,
                rotate,
                mask,
            } => {
                let source = self.source(source);
                let to = self.define(value);
                self.push(Inst::Field {
                    to,
                    old: None,
                    mask,
                    source,
                    shift: rotated(rotate, mask),
                });
            }
            &Op::Insert {
                old,
                source,
                rotate,
                mask,
            } => {
                let (to, old) = if let Some(to) = self.target.take() {
                    // The old value is put in place first.
                    self.put(old, to)?;
                    (to, Source::None)
                } else {
                    let old = self.register(old);
                    (self.define(value), old)
                };
                let source = self.source(source);
                self.push(Inst::Field {
                    to,
                    old: Some(old),
                    mask,
                    source,
                    shift: rotated(rotate, mask),
                });
            }
            &Op::Read { address, words, .. } => {
                let place = self.address(address);
                let to = self.program.reg(Class::Transfer(words));
                self.push(Inst::Read { to, place, words });
                self.values[value.index()].place = Some(Source::Transfer(to, 0));
                let home = self.values[value.index()].home;
                for &word in &mir.blocks[home].body {
                    if let Op::Word(read, _) = *mir.op(word)
                        && read == value
                    {
                        self.read_word(word);
                    }
                }
            }
            Op::Word(..) => {
                if self.values[value.index()].place.is_none() {
                    self.read_word(value);
                }
            }
            Op::Write {
                address,
                bytes,
                words,
                ..
            } => {
                let place = self.address(*address);
                let from = self.transfer(words)?;
                self.push(Inst::Write {
                    from,
                    place,
                    bytes: *bytes,
                });
            }
            &Op::AddMemory {
                address,
                wide,
                value,
            } => self.add_memory(address, wide, value)?,
            Op::Call(call) => self.call(value, call)?,
            Op::Random => {
                let to = self.define(value);
                self.push(Inst::Random { to });
            }
            &Op::AdjustHead(delta) => {
                self.adjust(To::Vector(2), Source::Vector(2), delta, false);
                self.adjust(To::Length, Source::Length, delta, true);
                self.adjust(To::Vector(0), Source::Vector(0), delta, true);
            }
            &Op::AdjustTail(delta) => {
                self.adjust(To::Length, Source::Length, delta, false);
                self.adjust(To::Vector(0), Source::Vector(0), delta, false);
            }
            &Op::Queue(queue) => {
                self.push(Inst::Shift {
                    to: To::Vector(4),
                    operation: ShiftLogic::Or,
                    left: Source::Vector(4),
                    right: Source::Number(1),
                    shift: Shift::Left(4),
                });
                let source = self.source(queue);
                self.push(Inst::Field {
                    to: To::Vector(6),
                    old: Some(Source::Vector(6)),
                    mask: 1,
                    source,
                    shift: Shift::None,
                });
            }
        }
        Ok(())
    }

    pub(super) fn binary(&mut self, value: Value, operation: Binary, a: Value, b: Value) {
        let constant = self.mir.constant(b);
        if matches!(operation, Binary::Mul | Binary::MulHigh) {
            return self.multiply(value, a, b);
        }
        // A shifted operand is part of the operation.
        if let Binary::Or | Binary::And = operation {
            for (shifted_one, other) in [(b, a), (a, b)] {
                if !self.values[shifted_one.index()].fused {
                    continue;
                }
                let &Op::Shift(kind, source, amount) = self.mir.op(shifted_one) else {
                    continue;
                };
                let (left, right) = (self.source(other), self.source(source));
                let to = self.define(value);
                return self.push(Inst::Shift {
                    to,
                    operation: if operation == Binary::Or {
                        ShiftLogic::Or
                    } else {
                        ShiftLogic::And
                    },
                    left,
                    right,
                    shift: shifted(kind, amount),
                });
            }
        }
        let (operation, left, right) = match (operation, constant) {
            (Binary::Add, Some(number)) if number.wrapping_neg() <= 0xff => {
                let left = self.source(a);
                let number = Source::Number(number.wrapping_neg() as u8);
                (AluOperation::Subtract, left, number)
            }
            (Binary::And, Some(number)) if !number <= 0xff => {
                let left = self.source(a);
                (AluOperation::AndNot, left, Source::Number(!number as u8))
            }
            (Binary::Xor, Some(u32::MAX)) => (AluOperation::NotB, Source::None, self.source(a)),
            _ => {
                let operation = match operation {
                    Binary::Add => AluOperation::Add,
                    Binary::Sub => AluOperation::Subtract,
                    Binary::And => AluOperation::And,
                    Binary::Or => AluOperation::Or,
                    _ => AluOperation::Xor,
                };
                let left = self.source(a);
                (operation, left, self.source(b))
            }
        };
        let to = self.define(value);
        self.alu(to, operation, left, right);
    }

    pub(super) fn multiply(&mut self, value: Value, a: Value, b: Value) {
        if self.values[value.index()].place.is_some() {
            return;
        }
        let home = self.values[value.index()].home;
        let find = |operation| {
            self.mir.blocks[home].body.iter().copied().find(|&other| {
                matches!(*self.mir.op(other), Op::Binary(kind, x, y) if kind == operation && (x, y) == (a, b))
            })
        };
        let (low, high) = (find(Binary::Mul), find(Binary::MulHigh));
        let (left, right) = (self.register(a), self.register(b));
        let short = high.is_none() && (self.mir.zeros(a) & self.mir.zeros(b)) >> 16 == 0xffff;
        let low = low.map_or(To::Nothing, |low| self.define(low));
        let high = high.map(|high| self.define(high));
        self.push(Inst::Multiply {
            short,
            left,
            right,
            low,
            high,
        });
    }

    /// The upper word of a sum or difference; the lower one is computed by the operation before, or again.
    pub(super) fn carry(
        &mut self,
        value: Value,
        first: AluOperation,
        then: AluOperation,
        low: [Value; 2],
        high: [Value; 2],
    ) {
        // Numbers first: they are loaded before the flags are made.
        let sources = [high[0], high[1], low[0], low[1]].map(|value| self.source(value));
        let wanted = (first, sources[2], sources[3]);
        let made = match self.program.blocks[self.at].code.last() {
            Some((
                _,
                Inst::Alu {
                    operation,
                    left,
                    right,
                    to,
                },
            )) => {
                let overwrites =
                    matches!(to, To::Reg(reg) if sources[..2].contains(&Source::Reg(*reg)));
                (*operation, *left, *right) == wanted && !overwrites
            }
            _ => false,
        };
        if !made {
            self.alu(To::Nothing, first, sources[2], sources[3]);
        }
        let to = self.define(value);
        self.alu(to, then, sources[0], sources[1]);
    }

    pub(super) fn shift_by(&mut self, value: Value, kind: ShiftKind, a: Value, amount: Value) {
        let mut by = self.register(amount);
        let source = self.source(a);
        let right = if kind == ShiftKind::Arithmetic {
            // The result of the word before has the sign, its left operand the amount: bits above would spoil the sign.
            if self.mir.zeros(amount) >> 31 == 0 {
                let masked = self.word();
                self.alu(To::Reg(masked), AluOperation::And, by, Source::Number(31));
                by = Source::Reg(masked);
            }
            source
        } else {
            Source::Number(0)
        };
        self.alu(To::Nothing, AluOperation::Or, by, right);
        let to = self.define(value);
        let (operation, shift) = match kind {
            ShiftKind::Left => (ShiftLogic::B, Shift::LeftIndirect),
            ShiftKind::Arithmetic => (ShiftLogic::Arithmetic, Shift::RightIndirect),
            ShiftKind::Right | ShiftKind::Rotate => (ShiftLogic::B, Shift::RightIndirect),
        };
        self.push(Inst::Shift {
            to,
            operation,
            left: Source::None,
            right: source,
            shift,
        });
    }
}
