//! The typed model: every instruction of eBPF ISA v1 to v4 and of Linux 6.18.

use std::fmt;

/// A register, r0 to r10. r10 is the frame pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg(u8);

impl Reg {
    /// Return value of calls and of the program.
    pub const R0: Self = Self(0);
    /// First argument; the context at the program's entry.
    pub const R1: Self = Self(1);
    /// Second argument.
    pub const R2: Self = Self(2);
    /// Third argument.
    pub const R3: Self = Self(3);
    /// Fourth argument.
    pub const R4: Self = Self(4);
    /// Fifth argument.
    pub const R5: Self = Self(5);
    /// Preserved across calls, like r7, r8 and r9.
    pub const R6: Self = Self(6);
    /// Preserved across calls.
    pub const R7: Self = Self(7);
    /// Preserved across calls.
    pub const R8: Self = Self(8);
    /// Preserved across calls.
    pub const R9: Self = Self(9);
    /// The frame pointer: one past the highest byte of the frame; read-only.
    pub const R10: Self = Self(10);
    /// All registers, r0 first.
    pub const ALL: [Self; 11] = [
        Self::R0,
        Self::R1,
        Self::R2,
        Self::R3,
        Self::R4,
        Self::R5,
        Self::R6,
        Self::R7,
        Self::R8,
        Self::R9,
        Self::R10,
    ];

    /// The register of this number; `None` above 10.
    pub const fn new(number: u8) -> Option<Self> {
        if number <= 10 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The register's number, 0..=10.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The register's number as an array index, 0..=10.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// Width of an arithmetic operation or of a comparison. 32-bit arithmetic zeroes the upper half of
/// its destination (RFC 9669 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// The lower half, printed `wN`.
    W32,
    /// The whole register, printed `rN`.
    W64,
}

impl Width {
    /// 32 or 64.
    pub const fn bits(self) -> u32 {
        match self {
            Self::W32 => 32,
            Self::W64 => 64,
        }
    }
}

/// Size of a memory access or of a byte swap's or sign extension's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// One byte.
    B8,
    /// Two bytes.
    B16,
    /// Four bytes.
    B32,
    /// Eight bytes.
    B64,
}

impl Size {
    /// 1, 2, 4 or 8.
    pub const fn bytes(self) -> u32 {
        self.bits() / 8
    }

    /// 8, 16, 32 or 64.
    pub const fn bits(self) -> u32 {
        match self {
            Self::B8 => 8,
            Self::B16 => 16,
            Self::B32 => 32,
            Self::B64 => 64,
        }
    }

    /// The size of that many bits; `None` if there is no such access.
    pub const fn from_bits(bits: i32) -> Option<Self> {
        match bits {
            8 => Some(Self::B8),
            16 => Some(Self::B16),
            32 => Some(Self::B32),
            64 => Some(Self::B64),
            _ => None,
        }
    }
}

/// A second operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A register, whole or its lower half by the operation's width.
    Reg(Reg),
    /// An immediate; sign-extended where the operation has 64 bits.
    Imm(i32),
}

/// A binary arithmetic operation, `dst = dst OP src` (and `dst = src` for `Mov`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AluOp {
    /// Wrapping addition.
    Add,
    /// Wrapping subtraction.
    Sub,
    /// Wrapping multiplication.
    Mul,
    /// Unsigned division; by zero gives 0.
    Div,
    /// Signed division rounding towards zero; by zero gives 0, the least value by -1 gives itself.
    SDiv,
    /// Bitwise or.
    Or,
    /// Bitwise and.
    And,
    /// Shift left; the count is taken modulo the width.
    Lsh,
    /// Logical shift right; the count is taken modulo the width.
    Rsh,
    /// Unsigned remainder; by zero leaves the destination (its upper half is zeroed at 32 bits).
    Mod,
    /// Signed remainder with the dividend's sign; by zero leaves the destination.
    SMod,
    /// Bitwise exclusive or.
    Xor,
    /// Copy.
    Mov,
    /// Arithmetic shift right; the count is taken modulo the width.
    Arsh,
}

/// What a byte swap does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Swap {
    /// Between host and little-endian order: on a little-endian host only truncates.
    ToLittle,
    /// Between host and big-endian order: on a little-endian host reverses the bytes.
    ToBig,
    /// Reverses the bytes on every host (ISA v4).
    Always,
}

/// A comparison of two registers, or of a register and an immediate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CmpOp {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// Unsigned `>`
    Gt,
    /// Unsigned `>=`
    Ge,
    /// Unsigned `<`
    Lt,
    /// Unsigned `<=`
    Le,
    /// Signed `>`
    SGt,
    /// Signed `>=`
    SGe,
    /// Signed `<`
    SLt,
    /// Signed `<=`
    SLe,
    /// `&`: some bit is set in both.
    Set,
}

/// The condition of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Compares whole registers or lower halves.
    pub width: Width,
    /// The comparison.
    pub op: CmpOp,
    /// Left-hand side.
    pub dst: Reg,
    /// Right-hand side.
    pub src: Operand,
}

/// An atomic operation on memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AtomicOp {
    /// `*p += src`
    Add,
    /// `*p |= src`
    Or,
    /// `*p &= src`
    And,
    /// `*p ^= src`
    Xor,
}

/// What a call calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Callee {
    /// A helper by its id; named by [`super::functions`].
    Helper(i32),
    /// A subprogram, in slots from the slot after the call.
    Local(i32),
    /// A kernel function by its BTF id; `module` indexes the `fd_array` of the load, 0 for the kernel itself.
    Kernel {
        /// BTF id of the function.
        btf_id: i32,
        /// Index into `fd_array` of the module's BTF.
        module: i16,
    },
    /// The helper whose id is in the register (`callx`; the kernel refuses it).
    Register(Reg),
}

/// What a 64-bit immediate load loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Imm64 {
    /// The number itself.
    Number(u64),
    /// The map with this file descriptor.
    MapFd(i32),
    /// An address in the first value of the map with this file descriptor.
    MapValueFd {
        /// File descriptor of the map.
        fd: i32,
        /// Offset into the value, in bytes.
        offset: u32,
    },
    /// A kernel variable.
    BtfVariable {
        /// BTF id of the variable.
        btf_id: i32,
        /// File descriptor of its module's BTF, 0 for the kernel itself.
        btf_fd: i32,
    },
    /// A subprogram for a callback, in slots from the slot after this instruction's first.
    Function(i32),
    /// The map at this index of the load's `fd_array`.
    MapIndex(i32),
    /// An address in the first value of the map at this index of the load's `fd_array`.
    MapValueIndex {
        /// Index into `fd_array`.
        index: i32,
        /// Offset into the value, in bytes.
        offset: u32,
    },
}

/// One instruction. `Display` prints the kernel's text, without the opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Instruction {
    /// `dst = dst OP src`
    Alu {
        /// Width of the operation.
        width: Width,
        /// The operation.
        op: AluOp,
        /// Destination and first operand.
        dst: Reg,
        /// Second operand.
        src: Operand,
    },
    /// `dst = (sN)src`: move with sign extension (ISA v4).
    MoveSigned {
        /// Width of the result.
        width: Width,
        /// Size of the source: 8 or 16 bits, and 32 where the width is 64.
        from: Size,
        /// Destination.
        dst: Reg,
        /// Source.
        src: Reg,
    },
    /// `dst = -dst`
    Negate {
        /// Width of the operation.
        width: Width,
        /// Operand and destination.
        dst: Reg,
    },
    /// `dst = beN dst`: the result is zero-extended to 64 bits.
    Swap {
        /// Which way.
        swap: Swap,
        /// 16, 32 or 64 bits.
        size: Size,
        /// Operand and destination.
        dst: Reg,
    },
    /// `dst = addr_space_cast(src, to, from)`: between the arena's address space (1) and the kernel's (0).
    CastAddress {
        /// Destination.
        dst: Reg,
        /// Source.
        src: Reg,
        /// True from address space 0 to 1 (`imm` 0x10000 as the kernel encodes it: destination space 1).
        to_arena: bool,
    },
    /// `dst = *(uN *)(base + off)`
    Load {
        /// Size of the access.
        size: Size,
        /// Sign-extends (ISA v4; not at 64 bits).
        signed: bool,
        /// Destination.
        dst: Reg,
        /// Address.
        base: Reg,
        /// Signed offset in bytes.
        off: i16,
    },
    /// `*(uN *)(base + off) = src`
    Store {
        /// Size of the access.
        size: Size,
        /// Address.
        base: Reg,
        /// Signed offset in bytes.
        off: i16,
        /// What is stored; an immediate is sign-extended.
        src: Operand,
    },
    /// `lock *(uN *)(base + off) OP= src`
    Atomic {
        /// The operation.
        op: AtomicOp,
        /// 32 or 64 bits.
        size: Size,
        /// Address.
        base: Reg,
        /// Signed offset in bytes.
        off: i16,
        /// Operand, and where the old value goes with `fetch`.
        src: Reg,
        /// The old value is put into `src`.
        fetch: bool,
    },
    /// `src = xchg(base + off, src)`
    Exchange {
        /// 32 or 64 bits.
        size: Size,
        /// Address.
        base: Reg,
        /// Signed offset in bytes.
        off: i16,
        /// The new value, and where the old one goes.
        src: Reg,
    },
    /// `r0 = cmpxchg(base + off, r0, src)`
    CompareExchange {
        /// 32 or 64 bits.
        size: Size,
        /// Address.
        base: Reg,
        /// Signed offset in bytes.
        off: i16,
        /// The new value, stored if memory equals r0.
        src: Reg,
    },
    /// `dst = load_acquire(base + off)` (Linux 6.15)
    LoadAcquire {
        /// Size of the access.
        size: Size,
        /// Destination.
        dst: Reg,
        /// Address.
        base: Reg,
        /// Signed offset in bytes.
        off: i16,
    },
    /// `store_release(base + off, src)` (Linux 6.15)
    StoreRelease {
        /// Size of the access.
        size: Size,
        /// Address.
        base: Reg,
        /// Signed offset in bytes.
        off: i16,
        /// What is stored.
        src: Reg,
    },
    /// `dst = imm64`: two slots.
    LoadImm64 {
        /// Destination.
        dst: Reg,
        /// What is loaded.
        value: Imm64,
    },
    /// `r0 = *(uN *)skb[index + offset]`, in network order (`LD_ABS`, `LD_IND`; not for XDP programs).
    LoadPacket {
        /// 8, 16 or 32 bits.
        size: Size,
        /// Register part of the position (`LD_IND`).
        index: Option<Reg>,
        /// Constant part of the position.
        offset: i32,
    },
    /// `goto`, in slots from the next slot. `long` is the form with a 32-bit offset (`gotol`, ISA v4).
    Jump {
        /// Distance from the next slot.
        offset: i32,
        /// Encoded as `gotol`; a short jump's offset fits 16 bits.
        long: bool,
    },
    /// `if CONDITION goto`
    Branch {
        /// When it is taken.
        condition: Condition,
        /// Distance from the next slot.
        offset: i16,
    },
    /// `may_goto`: taken when the kernel's iteration budget is used up (Linux 6.9).
    MayGoto {
        /// Distance from the next slot.
        offset: i16,
    },
    /// `call`
    Call(Callee),
    /// `exit`: returns from the subprogram or ends the program.
    Exit,
}

impl Instruction {
    /// How many slots it takes: 2 for the 64-bit immediate load, else 1.
    pub const fn slots(&self) -> usize {
        match self {
            Self::LoadImm64 { .. } => 2,
            _ => 1,
        }
    }

    /// The distance to the jump target in slots from the next slot, where it jumps. Calls do not.
    pub const fn jump_offset(&self) -> Option<i32> {
        match self {
            Self::Jump { offset, .. } => Some(*offset),
            Self::Branch { offset, .. } | Self::MayGoto { offset } => Some(*offset as i32),
            _ => None,
        }
    }

    /// Whether control can pass to the next instruction.
    pub const fn falls_through(&self) -> bool {
        !matches!(self, Self::Jump { .. } | Self::Exit)
    }

    /// The register it writes, other than by a call (which sets r0 and spoils r1 to r5).
    pub const fn written(&self) -> Option<Reg> {
        match *self {
            Self::Alu { dst, .. }
            | Self::MoveSigned { dst, .. }
            | Self::Negate { dst, .. }
            | Self::Swap { dst, .. }
            | Self::CastAddress { dst, .. }
            | Self::Load { dst, .. }
            | Self::LoadAcquire { dst, .. }
            | Self::LoadImm64 { dst, .. } => Some(dst),
            Self::Exchange { src, .. }
            | Self::Atomic {
                src, fetch: true, ..
            } => Some(src),
            Self::CompareExchange { .. } | Self::LoadPacket { .. } => Some(Reg::R0),
            _ => None,
        }
    }
}

impl Instruction {
    /// The kernel's text, with names.
    pub fn text(&self, symbols: &dyn super::text::Symbols) -> String {
        let (first, second) = self.encode();
        super::text::line(first, second, symbols)
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(&super::text::Plain))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = super::text::letter(self.width);
        let op = super::text::comparison(self.op);
        write!(f, "{letter}{} {op} ", self.dst.number())?;
        match self.src {
            Operand::Reg(reg) => write!(f, "{letter}{}", reg.number()),
            Operand::Imm(imm) => write!(f, "0x{imm:x}"),
        }
    }
}
