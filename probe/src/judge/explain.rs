//! Why the kernel refused: from its errno, its text, and what is known about the interface.
//!
//! Many refusals carry no text at all, so each is keyed on what was tried, the errno, and the facts.

use kernel::Refusal;
use kernel::netlink::link::Mode;

use super::Needs;
use crate::facts::{Facts, Snapshot};

/// What was tried when the kernel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// Creating a map; `offload`: bound to the device.
    CreateMap {
        /// With `map_ifindex`.
        offload: bool,
    },
    /// Loading a program; `offload`: bound to the device.
    Load {
        /// With `prog_ifindex`.
        offload: bool,
    },
    /// Attaching, by netlink or by link; `None` leaves the mode to the kernel.
    Attach(Option<Mode>),
    /// Detaching.
    Detach(Option<Mode>),
    /// Binding an AF_XDP socket.
    BindXsk {
        /// With `XDP_ZEROCOPY`; otherwise with `XDP_COPY`.
        zero_copy: bool,
    },
}

/// A refusal in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Why, in one sentence.
    pub reason: String,
    /// What to do; `None` where nothing helps.
    pub remedy: Option<String>,
}

/// Explains `refusal` of what was `tried` on the interface `facts` of `snapshot`, with a program of these `needs`.
/// Pure; the kernel's own text stays in `refusal`.
pub fn explain(
    tried: Tried,
    refusal: &Refusal,
    snapshot: &Snapshot,
    facts: &Facts,
    needs: &Needs,
) -> Explanation {
    let _ = (tried, refusal, snapshot, facts, needs);
    todo!()
}
