//! The typed model to raw slots: the exact inverse of decoding.

use super::opcode::{ADDRESS_SPACE_CAST, SOURCE_REGISTER, alu, atomic, class, jump, mode, size};
use super::{
    AluOp, AtomicOp, Callee, CmpOp, Condition, Imm64, Insn, Instruction, Operand, Reg, Size, Swap,
    Width,
};

impl Instruction {
    /// The raw slot, and the second one of a 64-bit immediate load.
    pub fn encode(&self) -> (Insn, Option<Insn>) {
        let slot = match *self {
            Self::LoadImm64 { dst, value } => return load_imm64(dst, value),
            Self::Alu {
                width,
                op,
                dst,
                src,
            } => with_operand(
                Insn {
                    code: arithmetic_class(width) | operation(op),
                    dst: dst.number(),
                    off: i16::from(matches!(op, AluOp::SDiv | AluOp::SMod)),
                    ..Insn::default()
                },
                src,
            ),
            Self::MoveSigned {
                width,
                from,
                dst,
                src,
            } => Insn {
                code: arithmetic_class(width) | SOURCE_REGISTER | alu::MOV,
                dst: dst.number(),
                src: src.number(),
                off: from.bits() as i16,
                imm: 0,
            },
            Self::Negate { width, dst } => Insn {
                code: arithmetic_class(width) | alu::NEG,
                dst: dst.number(),
                ..Insn::default()
            },
            Self::Swap { swap, size, dst } => Insn {
                code: alu::END
                    | match swap {
                        Swap::ToLittle => class::ALU,
                        Swap::ToBig => class::ALU | SOURCE_REGISTER,
                        Swap::Always => class::ALU64,
                    },
                dst: dst.number(),
                imm: size.bits() as i32,
                ..Insn::default()
            },
            Self::CastAddress { dst, src, to_arena } => Insn {
                code: class::ALU64 | SOURCE_REGISTER | alu::MOV,
                dst: dst.number(),
                src: src.number(),
                off: ADDRESS_SPACE_CAST,
                imm: if to_arena { 0x1_0000 } else { 1 },
            },
            Self::Load {
                size,
                signed,
                dst,
                base,
                off,
            } => Insn {
                code: class::LDX | size_bits(size) | if signed { mode::MEMSX } else { mode::MEM },
                dst: dst.number(),
                src: base.number(),
                off,
                imm: 0,
            },
            Self::Store {
                size,
                base,
                off,
                src,
            } => {
                let slot = Insn {
                    code: mode::MEM | size_bits(size),
                    dst: base.number(),
                    off,
                    ..Insn::default()
                };
                match src {
                    Operand::Reg(src) => Insn {
                        code: slot.code | class::STX,
                        src: src.number(),
                        ..slot
                    },
                    Operand::Imm(imm) => Insn {
                        code: slot.code | class::ST,
                        imm,
                        ..slot
                    },
                }
            }
            Self::Atomic {
                op,
                size,
                base,
                off,
                src,
                fetch,
            } => {
                let op = match op {
                    AtomicOp::Add => alu::ADD,
                    AtomicOp::Or => alu::OR,
                    AtomicOp::And => alu::AND,
                    AtomicOp::Xor => alu::XOR,
                };
                let fetch = if fetch { atomic::FETCH } else { 0 };
                atomic_slot(size, base, off, src, i32::from(op) | fetch)
            }
            Self::Exchange {
                size,
                base,
                off,
                src,
            } => atomic_slot(size, base, off, src, atomic::XCHG),
            Self::CompareExchange {
                size,
                base,
                off,
                src,
            } => atomic_slot(size, base, off, src, atomic::CMPXCHG),
            Self::LoadAcquire {
                size,
                dst,
                base,
                off,
            } => atomic_slot(size, dst, off, base, atomic::LOAD_ACQUIRE),
            Self::StoreRelease {
                size,
                base,
                off,
                src,
            } => atomic_slot(size, base, off, src, atomic::STORE_RELEASE),
            Self::LoadPacket {
                size,
                index,
                offset,
            } => Insn {
                code: class::LD
                    | size_bits(size)
                    | if index.is_some() {
                        mode::IND
                    } else {
                        mode::ABS
                    },
                src: index.map_or(0, Reg::number),
                imm: offset,
                ..Insn::default()
            },
            Self::Jump { offset, long: true } => Insn {
                code: class::JMP32 | jump::JA,
                imm: offset,
                ..Insn::default()
            },
            Self::Jump {
                offset,
                long: false,
            } => Insn {
                code: class::JMP | jump::JA,
                off: offset as i16,
                ..Insn::default()
            },
            Self::Branch { condition, offset } => branch(condition, offset),
            Self::MayGoto { offset } => Insn {
                code: class::JMP | jump::JCOND,
                off: offset,
                ..Insn::default()
            },
            Self::Call(callee) => call(callee),
            Self::Exit => Insn {
                code: class::JMP | jump::EXIT,
                ..Insn::default()
            },
        };
        (slot, None)
    }
}

fn arithmetic_class(width: Width) -> u8 {
    match width {
        Width::W32 => class::ALU,
        Width::W64 => class::ALU64,
    }
}

fn operation(op: AluOp) -> u8 {
    match op {
        AluOp::Add => alu::ADD,
        AluOp::Sub => alu::SUB,
        AluOp::Mul => alu::MUL,
        AluOp::Div | AluOp::SDiv => alu::DIV,
        AluOp::Or => alu::OR,
        AluOp::And => alu::AND,
        AluOp::Lsh => alu::LSH,
        AluOp::Rsh => alu::RSH,
        AluOp::Mod | AluOp::SMod => alu::MOD,
        AluOp::Xor => alu::XOR,
        AluOp::Mov => alu::MOV,
        AluOp::Arsh => alu::ARSH,
    }
}

fn with_operand(slot: Insn, operand: Operand) -> Insn {
    match operand {
        Operand::Reg(src) => Insn {
            code: slot.code | SOURCE_REGISTER,
            src: src.number(),
            ..slot
        },
        Operand::Imm(imm) => Insn { imm, ..slot },
    }
}

fn size_bits(size: Size) -> u8 {
    match size {
        Size::B8 => size::B,
        Size::B16 => size::H,
        Size::B32 => size::W,
        Size::B64 => size::DW,
    }
}

fn atomic_slot(size: Size, dst: Reg, off: i16, src: Reg, imm: i32) -> Insn {
    Insn {
        code: class::STX | mode::ATOMIC | size_bits(size),
        dst: dst.number(),
        src: src.number(),
        off,
        imm,
    }
}

fn branch(condition: Condition, offset: i16) -> Insn {
    let op = match condition.op {
        CmpOp::Eq => jump::JEQ,
        CmpOp::Ne => jump::JNE,
        CmpOp::Gt => jump::JGT,
        CmpOp::Ge => jump::JGE,
        CmpOp::Lt => jump::JLT,
        CmpOp::Le => jump::JLE,
        CmpOp::SGt => jump::JSGT,
        CmpOp::SGe => jump::JSGE,
        CmpOp::SLt => jump::JSLT,
        CmpOp::SLe => jump::JSLE,
        CmpOp::Set => jump::JSET,
    };
    let class = match condition.width {
        Width::W32 => class::JMP32,
        Width::W64 => class::JMP,
    };
    let slot = Insn {
        code: class | op,
        dst: condition.dst.number(),
        off: offset,
        ..Insn::default()
    };
    with_operand(slot, condition.src)
}

fn call(callee: Callee) -> Insn {
    let slot = Insn {
        code: class::JMP | jump::CALL,
        ..Insn::default()
    };
    match callee {
        Callee::Helper(id) => Insn { imm: id, ..slot },
        Callee::Local(offset) => Insn {
            src: Insn::PSEUDO_CALL,
            imm: offset,
            ..slot
        },
        Callee::Kernel { btf_id, module } => Insn {
            src: Insn::PSEUDO_KFUNC_CALL,
            off: module,
            imm: btf_id,
            ..slot
        },
        Callee::Register(reg) => Insn {
            code: slot.code | SOURCE_REGISTER,
            dst: reg.number(),
            ..slot
        },
    }
}

fn load_imm64(dst: Reg, value: Imm64) -> (Insn, Option<Insn>) {
    let (src, lower, upper) = match value {
        Imm64::Number(number) => (0, number as i32, (number >> 32) as i32),
        Imm64::MapFd(fd) => (Insn::PSEUDO_MAP_FD, fd, 0),
        Imm64::MapValueFd { fd, offset } => (Insn::PSEUDO_MAP_VALUE, fd, offset as i32),
        Imm64::BtfVariable { btf_id, btf_fd } => (Insn::PSEUDO_BTF_ID, btf_id, btf_fd),
        Imm64::Function(offset) => (Insn::PSEUDO_FUNC, offset, 0),
        Imm64::MapIndex(index) => (Insn::PSEUDO_MAP_IDX, index, 0),
        Imm64::MapValueIndex { index, offset } => {
            (Insn::PSEUDO_MAP_IDX_VALUE, index, offset as i32)
        }
    };
    (
        Insn {
            code: Insn::LD_IMM64,
            dst: dst.number(),
            src,
            off: 0,
            imm: lower,
        },
        Some(Insn {
            imm: upper,
            ..Insn::default()
        }),
    )
}
