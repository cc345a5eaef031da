//! eBPF object -> program -> CFG -> checked -> lowered eBPF. Pure: opens no file and makes no system call.

pub mod cfg;
pub mod diagnostic;
pub mod emit;
pub mod interp;
pub mod isa;
pub mod lower;
pub mod object;
pub mod target;
pub mod verify;
