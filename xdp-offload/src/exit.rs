//! Exit codes, and what is said to people when something does not work out.

use std::fmt;
use std::process::ExitCode;

/// How the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done as asked; an automatic fallback is reported and is still this.
    Done = 0,
    /// The system failed: I/O, the kernel, a bug.
    Failed = 1,
    /// Wrong usage, or a file that is not what it claims to be.
    Usage = 2,
    /// A reasoned No: the program is refused, or no rung that was allowed held.
    No = 3,
    /// Not permitted.
    NotPermitted = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error in three parts: what, why in the kernel's words, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code that it leads to.
    pub exit: Exit,
    /// What did not work, in a line.
    pub what: String,
    /// Why.
    pub why: Option<String>,
    /// What to do.
    pub remedy: Option<String>,
}

impl Failure {
    /// A failure with no more to say than what did not work.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            why: None,
            remedy: None,
        }
    }

    /// Adds why.
    #[must_use]
    pub fn because(mut self, why: impl fmt::Display) -> Self {
        self.why = Some(why.to_string());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// What the kernel refused, with `EPERM` told apart: it ends with [`Exit::NotPermitted`].
    pub fn kernel(what: impl Into<String>, error: &kernel::Error) -> Self {
        let failure = Self::new(Exit::Failed, what).because(error);
        if error.errno() == Some(kernel::Errno::EPERM) {
            failure.not_permitted()
        } else {
            failure
        }
    }

    /// Makes it a [`Exit::NotPermitted`] that names what is missing.
    #[must_use]
    pub fn not_permitted(mut self) -> Self {
        self.exit = Exit::NotPermitted;
        self.remedy = Some(generic_fallback::permission::remedy());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if let Some(why) = &self.why {
            write!(f, "\n  why: {why}")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  do:  {remedy}")?;
        }
        Ok(())
    }
}
