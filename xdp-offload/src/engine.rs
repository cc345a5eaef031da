//! What runs a program on packets: the interpreter, the kernel's test run, or the simulator of an NFP.

use crate::exit::{Exit, Failure};
use crate::map_difference;
use generic_fallback::load::{Binding, Loaded as OnKernel, Loader};
use kernel::bpf::map::ANY;
use kernel::bpf::test_run::TestRun;
use nfp_target::cost::Costs;
use nfp_target::isa::Word;
use nfp_target::profile::Profile;
use nfp_target::sim::{Exits, Image, Thread, Unset};
use offload_compiler::interp::{Fixed, Limits, Loaded, Machine, Redirect, XdpInput, XdpRun};
use offload_compiler::object::Object;
use std::collections::BTreeMap;

/// An engine, by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The interpreter: needs no privilege and no kernel
    Interp,
    /// The running kernel (`BPF_PROG_TEST_RUN`)
    Kernel,
    /// A simulated NFP, which runs our translation or the words of `--words`; cycles are estimates
    Nfp,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Interp => "interp",
            Self::Kernel => "kernel",
            Self::Nfp => "nfp",
        }
    }
}

/// A program that is ready to run.
pub(crate) enum Engine<'a> {
    Interp {
        object: &'a Object,
        loader: &'a Loader<'a>,
        program: usize,
        loaded: Box<Loaded>,
        world: Fixed,
    },
    Kernel {
        loaded: Box<OnKernel>,
    },
    Nfp {
        name: &'a str,
        loaded: Box<Loaded>,
        card: Box<Card>,
    },
}

/// What a simulated card runs.
pub(crate) struct Words {
    /// The words.
    pub(crate) code: Vec<Word>,
    /// Where they come from in the program, where they are its translation.
    pub(crate) places: Vec<Option<Place>>,
    /// The card.
    pub(crate) profile: Profile,
}

/// Where a word comes from.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The slot.
    pub(crate) slot: usize,
    /// FILE:LINE, where it is known.
    pub(crate) line: Option<String>,
}

/// A simulated card with a program.
pub(crate) struct Card {
    image: Image,
    places: Vec<Option<Place>>,
    profile: Profile,
    costs: Costs,
    /// The machine's maps by their numbers in the words.
    maps: BTreeMap<u32, usize>,
    world: Fixed,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) verdict: u32,
    pub(crate) packet: Vec<u8>,
    /// Where the packet goes, as far as the engine knows.
    pub(crate) redirect: Option<String>,
    /// What the interpreter or the simulator executed.
    pub(crate) instructions: Option<u64>,
    /// What the simulator estimates.
    pub(crate) cycles: Option<u64>,
    /// What the kernel took.
    pub(crate) nanoseconds: Option<u64>,
}

impl Ran {
    /// The verdict as it counts: what is none, or sends the packet to nowhere, aborts the program. The card knows
    /// no redirects.
    pub(crate) fn effect(&self) -> u32 {
        if self.verdict > 3 && self.redirect.is_none() {
            return 0;
        }
        self.verdict
    }
}

impl<'a> Engine<'a> {
    /// Loads a program of an object; `words` are for the simulator, which is not asked for without.
    pub(crate) fn load(
        kind: Kind,
        object: &'a Object,
        loader: &'a Loader<'a>,
        program: usize,
        words: Option<&Words>,
    ) -> Result<Self, Failure> {
        let name = &object.programs[program].name;
        let on_machine = || {
            let limits = Limits::default();
            Machine::load(object, program, limits, |index| loader.link(index)).map_err(|error| {
                Failure::new(Exit::No, format!("cannot interpret '{name}'")).because(error)
            })
        };
        match kind {
            Kind::Nfp => {
                let Some(words) = words else {
                    return Err(Failure::new(Exit::Usage, "the engine nfp needs words"));
                };
                let loaded = on_machine()?;
                let profile = words.profile.clone();
                let exits = Exits::find(&words.code);
                let image = Image::load(&words.code, exits, &profile).map_err(|error| {
                    Failure::new(Exit::Usage, "the words cannot be loaded").because(error)
                })?;
                // The driver numbers a program's maps as they are made.
                let maps = (1..).zip(loaded.maps.values().copied()).collect();
                let card = Box::new(Card {
                    image,
                    places: words.places.clone(),
                    profile,
                    costs: Costs::shipped(),
                    maps,
                    world: Fixed::new(0),
                });
                Ok(Self::Nfp {
                    name,
                    loaded: Box::new(loaded),
                    card,
                })
            }
            Kind::Interp => {
                let loaded = on_machine()?;
                Ok(Self::Interp {
                    object,
                    loader,
                    program,
                    loaded: Box::new(loaded),
                    world: Fixed::new(0),
                })
            }
            Kind::Kernel => {
                let loaded = loader.load(program, Binding::None).map_err(|error| {
                    let failure = Failure::new(Exit::No, format!("the kernel refuses '{name}'"))
                        .because(&error);
                    if error.is_permission() {
                        failure.not_permitted()
                    } else {
                        failure
                    }
                })?;
                Ok(Self::Kernel {
                    loaded: Box::new(loaded),
                })
            }
        }
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
        let for_all = |length: usize| {
            let mut all = Vec::with_capacity(length);
            while all.len() < length {
                all.extend_from_slice(value);
                all.resize(all.len().next_multiple_of(8).min(length), 0);
            }
            all
        };
        match self {
            Self::Interp { loaded, .. } | Self::Nfp { loaded, .. } => {
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
                    .update(number, key, &for_all(length), ANY)
                    .map_err(|error| error.to_string())?;
            }
            Self::Kernel { loaded } => {
                let name = &object.maps[index].name;
                let Some(map) = loaded.maps.iter().find(|map| map.name == *name) else {
                    return Ok(false);
                };
                map.map
                    .update(key, &for_all(map.map.value_len()), ANY)
                    .map_err(|error| error.to_string())?;
            }
        }
        Ok(true)
    }

    /// The first element that two engines left different in a map, where both can be looked into: a line.
    pub(crate) fn differing_map(&mut self, other: &mut Self, object: &Object) -> Option<String> {
        let (
            Self::Interp { loaded: one, .. } | Self::Nfp { loaded: one, .. },
            Self::Interp { loaded: two, .. } | Self::Nfp { loaded: two, .. },
        ) = (self, other)
        else {
            return None;
        };
        map_difference::find(one, two, object)
    }

    /// Runs the program on a packet that came at this time.
    pub(crate) fn run(&mut self, packet: &[u8], time_ns: u64) -> Result<Ran, Failure> {
        match self {
            Self::Interp {
                object,
                loader,
                program,
                loaded,
                world,
            } => {
                world.time_ns = time_ns;
                let number = loaded.program;
                let input = XdpInput::new(packet);
                let ran = loaded.machine.run_xdp(number, &input, world);
                ran.map(|ran| of_interpreter(object, loaded, ran))
                    .map_err(|fault| {
                        let name = &object.programs[*program].name;
                        let line = if fault.program == number {
                            let linked = loader.link(*program).ok();
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
            Self::Nfp { name, loaded, card } => {
                let stack = card.profile.stack_bytes;
                let ran = Thread::new(
                    &card.image,
                    &mut loaded.machine,
                    &card.maps,
                    packet,
                    stack,
                    Unset::new(0),
                    &mut card.world,
                )
                .and_then(Thread::run)
                .map_err(|stop| {
                    let place = match card.places.get(stop.at).and_then(Option::as_ref) {
                        None => String::new(),
                        Some(Place { slot, line: None }) => format!(" (instruction {slot})"),
                        Some(Place {
                            slot,
                            line: Some(line),
                        }) => format!(" (instruction {slot} at {line})"),
                    };
                    Failure::new(
                        Exit::No,
                        format!("'{name}' stops at word {}{place}", stop.at),
                    )
                    .because(stop.kind)
                })?;
                Ok(Ran {
                    verdict: ran.verdict as u32,
                    packet: ran.packet,
                    redirect: None,
                    instructions: Some(ran.figures.words),
                    cycles: Some(card.costs.cycles(&ran.figures)),
                    nanoseconds: None,
                })
            }
            Self::Kernel { loaded } => {
                let run = TestRun {
                    data: packet,
                    context: None,
                    repeat: 1,
                };
                let ran = loaded.program.test_run(&run).map_err(|error| {
                    let failure = Failure::kernel("the kernel does not run the packet", &error);
                    if error.errno() == Some(kernel::Errno::EINVAL) {
                        failure.remedy("it takes packets from 14 bytes on, an Ethernet header")
                    } else {
                        failure
                    }
                })?;
                Ok(Ran {
                    verdict: ran.verdict,
                    packet: ran.data,
                    redirect: None,
                    instructions: None,
                    cycles: None,
                    nanoseconds: Some(ran.duration.as_nanos() as u64),
                })
            }
        }
    }
}

fn of_interpreter(object: &Object, loaded: &Loaded, ran: XdpRun) -> Ran {
    let redirect = ran.redirect.as_ref().map(|redirect| match redirect {
        Redirect::Device { ifindex } => format!("interface {ifindex}"),
        Redirect::Map { map, key, .. } => {
            let index = loaded.maps.iter().find(|(_, number)| *number == map);
            let name = index.map_or("a map", |(index, _)| &object.maps[*index].name);
            format!("{name}[{key}]")
        }
    });
    Ran {
        verdict: ran.verdict(),
        redirect: redirect.filter(|_| ran.verdict() == 4),
        instructions: Some(ran.instructions),
        cycles: None,
        nanoseconds: None,
        // The kernel's test run shows metadata in front of the packet too.
        packet: [ran.metadata, ran.packet].concat(),
    }
}
