//! What the driver looks at before each instruction that the verifier walks.

use std::collections::{BTreeMap, HashMap, HashSet};

use offload_compiler::isa::{
    AluOp, AtomicOp, Callee, Imm64, Instruction, Operand, Reg, Size, Swap, Width,
};
use offload_compiler::verify::{Finding, Input, Known, Moment, Place, Watch};

use super::{Reason, Refusal, Subject};
use crate::profile::Profile;

/// Offset of `rx_queue_index` in `struct xdp_md`.
const RX_QUEUE_INDEX: i16 = 16;
/// Bytes of stack of one frame: no value on it is longer.
const MAX_FRAME: u32 = 512;

/// What was seen of an instruction on all paths so far.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) instruction: Instruction,
    /// Range of the source register as an unsigned number, over all paths.
    pub(super) source: (u64, u64),
    /// Kind of the address that a load or store went through last, and its offset where that is known.
    pointer: Option<(u32, Option<i64>)>,
    /// Offset in a caller's frame of the last access there.
    pub(super) caller_frame: Option<i64>,
    /// The map that a helper was called with.
    map: Option<u32>,
}

impl Seen {
    /// Kind of the address that a load or store goes through.
    pub(super) fn pointer_kind(&self) -> Option<u32> {
        self.pointer.map(|(kind, _)| kind)
    }
}

/// How a 32-bit word of a map's value is used.
#[derive(Debug, Clone, Copy, Default)]
struct WordUse {
    kind: Option<&'static str>,
    may_be_set: bool,
}

const READ: &str = "read";
const ATOMIC: &str = "atomic";

/// The driver, looking on.
pub(super) struct Driver<'a> {
    input: &'a Input<'a>,
    profile: &'a Profile,
    pub(super) seen: BTreeMap<usize, Seen>,
    pub(super) refusals: Vec<Refusal>,
    told: HashSet<(usize, Reason)>,
    words: HashMap<(u32, u32), WordUse>,
    pub(super) packet_reach: u64,
}

impl Watch for Driver<'_> {
    /// Never ends the walk: all refusals are of use, the driver's own is the first.
    fn before(&mut self, moment: &Moment<'_>) -> Result<(), Box<Finding>> {
        if let Err(reason) = self.look(moment)
            && self.told.insert((moment.slot, reason.clone()))
        {
            self.refusals.push(Refusal {
                subject: Subject::Instruction(moment.slot),
                reason,
            });
        }
        Ok(())
    }
}

impl<'a> Driver<'a> {
    pub(super) fn new(input: &'a Input<'a>, profile: &'a Profile) -> Driver<'a> {
        Driver {
            input,
            profile,
            seen: BTreeMap::new(),
            refusals: Vec::new(),
            told: HashSet::new(),
            words: HashMap::new(),
            packet_reach: 0,
        }
    }

    fn look(&mut self, moment: &Moment<'_>) -> Result<(), Reason> {
        let instruction = *moment.instruction;
        self.seen.entry(moment.slot).or_insert(Seen {
            instruction,
            source: (u64::MAX, 0),
            pointer: None,
            caller_frame: None,
            map: None,
        });
        supported(&instruction)?;
        match instruction {
            Instruction::Call(Callee::Helper(id)) => self.helper(moment, id),
            Instruction::Load {
                size, base, off, ..
            } => self.access(moment, base, off, size.bytes(), Some(READ)),
            Instruction::Store {
                src: Operand::Reg(_),
                base,
                off,
                size,
            } => self.store(moment, base, off, size),
            Instruction::Atomic {
                op,
                size,
                base,
                off,
                src,
                fetch,
            } => {
                // The instruction's imm field, which is what the driver compares and prints.
                let code = match op {
                    AtomicOp::Add => 0x00,
                    AtomicOp::Or => 0x40,
                    AtomicOp::And => 0x50,
                    AtomicOp::Xor => 0xa0,
                } | i32::from(fetch);
                if code != 0 {
                    return Err(Reason::Atomic(code));
                }
                let place = moment.register(base);
                if !matches!(
                    place,
                    Known::Address {
                        place: Place::MapValue(_),
                        nullable: false,
                        ..
                    }
                ) {
                    return Err(Reason::AtomicPlace(kind(&place)));
                }
                let operand = moment.register(src);
                if !matches!(operand, Known::Number(_)) {
                    return Err(Reason::AtomicOperand(kind(&operand)));
                }
                self.access(moment, base, off, size.bytes(), Some(ATOMIC))
            }
            Instruction::Exchange { .. } => Err(Reason::Atomic(0xe1)),
            Instruction::CompareExchange { .. } => Err(Reason::Atomic(0xf1)),
            Instruction::Alu {
                width,
                op,
                dst,
                src,
            } => self.arithmetic(moment, width, op, dst, src),
            _ => Ok(()),
        }
    }

    fn arithmetic(
        &mut self,
        moment: &Moment<'_>,
        width: Width,
        op: AluOp,
        dst: Reg,
        src: Operand,
    ) -> Result<(), Reason> {
        let wide = |range: (u64, u64)| range.1 > u64::from(u32::MAX);
        let left = moment.register(dst).range().u64;
        let right = match src {
            Operand::Imm(value) => (value as u64, value as u64),
            Operand::Reg(reg) => {
                let range = moment.register(reg).range().u64;
                let source = self.seen.get_mut(&moment.slot).map(|seen| {
                    seen.source = (seen.source.0.min(range.0), seen.source.1.max(range.1));
                    seen.source
                });
                source.unwrap_or(range)
            }
        };
        match (op, src) {
            (AluOp::Mul, _) if wide(left) => Err(Reason::MultiplierRange),
            (AluOp::Mul, Operand::Reg(_)) if wide(right) => Err(Reason::MultiplicandRange),
            (AluOp::Mul, Operand::Imm(..0)) if width == Width::W64 => {
                Err(Reason::MultiplicandNegative)
            }
            // The driver looks at the opcode, which signed division shares.
            (AluOp::Div | AluOp::SDiv, _) if wide(left) => Err(Reason::DividendRange),
            (AluOp::Div | AluOp::SDiv, Operand::Reg(_)) if right.0 != right.1 => {
                Err(Reason::DivisorVariable)
            }
            (AluOp::Div | AluOp::SDiv, Operand::Reg(_)) if wide(right) => Err(Reason::DivisorRange),
            (AluOp::Div | AluOp::SDiv, Operand::Imm(..0)) => Err(Reason::DivisorNegative),
            _ => Ok(()),
        }
    }

    fn store(
        &mut self,
        moment: &Moment<'_>,
        base: Reg,
        off: i16,
        size: Size,
    ) -> Result<(), Reason> {
        if let Known::Address {
            place: Place::Context,
            ..
        } = moment.register(base)
        {
            return match off {
                RX_QUEUE_INDEX if self.profile.queue_select => Ok(()),
                RX_QUEUE_INDEX => Err(Reason::Missing("queue selection")),
                _ => Err(Reason::ContextStore),
            };
        }
        self.access(moment, base, off, size.bytes(), None)
    }

    /// A load, a store or an atomic addition; `map_use` is none for a store.
    fn access(
        &mut self,
        moment: &Moment<'_>,
        base: Reg,
        off: i16,
        bytes: u32,
        map_use: Option<&'static str>,
    ) -> Result<(), Reason> {
        let address = moment.register(base);
        let kind = kind(&address);
        let Known::Address {
            place,
            offset,
            variable,
            nullable: false,
        } = address
        else {
            return Err(Reason::PointerKind(kind));
        };
        let constant = address.constant_offset();
        match place {
            Place::Context => {}
            Place::Packet => {
                let start = i64::from(offset) + i64::from(off);
                let reach = variable
                    .u64
                    .1
                    .saturating_add_signed(start)
                    .saturating_add(u64::from(bytes));
                self.packet_reach = self.packet_reach.max(reach.saturating_sub(1));
            }
            Place::Stack(depth) => {
                let now = constant.ok_or(Reason::StackVariable)?;
                let before = self.seen.get(&moment.slot).and_then(|seen| seen.pointer);
                if let Some((_, Some(before))) = before
                    && (before - now) % 4 != 0
                {
                    return Err(Reason::StackAlignment { before, after: now });
                }
                if depth != moment.depth()
                    && let Some(seen) = self.seen.get_mut(&moment.slot)
                {
                    seen.caller_frame = Some(now + i64::from(off));
                }
            }
            Place::MapValue(map) => {
                let map_use = map_use.ok_or(Reason::MapStore)?;
                let start = constant.ok_or(Reason::MapValueVariable)? + i64::from(off);
                self.use_map(map, start, bytes, map_use)?;
            }
            _ => return Err(Reason::PointerKind(kind)),
        }
        if let Some(seen) = self.seen.get_mut(&moment.slot) {
            if let Some((before, _)) = seen.pointer
                && before != kind
            {
                return Err(Reason::PointerChange {
                    before,
                    after: kind,
                });
            }
            seen.pointer = Some((kind, constant));
        }
        Ok(())
    }

    fn use_map(
        &mut self,
        map: u32,
        start: i64,
        bytes: u32,
        after: &'static str,
    ) -> Result<(), Reason> {
        // Outside the value: the verifier refuses it right after.
        let Ok(start) = u32::try_from(start) else {
            return Ok(());
        };
        let mut at = start;
        while at < start.saturating_add(bytes) {
            let word = self.words.entry((map, at / 4)).or_default();
            if let Some(before) = word.kind
                && before != after
            {
                return Err(Reason::MapUse { before, after, at });
            }
            if word.may_be_set && after == ATOMIC {
                return Err(Reason::CounterInitialised { at });
            }
            word.kind = Some(after);
            at = (at / 4 + 1) * 4;
        }
        Ok(())
    }

    fn helper(&mut self, moment: &Moment<'_>, id: i32) -> Result<(), Reason> {
        let helpers = &self.profile.helpers;
        match id {
            1 => {
                self.map_call(moment, "map_lookup", helpers.map_lookup)?;
                stack_argument(moment, "map_lookup", Reg::R2).map(|_| ())
            }
            2 => {
                self.map_call(moment, "map_update", helpers.map_update)?;
                stack_argument(moment, "map_update", Reg::R2)?;
                let value = stack_argument(moment, "map_update", Reg::R3)?;
                self.update_value(moment, value)
            }
            3 => {
                self.map_call(moment, "map_delete", helpers.map_delete)?;
                stack_argument(moment, "map_delete", Reg::R2).map(|_| ())
            }
            7 if !self.profile.random => Err(Reason::Missing("bpf_get_prandom_u32")),
            25 if helpers.perf_event_output == 0 => Err(Reason::Missing("event_output")),
            25 => {
                let flags = moment.register(Reg::R3).range().as_constant();
                if flags.is_none_or(|flags| flags as u32 != u32::MAX) {
                    return Err(Reason::EventCpu);
                }
                match moment.register(Reg::R4) {
                    Known::Address {
                        place: Place::Stack(_),
                        nullable: false,
                        ..
                    } => stack_argument(moment, "event_output", Reg::R4).map(|_| ()),
                    // A number is null: the verifier knows no other.
                    Known::Number(_)
                    | Known::Address {
                        place: Place::MapValue(_) | Place::Packet,
                        nullable: false,
                        ..
                    } => Ok(()),
                    other => Err(Reason::ArgumentPlace {
                        helper: "event_output",
                        kind: kind(&other),
                    }),
                }
            }
            44 if !self.profile.adjust_head.supported => Err(Reason::Missing("adjust_head")),
            44 if !self.profile.adjust_head.no_metadata => Err(Reason::AdjustHeadMetadata),
            65 if !self.profile.adjust_tail => Err(Reason::Missing("adjust_tail")),
            7 | 44 | 65 => Ok(()),
            _ => Err(Reason::Helper(id)),
        }
    }

    fn map_call(
        &mut self,
        moment: &Moment<'_>,
        helper: &'static str,
        address: u16,
    ) -> Result<(), Reason> {
        if address == 0 {
            return Err(Reason::Missing(helper));
        }
        let Known::Address {
            place: Place::Map(map),
            ..
        } = moment.register(Reg::R1)
        else {
            // No map: the verifier refuses the call right after.
            return Ok(());
        };
        // A map that stays on the host: its creation for the card is what fails.
        if self
            .input
            .maps
            .get(map as usize)
            .is_some_and(|shape| shape.kind == 4)
        {
            return Err(Reason::MapKind(4));
        }
        if let Some(seen) = self.seen.get_mut(&moment.slot)
            && *seen.map.get_or_insert(map) != map
        {
            return Err(Reason::DifferentMap(helper));
        }
        Ok(())
    }

    /// Which words of the map's values an update may set to something else than 0.
    fn update_value(
        &mut self,
        moment: &Moment<'_>,
        (depth, offset): (u8, i64),
    ) -> Result<(), Reason> {
        let Known::Address {
            place: Place::Map(map),
            ..
        } = moment.register(Reg::R1)
        else {
            return Ok(());
        };
        let Some(shape) = self.input.maps.get(map as usize) else {
            return Ok(());
        };
        for at in 0..shape.value_size.min(MAX_FRAME) {
            let place = i32::try_from(offset + i64::from(at)).unwrap_or(0);
            if moment.is_zero_byte(depth, place) {
                continue;
            }
            let word = self.words.entry((map, at / 4)).or_default();
            if word.kind == Some(ATOMIC) {
                return Err(Reason::UpdateOfCounter {
                    at,
                    of: shape.value_size,
                });
            }
            word.may_be_set = true;
        }
        Ok(())
    }
}

/// Whether the driver has a translation for the opcode.
fn supported(instruction: &Instruction) -> Result<(), Reason> {
    let code = || Reason::Opcode(instruction.encode().0.code);
    match instruction {
        Instruction::Alu {
            op: AluOp::Mod | AluOp::SMod,
            ..
        }
        | Instruction::Swap {
            swap: Swap::ToLittle | Swap::Always,
            ..
        }
        | Instruction::Load { signed: true, .. }
        | Instruction::Jump { long: true, .. }
        | Instruction::MayGoto { .. }
        | Instruction::Call(Callee::Register(_)) => Err(code()),
        Instruction::LoadImm64 {
            value:
                Imm64::MapValueFd { .. } | Imm64::MapValueIndex { .. } | Imm64::BtfVariable { .. },
            ..
        }
        | Instruction::Call(Callee::Kernel { .. }) => Err(Reason::HostAddress),
        _ => Ok(()),
    }
}

/// A key or value that a helper gets: on the stack, at a known place, on a multiple of 4. Depth and offset.
fn stack_argument(
    moment: &Moment<'_>,
    helper: &'static str,
    reg: Reg,
) -> Result<(u8, i64), Reason> {
    let argument = moment.register(reg);
    let Known::Address {
        place: Place::Stack(depth),
        ..
    } = argument
    else {
        return Err(Reason::ArgumentPlace {
            helper,
            kind: kind(&argument),
        });
    };
    let offset = argument
        .constant_offset()
        .ok_or(Reason::ArgumentVariable(helper))?;
    if offset % 4 == 0 {
        Ok((depth, offset))
    } else {
        Err(Reason::ArgumentUnaligned { helper, offset })
    }
}

/// The kernel's number for what is in a register (`enum bpf_reg_type`, Linux 6.12), as the driver prints it.
fn kind(known: &Known) -> u32 {
    /// `PTR_MAYBE_NULL`
    const NULLABLE: u32 = 1 << 8;
    match known {
        Known::Nothing => 0,
        Known::Number(_) => 1,
        Known::Address {
            place, nullable, ..
        } => {
            let kind = match place {
                Place::Context => 2,
                Place::Map(_) => 3,
                Place::MapValue(_) => 4,
                Place::Stack(_) => 6,
                Place::PacketMeta => 7,
                Place::Packet => 8,
                Place::PacketEnd => 9,
                Place::Kernel => 16,
                Place::Memory => 18,
                Place::Function => 20,
            };
            kind | if *nullable { NULLABLE } else { 0 }
        }
    }
}
