//! Redirecting (net/core/filter.c, include/linux/filter.h).

use crate::interp::fault::FaultKind;
use crate::interp::machine::Redirect;
use crate::interp::map::MapKind;
use crate::interp::run::{Flow, Run};
use crate::isa::Reg;

/// `XDP_ABORTED`
const ABORTED: u64 = 0;
/// `XDP_REDIRECT`
const REDIRECT: u64 = 4;
/// The verdicts that the flags can name for a missing element.
const VERDICT_MASK: u64 = 3;
/// `BPF_F_BROADCAST`
const BROADCAST: u64 = 1 << 3;
/// `BPF_F_EXCLUDE_INGRESS`
const EXCLUDE_INGRESS: u64 = 1 << 4;

impl Run<'_> {
    /// `bpf_xdp_redirect`
    pub(super) fn redirect(&mut self) -> Result<Flow, FaultKind> {
        let ifindex = self.get(Reg::R1)? as u32;
        if self.get(Reg::R2)? != 0 {
            return Ok(Flow::Return(ABORTED));
        }
        self.redirect = Some(Redirect::Device { ifindex });
        Ok(Flow::Return(REDIRECT))
    }

    /// `bpf_xdp_redirect_map`, `__bpf_xdp_redirect_map`
    pub(super) fn redirect_map(&mut self, id: i32) -> Result<Flow, FaultKind> {
        let map = self.map_argument(id, Reg::R1)?;
        let key = self.get(Reg::R2)? as u32;
        let flags = self.get(Reg::R3)?;
        let kind = self.machine.maps[map].spec.kind;
        if !kind.is_redirect_target() {
            return Err(Self::bad(
                id,
                1,
                "packets cannot be redirected to a map of this kind",
            ));
        }
        let known = match kind {
            MapKind::DevMap | MapKind::DevMapHash => BROADCAST | EXCLUDE_INGRESS,
            _ => 0,
        };
        if flags & !(VERDICT_MASK | known) != 0 {
            return Ok(Flow::Return(ABORTED));
        }
        let machine = &mut *self.machine;
        let value = machine.maps[map]
            .lookup(&mut machine.memory, &key.to_le_bytes(), false)?
            .map(|value| machine.memory.bytes(value.cells[0]).to_vec());
        if value.is_none() && flags & BROADCAST == 0 {
            self.redirect = None;
            return Ok(Flow::Return(flags & VERDICT_MASK));
        }
        self.redirect = Some(Redirect::Map {
            map,
            key,
            value,
            flags: flags & !VERDICT_MASK,
        });
        Ok(Flow::Return(REDIRECT))
    }
}
