//! Arithmetic on numbers and pointers (`adjust_reg_min_max_vals`, `adjust_ptr_min_max_vals`).

use crate::isa::{AluOp, Operand, Reg, Size, Width};

use super::explore::{Step, Walk};
use super::finding::{Code, Finding};
use super::marks::Mark;
use super::range::Range;
use super::stack::fits_in;
use super::state::State;
use super::value::{Added, Link, Pointer, Proved, Region, Tracked, Value};

/// The most that a pointer may be away from its region's start (BPF_MAX_VAR_OFF).
pub(super) const MAX_OFFSET: i64 = 1 << 29;

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
            self.copy(state, dst, src, right, width);
            return Ok(());
        }
        let left = self.read(state, dst, slot)?;
        check_shift_and_divisor(slot, op, width, src)?;
        let mark = self.marks.computed(left.mark, right.mark);
        let value = match (left.value, right.value) {
            (Value::Number { range: a, link }, Value::Number { range: b, .. }) => Value::Number {
                range: a.alu(op, width, &b).or_forgotten(),
                link: if src == Operand::Reg(dst) {
                    Link::NONE
                } else {
                    Self::link_of_result(op, width, link, &b)
                },
            },
            (Value::Pointer(_), Value::Pointer(_)) => {
                if op == AluOp::Sub && self.input.rules.leaks_allowed {
                    // For the kernel, the upper half too (`adjust_reg_min_max_vals`).
                    Value::UNKNOWN
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
                // Half of a pointer subtracted is a number for the kernel (`adjust_ptr_min_max_vals`).
                if op != AluOp::Add && width == Width::W64 {
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

    fn copy(&mut self, state: &mut State, dst: Reg, src: Operand, right: Tracked, width: Width) {
        let mark = match src {
            Operand::Reg(_) => self.marks.computed(right.mark, Mark::NONE),
            Operand::Imm(_) => self.marks.fresh(),
        };
        let value = match (width, right.value) {
            (Width::W64, Value::Number { range, .. }) => Value::Number {
                range,
                link: match src {
                    Operand::Reg(reg) => self.link_of_copy(state, reg),
                    Operand::Imm(_) => Link::NONE,
                },
            },
            (Width::W64, other) => other,
            (Width::W32, Value::Number { range, .. }) => Value::Number {
                range: range.low_half(),
                link: match src {
                    Operand::Reg(reg) if fits_in(&range, 4) => self.link_of_copy(state, reg),
                    _ => Link::NONE,
                },
            },
            // Half a pointer is just some number.
            (Width::W32, _) => Value::number(Range::UNKNOWN.low_half()),
        };
        state.set(dst, value, mark);
    }

    /// The link that a copy of a register gets; the register gets it too (`assign_scalar_id_before_mov`).
    pub(super) fn link_of_copy(&mut self, state: &mut State, reg: Reg) -> Link {
        let Value::Number { range, link } = &mut state.frame_mut().registers[reg.index()].value
        else {
            return Link::NONE;
        };
        if link.added.is_some() {
            // One constant can be added to a link, not one more to the copy.
            *link = Link::NONE;
        }
        if link.is_none() && range.as_constant().is_none() {
            self.ids += 1;
            *link = Link::new(self.ids);
        }
        *link
    }

    /// The link of a sum or difference (`adjust_reg_min_max_vals`): compilers check one of two registers that are a
    /// constant apart and use the other.
    fn link_of_result(op: AluOp, width: Width, link: Link, right: &Range) -> Link {
        let constant = right.as_constant_of(width).and_then(|value| match width {
            Width::W64 => i32::try_from(value as i64).ok(),
            Width::W32 => Some(value as u32 as i32),
        });
        let by = match (op, constant) {
            (AluOp::Add, Some(by)) => Some(by),
            (AluOp::Sub, Some(by)) => by.checked_neg(),
            _ => None,
        };
        match by {
            Some(by) if !link.is_none() && link.added.is_none() => Link {
                id: link.id,
                added: Some(Added { by, width }),
            },
            _ => Link::NONE,
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
                return Ok(Value::UNKNOWN);
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
            Region::Stack(_) if op == AluOp::Sub => {
                return refuse(
                    "nothing can be subtracted from a stack pointer; add a negative number"
                        .to_owned(),
                );
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
        let range = match value.value {
            Value::Number { .. } if !self.input.rules.known_negations => Range::UNKNOWN,
            Value::Number { range, .. } => range.negated(width),
            _ if self.input.rules.leaks_allowed => Range::UNKNOWN,
            other => {
                return Err(Box::new(Finding::error(
                    Code::PointerLeak,
                    slot,
                    format!("a pointer is negated: {other}"),
                )));
            }
        };
        let mark = self.marks.computed(value.mark, Mark::NONE);
        state.set(dst, Value::number(range), mark);
        Ok(())
    }

    pub(super) fn swap(&mut self, state: &mut State, slot: usize, dst: Reg) -> Step<()> {
        let value = self.read(state, dst, slot)?;
        if value.value.range().is_none() && !self.input.rules.leaks_allowed {
            return Err(Box::new(Finding::error(
                Code::PointerLeak,
                slot,
                format!("the bytes of a pointer are swapped: {}", value.value),
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
        let (range, link) = match value.value {
            Value::Number { range, .. } => {
                // A number that keeps its value is still the same number.
                let kept = range.u64.1 < 1 << (from.bits() - 1);
                let link = if kept {
                    self.link_of_copy(state, src)
                } else {
                    Link::NONE
                };
                (range.sign_extend(from, width), link)
            }
            // The kernel looks at no byte of a pointer (`check_alu_op`).
            _ if self.input.rules.leaks_allowed => {
                let unknown = match width {
                    Width::W64 => Range::UNKNOWN,
                    Width::W32 => Range::UNKNOWN.low_half(),
                };
                (unknown, Link::NONE)
            }
            other => {
                return Err(Box::new(Finding::error(
                    Code::PointerLeak,
                    slot,
                    format!("part of a pointer is copied: {other}"),
                )));
            }
        };
        state.set(dst, Value::Number { range, link }, mark);
        Ok(())
    }
}

#[allow(clippy::unnecessary_box_returns, reason = "what a step returns")]
fn error(slot: usize, what: &str, left: &Tracked, right: &Tracked) -> Box<Finding> {
    Box::new(
        Finding::error(Code::PointerArithmetic, slot, what)
            .knowing(format!("left: {}", left.value))
            .knowing(format!("right: {}", right.value)),
    )
}

fn check_shift_and_divisor(slot: usize, op: AluOp, width: Width, src: Operand) -> Step<()> {
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
