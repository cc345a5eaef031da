//! What the kernel's NFP driver accepts (Linux 6.12): decided as the driver decides, without a card.
//!
//! Three stages, in the kernel's order: maps are created (`map`), the program is verified with the driver asked
//! before each instruction of each path (`instruction`), and what was verified is translated (`translate`).
//! Held against the decisions of the real driver in `tests/accept.rs`.
//!
//! Not decided here, because it takes the driver's own translation: whether a program grows beyond the code store.
//! XDP programs only.

mod instruction;
mod map;
mod reason;
mod stack;
mod translate;

use offload_compiler::verify::{Input, Rules, Verdict, verify_watched};

pub use reason::Reason;

use crate::profile::Profile;

/// One reason why the driver does not take the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it is about.
    pub subject: Subject,
    /// Why.
    pub reason: Reason,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A map, by its index in the input.
    Map(u32),
    /// An instruction, by its slot.
    Instruction(usize),
    /// The program as a whole.
    Program,
}

/// The result.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// Why the driver refuses the program, in the order in which it would say so: it stops at the first. Empty if it
    /// accepts.
    pub refusals: Vec<Refusal>,
    /// What the verifier says with the rules for offloaded programs. Its error, too, keeps the program from being
    /// loaded, if it comes before the first refusal.
    pub verdict: Verdict,
    /// The highest offset of a packet byte that an access may reach; 0 also for none.
    pub packet_reach: u64,
}

impl Judgement {
    /// Whether the program loads.
    pub fn is_accepted(&self) -> bool {
        self.refusals.is_empty() && self.verdict.is_accepted()
    }

    /// Whether the loaded program can be attached to an interface with this MTU. The driver refuses (EOPNOTSUPP) what
    /// may look beyond the part of a packet that the card keeps near.
    pub fn attaches(&self, profile: &Profile, mtu: u32) -> bool {
        self.packet_reach.min(u64::from(mtu)) <= u64::from(profile.packet_bytes)
    }
}

/// Judges a program as the driver would for a card of this profile. `input.rules` is used with `offloaded` set.
pub fn judge(input: &Input<'_>, profile: &Profile) -> Judgement {
    let input = Input {
        rules: Rules {
            offloaded: true,
            ..input.rules
        },
        ..input.clone()
    };
    let mut refusals = map::refusals(input.maps, profile);
    let mut driver = instruction::Driver::new(&input, profile);
    let verdict = verify_watched(&input, &mut driver);
    refusals.append(&mut driver.refusals);
    if verdict.is_accepted() {
        let frames = stack::frames(&input, &verdict);
        refusals.extend(stack::refusal(&input, &verdict, &frames, profile));
        refusals.extend(translate::refusals(&input, &driver.seen, &frames));
    }
    Judgement {
        refusals,
        verdict,
        packet_reach: driver.packet_reach,
    }
}
