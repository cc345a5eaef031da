//! A program as a text of assembly: a word a line, what follows a `;` is a comment. A comment that begins with the
//! name of a relocation, as listings of the driver's code show it, says that the word has it.

use std::fmt::Write;

use super::{AsmError, parse};
use crate::isa::reloc::Relocation;
use crate::isa::{Word, decode, encode};
use crate::words::MAX_WORDS;

/// Columns of an instruction before its comment.
const INSTRUCTION: usize = 56;

/// A line of a file that is no instruction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Not an instruction.
    #[error("line {line}: {problem}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: AsmError,
    },
    /// Too long a file.
    #[error("more than {MAX_WORDS} words")]
    TooMany,
}

/// Writes a program. `note` gives what a word's comment says after its relocation; empty for nothing. A word that is
/// no instruction becomes a comment.
pub fn write(words: &[Word], mut note: impl FnMut(usize) -> String) -> String {
    let mut text = String::new();
    for (at, word) in words.iter().enumerate() {
        let instruction = match decode(word.instruction) {
            Ok(instruction) => instruction.to_string(),
            Err(error) => format!("; {:016x}: {error}", word.to_bits()),
        };
        let note = note(at);
        let comment = [word.relocation.name(), &note]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        // Writing to a string cannot fail.
        let _ = if comment.is_empty() {
            writeln!(text, "{instruction}")
        } else {
            writeln!(text, "{instruction:INSTRUCTION$}; {comment}")
        };
    }
    text
}

/// Reads a program.
///
/// # Errors
/// The first line that is neither an instruction nor a comment.
pub fn read(text: &str) -> Result<Vec<Word>, FileError> {
    let mut words = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let (instruction, comment) = line.split_once(';').unwrap_or((line, ""));
        if instruction.trim().is_empty() {
            continue;
        }
        if words.len() == MAX_WORDS {
            return Err(FileError::TooMany);
        }
        let wrong = |problem| FileError::Line {
            line: index + 1,
            problem,
        };
        let first = comment.split_whitespace().next().unwrap_or_default();
        let relocation = Relocation::ALL
            .iter()
            .find(|(_, name)| *name == first)
            .map_or(Relocation::None, |(relocation, _)| *relocation);
        let instruction = parse(instruction).map_err(wrong)?;
        words.push(Word {
            instruction: encode(&instruction).map_err(|error| wrong(error.into()))?,
            relocation,
        });
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_with_relocations() {
        let words =
            read("nop\n; a comment\n\nbr[.15000], defer[2]  ; BR_NEXT_PKT and more\nnop ; x")
                .unwrap();
        assert_eq!(words.len(), 3);
        assert_eq!(words[1].relocation, Relocation::NextPacket);
        let text = write(&words, |at| {
            if at == 2 {
                "line 7".into()
            } else {
                String::new()
            }
        });
        assert_eq!(
            text,
            format!(
                "nop\n{:56}; BR_NEXT_PKT\n{:56}; line 7\n",
                "br[.15000], defer[2]", "nop"
            )
        );
        assert_eq!(read(&text).unwrap(), words);
    }

    #[test]
    fn mistakes_are_told_by_line() {
        let error = read("nop\nbranch").unwrap_err().to_string();
        assert_eq!(error, "line 2: expected NAME[OPERANDS]");
        let many = "nop\n".repeat(MAX_WORDS + 1);
        assert_eq!(read(&many), Err(FileError::TooMany));
    }
}
