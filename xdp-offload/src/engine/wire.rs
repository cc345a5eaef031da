//! The engine that loads nothing: a program that is attached to an interface, and frames that a peer sends to it.

use super::Ran;
use crate::exit::Failure;
use crate::wire::{AttachedMaps, Ends, Fate, Wire, padded};
use kernel::Errno;
use offload_compiler::interp::Loaded;
use offload_compiler::object::Object;
use std::time::Duration;

/// How long a frame may take that is expected to show itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// A program on an interface.
pub(crate) struct OnWire {
    wire: Wire,
    maps: Option<AttachedMaps>,
}

impl OnWire {
    pub(super) fn open(object: &Object, program: usize, ends: &Ends) -> Result<Self, Failure> {
        let name = &object.programs[program].name;
        Ok(Self {
            wire: Wire::open(ends, Some(name))?,
            maps: None,
        })
    }

    /// Index and MTU of the interface.
    pub(super) fn ingress(&self) -> (u32, u32) {
        self.wire.ingress()
    }

    /// Fills a machine's maps with what the attached program's hold now; they are compared at the end.
    pub(super) fn lend_maps(
        &mut self,
        loaded: &mut Loaded,
        object: &Object,
    ) -> Result<(), Failure> {
        let ids = self.wire.attached.info()?.map_ids;
        self.maps = Some(AttachedMaps::lend(&ids, loaded, object)?);
        Ok(())
    }

    pub(super) fn differing_map(&mut self, machine: &mut Loaded) -> Option<String> {
        self.maps.as_ref()?.differing(&mut machine.machine)
    }

    pub(super) fn run(&mut self, packet: &[u8], expected: Option<&Ran>) -> Result<Ran, Failure> {
        let effect = expected.and_then(Ran::effect);
        let shows_itself = matches!(effect, Some(2 | 3));
        let fate = self
            .wire
            .send_alone(&padded(packet), shows_itself.then_some(PATIENCE))?;
        let fate = match fate {
            // What the driver tells of frames sent back may be about another interface: see `fate`.
            Fate::ReturnFailed(_) if effect == Some(1) => Fate::Dropped,
            fate => fate,
        };
        if effect == Some(4) && self.wire.untraced().is_some() {
            // Where it went nobody tells, and it may have gone to where others show themselves.
            return Ok(Ran::default());
        }
        Ok(of_fate(fate))
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let untraced = self.wire.untraced().map(|error| {
            format!("XDP_ABORTED, XDP_DROP and XDP_REDIRECT are not told apart: {error}")
        });
        untraced.into_iter().collect()
    }

    /// Why maps that differ say nothing; `None`: they have to be the same.
    pub(super) fn incomparable_maps(&self) -> Result<Option<String>, Failure> {
        let others = self.wire.runs_for_others()?.filter(|&others| others > 0);
        Ok(others.map(|others| {
            format!("the program saw {others} frames besides, which others had sent")
        }))
    }
}

fn of_fate(fate: Fate) -> Ran {
    let (verdict, packet) = match fate {
        Fate::Aborted => (Some(0), None),
        Fate::Dropped => (Some(1), None),
        Fate::Passed(packet) => (Some(2), Some(packet)),
        Fate::Returned(packet) => (Some(3), Some(packet)),
        Fate::ReturnFailed(error) => {
            let why = error.map_or_else(String::new, |error| format!(": {error}"));
            return Ran {
                verdict: Some(3),
                lost: Some(format!("it was to be sent back and did not arrive{why}")),
                ..Ran::default()
            };
        }
        Fate::Redirected { ifindex, error } => {
            let target = ifindex.map_or_else(
                || "a CPU or a socket".to_owned(),
                |ifindex| format!("interface {ifindex}"),
            );
            return Ran {
                verdict: Some(4),
                // EBADRQC: the program named nothing (`xdp_do_redirect` in net/core/filter.c).
                redirect: (error != Some(Errno::EBADRQC)).then_some(target),
                ..Ran::default()
            };
        }
        Fate::Gone => (None, None),
    };
    Ran {
        verdict,
        packet,
        ..Ran::default()
    }
}
