//! Running a command and keeping all that it said.

use std::process::Command;

/// How a command ended and what it wrote.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// The exit code; 128 + N after signal N, as a shell has it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A command that could not be started or ended with another code than 0.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{command}` {how}{}", if words.is_empty() { String::new() } else { format!(":\n{words}") })]
pub struct Failed {
    /// The command line.
    pub command: String,
    /// "ended with code 2", or why it did not start.
    pub how: String,
    /// What it wrote.
    pub words: String,
}

impl Output {
    /// A command as one would type it, for messages.
    pub fn command_line(command: &Command) -> String {
        let words: Vec<_> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy())
            .collect();
        words.join(" ")
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// `Failed` if it cannot be started. Its exit code is the caller's to judge, or [`Output::ok`]'s.
    pub fn of(command: &mut Command) -> Result<Self, Failed> {
        use std::os::unix::process::ExitStatusExt;

        let line = Self::command_line(command);
        match command.output() {
            Ok(output) => Ok(Self {
                command: line,
                code: output
                    .status
                    .code()
                    .unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            }),
            Err(error) => Err(Failed {
                command: line,
                how: format!("did not start: {error}"),
                words: String::new(),
            }),
        }
    }

    /// The output of a command that ended with 0.
    ///
    /// # Errors
    /// `Failed`, with what it wrote, for every other code.
    pub fn ok(self) -> Result<Self, Failed> {
        if self.code == 0 {
            return Ok(self);
        }
        Err(Failed {
            how: format!("ended with code {}", self.code),
            words: format!("{}{}", self.stdout, self.stderr),
            command: self.command,
        })
    }

    /// Asserts the exit code.
    ///
    /// # Panics
    /// With everything the command wrote, if it ended with another one.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(
            self.code, code,
            "`{}`\nstdout:\n{}\nstderr:\n{}",
            self.command, self.stdout, self.stderr
        );
        self
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "`{}` printed no JSON ({error}):\n{}\nstderr:\n{}",
                self.command, self.stdout, self.stderr
            )
        })
    }
}
