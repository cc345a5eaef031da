//! One program, judged by the kernel and by us.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd};

use kernel::bpf::btf::Btf;
use kernel::bpf::map::{Map, MapKind, MapSpec};
use kernel::bpf::program::{InfoRecords, Program, ProgramSpec};
use offload_compiler::isa::{Callee, Code, Imm64, Insn, Instruction};
use offload_compiler::verify::{Function, Input, MapReference, MapShape, Rules, Verdict, verify};
use tests::kernel_answer::last_words;

/// Programs that take longer to verify say little, and cost the kernel seconds.
const MOST_INSTRUCTIONS: usize = 20_000;

/// A map that programs may use.
pub(crate) struct MapOfProgram {
    pub(crate) name: &'static str,
    pub(crate) kind: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
}

/// The maps of all programs; `MapFd(n)` stands for the n-th.
pub(crate) const MAPS: &[MapOfProgram] = &[
    MapOfProgram {
        name: "array",
        kind: 2,
        key_size: 4,
        value_size: 48,
        max_entries: 3,
    },
    MapOfProgram {
        name: "hash",
        kind: 1,
        key_size: 8,
        value_size: 24,
        max_entries: 16,
    },
    MapOfProgram {
        name: "global",
        kind: 2,
        key_size: 4,
        value_size: 64,
        max_entries: 1,
    },
];

/// The kernel and us, with the maps that all programs use.
pub(crate) struct Judges {
    maps: Vec<Map>,
    shapes: Vec<MapShape>,
    types: Btf,
}

/// The kernel's refusal.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The verifier's complaint.
    pub(crate) words: String,
    /// Its log, to be shown.
    #[allow(dead_code)] // read by Debug
    log: Vec<String>,
}

impl Judges {
    pub(crate) fn create() -> Self {
        let maps = MAPS
            .iter()
            .map(|map| {
                Map::create(&MapSpec {
                    name: map.name,
                    kind: MapKind(map.kind),
                    key_size: map.key_size,
                    value_size: map.value_size,
                    max_entries: map.max_entries,
                    ..MapSpec::default()
                })
                .unwrap()
            })
            .collect();
        let shape = |map: &MapOfProgram| MapShape {
            name: map.name.to_owned(),
            kind: map.kind,
            key_size: map.key_size,
            value_size: map.value_size,
            max_entries: map.max_entries,
            ..MapShape::default()
        };
        Self {
            maps,
            types: Btf::load(&types()).unwrap(),
            shapes: MAPS.iter().map(shape).collect(),
        }
    }

    /// The code with descriptors in place of the maps' numbers.
    fn with_fds(&self, code: &Code) -> Vec<u8> {
        let mut insns = code.encode();
        for (slot, instruction) in code.iter() {
            if let Instruction::LoadImm64 {
                value: Imm64::MapFd(map) | Imm64::MapValueFd { fd: map, .. },
                ..
            } = instruction
            {
                insns[slot].imm = self.maps[*map as usize].as_fd().as_raw_fd();
            }
        }
        Insn::write_all(&insns)
    }

    /// What the kernel says.
    pub(crate) fn kernel(&self, code: &Code) -> Result<(), Refused> {
        let func_info = func_info(&functions(code));
        let spec = ProgramSpec {
            name: "random",
            insns: &self.with_fds(code),
            license: "GPL",
            btf: Some(self.types.as_fd()),
            func_info: InfoRecords {
                record_size: 8,
                bytes: &func_info,
            },
            ..ProgramSpec::default()
        };
        Program::load(&spec).map(drop).map_err(|error| {
            let log = error
                .refusal()
                .and_then(|refusal| refusal.verifier_log.clone())
                .unwrap_or_default();
            Refused {
                words: last_words(&log).unwrap_or_else(|| error.to_string()),
                log: log.lines().map(str::to_owned).collect(),
            }
        })
    }

    /// What we say.
    pub(crate) fn ours(&self, code: &Code) -> Verdict {
        let functions = functions(code);
        let map_at = code
            .iter()
            .filter_map(|(slot, instruction)| match instruction {
                Instruction::LoadImm64 {
                    value: Imm64::MapFd(map),
                    ..
                } => Some((slot, (*map, None))),
                Instruction::LoadImm64 {
                    value: Imm64::MapValueFd { fd, offset },
                    ..
                } => Some((slot, (*fd, Some(*offset)))),
                _ => None,
            })
            .map(|(slot, (map, value_offset))| {
                let map = map as u32;
                (slot, MapReference { map, value_offset })
            })
            .collect();
        verify(&Input {
            has_function_info: true,
            rules: Rules {
                instructions: MOST_INSTRUCTIONS,
                ..Rules::default()
            },
            ..Input::new(code, &self.shapes, &map_at, &functions)
        })
    }
}

/// BTF with an int, a prototype without parameters, and a static function of it, type 3.
fn types() -> Vec<u8> {
    const INT: u32 = 1 << 24;
    const FUNC: u32 = 12 << 24;
    const FUNC_PROTO: u32 = 13 << 24;
    let strings = b"\0int\0f\0";
    let types: [u32; 10] = [1, INT, 4, 1 << 24 | 32, 0, FUNC_PROTO, 1, 5, FUNC, 2];
    let bytes_of_types = types.len() as u32 * 4;
    let mut out = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, bytes_of_types, bytes_of_types, strings.len() as u32] {
        out.extend(word.to_le_bytes());
    }
    out.extend(types.iter().flat_map(|word| word.to_le_bytes()));
    out.extend(strings);
    out
}

fn func_info(functions: &[Function]) -> Vec<u8> {
    functions
        .iter()
        .flat_map(|function| [function.start as u32, 3])
        .flat_map(u32::to_le_bytes)
        .collect()
}

/// Where functions begin: at the start, and where calls lead.
fn functions(code: &Code) -> Vec<Function> {
    let mut starts = BTreeSet::from([0]);
    for (slot, instruction) in code.iter() {
        if let Instruction::Call(Callee::Local(distance))
        | Instruction::LoadImm64 {
            value: Imm64::Function(distance),
            ..
        } = instruction
        {
            starts.insert((slot as i64 + 1 + i64::from(*distance)) as usize);
        }
    }
    let ends = starts.iter().copied().skip(1).chain([code.len()]);
    let function = |(&start, end): (&usize, usize)| Function {
        name: format!("f{start}"),
        start,
        len: end - start,
        global: None,
    };
    starts.iter().zip(ends).map(function).collect()
}
