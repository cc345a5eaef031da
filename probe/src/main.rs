//! `xdp-probe`.
fn main() {}
