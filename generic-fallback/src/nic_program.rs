//! What the NIC's own rung is given: the program itself, or what a compiler made of it.

use offload_compiler::object::Object;

/// What the NIC is to run.
#[derive(Debug)]
pub enum NicProgram {
    /// The program as it is.
    AsIs,
    /// What was made of it for this NIC.
    Made(Box<Made>),
    /// Nothing: it cannot be made to fit.
    Refused {
        /// What stands in the way.
        reason: String,
        /// What would help.
        remedy: Option<String>,
    },
}

/// A program that was made for a NIC.
#[derive(Debug)]
pub struct Made {
    /// It alone, with its maps.
    pub object: Object,
    /// Its index there.
    pub program: usize,
    /// It decides some packets only and passes the others untouched, so that the program itself has to run on the host
    /// beside it.
    pub part: bool,
    /// How it differs from the program, in a line each.
    pub notes: Vec<String>,
}
