//! The kernel's log (/dev/kmsg, Documentation/ABI/testing/dev-kmsg): what a driver says only there.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use crate::{Operation, Refusal, Result};

/// No record is longer: `PRINTK_MESSAGE_MAX` (kernel/printk/internal.h) since 6.4, CONSOLE_EXT_LOG_MAX before.
const LONGEST: usize = 8192;
/// Records that one call reads at most: a driver that prints without end must not keep us.
const MOST: usize = 1000;

/// The kernel's log, read from the moment it was opened.
#[derive(Debug)]
pub struct KernelLog {
    file: File,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// 0 (emergency) to 7 (debug); 3 is an error, 4 a warning.
    pub level: u8,
    /// 0 is the kernel; others were written by user space.
    pub facility: u32,
    /// The message. Bytes that are not printable stand in it as `\x0a`.
    pub text: String,
    /// The device that it is about: `+pci:0000:00:03.0`, or `n3` for the interface of index 3.
    pub device: Option<String>,
}

impl KernelLog {
    /// Opens the log at its end: what is printed from now on can be read.
    ///
    /// # Errors
    /// EPERM or EACCES: the sysctl `kernel.dmesg_restrict` is set and CAP_SYSLOG missing. ENOENT: a container without the
    /// file.
    pub fn follow() -> Result<Self> {
        let open = || -> std::io::Result<File> {
            let mut file = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
                .open("/dev/kmsg")?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().map_err(|error| Refusal::new(Operation::ReadSystem, error.into()))?;
        Ok(Self { file })
    }

    /// The records since the last call. Those that were overwritten before they were read are missing.
    pub fn new_records(&mut self) -> Vec<Record> {
        let mut buffer = vec![0; LONGEST];
        let mut records = Vec::new();
        for _ in 0..MOST {
            match self.file.read(&mut buffer) {
                Ok(length) if length > 0 => records.extend(parse(&buffer[..length])),
                // EPIPE: some were overwritten; the next read goes on behind them.
                Err(error)
                    if error.kind() == ErrorKind::BrokenPipe
                        || error.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        records
    }
}

/// `4,812,26796357,-;eth0: text`, then lines such as ` DEVICE=+pci:0000:00:03.0`.
fn parse(record: &[u8]) -> Option<Record> {
    let record = String::from_utf8_lossy(record);
    let mut lines = record.lines();
    let (prefix, text) = lines.next()?.split_once(';')?;
    let priority: u32 = prefix.split(',').next()?.parse().ok()?;
    Some(Record {
        level: (priority & 7) as u8,
        facility: priority >> 3,
        text: text.to_owned(),
        device: lines
            .find_map(|line| line.strip_prefix(" DEVICE="))
            .map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_taken_apart() {
        let bytes = b"4,812,26796357,-;virtio_net virtio1 eth0: single-buffer XDP requires MTU less than 3506\n \
            SUBSYSTEM=virtio\n DEVICE=+virtio:virtio1\n";
        assert_eq!(
            parse(bytes),
            Some(Record {
                level: 4,
                facility: 0,
                text: "virtio_net virtio1 eth0: single-buffer XDP requires MTU less than 3506"
                    .to_owned(),
                device: Some("+virtio:virtio1".to_owned()),
            })
        );
        let from_user_space = parse(b"13,1,2,-,caller=T1;a;b\n").expect("a record");
        assert_eq!((from_user_space.level, from_user_space.facility), (5, 1));
        assert_eq!(from_user_space.text, "a;b");
    }

    #[test]
    fn bytes_that_are_no_record_give_none() {
        for bytes in [&b""[..], b"\n", b"x,1,2,-;text", b"4,1,2,-", b"\xff;\xff"] {
            assert_eq!(parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn only_what_is_printed_later_is_read() {
        // Without the permission or the file there is nothing to test; the errno says which it is.
        let mut log = match KernelLog::follow() {
            Ok(log) => log,
            Err(error) => {
                assert!(
                    matches!(
                        error.errno().and_then(crate::Errno::name),
                        Some("EPERM" | "EACCES" | "ENOENT")
                    ),
                    "{error}"
                );
                return;
            }
        };
        let mark = format!("kmsg test of process {}", std::process::id());
        log.new_records();
        // Without the newline more could follow, and the record would not be read yet.
        if std::fs::write("/dev/kmsg", format!("{mark}\n")).is_ok() {
            let records = log.new_records();
            assert!(
                records
                    .iter()
                    .any(|record| record.text == mark && record.facility == 1),
                "{records:?}"
            );
        }
        assert!(!log.new_records().iter().any(|record| record.text == mark));
    }
}
