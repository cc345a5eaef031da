//! What the kernel's NFP driver accepts, decided as the driver decides it, without a card (Linux 6.12,
//! drivers/net/ethernet/netronome/nfp/bpf).
//!
//! ```text
//! map ---> instruction ---> stack ---> translate ---> attach
//! (map_alloc) (insn_hook)   (finalize)
//! ```
//!
//! Maps are created, the program is verified with the driver asked before each instruction of each path, the frames
//! are added up, what was verified is translated. The driver stops at the first [`Refusal`]; here the others follow,
//! as far as they do not depend on it. Held against the decisions of the real driver in `tests/accept.rs`. XDP only.

mod instruction;
mod map;
mod reason;
mod size;
pub(crate) mod stack;
mod translate;

use std::collections::HashSet;

use offload_compiler::isa::{Callee, Instruction};
use offload_compiler::verify::{Code, Finding, Input, Rules, Severity, Verdict, verify_watched};

pub use reason::{Overrun, PointerKind, Reason, Stage, Untranslatable};

use crate::profile::Profile;

/// One reason why the driver does not take the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it is about.
    pub subject: Subject,
    /// Why.
    pub reason: Reason,
    /// What was known of the registers that matter, a line each.
    pub known: Vec<String>,
    /// The branches that lead there: slot, and whether it was taken.
    pub path: Vec<(usize, bool)>,
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

impl Refusal {
    fn new(subject: Subject, reason: Reason) -> Self {
        Self {
            subject,
            reason,
            known: Vec::new(),
            path: Vec::new(),
        }
    }

    /// The refusal as a finding, with the driver's text among what was known. A map's is at its first use.
    pub fn finding(&self, input: &Input<'_>) -> Finding {
        let slot = match self.subject {
            Subject::Instruction(slot) => slot,
            Subject::Program => 0,
            Subject::Map(map) => input
                .map_at
                .iter()
                .filter(|(_, reference)| reference.map == map)
                .map(|(&slot, _)| slot)
                .min()
                .unwrap_or(0),
        };
        let mut finding = self.reason.finding(slot);
        finding.known.splice(0..0, self.known.iter().cloned());
        finding.path.clone_from(&self.path);
        finding
    }
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
    /// The instruction that reaches it.
    pub farthest: Option<usize>,
    /// The fewest words that the driver's translation can have, with the 23 that every program has; 0 if there is none.
    pub least_words: usize,
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

    /// Verifier's and driver's findings together, the attachment's among them: what a person is told.
    pub fn findings(&self, input: &Input<'_>, profile: &Profile, mtu: u32) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .refusals
            .iter()
            .map(|refusal| refusal.finding(input))
            .collect();
        if self.is_accepted() && !self.attaches(profile, mtu) {
            let reason = Reason::PacketReach {
                reach: self.packet_reach,
                available: profile.packet_bytes,
            };
            let subject = self.farthest.map_or(Subject::Program, Subject::Instruction);
            findings.push(Refusal::new(subject, reason).finding(input));
        }
        findings.extend(self.verdict.findings.iter().cloned());
        // Errors first; the order among them is the driver's.
        findings.sort_by_key(|finding| finding.severity == Severity::Warning);
        findings
    }
}

/// Functions that are named where a program is too large.
const NAMED: usize = 6;

/// The functions that contribute most to what is too large, by their starts.
fn largest(input: &Input<'_>, unit: &str, mut parts: Vec<(usize, u32)>) -> String {
    parts.sort_by_key(|&(_, part)| std::cmp::Reverse(part));
    let name = |start: usize| match input.function_at(start).map(|one| one.name.as_str()) {
        None | Some("") => format!("the function at {start}"),
        Some(name) => name.to_owned(),
    };
    let named = parts.iter().take(NAMED);
    let named: Vec<String> = named
        .map(|&(start, part)| format!("{} {part}", name(start)))
        .collect();
    format!("largest in {unit}: {}", named.join(", "))
}

/// Judges a program as the driver would for a card of this profile. `input.rules` is used with `offloaded` set.
pub fn judge(input: &Input<'_>, profile: &Profile) -> Judgement {
    let input = &Input {
        rules: Rules {
            offloaded: true,
            ..input.rules
        },
        ..input.clone()
    };
    let mut refusals = map::refusals(input, &profile.maps);
    let mut driver = instruction::Driver::new(input, profile);
    let mut verdict = verify_watched(input, &mut driver);
    refusals.append(&mut driver.refusals);
    let mut least_words = 0;
    // The driver counts the stack before the kernel does (`bpf_check`).
    let only_stack = verdict
        .error()
        .is_none_or(|error| error.code == Code::StackSize);
    if only_stack {
        let chain = stack::deepest(input, &verdict.stack);
        let needed = chain
            .iter()
            .fold(0u32, |sum, (_, own)| sum.saturating_add(*own));
        if needed > profile.stack_bytes {
            let reason = Reason::Stack {
                needed,
                available: profile.stack_bytes,
            };
            let mut refusal = Refusal::new(Subject::Program, reason);
            refusal.known.push(largest(input, "bytes of stack", chain));
            refusals.push(refusal);
            verdict
                .findings
                .retain(|finding| finding.code != Code::StackSize);
        }
    }
    if verdict.is_accepted() {
        let (words, untranslatable) = translate::translate(input, profile, &driver.seen, &verdict);
        least_words = words;
        // What was refused before is not translated.
        let refused: HashSet<Subject> = refusals.iter().map(|refusal| refusal.subject).collect();
        refusals.extend(
            untranslatable
                .into_iter()
                .filter(|refusal| !refused.contains(&refusal.subject)),
        );
    }
    Judgement {
        refusals,
        verdict,
        packet_reach: driver.packet_reach,
        farthest: driver.farthest,
        least_words,
    }
}

/// The first slot of the function that a call at `slot` leads to.
fn callee(slot: usize, instruction: &Instruction) -> Option<usize> {
    match instruction {
        Instruction::Call(Callee::Local(distance)) => {
            usize::try_from(slot as i64 + 1 + i64::from(*distance)).ok()
        }
        _ => None,
    }
}
