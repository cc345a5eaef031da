//! Lowering: eBPF to eBPF, so that a target takes a program that it would refuse as it is.
//!
//! ```text
//! Input -> Program -> pass -> lay out -> verify -> pass -> ... -> Lowered (Program, Layout, rewrites, verdict)
//!                       ^                  |
//!                       +------ undone ----+  a rewrite whose result the verifier refuses is not made
//! ```
//!
//! A [`Pass`] is small, has a name, and changes a [`Program`] by what is known of it ([`Facts`]) and what the target takes
//! ([`Forms`]). After each one the program is verified again: so the facts are those of the program as it is, and what
//! cannot be proved safe is taken back. Passes run in rounds until none finds anything more, within a budget.

mod accesses;
mod additions;
mod facts;
mod forms;
mod layout;
mod liveness;
mod pages;
mod passes;
mod program;
mod read;
mod report;
mod rewrite;
mod run;
mod split;

pub use additions::additions;
pub use facts::{Content, Fact, Facts};
pub use forms::{Doubt, Forms};
pub use liveness::{Liveness, Registers, end_uses, step_effect};
pub use pages::{page, title};
pub use passes::{LAST_PASSES, PASSES};
pub use program::{
    Block, BlockId, End, Function, FunctionId, Layout, Map, MapChange, Op, Position, Program,
    ProgramError, Step,
};
pub use report::report;
pub use rewrite::{Allow, NoAllow, Rewrite};
pub use run::{Context, LowerError, Lowered, Options, Pass, Undone, lower, lower_by};
pub use split::Share;
