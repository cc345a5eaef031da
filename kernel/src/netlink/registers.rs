//! The registers that a device shows (`ethtool -d`): ETHTOOL_GREGS, which has no netlink form.

use super::driver_info::DriverInfoReader;
use crate::{Errno, Result};

/// The most bytes that are read; devices have more, and what is wanted of them stands at the beginning.
const MOST: usize = 1024;

const ETHTOOL_GREGS: u32 = 4;

/// What a device shows. What the bytes mean, only its driver knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registers {
    /// The driver's version of the dump's form.
    pub version: u32,
    /// The first bytes, at most 1,024.
    pub bytes: Vec<u8>,
}

/// `struct ethtool_regs` (include/uapi/linux/ethtool.h) with room for the bytes.
#[repr(C)]
struct RawRegisters {
    cmd: u32,
    version: u32,
    len: u32,
    data: [u8; MOST],
}

/// The registers of the interface with this name (not an alternative name). `None`: the driver shows none. Needs
/// CAP_NET_ADMIN.
///
/// # Errors
/// `Refused` with ENODEV where there is no such interface, EPERM where it is not permitted.
pub fn registers(name: &str) -> Result<Option<Registers>> {
    let mut raw = RawRegisters {
        cmd: ETHTOOL_GREGS,
        version: 0,
        len: MOST as u32,
        data: [0; MOST],
    };
    // SAFETY: ETHTOOL_GREGS writes the header, and at most `len` bytes after it, which are there.
    let answer = unsafe { DriverInfoReader::open()?.ioctl(name, (&raw mut raw).cast()) };
    match answer {
        Ok(()) => {
            // The kernel lowers `len` to what the device has.
            let length = (raw.len as usize).min(MOST);
            Ok(Some(Registers {
                version: raw.version,
                bytes: raw.data[..length].to_vec(),
            }))
        }
        Err(error) if error.errno() == Some(Errno::EOPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_is_the_kernels_with_the_bytes_right_behind() {
        assert_eq!(size_of::<RawRegisters>(), 12 + MOST);
    }

    #[test]
    fn lo_shows_none_and_impossible_names_are_no_interfaces() {
        // Without CAP_NET_ADMIN the kernel asks no driver.
        let lo = registers("lo").map_err(|error| error.errno());
        assert!(matches!(lo, Ok(None) | Err(Some(Errno::EPERM))), "{lo:?}");
        assert_eq!(
            registers("no name").unwrap_err().errno(),
            Some(Errno::ENODEV)
        );
    }
}
