//! Kernel functions (kfuncs): functions of the kernel that programs call by their BTF id.
//!
//! What the kernel's type information says of a function is in [`signature`], what it does not say in [`table`], and
//! what a call does in [`call`].

mod call;
mod signature;
mod table;

pub use signature::KernelFunction;
pub(super) use table::Effect;
