//! Our own commands on a simulated card.

use std::path::Path;

use hw_matrix::lab::Spec;
use nfp_target::profile::Profile;

use super::{MEMORY, Simulator, SimulatorError, parameters};
use crate::Output;
use crate::lab::Guest;

impl Simulator {
    /// Boots a machine with a card of a profile, `nfpsim0`, and runs shell commands in it, one after the other, as root in
    /// a folder with `files`. `xdp-offload` and `xdp-probe` are there, and a BPF file system.
    ///
    /// # Errors
    /// The machine or the exchange with it failed; how a command ended is in its output.
    pub fn run(
        &self,
        profile: &Profile,
        files: &[&Path],
        commands: &[&str],
    ) -> Result<Vec<Output>, SimulatorError> {
        let spec = Spec {
            memory: MEMORY,
            ..Spec::default()
        };
        let guest = Guest::boot(&self.lab, &spec, files)?;
        guest
            .try_run(&format!("modprobe nfpsim {}", parameters(profile)))?
            .ok()?;
        commands
            .iter()
            .map(|command| Ok(guest.try_run(command)?))
            .collect()
    }
}
