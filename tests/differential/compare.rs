//! One program on both machines: the kernel and the interpreter.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, AsRawFd};

use kernel::bpf::btf::Btf;
use kernel::bpf::map::{self, Map};
use kernel::bpf::program::{ATTACH_XDP, InfoRecords, Program, ProgramSpec, XDP};
use kernel::bpf::test_run::{TestRun, TestRunResult};
use offload_compiler::interp::{Fixed, Limits, Machine, MapKind, MapSpec, XdpInput, XdpRun};
use offload_compiler::isa::{Callee, Code, Imm64, Insn, Instruction};

/// What a map holds, in user space's view.
pub(crate) type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

fn create(spec: &MapSpec) -> Map {
    Map::create(&map::MapSpec {
        name: "twin",
        kind: map::MapKind(spec.kind as u32),
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        flags: spec.flags,
        ..map::MapSpec::default()
    })
    .expect("the kernel makes the map")
}

/// Maps that the kernel has, and their twins' descriptions.
pub(crate) struct Maps {
    pub(crate) specs: Vec<MapSpec>,
    pub(crate) kernel: Vec<Map>,
}

impl Maps {
    pub(crate) fn create(specs: &[MapSpec]) -> Self {
        let kernel = specs.iter().map(create).collect();
        Self {
            specs: specs.to_vec(),
            kernel,
        }
    }

    /// Empties the kernel's maps, whose twins begin empty.
    pub(crate) fn clear(&mut self) {
        for (spec, map) in self.specs.iter().zip(&mut self.kernel) {
            match spec.kind {
                // It has no keys to delete by.
                MapKind::Queue => *map = create(spec),
                MapKind::Array | MapKind::PerCpuArray => {
                    let zero = vec![0; map.value_len()];
                    for index in 0..spec.max_entries {
                        map.update(&index.to_ne_bytes(), &zero, map::ANY)
                            .expect("an array takes zeros");
                    }
                }
                _ => {
                    for key in map.keys().collect::<Result<Vec<_>, _>>().expect("keys") {
                        map.delete(&key).expect("an element can be deleted");
                    }
                }
            }
        }
    }

    fn kernel_contents(&self, index: usize) -> Contents {
        self.kernel[index]
            .entries()
            .collect::<Result<_, _>>()
            .expect("the kernel gives the map's entries")
    }
}

/// What the interpreter's twin of a map holds.
pub(crate) fn contents(machine: &mut Machine, map: usize) -> Contents {
    let mut contents = Contents::new();
    let mut key = None;
    while let Some(next) = machine
        .next_key(map, key.as_deref())
        .expect("the map exists")
    {
        if let Some(value) = machine.lookup(map, &next).expect("the key fits") {
            contents.insert(next.clone(), value);
        }
        key = Some(next);
    }
    contents
}

/// Compares verdicts and packets; what differs, in words.
pub(crate) fn differing(kernel: &TestRunResult, ours: &XdpRun) -> Result<(), String> {
    if kernel.verdict != ours.verdict() {
        return Err(format!(
            "verdict: kernel 0x{:x}, interpreter 0x{:x}",
            kernel.verdict,
            ours.verdict()
        ));
    }
    let data = [&ours.metadata[..], &ours.packet].concat();
    if kernel.data != data {
        return Err(format!(
            "packet:\n  kernel      {:02x?}\n  interpreter {data:02x?}",
            kernel.data
        ));
    }
    Ok(())
}

/// Compares what a map holds; the first element that differs, in words.
pub(crate) fn same_contents(name: &str, kernel: &Contents, ours: &Contents) -> Result<(), String> {
    let keys: BTreeSet<&Vec<u8>> = kernel.keys().chain(ours.keys()).collect();
    match keys
        .into_iter()
        .find(|key| kernel.get(*key) != ours.get(*key))
    {
        None => Ok(()),
        Some(key) => Err(format!(
            "{name}, element {key:02x?}:\n  kernel      {:02x?}\n  interpreter {:02x?}",
            kernel.get(key),
            ours.get(key)
        )),
    }
}

/// BTF with one function type, `static int f(void)`, id 3: callbacks must have some type, and the kernel
/// does not compare a static function's parameters.
fn function_types() -> Vec<u8> {
    const INT: u32 = 1 << 24;
    const FUNC: u32 = 12 << 24;
    const FUNC_PROTO: u32 = 13 << 24;
    const SIGNED_32_BITS: u32 = 1 << 24 | 32;
    let strings = b"\0int\0f\0";
    let types: [u32; 10] = [
        1,
        INT,
        4,
        SIGNED_32_BITS, // 1: int
        0,
        FUNC_PROTO,
        1, // 2: int (void)
        5,
        FUNC,
        2, // 3: f
    ];
    let types_size = size_of_val(&types) as u32;
    let header: [u32; 6] = [
        0x0001_eb9f, // magic, version 1
        24,
        0,
        types_size,
        types_size,
        strings.len() as u32,
    ];
    let words = header
        .iter()
        .chain(&types)
        .flat_map(|word| word.to_le_bytes());
    words.chain(*strings).collect()
}

/// `func_info`: each function's first slot, with the one type.
fn function_records(code: &Code) -> Vec<u8> {
    let mut starts = BTreeSet::from([0]);
    for (slot, instruction) in code.iter() {
        let distance = match instruction {
            Instruction::Call(Callee::Local(distance))
            | Instruction::LoadImm64 {
                value: Imm64::Function(distance),
                ..
            } => *distance,
            _ => continue,
        };
        starts.insert((slot as i64 + 1 + i64::from(distance)) as u32);
    }
    starts
        .into_iter()
        .flat_map(|start| [start, 3])
        .flat_map(u32::to_le_bytes)
        .collect()
}

/// A program on both.
pub(crate) struct Twins<'a> {
    maps: &'a Maps,
    program: Program,
    pub(crate) machine: Machine,
    pub(crate) world: Fixed,
}

impl<'a> Twins<'a> {
    /// Loads the program, whose map references are the numbers of `maps`; the verifier's last words if
    /// the kernel refuses it.
    pub(crate) fn load(code: &[Insn], maps: &'a Maps, cpu: u32, cpus: u32) -> Result<Self, String> {
        let mut patched = code.to_vec();
        let mut second_half = false;
        for insn in &mut patched {
            let refers = matches!(insn.src, Insn::PSEUDO_MAP_FD | Insn::PSEUDO_MAP_VALUE);
            if !second_half && insn.is_ld_imm64() && refers {
                insn.imm = maps.kernel[insn.imm as usize].as_fd().as_raw_fd();
            }
            second_half = !second_half && insn.is_ld_imm64();
        }
        let bytes = Insn::write_all(&patched);
        let decoded = Code::decode(code).expect("what is generated decodes");
        let btf = Btf::load(&function_types()).expect("the kernel takes the types");
        let functions = function_records(&decoded);
        let spec = ProgramSpec {
            name: "twin",
            kind: XDP,
            expected_attach_type: ATTACH_XDP,
            insns: &bytes,
            license: "GPL",
            btf: Some(btf.as_fd()),
            func_info: InfoRecords {
                record_size: 8,
                bytes: &functions,
            },
            ..ProgramSpec::pass(None)
        };
        let program = Program::load(&spec).map_err(|error| {
            let log = error
                .refusal()
                .and_then(|refusal| refusal.verifier_log.clone())
                .unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(4).collect();
            format!("{error}: {lines:?}")
        })?;
        let mut machine = Machine::new(Limits {
            cpus,
            ..Limits::default()
        });
        for spec in &maps.specs {
            machine.add_map(*spec).expect("the interpreter has the map");
        }
        machine.add_program(decoded);
        let mut world = Fixed::new(0);
        world.cpu = cpu;
        Ok(Self {
            maps,
            program,
            machine,
            world,
        })
    }

    /// Sets an element in both.
    pub(crate) fn set(&mut self, map: usize, key: &[u8], value: &[u8]) {
        self.maps.kernel[map]
            .update(key, value, map::ANY)
            .expect("the kernel takes the element");
        self.machine
            .update(map, key, value, map::ANY)
            .expect("the interpreter takes the element");
    }

    /// Runs both on a packet; what differs, in words.
    pub(crate) fn run(&mut self, packet: &[u8]) -> Result<(), String> {
        let kernel = self
            .program
            .test_run(&TestRun {
                data: packet,
                context: None,
                repeat: 1,
            })
            .map_err(|error| format!("the kernel's run: {error}"))?;
        let ours = self
            .machine
            .run_xdp(0, &XdpInput::new(packet), &mut self.world)
            .map_err(|fault| format!("the interpreter's run: {fault}"))?;
        differing(&kernel, &ours)
    }

    /// Compares the maps; what differs, in words.
    pub(crate) fn compare_maps(&mut self) -> Result<(), String> {
        for index in 0..self.maps.specs.len() {
            if matches!(
                self.maps.specs[index].kind,
                MapKind::Queue | MapKind::DevMap
            ) {
                continue;
            }
            let kernel = self.maps.kernel_contents(index);
            let ours = contents(&mut self.machine, index);
            same_contents(&format!("map {index}"), &kernel, &ours)?;
        }
        Ok(())
    }
}
