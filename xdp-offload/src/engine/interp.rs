//! The interpreter.

use super::{Ran, fill_machine, on_machine};
use crate::exit::{Exit, Failure};
use generic_fallback::load::Loader;
use offload_compiler::interp::{Fixed, Loaded, Redirect, XdpInput, XdpRun};
use offload_compiler::object::Object;

/// A program in the interpreter.
pub(crate) struct Interp<'a> {
    object: &'a Object,
    loader: &'a Loader<'a>,
    program: usize,
    pub(super) loaded: Loaded,
    world: Fixed,
    /// Index and MTU of the interface that packets come in on, where it is a real one.
    pub(super) ingress: Option<(u32, u32)>,
}

impl<'a> Interp<'a> {
    pub(super) fn load(
        object: &'a Object,
        loader: &'a Loader<'a>,
        program: usize,
    ) -> Result<Self, Failure> {
        Ok(Self {
            object,
            loader,
            program,
            loaded: on_machine(object, loader, program)?,
            world: Fixed::new(0),
            ingress: None,
        })
    }

    pub(super) fn fill(&mut self, index: usize, key: &[u8], value: &[u8]) -> Result<bool, String> {
        fill_machine(&mut self.loaded, index, key, value)
    }

    pub(super) fn run(&mut self, packet: &[u8], time_ns: u64) -> Result<Ran, Failure> {
        self.world.time_ns = time_ns;
        let number = self.loaded.program;
        let mut input = XdpInput::new(packet);
        if let Some((ifindex, mtu)) = self.ingress {
            input.ingress_ifindex = ifindex;
            input.mtu = mtu;
        }
        let ran = self.loaded.machine.run_xdp(number, &input, &mut self.world);
        ran.map(|ran| self.outcome(ran)).map_err(|fault| {
            let name = &self.object.programs[self.program].name;
            let line = if fault.program == number {
                let linked = self.loader.link(self.program).ok();
                linked.and_then(|linked| linked.source_line(fault.slot))
            } else {
                None
            };
            let place = line.map_or_else(String::new, |line| {
                format!(" at {}:{}", line.file, line.line)
            });
            Failure::new(
                Exit::No,
                format!("'{name}' stops at instruction {}{place}", fault.slot),
            )
            .because(fault.kind)
            .remedy("`xdp-offload check` tells whether the kernel takes the program")
        })
    }

    fn outcome(&self, ran: XdpRun) -> Ran {
        let redirect = ran.redirect.as_ref().map(|redirect| match redirect {
            Redirect::Device { ifindex } => format!("interface {ifindex}"),
            Redirect::Map { map, key, .. } => {
                let mut maps = self.loaded.maps.iter();
                let index = maps.find(|(_, number)| *number == map);
                let name = index.map_or("a map", |(index, _)| &self.object.maps[*index].name);
                format!("{name}[{key}]")
            }
        });
        Ran {
            verdict: Some(ran.verdict()),
            redirect: redirect.filter(|_| ran.verdict() == 4),
            instructions: Some(ran.instructions),
            metadata: ran.metadata.len(),
            // The kernel's test run shows metadata in front of the packet too.
            packet: Some([ran.metadata, ran.packet].concat()),
            ..Ran::default()
        }
    }
}
