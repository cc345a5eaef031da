//! Runs a tool of ours as a process: its time and its output are bounded.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::filter::printable;

/// Most of a tool's output that is kept, in bytes: about 10,000 interfaces.
const MAX_OUTPUT: u64 = 64 << 20;

/// A finished tool.
#[derive(Debug)]
pub(super) struct Output {
    tool: String,
    pub(super) status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Output {
    /// What it wrote, as JSON of this form.
    pub(super) fn json<T: for<'de> Deserialize<'de>>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.stdout)
            .map_err(|error| format!("{} wrote no such JSON: {error}", self.tool))
    }

    /// How it ended, and the first line it complained with.
    pub(super) fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let first: String = text
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("")
            .chars()
            .take(400)
            .collect();
        let how = match self.status.code() {
            Some(code) => format!("exit code {code}"),
            None => self.status.to_string(),
        };
        if first.is_empty() {
            format!("{}: {how}", self.tool)
        } else {
            format!("{}: {how}: {first}", self.tool)
        }
    }
}

/// Runs a tool to its end or to the deadline, when it is killed.
pub(super) fn run(mut command: Command, deadline: Instant) -> Result<Output, String> {
    let tool = Path::new(command.get_program())
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let path = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        format!(
            "cannot start {}: {error}; --tools DIR says where it is",
            printable(&path)
        )
    })?;
    let stdout = child.stdout.take().map(read_in_background);
    let stderr = child.stderr.take().map(read_in_background);
    let status = wait(&mut child, deadline).map_err(|error| format!("{tool}: {error}"))?;
    // A grandchild may hold the pipe open: what has come by then is enough.
    let collect = |receiver: Option<mpsc::Receiver<Vec<u8>>>| {
        receiver
            .and_then(|receiver| receiver.recv_timeout(Duration::from_secs(1)).ok())
            .unwrap_or_default()
    };
    Ok(Output {
        tool,
        status,
        stdout: collect(stdout),
        stderr: collect(stderr),
    })
}

fn read_in_background(pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut pipe = pipe;
        let mut bytes = Vec::new();
        // What cannot be read is missing in the output, and the reader of that complains.
        let _ = pipe.by_ref().take(MAX_OUTPUT).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
        // Drain the rest, so that the tool does not wait for us.
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
    });
    receiver
}

fn wait(child: &mut Child, deadline: Instant) -> Result<ExitStatus, String> {
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < deadline => {
                thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("ran out of time and was killed".to_owned());
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_hangs_is_killed_in_time() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let begun = Instant::now();
        let error = run(command, begun + Duration::from_millis(50)).unwrap_err();
        assert_eq!(error, "sleep: ran out of time and was killed");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
