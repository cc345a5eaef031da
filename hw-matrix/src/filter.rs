//! Which cells: the expressions of `--filter`, `[[exclude]]` and `[[expect]]`.
//!
//! ```text
//! host=vm-* & mode=native & !(nic=e1000* | nic=pcnet)
//! here/*/*/generic/attach
//! ```
//!
//! A term is `KEY=GLOB`, `KEY!=GLOB`, or a glob alone, which is held against the whole id. `*` stands for any
//! characters and `?` for one. `!` binds tightest, then `&`, then `|`.

use std::fmt;

use crate::suggest;

/// Longest expression that is read, in bytes.
pub const MAX_LENGTH: usize = 4096;
/// Deepest nesting of parentheses and `!`.
const MAX_DEPTH: usize = 32;

/// What a filter can ask of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The whole id, `host/nic/program/mode/check`.
    Id,
    /// The host's name.
    Host,
    /// The NIC's name in the lab file.
    Nic,
    /// The program's name; `-` where the check takes none.
    Program,
    /// `native`, `generic` or `offload`.
    Mode,
    /// The check's name.
    Check,
}

const KEYS: [(&str, Key); 6] = [
    ("id", Key::Id),
    ("host", Key::Host),
    ("nic", Key::Nic),
    ("program", Key::Program),
    ("mode", Key::Mode),
    ("check", Key::Check),
];

/// A parsed expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Holds for every cell.
    All,
    /// The field matches the glob.
    Is(Key, String),
    /// The inner one does not hold.
    Not(Box<Filter>),
    /// All of them hold.
    And(Vec<Filter>),
    /// One of them holds.
    Or(Vec<Filter>),
}

/// An expression that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    /// Byte offset of the mistake in the expression.
    pub at: usize,
    /// Its length in bytes, at least 1.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right, if that is known.
    pub help: Option<String>,
}

impl std::error::Error for FilterError {}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at character {})", self.message, self.at + 1)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl Filter {
    /// Reads an expression. An empty one is an error: nobody means it.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        if text.len() > MAX_LENGTH {
            return Err(FilterError {
                at: MAX_LENGTH,
                length: 1,
                message: format!("the expression is longer than {MAX_LENGTH} bytes"),
                help: None,
            });
        }
        let mut parser = Parser { text, at: 0 };
        let filter = parser.or(0)?;
        parser.skip_space();
        if parser.at < text.len() {
            return Err(parser.error("expected `&`, `|` or the end", None));
        }
        Ok(filter)
    }

    /// Whether the cell with these fields is meant; `field` answers for each key.
    pub fn matches<'a>(&self, field: &impl Fn(Key) -> std::borrow::Cow<'a, str>) -> bool {
        match self {
            Filter::All => true,
            Filter::Is(key, glob) => glob_matches(glob, &field(*key)),
            Filter::Not(inner) => !inner.matches(field),
            Filter::And(all) => all.iter().all(|inner| inner.matches(field)),
            Filter::Or(any) => any.iter().any(|inner| inner.matches(field)),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn or(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let mut any = vec![self.and(depth)?];
        while self.take(b'|') {
            any.push(self.and(depth)?);
        }
        Ok(if any.len() == 1 {
            any.remove(0)
        } else {
            Filter::Or(any)
        })
    }

    fn and(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let mut all = vec![self.not(depth)?];
        while self.take(b'&') {
            all.push(self.not(depth)?);
        }
        Ok(if all.len() == 1 {
            all.remove(0)
        } else {
            Filter::And(all)
        })
    }

    fn not(&mut self, depth: usize) -> Result<Filter, FilterError> {
        if depth > MAX_DEPTH {
            return Err(self.error("nested too deeply", None));
        }
        if self.take(b'!') {
            return Ok(Filter::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.take(b'(') {
            let inner = self.or(depth + 1)?;
            return if self.take(b')') {
                Ok(inner)
            } else {
                Err(self.error("expected `)`", None))
            };
        }
        self.term()
    }

    fn term(&mut self) -> Result<Filter, FilterError> {
        let (start, word) = self.word();
        if word.is_empty() {
            return Err(self.error(
                "expected a term",
                Some(
                    "a term is KEY=GLOB, for example mode=native, or a glob for the whole id"
                        .into(),
                ),
            ));
        }
        let negated = self.text[self.at..].starts_with("!=");
        if !negated && !self.text[self.at..].starts_with('=') {
            return Ok(Filter::Is(Key::Id, word));
        }
        let Some((_, key)) = KEYS.iter().find(|(name, _)| *name == word) else {
            let names = KEYS.map(|(name, _)| name);
            let help = suggest::nearest(&word, names).map_or_else(
                || format!("the keys are {}", names.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(FilterError {
                at: start,
                length: word.len(),
                message: format!("unknown key `{}`", printable(&word)),
                help: Some(help),
            });
        };
        self.at += if negated { 2 } else { 1 };
        let (_, glob) = self.word();
        if glob.is_empty() {
            return Err(self.error("expected a value", Some("`*` stands for any value".into())));
        }
        let is = Filter::Is(*key, glob);
        Ok(if negated {
            Filter::Not(Box::new(is))
        } else {
            is
        })
    }

    /// The characters up to the next that means something, and where they start.
    fn word(&mut self) -> (usize, String) {
        self.skip_space();
        let start = self.at;
        let rest = &self.text[start..];
        let length = rest
            .find(|c: char| c.is_whitespace() || "=!&|()".contains(c))
            .unwrap_or(rest.len());
        self.at += length;
        (start, rest[..length].to_owned())
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn error(&self, message: &str, help: Option<String>) -> FilterError {
        FilterError {
            at: self.at,
            length: 1,
            message: message.to_owned(),
            help,
        }
    }
}

/// Whether the whole text matches: `*` any characters, `?` one. Linear in the product of the lengths at worst.
pub(crate) fn glob_matches(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut g, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if g < glob.len() && glob[g] == b'*' {
            star = Some((g, t));
            g += 1;
        } else if g < glob.len() && (glob[g] == b'?' || glob[g] == text[t]) {
            g += 1;
            t += 1;
        } else if let Some((after, from)) = star {
            // Let the last star take one more character.
            star = Some((after, from + 1));
            g = after + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|&c| c == b'*')
}

/// Untrusted text for a message: control characters escaped, at most 64 characters.
pub(crate) fn printable(text: &str) -> String {
    let short: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        format!("{short}...")
    } else {
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn holds(expression: &str) -> bool {
        let field = |key| {
            Cow::Borrowed(match key {
                Key::Id => "here/veth0/pass/native/attach",
                Key::Host => "here",
                Key::Nic => "veth0",
                Key::Program => "pass",
                Key::Mode => "native",
                Key::Check => "attach",
            })
        };
        Filter::parse(expression).expect(expression).matches(&field)
    }

    #[test]
    fn terms_and_operators() {
        assert!(holds("mode=native"));
        assert!(!holds("mode!=native"));
        assert!(holds("host=h*e & nic=veth?"));
        assert!(holds("mode=generic | check=attach"));
        assert!(holds("!(mode=generic | program=drop)"));
        assert!(holds("here/*/native/*"));
        assert!(!holds("here/veth0"));
        assert!(
            holds("mode=generic & nic=nope | host=here"),
            "& binds tighter than |"
        );
        assert!(!holds("!host=here | mode=offload"), "! binds tightest");
    }

    #[test]
    fn mistakes_are_located() {
        let wrong = |text: &str| {
            let error = Filter::parse(text).expect_err(text);
            (error.at, error.to_string())
        };
        let (at, text) = wrong("host=a & mdoe=native");
        assert_eq!(at, 9);
        assert!(
            text.contains("unknown key `mdoe`") && text.contains("did you mean `mode`?"),
            "{text}"
        );
        assert_eq!(wrong("").0, 0);
        assert_eq!(wrong("(host=a").1, "expected `)` (at character 8)");
        assert!(wrong("host=").1.contains("expected a value"));
        assert!(
            wrong("host=a mode=b")
                .1
                .contains("expected `&`, `|` or the end")
        );
        assert!(wrong(&"(".repeat(4000)).1.contains("nested too deeply"));
        assert!(wrong(&"!".repeat(4000)).1.contains("nested too deeply"));
        assert!(wrong(&"x".repeat(5000)).1.contains("longer than"));
    }

    #[test]
    fn a_hostile_glob_ends_soon() {
        let glob = "*a".repeat(500);
        assert!(!glob_matches(&glob, &"a".repeat(499)));
        assert!(glob_matches(&glob, &"a".repeat(2000)));
    }
}
