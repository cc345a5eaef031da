//! Parts of words of a caller's stack (`mem_op_stack`, `wrp_lmem_load`, `wrp_lmem_store`, Linux 6.12): the driver counts
//! from the frame that runs, and a place in a caller's frame is then negative, as is its remainder in C.

/// A part of an access: in one word of local memory and one register word.
struct Slice {
    /// Which word from the first.
    word: usize,
    /// Place in that word as the driver has it: -3 to 3.
    place: i32,
    /// First byte of the register pair.
    at: i32,
    size: i32,
}

fn slices(mut off: i32, mut size: i32) -> Vec<Slice> {
    let mut slices = Vec::new();
    let (mut at, mut word) = (0, 0);
    while size > 0 {
        let end = (off + size.min(4 - at % 4)).min((off + 4).div_euclid(4) * 4);
        let part = end - off;
        off %= 4;
        slices.push(Slice {
            word,
            place: off,
            at,
            size: part,
        });
        // The pointer moves on where the next part is in another register word.
        if (at + part) / 4 != at / 4 || off.rem_euclid(4) + part >= 4 {
            word += 1;
        }
        at += part;
        size -= part;
        off += part;
    }
    slices
}

/// What a load of `size` bytes gets. `off` is the place from the bottom of the frame that runs; `words` are those from
/// the accessed place's word on.
pub(super) fn load(off: i32, size: u32, words: &[u32]) -> u64 {
    let mut value = 0_u64;
    for slice in slices(off, size as i32) {
        let word = words.get(slice.word).copied().unwrap_or(0);
        let at = slice.at % 4;
        let distance = 8 * (slice.place - at).unsigned_abs();
        // A negative place is a large number, so it never is the smaller.
        let shifted = match slice.place {
            place if place == at => word,
            place if (0..at).contains(&place) => word.wrapping_shl(distance),
            _ => word.wrapping_shr(distance),
        };
        let mask = mask(slice.size, at) & 0xffff_ffff;
        value |= u64::from(shifted & mask as u32) << (32 * (slice.at / 4));
    }
    value
}

/// What a store leaves in the words.
pub(super) fn store(off: i32, size: u32, value: u64, words: &mut [u32]) {
    for slice in slices(off, size as i32) {
        // The byte mask of a negative place has no bit.
        if slice.place < 0 && slice.size < 4 {
            continue;
        }
        let source = (value >> (32 * (slice.at / 4))) as u32;
        let at = slice.at % 4;
        let distance = 8 * (slice.place - at).unsigned_abs();
        let shifted = if slice.place >= at {
            source.wrapping_shl(distance)
        } else {
            source.wrapping_shr(distance)
        };
        let mask = mask(slice.size, slice.place) as u32;
        if let Some(word) = words.get_mut(slice.word) {
            *word = *word & !mask | shifted & mask;
        }
    }
}

/// Whether an access at this place gets or leaves anything else than its bytes.
pub(super) fn is_wrong(off: i32, size: u32) -> bool {
    let all = 0x8877_6655_4433_2211_u64;
    let words = [0x4433_2211, 0x8877_6655, 0xccbb_aa99];
    let first = 8 * off.rem_euclid(4);
    let mask = u64::MAX >> (64 - 8 * size);
    let right = (u128::from(all) | 0xccbb_aa99 << 64) >> first;
    let mut left = [0; 3];
    store(off, size, all, &mut left);
    let stored = left
        .iter()
        .rev()
        .fold(0_u128, |value, word| value << 32 | u128::from(*word));
    load(off, size, &words) != right as u64 & mask || stored != u128::from(all & mask) << first
}

fn mask(size: i32, first: i32) -> u64 {
    ((1_u64 << (8 * size)) - 1) << (8 * first)
}

#[cfg(test)]
mod tests {
    use super::is_wrong;

    #[test]
    fn narrow_accesses_at_a_negative_place_are_wrong_unless_it_is_a_multiple_of_4() {
        for (off, size, wrong) in [
            (-1, 1, true),
            (-2, 2, true),
            (-4, 1, false),
            (-4, 2, false),
            (-8, 4, false),
            (-8, 8, false),
            (6, 2, false),
            (4, 8, false),
        ] {
            assert_eq!(is_wrong(off, size), wrong, "{size} bytes at {off}");
        }
    }
}
