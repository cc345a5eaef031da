//! The `z3` command, asked over a pipe.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// For one question, in milliseconds.
const PATIENCE: u32 = 2_000;

/// Whether what was asked for exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    No,
    Yes,
    /// It takes too long to say.
    Unknown,
}

/// z3; ended with the value.
pub(crate) struct Solver {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Solver {
    pub(crate) fn start() -> Self {
        let mut process = Command::new("z3")
            .args(["-in", &format!("-t:{PATIENCE}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("z3 starts");
        let input = process.stdin.take().expect("it is piped");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        Self {
            process,
            input,
            output,
        }
    }

    /// Asks for what satisfies the assertions of a text in SMT-LIB.
    pub(crate) fn ask(&mut self, question: &str) -> Answer {
        write!(self.input, "(reset)\n{question}\n(check-sat)\n").expect("z3 reads");
        self.input.flush().expect("z3 reads");
        match self.line().as_str() {
            "unsat" => Answer::No,
            "unknown" | "timeout" => Answer::Unknown,
            "sat" => Answer::Yes,
            other => panic!("z3 says {other}\n{question}"),
        }
    }

    /// A term's value in what was found.
    pub(crate) fn value(&mut self, term: &str) -> String {
        writeln!(self.input, "(get-value ({term}))").expect("z3 reads");
        self.input.flush().expect("z3 reads");
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("z3 answers");
        line.trim().to_owned()
    }
}

impl Drop for Solver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
