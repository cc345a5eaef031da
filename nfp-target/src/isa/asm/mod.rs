//! The assembly text of instructions, as the public disassembler (binutils 2.40, `nfp-elf`, `-M ctx4,no-pc`)
//! prints it, and its reader.
//!
//! The text leaves out which of two forms with the same effect a word has (an inverted upper half or a plain one;
//! which field of an address is the high one where neither names a general register). So reading what was printed
//! gives an instruction that does the same and prints the same; for all that the kernel's JIT writes it is the
//! same word.

pub mod file;
mod parse;
mod print;

pub use parse::{AsmError, parse};

use super::MultiplySize;

fn size_name(size: MultiplySize) -> &'static str {
    match size {
        MultiplySize::By16 => "16x16",
        MultiplySize::By32 => "32x32",
    }
}

fn name_of<T: Copy + PartialEq>(all: &[(T, &'static str)], member: T) -> &'static str {
    all.iter()
        .find(|(other, _)| *other == member)
        .map_or("?", |(_, name)| name)
}
