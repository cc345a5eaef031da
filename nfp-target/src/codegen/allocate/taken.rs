//! What of the card is in use.

use super::Home;
use crate::codegen::lir::Class;
use crate::isa::Bank;

/// Registers and words of local memory, a bit each.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taken {
    /// General registers of bank A and of bank B.
    pub(super) general: [u32; 2],
    pub(super) local: u32,
    transfer: u32,
}

impl Taken {
    /// What a home takes.
    pub(super) fn by(home: Home, class: Class) -> Self {
        let mut taken = Self::default();
        match (home, class) {
            (Home::One(Bank::A, number), _) => taken.general[0] = 1 << number,
            (Home::One(Bank::B, number), _) => taken.general[1] = 1 << number,
            (Home::Both(number), _) => taken.general = [1 << number; 2],
            (Home::Local(word), _) => taken.local = 1 << word,
            (Home::Transfer(first), Class::Transfer(words)) => taken.transfer = mask(first, words),
            (Home::Transfer(_) | Home::None, _) => {}
        }
        taken
    }

    /// What either takes.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            general: [
                self.general[0] | other.general[0],
                self.general[1] | other.general[1],
            ],
            local: self.local | other.local,
            transfer: self.transfer | other.transfer,
        }
    }

    /// The first of so many free transfer registers in a row.
    pub(super) fn row(self, words: u8) -> Option<u8> {
        (0..=32 - words).find(|&first| self.transfer & mask(first, words) == 0)
    }
}

fn mask(first: u8, words: u8) -> u32 {
    (((1u64 << words) - 1) << first) as u32
}
