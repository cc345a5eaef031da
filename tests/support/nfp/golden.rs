//! What the driver was given, and what it made of it: `tests/golden/nfp/README.md`.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use nfp_target::isa::Word;
use offload_compiler::isa::{Code, Insn};
use offload_compiler::verify::MapShape;

use super::Unlinked;
use crate::workspace;

/// A line of decisions.tsv: an XDP program, and what the driver said.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The card's profile.
    pub profile: String,
    /// The program's name.
    pub id: String,
    /// "accept", or why not.
    pub said: String,
    /// Its maps.
    pub maps: Vec<MapShape>,
    /// Its code.
    pub code: Vec<Insn>,
}

/// An XDP program that the driver accepts, and its translation.
pub struct Translation {
    /// The card's profile.
    pub profile: String,
    /// The program's name. Those that people wrote have a colon in it.
    pub id: String,
    /// The program.
    pub ebpf: Unlinked,
    /// The number of each map in the words, by the map's index.
    pub map_ids: BTreeMap<usize, u32>,
    /// What the driver knew of each slot.
    pub flags: Vec<u8>,
    /// The driver's words.
    pub words: Vec<Word>,
}

/// The text of a compressed golden file.
pub fn golden_text(name: &str) -> String {
    let path = workspace().join("tests/golden/nfp").join(name);
    let file = std::fs::File::open(path).expect("the golden file is there");
    let mut text = String::new();
    lzma_rust2::XzReader::new(file, false)
        .read_to_string(&mut text)
        .expect("it is xz");
    text
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits"))
        .collect()
}

/// `TYPE KEY VALUE MAX FLAGS NAME`
pub fn map_shape(text: &str) -> MapShape {
    let fields: Vec<&str> = text.split(' ').collect();
    let number = |index: usize| fields[index].parse::<u32>().expect("a number");
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

/// Reads lines of decisions.tsv: `PROFILE KIND ID SAID MAPS CODE` with tabs between.
pub fn parse(text: &str) -> Vec<Decision> {
    let decision = |line: &str| {
        let [profile, kind, id, said, maps, code] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        (kind == "xdp").then(|| Decision {
            profile: profile.into(),
            id: id.into(),
            said: said.into(),
            maps: (maps.split(';').filter(|map| !map.is_empty()))
                .map(map_shape)
                .collect(),
            code: Insn::read_all(&hex(code)),
        })
    };
    text.lines().filter_map(decision).collect()
}

/// All decisions on XDP programs.
pub fn decisions() -> Vec<Decision> {
    parse(&golden_text("decisions.tsv.xz"))
}

/// All translations.
pub fn translations() -> Vec<Translation> {
    let decisions = decisions();
    let given: HashMap<(&str, &str), &Decision> = decisions
        .iter()
        .map(|decision| ((&*decision.profile, &*decision.id), decision))
        .collect();
    let translation = |line: &str| {
        let [profile, id, ids, flags, words] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let given = given[&(profile, id)];
        let word = |digits: &[u8]| {
            let digits = std::str::from_utf8(digits).expect("hex digits");
            let bits = |range| u64::from_str_radix(&digits[range], 16).expect("hex digits");
            Word::from_bits(bits(0..2) << 56 | bits(2..14)).expect("a word")
        };
        let code = Code::decode(&given.code).expect("the driver took it");
        Translation {
            profile: profile.into(),
            id: id.into(),
            ebpf: Unlinked::new(code, given.maps.clone()).expect("the driver took it"),
            map_ids: (ids.split(',').filter(|pair| !pair.is_empty()))
                .map(|pair| {
                    let (index, id) = pair.split_once('=').expect("INDEX=NUMBER");
                    let number = "a number";
                    (index.parse().expect(number), id.parse().expect(number))
                })
                .collect(),
            flags: hex(flags),
            words: words.as_bytes().chunks(14).map(word).collect(),
        }
    };
    golden_text("translations.tsv.xz")
        .lines()
        .map(translation)
        .collect()
}
