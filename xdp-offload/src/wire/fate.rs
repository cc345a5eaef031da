//! What became of a frame, from what was seen at both ends. Pure.

use kernel::Errno;
use kernel::trace::XdpEvent;

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The network stack got it, like this.
    Passed(Vec<u8>),
    /// It came back, like this.
    Returned(Vec<u8>),
    /// It was to be sent back, as far as the driver tells, and did not arrive; why, if that was told.
    ReturnFailed(Option<Errno>),
    /// It was handed on.
    Redirected {
        /// To this interface; `None`: a CPU or a socket.
        ifindex: Option<u32>,
        /// Why it was not.
        error: Option<Errno>,
    },
    /// The program aborted, or returned no verdict.
    Aborted,
    /// It was dropped.
    Dropped,
    /// It was aborted, dropped or redirected: nobody tells which.
    Gone,
}

/// What was seen since a frame was sent.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Frames that the stack of the interface got.
    pub(super) passed: Vec<Vec<u8>>,
    /// Frames that arrived at the peer.
    pub(super) returned: Vec<Vec<u8>>,
    /// What the kernel told.
    pub(super) events: Vec<XdpEvent>,
}

impl Seen {
    /// What became of `frame`; `None`: nothing yet.
    pub(super) fn fate(&self, frame: &[u8]) -> Option<Fate> {
        // A frame that was redirected may show itself as if it had passed (cpumap) or come back (to where it came from).
        for event in &self.events {
            match event {
                XdpEvent::Redirect { to_ifindex, error } => {
                    return Some(Fate::Redirected {
                        ifindex: (*to_ifindex != 0).then_some(*to_ifindex),
                        error: *error,
                    });
                }
                XdpEvent::Exception { action } => {
                    return Some(match action.as_str() {
                        "TX" => Fate::ReturnFailed(None),
                        "REDIRECT" => Fate::Redirected {
                            ifindex: None,
                            error: Some(Errno::EIO),
                        },
                        _ => Fate::Aborted,
                    });
                }
                // Perhaps of an interface with the same index in another network namespace: it proves nothing.
                XdpEvent::SentBack { .. } => {}
            }
        }
        if let Some(passed) = likeliest(&self.passed, frame) {
            return Some(Fate::Passed(passed));
        }
        likeliest(&self.returned, frame).map(Fate::Returned)
    }

    /// Whether a driver says that it has sent something back.
    pub(super) fn comes_back(&self) -> bool {
        let is_sent = |event: &XdpEvent| matches!(event, XdpEvent::SentBack { sent: 1.., .. });
        self.events.iter().any(is_sent)
    }

    /// What became of a frame that does not show itself.
    pub(super) fn nothing_came(&self, traced: bool) -> Fate {
        let sent_back = self.events.iter().find_map(|event| match event {
            XdpEvent::SentBack { error, .. } => Some(*error),
            _ => None,
        });
        if let Some(error) = sent_back {
            Fate::ReturnFailed(error)
        } else if traced {
            Fate::Dropped
        } else {
            Fate::Gone
        }
    }
}

/// Of several frames the one that is as it was sent, or the first.
fn likeliest(frames: &[Vec<u8>], sent: &[u8]) -> Option<Vec<u8>> {
    let same = frames.iter().find(|frame| *frame == sent);
    same.or_else(|| frames.first()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event: XdpEvent) -> Seen {
        Seen {
            events: vec![event],
            ..Seen::default()
        }
    }

    #[test]
    fn where_a_frame_shows_itself_is_its_fate() {
        let passed = Seen {
            passed: vec![vec![1], vec![2]],
            ..Seen::default()
        };
        assert_eq!(passed.fate(&[2]), Some(Fate::Passed(vec![2])));
        assert_eq!(passed.fate(&[3]), Some(Fate::Passed(vec![1])));
        let returned = Seen {
            returned: vec![vec![1]],
            ..Seen::default()
        };
        assert_eq!(returned.fate(&[3]), Some(Fate::Returned(vec![1])));
        assert_eq!(Seen::default().fate(&[3]), None);
        assert_eq!(Seen::default().nothing_came(true), Fate::Dropped);
        assert_eq!(Seen::default().nothing_came(false), Fate::Gone);
    }

    #[test]
    fn the_kernels_word_counts_more_than_where_a_frame_shows_itself() {
        let mut redirected = event(XdpEvent::Redirect {
            to_ifindex: 7,
            error: None,
        });
        redirected.returned = vec![vec![1]];
        assert_eq!(
            redirected.fate(&[1]),
            Some(Fate::Redirected {
                ifindex: Some(7),
                error: None
            })
        );
        let exception = |action: &str| {
            event(XdpEvent::Exception {
                action: action.to_owned(),
            })
            .fate(&[1])
        };
        assert_eq!(exception("ABORTED"), Some(Fate::Aborted));
        assert_eq!(exception("77"), Some(Fate::Aborted));
        assert_eq!(exception("TX"), Some(Fate::ReturnFailed(None)));
    }

    #[test]
    fn a_driver_that_cannot_send_back_says_so() {
        let refused = event(XdpEvent::SentBack {
            sent: 0,
            dropped: 1,
            error: Some(Errno::ENXIO),
        });
        assert_eq!(refused.fate(&[1]), None);
        assert_eq!(
            refused.nothing_came(true),
            Fate::ReturnFailed(Some(Errno::ENXIO))
        );
        let sent = event(XdpEvent::SentBack {
            sent: 1,
            dropped: 0,
            error: None,
        });
        assert!(sent.comes_back() && !refused.comes_back());
        assert_eq!(sent.fate(&[1]), None);
        assert_eq!(sent.nothing_came(true), Fate::ReturnFailed(None));
    }
}
