//! The driver's look at each instruction of each path (`nfp_verify_insn`), and what it remembers for the translation.

use std::collections::{HashMap, HashSet};

use offload_compiler::isa::{AluOp, Instruction, Operand, Reg, Width, functions};
use offload_compiler::verify::{Finding, Input, Known, Moment, Place, Watch};

use super::map::PERF_EVENT_ARRAY;
use super::translate::supported;
use super::{Overrun, PointerKind, Reason, Refusal, Subject};
use crate::profile::Profile;

const MAP_LOOKUP: i32 = 1;
const MAP_UPDATE: i32 = 2;
const MAP_DELETE: i32 = 3;
const PRANDOM: i32 = 7;
const EVENT_OUTPUT: i32 = 25;
const ADJUST_HEAD: i32 = 44;
const ADJUST_TAIL: i32 = 65;
/// `BPF_F_INDEX_MASK`, and `BPF_F_CURRENT_CPU`, which is the same.
const CURRENT_CPU: u64 = 0xffff_ffff;
const U32_MAX: u64 = u32::MAX as u64;
/// Offset of `rx_queue_index` in `struct xdp_md`.
const RX_QUEUE_INDEX: i16 = 16;

/// What the driver knows of an instruction (`struct nfp_insn_meta`).
#[derive(Debug, Clone, Default)]
pub(super) struct Meta {
    /// What a load or store was last seen to access.
    pub pointer: Option<Known>,
    /// It was seen at different places of the stack.
    pub moved: bool,
    /// It was seen to access the stack of a caller.
    pub callers_stack: bool,
    /// Lowest and highest source operand of an arithmetic instruction.
    pub source: Option<(u64, u64)>,
    /// Highest destination operand.
    highest_destination: u64,
    /// What an event's data were last seen in.
    event: Option<PointerKind>,
}

/// How a word of a map's values is used (`enum nfp_bpf_map_use`).
#[derive(Debug, Clone, Copy, Default)]
struct WordUse {
    used: Option<&'static str>,
    set_non_zero: bool,
}

const READ: &str = "read";
const ATOMIC: &str = "atomic";

/// The driver beside the verifier.
pub(super) struct Driver<'a> {
    input: &'a Input<'a>,
    profile: &'a Profile,
    /// What it knows of the instructions that were walked, by slot.
    pub seen: HashMap<usize, Meta>,
    /// What it refuses, in its order.
    pub refusals: Vec<Refusal>,
    /// The last packet byte that may be reached, counted from 0 (`max_pkt_offset`).
    pub packet_reach: u64,
    /// The instruction that reaches it.
    pub farthest: Option<usize>,
    words: HashMap<u32, Vec<WordUse>>,
    refused: HashSet<usize>,
}

type Outcome = Result<(), Reason>;

impl Watch for Driver<'_> {
    /// Never ends the walk: all refusals are of use, the driver's own is the first. One an instruction is enough.
    fn before(&mut self, moment: &Moment<'_>) -> Result<(), Box<Finding>> {
        if let Err(reason) = self.look(moment)
            && self.refused.insert(moment.slot)
        {
            self.refusals.push(Refusal {
                subject: Subject::Instruction(moment.slot),
                known: registers_of_interest(&reason, moment.instruction)
                    .into_iter()
                    .map(|reg| moment.describe(reg))
                    .collect(),
                reason,
                path: moment.path(),
            });
        }
        Ok(())
    }
}

/// Whose values explain a reason.
fn registers_of_interest(reason: &Reason, instruction: &Instruction) -> Vec<Reg> {
    match (reason, *instruction) {
        (Reason::Multiplier { .. } | Reason::Dividend { .. }, Instruction::Alu { dst, .. }) => {
            vec![dst]
        }
        (
            Reason::Multiplicand { .. } | Reason::DivisorVariable { .. } | Reason::DivisorLarge,
            Instruction::Alu {
                src: Operand::Reg(src),
                ..
            },
        ) => vec![src],
        (
            Reason::MapOffsetVariable
            | Reason::StackVariable
            | Reason::Pointer { .. }
            | Reason::MapWrite { .. }
            | Reason::AtomicPlace { .. },
            Instruction::Load { base, .. }
            | Instruction::Store { base, .. }
            | Instruction::Atomic { base, .. },
        ) => vec![base],
        (
            Reason::ArgumentKind { .. }
            | Reason::ArgumentVariable { .. }
            | Reason::ArgumentAlignment { .. },
            Instruction::Call(_),
        ) => vec![Reg::R2],
        _ => Vec::new(),
    }
}

impl<'a> Driver<'a> {
    pub(super) fn new(input: &'a Input<'a>, profile: &'a Profile) -> Self {
        Self {
            input,
            profile,
            seen: HashMap::new(),
            refusals: Vec::new(),
            packet_reach: 0,
            farthest: None,
            words: HashMap::new(),
            refused: HashSet::new(),
        }
    }

    fn look(&mut self, moment: &Moment<'_>) -> Outcome {
        let raw = moment.instruction.encode().0;
        if !supported(raw.code) {
            return Err(Reason::Opcode { code: raw.code });
        }
        match *moment.instruction {
            Instruction::Call(offload_compiler::isa::Callee::Local(_)) => Ok(()),
            Instruction::Call(_) => self.call(moment, raw.imm),
            Instruction::Load { base, off, .. } => {
                self.access(moment, base, off, moment.instruction)?;
                self.note_reach(moment, base, off);
                Ok(())
            }
            Instruction::Store {
                base,
                off,
                src: Operand::Reg(_),
                ..
            } => {
                self.store(moment, base, off)?;
                self.note_reach(moment, base, off);
                Ok(())
            }
            Instruction::Atomic { .. }
            | Instruction::Exchange { .. }
            | Instruction::CompareExchange { .. }
            | Instruction::LoadAcquire { .. }
            | Instruction::StoreRelease { .. } => self.atomic(moment, raw.imm),
            Instruction::Alu { .. }
            | Instruction::MoveSigned { .. }
            | Instruction::Negate { .. }
            | Instruction::Swap { .. } => self.arithmetic(moment),
            // Stores of constants among them: the driver does not look at them, and cannot translate them.
            _ => Ok(()),
        }
    }

    fn meta(&mut self, moment: &Moment<'_>) -> &mut Meta {
        self.seen.entry(moment.slot).or_default()
    }

    fn note_reach(&mut self, moment: &Moment<'_>, base: Reg, off: i16) {
        let size = match *moment.instruction {
            Instruction::Load { size, .. } | Instruction::Store { size, .. } => size.bytes(),
            _ => return,
        };
        if let Known::Address {
            place: Place::Packet,
            offset,
            variable,
            ..
        } = moment.register(base)
        {
            let fixed = i64::from(offset) + i64::from(off) + i64::from(size) - 1;
            let reach = variable.u64.1.saturating_add_signed(fixed);
            if reach > self.packet_reach && u16::try_from(reach).is_ok() {
                self.packet_reach = reach;
                self.farthest = Some(moment.slot);
            }
        }
    }

    /// `nfp_bpf_check_ptr`
    fn access(
        &mut self,
        moment: &Moment<'_>,
        base: Reg,
        off: i16,
        instruction: &Instruction,
    ) -> Outcome {
        let known = moment.register(base);
        let kind = PointerKind::of(&known);
        if ![
            PointerKind::CONTEXT,
            PointerKind::STACK,
            PointerKind::MAP_VALUE,
            PointerKind::PACKET,
        ]
        .contains(&kind)
        {
            return Err(Reason::Pointer { kind });
        }
        if let Known::Address {
            place: Place::Stack(depth),
            ..
        } = known
        {
            self.stack_access(moment, &known, depth)?;
        }
        if let Known::Address {
            place: Place::MapValue(map),
            ..
        } = known
        {
            match instruction {
                Instruction::Load { size, .. } => {
                    self.use_words(map, &known, off, size.bytes(), READ)?;
                }
                Instruction::Store { .. } => return Err(Reason::MapWrite { map: Some(map) }),
                Instruction::Atomic { size, .. } => {
                    self.use_words(map, &known, off, size.bytes(), ATOMIC)?;
                }
                _ => {}
            }
        }
        let meta = self.meta(moment);
        if let Some(was) = meta.pointer.as_ref().map(PointerKind::of)
            && was != kind
        {
            return Err(Reason::PointerChanged { was, is: kind });
        }
        meta.pointer = Some(known);
        Ok(())
    }

    /// `nfp_bpf_check_stack_access`
    fn stack_access(&mut self, moment: &Moment<'_>, known: &Known, depth: u8) -> Outcome {
        let here = moment.depth();
        let meta = self.meta(moment);
        if depth != here {
            meta.callers_stack = true;
        }
        let Some(is) = known.constant_offset() else {
            return Err(Reason::StackVariable);
        };
        let Some(was) = meta.pointer.as_ref().and_then(Known::constant_offset) else {
            return Ok(());
        };
        let (was, is) = (was as i32, is as i32);
        meta.moved |= was != is;
        // As in C, the remainder has the sign of the offset.
        if meta.moved && was % 4 != is % 4 {
            return Err(Reason::StackMoved { was, is });
        }
        Ok(())
    }

    /// `nfp_bpf_map_mark_used`
    fn use_words(
        &mut self,
        map: u32,
        known: &Known,
        off: i16,
        size: u32,
        how: &'static str,
    ) -> Outcome {
        let Some(place) = known.constant_offset() else {
            return Err(Reason::MapOffsetVariable);
        };
        // As in C: unsigned numbers, whose sum may overflow.
        let first = (place + i64::from(off)) as u32;
        let value_size = self
            .input
            .maps
            .get(map as usize)
            .map_or(0, |shape| shape.value_size);
        if first.wrapping_add(size) > value_size {
            return Err(Reason::MapBounds);
        }
        if first > value_size {
            return Err(Reason::DriverOverrun(Overrun::MapValue));
        }
        let words = self.words_of(map);
        let mut offset = first;
        while offset < first.saturating_add(size) {
            let Some(word) = words.get_mut(offset as usize / 4) else {
                return Ok(());
            };
            if let Some(was) = word.used.filter(|&used| used != how) {
                return Err(Reason::UseConflict {
                    was,
                    is: how,
                    offset,
                });
            }
            if word.set_non_zero && how == ATOMIC {
                return Err(Reason::CounterMaybeNonZero { offset });
            }
            word.used = Some(how);
            offset += 4 - offset % 4;
        }
        Ok(())
    }

    fn words_of(&mut self, map: u32) -> &mut Vec<WordUse> {
        /// Cards take values of a few hundred bytes; larger ones were refused before.
        const MOST: u32 = 1 << 20;
        let bytes = self
            .input
            .maps
            .get(map as usize)
            .map_or(0, |shape| shape.value_size.min(MOST));
        self.words
            .entry(map)
            .or_insert_with(|| vec![WordUse::default(); bytes.div_ceil(4) as usize])
    }

    /// `nfp_bpf_check_store`
    fn store(&mut self, moment: &Moment<'_>, base: Reg, off: i16) -> Outcome {
        if PointerKind::of(&moment.register(base)) == PointerKind::CONTEXT {
            if off != RX_QUEUE_INDEX {
                return Err(Reason::ContextStore);
            }
            if !self.profile.queue_select {
                return Err(Reason::QueueSelect);
            }
        }
        self.access(moment, base, off, moment.instruction)
    }

    /// `nfp_bpf_check_atomic`
    fn atomic(&mut self, moment: &Moment<'_>, imm: i32) -> Outcome {
        let Instruction::Atomic {
            base,
            off,
            src,
            fetch: false,
            op: offload_compiler::isa::AtomicOp::Add,
            ..
        } = *moment.instruction
        else {
            return Err(Reason::Atomic { imm });
        };
        let kind = PointerKind::of(&moment.register(base));
        if kind != PointerKind::MAP_VALUE {
            return Err(Reason::AtomicPlace { kind });
        }
        let operand = PointerKind::of(&moment.register(src));
        if operand != PointerKind::SCALAR {
            return Err(Reason::AtomicOperand { kind: operand });
        }
        self.access(moment, base, off, moment.instruction)
    }

    /// `nfp_bpf_check_alu`
    fn arithmetic(&mut self, moment: &Moment<'_>) -> Outcome {
        let raw = moment.instruction.encode().0;
        let range = |number| Reg::new(number).map(|reg| moment.register(reg).range().u64);
        // With a constant operand the source field is 0, and so the driver looks at r0.
        let source = range(raw.src).unwrap_or((0, u64::MAX));
        let destination = range(raw.dst).unwrap_or((0, u64::MAX));
        let meta = self.meta(moment);
        let (least, most) = meta.source.map_or(source, |(least, most)| {
            (least.min(source.0), most.max(source.1))
        });
        meta.source = Some((least, most));
        meta.highest_destination = meta.highest_destination.max(destination.1);
        let highest = meta.highest_destination;
        let Instruction::Alu { op, width, src, .. } = *moment.instruction else {
            return Ok(());
        };
        match (op, src) {
            (AluOp::Mul, _) => {
                if highest > U32_MAX {
                    return Err(Reason::Multiplier { most: highest });
                }
                match src {
                    Operand::Reg(_) if most > U32_MAX => Err(Reason::Multiplicand { most }),
                    Operand::Imm(imm) if width == Width::W64 && imm < 0 => {
                        Err(Reason::MultiplicandNegative)
                    }
                    _ => Ok(()),
                }
            }
            // Signed division has the same opcode, and the driver looks at nothing else.
            (AluOp::Div | AluOp::SDiv, _) => {
                if highest > U32_MAX {
                    return Err(Reason::Dividend { most: highest });
                }
                match src {
                    Operand::Reg(_) if least != most => {
                        Err(Reason::DivisorVariable { least, most })
                    }
                    Operand::Reg(_) if most > U32_MAX => Err(Reason::DivisorLarge),
                    Operand::Imm(imm) if imm < 0 => Err(Reason::DivisorNegative),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// `nfp_bpf_check_helper_call`
    fn call(&mut self, moment: &Moment<'_>, id: i32) -> Outcome {
        let helpers = &self.profile.helpers;
        let address = match id {
            MAP_LOOKUP => helpers.map_lookup,
            MAP_UPDATE => helpers.map_update,
            MAP_DELETE => helpers.map_delete,
            EVENT_OUTPUT => helpers.perf_event_output,
            PRANDOM => u16::from(self.profile.random),
            ADJUST_HEAD => u16::from(self.profile.adjust_head.supported),
            ADJUST_TAIL => u16::from(self.profile.adjust_tail),
            _ => {
                return Err(Reason::Helper {
                    id,
                    name: functions::name(id).unwrap_or("such function"),
                });
            }
        };
        if address == 0 {
            return Err(Reason::HelperMissing { id });
        }
        match id {
            MAP_LOOKUP => on_stack("map_lookup", &moment.register(Reg::R2)),
            MAP_DELETE => on_stack("map_delete", &moment.register(Reg::R2)),
            MAP_UPDATE => {
                on_stack("map_update", &moment.register(Reg::R2))?;
                on_stack("map_update", &moment.register(Reg::R3))?;
                self.update_value(moment)
            }
            ADJUST_HEAD if !self.profile.adjust_head.no_metadata => Err(Reason::AdjustHeadMetadata),
            EVENT_OUTPUT => self.event(moment),
            _ => Ok(()),
        }
    }

    /// `nfp_bpf_map_update_value_ok`
    fn update_value(&mut self, moment: &Moment<'_>) -> Outcome {
        let Known::Address {
            place: Place::Map(map),
            ..
        } = moment.register(Reg::R1)
        else {
            return Ok(());
        };
        let value = moment.register(Reg::R3);
        let (
            Known::Address {
                place: Place::Stack(depth),
                ..
            },
            Some(start),
        ) = (value, value.constant_offset())
        else {
            return Ok(());
        };
        let shape = self.input.maps.get(map as usize);
        if shape.is_some_and(|shape| shape.kind == PERF_EVENT_ARRAY) {
            return Err(Reason::DriverOverrun(Overrun::HostMap));
        }
        let size = shape.map_or(0, |shape| shape.value_size);
        let words = self.words_of(map);
        for byte in 0..size {
            let place = start + i64::from(byte);
            let offset = i32::try_from(place)
                .ok()
                .filter(|&offset| offset < 0 && offset >= -moment.stack_bytes(depth))
                .ok_or(Reason::DriverOverrun(Overrun::UpdateValue))?;
            if moment.is_zero_byte(depth, offset) {
                continue;
            }
            let Some(word) = words.get_mut(byte as usize / 4) else {
                return Ok(());
            };
            if word.used == Some(ATOMIC) {
                return Err(Reason::CounterSetNonZero {
                    byte,
                    stack: (-place - 1).max(0) as u32,
                });
            }
            word.set_non_zero = true;
        }
        Ok(())
    }

    fn event(&mut self, moment: &Moment<'_>) -> Outcome {
        let bits = moment.register(Reg::R3).range().bits;
        if bits.mask & CURRENT_CPU != 0 || bits.value & CURRENT_CPU != CURRENT_CPU {
            let flags = if bits.mask == 0 {
                format!("{:x}", bits.value)
            } else {
                format!("({:#x}; {:#x})", bits.value, bits.mask)
            };
            return Err(Reason::EventCpu { flags });
        }
        let data = moment.register(Reg::R4);
        let kind = PointerKind::of(&data);
        if ![
            PointerKind::SCALAR,
            PointerKind::STACK,
            PointerKind::MAP_VALUE,
            PointerKind::PACKET,
        ]
        .contains(&kind)
        {
            return Err(Reason::EventPointer { kind });
        }
        if kind == PointerKind::STACK {
            on_stack("event_output", &data)?;
        }
        let meta = self.meta(moment);
        if let Some(was) = meta.event.filter(|&was| was != kind) {
            return Err(Reason::EventPointerChanged { was, is: kind });
        }
        meta.event = Some(kind);
        Ok(())
    }
}

/// `nfp_bpf_stack_arg_ok`
fn on_stack(helper: &'static str, argument: &Known) -> Outcome {
    let kind = PointerKind::of(argument);
    if kind != PointerKind::STACK {
        return Err(Reason::ArgumentKind { helper, kind });
    }
    let Some(offset) = argument.constant_offset() else {
        return Err(Reason::ArgumentVariable { helper });
    };
    if offset % 4 != 0 {
        return Err(Reason::ArgumentAlignment {
            helper,
            distance: -offset,
        });
    }
    Ok(())
}
