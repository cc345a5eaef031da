//! Runs a process of this machine: its time and its output are bounded.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{MAX_OUTPUT, Output};
use crate::filter::printable;

/// Runs a process to its end or to the deadline, when it is killed with all it started.
///
/// It is in a process group of its own: a Ctrl-C at the terminal is the runner's, which lets the cell end.
pub(super) fn run(mut command: Command, stdin: &[u8], deadline: Instant) -> Result<Output, String> {
    let program = Path::new(command.get_program())
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let path = command.get_program().to_string_lossy().into_owned();
    command
        .process_group(0)
        .stdin(if stdin.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", printable(&path)))?;
    if let Some(mut pipe) = child.stdin.take() {
        let bytes = stdin.to_vec();
        // A program that does not read all of it ends the pipe, and says itself what it misses.
        thread::spawn(move || pipe.write_all(&bytes));
    }
    let stdout = child.stdout.take().map(read_in_background);
    let stderr = child.stderr.take().map(read_in_background);
    let status = wait(&mut child, deadline).map_err(|error| format!("{program}: {error}"))?;
    // A grandchild may hold the pipe open: what has come by then is enough.
    let collect = |receiver: Option<mpsc::Receiver<Vec<u8>>>| {
        receiver
            .and_then(|receiver| receiver.recv_timeout(Duration::from_secs(1)).ok())
            .unwrap_or_default()
    };
    Ok(Output {
        program,
        code: status.code(),
        ended: status.to_string(),
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
        let _ = pipe
            .by_ref()
            .take(MAX_OUTPUT as u64)
            .read_to_end(&mut bytes);
        let _ = sender.send(bytes);
        // Drain the rest, so that the program does not wait for us.
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
                let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
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

    fn shell(script: &str, stdin: &[u8], limit: Duration) -> Result<Output, String> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, stdin, Instant::now() + limit)
    }

    #[test]
    fn a_process_that_hangs_is_killed_in_time_with_its_children() {
        let begun = Instant::now();
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("alive");
        let script = format!("(sleep 1; touch {}) & sleep 600", mark.display());
        let error = shell(&script, b"", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error, "sh: ran out of time and was killed");
        assert!(begun.elapsed() < Duration::from_secs(5));
        thread::sleep(Duration::from_millis(1200));
        assert!(!mark.exists(), "its child lives");
    }

    #[test]
    fn a_process_reads_its_input_and_all_of_its_words_are_kept() {
        let input = vec![b'x'; 1 << 20];
        let output = shell("cat; echo why >&2; exit 3", &input, Duration::from_secs(20)).unwrap();
        assert_eq!((output.code, output.stdout == input), (Some(3), true));
        assert_eq!(output.complaint(), "sh: exit code 3: why");
    }
}
