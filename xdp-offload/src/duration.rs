//! Times on the command line: `5s`, `200ms`, `2m`.

use std::time::Duration;

const LONGEST: Duration = Duration::from_hours(24);

/// Reads a time of at least a millisecond and at most a day.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a time is a number and ms, s, m or h, such as 5s".to_owned()),
    };
    let time = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(milliseconds))
        .map(Duration::from_millis);
    time.filter(|time| !time.is_zero() && *time <= LONGEST)
        .ok_or_else(|| "a time is between 1ms and 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(parse("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(parse("2m"), Ok(Duration::from_mins(2)));
        for wrong in ["5", "s", "-1s", "0s", "25h", "99999999999999999999s", "1 s"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
