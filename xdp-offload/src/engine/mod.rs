//! What runs a program on packets: the interpreter, the kernel's test run, the simulator of an NFP, or an interface that
//! packets come in on.

mod interp;
mod kernel;
mod nfp;
mod wire;

pub(crate) use nfp::{Place, Words};

use crate::exit::{Exit, Failure};
use crate::map_difference;
use crate::wire::Ends;
use ::kernel::bpf::map::ANY;
use generic_fallback::load::Loader;
use interp::Interp;
use kernel::Kernel;
use nfp::Card;
use offload_compiler::interp::{Limits, Loaded, Machine};
use offload_compiler::object::Object;
use wire::OnWire;

/// An engine, by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The interpreter: needs no privilege and no kernel
    Interp,
    /// The running kernel (`BPF_PROG_TEST_RUN`)
    Kernel,
    /// A simulated NFP, which runs our translation or the words of `--words`; cycles are estimates
    Nfp,
    /// The interface of `--dev`, to which the program is attached: packets are sent to it by `--peer`
    Wire,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Interp => "interp",
            Self::Kernel => "kernel",
            Self::Nfp => "nfp",
            Self::Wire => "wire",
        }
    }
}

/// What some engines need besides the program.
#[derive(Clone, Copy, Default)]
pub(crate) struct Given<'a> {
    /// For the engine nfp.
    pub(crate) words: Option<&'a Words>,
    /// For the engine wire.
    pub(crate) ends: Option<&'a Ends>,
}

/// A program that is ready to run.
pub(crate) enum Engine<'a> {
    Interp(Box<Interp<'a>>),
    Kernel(Box<Kernel>),
    Nfp(Box<Card<'a>>),
    Wire(Box<OnWire>),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ran {
    /// `None`: neither XDP_PASS nor XDP_TX, and the engine cannot tell which of the others.
    pub(crate) verdict: Option<u32>,
    /// The packet afterwards, where somebody saw it.
    pub(crate) packet: Option<Vec<u8>>,
    /// How many of its first bytes are metadata that the program put there.
    pub(crate) metadata: usize,
    /// Where the packet goes, as far as the engine knows.
    pub(crate) redirect: Option<String>,
    /// What the interpreter or the simulator executed.
    pub(crate) instructions: Option<u64>,
    /// What the simulator estimates.
    pub(crate) cycles: Option<u64>,
    /// What the kernel took.
    pub(crate) nanoseconds: Option<u64>,
    /// Why a packet that was to be sent back did not arrive.
    pub(crate) lost: Option<String>,
}

impl Ran {
    /// The verdict as it counts: what is none, or sends the packet to nowhere, aborts the program. The card knows
    /// no redirects.
    pub(crate) fn effect(&self) -> Option<u32> {
        if self.verdict? > 3 && self.redirect.is_none() {
            return Some(0);
        }
        self.verdict
    }

    /// The packet without metadata, which stays on the host.
    pub(crate) fn frame(&self) -> Option<&[u8]> {
        self.packet.as_deref()?.get(self.metadata..)
    }
}

impl<'a> Engine<'a> {
    /// Loads a program of an object, or finds it attached.
    pub(crate) fn load(
        kind: Kind,
        object: &'a Object,
        loader: &'a Loader<'a>,
        program: usize,
        given: Given<'_>,
    ) -> Result<Self, Failure> {
        let lacks = |what: &str| {
            let name = kind.name();
            Failure::new(Exit::Usage, format!("the engine {name} needs {what}"))
        };
        Ok(match kind {
            Kind::Interp => Self::Interp(Box::new(Interp::load(object, loader, program)?)),
            Kind::Kernel => Self::Kernel(Box::new(Kernel::load(object, loader, program)?)),
            Kind::Nfp => {
                let words = given.words.ok_or_else(|| lacks("words"))?;
                Self::Nfp(Box::new(Card::load(object, loader, program, words)?))
            }
            Kind::Wire => {
                let ends = given.ends.ok_or_else(|| lacks("--dev and --peer"))?;
                Self::Wire(Box::new(OnWire::open(object, program, ends)?))
            }
        })
    }

    /// Sets an element of a map. `index` is the map's in the object; a per-CPU map gets the value for
    /// every CPU. False: the program does not use the map.
    pub(crate) fn fill(
        &mut self,
        object: &Object,
        index: usize,
        key: &[u8],
        value: &[u8],
    ) -> Result<bool, String> {
        match self {
            Self::Interp(interp) => interp.fill(index, key, value),
            Self::Nfp(card) => card.fill(index, key, value),
            Self::Kernel(kernel) => kernel.fill(&object.maps[index].name, key, value),
            Self::Wire(_) => {
                Err("an attached program's maps are set by `xdp-offload map NAME set`".to_owned())
            }
        }
    }

    /// Has one engine start where the other is: an interpreter with the map contents, clock and interface of an attached
    /// program. Other pairs have nothing to agree on.
    pub(crate) fn start_as(&mut self, other: &mut Self, object: &Object) -> Result<(), Failure> {
        match (self, other) {
            (Self::Wire(wire), Self::Interp(interp)) | (Self::Interp(interp), Self::Wire(wire)) => {
                interp.ingress = Some(wire.ingress());
                wire.lend_maps(&mut interp.loaded, object)
            }
            (Self::Wire(wire), Self::Nfp(card)) | (Self::Nfp(card), Self::Wire(wire)) => {
                wire.lend_maps(&mut card.loaded, object)
            }
            _ => Ok(()),
        }
    }

    /// The first element that two engines left different in a map, where both can be looked into: a line.
    pub(crate) fn differing_map(&mut self, other: &mut Self, object: &Object) -> Option<String> {
        match (self, other) {
            (Self::Wire(wire), machine) | (machine, Self::Wire(wire)) => {
                wire.differing_map(machine.machine()?)
            }
            (one, other) => map_difference::find(one.machine()?, other.machine()?, object),
        }
    }

    fn machine(&mut self) -> Option<&mut Loaded> {
        match self {
            Self::Interp(interp) => Some(&mut interp.loaded),
            Self::Nfp(card) => Some(&mut card.loaded),
            Self::Kernel(_) | Self::Wire(_) => None,
        }
    }

    /// Runs the program on a packet that came at this time. `expected` is what another engine says: who sees from outside
    /// what becomes of a packet waits for that a little longer.
    pub(crate) fn run(
        &mut self,
        packet: &[u8],
        time_ns: u64,
        expected: Option<&Ran>,
    ) -> Result<Ran, Failure> {
        match self {
            Self::Interp(interp) => interp.run(packet, time_ns),
            Self::Nfp(card) => card.run(packet),
            Self::Kernel(kernel) => kernel.run(packet),
            Self::Wire(wire) => wire.run(packet, expected),
        }
    }

    /// Why maps that are left different say nothing; `None`: they have to be the same.
    pub(crate) fn incomparable_maps(&self) -> Result<Option<String>, Failure> {
        match self {
            Self::Wire(wire) => wire.incomparable_maps(),
            _ => Ok(None),
        }
    }

    /// What is to be known about the results, in a line each.
    pub(crate) fn notes(&self) -> Vec<String> {
        match self {
            Self::Wire(wire) => wire.notes(),
            _ => Vec::new(),
        }
    }
}

fn on_machine(object: &Object, loader: &Loader<'_>, program: usize) -> Result<Loaded, Failure> {
    let limits = Limits::default();
    Machine::load(object, program, limits, |index| loader.link(index)).map_err(|error| {
        let name = &object.programs[program].name;
        Failure::new(Exit::No, format!("cannot interpret '{name}'")).because(error)
    })
}

fn fill_machine(
    loaded: &mut Loaded,
    index: usize,
    key: &[u8],
    value: &[u8],
) -> Result<bool, String> {
    let Some(&number) = loaded.maps.get(&index) else {
        return Ok(false);
    };
    let per_cpu = loaded
        .machine
        .map_spec(number)
        .is_some_and(|spec| spec.kind.is_per_cpu());
    let length = if per_cpu {
        value.len().next_multiple_of(8)
    } else {
        value.len()
    };
    loaded
        .machine
        .update(number, key, &for_all_cpus(value, length), ANY)
        .map_err(|error| error.to_string())?;
    Ok(true)
}

/// A value over and over, each time rounded up to 8 bytes, until `length` bytes are full.
fn for_all_cpus(value: &[u8], length: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(length);
    while all.len() < length {
        all.extend_from_slice(value);
        all.resize(all.len().next_multiple_of(8).min(length), 0);
    }
    all
}
