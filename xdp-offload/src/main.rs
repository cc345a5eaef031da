//! The binary: all of it is in the library, so that man pages are made from the same definition.

fn main() -> std::process::ExitCode {
    xdp_offload::main()
}
