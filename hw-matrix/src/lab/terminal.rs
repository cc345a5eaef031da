//! A terminal on a machine's console.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

/// Passes what is typed to a console and what it says to the terminal, until the console's other side is closed or `until` has
/// ended. The terminal passes every key on meanwhile, and is put back.
///
/// # Errors
/// The socket or the terminal fails.
pub fn relay(socket: &Path, until: impl FnOnce()) -> io::Result<()> {
    let console = UnixStream::connect(socket)?;
    let raw = Raw::enter()?;
    let (mut from, mut to) = (console.try_clone()?, console.try_clone()?);
    let output = thread::spawn(move || {
        let mut stdout = io::stdout().lock();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if stdout
                .write_all(&bytes[..count])
                .and_then(|()| stdout.flush())
                .is_err()
            {
                break;
            }
        }
    });
    // Not waited for: it sits in a read of the terminal, and goes with the process.
    thread::spawn(move || io::copy(&mut io::stdin().lock(), &mut to));
    until();
    console.shutdown(std::net::Shutdown::Both)?;
    let _ = output.join();
    drop(raw);
    Ok(())
}

/// The terminal's state before.
struct Raw(Option<Termios>);

impl Raw {
    fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        if !isatty(&stdin) {
            return Ok(Self(None));
        }
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
