//! The words file: a word a line, as the kernel driver's dump of a translated program has them.
//!
//! Sixteen lower-case hex digits a line; `#` starts a comment; empty lines are nothing.

use std::fmt::Write;

use crate::isa::Word;
use crate::isa::word::NoWord;

/// Most words in a file: as many as a branch can reach.
pub const MAX_WORDS: usize = 1 << 14;

/// A line that is no word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct WordsError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub problem: WordsProblem,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsProblem {
    /// Not 16 lower-case hex digits.
    #[error("not a word: expected 16 lower-case hex digits")]
    Digits,
    /// The bits cannot stand in a dump.
    #[error(transparent)]
    Bits(#[from] NoWord),
    /// Too long a file.
    #[error("more than {MAX_WORDS} words")]
    TooMany,
}

/// Reads a words file.
///
/// # Errors
/// The first line that is no word.
pub fn read(text: &str) -> Result<Vec<Word>, WordsError> {
    let mut words = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let error = |problem| WordsError {
            line: index + 1,
            problem,
        };
        let content = line
            .split_once('#')
            .map_or(line, |(before, _)| before)
            .trim();
        if content.is_empty() {
            continue;
        }
        if words.len() == MAX_WORDS {
            return Err(error(WordsProblem::TooMany));
        }
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if content.len() != 16 || !content.bytes().all(digit) {
            return Err(error(WordsProblem::Digits));
        }
        let bits = u64::from_str_radix(content, 16).map_err(|_| error(WordsProblem::Digits))?;
        words.push(Word::from_bits(bits).map_err(|problem| error(problem.into()))?);
    }
    Ok(words)
}

/// Writes a words file.
pub fn write(words: &[Word]) -> String {
    let mut text = String::with_capacity(words.len() * 17);
    for word in words {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:016x}", word.to_bits());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::reloc::Relocation;

    #[test]
    fn what_is_written_is_read() {
        let words = vec![
            Word::plain(0x00f0_000c_0300),
            Word {
                instruction: 0x00d8_0340_8038,
                relocation: Relocation::Branch,
            },
        ];
        assert_eq!(write(&words), "000000f0000c0300\n010000d803408038\n");
        assert_eq!(read(&write(&words)), Ok(words.clone()));
        assert_eq!(
            read("# head\n\n000000f0000c0300 # nop\r\n  010000d803408038"),
            Ok(words)
        );
    }

    #[test]
    fn mistakes_are_told_by_line() {
        let wrong = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(
            wrong("\n0f0\n"),
            "line 2: not a word: expected 16 lower-case hex digits"
        );
        assert_eq!(
            wrong("000000F0000C0300"),
            "line 1: not a word: expected 16 lower-case hex digits"
        );
        assert_eq!(
            wrong("+00000f0000c0300"),
            "line 1: not a word: expected 16 lower-case hex digits"
        );
        assert_eq!(
            wrong("ff0000f0000c0300"),
            "line 1: relocation kind 255 is unknown: kinds are 0 to 8"
        );
        assert!(wrong("0000a0f0000c0300").contains("bits 45 to 55"));
        assert!(
            wrong(&"000000f0000c0300\n".repeat(MAX_WORDS + 1)).starts_with("line 16385: more than")
        );
    }
}
