//! Raw slots to the typed model, as strict as the kernel: what it calls "uses reserved fields" is an
//! error here too. Whether jumps land in the program and registers are initialised is for later stages.

use super::opcode::{
    ADDRESS_SPACE_CAST, OPERATION_MASK, SOURCE_REGISTER, alu, atomic, class, jump, mode, size,
};
use super::{
    AluOp, AtomicOp, Callee, CmpOp, Condition, Imm64, Insn, Instruction, Operand, Reg, Size, Swap,
    Width,
};

/// A program of typed instructions. Positions are slots, as jumps and the kernel's messages count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Code {
    /// One entry a slot; `None` is the second half of a 64-bit immediate load.
    slots: Vec<Option<Instruction>>,
}

impl Code {
    /// Decodes a whole program; the error names the first slot that means nothing.
    pub fn decode(insns: &[Insn]) -> Result<Self, DecodeError> {
        let mut slots = Vec::with_capacity(insns.len());
        while let Some(insn) = insns.get(slots.len()) {
            let slot = slots.len();
            let next = insns.get(slot + 1);
            let instruction = decode(insn, next).map_err(|kind| DecodeError {
                slot,
                opcode: insn.code,
                kind,
            })?;
            slots.push(Some(instruction));
            if instruction.slots() == 2 {
                slots.push(None);
            }
        }
        Ok(Self { slots })
    }

    /// The program of these instructions, one after another.
    pub fn from_instructions(instructions: impl IntoIterator<Item = Instruction>) -> Self {
        let mut slots = Vec::new();
        for instruction in instructions {
            slots.push(Some(instruction));
            if instruction.slots() == 2 {
                slots.push(None);
            }
        }
        Self { slots }
    }

    /// The raw slots: exactly what [`Code::decode`] took.
    pub fn encode(&self) -> Vec<Insn> {
        let mut insns = Vec::with_capacity(self.slots.len());
        for (_, instruction) in self.iter() {
            let (first, second) = instruction.encode();
            insns.push(first);
            insns.extend(second);
        }
        insns
    }

    /// The instruction that begins at this slot; `None` outside the program and in the second half
    /// of a 64-bit immediate load.
    pub fn at(&self, slot: usize) -> Option<&Instruction> {
        self.slots.get(slot)?.as_ref()
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no instruction at all.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether this slot is the second half of a 64-bit immediate load.
    pub fn is_second_half(&self, slot: usize) -> bool {
        matches!(self.slots.get(slot), Some(None))
    }

    /// Each instruction with the slot where it begins.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, &Instruction)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(slot, instruction)| Some((slot, instruction.as_ref()?)))
    }
}

/// A slot that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("instruction {slot} (opcode 0x{opcode:02x}): {kind}")]
pub struct DecodeError {
    /// The slot, counted from 0.
    pub slot: usize,
    /// Its opcode byte.
    pub opcode: u8,
    /// What is wrong with it.
    pub kind: DecodeErrorKind,
}

/// What is wrong with a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// No instruction has this opcode.
    #[error("unknown opcode")]
    UnknownOpcode,
    /// A register field above 10.
    #[error("R{0} is invalid")]
    InvalidRegister(u8),
    /// A field that this instruction does not use is not zero.
    #[error("uses a reserved field: {0} must be zero")]
    Reserved(ReservedField),
    /// The offset selects no variant of the operation.
    #[error("no variant of the operation has offset {0}")]
    UnknownVariant(i16),
    /// A byte swap of a size other than 16, 32 and 64.
    #[error("byte swap of {0} bits; 16, 32 and 64 exist")]
    SwapSize(i32),
    /// An address space cast other than between 0 and 1.
    #[error("address space cast 0x{0:x}; only 0x1 and 0x10000 exist")]
    AddressSpace(i32),
    /// No atomic operation has this immediate.
    #[error("unknown atomic operation 0x{0:x}")]
    UnknownAtomic(i32),
    /// The size does not go with the operation.
    #[error("no access of {} bits in this form", .0.bits())]
    AccessSize(Size),
    /// The source register field names no kind of call.
    #[error("unknown kind of call {0}")]
    UnknownCall(u8),
    /// The source register field names no kind of 64-bit immediate.
    #[error("unknown kind of 64-bit immediate {0}")]
    UnknownImmediate(u8),
    /// A 64-bit immediate load in the program's last slot.
    #[error("the second half of the 64-bit immediate load is missing")]
    MissingSecondHalf,
    /// The second half of a 64-bit immediate load holds more than an immediate.
    #[error("the second half of the 64-bit immediate load is not a plain immediate")]
    BadSecondHalf,
}

/// A field that must be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservedField {
    /// Destination register.
    Dst,
    /// Source register.
    Src,
    /// Offset.
    Off,
    /// Immediate.
    Imm,
    /// The second half's immediate, of a 64-bit immediate load that has no use for it.
    UpperImm,
}

impl std::fmt::Display for ReservedField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dst => "the destination register",
            Self::Src => "the source register",
            Self::Off => "the offset",
            Self::Imm => "the immediate",
            Self::UpperImm => "the upper half of the immediate",
        })
    }
}

type Kind = DecodeErrorKind;
type Result1<T> = std::result::Result<T, Kind>;

fn decode(insn: &Insn, next: Option<&Insn>) -> Result1<Instruction> {
    match insn.code & class::MASK {
        class::ALU => arithmetic(insn, Width::W32),
        class::ALU64 => arithmetic(insn, Width::W64),
        class::JMP | class::JMP32 => jump(insn),
        class::LDX => load(insn),
        class::ST => store_immediate(insn),
        class::STX => store_register(insn),
        _ => load_special(insn, next),
    }
}

fn reg(number: u8) -> Result1<Reg> {
    Reg::new(number).ok_or(Kind::InvalidRegister(number))
}

impl Insn {
    fn dst(&self) -> Result1<Reg> {
        reg(self.dst)
    }

    fn src(&self) -> Result1<Reg> {
        reg(self.src)
    }

    /// The second operand by the source bit; the other one must be zero.
    fn operand(&self) -> Result1<Operand> {
        if self.code & SOURCE_REGISTER == 0 {
            self.zero(&[ReservedField::Src])?;
            Ok(Operand::Imm(self.imm))
        } else {
            self.zero(&[ReservedField::Imm])?;
            Ok(Operand::Reg(self.src()?))
        }
    }

    fn zero(&self, fields: &[ReservedField]) -> Result1<()> {
        for field in fields {
            let is_zero = match field {
                ReservedField::Dst => self.dst == 0,
                ReservedField::Src => self.src == 0,
                ReservedField::Off => self.off == 0,
                ReservedField::Imm | ReservedField::UpperImm => self.imm == 0,
            };
            if !is_zero {
                return Err(Kind::Reserved(*field));
            }
        }
        Ok(())
    }

    fn size(&self) -> Size {
        match self.code & size::MASK {
            size::B => Size::B8,
            size::H => Size::B16,
            size::W => Size::B32,
            _ => Size::B64,
        }
    }
}

fn arithmetic(insn: &Insn, width: Width) -> Result1<Instruction> {
    use ReservedField::{Imm, Off, Src};
    let dst = insn.dst()?;
    let op = match insn.code & OPERATION_MASK {
        alu::NEG => {
            if insn.code & SOURCE_REGISTER != 0 {
                return Err(Kind::UnknownOpcode);
            }
            insn.zero(&[Src, Off, Imm])?;
            return Ok(Instruction::Negate { width, dst });
        }
        alu::END => return swap(insn, width, dst),
        alu::MOV if insn.code & SOURCE_REGISTER != 0 && insn.off != 0 => {
            return move_variant(insn, width, dst);
        }
        alu::DIV if insn.off == 1 => AluOp::SDiv,
        alu::MOD if insn.off == 1 => AluOp::SMod,
        alu::DIV | alu::MOD if insn.off != 0 => return Err(Kind::UnknownVariant(insn.off)),
        operation => {
            let op = match operation {
                alu::ADD => AluOp::Add,
                alu::SUB => AluOp::Sub,
                alu::MUL => AluOp::Mul,
                alu::DIV => AluOp::Div,
                alu::OR => AluOp::Or,
                alu::AND => AluOp::And,
                alu::LSH => AluOp::Lsh,
                alu::RSH => AluOp::Rsh,
                alu::MOD => AluOp::Mod,
                alu::XOR => AluOp::Xor,
                alu::MOV => AluOp::Mov,
                alu::ARSH => AluOp::Arsh,
                _ => return Err(Kind::UnknownOpcode),
            };
            insn.zero(&[Off])?;
            op
        }
    };
    Ok(Instruction::Alu {
        width,
        op,
        dst,
        src: insn.operand()?,
    })
}

fn swap(insn: &Insn, width: Width, dst: Reg) -> Result1<Instruction> {
    let swap = match (width, insn.code & SOURCE_REGISTER != 0) {
        (Width::W32, false) => Swap::ToLittle,
        (Width::W32, true) => Swap::ToBig,
        (Width::W64, false) => Swap::Always,
        (Width::W64, true) => return Err(Kind::UnknownOpcode),
    };
    insn.zero(&[ReservedField::Src, ReservedField::Off])?;
    match Size::from_bits(insn.imm) {
        None | Some(Size::B8) => Err(Kind::SwapSize(insn.imm)),
        Some(size) => Ok(Instruction::Swap { swap, size, dst }),
    }
}

fn move_variant(insn: &Insn, width: Width, dst: Reg) -> Result1<Instruction> {
    let src = insn.src()?;
    if width == Width::W64 && insn.off == ADDRESS_SPACE_CAST {
        let to_arena = match insn.imm {
            1 => false,
            0x1_0000 => true,
            other => return Err(Kind::AddressSpace(other)),
        };
        return Ok(Instruction::CastAddress { dst, src, to_arena });
    }
    let from = match (insn.off, width) {
        (8, _) => Size::B8,
        (16, _) => Size::B16,
        (32, Width::W64) => Size::B32,
        _ => return Err(Kind::UnknownVariant(insn.off)),
    };
    insn.zero(&[ReservedField::Imm])?;
    Ok(Instruction::MoveSigned {
        width,
        from,
        dst,
        src,
    })
}

fn jump(insn: &Insn) -> Result1<Instruction> {
    use ReservedField::{Dst, Imm, Off, Src};
    let wide = insn.code & class::MASK == class::JMP;
    let by_register = insn.code & SOURCE_REGISTER != 0;
    let op = match insn.code & OPERATION_MASK {
        jump::JA => {
            if by_register {
                return Err(Kind::UnknownOpcode);
            }
            insn.zero(&[Dst, Src, if wide { Imm } else { Off }])?;
            return Ok(Instruction::Jump {
                offset: if wide { i32::from(insn.off) } else { insn.imm },
                long: !wide,
            });
        }
        jump::CALL if wide => return call(insn, by_register),
        jump::EXIT if wide && !by_register => {
            insn.zero(&[Dst, Src, Off, Imm])?;
            return Ok(Instruction::Exit);
        }
        jump::JCOND if wide && !by_register => {
            insn.zero(&[Dst, Src, Imm])?;
            return Ok(Instruction::MayGoto { offset: insn.off });
        }
        jump::JEQ => CmpOp::Eq,
        jump::JGT => CmpOp::Gt,
        jump::JGE => CmpOp::Ge,
        jump::JSET => CmpOp::Set,
        jump::JNE => CmpOp::Ne,
        jump::JSGT => CmpOp::SGt,
        jump::JSGE => CmpOp::SGe,
        jump::JLT => CmpOp::Lt,
        jump::JLE => CmpOp::Le,
        jump::JSLT => CmpOp::SLt,
        jump::JSLE => CmpOp::SLe,
        _ => return Err(Kind::UnknownOpcode),
    };
    Ok(Instruction::Branch {
        condition: Condition {
            width: if wide { Width::W64 } else { Width::W32 },
            op,
            dst: insn.dst()?,
            src: insn.operand()?,
        },
        offset: insn.off,
    })
}

fn call(insn: &Insn, by_register: bool) -> Result1<Instruction> {
    use ReservedField::{Dst, Imm, Off, Src};
    if by_register {
        insn.zero(&[Src, Off, Imm])?;
        return Ok(Instruction::Call(Callee::Register(insn.dst()?)));
    }
    insn.zero(&[Dst])?;
    let callee = match insn.src {
        0 => Callee::Helper(insn.imm),
        Insn::PSEUDO_CALL => Callee::Local(insn.imm),
        Insn::PSEUDO_KFUNC_CALL => Callee::Kernel {
            btf_id: insn.imm,
            module: insn.off,
        },
        other => return Err(Kind::UnknownCall(other)),
    };
    if insn.src != Insn::PSEUDO_KFUNC_CALL {
        insn.zero(&[Off])?;
    }
    Ok(Instruction::Call(callee))
}

fn load(insn: &Insn) -> Result1<Instruction> {
    let size = insn.size();
    let signed = match insn.code & mode::MASK {
        mode::MEM => false,
        mode::MEMSX if size != Size::B64 => true,
        _ => return Err(Kind::UnknownOpcode),
    };
    insn.zero(&[ReservedField::Imm])?;
    Ok(Instruction::Load {
        size,
        signed,
        dst: insn.dst()?,
        base: insn.src()?,
        off: insn.off,
    })
}

fn store_immediate(insn: &Insn) -> Result1<Instruction> {
    if insn.code & mode::MASK != mode::MEM {
        return Err(Kind::UnknownOpcode);
    }
    insn.zero(&[ReservedField::Src])?;
    Ok(Instruction::Store {
        size: insn.size(),
        base: insn.dst()?,
        off: insn.off,
        src: Operand::Imm(insn.imm),
    })
}

fn store_register(insn: &Insn) -> Result1<Instruction> {
    let (size, off) = (insn.size(), insn.off);
    match insn.code & mode::MASK {
        mode::MEM => {
            insn.zero(&[ReservedField::Imm])?;
            Ok(Instruction::Store {
                size,
                base: insn.dst()?,
                off,
                src: Operand::Reg(insn.src()?),
            })
        }
        mode::ATOMIC => atomic(insn),
        _ => Err(Kind::UnknownOpcode),
    }
}

fn atomic(insn: &Insn) -> Result1<Instruction> {
    let (size, off) = (insn.size(), insn.off);
    let (dst, src) = (insn.dst()?, insn.src()?);
    match insn.imm {
        atomic::LOAD_ACQUIRE => {
            return Ok(Instruction::LoadAcquire {
                size,
                dst,
                base: src,
                off,
            });
        }
        atomic::STORE_RELEASE => {
            return Ok(Instruction::StoreRelease {
                size,
                base: dst,
                off,
                src,
            });
        }
        _ => {}
    }
    let instruction = match insn.imm {
        atomic::XCHG => Instruction::Exchange {
            size,
            base: dst,
            off,
            src,
        },
        atomic::CMPXCHG => Instruction::CompareExchange {
            size,
            base: dst,
            off,
            src,
        },
        imm => {
            let op = match u8::try_from(imm & !atomic::FETCH) {
                Ok(alu::ADD) => AtomicOp::Add,
                Ok(alu::OR) => AtomicOp::Or,
                Ok(alu::AND) => AtomicOp::And,
                Ok(alu::XOR) => AtomicOp::Xor,
                _ => return Err(Kind::UnknownAtomic(imm)),
            };
            Instruction::Atomic {
                op,
                size,
                base: dst,
                off,
                src,
                fetch: imm & atomic::FETCH != 0,
            }
        }
    };
    if matches!(size, Size::B8 | Size::B16) {
        return Err(Kind::AccessSize(size));
    }
    Ok(instruction)
}

fn load_special(insn: &Insn, next: Option<&Insn>) -> Result1<Instruction> {
    use ReservedField::{Dst, Off, Src};
    if insn.code == Insn::LD_IMM64 {
        return load_imm64(insn, next.ok_or(Kind::MissingSecondHalf)?);
    }
    let size = insn.size();
    let index = match insn.code & mode::MASK {
        mode::ABS if size != Size::B64 => {
            insn.zero(&[Src])?;
            None
        }
        mode::IND if size != Size::B64 => Some(insn.src()?),
        _ => return Err(Kind::UnknownOpcode),
    };
    insn.zero(&[Dst, Off])?;
    Ok(Instruction::LoadPacket {
        size,
        index,
        offset: insn.imm,
    })
}

fn load_imm64(insn: &Insn, next: &Insn) -> Result1<Instruction> {
    if (next.code, next.dst, next.src, next.off) != (0, 0, 0, 0) {
        return Err(Kind::BadSecondHalf);
    }
    insn.zero(&[ReservedField::Off])?;
    let upper_is_zero = || next.zero(&[ReservedField::UpperImm]);
    let offset = next.imm as u32;
    let value = match insn.src {
        0 => Imm64::Number(u64::from(insn.imm as u32) | (u64::from(offset) << 32)),
        Insn::PSEUDO_MAP_FD => {
            upper_is_zero()?;
            Imm64::MapFd(insn.imm)
        }
        Insn::PSEUDO_MAP_VALUE => Imm64::MapValueFd {
            fd: insn.imm,
            offset,
        },
        Insn::PSEUDO_BTF_ID => Imm64::BtfVariable {
            btf_id: insn.imm,
            btf_fd: next.imm,
        },
        Insn::PSEUDO_FUNC => {
            upper_is_zero()?;
            Imm64::Function(insn.imm)
        }
        Insn::PSEUDO_MAP_IDX => {
            upper_is_zero()?;
            Imm64::MapIndex(insn.imm)
        }
        Insn::PSEUDO_MAP_IDX_VALUE => Imm64::MapValueIndex {
            index: insn.imm,
            offset,
        },
        other => return Err(Kind::UnknownImmediate(other)),
    };
    Ok(Instruction::LoadImm64 {
        dst: insn.dst()?,
        value,
    })
}
