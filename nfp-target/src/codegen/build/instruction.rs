//! Arithmetic, and what branches ask.

use super::{
    AluOp, AtomicOp, Callee, CmpOp, Condition, Imm64, Instruction, Kind, Op, Operand, Pair,
    Refusal, Result, Size, State, Swap, Test, Translation, Width, arithmetic,
};

impl Translation<'_> {
    pub(super) fn instruction(
        &mut self,
        slot: usize,
        instruction: &Instruction,
        state: &mut State,
    ) -> Result<()> {
        let facts = self.facts;
        let fact = facts.at(self.chain, slot).copied().unwrap_or_default();
        let kinds = fact.kinds;
        let frame = state.top();
        let zero = self.zero;
        match *instruction {
            Instruction::Alu {
                width,
                op,
                dst,
                src,
            } => {
                let mut left = state.read(frame, dst);
                let mut right = match src {
                    Operand::Reg(reg) => state.read(frame, reg),
                    Operand::Imm(imm) => self.immediate(imm),
                };
                let source_packet = matches!(src, Operand::Reg(_)) && kinds[1].is_packet();
                let is_move = op == AluOp::Mov;
                // Distances take part in sums and differences, and are copied.
                let keeps = match op {
                    AluOp::Mov => width == Width::W64 || !source_packet,
                    AluOp::Add => width == Width::W64,
                    AluOp::Sub => {
                        kinds[0].is_packet() == source_packet
                            || width == Width::W64 && !source_packet
                    }
                    _ => false,
                };
                if !keeps {
                    if kinds[0].is_packet() && !is_move {
                        left = self.address_of(state, left);
                    }
                    if source_packet {
                        right = self.address_of(state, right);
                    }
                }
                let is_mixed = |kind| matches!(kind, Kind::Other | Kind::Nullable);
                if is_mixed(kinds[1]) && (!is_move || width == Width::W32)
                    || is_mixed(kinds[0]) && !is_move
                {
                    return self.refuse(Refusal::MixedPointer);
                }
                let result = arithmetic::alu(&mut self.builder, op, width, left, right);
                state.set(frame, dst, result);
            }
            Instruction::MoveSigned {
                width,
                from,
                dst,
                src,
            } => {
                self.only_number(kinds[1])?;
                let [low, _] = state.read(frame, src);
                let result = arithmetic::sign_extend(&mut self.builder, low, from, width);
                state.set(frame, dst, result);
            }
            Instruction::Negate { width, dst } => {
                self.only_number(kinds[0])?;
                let value = state.read(frame, dst);
                let left = [zero; 2];
                let result = arithmetic::alu(&mut self.builder, AluOp::Sub, width, left, value);
                state.set(frame, dst, result);
            }
            Instruction::Swap { swap, size, dst } => {
                self.only_number(kinds[0])?;
                let value = state.read(frame, dst);
                let result =
                    arithmetic::swap(&mut self.builder, swap != Swap::ToLittle, size, value);
                state.set(frame, dst, result);
            }
            Instruction::LoadImm64 { dst, value } => {
                let pair = match value {
                    Imm64::Number(number) => [
                        self.builder.constant(number as u32),
                        self.builder.constant((number >> 32) as u32),
                    ],
                    // A map is known by its kind where it is used.
                    Imm64::MapFd(_) | Imm64::MapIndex(_) => [zero; 2],
                    _ => return self.refuse(Refusal::Instruction),
                };
                state.set(frame, dst, pair);
            }
            Instruction::Load {
                size,
                signed: false,
                dst,
                base,
                off,
            } => {
                let address = state.read(frame, base);
                let result = self.load(state, kinds[0], fact.reach, address, off, size)?;
                state.set(frame, dst, result);
            }
            Instruction::Store {
                size,
                base,
                off,
                src,
            } => {
                let address = state.read(frame, base);
                let value = match src {
                    Operand::Reg(reg) => {
                        let value = state.read(frame, reg);
                        let spills = matches!(kinds[0], Kind::Stack { .. }) && size == Size::B64;
                        if spills {
                            value
                        } else if kinds[1].is_packet() {
                            self.address_of(state, value)
                        } else {
                            self.only_value(kinds[1])?;
                            value
                        }
                    }
                    Operand::Imm(imm) => self.immediate(imm),
                };
                self.store(state, kinds[0], address, off, size, value)?;
            }
            Instruction::Atomic {
                op: AtomicOp::Add,
                size,
                base,
                off,
                src,
                fetch: false,
            } => {
                let Kind::MapValue(_) = kinds[0] else {
                    return self.refuse(Refusal::AtomicPlace);
                };
                self.only_number(kinds[1])?;
                let address = state.read(frame, base);
                let value = state.read(frame, src);
                let address = self.map_address(address, off);
                let wide = size == Size::B64;
                self.builder.emit(Op::AddMemory {
                    address,
                    wide,
                    value: if wide { value } else { [value[0], zero] },
                });
                state.map_version = self.version();
            }
            Instruction::Call(Callee::Helper(helper)) => self.call(state, frame, helper, &kinds)?,
            Instruction::Jump { .. } | Instruction::Branch { .. } | Instruction::Exit => {}
            _ => return self.refuse(Refusal::Instruction),
        }
        Ok(())
    }

    pub(super) fn only_number(&self, kind: Kind) -> Result<()> {
        match kind {
            Kind::Number | Kind::Unseen => Ok(()),
            _ => self.refuse(Refusal::MixedPointer),
        }
    }

    /// Refuses what our code holds otherwise than the program does.
    fn only_value(&self, kind: Kind) -> Result<()> {
        match kind {
            Kind::Number | Kind::Unseen | Kind::MapValue(_) => Ok(()),
            _ => self.refuse(Refusal::MixedPointer),
        }
    }

    pub(super) fn immediate(&mut self, imm: i32) -> Pair {
        let imm = i64::from(imm);
        [
            self.builder.constant(imm as u32),
            self.builder.constant((imm >> 32) as u32),
        ]
    }

    /// The address that a distance from the packet's start stands for.
    pub(super) fn address_of(&mut self, state: &State, value: Pair) -> Pair {
        // The marks of both sum up to 0.
        let base = [state.base(), self.mark];
        arithmetic::alu(&mut self.builder, AluOp::Add, Width::W64, value, base)
    }

    /// The test of a branch, and whether its outcome is the opposite.
    pub(super) fn condition(
        &mut self,
        condition: Condition,
        slot: usize,
        state: &State,
    ) -> Result<(Test, bool)> {
        let facts = self.facts;
        let fact = facts.at(self.chain, slot).copied().unwrap_or_default();
        let kinds = fact.kinds;
        let frame = state.top();
        let mut left = state.read(frame, condition.dst);
        let mut right = match condition.src {
            Operand::Reg(reg) => state.read(frame, reg),
            Operand::Imm(imm) => self.immediate(imm),
        };
        let is_register = matches!(condition.src, Operand::Reg(_));
        let packets = [kinds[0].is_packet(), is_register && kinds[1].is_packet()];
        let ahead = |kind| matches!(kind, Kind::Packet { ahead: true } | Kind::PacketEnd);
        let mut width = condition.width;
        if packets == [true; 2] && ahead(kinds[0]) && ahead(kinds[1]) && width == Width::W64 {
            // Both are distances that fit a word.
            width = Width::W32;
        } else {
            if packets[0] {
                left = self.address_of(state, left);
            }
            if packets[1] {
                right = self.address_of(state, right);
            }
        }
        let is_null_check = width == Width::W64
            && matches!(condition.op, CmpOp::Eq | CmpOp::Ne)
            && condition.src == Operand::Imm(0);
        for kind in [kinds[0], if is_register { kinds[1] } else { Kind::Number }] {
            match kind {
                Kind::Nullable if is_null_check => {}
                Kind::Packet { .. } | Kind::PacketEnd => {}
                kind => self.only_value(kind)?,
            }
        }
        let (a, b) = (left, right);
        Ok(match (condition.op, width) {
            (CmpOp::Eq, Width::W64) => (Test::EqualWide(a, b), false),
            (CmpOp::Ne, Width::W64) => (Test::EqualWide(a, b), true),
            (CmpOp::Gt, Width::W64) => (Test::BelowWide(b, a), false),
            (CmpOp::Ge, Width::W64) => (Test::BelowWide(a, b), true),
            (CmpOp::Lt, Width::W64) => (Test::BelowWide(a, b), false),
            (CmpOp::Le, Width::W64) => (Test::BelowWide(b, a), true),
            (CmpOp::SGt, Width::W64) => (Test::LessWide(b, a), false),
            (CmpOp::SGe, Width::W64) => (Test::LessWide(a, b), true),
            (CmpOp::SLt, Width::W64) => (Test::LessWide(a, b), false),
            (CmpOp::SLe, Width::W64) => (Test::LessWide(b, a), true),
            (CmpOp::Set, Width::W64) => (Test::BitsWide(a, b), false),
            (CmpOp::Eq, Width::W32) => (Test::Equal(a[0], b[0]), false),
            (CmpOp::Ne, Width::W32) => (Test::Equal(a[0], b[0]), true),
            (CmpOp::Gt, Width::W32) => (Test::Below(b[0], a[0]), false),
            (CmpOp::Ge, Width::W32) => (Test::Below(a[0], b[0]), true),
            (CmpOp::Lt, Width::W32) => (Test::Below(a[0], b[0]), false),
            (CmpOp::Le, Width::W32) => (Test::Below(b[0], a[0]), true),
            (CmpOp::SGt, Width::W32) => (Test::Less(b[0], a[0]), false),
            (CmpOp::SGe, Width::W32) => (Test::Less(a[0], b[0]), true),
            (CmpOp::SLt, Width::W32) => (Test::Less(a[0], b[0]), false),
            (CmpOp::SLe, Width::W32) => (Test::Less(b[0], a[0]), true),
            (CmpOp::Set, Width::W32) => (Test::Bits(a[0], b[0]), false),
        })
    }
}
