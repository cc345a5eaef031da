//! What the code generator gives and takes: `cargo xtask bench nfp`. Needs no card and no privilege.
//!
//! `--words` only compares with the driver's words, `--time` only measures translation.

mod beside_driver;
mod generated;
mod time;

fn main() {
    let asked = |what: &str| std::env::args().any(|argument| argument == what);
    if !asked("--time") {
        beside_driver::run();
    }
    if !asked("--words") {
        time::run();
    }
}

/// A figure beside what it should be.
fn judge(what: &str, figure: &str, aim: &str, met: bool) {
    let verdict = if met { "met" } else { "MISSED" };
    println!("{what}: {figure} (aim: {aim}; {verdict})");
}
