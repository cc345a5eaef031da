//! The Netronome NFP as a compile target. Pure: bytes in, values out.
//!
//! `isa` is the microengine's instruction words: typed, decoded and encoded without loss, printed and read as the
//! public disassembler writes them, relocated and given their ECC as the kernel driver does at load. `words` is
//! the text file they are kept in. `profile` is what a card offers. `accept` is what the kernel's driver takes,
//! `target` both as a target of `offload-compiler`. `codegen` makes words from eBPF, to the conventions of the driver's.
//! `sim` runs words on packets, `cost` tells what that takes and `estimate` what it may take before; `driver_model` is what the driver's words do where that
//! is not what the program says.

pub mod accept;
pub mod codegen;
pub mod cost;
pub mod driver_model;
pub mod estimate;
pub mod isa;
pub mod profile;
mod refusal;
pub mod sim;
pub mod target;
pub mod words;
