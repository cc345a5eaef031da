//! Which driver an interface has: the one ethtool question without a netlink form, so an ioctl asks it.

use std::os::fd::{AsRawFd, OwnedFd};

use crate::{Errno, Error, Operation, Refusal, Result};

/// What ETHTOOL_GDRVINFO says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DriverInfo {
    /// Driver name, such as "virtio_net".
    pub driver: String,
    /// Driver version; in-tree drivers give the kernel release.
    pub version: String,
    /// Firmware version, may be empty.
    pub firmware: String,
    /// Bus address, such as a PCI address; may be empty.
    pub bus_info: String,
}

/// `struct ethtool_drvinfo` (include/uapi/linux/ethtool.h).
#[repr(C)]
struct RawDriverInfo {
    cmd: u32,
    driver: [u8; 32],
    version: [u8; 32],
    fw_version: [u8; 32],
    bus_info: [u8; 32],
    erom_version: [u8; 32],
    reserved2: [u8; 12],
    n_priv_flags: u32,
    n_stats: u32,
    testinfo_len: u32,
    eedump_len: u32,
    regdump_len: u32,
}

const ETHTOOL_GDRVINFO: u32 = 3;

/// Asks for [`DriverInfo`] in the network namespace it was opened in.
pub struct DriverInfoReader {
    socket: OwnedFd,
}

impl DriverInfoReader {
    /// Needs no privilege.
    pub fn open() -> Result<Self> {
        // Any socket does, it only carries the namespace.
        let socket = rustix::net::socket_with(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::DGRAM,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|errno| Refusal::new(Operation::GetEthtool, errno.into()))?;
        Ok(Self { socket })
    }

    /// The driver of the interface with this name (not an alternative name). `None`: the device has no
    /// such answer (lo).
    ///
    /// # Errors
    /// `Refused` with ENODEV where there is no such interface.
    pub fn read(&self, name: &str) -> Result<Option<DriverInfo>> {
        let mut info = RawDriverInfo {
            cmd: ETHTOOL_GDRVINFO,
            driver: [0; 32],
            version: [0; 32],
            fw_version: [0; 32],
            bus_info: [0; 32],
            erom_version: [0; 32],
            reserved2: [0; 12],
            n_priv_flags: 0,
            n_stats: 0,
            testinfo_len: 0,
            eedump_len: 0,
            regdump_len: 0,
        };
        // SAFETY: the structure lives, and is as large as ETHTOOL_GDRVINFO writes.
        match unsafe { self.ioctl(name, (&raw mut info).cast()) } {
            Ok(()) => Ok(Some(DriverInfo {
                driver: text(&info.driver),
                version: text(&info.version),
                firmware: text(&info.fw_version),
                bus_info: text(&info.bus_info),
            })),
            Err(error) if error.errno() == Some(Errno::EOPNOTSUPP) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// SIOCETHTOOL.
    ///
    /// # Safety
    /// `data` points to the structure of an ethtool command that begins with its number, and is valid for all that the
    /// kernel reads and writes for that command, until the call returns.
    pub(super) unsafe fn ioctl(&self, name: &str, data: *mut libc::c_char) -> Result<()> {
        let refused = |errno: Errno| -> Error { Refusal::new(Operation::GetEthtool, errno).into() };
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
            return Err(refused(Errno::ENODEV));
        }
        let mut request = libc::ifreq {
            ifr_name: [0; libc::IFNAMSIZ],
            ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: data },
        };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        // SAFETY: SIOCETHTOOL reads an ifreq, whose name ends with NUL; its data are the caller's promise.
        let result =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        if result == 0 {
            Ok(())
        } else {
            Err(refused(Errno::last()))
        }
    }
}

/// [`DriverInfoReader::read`], for one interface.
pub fn driver_info(name: &str) -> Result<Option<DriverInfo>> {
    DriverInfoReader::open()?.read(name)
}

/// The text before the first NUL. Drivers write "N/A" where they have nothing to say.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0);
    match String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).trim() {
        "N/A" => String::new(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_is_as_large_as_the_kernels() {
        assert_eq!(size_of::<RawDriverInfo>(), 196);
    }

    #[test]
    fn texts_end_at_nul() {
        assert_eq!(text(b"virtio_net\0rest"), "virtio_net");
        assert_eq!(text(&[b'x'; 32]), "x".repeat(32));
        assert_eq!(text(b"N/A\0"), "");
    }

    #[test]
    fn lo_has_no_driver() {
        assert_eq!(driver_info("lo"), Ok(None));
    }

    #[test]
    fn impossible_names_are_no_interfaces() {
        for name in ["", "nosuchif0", "a name longer than sixteen", "a\0b"] {
            assert_eq!(driver_info(name).unwrap_err().errno(), Some(Errno::ENODEV));
        }
    }
}
