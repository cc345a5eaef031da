//! A microengine thread that runs a program's words on a packet.
//!
//! What each word does was measured on the words of the kernel driver's JIT (6162 programs, 120 packets each); where
//! no such word tells, the thread stops instead of guessing. Held against the interpreter in `tests/simulator.rs`.
//!
//! ```text
//! words --image--> instructions --engine--> Outcome: verdict, packet, figures
//!                                 |- registers: banks, transfer registers, local memory and its pointers
//!                                 |- arithmetic: what alu, shift and multiply steps compute
//!                                 |- memory: packet buffer and map values behind commands
//!                                 '- helper: the firmware's functions, on the interpreter's maps
//! ```
//!
//! Not modelled: time other than the two delays that programs can see, signals, other threads, ECC, prefetching,
//! kinds of memory and their alignment rules. The host's view of maps is kept: a card keeps words under atomic
//! addition in network order, and the host swaps them when it reads or writes the map.

mod arithmetic;
mod engine;
mod helper;
mod image;
mod memory;
mod packet;
mod registers;
mod stop;

pub use engine::{Event, Figures, Outcome, Thread};
pub use image::{Exits, Image, LoadError};
pub use packet::{ORIGIN, Verdict};
pub use registers::{Unset, VALUE_HIGH};
pub use stop::{Stop, StopKind};
