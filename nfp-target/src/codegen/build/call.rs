//! Calls of helpers.

use super::{
    ADJUST_HEAD, ADJUST_TAIL, Call, DELETE, EVENT, Kind, LOOKUP, Op, RANDOM, Refusal, Reg, Result,
    Size, State, Translation, UPDATE, Value,
};

impl Translation<'_> {
    /// The words of memory on the stack that a helper takes, by the register with their address.
    pub(super) fn argument(
        &mut self,
        state: &mut State,
        kinds: &[Kind; 5],
        reg: Reg,
        bytes: u32,
    ) -> Result<Vec<Value>> {
        let operand = reg.index() - 1;
        let Kind::Stack { depth, at } = kinds[operand] else {
            return self.refuse(Refusal::ArgumentPlace);
        };
        let address = state.read(state.top(), reg)[0];
        self.at_place(state, (operand, address), at, |this, state, place| {
            let mut words = Vec::new();
            for word in 0..bytes.div_ceil(4) as i32 {
                let left = bytes as i32 - 4 * word;
                let [low, _] = this.load_stack(state, depth, place + 4 * word, Size::B32);
                words.push(if left < 4 {
                    this.builder.emit(Op::Field {
                        source: low,
                        rotate: 0,
                        mask: (1 << left) - 1,
                    })
                } else {
                    low
                });
            }
            Ok(words)
        })
    }

    pub(super) fn call(
        &mut self,
        state: &mut State,
        frame: usize,
        helper: i32,
        kinds: &[Kind; 5],
    ) -> Result<()> {
        let constant = |this: &Self, reg: Reg| {
            let [low, high] = state.read(frame, reg);
            let mir = &this.builder.mir;
            Some(u64::from(mir.constant(high)?) << 32 | u64::from(mir.constant(low)?))
        };
        let result = match helper {
            LOOKUP | UPDATE | DELETE => {
                let Kind::Map(map) = kinds[0] else {
                    return self.refuse(Refusal::MapUnknown);
                };
                let Some(shape) = self.input.maps.get(map as usize) else {
                    return self.refuse(Refusal::MapUnknown);
                };
                let (key_size, value_size) = (shape.key_size, shape.value_size);
                let key = self.argument(state, kinds, Reg::R2, key_size)?;
                let (mut value, mut flags) = (Vec::new(), None);
                if helper == UPDATE {
                    value = self.argument(state, kinds, Reg::R3, value_size)?;
                    flags = Some(state.read(frame, Reg::R4));
                }
                let call = self.builder.emit(Op::Call(Box::new(Call {
                    helper: helper as u16,
                    map,
                    key,
                    value,
                    flags,
                    length: 0,
                })));
                if helper != LOOKUP {
                    state.map_version = self.version();
                }
                state.stretch = self.version();
                [
                    self.builder.emit(Op::Result(call, 0)),
                    self.builder.emit(Op::Result(call, 1)),
                ]
            }
            RANDOM if self.profile.random => [self.builder.emit(Op::Random), self.zero],
            EVENT => {
                return self.event(state, frame, kinds, constant(self, Reg::R5));
            }
            ADJUST_HEAD => {
                let delta = state.read(frame, Reg::R2)[0];
                self.adjust_head(state, delta)?
            }
            ADJUST_TAIL => {
                let delta = state.read(frame, Reg::R2)[0];
                self.adjust_tail(state, delta)?
            }
            _ => return self.refuse(Refusal::Helper(helper)),
        };
        state.set(frame, Reg::R0, result);
        Ok(())
    }

    pub(super) fn event(
        &mut self,
        state: &mut State,
        frame: usize,
        kinds: &[Kind; 5],
        length: Option<u64>,
    ) -> Result<()> {
        let flags = state.read(frame, Reg::R3);
        let (Kind::Map(map), Some(length @ 0..=64)) = (kinds[1], length) else {
            return self.refuse(Refusal::EventForm);
        };
        let data = self.argument(state, kinds, Reg::R4, length as u32)?;
        let call = self.builder.emit(Op::Call(Box::new(Call {
            helper: EVENT as u16,
            map,
            key: data,
            value: Vec::new(),
            flags: Some(flags),
            length: length as u32,
        })));
        state.stretch = self.version();
        let result = [
            self.builder.emit(Op::Result(call, 0)),
            self.builder.emit(Op::Result(call, 1)),
        ];
        state.set(frame, Reg::R0, result);
        Ok(())
    }
}
