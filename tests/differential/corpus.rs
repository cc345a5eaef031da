//! The corpus on both machines: objects as clang made them, packets as networks carry them.

use std::collections::BTreeMap;
use tests::Random;
use tests::packets::packet;

use generic_fallback::load::{Binding, Loaded as OnKernel, Loader};
use kernel::bpf::map::ANY;
use kernel::bpf::test_run::TestRun;
use offload_compiler::interp::{Fixed, Limits, Loaded as Interpreted, Machine, MapKind, XdpInput};
use offload_compiler::object::{Object, ProgramKind};

use crate::compare::{Contents, contents, differing, same_contents};

/// Runs of each program.
const PACKETS: u64 = 1_000;

/// Objects whose programs ask the running kernel, which the interpreter is not.
const ASK_THE_KERNEL: [(&str, &str); 3] = [
    ("core", "bpf_get_current_task and kernel memory"),
    ("kernel_symbols", "kernel functions and variables"),
    ("rx_metadata", "the driver's metadata"),
];

/// Maps whose values hold times, which differ between the machines: only their keys are compared.
const WITH_TIMES: [(&str, &str); 3] = [
    ("ddos_filter", "sources"),
    ("events", "flows"),
    ("rate_limit", "buckets"),
];

/// Elements that a test user of the object sets.
fn settings(object: &str) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let rule = |port: u16, protocol: u8, verdict: u32| {
        let mut key = port.to_ne_bytes().to_vec();
        key.extend([protocol, 0]);
        let mut value = verdict.to_ne_bytes().to_vec();
        value.extend([0; 12]);
        ("rules", key, value)
    };
    let prefix = |length: u32, address: [u8; 4]| {
        let key = [length.to_ne_bytes(), address].concat();
        ("blocked", key, vec![0; 8])
    };
    let device = |key: u32, value: &[u32]| {
        let value = value.iter().flat_map(|word| word.to_ne_bytes()).collect();
        ("ports", key.to_ne_bytes().to_vec(), value)
    };
    match object {
        "firewall" => vec![rule(53, 17, 1), rule(0, 6, 1), rule(443, 6, 2)],
        "ddos_filter" => vec![prefix(24, [10, 0, 1, 0]), prefix(32, [10, 0, 0, 3])],
        "redirect" => vec![device(1, &[1, 0])],
        "load_balancer" => load_balancer(),
        "flood" => vec![device(0, &[1]), device(5, &[1])],
        _ => Vec::new(),
    }
}

/// 32 services on 3 backends.
fn load_balancer() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let mut elements = Vec::new();
    for last in 0..8 {
        for (port, protocol) in [(80u16, 6), (80, 17), (443, 6), (443, 17)] {
            let mut key = vec![10, 0, 0, last];
            key.extend(port.to_be_bytes());
            key.extend([protocol, 0]);
            let value = [u32::from(last % 2), 2].map(u32::to_ne_bytes).concat();
            elements.push(("services", key, value));
        }
    }
    for backend in 0..3u8 {
        let mut value = vec![10, 1, 0, backend, 2, 0, 0, 0, 1, backend];
        value.resize(32, 0);
        elements.push(("backends", u32::from(backend).to_ne_bytes().to_vec(), value));
    }
    elements
}

/// One program of an object on both machines.
struct Both {
    object: Object,
    kernel: OnKernel,
    interpreter: Interpreted,
    world: Fixed,
}

impl Both {
    fn load(name: &str, object: Object, program: usize, cpu: u32, cpus: u32) -> Self {
        let loader = Loader::for_trial(&object, name);
        let kernel = loader
            .load(program, Binding::None)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let limits = Limits {
            cpus,
            ..Limits::default()
        };
        let interpreter = Machine::load(&object, program, limits, |index| loader.link(index))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut world = Fixed::new(0);
        world.cpu = cpu;
        world.time_ns = 1 << 40; // the kernel's clock shows its uptime
        Self {
            object,
            kernel,
            interpreter,
            world,
        }
    }

    fn set(&mut self, map: &str, key: &[u8], value: &[u8]) {
        let twin = self.kernel.maps.iter().find(|its| its.name == map);
        let twin = twin.expect("the program uses the map");
        twin.map
            .update(key, value, ANY)
            .expect("the kernel takes it");
        let index = self.object.map_named(map).expect("the object has it");
        let number = self.interpreter.maps[&index];
        let machine = &mut self.interpreter.machine;
        machine
            .update(number, key, value, ANY)
            .expect("the interpreter takes it");
    }

    fn run(&mut self, packet: &[u8]) -> Result<u32, String> {
        let kernel = self
            .kernel
            .program
            .test_run(&TestRun {
                data: packet,
                context: None,
                repeat: 1,
            })
            .map_err(|error| error.to_string())?;
        self.world.time_ns += 100_000; // about as far apart as the kernel's runs
        let ours = self
            .interpreter
            .machine
            .run_xdp(
                self.interpreter.program,
                &XdpInput::new(packet),
                &mut self.world,
            )
            .map_err(|fault| fault.to_string())?;
        differing(&kernel, &ours)?;
        Ok(kernel.verdict)
    }

    fn compare_maps(&mut self, name: &str) -> Result<(), String> {
        for (&index, &number) in &self.interpreter.maps {
            let map = &self.object.maps[index].name;
            let machine = &mut self.interpreter.machine;
            let kind = machine.map_spec(number).expect("it was added").kind;
            // Elements that are programs or maps read as ids; the others have no keys.
            if matches!(
                kind,
                MapKind::ProgArray
                    | MapKind::ArrayOfMaps
                    | MapKind::PerfEventArray
                    | MapKind::RingBuf
                    | MapKind::XskMap
            ) {
                continue;
            }
            let twin = self.kernel.maps.iter().find(|its| its.name == *map);
            let twin = twin.expect("both have the map");
            let mut kernel: Contents = twin
                .map
                .entries()
                .collect::<Result<_, _>>()
                .map_err(|error| format!("map {map}: {error}"))?;
            let mut ours = contents(machine, number);
            if WITH_TIMES.contains(&(name, map)) {
                for value in kernel.values_mut().chain(ours.values_mut()) {
                    value.clear();
                }
            }
            same_contents(&format!("map {map}"), &kernel, &ours)?;
        }
        Ok(())
    }
}

#[test]
fn the_corpus_does_the_same_on_the_kernel_and_in_the_interpreter() {
    if !tests::require_root() {
        return;
    }
    let (cpu, cpus) = tests::stay_on_one_cpu();
    let mut programs = 0;
    for name in tests::corpus_names() {
        if ASK_THE_KERNEL.iter().any(|(object, _)| *object == name) {
            continue;
        }
        let bytes = std::fs::read(tests::corpus(&name)).expect("an object");
        let object = Object::parse(&bytes).expect("the corpus parses");
        for index in 0..object.programs.len() {
            if !matches!(object.programs[index].kind, ProgramKind::Xdp { .. }) {
                continue; // programs of devmap and cpumap elements take no test run
            }
            let program = object.programs[index].name.clone();
            let mut both = Both::load(&name, object.clone(), index, cpu, cpus);
            for (map, key, value) in settings(&name) {
                both.set(map, &key, &value);
            }
            let mut random = Random::new(7);
            let mut verdicts = BTreeMap::<u32, u32>::new();
            for _ in 0..PACKETS {
                let packet = packet(&mut random);
                let verdict = both.run(&packet).unwrap_or_else(|difference| {
                    panic!("{name}, {program}: {difference}\npacket {packet:02x?}")
                });
                *verdicts.entry(verdict).or_default() += 1;
            }
            both.compare_maps(&name)
                .unwrap_or_else(|difference| panic!("{name}, {program}: {difference}"));
            println!("{name}, {program}: verdicts {verdicts:?}");
            programs += 1;
        }
    }
    assert!(programs >= 20, "only {programs} programs were compared");
}
