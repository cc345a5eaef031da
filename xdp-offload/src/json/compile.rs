//! `compile --json`: what was rewritten.

use super::check::{Diagnostic, Verdict};
use schemars::JsonSchema;
use serde::Serialize;

/// What lowering made of a program.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "xdp-offload/compile/v1")]
pub struct Report {
    /// "xdp-offload/compile/v1"
    pub schema: &'static str,
    /// The program's name.
    pub program: String,
    /// The card: "nfp (full)".
    pub target: String,
    /// Whether it takes what was made.
    pub verdict: Verdict,
    /// Instructions as compiled, with all subprograms.
    pub insns: usize,
    /// Instructions afterwards.
    pub lowered_insns: usize,
    /// Each rewrite, in the order in which it was made.
    pub rewrites: Vec<Rewrite>,
    /// Rewrites that were tried and taken back, as the verifier would refuse the result.
    pub undone: Vec<Undone>,
    /// Names that were allowed and for which there was nothing to do.
    pub nothing_to_do: Vec<&'static str>,
    /// How many paths the card decides, where it takes a part of the program only; null: it takes all of it.
    pub share: Option<Share>,
    /// What keeps the program off the card, if anything.
    pub diagnostics: Vec<Diagnostic>,
}

/// A rewrite.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Rewrite {
    /// Its name, for `xdp-offload explain`.
    pub name: &'static str,
    /// The slot in the program as compiled.
    pub at: Option<usize>,
    /// The source file.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// What stood there, an instruction each.
    pub before: Vec<String>,
    /// What stands there now.
    pub after: Vec<String>,
    /// The name that had to be allowed for it; null: it keeps the meaning.
    pub needs_allow: Option<&'static str>,
}

/// A rewrite that was not made.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Undone {
    /// Its name.
    pub name: &'static str,
    /// The slot in the program as compiled.
    pub at: usize,
    /// What the verifier would say.
    pub why: String,
}

/// How much the card decides.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Share {
    /// Paths that end in a verdict on the card; one that ends in `XDP_PASS` goes to the original program on the host.
    pub decided: f64,
    /// All paths.
    pub paths: f64,
}
