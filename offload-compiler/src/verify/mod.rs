//! The pre-verifier: proves that a program is safe, or says at which instruction it is not and why.
//!
//! Abstract interpretation with the kernel's domain and the kernel's precision: each path is walked with
//! what is known of every register and stack slot ([`state`]), numbers as ranges and known bits
//! ([`range`], [`tnum`]), and is left where its state is covered by one that was walked to its end
//! ([`prune`], [`marks`]). What it accepts, the kernel accepts; what it refuses, it explains ([`finding`]).

mod arithmetic;
mod bounds;
mod branch;
mod call;
mod checkpoint;
mod explore;
mod finding;
mod from_object;
mod input;
mod kernel_function;
mod kernel_object;
mod kernel_types;
pub(crate) mod liveness;
mod map_rules;
mod marks;
mod memory;
mod memory_budget;
mod path;
mod prototype;
mod prune;
pub mod range;
mod stack;
mod stack_object;
mod state;
mod step;
mod structure;
mod subprogram;
pub mod tnum;
mod value;
mod watch;

pub use explore::{Verdict, verify, verify_watched};
pub use finding::{Code, Finding, Severity};
pub use from_object::{Prepared, is_gpl_compatible};
pub use input::{
    Function, GlobalArg, Hook, Input, MapReference, MapShape, Rules, SpecialField, SpecialKind,
};
pub use kernel_function::KernelFunction;
pub use kernel_types::{KernelTypes, TypeRef};
pub use path::Ways;
#[cfg(test)]
pub(crate) use prototype::names as helper_names;
pub use watch::{Known, Moment, Place, Watch};
