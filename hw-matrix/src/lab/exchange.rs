//! Jobs for a guest and what they wrote, through a folder that both sides see.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::LabError;

/// How a command in a guest ended and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit code; 128 + N after signal N.
    pub code: i32,
    /// Standard output, its first 64 MiB.
    pub stdout: Vec<u8>,
    /// Standard error, its first 64 MiB.
    pub stderr: Vec<u8>,
}

/// Most that is kept of what a job writes, in bytes.
const MAX_OUTPUT: u64 = 64 << 20;

/// How often files are looked at. A guest without KVM takes longer for the smallest command.
const LOOK: Duration = Duration::from_millis(20);

/// How long a guest may take to end a job that it was told to kill.
const MERCY: Duration = Duration::from_secs(30);

/// The folder that a machine and its host exchange files through.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) folder: PathBuf,
}

impl Exchange {
    /// The folder of a new machine, with the pipe for its jobs.
    pub(super) fn create(folder: &Path) -> Result<Self, LabError> {
        let jobs = folder.join("jobs");
        fs::create_dir(&jobs).map_err(LabError::file(&jobs))?;
        for name in ["jobs.in", "jobs.out"] {
            let path = folder.join(name);
            let kind = rustix::fs::FileType::Fifo;
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0)
                .map_err(|error| LabError::file(&path)(error.into()))?;
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Where QEMU's own words go, on standard output and on standard error.
    pub(super) fn logs(&self) -> Result<(File, File), LabError> {
        let path = self.folder.join("qemu.log");
        let log = File::create(&path).map_err(LabError::file(&path))?;
        let again = log.try_clone().map_err(LabError::file(&path))?;
        Ok((log, again))
    }

    pub(super) fn write(&self, name: &str, contents: &str) -> Result<(), LabError> {
        let path = self.folder.join(name);
        fs::write(&path, contents).map_err(LabError::file(&path))
    }

    /// A file that the guest makes when it is at a certain point; none so far.
    pub(super) fn read(&self, name: &str) -> Option<String> {
        let bytes = fs::read(self.folder.join(name)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether the machine runs: QEMU holds the pipe open for reading.
    pub(super) fn is_alive(&self) -> bool {
        self.pipe().is_ok()
    }

    fn pipe(&self) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(self.folder.join("jobs.in"))
    }

    /// Why the guest died, as its kernel and QEMU tell it; else the end of what they said.
    pub(super) fn console(&self) -> String {
        let mut text = excerpt(&self.read("console").unwrap_or_default());
        let qemu = self.read("qemu.log").unwrap_or_default();
        for line in qemu.lines().take(5) {
            // A NIC whose other end nobody holds.
            if !line.contains("is not connected to host network") {
                text.push_str("\nqemu: ");
                text.push_str(line);
            }
        }
        text
    }

    /// Waits until the guest says that its NICs are ready; `is_alive` tells whether it can still say it.
    pub(super) fn wait_until_ready(
        &self,
        mut is_alive: impl FnMut() -> bool,
    ) -> Result<(), LabError> {
        let begun = Instant::now();
        loop {
            let alive = is_alive();
            if self.read("ready").is_some() {
                return Ok(());
            }
            if let Some(why) = self.read("failed") {
                return Err(LabError::Setup(why.trim_end().to_owned()));
            }
            if !alive {
                return Err(LabError::Died {
                    when: "while it booted",
                    console: self.console(),
                });
            }
            if begun.elapsed() > BOOT {
                return Err(LabError::Hung {
                    after: BOOT,
                    console: self.console(),
                });
            }
            thread::sleep(LOOK);
        }
    }

    /// Runs a command and passes on what it writes. The exit code.
    pub(super) fn pass_on(
        &self,
        command: &str,
        input: &[u8],
        limit: Duration,
        stdout: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> Result<i32, LabError> {
        self.start(command, input)?.wait(limit, |job| {
            // Nobody to write to is no reason to leave the command half done.
            let _ = job.pass_on(stdout, stderr);
        })
    }

    /// Gives the guest a shell command to run as root, with what it reads as its input.
    pub(super) fn start(&self, command: &str, input: &[u8]) -> Result<Job<'_>, LabError> {
        let jobs = self.folder.join("jobs");
        let folder = tempfile::Builder::new()
            .prefix("")
            .tempdir_in(&jobs)
            .map_err(LabError::file(&jobs))?;
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).map_err(LabError::file(&path))
        };
        write("command", command.as_bytes())?;
        write("input", input)?;
        let job = Job {
            exchange: self,
            folder,
            shown: [0; 2],
        };
        job.tell("run")?;
        Ok(job)
    }
}

/// A guest boots in six to eighteen seconds without KVM, with a dozen NICs in thirty more; on a busy host it takes many times
/// that.
const BOOT: Duration = Duration::from_mins(6);

/// How many lines of a console are shown.
const EXCERPT: usize = 12;

/// What a kernel says first when it dies.
const LAST_WORDS: [&str; 5] = [
    "Kernel panic",
    "BUG: ",
    "Oops",
    "general protection",
    "rcu_sched",
];

/// The lines of a console from the kernel's last words on, or else its last lines.
fn excerpt(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    let dying = |line: &&str| LAST_WORDS.iter().any(|words| line.contains(words));
    let first = lines.iter().position(dying);
    let from = first.unwrap_or(lines.len().saturating_sub(EXCERPT));
    lines[from..]
        .iter()
        .take(EXCERPT)
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

/// A command that a guest runs. Its files go with the value.
#[derive(Debug)]
pub struct Job<'a> {
    exchange: &'a Exchange,
    folder: tempfile::TempDir,
    /// How much of output and errors was passed on, in bytes.
    shown: [u64; 2],
}

impl Job<'_> {
    fn tell(&self, word: &str) -> Result<(), LabError> {
        let name = self.folder.path().file_name().unwrap_or_default();
        let line = format!("{word} {}\n", name.to_string_lossy());
        self.exchange
            .pipe()
            .and_then(|mut pipe| pipe.write_all(line.as_bytes()))
            .map_err(|_| self.died())
    }

    fn died(&self) -> LabError {
        LabError::Died {
            when: "in a command",
            console: self.exchange.console(),
        }
    }

    fn code(&self) -> Option<i32> {
        let text = fs::read_to_string(self.folder.path().join("code")).ok()?;
        text.trim().parse().ok()
    }

    /// Waits for its end; `each` is called every now and then meanwhile, and once after it. The exit code.
    ///
    /// # Errors
    /// `TimeLimit` after `limit`; `Hung` where it cannot even be killed; `Died`.
    pub(super) fn wait(
        &mut self,
        limit: Duration,
        mut each: impl FnMut(&mut Self),
    ) -> Result<i32, LabError> {
        let deadline = Instant::now() + limit;
        let mut killed = None;
        loop {
            // Asked first: a guest that is gone now may have ended the job before.
            let alive = self.exchange.is_alive();
            let code = self.code();
            each(self);
            match (code, killed) {
                (Some(code), None) => return Ok(code),
                (Some(_), Some(_)) => return Err(LabError::TimeLimit(limit)),
                (None, _) if !alive => return Err(self.died()),
                (None, None) if Instant::now() > deadline => {
                    self.tell("kill")?;
                    killed = Some(Instant::now());
                }
                (None, Some(at)) if at.elapsed() > MERCY => {
                    return Err(LabError::Hung {
                        after: MERCY,
                        console: self.exchange.console(),
                    });
                }
                _ => thread::sleep(LOOK),
            }
        }
    }

    /// What it wrote.
    pub(super) fn output(&self, code: i32) -> Result<Output, LabError> {
        let read = |name: &str| {
            let path = self.folder.path().join(name);
            let mut bytes = Vec::new();
            File::open(&path)
                .and_then(|file| file.take(MAX_OUTPUT).read_to_end(&mut bytes))
                .map_err(LabError::file(&path))?;
            Ok(bytes)
        };
        Ok(Output {
            code,
            stdout: read("output")?,
            stderr: read("errors")?,
        })
    }

    /// Passes on what it wrote since the last call.
    pub(super) fn pass_on(
        &mut self,
        stdout: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> io::Result<()> {
        let names = ["output", "errors"];
        let sinks: [&mut dyn Write; 2] = [stdout, stderr];
        for ((name, sink), shown) in names.iter().zip(sinks).zip(&mut self.shown) {
            // Not there before the guest has opened it.
            let Ok(mut file) = File::open(self.folder.path().join(name)) else {
                continue;
            };
            file.seek(SeekFrom::Start(*shown))?;
            let new = io::copy(&mut file, sink)?;
            *shown += new;
            if new > 0 {
                sink.flush()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_is_shown_from_the_kernels_last_words_on() {
        let fifty =
            |what: &str| -> Vec<String> { (0..50).map(|n| format!("{what} {n}")).collect() };
        let mut console = fifty("line").join("\n");
        assert!(excerpt(&console).starts_with("line 38\n"));
        console.push_str("\n[1.0] Kernel panic - not syncing: no\n");
        console.push_str(&fifty("trace").join("\n"));
        let shown = excerpt(&console);
        assert!(shown.starts_with("[1.0] Kernel panic - not syncing: no\ntrace 0\n"));
        assert_eq!(shown.lines().count(), EXCERPT);
    }
}
