//! Branches.

use super::{AluOperation, Condition, Inst, Selection, Source, Test, To, Value};

impl Selection<'_> {
    pub(super) fn goto(&mut self, condition: Condition, yes: usize, no: usize) {
        self.push(Inst::Branch {
            condition,
            target: yes,
        });
        self.push(Inst::Jump { target: no });
    }

    pub(super) fn test(&mut self, test: Test, yes: usize, no: usize) {
        match test {
            Test::Equal(a, b) => {
                if self.mir.constant(b) == Some(0) {
                    let source = self.source(a);
                    let known = matches!(
                        (self.program.blocks[self.at].code.last(), source),
                        (Some((_, Inst::Alu { to: To::Reg(reg), operation, .. })), Source::Reg(tested))
                            if *reg == tested
                                && !matches!(operation, AluOperation::AddCarry | AluOperation::SubtractCarry)
                    );
                    if !known {
                        self.alu(To::Nothing, AluOperation::B, Source::None, source);
                    }
                } else {
                    let (left, right) = (self.source(a), self.source(b));
                    self.alu(To::Nothing, AluOperation::Subtract, left, right);
                }
                self.goto(Condition::Equal, yes, no);
            }
            Test::Below(a, b) => {
                let (left, right) = (self.source(a), self.source(b));
                self.alu(To::Nothing, AluOperation::Subtract, left, right);
                self.goto(Condition::CarryClear, yes, no);
            }
            Test::Less(a, b) => {
                let (left, right) = (self.source(a), self.source(b));
                self.alu(To::Nothing, AluOperation::Subtract, left, right);
                self.goto(Condition::Less, yes, no);
            }
            Test::Bits(a, b) => {
                if let Some(number) = self.mir.constant(b)
                    && number.is_power_of_two()
                {
                    let source = self.source(a);
                    self.push(Inst::BranchBit {
                        source,
                        bit: number.trailing_zeros() as u8,
                        set: true,
                        target: yes,
                    });
                    return self.push(Inst::Jump { target: no });
                }
                let left = self.source(a);
                match self.mir.constant(b) {
                    Some(number) if !number <= 0xff => {
                        self.alu(
                            To::Nothing,
                            AluOperation::AndNot,
                            left,
                            Source::Number(!number as u8),
                        );
                    }
                    _ => {
                        let right = self.source(b);
                        self.alu(To::Nothing, AluOperation::And, left, right);
                    }
                }
                self.goto(Condition::NotEqual, yes, no);
            }
            Test::EqualWide(a, b) => {
                let [low, high] = [0, 1].map(|half| self.difference(a[half], b[half]));
                self.alu(To::Nothing, AluOperation::Or, low, high);
                self.goto(Condition::Equal, yes, no);
            }
            Test::BelowWide(a, b) => {
                self.compare_wide(a, b);
                self.goto(Condition::CarryClear, yes, no);
            }
            Test::LessWide(a, b) => {
                self.compare_wide(a, b);
                self.goto(Condition::Less, yes, no);
            }
            Test::BitsWide(a, b) => {
                let [low, high] = [0, 1].map(|half| {
                    let (left, right) = (self.source(a[half]), self.source(b[half]));
                    let to = self.word();
                    self.alu(To::Reg(to), AluOperation::And, left, right);
                    Source::Reg(to)
                });
                self.alu(To::Nothing, AluOperation::Or, low, high);
                self.goto(Condition::NotEqual, yes, no);
            }
        }
    }

    /// Something that is 0 if both are equal.
    pub(super) fn difference(&mut self, a: Value, b: Value) -> Source {
        if self.mir.constant(b) == Some(0) {
            return self.source(a);
        }
        let (left, right) = (self.source(a), self.source(b));
        let to = self.word();
        self.alu(To::Reg(to), AluOperation::Xor, left, right);
        Source::Reg(to)
    }

    pub(super) fn compare_wide(&mut self, a: [Value; 2], b: [Value; 2]) {
        let sources = [a[1], b[1], a[0], b[0]].map(|value| self.source(value));
        self.alu(To::Nothing, AluOperation::Subtract, sources[2], sources[3]);
        self.alu(
            To::Nothing,
            AluOperation::SubtractCarry,
            sources[0],
            sources[1],
        );
    }
}
