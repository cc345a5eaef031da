//! A card as a target of `offload-compiler`.

use offload_compiler::lower::{Doubt, Forms};
use offload_compiler::target::{Availability, Feature, Limits, Need, Program, Target};
use offload_compiler::verify::{Finding, Input, Rules, Verdict};

use crate::accept::judge;
use crate::driver_model::{self, detect};
use crate::profile::{MapType, Profile};

/// An interface's usual MTU, in bytes.
const USUAL_MTU: u32 = 1500;
/// What says so.
const SOURCE: &str = "drivers/net/ethernet/netronome/nfp/bpf of Linux 6.12";

/// A card, or rather its firmware, as a target.
#[derive(Debug, Clone)]
pub struct Nfp {
    /// What it offers.
    pub profile: Profile,
    /// The interface's MTU in bytes: what a program may reach of a packet is bounded by it.
    pub mtu: u32,
}

impl Nfp {
    /// A card with an interface of the usual MTU.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            mtu: USUAL_MTU,
        }
    }

    /// What the driver would run wrongly in a program that it accepts: warnings.
    pub fn wrong_code(&self, input: &Input<'_>) -> Vec<Finding> {
        let rules = Rules {
            offloaded: true,
            ..input.rules
        };
        let input = Input {
            rules,
            ..input.clone()
        };
        detect(&input, &self.profile)
            .into_iter()
            .map(|(slot, rule)| rule.finding(slot))
            .collect()
    }

    fn helper(&self, id: i32) -> bool {
        let helpers = &self.profile.helpers;
        match id {
            1 => helpers.map_lookup != 0,
            2 => helpers.map_update != 0,
            3 => helpers.map_delete != 0,
            7 => self.profile.random,
            25 => helpers.perf_event_output != 0,
            44 => self.profile.adjust_head.supported && self.profile.adjust_head.no_metadata,
            65 => self.profile.adjust_tail,
            _ => false,
        }
    }

    fn map(&self, kind: u32) -> bool {
        match kind {
            1 => self.profile.maps.types.contains(&MapType::Hash),
            2 => self.profile.maps.types.contains(&MapType::Array),
            // Stays on the host.
            4 => self.profile.helpers.perf_event_output != 0,
            _ => false,
        }
    }
}

impl Target for Nfp {
    fn name(&self) -> String {
        format!("nfp ({})", self.profile.name)
    }

    fn has(&self, need: Need) -> Availability {
        let has = match need {
            Need::Helper(id) => self.helper(id),
            Need::Map { kind, .. } => self.map(kind),
            Need::MapFlag { .. } => false,
            Need::Feature(feature) => matches!(
                feature,
                Feature::Xdp
                    | Feature::LessThanJumps
                    | Feature::Jumps32
                    | Feature::Subprograms
                    | Feature::LargePrograms
                    | Feature::BoundedLoops
                    | Feature::GlobalFunctions
            ),
        };
        if has {
            Availability::Yes
        } else {
            Availability::No {
                why: format!("{} has none", self.name()),
                source: SOURCE.to_owned(),
            }
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            // Every instruction but a few that are dropped takes a word.
            instructions: self.profile.code_words,
            complexity: 1_000_000,
            stack: self.profile.stack_bytes.min(512),
        }
    }

    fn forms(&self) -> Forms {
        Forms {
            offloaded: true,
            store_immediate: false,
            version_4: false,
            to_little: false,
            remainder: false,
            wide_arithmetic: false,
            atomics: false,
            map_flags: false,
            negative_offsets: false,
            helper: |id| matches!(id, 1 | 2 | 3 | 7 | 25 | 44 | 65),
            any_argument: false,
            mixed_pointers: false,
            variable_stack: false,
            callers_stack: false,
            value_addresses: false,
            value_stores: false,
            stack: self.limits().stack,
            frame_alignment: 64,
        }
    }

    fn doubts(&self, program: &Program<'_>) -> Vec<(usize, Doubt)> {
        driver_model::doubts(program.input, &self.profile)
    }

    /// As the driver decides; it stops at the first finding.
    fn check(&self, program: &Program<'_>) -> Verdict {
        let judgement = judge(program.input, &self.profile);
        let findings = judgement.findings(program.input, &self.profile, self.mtu);
        Verdict {
            findings,
            ..judgement.verdict
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_says_what_the_card_has() {
        let card = |name: &str| Nfp::new(Profile::shipped(name).unwrap());
        let has = |card: &Nfp, need| card.has(need) == Availability::Yes;
        let lookup = Need::Helper(1);
        let update = Need::Helper(2);
        assert!(has(&card("full"), update) && !has(&card("minimal"), update));
        assert!(has(&card("minimal"), lookup) && !has(&card("nomaps"), lookup));
        let adjust_head = Need::Helper(44);
        assert!(has(&card("full"), adjust_head) && !has(&card("ahmeta"), adjust_head));
        let per_cpu = Need::Map { kind: 6, map: 0 };
        assert!(!has(&card("full"), per_cpu));
        assert!(!has(&card("full"), Need::Feature(Feature::SignedDivision)));
        assert_eq!(card("full").name(), "nfp (full)");
    }
}
