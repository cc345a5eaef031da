//! What is wrong with a lab file, for people: place, source line, what, and what would be right.

use std::fmt;
use std::ops::Range;

use crate::suggest;

/// Longest piece of a source line that is shown, in characters.
const SHOWN: usize = 120;

/// Most mistakes that are shown of one file.
const SHOWN_ERRORS: usize = 30;

/// One mistake in a lab file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabError {
    /// The file, as it was named.
    pub path: String,
    /// Line from 1.
    pub line: usize,
    /// Column from 1, in characters.
    pub column: usize,
    /// Number of characters that are wrong, at least 1.
    pub width: usize,
    /// The source line.
    pub source: String,
    /// What is wrong.
    pub message: String,
    /// What would be right, if that is known.
    pub help: Option<String>,
}

impl std::error::Error for LabError {}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LabError {
            path,
            line,
            column,
            message,
            ..
        } = self;
        writeln!(f, "{path}:{line}:{column}: {message}")?;
        let gutter = line.to_string();
        let source: String = self
            .source
            .chars()
            .take(SHOWN)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        writeln!(f, " {gutter} | {source}")?;
        let before = (column - 1).min(SHOWN);
        let marks = self
            .width
            .clamp(1, source.chars().count().saturating_sub(before).max(1));
        write!(
            f,
            " {:width$} | {:before$}{}",
            "",
            "",
            "^".repeat(marks),
            width = gutter.len()
        )?;
        match &self.help {
            Some(help) => write!(f, "\n {:width$} = help: {help}", "", width = gutter.len()),
            None => Ok(()),
        }
    }
}

/// All mistakes that were found, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabErrors(pub Vec<LabError>);

impl std::error::Error for LabErrors {}

impl fmt::Display for LabErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().take(SHOWN_ERRORS).enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        if self.0.len() > SHOWN_ERRORS {
            write!(f, "\nand {} more", self.0.len() - SHOWN_ERRORS)?;
        }
        Ok(())
    }
}

/// Makes errors for byte ranges of one text.
pub(super) struct Source<'a> {
    pub(super) path: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn error(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) -> LabError {
        let (line, column, source) = self.place(span.start);
        let end = span.end.min(self.text.len());
        let wrong = self.text.get(span.start.min(end)..end).unwrap_or("");
        LabError {
            path: self.path.to_owned(),
            line,
            column,
            width: wrong
                .lines()
                .next()
                .map_or(1, |first| first.chars().count())
                .max(1),
            source: source.to_owned(),
            message: message.into(),
            help,
        }
    }

    /// Line and column from 1, and the line's text.
    pub(super) fn place(&self, offset: usize) -> (usize, usize, &str) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let source = self.text[start..].lines().next().unwrap_or("");
        (
            before.matches('\n').count() + 1,
            self.text[start..offset].chars().count() + 1,
            source,
        )
    }

    /// The TOML reader's or serde's error. Where it lists what it expected, the nearest becomes the help.
    pub(super) fn toml_error(&self, error: &toml::de::Error) -> LabError {
        let message = error.message();
        let span = error.span().unwrap_or(0..0);
        let unknown = ["unknown field `", "unknown variant `"]
            .into_iter()
            .find_map(|prefix| message.strip_prefix(prefix))
            .and_then(|rest| rest.split_once('`'));
        let Some((word, rest)) = unknown else {
            return self.error(span, message.replace('\n', ", "), None);
        };
        let expected: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let what = if message.starts_with("unknown field") {
            "key"
        } else {
            "value"
        };
        let help = match suggest::nearest(word, expected.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if expected.is_empty() => "remove it: nothing may stand here".to_owned(),
            None => format!("one of {}", expected.join(", ")),
        };
        self.error(
            span,
            format!("unknown {what} `{}`", crate::filter::printable(word)),
            Some(help),
        )
    }
}
