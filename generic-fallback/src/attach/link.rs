//! Attaching by a pinned link: nobody else replaces it by accident, and removing the pin takes it off.

use super::Attach;
use kernel::bpf::link::{Link, LinkTarget};
use kernel::{Errno, Operation, Refusal};
use std::path::Path;

/// Attaches by a link and pins it.
pub(super) fn create(attach: Attach<'_>, pin: &Path) -> kernel::Result<Link> {
    clear_dead_pin(pin)?;
    let link = Link::create_xdp(attach.program, attach.ifindex, Some(attach.mode))?;
    // Dropped where the pin fails, and with it the attachment.
    link.pin(pin)?;
    Ok(link)
}

/// Removes a pin whose link holds no interface any more: it was detached, or the interface is gone.
fn clear_dead_pin(pin: &Path) -> kernel::Result<()> {
    if !pin.exists() {
        return Ok(());
    }
    let info = Link::open_pinned(pin)?.info()?;
    if info.target == LinkTarget::Xdp(None) {
        unpin(pin);
        Ok(())
    } else {
        Err(Refusal::new(Operation::Pin, Errno::EEXIST).into())
    }
}

/// Whether a refusal is about the pin, and not about the attachment.
pub(super) fn is_about_the_pin(refusal: &Refusal) -> bool {
    matches!(refusal.operation, Operation::Pin | Operation::OpenPinned)
}

/// The link that holds `program_id` on interface `ifindex`, if there is exactly one: in another network
/// namespace the same index may stand for another interface.
pub fn the_only_one(ifindex: u32, program_id: u32) -> kernel::Result<Option<Link>> {
    let mut found = None;
    for link in Link::all() {
        let (link, info) = link?;
        if info.program_id == program_id && info.target == LinkTarget::Xdp(Some(ifindex)) {
            if found.is_some() {
                return Ok(None);
            }
            found = Some(link);
        }
    }
    Ok(found)
}

/// Removes a pin; a leftover is told, not fatal.
pub fn unpin(pin: &Path) {
    if let Err(error) = std::fs::remove_file(pin) {
        tracing::warn!(pin = %pin.display(), %error, "a pin was left behind");
    }
}
