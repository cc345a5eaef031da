//! Random programs near the border between safe and unsafe, judged by both.
//!
//! `VERIFIER_PROGRAMS=1000000` makes more than the default, `VERIFIER_SEED=7` others, `VERIFIER_ONLY=7:1234` shows one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd};

use kernel::bpf::btf::Btf;
use kernel::bpf::map::{Map, MapKind, MapSpec};
use kernel::bpf::program::{InfoRecords, Program, ProgramSpec};
use offload_compiler::isa::{Code, Imm64, Insn, Instruction};
use offload_compiler::verify::{
    Code as Ours, Function, Input, MapReference, MapShape, Rules, Verdict, verify,
};
use tests::require_root;

use crate::random_program::{self, MAPS, MapOfProgram};
use tests::kernel_answer::last_words;

/// How many programs are compared unless the environment says otherwise.
const PROGRAMS: u64 = 20_000;

/// Programs that take longer to verify say little, and cost the kernel seconds.
const MOST_INSTRUCTIONS: usize = 20_000;

/// The maps that all programs use, in the kernel and as shapes.
struct Maps {
    loaded: Vec<Map>,
    shapes: Vec<MapShape>,
}

impl Maps {
    fn create() -> Self {
        let loaded = MAPS
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
            loaded,
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
                insns[slot].imm = self.loaded[*map as usize].as_fd().as_raw_fd();
            }
        }
        Insn::write_all(&insns)
    }

    fn ours(&self, code: &Code, functions: &[Function]) -> Verdict {
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
            ..Input::new(code, &self.shapes, &map_at, functions)
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

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn listing(code: &Code) -> String {
    let mut text = String::new();
    for (slot, instruction) in code.iter() {
        let _ = writeln!(text, "{slot}: {instruction}");
    }
    text
}

#[test]
fn random_programs_are_judged_as_the_kernel_does() {
    if !require_root() {
        return;
    }
    let maps = Maps::create();
    let btf = Btf::load(&types()).unwrap();
    let (mut seed, mut from) = (1, 0);
    let mut count = variable("VERIFIER_PROGRAMS").map_or(PROGRAMS, |text| text.parse().unwrap());
    if let Some(text) = variable("VERIFIER_SEED") {
        seed = text.parse().unwrap();
    }
    let show = variable("VERIFIER_ONLY");
    if let Some(text) = &show {
        let (a, b) = text.split_once(':').unwrap();
        (seed, from, count) = (a.parse().unwrap(), b.parse().unwrap(), 1);
    }
    let (mut both_accept, mut both_refuse, mut too_complex, mut skipped) = (0, 0, 0, 0);
    let mut unsafe_accepted = Vec::new();
    let mut refused_wrongly = Vec::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for number in from..from + count {
        let (code, functions) = random_program::generate(seed, number);
        let bytes = maps.with_fds(&code);
        let Ok(code) = Code::decode(&Insn::read_all(&Insn::write_all(&code.encode()))) else {
            continue; // a change made an instruction that does not exist
        };
        let verdict = maps.ours(&code, &functions);
        if verdict
            .error()
            .is_some_and(|finding| finding.code == Ours::TooComplex)
        {
            skipped += 1;
            continue;
        }
        let func_info = func_info(&functions);
        let spec = ProgramSpec {
            name: "random",
            insns: &bytes,
            license: "GPL",
            btf: Some(btf.as_fd()),
            func_info: InfoRecords {
                record_size: 8,
                bytes: &func_info,
            },
            ..ProgramSpec::default()
        };
        let answer = Program::load(&spec);
        let log = answer
            .as_ref()
            .err()
            .and_then(|error| error.refusal())
            .and_then(|refusal| refusal.verifier_log.clone())
            .unwrap_or_default();
        if show.is_some() {
            println!("{}\n{log}\nours: {:?}", listing(&code), verdict.error());
        }
        match (&answer, verdict.error()) {
            (Ok(_), None) => both_accept += 1,
            (Err(_), Some(finding)) => {
                both_refuse += 1;
                *reasons.entry(finding.code.to_string()).or_default() += 1;
            }
            (Err(error), None) => {
                let why = last_words(&log).unwrap_or_else(|| error.to_string());
                if why.contains("too large") || why.contains("too complex") {
                    too_complex += 1;
                } else {
                    unsafe_accepted.push(format!("{seed}:{number}: {why}"));
                }
            }
            (Ok(_), Some(finding)) => refused_wrongly.push(format!("{seed}:{number}: {finding}")),
        }
    }
    let accepted = both_accept + refused_wrongly.len();
    let _ = writeln!(
        std::io::stderr(),
        "{count} random programs of seed {seed}: {both_accept} accepted by both, {both_refuse} refused by both, {} accepted \
         wrongly, {} refused wrongly, {too_complex} too complex for the kernel only, {skipped} not asked: they take too long\nrefused by both as {reasons:?}\n{}",
        unsafe_accepted.len(),
        refused_wrongly.len(),
        refused_wrongly
            .iter()
            .take(40)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n"),
    );
    assert!(
        unsafe_accepted.is_empty(),
        "accepted, but the kernel refuses {}:\n{}",
        unsafe_accepted.len(),
        unsafe_accepted
            .iter()
            .take(60)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
    assert!(
        refused_wrongly.len() * 100 <= accepted * 3,
        "{} of {accepted} are refused wrongly",
        refused_wrongly.len()
    );
}
