//! The running kernel's test run.

use super::{Ran, for_all_cpus};
use crate::exit::{Exit, Failure};
use generic_fallback::load::{Binding, Loaded, Loader};
use kernel::bpf::map::ANY;
use kernel::bpf::test_run::TestRun;
use offload_compiler::object::Object;

/// A program in the kernel.
pub(crate) struct Kernel {
    loaded: Loaded,
}

impl Kernel {
    pub(super) fn load(
        object: &Object,
        loader: &Loader<'_>,
        program: usize,
    ) -> Result<Self, Failure> {
        let name = &object.programs[program].name;
        let loaded = loader.load(program, Binding::None).map_err(|error| {
            let failure =
                Failure::new(Exit::No, format!("the kernel refuses '{name}'")).because(&error);
            if error.is_permission() {
                failure.not_permitted()
            } else {
                failure
            }
        })?;
        Ok(Self { loaded })
    }

    pub(super) fn fill(&mut self, name: &str, key: &[u8], value: &[u8]) -> Result<bool, String> {
        let Some(map) = self.loaded.maps.iter().find(|map| map.name == name) else {
            return Ok(false);
        };
        map.map
            .update(key, &for_all_cpus(value, map.map.value_len()), ANY)
            .map_err(|error| error.to_string())?;
        Ok(true)
    }

    pub(super) fn run(&mut self, packet: &[u8]) -> Result<Ran, Failure> {
        let run = TestRun {
            data: packet,
            context: None,
            repeat: 1,
        };
        let ran = self.loaded.program.test_run(&run).map_err(|error| {
            let failure = Failure::kernel("the kernel does not run the packet", &error);
            if error.errno() == Some(kernel::Errno::EINVAL) {
                failure.remedy("it takes packets from 14 bytes on, an Ethernet header")
            } else {
                failure
            }
        })?;
        Ok(Ran {
            verdict: Some(ran.verdict),
            packet: Some(ran.data),
            nanoseconds: Some(ran.duration.as_nanos() as u64),
            ..Ran::default()
        })
    }
}
