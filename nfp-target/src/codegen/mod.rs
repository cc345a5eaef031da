//! Code for the NFP from eBPF, to the conventions of the kernel driver's code.
//!
//! ```text
//! facts ---> build ---> simplify ---> select ---> allocate ---> emit
//! verifier   eBPF to    fewer and     machine     registers     words
//!            values     simpler ones  operations  (check)
//! ```
//!
//! What cannot be translated is refused at an instruction; nothing is guessed.

mod allocate;
mod arithmetic;
mod branches;
mod build;
mod check;
mod dominance;
mod emit;
mod facts;
mod fold;
mod lir;
mod merge;
pub mod mir;
mod select;
mod simplify;

use std::collections::BTreeMap;

use offload_compiler::cfg::Cfg;
use offload_compiler::verify::{Input, Verdict};

use crate::isa::Word;
use crate::isa::reloc::Layout;
use crate::profile::Profile;

/// How a program is translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether time is spent on shorter and faster code.
    pub optimise: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { optimise: true }
    }
}

/// A translated program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The words before relocation.
    pub words: Vec<Word>,
    /// The eBPF slot that each word came from; none of entry, exit and the empty words at the end.
    pub slots: Vec<Option<usize>>,
    /// Index of the end of the main function.
    pub out: u16,
    /// Index of the abort exit.
    pub abort: u16,
}

impl Image {
    /// Where things are when the image is loaded on a card.
    pub fn layout(&self, profile: &Profile) -> Layout {
        profile.layout(self.out, self.abort, 0, 0)
    }
}

/// Why a program is not translated, and at which slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("instruction {slot}: {why}")]
pub struct Unsupported {
    /// The slot.
    pub slot: usize,
    /// Why.
    pub why: Refusal,
}

/// What is not translated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The verifier refuses the program.
    #[error("the verifier refuses the program: {0}")]
    Verifier(String),
    /// The verifier did not walk there.
    #[error("the verifier knows nothing of this path")]
    Unverified,
    /// Jumps that make no graph.
    #[error("control flow: {0}")]
    ControlFlow(String),
    /// An instruction that has no translation.
    #[error("this instruction has no translation")]
    Instruction,
    /// A helper that the card does not have or that is not translated.
    #[error("helper {0} has no translation")]
    Helper(i32),
    /// A pointer of one kind on one path and of another kind, or a number, on another.
    #[error("an address is used as a number, or is not always of the same kind")]
    MixedPointer,
    /// A pointer to something that the card does not have.
    #[error("the card has no memory of this kind")]
    Pointer,
    /// A place on the stack that is not known, or one of very many.
    #[error("the place on the stack is not one of a few")]
    StackVariable,
    /// A context field that is not there.
    #[error("the context has no field at offset {offset} on the card")]
    ContextField {
        /// In bytes.
        offset: i16,
    },
    /// A write to a map's value.
    #[error("a map's value can only be read or added to")]
    MapWrite,
    /// An atomic operation elsewhere than in a map's value.
    #[error("atomic additions are for map values only")]
    AtomicPlace,
    /// A helper's map that is not always the same.
    #[error("the map is not always the same")]
    MapUnknown,
    /// A key or value elsewhere than on the stack.
    #[error("keys and values have to be at a fixed place on the stack")]
    ArgumentPlace,
    /// An event with a form that is not translated.
    #[error("an event's length has to be a number, its data at most 64 bytes on the stack")]
    EventForm,
    /// Too many instructions.
    #[error("the program is too long")]
    TooLong,
    /// More words than the card has room for.
    #[error("the translation has {words} words, the card has room for {room}")]
    CodeStore {
        /// Words of the translation.
        words: usize,
        /// Words that fit.
        room: u32,
    },
    /// More values at once than there are registers.
    #[error("more values are needed at once than the card has registers for")]
    Registers,
    /// Keys and values that are larger than what can be reached at once.
    #[error("key and value together are larger than 64 bytes")]
    Arguments,
    /// A mistake of ours: what was made does not pass our own check.
    #[error("internal: {0}")]
    Internal(String),
}

/// A program that the verifier accepts, with what it knows: ready to be translated.
pub struct Verified<'a> {
    input: &'a Input<'a>,
    verdict: Verdict,
    facts: facts::Facts,
    cfg: Cfg,
}

/// Verifies an XDP program as one that is offloaded.
///
/// # Errors
/// What the verifier refuses.
pub fn verify<'a>(input: &'a Input<'a>) -> Result<Verified<'a>, Unsupported> {
    let (verdict, facts) = facts::gather(input);
    if let Some(error) = verdict.error() {
        return Err(Unsupported {
            slot: error.insn,
            why: Refusal::Verifier(error.message.clone()),
        });
    }
    let cfg = Cfg::build(input.code, &BTreeMap::new()).map_err(|error| Unsupported {
        slot: error.slot,
        why: Refusal::ControlFlow(error.to_string()),
    })?;
    Ok(Verified {
        input,
        verdict,
        facts,
        cfg,
    })
}

/// Verifies an XDP program and translates it for a card. `input.rules` is used with `offloaded` set.
///
/// # Errors
/// The first instruction that has no translation.
pub fn compile(
    input: &Input<'_>,
    profile: &Profile,
    options: Options,
) -> Result<Image, Unsupported> {
    verify(input)?.compile(profile, options)
}

/// Most words that are read or written at once.
const MERGED_WORDS: u8 = 16;

impl Verified<'_> {
    /// Translates it for a card.
    ///
    /// # Errors
    /// The first instruction that has no translation.
    pub fn compile(&self, profile: &Profile, options: Options) -> Result<Image, Unsupported> {
        if !options.optimise {
            return self.attempt(profile, false, 0);
        }
        // Reading much at once takes transfer registers, and keeping values takes general ones.
        let mut outcome = self.attempt(profile, true, MERGED_WORDS);
        for (optimise, merge) in [(true, 4), (true, 0), (false, 0)] {
            match &outcome {
                Err(error) if error.why == Refusal::Registers => {
                    outcome = self.attempt(profile, optimise, merge);
                }
                _ => break,
            }
        }
        outcome
    }

    fn attempt(&self, profile: &Profile, optimise: bool, merge: u8) -> Result<Image, Unsupported> {
        let mut mir = build::build(self, profile)?;
        let order = simplify::simplify(&mut mir, optimise, merge);
        let program = select::select(&mir, &order)?;
        if program.classes.len() > check::MOST_REGISTERS {
            return Err(Unsupported {
                slot: 0,
                why: Refusal::TooLong,
            });
        }
        let homes = allocate::allocate(&program)?;
        check::check(&program, &homes).map_err(|problem| Unsupported {
            slot: 0,
            why: Refusal::Internal(problem),
        })?;
        emit::emit(&program, &homes, profile, optimise)
    }
}
