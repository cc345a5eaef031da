//! Source lines of instructions.

/// Where an instruction comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceLine {
    /// The path that the compiler was given.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1; 0 where unknown.
    pub column: u32,
    /// The line's text, without its end.
    pub text: String,
}
