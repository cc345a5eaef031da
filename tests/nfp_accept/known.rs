//! The programs of tests/golden/nfp/decisions.tsv.xz.

use std::io::Read;

use offload_compiler::isa::Insn;
use offload_compiler::verify::MapShape;
use tests::nfpsim::Program;

/// Each of them once.
pub(crate) fn programs() -> Vec<Program> {
    let path = tests::workspace().join("tests/golden/nfp/decisions.tsv.xz");
    let file = std::fs::File::open(&path).expect("the golden file is there");
    let mut text = String::new();
    lzma_rust2::XzReader::new(file, false)
        .read_to_string(&mut text)
        .expect("it is xz");
    text.lines().filter_map(program).collect()
}

/// `PROFILE KIND ID SAID MAPS CODE` with tabs between; the profile `full` has all programs.
fn program(line: &str) -> Option<Program> {
    let [profile, kind, id, _, maps, code] = line.split('\t').collect::<Vec<_>>()[..] else {
        panic!("{line}");
    };
    let bytes: Vec<u8> = (0..code.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&code[at..at + 2], 16).expect("hex digits"))
        .collect();
    (profile == "full" && kind == "xdp").then(|| Program {
        id: id.to_owned(),
        maps: maps
            .split(';')
            .filter(|map| !map.is_empty())
            .map(map)
            .collect(),
        code: Insn::read_all(&bytes),
    })
}

/// `TYPE KEY VALUE MAX FLAGS NAME`
fn map(text: &str) -> MapShape {
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
