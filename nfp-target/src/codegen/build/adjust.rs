//! Changes of the packet's start and end.

use super::{
    Binary, ETHERNET_HEADER, Op, Pair, Refusal, Result, State, Test, Translation, Value, arithmetic,
};

const EINVAL: u32 = -22_i32 as u32;

impl Translation<'_> {
    /// `bpf_xdp_adjust_head`: like the driver, with the card's limits where the change is not one that the card can do
    /// wherever a packet lies in its buffer.
    pub(super) fn adjust_head(&mut self, state: &mut State, delta: Value) -> Result<Pair> {
        let head = self.profile.adjust_head.clone();
        if !head.supported {
            return self.refuse(Refusal::Helper(super::ADJUST_HEAD));
        }
        let number = self.builder.mir.constant(delta).map(|delta| delta as i32);
        let sure = -i64::from(head.sure_front)..=i64::from(head.sure_back);
        let moved = state.moved.zip(number).and_then(|((least, most), by)| {
            let (least_now, most_now) = (least + i64::from(by), most + i64::from(by));
            let is_sure = sure.contains(&least_now) && sure.contains(&most_now);
            is_sure.then_some((least.min(least_now), most.max(most_now)))
        });
        let mut fails = Vec::new();
        if moved.is_none() {
            let offset = self.builder.emit(Op::Field {
                source: state.base(),
                rotate: 0,
                mask: 0b0011,
            });
            let place = self.builder.binary(Binary::Add, offset, delta);
            let [lowest, highest] =
                [head.lowest, head.highest].map(|limit| self.builder.constant(limit.into()));
            fails.push(Test::Below(place, lowest));
            fails.push(Test::Below(highest, place));
        }
        state.moved = moved;
        if let Some(by) = number {
            fails.extend((by > 0).then(|| self.is_shorter(state, by.unsigned_abs())));
        } else {
            let left = self.builder.binary(Binary::Sub, state.length(), delta);
            let least = self.builder.constant(ETHERNET_HEADER);
            fails.push(Test::Less(left, least));
        }
        Ok(self.change(state, &fails, Op::AdjustHead(delta)))
    }

    /// `bpf_xdp_adjust_tail`: there is no room for the packet to grow.
    pub(super) fn adjust_tail(&mut self, state: &mut State, delta: Value) -> Result<Pair> {
        if !self.profile.adjust_tail {
            return self.refuse(Refusal::Helper(super::ADJUST_TAIL));
        }
        let fails = match self.builder.mir.constant(delta).map(|delta| delta as i32) {
            Some(by @ ..=0) => vec![self.is_shorter(state, by.unsigned_abs())],
            Some(_) => return Ok([EINVAL, u32::MAX].map(|half| self.builder.constant(half))),
            None => {
                let left = self.builder.binary(Binary::Add, state.length(), delta);
                let least = self.builder.constant(ETHERNET_HEADER);
                vec![Test::Less(self.zero, delta), Test::Less(left, least)]
            }
        };
        Ok(self.change(state, &fails, Op::AdjustTail(delta)))
    }

    /// Whether the packet has less than so many bytes and an Ethernet header.
    fn is_shorter(&mut self, state: &State, bytes: u32) -> Test {
        let least = self.builder.constant(bytes.saturating_add(ETHERNET_HEADER));
        Test::Below(state.length(), least)
    }

    /// Changes the packet unless one of the tests holds; the result is 0 or -EINVAL.
    fn change(&mut self, state: &mut State, tests: &[Test], op: Op) -> Pair {
        let [fails, after] = std::array::from_fn(|_| self.builder.block());
        let (mut may_fail, mut may_hold) = (false, true);
        for &test in tests {
            let next = self.builder.block();
            let ways = self.builder.branch(test, fails, next);
            may_fail |= ways[0];
            may_hold = ways[1];
            if !may_hold {
                break;
            }
            self.builder.at = next;
        }
        let holds = self.builder.at;
        let mut results = Vec::new();
        if may_fail {
            self.builder.at = fails;
            self.builder.jump(after);
            results.push([EINVAL, u32::MAX].map(|half| self.builder.constant(half)));
        }
        if may_hold {
            self.builder.at = holds;
            self.builder.emit(op);
            self.builder.jump(after);
            results.push([self.zero; 2]);
        }
        self.builder.at = after;
        let length = self.builder.emit(Op::Length);
        let base = self.builder.emit(Op::Base);
        state.set_packet(length, base);
        state.packet_version = self.version();
        arithmetic::join(&mut self.builder, after, &results)
    }
}
