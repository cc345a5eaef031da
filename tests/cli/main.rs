//! The commands as a user types them: help, exit codes, and what happens to input that is not what it should be.

mod bad_input;
mod compile;
mod help;
mod json;
mod refused;
mod run;
mod unprivileged;
mod wrong_code;

/// Exit codes of all commands.
mod code {
    pub(crate) const DONE: i32 = 0;
    pub(crate) const FAILED: i32 = 1;
    pub(crate) const USAGE: i32 = 2;
    pub(crate) const NO: i32 = 3;
    pub(crate) const NOT_PERMITTED: i32 = 4;
}
