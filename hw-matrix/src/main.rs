//! `hw-matrix`: a hardware lab as a regression matrix.

use std::process::ExitCode;

fn main() -> ExitCode {
    hw_matrix::commands::main()
}
