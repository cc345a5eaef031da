//! Arithmetic on numbers and pointers (`adjust_reg_min_max_vals`, `adjust_ptr_min_max_vals`).

use crate::isa::{AluOp, Operand, Reg, Size, Width};

use super::explore::{Step, Walk};
use super::finding::{Code, Finding};
use super::marks::Mark;
use super::range::Range;
use super::state::State;
use super::value::{Pointer, Proved, Region, Tracked, Value};

/// The most that a pointer may be away from its region's start (BPF_MAX_VAR_OFF).
const MAX_OFFSET: i64 = 1 << 29;

impl Walk<'_> {
    pub(super) fn alu(
        &mut self,
        state: &mut State,
        slot: usize,
        op: AluOp,
        width: Width,
        dst: Reg,
        src: Operand,
    ) -> Step<()> {
        let right = self.operand(state, slot, src, width)?;
        if op == AluOp::Mov {
            return self.copy(state, dst, src, right, width);
        }
        let left = self.read(state, dst, slot)?;
        self.check_shift_and_divisor(slot, op, width, src)?;
        let mark = self.marks.computed(left.mark, right.mark);
        let value = match (left.value, right.value) {
            (Value::Number { range: a, .. }, Value::Number { range: b, .. }) => {
                Value::number(a.alu(op, width, &b))
            }
            (Value::Pointer(_), Value::Pointer(_)) => {
                if op == AluOp::Sub && self.input.rules.leaks_allowed {
                    Value::number(Range::UNKNOWN.alu(AluOp::Mov, width, &Range::UNKNOWN))
                } else {
                    return Err(error(
                        slot,
                        "two pointers can only be subtracted from each other, by the privileged",
                        &left,
                        &right,
                    ));
                }
            }
            (Value::Pointer(pointer), Value::Number { range, .. }) => {
                self.need(right.mark);
                self.move_pointer(slot, op, width, &pointer, &range)?
            }
            (Value::Number { range, .. }, Value::Pointer(pointer)) => {
                if op != AluOp::Add {
                    return Err(error(
                        slot,
                        "a pointer can be added to a number, nothing else",
                        &left,
                        &right,
                    ));
                }
                self.need(left.mark);
                self.move_pointer(slot, op, width, &pointer, &range)?
            }
            // `read` and `operand` let no uninitialised value through.
            (Value::Uninitialised, _) | (_, Value::Uninitialised) => Value::UNKNOWN,
        };
        state.set(dst, value, mark);
        Ok(())
    }

    /// A second operand as a value.
    pub(super) fn operand(
        &mut self,
        state: &State,
        slot: usize,
        src: Operand,
        width: Width,
    ) -> Step<Tracked> {
        match src {
            Operand::Reg(reg) => self.read(state, reg, slot),
            Operand::Imm(imm) => Ok(Tracked {
                value: Value::constant(match width {
                    Width::W64 => i64::from(imm) as u64,
                    Width::W32 => u64::from(imm as u32),
                }),
                mark: Mark::NONE,
            }),
        }
    }

    fn copy(
        &mut self,
        state: &mut State,
        dst: Reg,
        src: Operand,
        right: Tracked,
        width: Width,
    ) -> Step<()> {
        let mark = match src {
            Operand::Reg(_) => self.marks.computed(right.mark, Mark::NONE),
            Operand::Imm(_) => self.marks.fresh(),
        };
        let value = match (width, right.value) {
            (Width::W64, Value::Number { range, link }) => {
                // Both registers hold one number now: what is learnt of one holds for the other.
                let link = match src {
                    Operand::Reg(reg) if range.as_constant().is_none() => {
                        let link = if link == 0 { self.new_id() } else { link };
                        let original = &mut state.frame_mut().registers[reg.index()];
                        original.value = Value::Number { range, link };
                        link
                    }
                    _ => 0,
                };
                Value::Number { range, link }
            }
            (Width::W64, other) => other,
            (Width::W32, Value::Number { range, link }) => {
                let fits = range.u64.1 <= u64::from(u32::MAX);
                let link = match src {
                    Operand::Reg(reg) if fits && range.as_constant().is_none() => {
                        let link = if link == 0 { self.new_id() } else { link };
                        state.frame_mut().registers[reg.index()].value =
                            Value::Number { range, link };
                        link
                    }
                    _ => 0,
                };
                Value::Number {
                    range: range.low_half(),
                    link,
                }
            }
            // Half a pointer is just some number.
            (Width::W32, _) => Value::number(Range::UNKNOWN.low_half()),
        };
        state.set(dst, value, mark);
        Ok(())
    }

    fn check_shift_and_divisor(
        &mut self,
        slot: usize,
        op: AluOp,
        width: Width,
        src: Operand,
    ) -> Step<()> {
        let Operand::Imm(imm) = src else {
            return Ok(());
        };
        match op {
            AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod if imm == 0 => Err(Box::new(
                Finding::error(Code::InvalidInstruction, slot, "division by the constant 0"),
            )),
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh if imm < 0 || imm as u32 >= width.bits() => {
                Err(Box::new(Finding::error(
                    Code::InvalidInstruction,
                    slot,
                    format!("a shift by {imm} of {} bits", width.bits()),
                )))
            }
            _ => Ok(()),
        }
    }

    fn move_pointer(
        &mut self,
        slot: usize,
        op: AluOp,
        width: Width,
        pointer: &Pointer,
        by: &Range,
    ) -> Step<Value> {
        let refuse = |what: String| {
            Err(Box::new(Finding::error(
                Code::PointerArithmetic,
                slot,
                what,
            )))
        };
        if width == Width::W32 {
            if op == AluOp::Sub && self.input.rules.leaks_allowed {
                return Ok(Value::number(Range::UNKNOWN.low_half()));
            }
            return refuse(format!(
                "32-bit arithmetic on {pointer}: half a pointer points nowhere"
            ));
        }
        if pointer.nullable {
            return Err(Box::new(
                Finding::error(
                    Code::NullPointer,
                    slot,
                    format!("arithmetic on a pointer that is {pointer}"),
                )
                .help("compare it with null first"),
            ));
        }
        let constant = by.as_constant().map(|value| value as i64);
        match pointer.region {
            Region::Map(_) if constant == Some(0) && op == AluOp::Add => {
                return Ok(Value::Pointer(*pointer));
            }
            Region::Map(_) | Region::PacketEnd => {
                return refuse(format!("{} cannot be moved", pointer.region));
            }
            Region::Stack(_) if op == AluOp::Sub && constant.is_none() => {
                return refuse("only constants can be subtracted from a stack pointer".to_owned());
            }
            _ => {}
        }
        if !matches!(op, AluOp::Add | AluOp::Sub) {
            return refuse(format!(
                "pointers can only be moved by adding and subtracting; this is {op:?} on {pointer}"
            ));
        }
        self.check_bounded(slot, by, "moved by")?;
        self.check_bounded(slot, &pointer.variable, "already")?;
        let mut moved = *pointer;
        let delta = constant.map(|value| {
            if op == AluOp::Add {
                value
            } else {
                value.wrapping_neg()
            }
        });
        let fixed = delta
            .and_then(|delta| i64::from(pointer.off).checked_add(delta))
            .and_then(|off| i32::try_from(off).ok());
        if let Some(off) = fixed {
            moved.off = off;
        } else {
            moved.variable = pointer.variable.alu(op, Width::W64, by);
            if matches!(pointer.region, Region::Packet | Region::PacketMeta) {
                moved.id = self.new_id();
                if op == AluOp::Add || by.s64.0 < 0 {
                    moved.proved = Proved::Bytes(0);
                }
            }
        }
        if i64::from(moved.off).abs() >= MAX_OFFSET {
            return Err(Box::new(Finding::error(
                Code::PointerRange,
                slot,
                format!("the pointer ends up {} bytes from its start", moved.off),
            )));
        }
        self.check_bounded(slot, &moved.variable, "then")?;
        Ok(Value::Pointer(moved))
    }

    /// A pointer moved without a bound points anywhere (`check_reg_sane_offset`).
    #[allow(clippy::unused_self, reason = "a method beside those that use it")]
    fn check_bounded(&self, slot: usize, by: &Range, how: &str) -> Step<()> {
        if by.s64.0 > -MAX_OFFSET && by.s64.0 < MAX_OFFSET {
            return Ok(());
        }
        if let Some(value) = by.as_constant()
            && (value as i64).abs() < MAX_OFFSET
        {
            return Ok(());
        }
        Err(Box::new(
            Finding::error(
                Code::PointerRange,
                slot,
                "the pointer is moved by a number without a usable lower bound",
            )
            .knowing(format!("{how} {by}"))
            .help("bound the number first: compare it with a constant, or mask it with `& MASK`; use an unsigned type"),
        ))
    }

    pub(super) fn negate(
        &mut self,
        state: &mut State,
        slot: usize,
        width: Width,
        dst: Reg,
    ) -> Step<()> {
        let value = self.read(state, dst, slot)?;
        let Value::Number { range, .. } = value.value else {
            return Err(Box::new(Finding::error(
                Code::PointerArithmetic,
                slot,
                format!("a pointer cannot be negated: {}", value.value),
            )));
        };
        let mark = self.marks.computed(value.mark, Mark::NONE);
        let negated = if self.input.rules.known_negations {
            range.negated(width)
        } else {
            Range::UNKNOWN
        };
        state.set(dst, Value::number(negated), mark);
        Ok(())
    }

    pub(super) fn swap(&mut self, state: &mut State, slot: usize, dst: Reg) -> Step<()> {
        let value = self.read(state, dst, slot)?;
        if value.value.range().is_none() {
            return Err(Box::new(Finding::error(
                Code::PointerArithmetic,
                slot,
                format!("the bytes of a pointer cannot be swapped: {}", value.value),
            )));
        }
        let mark = self.marks.computed(value.mark, Mark::NONE);
        state.set(dst, Value::UNKNOWN, mark);
        Ok(())
    }

    pub(super) fn move_signed(
        &mut self,
        state: &mut State,
        slot: usize,
        width: Width,
        from: Size,
        dst: Reg,
        src: Reg,
    ) -> Step<()> {
        let value = self.read(state, src, slot)?;
        let mark = self.marks.computed(value.mark, Mark::NONE);
        let range = match value.value {
            Value::Number { range, .. } => range.sign_extend(from, width),
            _ if self.input.rules.leaks_allowed => Range::UNKNOWN.sign_extend(from, width),
            other => {
                return Err(Box::new(Finding::error(
                    Code::PointerLeak,
                    slot,
                    format!("part of a pointer is copied: {other}"),
                )));
            }
        };
        state.set(dst, Value::number(range), mark);
        Ok(())
    }
}

fn error(slot: usize, what: &str, left: &Tracked, right: &Tracked) -> Box<Finding> {
    Box::new(
        Finding::error(Code::PointerArithmetic, slot, what)
            .knowing(format!("left: {}", left.value))
            .knowing(format!("right: {}", right.value)),
    )
}
