//! Golden programs: what the driver was given, and its words. See `tests/golden/nfp/README.md`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;

use nfp_target::isa::Word;
use offload_compiler::isa::{Callee, Code, Imm64, Insn, Instruction};
use offload_compiler::verify::{Function, Input, MapReference, MapShape, Rules};

/// An XDP program that the driver accepts, and its translation.
pub(crate) struct Program {
    pub(crate) profile: String,
    pub(crate) id: String,
    pub(crate) maps: Vec<MapShape>,
    pub(crate) code: Code,
    /// The number of each map in the words, by the map's index.
    pub(crate) map_ids: BTreeMap<usize, u32>,
    /// What the driver knew of each slot.
    pub(crate) flags: Vec<u8>,
    pub(crate) words: Vec<Word>,
}

pub(crate) fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden/nfp")
        .join(name);
    let mut text = String::new();
    lzma_rust2::XzReader::new(std::fs::File::open(path).unwrap(), false)
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// `TYPE KEY VALUE MAX FLAGS NAME`
fn map(text: &str) -> MapShape {
    let fields: Vec<&str> = text.split(' ').collect();
    let number = |index: usize| fields[index].parse::<u32>().unwrap();
    MapShape {
        name: fields[5].into(),
        kind: number(0),
        key_size: number(1),
        value_size: number(2),
        max_entries: number(3),
        flags: number(4),
        ..MapShape::default()
    }
}

/// All of them.
pub(crate) fn programs() -> Vec<Program> {
    let decisions = text("decisions.tsv.xz");
    let given: HashMap<(&str, &str), (&str, &str)> = decisions
        .lines()
        .map(|line| {
            let [profile, _, id, _, maps, code] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            ((profile, id), (maps, code))
        })
        .collect();
    text("translations.tsv.xz")
        .lines()
        .map(|line| {
            let [profile, id, ids, flags, words] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let (maps, code) = given[&(profile, id)];
            let word = |digits: &[u8]| {
                let digits = std::str::from_utf8(digits).unwrap();
                let bits = |range| u64::from_str_radix(&digits[range], 16).unwrap();
                Word::from_bits(bits(0..2) << 56 | bits(2..14)).unwrap()
            };
            Program {
                profile: profile.into(),
                id: id.into(),
                maps: (maps.split(';').filter(|map| !map.is_empty()))
                    .map(map)
                    .collect(),
                code: Code::decode(&Insn::read_all(&hex(code))).unwrap(),
                map_ids: (ids.split(',').filter(|pair| !pair.is_empty()))
                    .map(|pair| {
                        let (index, id) = pair.split_once('=').unwrap();
                        (index.parse().unwrap(), id.parse().unwrap())
                    })
                    .collect(),
                flags: hex(flags),
                words: words.as_bytes().chunks(14).map(word).collect(),
            }
        })
        .collect()
}

impl Program {
    /// What the verifier is given: functions, and maps by slot.
    pub(crate) fn parts(&self) -> (Vec<Function>, HashMap<usize, MapReference>) {
        let mut starts = BTreeSet::from([0]);
        let mut map_at = HashMap::new();
        for (slot, instruction) in self.code.iter() {
            match instruction {
                Instruction::Call(Callee::Local(distance)) => {
                    starts.insert(slot.checked_add_signed(*distance as isize + 1).unwrap());
                }
                Instruction::LoadImm64 {
                    value: Imm64::MapFd(map),
                    ..
                } => {
                    let map = *map as u32;
                    let value_offset = None;
                    map_at.insert(slot, MapReference { map, value_offset });
                }
                _ => {}
            }
        }
        let starts: Vec<usize> = starts.into_iter().collect();
        let functions = starts
            .iter()
            .enumerate()
            .map(|(index, &start)| Function {
                name: String::new(),
                start,
                len: starts.get(index + 1).copied().unwrap_or(self.code.len()) - start,
                global: None,
            })
            .collect();
        (functions, map_at)
    }

    pub(crate) fn input<'a>(
        &'a self,
        (functions, map_at): &'a (Vec<Function>, HashMap<usize, MapReference>),
    ) -> Input<'a> {
        Input {
            // The driver's verifier was that of Linux 6.12.
            rules: Rules {
                known_lookups: false,
                known_negations: false,
                ..Rules::default()
            },
            ..Input::new(&self.code, &self.maps, map_at, functions)
        }
    }
}
