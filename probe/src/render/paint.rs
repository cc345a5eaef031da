//! Colour: green, red and yellow for yes, no and the rest.
//!
//! Text is laid out first and coloured afterwards, since escape sequences have no place in a width: a coloured word stands
//! between characters of no width, which [`finish`] turns into escape sequences. Whether those reach the
//! terminal is `anstream`'s to decide (`NO_COLOR`, `--color`, pipes).

use anstyle::{AnsiColor, Reset, Style};

use crate::judge::Support;

/// Invisible operators of Unicode, of width 0; no interface or driver is called so.
const MARKS: [(char, Style); 4] = [
    ('\u{2061}', AnsiColor::Green.on_default()),
    ('\u{2062}', AnsiColor::Red.on_default()),
    ('\u{2063}', AnsiColor::Yellow.on_default()),
    ('\u{206a}', Style::new().bold()),
];
const END: char = '\u{2064}';

/// "yes", "no" or "?" in its colour.
pub(super) fn verdict(support: &Support) -> String {
    match support {
        Support::Yes { .. } => mark(0, "yes"),
        Support::No { .. } => mark(1, "no"),
        Support::Unknown { .. } => mark(2, "?"),
    }
}

/// As good as a yes.
pub(super) fn good(text: &str) -> String {
    mark(0, text)
}

/// As bad as a no.
pub(super) fn bad(text: &str) -> String {
    mark(1, text)
}

/// Neither.
pub(super) fn doubtful(text: &str) -> String {
    mark(2, text)
}

/// A heading.
pub(super) fn bold(text: &str) -> String {
    mark(3, text)
}

fn mark(which: usize, text: &str) -> String {
    format!("{}{text}{END}", MARKS[which].0)
}

/// Marks to escape sequences.
pub(super) fn finish(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character == END {
            out.push_str(&Reset.render().to_string());
        } else if let Some((_, style)) = MARKS.iter().find(|(mark, _)| *mark == character) {
            out.push_str(&style.render().to_string());
        } else {
            out.push(character);
        }
    }
    out
}
