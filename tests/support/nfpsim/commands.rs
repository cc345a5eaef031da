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
        let outputs = self.run_each(std::slice::from_ref(profile), files, commands)?;
        Ok(outputs.into_iter().flatten().collect())
    }

    /// The same with a card of each profile, one after the other in one machine: the outputs of each.
    ///
    /// # Errors
    /// As [`Simulator::run`].
    pub fn run_each(
        &self,
        profiles: &[Profile],
        files: &[&Path],
        commands: &[&str],
    ) -> Result<Vec<Vec<Output>>, SimulatorError> {
        let spec = Spec {
            memory: MEMORY,
            ..Spec::default()
        };
        let guest = Guest::boot(&self.lab, &spec, files)?;
        let run = |profile: &Profile| {
            let insert = format!(
                "modprobe -r nfpsim; modprobe nfpsim {}",
                parameters(profile)
            );
            guest.try_run(&insert)?.ok()?;
            commands
                .iter()
                .map(|command| Ok(guest.try_run(command)?))
                .collect()
        };
        profiles.iter().map(run).collect()
    }
}
