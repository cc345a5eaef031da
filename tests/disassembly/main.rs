//! Our text of instructions is the kernel's (the verifier's log, `bpftool prog dump xlated opcodes`) and says what LLVM's
//! says; what is read is written back bit by bit. All programs of the corpus, of Debian's xdp-tools, and of the kernel's
//! selftests and samples.

mod bpftool;
mod forms;
mod objdump;
mod round_trip;
mod sections;
