//! The instructions and their parts.

use super::operand::{Destination, Operand};

/// One instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Instruction {
    /// Arithmetic and logic on two operands.
    Alu(Alu),
    /// Logic with a shifted right operand.
    Shift(ShiftOperation),
    /// Copies chosen bytes of a shifted operand.
    LoadField(LoadField),
    /// Loads a constant.
    Immediate(Immediate),
    /// Goes to a fixed place, always or on a condition.
    Branch(Branch),
    /// Goes to a fixed place if a bit is set, or is clear.
    BranchBit(BranchBit),
    /// Goes to the place that an operand holds.
    Return(Return),
    /// A step of a multiplication.
    Multiply(Multiply),
    /// Writes or reads a control register.
    LocalCsr(LocalCsr),
    /// A command to memory.
    Memory(Memory),
}

impl Instruction {
    /// The instruction that does nothing: a constant 0 to no destination.
    pub const NOP: Instruction = Instruction::Immediate(Immediate {
        destination: Destination::None,
        value: 0,
        invert: false,
        part: ImmediatePart::Whole { shift: 0 },
        write_both: false,
    });

    /// Words after this one that are executed before control moves.
    pub fn defer(&self) -> u8 {
        match self {
            Instruction::Branch(branch) => branch.defer,
            Instruction::BranchBit(branch) => branch.defer,
            Instruction::Return(branch) => branch.defer,
            _ => 0,
        }
    }

    /// The program index that a branch with a fixed target goes to.
    pub fn target(&self) -> Option<u16> {
        match self {
            Instruction::Branch(branch) => Some(branch.target),
            Instruction::BranchBit(branch) => Some(branch.target),
            _ => None,
        }
    }
}

/// `alu`: destination := left OP right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Alu {
    /// Where the result goes.
    pub destination: Destination,
    /// What is done.
    pub operation: AluOperation,
    /// Left operand; [`Operand::None`] for the operations that take one operand only.
    pub left: Operand,
    /// Right operand.
    pub right: Operand,
    /// Write the result to the register of the other bank, too.
    pub write_both: bool,
}

/// Operation of [`Alu`]. Values are the field's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AluOperation {
    /// right
    B = 0x00,
    /// left + right
    Add = 0x01,
    /// NOT right
    NotB = 0x04,
    /// left + low 16 bits of right
    Add16 = 0x05,
    /// left AND right
    And = 0x08,
    /// left + low 8 bits of right; not seen in use
    Add8 = 0x09,
    /// NOT left AND right; not seen in use
    NotAnd = 0x0c,
    /// left - right - 1 + carry
    SubtractCarry = 0x0d,
    /// left AND NOT right
    AndNot = 0x10,
    /// left + right + carry
    AddCarry = 0x11,
    /// left OR right
    Or = 0x14,
    /// left - right
    Subtract = 0x15,
    /// left XOR right
    Xor = 0x18,
    /// right - left; not seen in use
    SubtractFrom = 0x19,
}

impl AluOperation {
    /// All operations with the disassembler's word for them.
    pub(in crate::isa) const ALL: [(AluOperation, &'static str); 14] = [
        (AluOperation::B, "B"),
        (AluOperation::Add, "+"),
        (AluOperation::NotB, "~B"),
        (AluOperation::Add16, "+16"),
        (AluOperation::And, "AND"),
        (AluOperation::Add8, "+8"),
        (AluOperation::NotAnd, "~AND"),
        (AluOperation::SubtractCarry, "-carry"),
        (AluOperation::AndNot, "AND~"),
        (AluOperation::AddCarry, "+carry"),
        (AluOperation::Or, "OR"),
        (AluOperation::Subtract, "-"),
        (AluOperation::Xor, "XOR"),
        (AluOperation::SubtractFrom, "B-A"),
    ];

    /// Whether the left operand is used.
    pub fn takes_left(self) -> bool {
        !matches!(self, AluOperation::B | AluOperation::NotB)
    }
}

/// `alu_shf`, `asr` and `dbl_shf`: destination := left OP (right shifted).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShiftOperation {
    /// Where the result goes.
    pub destination: Destination,
    /// What is done with the shifted operand.
    pub operation: ShiftLogic,
    /// Left operand; [`Operand::None`] for operations without one, unless the shift is [`Shift::Double`].
    pub left: Operand,
    /// The operand that is shifted.
    pub right: Operand,
    /// The shift.
    pub shift: Shift,
    /// Write the result to the register of the other bank, too.
    pub write_both: bool,
}

/// Operation of [`ShiftOperation`]. Values are the field's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShiftLogic {
    /// shifted
    B = 0,
    /// NOT shifted; not seen in use
    NotB = 1,
    /// left AND shifted
    And = 2,
    /// NOT left AND shifted; not seen in use
    NotAnd = 3,
    /// left AND NOT shifted; not seen in use
    AndNot = 4,
    /// left OR shifted
    Or = 5,
    /// shifted to the right with copies of bit 31 of the word before's result
    Arithmetic = 6,
}

impl ShiftLogic {
    /// All operations with the disassembler's word for them; `Arithmetic` has an instruction name of its own.
    pub(in crate::isa) const ALL: [(ShiftLogic, &'static str); 7] = [
        (ShiftLogic::B, "B"),
        (ShiftLogic::NotB, "~B"),
        (ShiftLogic::And, "AND"),
        (ShiftLogic::NotAnd, "~AND"),
        (ShiftLogic::AndNot, "AND~"),
        (ShiftLogic::Or, "OR"),
        (ShiftLogic::Arithmetic, "asr"),
    ];

    /// Whether the left operand is used, double shifts apart.
    pub fn takes_left(self) -> bool {
        !matches!(
            self,
            ShiftLogic::B | ShiftLogic::NotB | ShiftLogic::Arithmetic
        )
    }
}

/// How an operand is shifted. Amounts are 1 to 31; an indirect amount is that of the A operand of the word before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shift {
    /// Not at all.
    None,
    /// Rotated to the right.
    RotateRight(u8),
    /// To the right.
    Right(u8),
    /// To the right by an indirect amount.
    RightIndirect,
    /// To the left.
    Left(u8),
    /// To the left by an indirect amount.
    LeftIndirect,
    /// The low word of (left : right) shifted to the right. Not in [`LoadField`].
    Double(u8),
    /// The same by an indirect amount.
    DoubleIndirect,
}

/// `ld_field` and `ld_field_w_clr`: copies bytes of the shifted source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LoadField {
    /// Whose bytes change.
    pub destination: Destination,
    /// Which bytes: bit 0 is bits 7..0 of the word. 0 to 15.
    pub mask: u8,
    /// Clear the other bytes instead of keeping them.
    pub clear: bool,
    /// Where the bytes come from, after the shift.
    pub source: Operand,
    /// The shift.
    pub shift: Shift,
    /// Write the result to the register of the other bank, too.
    pub write_both: bool,
}

/// `immed` and its relatives: loads a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Immediate {
    /// Where it goes.
    pub destination: Destination,
    /// The 16 bits in the word.
    pub value: u16,
    /// Complement what is loaded.
    pub invert: bool,
    /// Which bits of the destination are written.
    pub part: ImmediatePart,
    /// Write the result to the register of the other bank, too.
    pub write_both: bool,
}

impl Immediate {
    /// What the constant is, as far as it is written: all 32 bits, or the upper 16 of them.
    pub fn constant(&self) -> u32 {
        let value = u32::from(self.value);
        let (value, mask) = match self.part {
            ImmediatePart::Whole { shift } => (value << shift, u32::MAX),
            ImmediatePart::High => (value << 16, 0xffff_0000),
        };
        if self.invert { !value & mask } else { value }
    }
}

/// Which bits [`Immediate`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImmediatePart {
    /// All, from the value shifted to the left by 0, 8 or 16.
    Whole {
        /// 0, 8 or 16.
        shift: u8,
    },
    /// Bits 31..16 only, the others keep their value (`immed_w1`).
    High,
}

/// A branch to a fixed place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Branch {
    /// When it is taken.
    pub condition: Condition,
    /// Word index, 0 to 16383.
    pub target: u16,
    /// Words after it that are executed in any case, 0 to 3.
    pub defer: u8,
}

/// When a [`Branch`] is taken. N, Z, C, V are the condition codes; C after a subtraction is "no borrow".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Z
    Equal = 0,
    /// not Z
    NotEqual = 1,
    /// N
    Minus = 2,
    /// not N; not seen in use
    Plus = 3,
    /// C: after a subtraction, unsigned at least
    CarrySet = 4,
    /// not C: after a subtraction, unsigned below
    CarryClear = 5,
    /// V; not seen in use
    OverflowSet = 6,
    /// not V; not seen in use
    OverflowClear = 7,
    /// N = V: signed at least
    GreaterOrEqual = 8,
    /// N differs from V: signed below
    Less = 9,
    /// signed at most; not seen in use
    LessOrEqual = 10,
    /// signed above; not seen in use
    Greater = 11,
    /// Always
    Always = 24,
}

impl Condition {
    /// All conditions with the disassembler's word for the branch.
    pub(in crate::isa) const ALL: [(Condition, &'static str); 13] = [
        (Condition::Equal, "beq"),
        (Condition::NotEqual, "bne"),
        (Condition::Minus, "bmi"),
        (Condition::Plus, "bpl"),
        (Condition::CarrySet, "bcs"),
        (Condition::CarryClear, "bcc"),
        (Condition::OverflowSet, "bvs"),
        (Condition::OverflowClear, "bvc"),
        (Condition::GreaterOrEqual, "bge"),
        (Condition::Less, "blt"),
        (Condition::LessOrEqual, "ble"),
        (Condition::Greater, "bgt"),
        (Condition::Always, "br"),
    ];
}

/// `br_bset` and `br_bclr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BranchBit {
    /// Whose bit is looked at; not an immediate.
    pub operand: Operand,
    /// Bit number, 0 to 31.
    pub bit: u8,
    /// Taken if the bit is set; else if it is clear.
    pub set: bool,
    /// Word index, 0 to 16383.
    pub target: u16,
    /// Words after it that are executed in any case, 0 to 3.
    pub defer: u8,
}

/// `rtn`: goes to the word index that the operand holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Return {
    /// Who holds the index; not an immediate.
    pub operand: Operand,
    /// Words after it that are executed, 0 to 3.
    pub defer: u8,
}

/// `mul_step`. A multiplication is a start, its steps and its lasts, without a gap and with the same operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Multiply {
    /// Names the operands.
    Start {
        /// One factor.
        left: Operand,
        /// The other.
        right: Operand,
    },
    /// A step.
    Step {
        /// Width of the factors.
        size: MultiplySize,
        /// From 1: two steps for 16 x 16, four for 32 x 32.
        number: u8,
        /// One factor.
        left: Operand,
        /// The other.
        right: Operand,
    },
    /// Gives bits 31..0 of the product.
    Last {
        /// Width of the factors.
        size: MultiplySize,
        /// Where they go.
        destination: Destination,
        /// Write the result to the register of the other bank, too.
        write_both: bool,
    },
    /// Gives bits 63..32 of a 32 x 32 product.
    LastHigh {
        /// Where they go.
        destination: Destination,
        /// Write the result to the register of the other bank, too.
        write_both: bool,
    },
}

/// Width of the factors of a multiplication. Values are the field's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MultiplySize {
    /// 16 by 16 bits.
    By16 = 2,
    /// 32 by 32 bits.
    By32 = 3,
}

impl MultiplySize {
    /// Number of steps between start and last.
    pub fn steps(self) -> u8 {
        match self {
            MultiplySize::By16 => 2,
            MultiplySize::By32 => 4,
        }
    }
}

/// `local_csr_wr` and `local_csr_rd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LocalCsr {
    /// Writes a register. Visible from the fourth word after it.
    Write {
        /// Which.
        csr: Csr,
        /// The value.
        source: Operand,
    },
    /// Reads a register: the next word, an `immed`, loads its value instead of the constant.
    Read {
        /// Which.
        csr: Csr,
    },
}

/// A control register. Values are its byte address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Csr {
    /// Local memory pointer 0.
    LocalPointer0 = 0x64,
    /// Local memory pointer 1.
    LocalPointer1 = 0x6c,
    /// Local memory pointer 2.
    LocalPointer2 = 0x94,
    /// Local memory pointer 3.
    LocalPointer3 = 0x9c,
    /// A pseudo-random number.
    Random = 0x148,
}

impl Csr {
    /// All registers with the disassembler's word for them.
    pub(in crate::isa) const ALL: [(Csr, &'static str); 5] = [
        (Csr::LocalPointer0, "ActLMAddr0"),
        (Csr::LocalPointer1, "ActLMAddr1"),
        (Csr::LocalPointer2, "ActLMAddr2"),
        (Csr::LocalPointer3, "ActLMAddr3"),
        (Csr::Random, "PseudoRndNum"),
    ];
}

/// `mem`: a command to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Memory {
    /// What is done.
    pub command: Command,
    /// First transfer register, 0 to 31.
    pub transfer: u8,
    /// How the address comes about.
    pub address: Address,
    /// How much, 1 to 8: words or bytes by the command. An addition has 1 to 4 for 32 bits, 5 to 8 for 64.
    pub count: u8,
    /// The result of the word before overrides the length, or gives the data.
    pub indirect: bool,
    /// What is waited for.
    pub completion: Completion,
}

/// What a [`Memory`] command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Reads bytes, the first into bits 31..24.
    Read8,
    /// Reads words, the first byte into bits 7..0.
    Read32Swap,
    /// Writes bytes, from bits 7..0 first.
    Write8Swap,
    /// Writes words, from bits 7..0 first.
    Write32Swap,
    /// Adds a transfer register to 32 bits.
    Add,
    /// Adds two transfer registers to 64 bits.
    Add64,
    /// Adds 16 bits of the word before's result to 32 bits.
    AddImmediate,
    /// The same to 64 bits; not seen in this form.
    Add64Immediate,
}

impl Command {
    /// All commands: name, field 38..32, token 19..18, lowest and highest count.
    pub(in crate::isa) const ALL: [(Command, &'static str, u64, u64, u8, u8); 8] = [
        (Command::Read8, "read8", 0x43, 1, 1, 8),
        (Command::Read32Swap, "read32_swap", 0x5c, 2, 1, 8),
        (Command::Write8Swap, "write8_swap", 0x42, 2, 1, 8),
        (Command::Write32Swap, "write32_swap", 0x5f, 2, 1, 8),
        (Command::Add, "add", 0x47, 0, 1, 4),
        (Command::Add64, "add64", 0x47, 0, 5, 8),
        (Command::AddImmediate, "add_imm", 0x47, 2, 1, 4),
        (Command::Add64Immediate, "add64_imm", 0x47, 2, 5, 8),
    ];
}

/// The address of a [`Memory`] command. Immediates in it are 0 to 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// base + offset, 32 bits.
    Sum {
        /// In the A field: no register of bank B.
        base: Operand,
        /// In the B field: no register of bank A.
        offset: Operand,
    },
    /// high << 32 | low, 40 bits; `high` in the B field.
    HighB {
        /// No register of bank A.
        high: Operand,
        /// No register of bank B.
        low: Operand,
    },
    /// The same, `high` in the A field; not seen in use.
    HighA {
        /// No register of bank B.
        high: Operand,
        /// No register of bank A.
        low: Operand,
    },
}

/// How a [`Memory`] command's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Completion {
    /// Not at all.
    Ignore,
    /// By a signal that another word waits for.
    Signal {
        /// 1 to 15.
        signal: u8,
    },
    /// The thread waits, after `defer` more words.
    Wait {
        /// 1 to 15.
        signal: u8,
        /// 0 to 2.
        defer: u8,
    },
}
