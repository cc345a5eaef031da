//! What each program of the corpus does to a packet, run by the kernel: linked and loaded as `xdp-offload` does, then
//! BPF_PROG_TEST_RUN.

mod configuring;
mod counting;
mod filtering;
mod packets;
mod rewriting;
mod steering;

use generic_fallback::load::{Binding, Loaded, Loader};
use kernel::bpf::map::Map;
use kernel::bpf::test_run::{TestRun, TestRunResult};
use offload_compiler::object::Object;
use tests::corpus;

const ABORTED: u32 = 0;
const DROP: u32 = 1;
const PASS: u32 = 2;
const TX: u32 = 3;
const REDIRECT: u32 = 4;

/// A corpus program in the kernel.
struct Sample(Loaded);

impl Sample {
    /// Loads the object's only XDP program, or its first.
    fn load(object: &str) -> Self {
        Self::of(object, &read(object), 0)
    }

    /// Loads a program by name.
    fn load_program(object: &str, program: &str) -> Self {
        let read = read(object);
        let index = read.program_named(program).unwrap();
        Self::of(object, &read, index)
    }

    fn of(name: &str, object: &Object, program: usize) -> Self {
        Self(
            Loader::new(object, name, None)
                .load(program, Binding::None)
                .unwrap(),
        )
    }

    fn run(&self, packet: &[u8]) -> TestRunResult {
        self.repeat(packet, 1)
    }

    fn repeat(&self, packet: &[u8], repeat: u32) -> TestRunResult {
        let run = TestRun {
            data: packet,
            context: None,
            repeat,
        };
        self.0.program.test_run(&run).unwrap()
    }

    fn verdict(&self, packet: &[u8]) -> u32 {
        self.run(packet).verdict
    }

    fn map(&self, name: &str) -> &Map {
        let found = self.0.maps.iter().find(|map| map.name == name);
        &found.unwrap_or_else(|| panic!("no map {name}")).map
    }

    /// The u64 at `offset` of the value at a u32 key.
    fn count_at(&self, map: &str, key: u32, offset: usize) -> u64 {
        number(&self.value(map, &key.to_ne_bytes()), offset)
    }

    /// The u64 at a u32 key.
    fn count(&self, map: &str, key: u32) -> u64 {
        self.count_at(map, key, 0)
    }

    /// The u64 at `offset`, summed over all CPUs of a per-CPU map whose values are `size` bytes.
    fn count_of_all_cpus(&self, map: &str, key: u32, size: usize, offset: usize) -> u64 {
        let values = self.value(map, &key.to_ne_bytes());
        values
            .chunks_exact(size)
            .map(|value| number(value, offset))
            .sum()
    }

    fn value(&self, map: &str, key: &[u8]) -> Vec<u8> {
        let value = self.map(map).lookup(key).unwrap();
        value.unwrap_or_else(|| panic!("nothing at {key:?} of {map}"))
    }

    fn set(&self, map: &str, key: &[u8], value: &[u8]) {
        self.map(map).update(key, value, 0).unwrap();
    }
}

fn read(object: &str) -> Object {
    Object::parse(&std::fs::read(corpus(object)).unwrap()).unwrap()
}

/// The u64 at `offset`, as the CPU stores it.
fn number(bytes: &[u8], offset: usize) -> u64 {
    u64::from_ne_bytes(bytes[offset..offset + 8].try_into().unwrap())
}
