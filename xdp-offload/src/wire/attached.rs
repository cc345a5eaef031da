//! The program that an interface runs.

use crate::exit::{Exit, Failure};
use generic_fallback::occupant::{self, Occupant};
use kernel::bpf::kernel_name;
use kernel::bpf::program::Program;
use kernel::netlink::link::{Link, Mode};

/// A program that is attached to an interface.
pub(crate) struct Attached {
    /// Where it runs.
    pub(crate) mode: Mode,
    /// The kernel's id.
    pub(crate) id: u32,
    /// Its name, as far as the kernel keeps it.
    pub(crate) name: String,
    /// All that is attached: in the driver and the stack, or in the NIC and beside it, there may be two.
    pub(super) all: Vec<u32>,
    /// Whether a NIC has a part in it.
    pub(super) on_nic: bool,
    program: Program,
}

impl Attached {
    /// Finds the program of a name, or any, in the best mode in which one is attached.
    pub(super) fn find(link: &Link, name: Option<&str>) -> Result<Self, Failure> {
        let ifname = &link.name;
        let there = occupant::find(link.ifindex, &link.xdp);
        let attach =
            || format!("`xdp-offload attach OBJ {ifname}` attaches one; --replace swaps it");
        if there.is_empty() {
            return Err(
                Failure::new(Exit::No, format!("no program is attached to {ifname}"))
                    .remedy(attach()),
            );
        }
        let wanted = name.map(kernel_name);
        let matches = |occupant: &&Occupant| {
            wanted
                .as_ref()
                .is_none_or(|name| occupant.name.is_empty() || occupant.name == *name)
        };
        let Some(chosen) = there.iter().find(matches) else {
            let listed: Vec<String> = there.iter().map(Occupant::to_string).collect();
            let name = name.unwrap_or_default();
            return Err(Failure::new(
                Exit::No,
                format!("'{name}' is not what is attached to {ifname}"),
            )
            .because(format!("{} is", listed.join(", ")))
            .remedy(attach()));
        };
        let id = chosen.program_id;
        let program = Program::from_id(id)
            .map_err(|error| Failure::kernel(format!("cannot open program {id}"), &error))?;
        Ok(Self {
            mode: chosen.mode,
            id,
            name: chosen.name.clone(),
            all: there.iter().map(|occupant| occupant.program_id).collect(),
            on_nic: there.iter().any(|occupant| occupant.mode == Mode::Offload),
            program,
        })
    }

    /// How often it ran while runs were counted.
    pub(crate) fn runs(&self) -> Result<u64, Failure> {
        Ok(self.info()?.run_count)
    }

    /// What the kernel says of it.
    pub(crate) fn info(&self) -> Result<kernel::bpf::program::ProgramInfo, Failure> {
        let cannot = || format!("cannot look at program {}", self.id);
        self.program
            .info()
            .map_err(|error| Failure::kernel(cannot(), &error))
    }
}
