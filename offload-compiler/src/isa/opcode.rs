//! The numbers of the encoding: RFC 9669 section 3 and `include/uapi/linux/bpf.h`.

/// Instruction class: opcode bits 0..=2.
pub(super) mod class {
    pub(in super::super) const LD: u8 = 0;
    pub(in super::super) const LDX: u8 = 1;
    pub(in super::super) const ST: u8 = 2;
    pub(in super::super) const STX: u8 = 3;
    pub(in super::super) const ALU: u8 = 4;
    pub(in super::super) const JMP: u8 = 5;
    pub(in super::super) const JMP32: u8 = 6;
    pub(in super::super) const ALU64: u8 = 7;
    pub(in super::super) const MASK: u8 = 7;
}

/// Set: the second operand is a register; clear: the immediate.
pub(super) const SOURCE_REGISTER: u8 = 0x08;

/// Arithmetic operation: opcode bits 4..=7.
pub(super) mod alu {
    pub(in super::super) const ADD: u8 = 0x00;
    pub(in super::super) const SUB: u8 = 0x10;
    pub(in super::super) const MUL: u8 = 0x20;
    pub(in super::super) const DIV: u8 = 0x30;
    pub(in super::super) const OR: u8 = 0x40;
    pub(in super::super) const AND: u8 = 0x50;
    pub(in super::super) const LSH: u8 = 0x60;
    pub(in super::super) const RSH: u8 = 0x70;
    pub(in super::super) const NEG: u8 = 0x80;
    pub(in super::super) const MOD: u8 = 0x90;
    pub(in super::super) const XOR: u8 = 0xa0;
    pub(in super::super) const MOV: u8 = 0xb0;
    pub(in super::super) const ARSH: u8 = 0xc0;
    pub(in super::super) const END: u8 = 0xd0;
}

/// Jump operation: opcode bits 4..=7.
pub(super) mod jump {
    pub(in super::super) const JA: u8 = 0x00;
    pub(in super::super) const JEQ: u8 = 0x10;
    pub(in super::super) const JGT: u8 = 0x20;
    pub(in super::super) const JGE: u8 = 0x30;
    pub(in super::super) const JSET: u8 = 0x40;
    pub(in super::super) const JNE: u8 = 0x50;
    pub(in super::super) const JSGT: u8 = 0x60;
    pub(in super::super) const JSGE: u8 = 0x70;
    pub(in super::super) const CALL: u8 = 0x80;
    pub(in super::super) const EXIT: u8 = 0x90;
    pub(in super::super) const JLT: u8 = 0xa0;
    pub(in super::super) const JLE: u8 = 0xb0;
    pub(in super::super) const JSLT: u8 = 0xc0;
    pub(in super::super) const JSLE: u8 = 0xd0;
    /// `BPF_JCOND`, of which `may_goto` (source register field 0) is the one form.
    pub(in super::super) const JCOND: u8 = 0xe0;
}

/// Operation bits of arithmetic and jump opcodes.
pub(super) const OPERATION_MASK: u8 = 0xf0;

/// Access mode of loads and stores: opcode bits 5..=7.
pub(super) mod mode {
    pub(in super::super) const IMM: u8 = 0x00;
    pub(in super::super) const ABS: u8 = 0x20;
    pub(in super::super) const IND: u8 = 0x40;
    pub(in super::super) const MEM: u8 = 0x60;
    pub(in super::super) const MEMSX: u8 = 0x80;
    pub(in super::super) const ATOMIC: u8 = 0xc0;
    pub(in super::super) const MASK: u8 = 0xe0;
}

/// Access size: opcode bits 3..=4.
pub(super) mod size {
    pub(in super::super) const W: u8 = 0x00;
    pub(in super::super) const H: u8 = 0x08;
    pub(in super::super) const B: u8 = 0x10;
    pub(in super::super) const DW: u8 = 0x18;
    pub(in super::super) const MASK: u8 = 0x18;
}

/// The immediate of an atomic instruction.
pub(super) mod atomic {
    pub(in super::super) const FETCH: i32 = 0x01;
    pub(in super::super) const XCHG: i32 = 0xe1;
    pub(in super::super) const CMPXCHG: i32 = 0xf1;
    pub(in super::super) const LOAD_ACQUIRE: i32 = 0x100;
    pub(in super::super) const STORE_RELEASE: i32 = 0x110;
}

/// `off` of an address space cast (`BPF_ADDR_SPACE_CAST`).
pub(super) const ADDRESS_SPACE_CAST: i16 = 1;
/// `off` of the kernel's internal per-CPU address move; in xlated code only, never accepted.
pub(super) const ADDRESS_PERCPU: i16 = -1;
