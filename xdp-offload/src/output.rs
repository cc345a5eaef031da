//! Writing to the terminal, a file or a pipe.

use crate::exit::{Exit, Failure};
use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use serde::Serialize;
use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// A refusal, a failure.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What held.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What was left out.
pub(crate) const QUIET: Style = Style::new().dimmed();
/// Names of things.
pub(crate) const NAME: Style = Style::new().bold();

/// `text` in `style`; anstream takes the codes off where no terminal wants them.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Follows `--color`; `NO_COLOR` and the terminal count where it is `auto`.
pub(crate) fn colour(choice: ColorChoice) {
    match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::AlwaysAnsi,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Writes `text` to stdout. A reader that has gone away (`| head`) is no error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, "cannot write to stdout").because(error))
        }
        _ => Ok(()),
    }
}

/// Writes a value as one line of JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_string(value)
        .map_err(|error| Failure::new(Exit::Failed, "cannot write JSON").because(error))?;
    line.push('\n');
    print(&line)
}

/// Says on stderr what its reader has to know beside the result.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{}: {text}", styled(NAME, "note"));
}

/// A failure as it stands on stderr.
pub(crate) fn failure(failure: &Failure) -> String {
    format!("{}: {failure}", styled(BAD, "error"))
}

/// `text` broken into lines of at most `width` columns, each after the first behind `indent`
/// spaces. A word that is longer stays whole.
pub(crate) fn wrap(text: &str, indent: usize, width: usize) -> String {
    let room = width.saturating_sub(indent).max(20);
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > room {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// Columns of the terminal on stdout, 100 where there is none.
pub(crate) fn width() -> usize {
    std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .or_else(terminal_width)
        .unwrap_or(100)
}

fn terminal_width() -> Option<usize> {
    // comfy-table is asked no terminal size: its terminal support is left out to save a dependency.
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|&columns| columns > 0)
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("a bc", 2, 80), "a bc");
        assert_eq!(
            wrap("twelve words would be too many for it", 4, 24),
            "twelve words would\n    be too many for it"
        );
        assert_eq!(
            wrap("/a/path/of/more/than/twenty", 4, 24),
            "/a/path/of/more/than/twenty"
        );
    }
}
