//! Commands to memory, calls, and changes of the packet.

use super::{
    ADD_32, ADD_64, Address, AluOperation, Call, Class, Csr, EVENT, Inst, LOCAL_WORDS, ON_STACK,
    Op, Place, Refusal, Reg, Result, Selection, Shift, Source, To, UPDATE, Value,
};

impl Selection<'_> {
    pub(super) fn read_word(&mut self, word: Value) {
        let Op::Word(read, index) = *self.mir.op(word) else {
            return;
        };
        let Some(Source::Transfer(row, _)) = self.values[read.index()].place else {
            return;
        };
        let source = Source::Transfer(row, index);
        if self.values[word.index()].crosses {
            let to = self.define(word);
            self.alu(to, AluOperation::B, Source::None, source);
        } else {
            self.values[word.index()].place = Some(source);
        }
    }

    /// Adds a change of the packet to what tells of it, or takes it away.
    pub(super) fn adjust(&mut self, to: To, source: Source, by: Value, minus: bool) {
        let (by, minus) = match self.mir.constant(by) {
            Some(by) => {
                let by = by as i32;
                (self.number(by.unsigned_abs()), minus != (by < 0))
            }
            None => (self.source(by), minus),
        };
        let operation = if minus {
            AluOperation::Subtract
        } else {
            AluOperation::Add
        };
        self.alu(to, operation, source, by);
    }

    pub(super) fn address(&mut self, address: Address) -> Place {
        match address {
            Address::Packet { base, offset } => {
                let base = self.register(base);
                let offset = match u8::try_from(offset) {
                    Ok(near @ 0..=127) => Source::Number(near),
                    _ => self.loaded(offset as u32),
                };
                Place::Packet(base, offset)
            }
            Address::MapValue {
                low,
                high,
                offset: 0,
            } => Place::MapValue(self.register(high), self.register(low)),
            Address::MapValue { low, high, offset } => {
                if let Some(&(high, low)) = self.sums.get(&(low, high, offset)) {
                    return Place::MapValue(high, low);
                }
                let number = self.number(offset.unsigned_abs());
                let (base, top) = (self.register(low), self.register(high));
                let (first, then) = if offset < 0 {
                    (AluOperation::Subtract, AluOperation::SubtractCarry)
                } else {
                    (AluOperation::Add, AluOperation::AddCarry)
                };
                let (sum, carried) = (self.word(), self.word());
                self.alu(To::Reg(sum), first, base, number);
                self.alu(To::Reg(carried), then, top, Source::Number(0));
                let pair = (Source::Reg(carried), Source::Reg(sum));
                self.sums.insert((low, high, offset), pair);
                Place::MapValue(pair.0, pair.1)
            }
        }
    }

    /// Words in a row of transfer registers.
    pub(super) fn transfer(&mut self, words: &[Value]) -> Result<Reg> {
        let row = self.program.reg(Class::Transfer(words.len() as u8));
        for (index, &word) in words.iter().enumerate() {
            self.put(word, To::Transfer(row, index as u8))?;
        }
        Ok(row)
    }

    pub(super) fn add_memory(
        &mut self,
        address: Address,
        wide: bool,
        value: [Value; 2],
    ) -> Result<()> {
        let place = self.address(address);
        if self.is_short(value, wide) {
            let source = self.source(value[0]);
            let form = if let Some(reg) = self.forms[usize::from(wide)] {
                reg
            } else {
                let reg = self.word();
                self.push(Inst::Load {
                    to: To::Reg(reg),
                    value: if wide { ADD_64 } else { ADD_32 },
                });
                reg
            };
            let reg = self.word();
            self.forms[usize::from(wide)] = Some(reg);
            self.push(Inst::Field {
                to: To::Reg(reg),
                old: Some(Source::Reg(form)),
                mask: 0b1100,
                source,
                shift: Shift::Left(16),
            });
            self.push(Inst::AddImmediate { place });
            return Ok(());
        }
        let words = if wide { &value[..] } else { &value[..1] };
        let from = self.transfer(words)?;
        self.push(Inst::Add { from, place, wide });
        Ok(())
    }

    pub(super) fn call(&mut self, value: Value, call: &Call) -> Result<()> {
        let words = call.key.len() + call.value.len();
        if words > LOCAL_WORDS {
            return self.refuse(Refusal::Arguments);
        }
        self.program.arguments = self.program.arguments.max(words as u8);
        for (index, &word) in call.key.iter().chain(&call.value).enumerate() {
            self.put(word, To::Local(index as u8))?;
        }
        // Tables are numbered from 1.
        let map = call.map + 1;
        let mut argument = map as u16;
        if u32::from(argument) != map {
            return self.refuse(Refusal::MapUnknown);
        }
        let load = |number: u8, value: u32| Inst::Load {
            to: To::Both(number),
            value,
        };
        if call.helper == UPDATE {
            let at = self.word();
            self.alu(
                To::Reg(at),
                AluOperation::Add,
                Source::Frame,
                Source::Number(4 * call.key.len() as u8),
            );
            self.push(Inst::Csr {
                csr: Csr::LocalPointer2,
                source: Source::Reg(at),
            });
            self.flags(8, call);
        }
        if call.helper == EVENT {
            self.push(load(4, map));
            self.push(load(5, 0));
            self.flags(6, call);
            self.alu(To::Both(8), AluOperation::B, Source::None, Source::Frame);
            self.push(load(9, 0));
            self.push(load(10, call.length));
            self.push(load(11, 0));
            argument = ON_STACK;
        }
        let mut results = [None, None];
        for &user in &self.mir.blocks[self.values[value.index()].home].body {
            if let Op::Result(of, half) = *self.mir.op(user)
                && of == value
                && self.values[user.index()].uses > 0
            {
                let reg = match results[usize::from(half)] {
                    Some(reg) => reg,
                    None => self.program.reg(Class::Word),
                };
                results[usize::from(half)] = Some(reg);
                self.values[user.index()].place = Some(Source::Reg(reg));
            }
        }
        self.push(Inst::Call {
            helper: call.helper,
            low: results[0],
            high: results[1],
            argument,
        });
        self.constants.clear();
        self.forms = [None; 2];
        Ok(())
    }

    /// A call's flags in two registers, in both banks.
    fn flags(&mut self, first: u8, call: &Call) {
        for (number, value) in (first..).zip(call.flags.into_iter().flatten()) {
            let to = To::Both(number);
            if let Some(value) = self.mir.constant(value) {
                self.push(Inst::Load { to, value });
            } else {
                let source = self.source(value);
                self.alu(to, AluOperation::B, Source::None, source);
            }
        }
    }
}
