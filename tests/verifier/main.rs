//! Our verifier held to the kernel's: what it refuses as unsafe is never accepted here, and what it accepts is
//! refused here only for a reason that the report lists.
//!
//! The kernel's answer is taken by loading each program on the running kernel.

mod judges;
mod objects;
mod random;
mod regressions;
mod report;
