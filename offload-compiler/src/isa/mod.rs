//! The eBPF instruction set: raw slots, the typed model, and the kernel's text.
//!
//! Three forms of the same code, each with its own use:
//!
//! * [`Insn`]: the raw 8-byte slot. Any bytes make one.
//! * [`Instruction`]: the typed model of RFC 9669 (ISA v1 to v4) and of the kernel's additions as of
//!   Linux 6.18. Only what means something can be expressed. [`Code`] holds a program of them.
//! * text: what `bpftool prog dump xlated` and the verifier's log print ([`text`]), and back ([`assemble`]).
//!
//! Decoding and encoding are exact inverses: what decodes, encodes to the same bytes.

pub mod assemble;
mod decode;
mod encode;
pub mod functions;
pub mod insn;
mod model;
mod opcode;
#[cfg(test)]
mod tests;
pub mod text;

pub use assemble::assemble;
pub use decode::{Code, DecodeError, DecodeErrorKind, ReservedField};
pub use insn::Insn;
pub use model::{
    AluOp, AtomicOp, Callee, CmpOp, Condition, Imm64, Instruction, Operand, Reg, Size, Swap, Width,
};
