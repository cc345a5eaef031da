//! Conditional jumps: which way they can go, and what each way teaches.

use crate::isa::{CmpOp, Condition, Operand, Reg, Width};

use super::arithmetic::MAX_OFFSET;
use super::explore::{Next, Step, Walk};
use super::finding::{Code, Finding};
use super::marks::Mark;
use super::range::{self, Range};
use super::state::State;
use super::structure;
use super::value::{Link, Object, Pointer, Proved, Region, Tracked, Value};

/// The most that a packet can be long, for what a comparison can prove (MAX_PACKET_OFF).
const MAX_PACKET: u64 = 0xffff;

impl Walk<'_> {
    pub(super) fn branch(
        &mut self,
        state: &mut State,
        slot: usize,
        condition: &Condition,
        offset: i16,
    ) -> Step<Next> {
        let there = structure::target(slot, offset.into()).unwrap_or(usize::MAX);
        let right = self.operand(state, slot, condition.src, condition.width)?;
        let left = self.read(state, condition.dst, slot)?;
        self.check_comparable(slot, condition, &left.value, &right.value)?;
        if let Some(taken) = decide(condition, &left.value, &right.value) {
            self.need(left.mark);
            self.need(right.mark);
            if let Operand::Reg(_) = condition.src {
                self.need(right.mark);
            }
            self.turn(slot, taken);
            return Ok(Next::At(if taken { there } else { slot + 1 }));
        }
        Self::limit_links(state, condition);
        let mut other = state.clone();
        self.learn(slot, &mut other, condition, true);
        self.learn(slot, state, condition, false);
        self.postpone(other, there, Some((slot, true)));
        self.turn(slot, false);
        Ok(Next::At(slot + 1))
    }

    fn check_comparable(
        &self,
        slot: usize,
        condition: &Condition,
        left: &Value,
        right: &Value,
    ) -> Step<()> {
        if self.input.rules.leaks_allowed {
            return Ok(());
        }
        let null_check =
            matches!(condition.op, CmpOp::Eq | CmpOp::Ne) && (is_zero(right) || is_zero(left));
        let packet = matches!(
            (
                left.pointer().map(|p| p.region),
                right.pointer().map(|p| p.region)
            ),
            (
                Some(Region::Packet | Region::PacketMeta),
                Some(Region::PacketEnd | Region::Packet)
            ) | (
                Some(Region::PacketEnd | Region::Packet),
                Some(Region::Packet | Region::PacketMeta)
            )
        );
        if (left.pointer().is_some() || right.pointer().is_some()) && !null_check && !packet {
            return Err(Box::new(Finding::error(
                Code::PointerLeak,
                slot,
                format!("an address is compared: {left} with {right}"),
            )));
        }
        Ok(())
    }

    /// What holds after the branch went this way.
    fn learn(&mut self, slot: usize, state: &mut State, condition: &Condition, taken: bool) {
        let left = *state.register(condition.dst);
        let right = match condition.src {
            Operand::Reg(reg) => *state.register(reg),
            Operand::Imm(imm) => Tracked {
                value: Value::constant(match condition.width {
                    Width::W64 => i64::from(imm) as u64,
                    Width::W32 => u64::from(imm as u32),
                }),
                mark: Mark::NONE,
            },
        };
        match (left.value, right.value) {
            (Value::Number { range: a, .. }, Value::Number { range: b, .. }) => {
                let (a, b) = match condition.src {
                    Operand::Reg(reg) if reg == condition.dst => {
                        let both = range::refine_alone(condition.op, taken, condition.width, a);
                        (both, both)
                    }
                    _ => range::refine(condition.op, taken, condition.width, a, b),
                };
                let mark = self.marks.computed(left.mark, right.mark);
                know(state, condition.dst, a, mark);
                if let Operand::Reg(reg) = condition.src {
                    let mark = self.marks.computed(right.mark, left.mark);
                    know(state, reg, b, mark);
                    self.spread(state, reg);
                }
                self.spread(state, condition.dst);
            }
            (Value::Pointer(a), Value::Pointer(b)) if condition.width == Width::W64 => {
                if let Some((id, bytes)) = learn_packet(state, condition, taken, &a, &b) {
                    self.memory.add::<(u32, u32, usize)>(1);
                    self.checks.push((id, bytes, slot));
                }
                learn_from_non_null(state, condition.op, taken, &a, &b);
            }
            // A register that holds 0 teaches the kernel nothing (`check_cond_jmp_op`, Linux 6.18).
            (Value::Pointer(pointer), _)
                if condition.src == Operand::Imm(0)
                    && pointer.nullable
                    && condition.width == Width::W64 =>
            {
                let null = match condition.op {
                    CmpOp::Eq => taken,
                    CmpOp::Ne => !taken,
                    _ => return,
                };
                know_null(state, pointer.id, null);
            }
            _ => {}
        }
    }

    /// At most this many values share what a branch says (`LINKED_REGS_MAX`); the others lose their link.
    fn limit_links(state: &mut State, condition: &Condition) {
        const MOST: usize = 6;
        let id = |reg: Reg| match state.register(reg).value {
            Value::Number { link, .. } => link.id,
            _ => 0,
        };
        let src = match condition.src {
            Operand::Reg(reg) => id(reg),
            Operand::Imm(_) => 0,
        };
        let dst = id(condition.dst);
        let mut count = 0;
        for wanted in [src, dst] {
            if wanted == 0 {
                continue;
            }
            state.for_each_value_inwards(|value| {
                if let Value::Number { link, .. } = value
                    && link.id == wanted
                {
                    count += 1;
                    if count > MOST {
                        *link = Link::NONE;
                    }
                }
            });
        }
    }

    /// What is known of a register holds for all that are linked with it (`sync_linked_regs`).
    fn spread(&mut self, state: &mut State, reg: Reg) {
        let Tracked {
            value: Value::Number { range, link },
            mark,
        } = *state.register(reg)
        else {
            return;
        };
        if link.is_none() {
            return;
        }
        let marks = &mut self.marks;
        state.for_each_value(|value, known| {
            let Value::Number {
                range: other,
                link: theirs,
            } = value
            else {
                return;
            };
            if theirs.id != link.id || *known == mark {
                return;
            }
            let widths = [theirs.added, link.added].map(|added| added.map(|added| added.width));
            if let [Some(a), Some(b)] = widths
                && a != b
            {
                return; // 32-bit and 64-bit sums say nothing of each other
            }
            if theirs.distance() == link.distance() {
                *other = range;
                *theirs = link;
            } else {
                let by = theirs.distance().wrapping_sub(link.distance());
                *other = range.moved(by, widths.contains(&Some(Width::W32)));
            }
            *known = marks.computed(*known, mark);
        });
    }
}

/// A comparison of a packet pointer with the packet's end (`try_match_pkt_pointers`). What it
/// proves: for pointers of this id, so many bytes.
fn learn_packet(
    state: &mut State,
    condition: &Condition,
    taken: bool,
    left: &Pointer,
    right: &Pointer,
) -> Option<(u32, u32)> {
    // As "pointer OP end", whichever side the pointer was on.
    let Operand::Reg(src) = condition.src else {
        return None;
    };
    let (reg, pointer, op) = if bounds_packet(left, right) {
        (condition.dst, left, condition.op)
    } else if bounds_packet(right, left) {
        (src, right, mirrored(condition.op))
    } else {
        return None;
    };
    let (inside, open) = match (op, taken) {
        (CmpOp::Gt, false) | (CmpOp::Le, true) => (true, false),
        (CmpOp::Ge, false) | (CmpOp::Lt, true) => (true, true),
        (CmpOp::Gt, true) | (CmpOp::Le, false) => (false, true),
        (CmpOp::Ge, true) | (CmpOp::Lt, false) => (false, false),
        _ => return None,
    };
    if inside {
        return prove_bytes(state, pointer, open);
    }
    if pointer.region == Region::Packet
        && let Value::Pointer(pointer) = &mut state.frame_mut().registers[reg.index()].value
    {
        pointer.proved = if open {
            Proved::BeyondEnd
        } else {
            Proved::AtEnd
        };
    }
    None
}

/// The register holds a number of this range.
fn know(state: &mut State, reg: Reg, range: Range, mark: Mark) {
    if let Value::Number { link, .. } = state.register(reg).value {
        state.set(reg, Value::Number { range, link }, mark);
    }
}

/// A nullable pointer that equals one that is not null is not null.
fn learn_from_non_null(state: &mut State, op: CmpOp, taken: bool, a: &Pointer, b: &Pointer) {
    let equal = match op {
        CmpOp::Eq => taken,
        CmpOp::Ne => !taken,
        _ => return,
    };
    if equal && a.nullable != b.nullable {
        know_null(state, if a.nullable { a.id } else { b.id }, false);
    }
}

fn bounds_packet(pointer: &Pointer, end: &Pointer) -> bool {
    match (pointer.region, end.region) {
        (Region::Packet, Region::PacketEnd) => true,
        (Region::PacketMeta, Region::Packet) => end.is_start(),
        _ => false,
    }
}

fn mirrored(op: CmpOp) -> CmpOp {
    match op {
        CmpOp::Gt => CmpOp::Lt,
        CmpOp::Ge => CmpOp::Le,
        CmpOp::Lt => CmpOp::Gt,
        CmpOp::Le => CmpOp::Ge,
        other => other,
    }
}

/// `pointer` is at the end at most (before it, with `open`): so all bytes up to it are in the packet, for
/// every pointer with the same variable part (`find_good_pkt_pointers`).
fn prove_bytes(state: &mut State, pointer: &Pointer, open: bool) -> Option<(u32, u32)> {
    if pointer.off < 0 || (pointer.off == 0 && open) {
        return None;
    }
    let highest = pointer.variable.u64.1;
    if highest > MAX_PACKET || highest + pointer.off as u64 > MAX_PACKET {
        return None;
    }
    let bytes = pointer.off as u32 + u32::from(open);
    let (region, id) = (pointer.region, pointer.id);
    state.for_each_pointer(|other| {
        if other.region == region && other.id == id {
            other.proved = match other.proved {
                Proved::Bytes(known) => Proved::Bytes(known.max(bytes)),
                Proved::AtEnd | Proved::BeyondEnd => Proved::Bytes(bytes),
            };
        }
    });
    Some((id, bytes))
}

/// All pointers with this id are null, or none is.
fn know_null(state: &mut State, id: u32, null: bool) {
    let mut released = Vec::new();
    state.for_each_value(|value, _| {
        if let Value::Pointer(pointer) = value
            && pointer.nullable
            && pointer.id == id
        {
            if null {
                // Of an address that was made from a referenced one, null says nothing of the reference.
                if pointer.reference == id {
                    released.push(id);
                }
                *value = Value::constant(0);
            } else {
                pointer.nullable = false;
                // Spin locks and packet ranges go by the id; other memory needs none once checked.
                if !matches!(pointer.region, Region::MapValue(_)) {
                    pointer.id = 0;
                }
            }
        }
    });
    if null {
        state
            .references
            .retain(|reference| !released.contains(&reference.id));
    }
}

fn is_zero(value: &Value) -> bool {
    value.range().and_then(Range::as_constant) == Some(0)
}

fn decide(condition: &Condition, left: &Value, right: &Value) -> Option<bool> {
    match (left, right) {
        (Value::Number { range: a, .. }, Value::Number { range: b, .. }) => {
            range::decide(condition.op, condition.width, a, b)
        }
        (Value::Pointer(pointer), other) | (other, Value::Pointer(pointer))
            if is_zero(other) && condition.width == Width::W64 =>
        {
            // As far as the kernel knows (`reg_not_null`).
            let bounded =
                pointer.variable.s64.0 > -MAX_OFFSET && pointer.variable.s64.1 < MAX_OFFSET;
            let known_non_null = !pointer.nullable
                && bounded
                && matches!(
                    pointer.region,
                    Region::Kernel(Object::Socket | Object::SocketCommon | Object::XdpSocket)
                        | Region::MapValue(_)
                        | Region::Memory { .. }
                        | Region::Slice { .. }
                        | Region::Map(_)
                );
            match condition.op {
                CmpOp::Eq if known_non_null => Some(false),
                CmpOp::Ne if known_non_null => Some(true),
                _ => None,
            }
        }
        (Value::Pointer(a), Value::Pointer(b)) if condition.width == Width::W64 => {
            let (pointer, op) = if b.region == Region::PacketEnd {
                (a, condition.op)
            } else if a.region == Region::PacketEnd {
                (b, mirrored(condition.op))
            } else {
                return None;
            };
            match (op, pointer.proved) {
                (CmpOp::Gt, Proved::BeyondEnd) | (CmpOp::Ge, Proved::BeyondEnd | Proved::AtEnd) => {
                    Some(true)
                }
                (CmpOp::Le, Proved::BeyondEnd) | (CmpOp::Lt, Proved::BeyondEnd | Proved::AtEnd) => {
                    Some(false)
                }
                _ => None,
            }
        }
        _ => None,
    }
}
