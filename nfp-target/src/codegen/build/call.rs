//! Calls of helpers.

use super::{
    ADJUST_HEAD, ADJUST_TAIL, Call, DELETE, ETHERNET_HEADER, EVENT, Kind, LOOKUP, Op, Pair, RANDOM,
    Refusal, Reg, Result, Size, State, Test, Translation, UPDATE, Value, arithmetic,
};

impl Translation<'_> {
    /// The words of memory on the stack that a helper takes.
    pub(super) fn argument(&mut self, state: &State, kind: Kind, bytes: u32) -> Result<Vec<Value>> {
        let Kind::Stack {
            depth,
            offset: Some(offset),
        } = kind
        else {
            return self.refuse(Refusal::ArgumentPlace);
        };
        let mut words = Vec::new();
        for word in 0..bytes.div_ceil(4) as i32 {
            let left = bytes as i32 - 4 * word;
            let [low, _] = self.load_stack(state, depth, offset + 4 * word, Size::B32)?;
            words.push(if left < 4 {
                self.builder.emit(Op::Field {
                    source: low,
                    rotate: 0,
                    mask: (1 << left) - 1,
                })
            } else {
                low
            });
        }
        Ok(words)
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
                let key = self.argument(state, kinds[1], key_size)?;
                let (mut value, mut flags) = (Vec::new(), None);
                if helper == UPDATE {
                    value = self.argument(state, kinds[2], value_size)?;
                    let Some(known) = constant(self, Reg::R4) else {
                        return self.refuse(Refusal::Flags);
                    };
                    flags = Some(known);
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
                return self.event(
                    state,
                    frame,
                    kinds,
                    constant(self, Reg::R3),
                    constant(self, Reg::R5),
                );
            }
            ADJUST_HEAD => {
                let Some(delta) = constant(self, Reg::R2) else {
                    return self.refuse(Refusal::AdjustVariable);
                };
                let delta = delta as i32;
                let head = &self.profile.adjust_head;
                if delta > head.sure_back as i32 || delta < -(head.sure_front as i32) {
                    return self.refuse(Refusal::AdjustFar { delta });
                }
                self.adjust(state, Op::AdjustHead(delta), delta.max(0) as u32)
            }
            ADJUST_TAIL => {
                let Some(delta) = constant(self, Reg::R2) else {
                    return self.refuse(Refusal::AdjustVariable);
                };
                let delta = delta as i32;
                if delta >= 0 {
                    return self.refuse(Refusal::AdjustFar { delta });
                }
                self.adjust(state, Op::AdjustTail(delta), delta.unsigned_abs())
            }
            _ => return self.refuse(Refusal::Helper(helper)),
        };
        state.frames[frame].registers[0] = result;
        Ok(())
    }

    /// Changes the packet if it is long enough then; the result is 0 or -EINVAL.
    pub(super) fn adjust(&mut self, state: &mut State, op: Op, shorter: u32) -> Pair {
        let [fails, holds, after] = std::array::from_fn(|_| self.builder.block());
        let least = self.builder.constant(shorter + ETHERNET_HEADER);
        let too_short = if shorter == 0 {
            Test::Equal(least, self.zero)
        } else {
            Test::Below(state.length, least)
        };
        let ways = self.builder.branch(too_short, fails, holds);
        let mut results = Vec::new();
        if ways[0] {
            self.builder.at = fails;
            self.builder.jump(after);
            results.push([
                self.builder.constant(-22i32 as u32),
                self.builder.constant(u32::MAX),
            ]);
        }
        self.builder.at = holds;
        self.builder.emit(op);
        self.builder.jump(after);
        results.push([self.zero; 2]);
        self.builder.at = after;
        state.length = self.builder.emit(Op::Length);
        state.base = self.builder.emit(Op::Base);
        state.packet_version = self.version();
        arithmetic::join(&mut self.builder, after, &results)
    }

    pub(super) fn event(
        &mut self,
        state: &mut State,
        frame: usize,
        kinds: &[Kind; 5],
        flags: Option<u64>,
        length: Option<u64>,
    ) -> Result<()> {
        let (Kind::Map(map), Some(flags), Some(length @ 0..=64)) = (kinds[1], flags, length) else {
            return self.refuse(Refusal::EventForm);
        };
        let data = self.argument(state, kinds[3], length as u32)?;
        let call = self.builder.emit(Op::Call(Box::new(Call {
            helper: EVENT as u16,
            map,
            key: data,
            value: Vec::new(),
            flags: Some(flags),
            length: length as u32,
        })));
        state.stretch = self.version();
        state.frames[frame].registers[0] = [
            self.builder.emit(Op::Result(call, 0)),
            self.builder.emit(Op::Result(call, 1)),
        ];
        Ok(())
    }
}
