//! Loads and stores: packet, map values, context, and the stack, whose words are values.

use super::{
    Address, Binary, Builder, Kind, NO_QUEUE, Op, Pair, Refusal, Result, Size, State, Test,
    Translation, Value,
};

impl Translation<'_> {
    /// A distance from the packet's start as an address: what varies is added to the packet's address.
    pub(super) fn packet_address(&mut self, state: &State, distance: Value, off: i16) -> Address {
        let (varies, constant) = self.split(distance);
        let base = match varies {
            None => state.base(),
            Some(distance) => self.builder.binary(Binary::Add, state.base(), distance),
        };
        Address::Packet {
            base,
            offset: (constant as i32).wrapping_add(i32::from(off)),
        }
    }

    /// A sum's varying and constant part.
    pub(super) fn split(&self, value: Value) -> (Option<Value>, u32) {
        let mir = &self.builder.mir;
        let (mut value, mut constant) = (value, 0u32);
        loop {
            if let Some(number) = mir.constant(value) {
                return (None, constant.wrapping_add(number));
            }
            match *mir.op(value) {
                Op::Binary(Binary::Add, inner, by) => match mir.constant(by) {
                    Some(by) => (value, constant) = (inner, constant.wrapping_add(by)),
                    None => return (Some(value), constant),
                },
                _ => return (Some(value), constant),
            }
        }
    }

    /// The address of a map's value, without the constants that were added to it.
    pub(super) fn map_address(&self, [mut low, mut high]: Pair, off: i16) -> Address {
        let mir = &self.builder.mir;
        let mut offset = i32::from(off);
        loop {
            let (by, minus, lows, highs) = match (mir.op(low), mir.op(high)) {
                (_, Op::AddHigh(lows, highs)) => (lows[1], false, lows, highs),
                (_, Op::SubHigh(lows, highs)) => (lows[1], true, lows, highs),
                _ => break,
            };
            let sum = match *mir.op(low) {
                Op::Binary(Binary::Add | Binary::Sub, x, _) => x == lows[0],
                _ => false,
            };
            let (Some(by), Some(0), true) = (mir.constant(by), mir.constant(highs[1]), sum) else {
                break;
            };
            let by = by as i32;
            let Some(sum) = (if minus {
                offset.checked_sub(by)
            } else {
                offset.checked_add(by)
            }) else {
                break;
            };
            if by < 0 {
                break;
            }
            offset = sum;
            (low, high) = (lows[0], highs[0]);
        }
        Address::MapValue { low, high, offset }
    }

    pub(super) fn read_words(
        &mut self,
        address: Address,
        size: Size,
        sure: u32,
        version: u32,
        stretch: u32,
    ) -> Pair {
        let words = size.bytes().div_ceil(4) as u8;
        let read = self.builder.emit(Op::Read {
            address,
            words,
            sure,
            version,
            stretch,
        });
        let low = self.builder.emit(Op::Word(read, 0));
        let field = |builder: &mut Builder, mask| {
            builder.emit(Op::Field {
                source: low,
                rotate: 0,
                mask,
            })
        };
        match size {
            Size::B8 => [field(&mut self.builder, 1), self.zero],
            Size::B16 => [field(&mut self.builder, 3), self.zero],
            Size::B32 => [low, self.zero],
            Size::B64 => [low, self.builder.emit(Op::Word(read, 1))],
        }
    }

    pub(super) fn load(
        &mut self,
        state: &mut State,
        kind: Kind,
        reach: Option<i64>,
        address: Pair,
        off: i16,
        size: Size,
    ) -> Result<Pair> {
        match kind {
            Kind::Context => match (off, size) {
                (0, Size::B32) => Ok([self.zero, self.mark]),
                (4, Size::B32) => Ok([state.length(), self.mark]),
                _ => self.refuse(Refusal::ContextField { offset: off }),
            },
            Kind::Packet { .. } => {
                let at = self.packet_address(state, address[0], off);
                let reach = reach.map_or(0, |reach| reach - i64::from(off));
                let sure = (reach.clamp(0, 1 << 14) as u32).max(size.bytes());
                Ok(self.read_words(at, size, sure, state.packet_version, state.stretch))
            }
            Kind::MapValue(map) => {
                let at = self.map_address(address, off);
                let whole = self
                    .input
                    .maps
                    .get(map as usize)
                    .map_or(0, |map| map.value_size);
                let sure = match at.offset() {
                    offset @ 0.. => whole.saturating_sub(offset as u32),
                    _ => 0,
                };
                Ok(self.read_words(
                    at,
                    size,
                    sure.max(size.bytes()),
                    state.map_version,
                    state.stretch,
                ))
            }
            Kind::Stack { depth, at } => {
                let address = (0, address[0]);
                let values = self.at_place(state, address, at, |this, state, place| {
                    let pair = this.load_stack(state, depth, place + i32::from(off), size);
                    Ok(pair.to_vec())
                })?;
                Ok([values[0], values[1]])
            }
            _ => self.refuse(Refusal::Pointer),
        }
    }

    pub(super) fn load_stack(&mut self, state: &State, depth: u8, at: i32, size: Size) -> Pair {
        let word = |offset: i32| {
            let at = self.word_at(state, depth, offset);
            at.map_or(self.zero, |at| state.values[at])
        };
        let start = at.div_euclid(4) * 4;
        let byte = at.rem_euclid(4);
        let (first, second, third) = (word(start), word(start + 4), word(start + 8));
        let builder = &mut self.builder;
        let mut join = |low: Value, high: Value| match byte {
            0 => low,
            byte => builder.emit(Op::Double(high, low, 8 * byte as u8)),
        };
        let low = join(first, second);
        let high = match size {
            Size::B64 => join(second, third),
            _ => self.zero,
        };
        match size {
            Size::B64 | Size::B32 => [low, high],
            Size::B16 | Size::B8 => {
                let mask = if size == Size::B8 { 1 } else { 3 };
                [
                    self.builder.emit(Op::Field {
                        source: low,
                        rotate: 0,
                        mask,
                    }),
                    self.zero,
                ]
            }
        }
    }

    pub(super) fn store(
        &mut self,
        state: &mut State,
        kind: Kind,
        address: Pair,
        off: i16,
        size: Size,
        value: Pair,
    ) -> Result<()> {
        match kind {
            Kind::Packet { .. } => {
                let address = self.packet_address(state, address[0], off);
                let words = match size {
                    Size::B64 => value.to_vec(),
                    _ => vec![value[0]],
                };
                self.builder.emit(Op::Write {
                    address,
                    bytes: size.bytes() as u8,
                    words,
                    version: state.packet_version,
                });
                state.packet_version = self.version();
                Ok(())
            }
            Kind::Stack { depth, at } => {
                let address = (0, address[0]);
                self.at_place(state, address, at, |this, state, place| {
                    this.store_stack(state, depth, place + i32::from(off), size, value)?;
                    Ok(Vec::new())
                })?;
                Ok(())
            }
            Kind::Context if off == 16 && size == Size::B32 => {
                self.queue(value[0]);
                Ok(())
            }
            Kind::Context => self.refuse(Refusal::ContextField { offset: off }),
            Kind::MapValue(_) => self.refuse(Refusal::MapWrite),
            _ => self.refuse(Refusal::Pointer),
        }
    }

    pub(super) fn queue(&mut self, queue: Value) {
        let high = self.builder.constant(!0xff);
        let [large, small, after] = std::array::from_fn(|_| self.builder.block());
        let ways = self.builder.branch(Test::Bits(queue, high), large, small);
        if ways[0] {
            self.builder.at = large;
            let none = self.builder.constant(NO_QUEUE);
            self.builder.emit(Op::Queue(none));
            self.builder.jump(after);
        }
        if ways[1] {
            self.builder.at = small;
            self.builder.emit(Op::Queue(queue));
            self.builder.jump(after);
        }
        self.builder.at = after;
    }

    pub(super) fn store_stack(
        &mut self,
        state: &mut State,
        depth: u8,
        at: i32,
        size: Size,
        value: Pair,
    ) -> Result<()> {
        let mut left = size.bytes() as i32;
        let mut at = at;
        let mut done = 0;
        // A piece is what goes into one word from one word.
        while left > 0 {
            let (word, byte) = (at.div_euclid(4) * 4, at.rem_euclid(4));
            let (source, from) = (value[done as usize / 4], done % 4);
            let count = left.min(4 - byte).min(4 - from);
            let Some(place) = self.word_at(state, depth, word) else {
                let why = "a word of the stack that nothing writes";
                return self.refuse(Refusal::Internal(why.into()));
            };
            let old = state.values[place];
            let mask = ((1u32 << count) - 1) << byte;
            let rotate = (from - byte).rem_euclid(4) * 8;
            let new = if mask == 15 {
                source
            } else {
                self.builder.emit(Op::Insert {
                    old,
                    source,
                    rotate: rotate as u8,
                    mask: mask as u8,
                })
            };
            state.values[place] = new;
            at += count;
            done += count;
            left -= count;
        }
        Ok(())
    }
}
