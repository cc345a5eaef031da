//! A program as the card holds it: relocated, at its place in the control store.

use crate::isa::reloc::{Relocation, RelocationError, relocate};
use crate::isa::word::INSTRUCTION_BITS;
use crate::isa::{DecodeError, Instruction, Word, decode};
use crate::profile::Profile;

/// Indices in a program that relocations refer to. `None`: the program has no such place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exits {
    /// The main function's end.
    pub out: Option<u16>,
    /// The abort exit.
    pub abort: Option<u16>,
    /// The routine that saves registers.
    pub push_registers: Option<u16>,
    /// The routine that restores them.
    pub pop_registers: Option<u16>,
}

/// Words of the abort exit: a branch to the firmware and its two slots.
const EXIT_WORDS: u16 = 3;
/// Words of the routine that saves registers.
const PUSH_WORDS: u16 = 9;

impl Exits {
    /// Where they are in a program that ends as the driver's do: abort exit, normal exit, and, if it has subprograms,
    /// the two routines (`nfp_outro_xdp`, `nfp_push_callee_registers`, `nfp_pop_callee_registers`; Linux 6.12). A dump
    /// does not tell otherwise.
    pub fn find(words: &[Word]) -> Exits {
        let mut ends = words
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, word)| word.relocation == Relocation::NextPacket)
            .map(|(at, _)| at as u16);
        let (Some(last), Some(abort)) = (ends.next(), ends.next()) else {
            return Exits::default();
        };
        let push = last + EXIT_WORDS;
        Exits {
            out: Some(abort + EXIT_WORDS),
            abort: Some(abort),
            push_registers: Some(push),
            pop_registers: Some(push + PUSH_WORDS),
        }
    }
}

/// Words that cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A word cannot be relocated.
    #[error(transparent)]
    Relocation(#[from] RelocationError),
    /// A branch to a place that the program does not have.
    #[error("word {at}: its relocation {} needs a place that the program does not have", relocation.name())]
    NoExit {
        /// Index of the word.
        at: usize,
        /// Its relocation.
        relocation: Relocation,
    },
}

/// A loaded program.
#[derive(Debug, Clone)]
pub struct Image {
    code: Vec<Result<Instruction, DecodeError>>,
    start: u16,
    pub(super) next_packet: u16,
    /// Numbers of `enum bpf_func_id` by address.
    helpers: Vec<(u16, u16)>,
}

impl Image {
    /// Loads words as a card of this profile gets them. Words that are no instructions load, but do not run.
    pub fn load(words: &[Word], exits: Exits, profile: &Profile) -> Result<Image, LoadError> {
        let place = |relocation| match relocation {
            Relocation::Out => exits.out,
            Relocation::Abort => exits.abort,
            Relocation::PushRegisters => exits.push_registers,
            Relocation::PopRegisters => exits.pop_registers,
            _ => Some(0),
        };
        for (at, &Word { relocation, .. }) in words.iter().enumerate() {
            if place(relocation).is_none() {
                return Err(LoadError::NoExit { at, relocation });
            }
        }
        let layout = profile.layout(
            exits.out.unwrap_or(0),
            exits.abort.unwrap_or(0),
            exits.push_registers.unwrap_or(0),
            exits.pop_registers.unwrap_or(0),
        );
        let code = relocate(words, &layout)?
            .into_iter()
            .map(|word| decode(word & INSTRUCTION_BITS))
            .collect();
        Ok(Image {
            code,
            start: profile.start,
            next_packet: profile.next_packet,
            helpers: layout
                .helpers
                .into_iter()
                .map(|(number, address)| (address, number))
                .collect(),
        })
    }

    /// Address of the first word.
    pub(super) fn start(&self) -> u32 {
        self.start.into()
    }

    /// Index of the word at an address, where there is one.
    pub(super) fn index(&self, address: u32) -> Option<usize> {
        let index = address.checked_sub(self.start.into())? as usize;
        (index < self.code.len()).then_some(index)
    }

    /// The word with this index; it exists.
    pub(super) fn instruction(&self, index: usize) -> Result<Instruction, DecodeError> {
        self.code[index]
    }

    /// The helper at an address, by its number.
    pub(super) fn helper(&self, address: u32) -> Option<u16> {
        let found = self
            .helpers
            .iter()
            .find(|(at, _)| u32::from(*at) == address);
        found.map(|(_, number)| *number)
    }
}
