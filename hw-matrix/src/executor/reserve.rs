//! Places of a lab that many share, reserved before their hosts are used: labgrid's, by its client.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::{Output, Session, SessionError};
use crate::spec::Reserve;

/// Gets a place, says so, and releases it when its input is closed: when this program is done with it or is gone. A place that somebody
/// has is asked for again and again; labgrid's own queue wants all who wait to use it.
const HOLD: &str = r#"trap '' HUP INT TERM
end=$(($(date +%s) + $1)); shift
until words=$("$@" acquire 2>&1); do
	case $words in *"already acquired"*) ;; *) echo "error $words"; exit ;; esac
	[ "$(date +%s)" -lt $end ] || { echo "busy $words"; exit; }
	sleep 1
done
echo acquired
cat >/dev/null
"$@" release >/dev/null 2>&1"#;

/// A place that is ours until the value goes.
#[derive(Debug)]
pub(super) struct Place {
    holder: Child,
    hold: Option<ChildStdin>,
}

impl Place {
    /// Reserves a place, waiting for it as long as the lab file says.
    pub(super) fn reserve(reserve: &Reserve, place: &str) -> Result<Self, SessionError> {
        let mut holder = Command::new("sh")
            .args(["-c", HOLD, "reserve", &reserve.wait.as_secs().to_string()])
            .args(["labgrid-client", "-p", place])
            .env("LG_COORDINATOR", &reserve.coordinator)
            // A Ctrl-C at the terminal is ours: the cell ends, and then the place is released.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| SessionError::lost(format!("cannot start sh: {error}")))?;
        let hold = holder.stdin.take();
        let said = holder.stdout.take();
        let place_of_ours = Place { holder, hold };
        let mut line = String::new();
        if let Some(said) = said {
            // A holder that says nothing ends the line by its own end.
            let _ = BufReader::new(said).read_line(&mut line);
        }
        let coordinator = &reserve.coordinator;
        match line
            .trim_end()
            .split_once(' ')
            .unwrap_or((line.trim_end(), ""))
        {
            ("acquired", _) => Ok(place_of_ours),
            ("busy", words) => Err(SessionError::Unavailable(format!(
                "the place {place} could not be had within {} s: {}",
                reserve.wait.as_secs(),
                words_of(words)
            ))),
            (_, words) => Err(SessionError::lost(format!(
                "the place {place} cannot be reserved at {coordinator}: {}",
                words_of(words)
            ))),
        }
    }
}

/// What the client said, without its name.
fn words_of(words: &str) -> &str {
    words.trim_start_matches("labgrid-client: Error: ")
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.hold.take());
        let _ = self.holder.wait();
    }
}

/// A session on a host of a reserved place, which is released after it.
pub(super) struct Reserved<'a> {
    pub(super) session: Box<dyn Session + 'a>,
    pub(super) place: Place,
}

impl Session for Reserved<'_> {
    fn run(&mut self, command: &super::Command) -> Result<Output, SessionError> {
        self.session.run(command)
    }

    fn put(&mut self, file: &Path) -> Result<String, SessionError> {
        self.session.put(file)
    }

    fn reset(&mut self) -> Result<(), SessionError> {
        self.session.reset()
    }

    fn close(self: Box<Self>) -> Result<(), SessionError> {
        let Reserved { session, place } = *self;
        let closed = session.close();
        drop(place);
        closed
    }
}
