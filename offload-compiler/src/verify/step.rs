//! One instruction.

use crate::isa::{Callee, Imm64, Instruction, Reg};

use super::explore::{Next, Step, Walk};
use super::finding::{Code, Finding};
use super::state::State;
use super::structure;
use super::value::{Object, Pointer, Region, Value};

impl Walk<'_> {
    pub(super) fn step(
        &mut self,
        state: &mut State,
        slot: usize,
        instruction: &Instruction,
    ) -> Step<Next> {
        if instruction.written() == Some(Reg::R10) {
            return Err(Box::new(Finding::error(
                Code::ReadOnlyRegister,
                slot,
                "r10, the frame pointer, cannot be written to",
            )));
        }
        match *instruction {
            Instruction::Alu {
                width,
                op,
                dst,
                src,
            } => self.alu(state, slot, op, width, dst, src)?,
            Instruction::MoveSigned {
                width,
                from,
                dst,
                src,
            } => {
                self.move_signed(state, slot, width, from, dst, src)?;
            }
            Instruction::Negate { width, dst } => self.negate(state, slot, width, dst)?,
            Instruction::Swap { dst, .. } => self.swap(state, slot, dst)?,
            Instruction::CastAddress { .. } => {
                return Err(Box::new(Finding::error(
                    Code::Unsupported,
                    slot,
                    "arenas are not modelled",
                )));
            }
            Instruction::Load {
                size,
                signed,
                dst,
                base,
                off,
            } => {
                self.load(state, slot, size, signed, dst, (base, off))?;
            }
            Instruction::LoadAcquire {
                size,
                dst,
                base,
                off,
            } => {
                self.load(state, slot, size, false, dst, (base, off))?;
            }
            Instruction::Store {
                size,
                base,
                off,
                src,
            } => {
                self.store(state, slot, size, (base, off), src)?;
            }
            Instruction::StoreRelease {
                size,
                base,
                off,
                src,
            } => {
                self.store(
                    state,
                    slot,
                    size,
                    (base, off),
                    crate::isa::Operand::Reg(src),
                )?;
            }
            Instruction::Atomic {
                size,
                base,
                off,
                src,
                fetch,
                ..
            } => {
                self.atomic(state, slot, size, (base, off), src, fetch.then_some(src))?;
            }
            Instruction::Exchange {
                size,
                base,
                off,
                src,
            } => {
                self.atomic(state, slot, size, (base, off), src, Some(src))?;
            }
            Instruction::CompareExchange {
                size,
                base,
                off,
                src,
            } => {
                self.read(state, Reg::R0, slot)?;
                self.atomic(state, slot, size, (base, off), src, Some(Reg::R0))?;
            }
            Instruction::LoadImm64 { dst, value } => self.load_imm64(state, slot, dst, value)?,
            Instruction::LoadPacket { .. } => {
                return Err(Box::new(
                    Finding::error(
                        Code::InvalidInstruction,
                        slot,
                        "LD_ABS and LD_IND are for socket filters, not for XDP",
                    )
                    .help("read the packet through data and data_end"),
                ));
            }
            Instruction::Jump { offset, .. } => {
                return Ok(Next::At(
                    structure::target(slot, offset).unwrap_or(usize::MAX),
                ));
            }
            Instruction::Branch {
                ref condition,
                offset,
            } => {
                return self.branch(state, slot, condition, offset);
            }
            Instruction::MayGoto { offset } => {
                let there = structure::target(slot, offset.into()).unwrap_or(usize::MAX);
                let mut another_round = state.clone();
                another_round.may_goto_rounds += 1;
                // The newest state of this slot is the one that this round started with.
                self.widen(&mut another_round, slot, self.parent);
                self.postpone(another_round, slot + 1, Some((slot, false)));
                self.turn(slot, true);
                return Ok(Next::At(there));
            }
            Instruction::Call(callee) => return self.call(state, slot, callee),
            Instruction::Exit => return self.exit(state, slot),
        }
        Ok(Next::At(slot + instruction.slots()))
    }

    fn call(&mut self, state: &mut State, slot: usize, callee: Callee) -> Step<Next> {
        match callee {
            Callee::Helper(id) => self.call_helper(state, slot, id),
            Callee::Local(_) => self.call_local(state, slot),
            Callee::Kernel { btf_id, module } => self.call_kernel(state, slot, btf_id, module),
            Callee::Register(_) => Err(Box::new(
                Finding::error(
                    Code::InvalidInstruction,
                    slot,
                    "a call through a register: no kernel takes it",
                )
                .help(
                    "compile with optimisation, so that the compiler sees which function is called",
                ),
            )),
        }
    }

    fn load_imm64(&mut self, state: &mut State, slot: usize, dst: Reg, value: Imm64) -> Step<()> {
        let mark = self.marks.fresh();
        let value = match value {
            Imm64::Number(number) => Value::constant(number),
            Imm64::Function(_) => {
                let start = self
                    .input
                    .code
                    .at(slot)
                    .and_then(|instruction| structure::callee(slot, instruction))
                    .filter(|&start| self.input.function_at(start).is_some());
                let Some(start) = start else {
                    return Err(Box::new(Finding::error(
                        Code::ControlFlow,
                        slot,
                        "the address of something that is no function",
                    )));
                };
                if !self.input.has_function_info {
                    return Err(Box::new(
                        Finding::error(
                            Code::Unsupported,
                            slot,
                            "the address of a function is taken, but nothing tells the kernel what it is",
                        )
                        .help("compile with -g, so that the object describes its functions (.BTF.ext)"),
                    ));
                }
                if self
                    .input
                    .function_at(start)
                    .is_some_and(|function| function.global.is_some())
                {
                    return Err(Box::new(
                        Finding::error(
                            Code::HelperArgument,
                            slot,
                            "the address of a global function is taken",
                        )
                        .help("declare callbacks static"),
                    ));
                }
                Value::Pointer(Pointer::to(Region::Function(start as u32)))
            }
            Imm64::BtfVariable { .. } => Value::Pointer(Pointer::to(Region::Kernel(Object::Other))),
            Imm64::MapFd(_)
            | Imm64::MapIndex(_)
            | Imm64::MapValueFd { .. }
            | Imm64::MapValueIndex { .. } => self.map_address(slot)?,
        };
        state.set(dst, value, mark);
        Ok(())
    }

    fn map_address(&mut self, slot: usize) -> Step<Value> {
        let Some(reference) = self.input.map_at.get(&slot) else {
            return Err(Box::new(Finding::error(
                Code::Unsupported,
                slot,
                "the map that this instruction loads is not known",
            )));
        };
        Ok(Value::Pointer(match reference.value_offset {
            None => Pointer::to(Region::Map(reference.map)),
            Some(offset) => Pointer {
                off: offset as i32,
                ..Pointer::to(Region::MapValue(reference.map))
            },
        }))
    }
}
