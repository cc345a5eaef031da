//! Accesses to the stack whose place is one of several: each is made where the address is that one.

use super::{Refusal, Result, StackPlace, State, Test, Translation, Value, arithmetic};

/// Most places that an access is made for.
const MOST_PLACES: usize = 64;

impl Translation<'_> {
    /// Does something with the place on the stack that an address points to: `operand` is the number of the address among
    /// the instruction's. Gives the values that are found there.
    pub(super) fn at_place(
        &mut self,
        state: &mut State,
        (operand, address): (usize, Value),
        at: StackPlace,
        mut access: impl FnMut(&mut Self, &mut State, i32) -> Result<Vec<Value>>,
    ) -> Result<Vec<Value>> {
        let places = match at {
            StackPlace::At(place) => return access(self, state, place),
            StackPlace::OneOf => self.facts.places(self.chain, self.builder.slot, operand),
            StackPlace::Anywhere => Vec::new(),
        };
        if !(1..=MOST_PLACES).contains(&places.len()) {
            return self.refuse(Refusal::StackVariable);
        }
        let after = self.builder.block();
        let (mut states, mut found) = (Vec::new(), Vec::new());
        for (index, &place) in places.iter().enumerate() {
            let [here, elsewhere] = std::array::from_fn(|_| self.builder.block());
            let number = self.builder.constant(place as u32);
            let ways = if index + 1 == places.len() {
                self.builder.jump(here);
                [true, false]
            } else {
                let is_here = Test::Equal(address, number);
                self.builder.branch(is_here, here, elsewhere)
            };
            if ways[0] {
                self.builder.at = here;
                let mut inner = state.clone();
                found.push(access(self, &mut inner, place)?);
                self.builder.jump(after);
                states.push(inner);
            }
            if !ways[1] {
                break;
            }
            self.builder.at = elsewhere;
        }
        self.builder.at = after;
        (*state, _) = self.merge(after, states, false, u16::MAX);
        let count = found.first().map_or(0, Vec::len);
        Ok((0..count)
            .map(|index| {
                let each = found.iter().map(|values| values[index]).collect();
                arithmetic::join_values(&mut self.builder, after, each)
            })
            .collect())
    }
}
