//! Cycles of a run, by a table whose every number has a source.

use serde::Deserialize;

use crate::sim::Figures;

/// The shipped table.
const SHIPPED: &str = include_str!("cost.toml");

/// What one of something costs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Cycles of a microengine.
    pub cycles: u32,
    /// Where the number comes from; begins with "assumed" where nobody measured it.
    pub source: String,
}

/// The table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// A word executed.
    pub word: Cost,
    /// A slot that passes empty.
    pub empty_slot: Cost,
    /// Waiting for a command to the packet.
    pub packet_command: Cost,
    /// Waiting for a command to a map value.
    pub value_command: Cost,
    /// A word moved by a command.
    pub transfer_word: Cost,
    /// A call of a helper of the firmware.
    pub helper_call: Cost,
}

impl Costs {
    /// The shipped table.
    pub fn shipped() -> Costs {
        match Costs::parse(SHIPPED) {
            Ok(costs) => costs,
            Err(error) => unreachable!("a test reads the shipped table: {error}"),
        }
    }

    /// Reads a table.
    ///
    /// # Errors
    /// The text is no such table, with line and column.
    pub fn parse(text: &str) -> Result<Costs, Box<toml::de::Error>> {
        toml::from_str(text).map_err(Box::new)
    }

    /// An estimate of the cycles that a run takes if nothing else runs on the microengine.
    pub fn cycles(&self, figures: &Figures) -> u64 {
        [
            (figures.words, &self.word),
            (figures.empty_slots, &self.empty_slot),
            (figures.packet_commands, &self.packet_command),
            (figures.value_commands, &self.value_command),
            (
                figures.words_read + figures.words_written,
                &self.transfer_word,
            ),
            (figures.helper_calls, &self.helper_call),
        ]
        .into_iter()
        .map(|(count, cost)| count.saturating_mul(cost.cycles.into()))
        .fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_the_shipped_table_has_a_source() {
        let costs = Costs::shipped();
        for cost in [
            &costs.word,
            &costs.empty_slot,
            &costs.packet_command,
            &costs.value_command,
            &costs.transfer_word,
            &costs.helper_call,
        ] {
            assert!(cost.source.len() > 10, "{cost:?}");
        }
    }

    #[test]
    fn a_run_costs_the_sum_of_what_it_does() {
        let figures = Figures {
            words: 10,
            empty_slots: 2,
            packet_commands: 1,
            words_read: 4,
            ..Figures::default()
        };
        assert_eq!(Costs::shipped().cycles(&figures), 10 + 2 + 50 + 4);
    }
}
