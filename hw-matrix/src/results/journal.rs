//! Writing results.jsonl.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Header, Line};

/// How long a result may be in memory only: what the machine's death then costs is run again.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// results.jsonl being written: every line is the kernel's before [`Journal::line`] returns, so that nothing is lost
/// when this program dies, and on the disk within a second, for when the machine does.
#[derive(Debug)]
pub struct Journal {
    file: File,
    synced: Instant,
}

impl Journal {
    /// Starts a new file; an existing one is an error, results are never overwritten.
    ///
    /// # Errors
    /// The system's.
    pub fn create(path: &Path, header: Header) -> io::Result<Journal> {
        let file = File::options().write(true).create_new(true).open(path)?;
        let mut journal = Journal::of(file)?;
        journal.line_on_disk(&Line::Run(header))?;
        Ok(journal)
    }

    /// Goes on with a file of which the first `length` bytes are whole lines; the rest is cut off.
    ///
    /// # Errors
    /// The system's; `WouldBlock` if another run is writing the file.
    pub fn resume(path: &Path, length: u64) -> io::Result<Journal> {
        let journal = Journal::of(File::options().append(true).open(path)?)?;
        journal.file.set_len(length)?;
        Ok(journal)
    }

    fn of(file: File) -> io::Result<Journal> {
        file.try_lock()?;
        Ok(Journal {
            file,
            synced: Instant::now(),
        })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The system's; a full disk leaves a line cut off, which a reader leaves out.
    pub fn line(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)?;
        if self.synced.elapsed() < SYNC_EVERY {
            return Ok(());
        }
        self.sync()
    }

    /// Adds a line that is on the disk before this returns: what comes next may take the machine down.
    ///
    /// # Errors
    /// As [`Journal::line`].
    pub fn line_on_disk(&mut self, line: &Line) -> io::Result<()> {
        self.line(line)?;
        self.sync()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.synced = Instant::now();
        Ok(())
    }
}
