//! Packet files: the classic pcap format (draft-ietf-opsawg-pcap), Ethernet only.

use crate::exit::{Exit, Failure};
use std::fs;
use std::path::Path;

/// Files are read whole.
const BIGGEST_FILE: u64 = 1 << 30;
/// More than any interface's MTU.
const BIGGEST_PACKET: u32 = 256 << 10;
/// `LINKTYPE_ETHERNET`
const ETHERNET: u32 = 1;
/// Times in microseconds, and in nanoseconds.
const MAGICS: [u32; 2] = [0xa1b2_c3d4, 0xa1b2_3c4d];
const PCAPNG: u32 = 0x0a0d_0d0a;

/// A packet with its time, in the file's own units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) seconds: u32,
    pub(crate) fraction: u32,
    pub(crate) bytes: Vec<u8>,
}

/// The packets of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capture {
    nanoseconds: bool,
    pub(crate) packets: Vec<Packet>,
}

impl Capture {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let cannot = || Failure::new(Exit::Usage, format!("cannot read {}", path.display()));
        let size = fs::metadata(path)
            .map_err(|error| cannot().because(error))?
            .len();
        if size > BIGGEST_FILE {
            return Err(cannot().because("it is larger than 1 GiB"));
        }
        let bytes = fs::read(path).map_err(|error| cannot().because(error))?;
        Self::parse(&bytes).map_err(|why| {
            let failure = Failure::new(
                Exit::Usage,
                format!("{} is no packet file that can be read", path.display()),
            )
            .because(why);
            if bytes.starts_with(&PCAPNG.to_le_bytes()) {
                failure.remedy("`editcap -F pcap IN OUT` or `tcpdump -r IN -w OUT` converts it")
            } else {
                failure
            }
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut fields = Fields { bytes, big: false };
        let mut magic = fields.word().ok_or("it is too short")?;
        if MAGICS.contains(&magic.swap_bytes()) {
            fields.big = true;
            magic = magic.swap_bytes();
        }
        if magic == PCAPNG {
            return Err("it is in the newer pcapng format".to_owned());
        }
        if !MAGICS.contains(&magic) {
            return Err("it does not begin as a pcap file does".to_owned());
        }
        // Version, two unused fields, the limit of the capture, the kind of link.
        let header: Option<Vec<u32>> = (0..5).map(|_| fields.word()).collect();
        let link = header.ok_or("its header is cut off")?[4] & 0xffff;
        if link != ETHERNET {
            return Err(format!(
                "its packets are of link type {link}, not Ethernet (1)"
            ));
        }
        let mut packets = Vec::new();
        while !fields.bytes.is_empty() {
            let number = packets.len() + 1;
            let cut_off = || format!("packet {number} is cut off");
            let (seconds, fraction) = fields.word().zip(fields.word()).ok_or_else(cut_off)?;
            let (length, _original) = fields.word().zip(fields.word()).ok_or_else(cut_off)?;
            if length > BIGGEST_PACKET {
                return Err(format!("packet {number} has {length} bytes"));
            }
            let (packet, rest) = fields
                .bytes
                .split_at_checked(length as usize)
                .ok_or_else(cut_off)?;
            fields.bytes = rest;
            packets.push(Packet {
                seconds,
                fraction,
                bytes: packet.to_vec(),
            });
        }
        Ok(Self {
            nanoseconds: magic == MAGICS[1],
            packets,
        })
    }

    /// A packet's time in nanoseconds.
    pub(crate) fn time_ns(&self, packet: &Packet) -> u64 {
        let unit = if self.nanoseconds { 1 } else { 1_000 };
        u64::from(packet.seconds) * 1_000_000_000 + u64::from(packet.fraction) * unit
    }

    /// The same capture with other packets.
    pub(crate) fn with(&self, packets: Vec<Packet>) -> Self {
        Self {
            nanoseconds: self.nanoseconds,
            packets,
        }
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        fs::write(path, self.to_bytes()).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(error)
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let magic = MAGICS[usize::from(self.nanoseconds)];
        // Version 2.4, two unused fields, no limit, Ethernet.
        let header = [magic, 4 << 16 | 2, 0, 0, BIGGEST_PACKET, ETHERNET];
        let mut out: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
        for packet in &self.packets {
            let length = packet.bytes.len() as u32;
            let header = [packet.seconds, packet.fraction, length, length];
            out.extend(header.iter().flat_map(|word| word.to_le_bytes()));
            out.extend_from_slice(&packet.bytes);
        }
        out
    }
}

struct Fields<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl Fields<'_> {
    fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(if self.big {
            u32::from_be_bytes(*word)
        } else {
            u32::from_le_bytes(*word)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture() -> Capture {
        Capture {
            nanoseconds: true,
            packets: vec![
                Packet {
                    seconds: 1,
                    fraction: 2,
                    bytes: vec![7; 60],
                },
                Packet {
                    seconds: 3,
                    fraction: 4,
                    bytes: Vec::new(),
                },
            ],
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(Capture::parse(&capture().to_bytes()), Ok(capture()));
    }

    #[test]
    fn files_of_the_other_byte_order_read_too() {
        let mut bytes = capture().to_bytes();
        bytes.truncate(24 + 16 + 60);
        for at in (0..24).step_by(4).chain((24..40).step_by(4)) {
            bytes[at..at + 4].reverse();
        }
        let read = Capture::parse(&bytes).unwrap();
        assert_eq!(read.packets, capture().packets[..1]);
    }

    #[test]
    fn what_is_no_capture_is_refused_with_the_reason() {
        let refused = |bytes: &[u8]| Capture::parse(bytes).unwrap_err();
        assert_eq!(refused(b"ab"), "it is too short");
        assert_eq!(refused(&[0; 40]), "it does not begin as a pcap file does");
        assert_eq!(
            refused(&PCAPNG.to_le_bytes()),
            "it is in the newer pcapng format"
        );
        let bytes = capture().to_bytes();
        assert_eq!(refused(&bytes[..20]), "its header is cut off");
        assert_eq!(refused(&bytes[..99]), "packet 1 is cut off");
        assert_eq!(refused(&bytes[..110]), "packet 2 is cut off");
        let mut wifi = bytes.clone();
        wifi[20] = 105;
        assert_eq!(
            refused(&wifi),
            "its packets are of link type 105, not Ethernet (1)"
        );
    }
}
