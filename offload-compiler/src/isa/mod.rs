//! The eBPF instruction set.

pub mod insn;

pub use insn::Insn;
