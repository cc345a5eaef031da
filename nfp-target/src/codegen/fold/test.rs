//! The outcome of a test.

use super::super::mir::{Mir, Test, Value};

/// The outcome of a test, or a simpler test.
pub(in crate::codegen) fn test_of(mir: &Mir, test: Test) -> Result<bool, Test> {
    let number = |value| mir.constant(value);
    let most = |value: Value| !mir.zeros(value);
    let zero = |pair: [Value; 2]| number(pair[1]) == Some(0);
    let both = |a: Option<u32>, b: Option<u32>| Some((a?, b?));
    let wide =
        |pair: [Value; 2]| Some(u64::from(number(pair[1])?) << 32 | u64::from(number(pair[0])?));
    match test {
        Test::Equal(a, b) => {
            if a == b {
                return Ok(true);
            }
            if let Some((a, b)) = both(number(a), number(b)) {
                return Ok(a == b);
            }
            if number(a).is_some() {
                return test_of(mir, Test::Equal(b, a));
            }
            match number(b) {
                Some(c) if c & mir.zeros(a) != 0 => Ok(false),
                _ => Err(test),
            }
        }
        Test::Below(a, b) => {
            if a == b || number(b) == Some(0) {
                return Ok(false);
            }
            match (number(a), number(b)) {
                (Some(a), Some(b)) => Ok(a < b),
                (Some(c), _) if c >= most(b) => Ok(false),
                (_, Some(c)) if most(a) < c => Ok(true),
                _ => Err(test),
            }
        }
        Test::Less(a, b) => {
            if a == b {
                return Ok(false);
            }
            if let Some((a, b)) = both(number(a), number(b)) {
                return Ok((a as i32) < b as i32);
            }
            if (mir.zeros(a) & mir.zeros(b)) >> 31 == 1 {
                return test_of(mir, Test::Below(a, b));
            }
            Err(test)
        }
        Test::Bits(a, b) => {
            if let Some((a, b)) = both(number(a), number(b)) {
                return Ok(a & b != 0);
            }
            if number(a).is_some() {
                return test_of(mir, Test::Bits(b, a));
            }
            if most(a) & most(b) == 0 {
                Ok(false)
            } else {
                Err(test)
            }
        }
        Test::EqualWide(a, b) => {
            if a == b {
                return Ok(true);
            }
            if let Some((a, b)) = wide(a).zip(wide(b)) {
                return Ok(a == b);
            }
            let high = both(number(a[1]), number(b[1]));
            if high.is_some_and(|(a, b)| a != b) {
                return Ok(false);
            }
            if a[1] == b[1] || high.is_some() {
                return test_of(mir, Test::Equal(a[0], b[0]));
            }
            if a[0] == b[0] {
                return test_of(mir, Test::Equal(a[1], b[1]));
            }
            // The number on the right.
            if number(a[1]).is_some() || number(a[0]).is_some() && number(b[0]).is_none() {
                return Err(Test::EqualWide(b, a));
            }
            Err(test)
        }
        Test::BelowWide(a, b) => {
            if let Some((a, b)) = wide(a).zip(wide(b)) {
                return Ok(a < b);
            }
            if zero(a) && zero(b) || a[1] == b[1] {
                return test_of(mir, Test::Below(a[0], b[0]));
            }
            if wide(b) == Some(0) {
                return Ok(false);
            }
            Err(test)
        }
        Test::LessWide(a, b) => {
            if let Some((a, b)) = wide(a).zip(wide(b)) {
                return Ok((a as i64) < b as i64);
            }
            if zero(a) && zero(b) || a[1] == b[1] {
                return test_of(mir, Test::Below(a[0], b[0]));
            }
            // Only the sign matters.
            if number(b[0]) == Some(0) {
                return test_of(mir, Test::Less(a[1], b[1]));
            }
            Err(test)
        }
        Test::BitsWide(a, b) => {
            let low = most(a[0]) & most(b[0]) != 0;
            let high = most(a[1]) & most(b[1]) != 0;
            match (low, high) {
                (false, false) => Ok(false),
                (true, false) => test_of(mir, Test::Bits(a[0], b[0])),
                (false, true) => test_of(mir, Test::Bits(a[1], b[1])),
                _ => Err(test),
            }
        }
    }
}
