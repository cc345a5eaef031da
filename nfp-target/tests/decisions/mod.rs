//! Programs, and decisions of the real driver about them.

use std::collections::{BTreeSet, HashMap};

use offload_compiler::isa::{Callee, Code, Imm64, Insn, Instruction};
use offload_compiler::verify::{Function, Input, MapReference, MapShape, Rules};

/// A line of decisions.tsv: what the driver was given, and what it said.
pub(crate) struct Decision {
    /// The card's profile.
    pub(crate) profile: String,
    /// The program's name.
    pub(crate) id: String,
    /// "accept", or why not.
    pub(crate) said: String,
    /// Its maps.
    pub(crate) maps: Vec<MapShape>,
    /// Its code.
    pub(crate) code: Vec<Insn>,
}

/// Reads lines of decisions.tsv.
pub(crate) fn parse(text: &str) -> Vec<Decision> {
    let decision = |line: &str| {
        let [profile, kind, id, said, maps, code] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let maps = maps
            .split(';')
            .filter(|map| !map.is_empty())
            .map(map)
            .collect();
        let bytes: Vec<u8> = (0..code.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&code[at..at + 2], 16).unwrap())
            .collect();
        (kind == "xdp").then(|| Decision {
            profile: profile.into(),
            id: id.into(),
            said: said.into(),
            maps,
            code: Insn::read_all(&bytes),
        })
    };
    text.lines().filter_map(decision).collect()
}

/// `TYPE KEY VALUE MAX FLAGS NAME`
pub(crate) fn map(text: &str) -> MapShape {
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

/// Functions, and maps by slot.
pub(crate) type Parts = (Vec<Function>, HashMap<usize, MapReference>);

/// What the verifier is given beside the code.
pub(crate) fn parts(code: &Code) -> Parts {
    let mut starts = BTreeSet::from([0]);
    let mut map_at = HashMap::new();
    for (slot, instruction) in code.iter() {
        match instruction {
            Instruction::Call(Callee::Local(distance)) => {
                starts.extend(slot.checked_add_signed(*distance as isize + 1));
            }
            Instruction::LoadImm64 {
                value: Imm64::MapFd(map),
                ..
            } => {
                map_at.insert(
                    slot,
                    MapReference {
                        map: *map as u32,
                        value_offset: None,
                    },
                );
            }
            _ => {}
        }
    }
    let starts: Vec<usize> = starts
        .into_iter()
        .filter(|&start| start < code.len())
        .collect();
    let functions: Vec<Function> = starts
        .iter()
        .enumerate()
        .map(|(index, &start)| Function {
            name: String::new(),
            start,
            len: starts.get(index + 1).copied().unwrap_or(code.len()) - start,
            global: None,
        })
        .collect();
    (functions, map_at)
}

/// As Linux 6.12, which made the decisions, verifies it.
pub(crate) fn input<'a>(code: &'a Code, maps: &'a [MapShape], parts: &'a Parts) -> Input<'a> {
    Input {
        rules: Rules {
            known_lookups: false,
            known_negations: false,
            ..Rules::default()
        },
        ..Input::new(code, maps, &parts.1, &parts.0)
    }
}
