//! What the driver knows of each instruction when it translates: from the paths that the verifier walks.

use std::collections::HashMap;

use offload_compiler::isa::{Callee, Instruction, Operand, Reg};
use offload_compiler::verify::{
    Finding, Input, Known, Moment, Place, Verdict, Watch, verify_watched,
};

use crate::accept::stack;
use crate::profile::Profile;

/// Ranges of an instruction, united over the paths; and what it last pointed to (`struct nfp_insn_meta`).
#[derive(Debug, Clone, Default)]
pub(super) struct Fact {
    /// Source operand of an arithmetic instruction.
    pub(super) source: Option<(u64, u64)>,
    /// Highest destination operand.
    pub(super) destination: u64,
    /// What a load, store or atomic last accessed.
    pub(super) place: Option<Place>,
    /// And how far from the place's start, where that is constant.
    pub(super) offset: Option<i64>,
    /// The known part of that distance.
    pub(super) fixed: i32,
    /// What tells packet addresses apart.
    pub(super) identity: Option<u32>,
    /// It was seen to access a caller's stack.
    pub(super) callers_stack: bool,
    /// A store's value was seen to be an address.
    pub(super) stores_pointer: bool,
    /// An atomic's operand may have more than 16 bits.
    pub(super) over_16_bits: bool,
}

/// All of a program.
pub(super) struct Facts {
    pub(super) at: HashMap<usize, Fact>,
    pub(super) verdict: Verdict,
    /// The one `bpf_xdp_adjust_head` that is translated without checks.
    pub(super) sure_adjust: Option<usize>,
    /// Bytes of the frame of the function that each slot is in, as the driver counts them.
    pub(super) frames: Vec<u32>,
}

impl Facts {
    pub(super) fn find(input: &Input<'_>, profile: &Profile) -> Facts {
        let mut watch = Collect {
            profile,
            at: HashMap::new(),
            adjust: Adjust::None,
        };
        let verdict = verify_watched(input, &mut watch);
        let frames = (0..input.code.len())
            .map(|slot| {
                input.function_of(slot).map_or(0, |function| {
                    stack::frame(input, function, &verdict.stack).next_multiple_of(4)
                })
            })
            .collect();
        Facts {
            at: watch.at,
            frames,
            sure_adjust: match watch.adjust {
                Adjust::Once { slot, .. } => Some(slot),
                Adjust::None | Adjust::Checked => None,
            },
            verdict,
        }
    }

    pub(super) fn reached(&self, slot: usize) -> bool {
        self.verdict.reached.get(slot).copied().unwrap_or(false)
    }

    /// Where a branch always goes that goes one way on all paths: the kernel removes such a branch before the driver
    /// translates (`opt_hard_wire_dead_code_branches`).
    pub(super) fn decided(&self, slot: usize, offset: i16) -> Option<usize> {
        let (next, taken) = (slot + 1, (slot + 1).wrapping_add_signed(offset.into()));
        match (self.reached(next), self.reached(taken)) {
            (true, true) => None,
            (false, _) => Some(taken),
            (true, false) => Some(next),
        }
    }
}

/// `adjust_head_location`
#[derive(Clone, Copy)]
enum Adjust {
    None,
    Once { slot: usize, by: i32 },
    Checked,
}

struct Collect<'a> {
    profile: &'a Profile,
    at: HashMap<usize, Fact>,
    adjust: Adjust,
}

const ADJUST_HEAD: i32 = 44;
/// `ETH_ZLEN - ETH_HLEN`
const SHORTEST_BODY: i32 = 46;

impl Watch for Collect<'_> {
    fn before(&mut self, moment: &Moment<'_>) -> Result<(), Box<Finding>> {
        match *moment.instruction {
            Instruction::Call(Callee::Helper(ADJUST_HEAD)) => self.adjust_head(moment),
            Instruction::Alu { .. }
            | Instruction::MoveSigned { .. }
            | Instruction::Negate { .. }
            | Instruction::Swap { .. } => {
                let raw = moment.instruction.encode().0;
                let range = |number| {
                    Reg::new(number).map_or((0, u64::MAX), |reg| moment.register(reg).range().u64)
                };
                let (source, destination) = (range(raw.src), range(raw.dst));
                let fact = self.at.entry(moment.slot).or_default();
                fact.source = Some(fact.source.map_or(source, |(least, most)| {
                    (least.min(source.0), most.max(source.1))
                }));
                fact.destination = fact.destination.max(destination.1);
            }
            Instruction::Load { base, .. } => self.access(moment, base),
            Instruction::Store {
                base,
                src: Operand::Reg(src),
                ..
            } => {
                self.access(moment, base);
                let address = matches!(moment.register(src), Known::Address { .. });
                let fact = self.at.entry(moment.slot).or_default();
                fact.stores_pointer |= address;
            }
            Instruction::Atomic { base, src, .. } => {
                self.access(moment, base);
                let bits = moment.register(src).range().bits;
                let fact = self.at.entry(moment.slot).or_default();
                fact.over_16_bits |= bits.value > 0xffff || bits.mask > 0xffff;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Collect<'_> {
    fn access(&mut self, moment: &Moment<'_>, base: Reg) {
        let known = moment.register(base);
        let Known::Address { place, offset, .. } = known else {
            return;
        };
        let fact = self.at.entry(moment.slot).or_default();
        fact.place = Some(place);
        fact.offset = known.constant_offset();
        fact.fixed = offset;
        fact.identity = moment.packet_identity(base);
        fact.callers_stack |= matches!(place, Place::Stack(depth) if depth != moment.depth());
    }

    /// `nfp_record_adjust_head`
    fn adjust_head(&mut self, moment: &Moment<'_>) {
        let by = match moment.register(Reg::R2) {
            Known::Number(range) => range.as_constant().map(|by| by as i32),
            _ => None,
        };
        let limits = &self.profile.adjust_head;
        let sure = by.filter(|&by| {
            by <= SHORTEST_BODY
                && i64::from(by) <= i64::from(limits.sure_back)
                && i64::from(by) >= -i64::from(limits.sure_front)
        });
        let slot = moment.slot;
        self.adjust = match (self.adjust, sure) {
            (Adjust::None, Some(by)) => Adjust::Once { slot, by },
            (
                Adjust::Once {
                    slot: before,
                    by: was,
                },
                Some(by),
            ) if before == slot && was == by => self.adjust,
            _ => Adjust::Checked,
        };
    }
}
