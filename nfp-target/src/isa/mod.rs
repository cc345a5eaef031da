//! Microengine instructions as values, in the subset that the Linux 6.12 NFP driver's JIT writes, and its near
//! relatives whose reading is certain.
//!
//! What each field means was measured: by running some 6000 programs of that JIT and comparing with eBPF, and by
//! holding the text against that of binutils 2.40 (`nfp-elf`). Words outside the subset do not decode.
//!
//! [`decode()`] and [`encode()`] are exact inverses: a word that decodes encodes to itself, bit for bit.

pub mod asm;
pub mod decode;
pub mod ecc;
pub mod encode;
pub mod instruction;
pub mod operand;
pub mod reloc;
pub mod word;

pub use decode::{DecodeError, decode};
pub use encode::{EncodeError, encode};
pub use instruction::{
    Address, Alu, AluOperation, Branch, BranchBit, Command, Completion, Condition, Csr, Immediate,
    ImmediatePart, Instruction, LoadField, LocalCsr, Memory, Multiply, MultiplySize, Return, Shift,
    ShiftLogic, ShiftOperation,
};
pub use operand::{Bank, Destination, Local, LocalIndex, Operand};
pub use word::Word;
