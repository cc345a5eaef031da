//! Two hosts and the cable between them: what a test with real packets needs.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::netns::Netns;
use crate::output::Failed;

/// The near end's address on a [`Cable`].
pub const NEAR_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The far end's.
pub const FAR_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// Two namespaces joined by a veth pair: `near0` at [`NEAR_ADDRESS`] and `far0` at [`FAR_ADDRESS`], both
/// up, each knowing the other's MAC address.
#[derive(Debug)]
pub struct Cable {
    /// Where programs are attached, to `near0`.
    pub near: Netns,
    /// Where packets come from, by `far0`.
    pub far: Netns,
}

impl Cable {
    /// Lays the cable.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn lay(tag: &str) -> Result<Self, Failed> {
        const NEAR_MAC: &str = "02:00:00:00:00:01";
        const FAR_MAC: &str = "02:00:00:00:00:02";

        let near = Netns::create(&format!("{tag}-near"))?;
        let far = Netns::create(&format!("{tag}-far"))?;
        near.try_ip(&format!(
            "link add near0 address {NEAR_MAC} type veth peer name far0 address {FAR_MAC} netns {}",
            far.name()
        ))?;
        near.try_ip(&format!("address add {NEAR_ADDRESS}/24 dev near0"))?;
        far.try_ip(&format!("address add {FAR_ADDRESS}/24 dev far0"))?;
        near.try_ip("link set near0 up")?;
        far.try_ip("link set far0 up")?;
        near.try_ip(&format!(
            "neighbour add {FAR_ADDRESS} lladdr {FAR_MAC} dev near0"
        ))?;
        far.try_ip(&format!(
            "neighbour add {NEAR_ADDRESS} lladdr {NEAR_MAC} dev far0"
        ))?;
        Ok(Self { near, far })
    }

    /// Sends UDP packets from the far end to a port of the near end, few enough at once for veth's
    /// receive ring (256 packets) to hold them.
    ///
    /// # Errors
    /// What the socket said.
    pub fn send_udp(&self, port: u16, packets: u32) -> std::io::Result<()> {
        const BURST: u32 = 64;

        self.far.inside(|| {
            let socket = UdpSocket::bind((FAR_ADDRESS, 0))?;
            let target = SocketAddr::from((NEAR_ADDRESS, port));
            let mut sent = 0;
            while sent < packets {
                match socket.send_to(&sent.to_be_bytes(), target) {
                    Ok(_) => sent += 1,
                    // The answer to an earlier packet that found no listener, not about this one
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                    Err(error) => return Err(error),
                }
                if sent % BURST == 0 {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            Ok(())
        })
    }
}
