//! The running kernel's answer to one program.

use generic_fallback::load::{Binding, LoadError, Loader};

/// What came of loading a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelAnswer {
    /// Loaded.
    Accepts,
    /// The verifier refused it, with these last words.
    Refuses(String),
    /// The verifier was not asked: what kept it from that.
    NotAsked(String),
}

/// Loads a program of an object, and lets go of it again.
pub fn of_program(loader: &Loader<'_>, program: usize) -> KernelAnswer {
    match loader.load(program, Binding::None) {
        Ok(_) => KernelAnswer::Accepts,
        Err(LoadError::Program(refused)) => {
            let log = refused
                .source
                .refusal()
                .and_then(|refusal| refusal.verifier_log.as_deref())
                .unwrap_or_default();
            match last_words(log) {
                Some(words) => KernelAnswer::Refuses(words),
                None => KernelAnswer::NotAsked(refused.to_string()),
            }
        }
        Err(error) => KernelAnswer::NotAsked(error.to_string()),
    }
}

/// The verifier's complaint: the last line of its log that is not statistics.
pub fn last_words(log: &str) -> Option<String> {
    log.lines()
        .map(str::trim)
        .rfind(|line| {
            !line.is_empty()
                && ![
                    "processed ",
                    "verification time",
                    "stack depth ",
                    "mark_precise",
                ]
                .iter()
                .any(|noise| line.starts_with(noise))
        })
        .map(ToOwned::to_owned)
}
