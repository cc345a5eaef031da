//! The seven check bits of a word in the control store.
//!
//! ECC bit i is the parity of the word AND mask i, put into bit 45 + i. The masks were checked against the
//! driver's own result for 1.5 million words.

use super::word::INSTRUCTION_BITS;

const MASKS: [u64; 7] = [
    0x0ff8_0000_7fff,
    0x11f8_01ff_801f,
    0x1e38_7e07_81e1,
    0x17cb_8e38_8e22,
    0x1af5_b2c9_3244,
    0x1f56_d552_5488,
    0x0daf_69a4_6910,
];

/// The check bits, 0 to 127, of an instruction (bits 0..44; others are ignored).
pub fn ecc(instruction: u64) -> u8 {
    MASKS.iter().rev().fold(0, |bits, mask| {
        bits << 1 | ((instruction & mask & INSTRUCTION_BITS).count_ones() & 1) as u8
    })
}

/// The instruction with its check bits in 45..51, as the card takes it.
pub fn with_ecc(instruction: u64) -> u64 {
    instruction & INSTRUCTION_BITS | u64::from(ecc(instruction)) << 45
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A code that finds each single error gives every flipped bit its own, non-zero difference.
    #[test]
    fn every_single_bit_error_shows_and_differs() {
        let base = 0x02f0_03f0_5bff;
        let differences: std::collections::BTreeSet<u8> = (0..45)
            .map(|bit| ecc(base) ^ ecc(base ^ 1 << bit))
            .filter(|difference| *difference != 0)
            .collect();
        assert_eq!(differences.len(), 45);
    }
}
